"""The attack: against a vault that holds, and against ones that do not, each in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from backup.exit_codes import ExitCode, VaultUnreachable, VaultUnsafe
from backup.journal import Silent
from backup.settings import VaultSettings
from backup.vault.attack import AttackReport, Attempt, Verdict, attack
from backup.vault.canary import LONG_DAYS, is_aws
from backup.vault.s3_object_lock import S3ObjectLock
from tests.services.seaweedfs import SeaweedFS

COSTLY = {f"upload under a lock of {LONG_DAYS} days", f"extend the lock to {LONG_DAYS} days"}
ON_THE_BUCKET = {
    "put a legal hold, which has no end",
    "set a lifecycle",
    "suspend versioning",
    "set the lock's configuration",
    "set the bucket's policy",
}


class Heard(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def settings(seaweedfs: SeaweedFS, tmp_path: Path) -> VaultSettings:
    return seaweedfs.vault_settings(seaweedfs.new_bucket(), tmp_path)


def as_admin(seaweedfs: SeaweedFS, settings: VaultSettings, directory: Path) -> S3ObjectLock:
    """A store whose uploader has every right there is."""
    path = directory / "admin.credentials"
    path.write_text("\n".join(seaweedfs.credentials["admin"]))
    return S3ObjectLock(settings.model_copy(update={"uploader_file": path}), "uploader")


def verdicts(report: AttackReport) -> Mapping[str, Verdict]:
    return {attempt.name: attempt.verdict for attempt in report.attempts}


def test_everything_that_a_thief_tries_is_refused_or_harmless(settings: VaultSettings) -> None:
    heard = Heard()
    report = attack(S3ObjectLock(settings, "uploader"), settings, heard)
    found = verdicts(report)
    assert len(found) == 16
    assert {name for name, verdict in found.items() if verdict is Verdict.UNENFORCEABLE} == COSTLY
    assert {name for name, verdict in found.items() if verdict is Verdict.HARMLESS} == {"overwrite the object"}
    assert {name for name, verdict in found.items() if verdict is Verdict.SUCCEEDED} == set()
    assert report.is_safe
    report.require_safe()
    assert all(attempt.said for attempt in report.attempts)
    assert len(heard.notes) == len(found) - len(COSTLY)
    assert len(heard.warnings) == len(COSTLY)


def test_the_canary_is_its_own_and_outlives_it(settings: VaultSettings) -> None:
    store = S3ObjectLock(settings, "uploader")
    report = attack(store, settings, Silent())
    assert report.canary.startswith(store.keys.canaries)
    assert {version.key for version in store.versions("")} >= {report.canary}
    assert all(version.key.startswith(store.keys.canaries) for version in store.versions(""))
    oldest = min(store.versions(report.canary), key=lambda version: version.modified)
    assert store.head(report.canary, oldest.version_id).mode == "COMPLIANCE"


def test_the_lock_holds_against_the_admin_and_what_he_may_besides_is_reported(
    seaweedfs: SeaweedFS, settings: VaultSettings, tmp_path: Path
) -> None:
    """Refused not by rights but by the lock itself. His rights over the bucket are what the attack must not find."""
    report = attack(as_admin(seaweedfs, settings, tmp_path), settings, Silent())
    found = verdicts(report)
    assert {name for name, verdict in found.items() if verdict is Verdict.SUCCEEDED} == ON_THE_BUCKET - {
        "suspend versioning"
    }
    assert found["put a delete marker"] is Verdict.HARMLESS
    assert {name for name, verdict in found.items() if verdict is Verdict.REFUSED} >= {
        "delete the version",
        "delete the version, in bulk",
        "shorten the lock",
        "remove the lock",
    }
    assert not report.is_safe
    with pytest.raises(VaultUnsafe, match="set a lifecycle: accepted") as raised:
        report.require_safe()
    assert raised.value.code is ExitCode.VAULT_UNSAFE
    assert report.canary in str(raised.value)


def test_what_an_accepted_attempt_sets_is_what_stood_there(
    seaweedfs: SeaweedFS, settings: VaultSettings, tmp_path: Path
) -> None:
    store = as_admin(seaweedfs, settings, tmp_path)
    deny = (
        '{"Version":"2012-10-17","Statement":[{"Sid":"No","Effect":"Deny","Principal":"*","Action":"s3:DeleteBucket",'
        f'"Resource":"arn:aws:s3:::{settings.bucket}"}}]}}'
    )
    store.client.put_bucket_policy(Bucket=settings.bucket, Policy=deny)
    before = store.bucket()
    report = attack(store, settings, Silent())
    assert store.bucket() == before
    assert "DeleteBucket" in store.client.get_bucket_policy(Bucket=settings.bucket)["Policy"]
    assert verdicts(report)["set the bucket's policy"] is Verdict.SUCCEEDED
    held = [attempt for attempt in report.attempts if attempt.name.startswith("put a legal hold")]
    assert held == [Attempt(held[0].name, Verdict.SUCCEEDED, "accepted; it was undone")]


def test_who_may_not_read_the_policy_may_still_write_it(
    seaweedfs: SeaweedFS, settings: VaultSettings, tmp_path: Path
) -> None:
    """That the look at it was refused says nothing of the change."""
    store = as_admin(seaweedfs, settings, tmp_path)

    def refuse(request: Any, **_: Any) -> AWSResponse:
        body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        response = AWSResponse(request.url, 403, {}, None)
        response._content = body
        return response

    store.client.meta.events.register("before-send.s3.GetBucketPolicy", refuse)
    report = attack(store, settings, Silent())
    assert verdicts(report)["set the bucket's policy"] is Verdict.SUCCEEDED
    report = attack(uploader := S3ObjectLock(settings, "uploader"), settings, Silent())
    assert verdicts(report)["set the bucket's policy"] is Verdict.REFUSED
    uploader.client.meta.events.register("before-send.s3.GetBucketPolicy", refuse)
    report = attack(uploader, settings, Silent())
    assert verdicts(report)["set the bucket's policy"] is Verdict.REFUSED


@pytest.mark.services
def test_a_vault_that_does_not_hold_is_found_out(weak: VaultSettings) -> None:
    """moto says yes to what S3 refuses. After each loss the rest is tried on a new canary."""
    report = attack(S3ObjectLock(weak, "uploader"), weak, Silent())
    said = {attempt.name: attempt.said for attempt in report.succeeded}
    assert said["shorten the lock"].startswith("the version is locked until")
    assert said["turn the lock to GOVERNANCE"] == "the version's lock is GOVERNANCE"
    assert said["shorten the lock, bypassing governance"] == "the version's lock is GOVERNANCE"
    assert said["remove the lock"] == "the version's lock is gone"
    assert said["suspend versioning"] == "accepted; it was undone"
    assert verdicts(report)["overwrite the object"] is Verdict.HARMLESS
    with pytest.raises(VaultUnsafe, match="remove the lock: the version's lock is gone"):
        report.require_safe()
    assert S3ObjectLock(weak, "uploader").bucket().versioning  # undone indeed


def test_on_aws_a_lock_of_100_days_that_is_accepted_is_a_success(settings: VaultSettings) -> None:
    """There the bucket's policy refuses it, so it has been taken away."""
    aws = settings.model_copy(update={"endpoint": None})
    assert is_aws(aws)
    report = attack(S3ObjectLock(settings, "uploader"), aws, Silent())
    assert {attempt.name for attempt in report.succeeded} == COSTLY
    with pytest.raises(VaultUnsafe, match=f"has to be paid for {LONG_DAYS} days"):
        report.require_safe()


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (None, True),
        ("https://s3.ap-northeast-1.amazonaws.com", True),
        ("https://bucket.vpce-1a2b.s3.ap-northeast-1.vpce.amazonaws.com", True),
        ("http://127.0.0.1:8333", False),
        ("https://s3.amazonaws.com.example.org", False),
    ],
)
def test_only_aws_is_aws(endpoint: str | None, expected: bool) -> None:
    assert is_aws(VaultSettings.model_validate({"bucket": "vault", "endpoint": endpoint})) is expected


def test_a_bucket_without_a_lock_is_unsafe_before_anything_is_tried(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    settings = seaweedfs.vault_settings(seaweedfs.new_bucket(locked=False), tmp_path)
    store = S3ObjectLock(settings, "uploader")
    with pytest.raises(VaultUnsafe, match="no Object Lock"):
        attack(store, settings, Silent())
    assert list(store.versions("")) == []


def test_credentials_that_are_none_prove_nothing(settings: VaultSettings) -> None:
    assert settings.uploader_file is not None
    key_id = settings.uploader_file.read_text().splitlines()[0]
    settings.uploader_file.write_text(f"{key_id}\nwrong\n")
    with pytest.raises(VaultUnreachable):
        attack(S3ObjectLock(settings, "uploader"), settings, Silent())


def test_credentials_that_end_in_the_middle_prove_nothing(settings: VaultSettings) -> None:
    store = S3ObjectLock(settings, "uploader")

    def expire(parsed: dict[str, Any], http_response: Any, **_: Any) -> None:
        http_response.status_code = 403
        parsed["Error"] = {"Code": "ExpiredToken", "Message": "The provided token has expired."}

    store.client.meta.events.register("after-call.s3.PutObjectLegalHold", expire)
    with pytest.raises(VaultUnreachable, match=r"nothing is proved.*ExpiredToken"):
        attack(store, settings, Silent())


def test_a_server_that_is_not_there_proves_nothing(settings: VaultSettings) -> None:
    nowhere = VaultSettings.model_validate({"bucket": "vault", "endpoint": "http://127.0.0.1:1"}).endpoint
    gone = settings.model_copy(update={"endpoint": nowhere})
    with pytest.raises(VaultUnreachable):
        attack(S3ObjectLock(gone, "uploader", attempts=1, sleep=lambda _: None), gone, Silent())
