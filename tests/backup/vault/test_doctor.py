"""The doctor, on a vault that is well, on one that is not, and on a host with every mistake that hosts have."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup.exit_codes import VaultUnreachable
from backup.journal import Silent
from backup.settings import BackupSettings, VaultSettings
from backup.signing import generate
from backup.vault import alarms, host, policies
from backup.vault.doctor import doctor
from backup.vault.finding import Finding, Level
from backup.vault.rights import Role
from backup.vault.s3_object_lock import S3ObjectLock
from kit.clock import SystemClock
from tests.clock import FakeClock
from tests.services.moto import Moto
from tests.services.seaweedfs import SeaweedFS

CONFIRMED = datetime(2026, 11, 1, tzinfo=UTC)


class Home:
    """A host with keys and a password, as `homeport backup init` leaves it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.signing_key, self.public_key = directory / "signing.pem", directory / "signing.pub"
        generate(self.signing_key, self.public_key)
        self.password = directory / "password"
        self.password.write_text("correct horse\n")
        self.password.chmod(0o600)

    def settings(self, vault: VaultSettings | None = None, **more: Any) -> BackupSettings:
        document = {
            "root": self.directory,
            "signing_key_file": self.signing_key,
            "public_key_file": self.public_key,
            "repository": {"password_file": self.password},
        }
        return BackupSettings.model_validate(document | more).model_copy(update={"vault": vault})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def examine(settings: BackupSettings, **more: Any) -> list[Finding]:
    given: dict[str, Any] = {"clock": SystemClock(), "sheet_confirmed_at": CONFIRMED} | more
    return doctor(settings, journal=Silent(), **given)


def of(findings: list[Finding], *levels: Level) -> str:
    return "\n".join(finding.text for finding in findings if finding.level in levels)


class TestVault:
    def test_a_vault_that_is_well(self, seaweedfs: SeaweedFS, home: Home) -> None:
        vault = seaweedfs.vault_settings(seaweedfs.new_bucket(), home.directory)
        vault = vault.model_copy(update={"collector_file": None, "restorer_file": None})
        findings = examine(home.settings(vault))
        assert of(findings, Level.FAILED) == ""
        good = of(findings, Level.OK)
        for text in (
            f"the bucket {vault.bucket} has Object Lock",
            f"the bucket {vault.bucket} locks by default for 30 days",
            "encrypts (AES256)",
            "restorer: no credentials on this host, as it should be until something is restored",
            "verifier: may not delete: refused",
            "this machine's clock is ",
        ):
            assert text in good
        assert "cannot say whether" in of(findings, Level.UNKNOWN)
        assert all(finding.fix for finding in findings if finding.level is not Level.OK)

    def test_a_bucket_without_any_protection(self, seaweedfs: SeaweedFS, home: Home) -> None:
        bucket = seaweedfs.new_bucket(locked=False, encrypted=False)
        findings = examine(home.settings(seaweedfs.vault_settings(bucket, home.directory)))
        bad = of(findings, Level.FAILED)
        for text in (
            "has no Object Lock",
            "keeps no versions",
            "has no default retention",
            "has no default encryption",
        ):
            assert f"the bucket {bucket} {text}" in bad
        assert "the uploader cannot put a locked object" in bad
        (unlocked,) = (finding for finding in findings if "has no Object Lock" in finding.text)
        assert "new bucket" in unlocked.fix

    def test_a_default_retention_that_is_too_short(self, seaweedfs: SeaweedFS, home: Home) -> None:
        bucket = seaweedfs.new_bucket(default_days=29)
        findings = examine(home.settings(seaweedfs.vault_settings(bucket, home.directory)))
        assert "of 30 days or more (it is: COMPLIANCE, 29 days)" in of(findings, Level.FAILED)

    def test_a_clock_that_is_wrong_is_a_warning(self, seaweedfs: SeaweedFS, home: Home) -> None:
        vault = seaweedfs.vault_settings(seaweedfs.new_bucket(), home.directory)
        ahead = FakeClock((datetime.now(UTC) + timedelta(minutes=6)).timestamp())
        (finding,) = (f for f in examine(home.settings(vault), clock=ahead) if "this machine's clock" in f.text)
        assert finding.level is Level.WARNING
        assert "s ahead of the store's" in finding.text

    def test_credentials_that_cannot_be_read_hide_nothing_else(self, seaweedfs: SeaweedFS, home: Home) -> None:
        vault = seaweedfs.vault_settings(seaweedfs.new_bucket(), home.directory)
        assert vault.verifier_file is not None
        vault.verifier_file.unlink()
        findings = examine(home.settings(vault))
        assert "verifier: the credentials in" in of(findings, Level.FAILED)
        assert "has Object Lock" in of(findings, Level.OK)

    def test_a_store_that_is_not_there_is_said_once_for_each_part(self, seaweedfs: SeaweedFS, home: Home) -> None:
        vault = seaweedfs.vault_settings("nowhere", home.directory, url="http://127.0.0.1:1")

        def open_store(settings: VaultSettings, role: Role) -> S3ObjectLock:
            return S3ObjectLock(settings, role, attempts=1, sleep=lambda _: None)

        findings = examine(home.settings(vault), open_store=open_store)
        bad = [finding.text for finding in findings if finding.level is Level.FAILED and "127.0.0.1:1" in finding.text]
        assert [text.split(":")[0] for text in bad] == ["bucket", "clock", "rights"]
        assert "restic" in of(findings, Level.OK)

    @pytest.mark.services
    def test_on_aws_policy_rights_and_alarms_count(self, moto: Moto, weak: VaultSettings, home: Home) -> None:
        """moto in AWS's place: it stores a policy and evaluates none."""
        aws = weak.model_copy(update={"endpoint": None})

        def open_store(settings: VaultSettings, role: Role) -> S3ObjectLock:
            return S3ObjectLock(weak, role)

        def found() -> list[Finding]:
            return examine(home.settings(aws), open_store=open_store, connect=alarms.connect(weak, endpoint=moto.url))

        bad = of(found(), Level.FAILED)
        assert "the bucket weak does not block public access" in bad
        assert "the bucket weak has no policy" in bad
        assert "uploader: may not lock for 100 days: it could" in bad
        assert "no alarm on EstimatedCharges" in bad
        arns = {
            f"{role}_arn": f"arn:aws:iam::123456789012:user/{role}" for role in ("uploader", "verifier", "restorer")
        }
        document = policies.render("bucket", bucket_arn="arn:aws:s3:::weak", **arns)
        client = moto.client("s3")
        client.put_bucket_policy(Bucket="weak", Policy=json.dumps(document))
        assert "the bucket's policy is the one of backup/terraform" in of(found(), Level.OK)
        document["Statement"] = [each for each in document["Statement"] if each["Sid"] != "NotAbove45Days"]
        client.put_bucket_policy(Bucket="weak", Policy=json.dumps(document))
        assert "the bucket's policy lacks, or has changed, NotAbove45Days" in of(found(), Level.FAILED)

    def test_a_verifier_without_credentials_of_its_own_is_a_warning(self, seaweedfs: SeaweedFS, home: Home) -> None:
        vault = seaweedfs.vault_settings(seaweedfs.new_bucket(), home.directory)
        findings = examine(home.settings(vault.model_copy(update={"verifier_file": None})))
        assert "verifier: no credentials of its own" in of(findings, Level.WARNING)

    def test_no_vault_is_a_warning(self, home: Home) -> None:
        assert "there is no vault" in of(examine(home.settings()), Level.WARNING)

    def test_a_part_that_fails_does_not_hide_the_others(self, home: Home, tmp_path: Path) -> None:
        class Broken(S3ObjectLock):
            def bucket(self) -> Any:
                raise VaultUnreachable("no answer")

            def now(self) -> Any:
                raise VaultUnreachable("no answer")

        credentials = tmp_path / "u"
        credentials.write_text("key\nsecret\n")
        credentials.chmod(0o600)
        vault = VaultSettings.model_validate(
            {"bucket": "vault", "endpoint": "http://127.0.0.1:1", "uploader_file": credentials}
        )
        findings = examine(home.settings(vault), open_store=lambda settings, role: Broken(settings, role, attempts=1))
        assert "bucket: no answer" in of(findings, Level.FAILED)
        assert "clock: no answer" in of(findings, Level.FAILED)
        assert "not AWS" in of(findings, Level.UNKNOWN)


class TestHost:
    def check(self, settings: BackupSettings, confirmed: datetime | None = CONFIRMED) -> list[Finding]:
        return host.check(settings, sheet_confirmed_at=confirmed)

    def test_a_host_that_is_well(self, home: Home) -> None:
        findings = self.check(home.settings())
        assert of(findings, Level.FAILED) == ""
        good = of(findings, Level.OK)
        assert "restic 0." in good
        public = home.public_key.read_text().strip()
        assert f"the public key {public}" in good
        assert "the recovery sheet was confirmed on 2026-11-01" in good

    def test_a_sheet_that_nobody_confirmed_is_a_warning_with_the_key_to_compare(self, home: Home) -> None:
        (finding,) = (f for f in self.check(home.settings(), None) if "recovery sheet" in f.text)
        assert finding.level is Level.WARNING
        assert home.public_key.read_text().strip() in finding.text
        assert "homeport backup init" in finding.fix

    def test_keys_that_do_not_belong_together_fail(self, home: Home, tmp_path: Path) -> None:
        generate(tmp_path / "other.pem", tmp_path / "other.pub")
        settings = home.settings(public_key_file=tmp_path / "other.pub")
        assert "does not belong to" in of(self.check(settings), Level.FAILED)

    def test_a_missing_public_key_fails_and_a_missing_signing_key_is_unknown(self, home: Home) -> None:
        home.signing_key.unlink()
        assert "the signing key is not on this machine" in of(self.check(home.settings()), Level.UNKNOWN)
        home.public_key.unlink()
        assert "holds no public key" in of(self.check(home.settings()), Level.FAILED)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
    def test_secrets_that_others_can_read_fail(self, home: Home, mode: int) -> None:
        home.password.chmod(mode)
        home.signing_key.chmod(mode)
        bad = of(self.check(home.settings()), Level.FAILED)
        assert f"{home.password} can be read by others (mode {mode:04o})" in bad
        assert f"{home.signing_key} can be read by others" in bad
        assert "correct horse" not in bad

    def test_the_collectors_credentials_on_the_host_fail(self, home: Home, tmp_path: Path) -> None:
        collector = tmp_path / "collector"
        collector.write_text("key\nsecret\n")
        collector.chmod(0o600)
        vault = VaultSettings(bucket="vault", collector_file=collector)
        (finding,) = (f for f in self.check(home.settings(vault)) if f.text.startswith("the collector's"))
        assert finding.level is Level.FAILED
        assert "new key" in finding.fix

    @pytest.mark.parametrize(
        ("script", "level", "text"),
        [
            ("echo 'restic 0.18.1 compiled with go1.25 on linux/amd64'", Level.OK, "restic 0.18.1"),
            ("echo 'restic 0.14.0 compiled with go1.19.8 on linux/amd64'", Level.OK, "restic 0.14.0"),
            ("echo 'restic 0.13.1 compiled with go1.18'", Level.FAILED, "restic 0.13.1 is too old"),
            ("echo 'restic from the next room'", Level.UNKNOWN, "restic says no version"),
            ("echo broken >&2; exit 3", Level.FAILED, "ended with 3: broken"),
        ],
    )
    def test_versions_of_restic(self, home: Home, tmp_path: Path, script: str, level: Level, text: str) -> None:
        program = tmp_path / "restic"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        settings = home.settings(repository={"password_file": home.password, "program": str(program)})
        assert text in of(self.check(settings), level)

    def test_no_restic_at_all_fails(self, home: Home) -> None:
        settings = home.settings(repository={"password_file": home.password, "program": "restic-of-tomorrow"})
        assert "cannot be started" in of(self.check(settings), Level.FAILED)

    @pytest.mark.parametrize(
        ("source", "devices", "level", "text"),
        [
            (
                "/dev/mapper/backup",
                '{"name":"backup","type":"crypt","children":[{"name":"sdb","type":"disk"}]}',
                Level.OK,
                "is encrypted",
            ),
            (
                "/dev/mapper/vg-root[/sub]",
                '{"name":"vg-root","type":"lvm","children":[{"name":"c","type":"crypt","children":[{"name":"sda","type":"disk"}]}]}',
                Level.OK,
                "(/dev/mapper/vg-root)",
            ),
            (
                "/dev/sdb1",
                '{"name":"sdb1","type":"part","children":[{"name":"sdb","type":"disk"}]}',
                Level.WARNING,
                "no layer of encryption",
            ),
            ("overlay", "", Level.UNKNOWN, "is overlay: its encryption cannot be seen from here"),
            ("/dev/sdc1", "nonsense", Level.UNKNOWN, "could not be read"),
        ],
    )
    def test_disk_encryption(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, devices: str, level: Level, text: str
    ) -> None:
        """The machine's disks are what they are, so both programs are stood in for by ones that answer as they do."""
        programs = tmp_path / "bin"
        programs.mkdir()
        listed = devices if devices in ("", "nonsense") else f'{{"blockdevices":[{devices}]}}'
        for name, answer in (("findmnt", source), ("lsblk", listed)):
            (programs / name).write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(programs), prepend=":")
        finding = host.disk_encryption(tmp_path)
        assert finding.level is level
        assert text in finding.text

    def test_disk_encryption_of_this_machine_is_what_its_own_programs_say(self, tmp_path: Path) -> None:
        def said(*argv: str) -> str:
            return subprocess.run(argv, capture_output=True, text=True).stdout.strip()

        device = said("findmnt", "-n", "-o", "SOURCE", "-T", str(tmp_path)).partition("[")[0]
        types = said("lsblk", "-n", "-s", "-o", "TYPE", device).split() if device.startswith("/dev/") else []
        expected = Level.OK if "crypt" in types else Level.WARNING if types else Level.UNKNOWN
        found = host.disk_encryption(tmp_path)
        assert found.level is expected
        assert str(tmp_path) in found.text
