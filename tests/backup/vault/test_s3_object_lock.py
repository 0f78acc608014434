"""S3 with Object Lock: what the server itself refuses to the strongest identity, and what becomes of its troubles."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from backup.exit_codes import BackupError, VaultUnreachable, VaultUnsafe, VerificationFailed, WrongUsage
from backup.settings import VaultSettings
from backup.vault import bucket as buckets
from backup.vault.s3_object_lock import BODY_WAITS_S, RENEWAL_WAITS_S, S3ObjectLock
from backup.vault.throttle import Throttle
from backup.vault.vault import Exists, NotThere, Stored
from tests.services import s3_trouble
from tests.services.process import free_port
from tests.services.s3_trouble import TroubledS3
from tests.services.seaweedfs import SeaweedFS

pytestmark = pytest.mark.services

WINDOW = timedelta(days=37)
BODY = b"a pack of restic " * 20_000
SHA256 = hashlib.sha256(BODY).hexdigest()
CHECKSUM = base64.b64encode(bytes.fromhex(SHA256)).decode()


@pytest.fixture(scope="module")
def bucket(seaweedfs: SeaweedFS) -> str:
    return seaweedfs.new_bucket()


@pytest.fixture(scope="module")
def proxy(seaweedfs: SeaweedFS) -> Iterator[TroubledS3]:
    with TroubledS3(seaweedfs.port) as running:
        yield running


class Slept(list[float]):
    """Stands in for time.sleep."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def slept() -> Slept:
    return Slept()


@pytest.fixture
def troubled(
    seaweedfs: SeaweedFS, bucket: str, proxy: TroubledS3, tmp_path: Path, slept: Slept
) -> Iterator[S3ObjectLock]:
    """A store behind the proxy; botocore repeats once."""
    settings = seaweedfs.vault_settings(bucket, tmp_path, url=proxy.url)
    yield S3ObjectLock(settings, "uploader", sleep=slept, attempts=2)
    proxy.trouble = s3_trouble.none


def put(store: S3ObjectLock, key: str) -> Stored:
    return store.put(key, BODY, sha256=SHA256, retain_until=until())


def until() -> datetime:
    return (datetime.now(UTC) + WINDOW).replace(microsecond=0)


# -- what the server refuses to its administrator: the lock itself, no policy ------------------------------------------


def _retention(mode: str, days: float, **more: Any) -> Callable[[Any, str, str], Any]:
    def attempt(admin: Any, bucket: str, version: str) -> Any:
        retention = {"Mode": mode, "RetainUntilDate": datetime.now(UTC) + timedelta(days=days)}
        return admin.put_object_retention(Bucket=bucket, Key="locked", VersionId=version, Retention=retention, **more)

    return attempt


REFUSED: dict[str, Callable[[Any, str, str], Any]] = {
    "delete": lambda admin, bucket, version: admin.delete_object(Bucket=bucket, Key="locked", VersionId=version),
    "delete with bypass": lambda admin, bucket, version: admin.delete_object(
        Bucket=bucket, Key="locked", VersionId=version, BypassGovernanceRetention=True
    ),
    "shorten": _retention("COMPLIANCE", 31),
    "shorten with bypass": _retention("COMPLIANCE", 31, BypassGovernanceRetention=True),
    "to GOVERNANCE": _retention("GOVERNANCE", 40),
    "to GOVERNANCE with bypass": _retention("GOVERNANCE", 40, BypassGovernanceRetention=True),
    "remove the lock": lambda admin, bucket, version: admin.put_object_retention(
        Bucket=bucket, Key="locked", VersionId=version, Retention={}, BypassGovernanceRetention=True
    ),
    "suspend versioning": lambda admin, bucket, version: admin.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
    ),
    "put with a lock in the past": lambda admin, bucket, version: admin.put_object(
        Bucket=bucket,
        Key="past",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=datetime.now(UTC) - timedelta(days=1),
    ),
    "put over it": lambda admin, bucket, version: admin.put_object(Bucket=bucket, Key="locked", IfNoneMatch="*"),
    "put with a wrong SHA-256": lambda admin, bucket, version: admin.put_object(
        Bucket=bucket, Key="other", Body=b"other", ChecksumSHA256=CHECKSUM
    ),
}


@pytest.fixture(scope="module")
def locked(seaweedfs: SeaweedFS, bucket: str) -> str:
    """The version of an object locked for the window."""
    answer = seaweedfs.client().put_object(
        Bucket=bucket, Key="locked", Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until()
    )
    version: str = answer["VersionId"]
    return version


@pytest.mark.parametrize("name", REFUSED)
def test_the_lock_refuses_even_the_administrator(seaweedfs: SeaweedFS, bucket: str, locked: str, name: str) -> None:
    admin = seaweedfs.client()
    before = admin.head_object(Bucket=bucket, Key="locked", VersionId=locked)
    with pytest.raises(ClientError) as refused:
        REFUSED[name](admin, bucket, locked)
    assert 400 <= refused.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    after = admin.head_object(Bucket=bucket, Key="locked", VersionId=locked)
    assert after["ObjectLockRetainUntilDate"] == before["ObjectLockRetainUntilDate"]
    assert after["ObjectLockMode"] == "COMPLIANCE"


def test_a_bulk_delete_answers_200_and_deletes_nothing(seaweedfs: SeaweedFS, bucket: str, locked: str) -> None:
    admin = seaweedfs.client()
    answer = admin.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "locked", "VersionId": locked}]})
    assert [each["Code"] for each in answer["Errors"]] == ["AccessDenied"]
    admin.head_object(Bucket=bucket, Key="locked", VersionId=locked)


def test_a_bucket_that_was_made_without_a_lock_is_no_vault(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    settings = seaweedfs.vault_settings(seaweedfs.new_bucket(locked=False, encrypted=False), tmp_path)
    store = S3ObjectLock(settings, "uploader")
    with pytest.raises(VaultUnsafe, match=r"no Object Lock.*default retention is none.*versioning.*default encryption"):
        buckets.require_safe(store)
    with pytest.raises(VaultUnsafe):
        put(store, "one")


def test_a_bucket_whose_default_is_too_short_is_no_vault(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    settings = seaweedfs.vault_settings(seaweedfs.new_bucket(default_days=29), tmp_path)
    with pytest.raises(VaultUnsafe, match="COMPLIANCE of 29 days"):
        buckets.require_safe(S3ObjectLock(settings, "uploader"))


def test_a_bucket_that_is_not_there_is_no_vault(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    settings = seaweedfs.vault_settings("not-there", tmp_path)
    with pytest.raises(VaultUnsafe, match="NoSuchBucket"):
        buckets.require_safe(S3ObjectLock(settings, "uploader"))


# -- the roles ---------------------------------------------------------------------------------------------------------


def test_each_role_does_its_own_and_is_denied_the_rest(
    seaweedfs: SeaweedFS, bucket: str, tmp_path: Path, slept: Slept
) -> None:
    settings = seaweedfs.vault_settings(bucket, tmp_path)
    uploader, verifier, restorer, collector = (
        S3ObjectLock(settings, role, sleep=slept) for role in ("uploader", "verifier", "restorer", "collector")
    )
    stored = put(uploader, "roles")
    assert verifier.head("roles", stored.version_id) == stored
    assert verifier.bucket() == uploader.bucket()
    assert restorer.read("roles", stored.version_id) == BODY
    for store in (verifier, restorer, collector):
        with pytest.raises(VaultUnreachable, match=f"as {store.role}: AccessDenied"):
            put(store, "denied")
        with pytest.raises(VaultUnreachable, match="AccessDenied"):
            store.extend("roles", stored.version_id, until() + timedelta(days=1))
    for store in (uploader, verifier, restorer):
        with pytest.raises(VaultUnsafe, match="AccessDenied"):
            store.delete("roles", stored.version_id)


def test_wrong_credentials_are_unreachable_and_appear_nowhere(
    seaweedfs: SeaweedFS, bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = seaweedfs.vault_settings(bucket, tmp_path)
    key_id, secret = seaweedfs.credentials["uploader"]
    assert settings.uploader_file is not None
    for lines in (f"{key_id}\n{secret}x\n", f"nobody\n{secret}\n"):
        settings.uploader_file.write_text(lines)
        with pytest.raises(VaultUnreachable) as failed:
            put(S3ObjectLock(settings, "uploader"), "one")
        assert secret not in str(failed.value)
        assert failed.value.code == 11
    assert secret not in caplog.text


@pytest.mark.parametrize("text", ["", "one-line-only\n", "a\nb\nc\n"])
def test_a_credentials_file_of_another_form_is_refused_without_its_content(
    seaweedfs: SeaweedFS, bucket: str, tmp_path: Path, text: str
) -> None:
    settings = seaweedfs.vault_settings(bucket, tmp_path)
    assert settings.uploader_file is not None
    settings.uploader_file.write_text(text)
    with pytest.raises(WrongUsage, match="two lines") as refused:
        S3ObjectLock(settings, "uploader")
    assert "one-line-only" not in str(refused.value)


# -- trouble on the way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (503, "ServiceUnavailable")])
def test_what_passes_is_not_noticed(troubled: S3ObjectLock, proxy: TroubledS3, status: int, code: str) -> None:
    proxy.trouble = s3_trouble.answers(status, code, times=1)
    stored = put(troubled, f"passes-{code}")
    proxy.trouble = s3_trouble.answers(status, code, times=1)
    assert troubled.head(stored.key).version_id == stored.version_id


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (503, "SlowDown"),
        (403, "RequestTimeTooSkewed"),
        (400, "ExpiredToken"),
        (403, "AccessDenied"),
    ],
)
def test_what_stays_is_unreachable_in_the_stores_words(
    troubled: S3ObjectLock, proxy: TroubledS3, status: int, code: str
) -> None:
    proxy.trouble = s3_trouble.answers(status, code, times=1000)
    for attempt in (lambda: put(troubled, "stays"), lambda: troubled.read("stays"), lambda: troubled.bucket()):
        with pytest.raises(VaultUnreachable, match=code):
            attempt()
    with pytest.raises(VaultUnreachable):
        list(troubled.versions(""))


def test_a_port_that_refuses_is_unreachable(seaweedfs: SeaweedFS, bucket: str, tmp_path: Path, slept: Slept) -> None:
    settings = seaweedfs.vault_settings(bucket, tmp_path, url=f"http://127.0.0.1:{free_port()}")
    store = S3ObjectLock(settings, "uploader", sleep=slept, attempts=1)
    for attempt in (lambda: put(store, "one"), lambda: store.read("one"), store.now, store.bucket):
        with pytest.raises(VaultUnreachable, match="Could not connect"):
            attempt()


def test_a_put_whose_answer_is_lost_finds_itself(troubled: S3ObjectLock, proxy: TroubledS3) -> None:
    proxy.trouble = s3_trouble.loses_answers(times=1, method="PUT")
    with pytest.raises(Exists):
        put(troubled, "lost")
    assert troubled.head("lost").sha256 == SHA256
    assert len(list(troubled.versions("lost"))) == 1


def test_a_bit_that_flips_on_the_way_up_is_sent_again(troubled: S3ObjectLock, proxy: TroubledS3, slept: Slept) -> None:
    proxy.trouble = s3_trouble.flips(times=1, method="PUT")
    put(troubled, "flipped")
    assert slept == [BODY_WAITS_S[0]]
    proxy.trouble = s3_trouble.flips(times=1000, method="PUT")
    with pytest.raises(VaultUnreachable, match="changes on its way"):
        put(troubled, "flipped-always")


def test_a_body_that_is_cut_is_fetched_again(
    troubled: S3ObjectLock, proxy: TroubledS3, tmp_path: Path, slept: Slept
) -> None:
    stored = put(troubled, "cut")
    proxy.trouble = s3_trouble.cuts(times=2, at=100_000)
    assert troubled.fetch("cut", stored.version_id, tmp_path / "cut", sha256=SHA256) == len(BODY)
    assert (tmp_path / "cut").read_bytes() == BODY
    assert slept == list(BODY_WAITS_S[:2])
    proxy.trouble = s3_trouble.cuts(times=1000, at=100_000)
    with pytest.raises(VaultUnreachable):
        troubled.fetch("cut", stored.version_id, tmp_path / "cut", sha256=SHA256)


def test_a_bit_that_flips_on_the_way_down_is_not_kept(
    troubled: S3ObjectLock, proxy: TroubledS3, tmp_path: Path
) -> None:
    stored = put(troubled, "down")
    proxy.trouble = s3_trouble.flips(times=1, method="GET")
    with pytest.raises(VerificationFailed, match="it was not kept"):
        troubled.fetch("down", stored.version_id, tmp_path / "down", sha256=SHA256)
    assert not (tmp_path / "down").exists()


def test_a_renewal_that_is_denied_for_a_moment_backs_off(
    troubled: S3ObjectLock, proxy: TroubledS3, slept: Slept
) -> None:
    stored = put(troubled, "denied")
    assert stored.retain_until is not None
    later = stored.retain_until + timedelta(days=1)
    proxy.trouble = s3_trouble.answers(403, "AccessDenied", times=2, method="PUT", part="retention")
    troubled.extend("denied", stored.version_id, later)
    assert troubled.head("denied").retain_until == later
    assert slept == list(RENEWAL_WAITS_S[:2])


def test_a_renewal_that_stays_denied_is_unreachable(troubled: S3ObjectLock, proxy: TroubledS3, slept: Slept) -> None:
    stored = put(troubled, "denied-always")
    assert stored.retain_until is not None
    proxy.trouble = s3_trouble.answers(403, "AccessDenied", times=1000, method="PUT", part="retention")
    with pytest.raises(VaultUnreachable, match="renew the lock of denied-always"):
        troubled.extend("denied-always", stored.version_id, stored.retain_until + timedelta(days=1))
    assert slept == list(RENEWAL_WAITS_S)


def test_the_time_is_that_of_the_stores_answers(troubled: S3ObjectLock, proxy: TroubledS3) -> None:
    proxy.trouble = s3_trouble.is_dated("Tue, 01 Dec 2026 03:00:00 GMT")
    now = troubled.now()
    assert timedelta() <= now - datetime(2026, 12, 1, 3, tzinfo=UTC) < timedelta(seconds=30)


def test_a_redirect_or_a_missing_object_is_no_success(troubled: S3ObjectLock) -> None:
    with pytest.raises(NotThere):
        troubled.read("none")


def test_every_error_is_one_of_ours(troubled: S3ObjectLock, proxy: TroubledS3) -> None:
    """Whatever status and code a server thinks of: the operator gets an exit code, not a traceback."""
    for status, code in (
        (301, "PermanentRedirect"),
        (400, "Whatever"),
        (409, "Odd"),
        (418, ""),
        (501, "NotImplemented"),
    ):
        proxy.trouble = s3_trouble.answers(status, code, times=1000)
        with pytest.raises(BackupError):
            put(troubled, "whatever")


# -- a file is read once -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "is_signed"), [(None, False), ("https://s3.test", False), ("http://s3.test", True)]
)
def test_over_tls_a_file_is_read_once_and_its_checksum_signed(
    endpoint: str | None, is_signed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature over the body would read every file before the first byte goes out, past the throttle."""
    credentials = tmp_path / "uploader"
    credentials.write_text("key\nsecret\n")
    settings = VaultSettings.model_validate({"bucket": "vault", "endpoint": endpoint, "uploader_file": credentials})
    store = S3ObjectLock(settings, "uploader")
    sent: list[Any] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)
        response = AWSResponse(request.url, 200, {"x-amz-version-id": "v1"}, None)
        response._content = b""
        return response

    store.client.meta.events.register("before-send.s3.PutObject", answer)
    taken: list[int] = []
    monkeypatch.setattr(Throttle, "take", lambda self, size: taken.append(size))
    path = tmp_path / "pack"
    path.write_bytes(BODY)
    store.put("key", path, sha256=SHA256, retain_until=until())
    [request] = sent
    assert (request.headers["X-Amz-Content-SHA256"] != b"UNSIGNED-PAYLOAD") is is_signed
    assert sum(taken) == (len(BODY) if is_signed else 0), "what goes out comes on top"
    signed = request.headers["Authorization"].decode()
    assert "x-amz-checksum-sha256" in signed
