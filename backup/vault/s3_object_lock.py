"""The vault on S3 with Object Lock, by boto3. The only module that knows S3; every object is sent by one PUT.

Each role has credentials of its own (backup.toml names a file for each). Two retries stand on one another: botocore's
standard ones repeat what failed on the way (connection, 5xx, throttling) a few times with growing pauses; ours repeat
what only we can judge: a renewal that is denied for a moment (kopia#5590), a body that was cut or changed on its way.

What an error means stands in s3_errors.py; besides, VerificationFailed: what was sent or fetched does not have the
SHA-256 it should have.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import email.utils
import hashlib
import io
import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from backup.exit_codes import DestinationFailed, VaultUnreachable, VaultUnsafe, VerificationFailed, WrongUsage
from backup.settings import VaultSettings
from backup.vault import s3_errors
from backup.vault.keys import Keys
from backup.vault.throttle import Throttle, Throttled
from backup.vault.vault import BucketState, Denied, Mode, Stored, Version

Role = Literal["uploader", "verifier", "restorer", "collector"]

CONNECT_S, ANSWER_S = 10.0, 60.0
ATTEMPTS = 5  # of botocore, the first included: some 10 s in all
RENEWAL_WAITS_S = (1.0, 2.0, 4.0, 8.0)
BODY_WAITS_S = (0.5, 2.0, 5.0)
TIME_VALID_S = 300.0  # after which the store is asked anew what time it is
CHUNK_BYTES = 1024**2
MAX_READ_BYTES = 256 * 1024**2  # of `read`: a seal of a million files


class S3ObjectLock:
    """A `VaultStore`.

    client        boto3's own, for what is none of a vault's acts (the doctor, the attack)
    bucket_name   without the prefix
    """

    def __init__(
        self,
        settings: VaultSettings,
        role: Role,
        *,
        sleep: Callable[[float], None] = time.sleep,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.keys = Keys(settings.prefix)
        self.bucket_name = settings.bucket
        self.role = role
        self.client = _client(settings, role, attempts)
        self._endpoint = str(settings.endpoint or f"s3.{settings.region}")
        self._sleep = sleep
        self._throttle = Throttle(None if settings.mbit_per_s is None else settings.mbit_per_s * 125_000)
        self._heard: tuple[datetime, float] | None = None
        self.client.meta.events.register("after-call.s3", self._hear)

    @property
    def name(self) -> str:
        return f"{self._endpoint.rstrip('/')}/{self.bucket_name}/{self.keys.prefix}"

    def now(self) -> datetime:
        heard = self._heard
        if heard is None or time.monotonic() - heard[1] > TIME_VALID_S:
            self._call("ask the bucket for the time", self.client.head_bucket)
            heard = self._heard
        if heard is None:
            raise VaultUnsafe(f"{self.name} does not say what time it is: its answers have no Date")
        return heard[0] + timedelta(seconds=time.monotonic() - heard[1])

    def bucket(self) -> BucketState:
        versioning = self._call("read the bucket's versioning", self.client.get_bucket_versioning)
        lock = self._setting("ObjectLockConfiguration", self.client.get_object_lock_configuration)
        default = lock.get("Rule", {}).get("DefaultRetention", {})
        encryption = self._setting("ServerSideEncryptionConfiguration", self.client.get_bucket_encryption)
        rules = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in encryption.get("Rules", [])]
        return BucketState(
            lock_enabled=lock.get("ObjectLockEnabled") == "Enabled",
            default_mode=default.get("Mode", ""),
            default_days=default.get("Days", 0) + 365 * default.get("Years", 0),
            versioning=versioning.get("Status") == "Enabled",
            encryption=next((rule.get("SSEAlgorithm", "") for rule in rules), ""),
            public_access_blocked=self._public_access_blocked(),
        )

    def put(self, key: str, body: Path | bytes, *, sha256: str, retain_until: datetime) -> Stored:
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        for wait_s in (*BODY_WAITS_S, None):
            with _opened(body) as (stream, size):
                try:
                    answer = self._call(
                        f"put {key}",
                        self.client.put_object,
                        Key=key,
                        Body=Throttled(stream, self._throttle),
                        ContentLength=size,
                        IfNoneMatch="*",
                        ChecksumAlgorithm="SHA256",  # or MD5: a put under a lock must name one (S3 API, PutObject)
                        ChecksumSHA256=checksum,
                        ServerSideEncryption="AES256",
                        ObjectLockMode="COMPLIANCE",
                        ObjectLockRetainUntilDate=retain_until,
                    )
                    break
                except s3_errors.Conflict as error:  # somebody puts the same key at this moment
                    if wait_s is None:
                        raise VaultUnreachable(str(error)) from error
                except s3_errors.WrongBody as error:
                    if _sha256(body) != sha256:
                        what = body if isinstance(body, Path) else key
                        raise VerificationFailed(
                            f"{what} does not have the SHA-256 {sha256} any more: it has rotted on this disk. The"
                            " store refused it; nothing was written"
                        ) from error
                    if wait_s is None:  # it is sound here, so it changes on its way
                        raise VaultUnreachable(f"{error}; the body is sound here: it changes on its way") from error
            self._sleep(wait_s)
        if not answer.get("VersionId") or answer["VersionId"] == "null":
            raise VaultUnsafe(f"{self.name} gave no version to {key}: its versioning is not enabled")
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise VaultUnsafe(f"{self.name} stored {key} with the SHA-256 {_hex(answer['ChecksumSHA256'])}")
        return Stored(key, answer["VersionId"], size, sha256, retain_until, "COMPLIANCE")

    def head(self, key: str, version_id: str | None = None) -> Stored:
        more = {} if version_id is None else {"VersionId": version_id}
        answer = self._call(f"look at {key}", self.client.head_object, Key=key, ChecksumMode="ENABLED", **more)
        until = answer.get("ObjectLockRetainUntilDate")
        return Stored(
            key,
            answer.get("VersionId", ""),
            answer["ContentLength"],
            _hex(answer.get("ChecksumSHA256", "")),
            until.astimezone(UTC) if until else None,
            cast(Mode, answer.get("ObjectLockMode", "")),
        )

    def extend(self, key: str, version_id: str, retain_until: datetime) -> None:
        for wait_s in (*RENEWAL_WAITS_S, None):
            try:
                self._call(
                    f"renew the lock of {key}",
                    self.client.put_object_retention,
                    Key=key,
                    VersionId=version_id,
                    Retention={"Mode": "COMPLIANCE", "RetainUntilDate": retain_until},
                )
            except Denied as error:
                found = self.head(key, version_id)
                if found.mode == "COMPLIANCE" and found.retain_until and found.retain_until >= retain_until:
                    return  # what was denied was a step back
                if wait_s is None:
                    raise VaultUnreachable(str(error)) from error
            else:
                return
            self._sleep(wait_s)

    def versions(self, prefix: str) -> Iterator[Version]:
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket_name, Prefix=prefix)
        with self._translated(f"list {prefix}"):
            for page in pages:
                for is_marker, part in ((False, "Versions"), (True, "DeleteMarkers")):
                    for each in page.get(part, []):
                        yield Version(
                            each["Key"],
                            each["VersionId"],
                            each.get("Size", 0),
                            each["IsLatest"],
                            is_marker,
                            each["LastModified"].astimezone(UTC),
                        )

    def read(self, key: str, version_id: str | None = None) -> bytes:
        into = io.BytesIO()
        self._get(key, version_id, into, limit_bytes=MAX_READ_BYTES)
        return into.getvalue()

    def fetch(self, key: str, version_id: str, target: Path, *, sha256: str) -> int:
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as into:
                found, size = self._get(key, version_id, into)
                into.flush()
                os.fsync(into.fileno())
        except OSError as error:
            raise DestinationFailed(f"{target} cannot be written: {error.strerror}") from error
        if found != sha256:
            target.unlink()
            raise VerificationFailed(
                f"{key} (version {version_id}) has the SHA-256 {found}, not {sha256}; it was not kept"
            )
        return size

    def delete(self, key: str, version_id: str) -> None:
        try:
            self._call(f"delete {key}", self.client.delete_object, Key=key, VersionId=version_id)
        except Denied as error:
            raise VaultUnsafe(f"{error} (version {version_id}); it is still there") from error

    # -- how a call is made -------------------------------------------------------------------------------------------

    def _call(self, what: str, method: Callable[..., Any], **arguments: Any) -> Any:
        with self._translated(what):
            return method(Bucket=self.bucket_name, **arguments)

    def _setting(self, name: str, method: Callable[..., Any]) -> dict[str, Any]:
        """A configuration of the bucket; empty when it has none."""
        try:
            found: dict[str, Any] = method(Bucket=self.bucket_name).get(name, {})
        except ClientError as error:
            if (
                error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404
                and s3_errors.code(error) != "NoSuchBucket"
            ):
                return {}
            raise self._error("read the bucket's settings", error) from error
        except BotoCoreError as error:
            raise self._error("read the bucket's settings", error) from error
        return found

    def _public_access_blocked(self) -> bool | None:
        try:
            found = self._setting("PublicAccessBlockConfiguration", self.client.get_public_access_block)
        except VaultUnsafe as error:
            if isinstance(error.__cause__, ClientError) and s3_errors.code(error.__cause__) == "NotImplemented":
                return None  # not AWS: it does not know the question
            raise
        wanted = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        return all(found.get(name) is True for name in wanted)

    def _get(
        self, key: str, version_id: str | None, into: BinaryIO, *, limit_bytes: int | None = None
    ) -> tuple[str, int]:
        """Write the object's content; return its SHA-256 and size. Begins again when the body is cut."""
        more = {} if version_id is None else {"VersionId": version_id}
        for wait_s in (*BODY_WAITS_S, None):
            into.seek(0)
            into.truncate()
            digest, size = hashlib.sha256(), 0
            try:
                answer = self.client.get_object(Bucket=self.bucket_name, Key=key, **more)
                with contextlib.closing(answer["Body"]) as body:
                    while chunk := body.read(CHUNK_BYTES):
                        digest.update(chunk)
                        size += len(chunk)
                        if limit_bytes is not None and size > limit_bytes:
                            raise VaultUnsafe(f"{key} is larger than {limit_bytes} bytes: nothing of ours is")
                        into.write(chunk)
                return digest.hexdigest(), size
            except ClientError as error:
                raise self._error(f"get {key}", error) from error
            except BotoCoreError as error:
                if wait_s is None:
                    raise self._error(f"get {key}", error) from error
            self._sleep(wait_s)
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise self._error(what, error) from error
        except RecursionError as error:  # botocore answers a 400 to HEAD by a HEAD that asks for the region, for ever
            raise VaultUnreachable(f"cannot {what} in {self.name}: the endpoint refuses and names no region") from error

    def _error(self, what: str, error: ClientError | BotoCoreError) -> Exception:
        return s3_errors.meaning(f"cannot {what} in {self.name} as {self.role}", error)

    def _hear(self, http_response: Any, **_: Any) -> None:
        """Note what time the store says it is; called by botocore with each answer, whatever its status."""
        with contextlib.suppress(ValueError, TypeError):
            date = email.utils.parsedate_to_datetime(http_response.headers.get("Date"))
            self._heard = (date.astimezone(UTC), time.monotonic())


def _client(settings: VaultSettings, role: Role, attempts: int) -> Any:
    for name in ("boto3", "botocore", "urllib3"):  # at "debug" they write requests down, with the signature
        logging.getLogger(name).setLevel(logging.INFO)
    key_id, secret = credentials(getattr(settings, f"{role}_file"))
    is_tls = settings.endpoint is None or str(settings.endpoint).startswith("https:")
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=ANSWER_S,
        max_pool_connections=2 * settings.parallel,
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={
            "addressing_style": "path" if settings.endpoint else "auto",
            # A signature over the body reads every file twice, past the throttle. TLS guards it on its way, and the
            # SHA-256 that we send is signed.
            "payload_signing_enabled": False if is_tls else None,
        },
        request_checksum_calculation="when_required",  # we send the SHA-256; CRCs beside it would say nothing more
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client(
        "s3",
        region_name=settings.region,
        endpoint_url=str(settings.endpoint) if settings.endpoint else None,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=config,
    )


def credentials(path: Path | None) -> tuple[str | None, str | None]:
    """Key id and secret key, a line each. Raise WrongUsage; the text names the file only."""
    if path is None:
        return None, None
    try:
        lines = path.read_text("ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise WrongUsage(f"the credentials in {path} cannot be read: {reason}") from error
    if len(lines) != 2:
        raise WrongUsage(f"{path} must hold two lines: the access key id and the secret access key")
    return lines[0], lines[1]


def _hex(checksum: str) -> str:
    """Of a SHA-256 in base64; "" for what is none, such as that of an upload in parts."""
    try:
        raw = base64.b64decode(checksum, validate=True)
    except binascii.Error:
        return ""
    return raw.hex() if len(raw) == hashlib.sha256().digest_size else ""


@contextlib.contextmanager
def _opened(body: Path | bytes) -> Iterator[tuple[BinaryIO, int]]:
    if isinstance(body, bytes):
        yield io.BytesIO(body), len(body)
        return
    with body.open("rb") as stream:
        yield stream, os.fstat(stream.fileno()).st_size


def _sha256(body: Path | bytes) -> str:
    digest = hashlib.sha256()
    with _opened(body) as (stream, _):
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
