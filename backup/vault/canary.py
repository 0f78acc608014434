"""A canary: a few bytes of our own under `canary/`, locked like everything else, on which forbidden things are tried.

Shared by the attack and by the doctor's check of rights. Calls go straight to boto3's client, since what is tried are
things that a vault's own acts never do.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from backup.exit_codes import VaultUnreachable
from backup.settings import VaultSettings
from backup.vault.keys import instant
from backup.vault.vault import NotThere, Stored, VaultStore

LONG_DAYS = 100  # above the policy's 45. Were it accepted, nobody could take it back: so days, and not years

# Answers about who asks, not about what was asked: nothing was refused.
_UNKNOWN_CALLER = frozenset(
    {
        *("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired"),
        *("RequestExpired", "RequestTimeTooSkewed"),
    }
)
_TOO_MANY, _BROKEN, _NOT_IMPLEMENTED = 429, 500, 501


class Refused(Exception):
    """The store said no; the text is how."""


class RawStore(VaultStore, Protocol):
    """A vault whose wire can be used directly. S3ObjectLock is one.

    client   boto3's, with the credentials whose rights are tried
    """

    @property
    def client(self) -> Any: ...
    @property
    def bucket_name(self) -> str: ...


def is_aws(settings: VaultSettings) -> bool:
    """Whether the store is the one that evaluates the conditions of backup/terraform/policies."""
    host = None if settings.endpoint is None else settings.endpoint.host
    return host is None or host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def ask(call: Callable[[], Any]) -> Any:
    """Make a call of boto3's; return its answer.

    raises  Refused, when the store says no to this very request
            VaultUnreachable, when it says nothing, or "not you": credentials that are none prove nothing
    """
    try:
        return call()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        said = f"{code_of(error)}: {error.response['Error'].get('Message', '')}".rstrip(". ")
        is_broken = status == _TOO_MANY or (status >= _BROKEN and status != _NOT_IMPLEMENTED)
        if is_broken or code_of(error) in _UNKNOWN_CALLER:
            raise VaultUnreachable(f"nothing is proved, since the store did not decide: {said}") from error
        raise Refused(said) from error
    except ParamValidationError:
        raise  # ours
    except BotoCoreError as error:
        raise VaultUnreachable(f"nothing is proved, since the store did not decide: {error}") from error


def code_of(error: Any) -> str:
    """Of a ClientError, such as "AccessDenied"."""
    return str(error.response["Error"].get("Code", ""))


def new_key(store: VaultStore, at: datetime) -> str:
    return store.keys.canary(f"{instant(at)}-{secrets.token_hex(4)}")


def place(store: VaultStore, at: datetime, until: datetime) -> Stored:
    """Put a new canary. Raise what `put` of the store raises."""
    key = new_key(store, at)
    body = json.dumps({"canary": key, "at": at.isoformat()}).encode()
    return store.put(key, body, sha256=hashlib.sha256(body).hexdigest(), retain_until=until)


def loss_of(store: VaultStore, canary: Stored) -> str:
    """What has become of a canary's version; "" when it is as it was put. A lock that ends later is no loss."""
    try:
        now = store.head(canary.key, canary.version_id)
    except NotThere:
        return "the version is gone"
    if now.mode != "COMPLIANCE" or now.retain_until is None:
        return f"the version's lock is {now.mode or 'gone'}"
    # Stores keep whole seconds, and may round either way.
    if canary.retain_until is not None and now.retain_until < canary.retain_until - timedelta(seconds=1):
        return f"the version is locked until {now.retain_until:%Y-%m-%d %H:%M} only"
    if (now.size, now.sha256) != (canary.size, canary.sha256):
        return "the version has another content"
    return ""


def put(store: RawStore, key: str, body: bytes, **headers: Any) -> Any:
    """One PUT, with these headers alone besides what every one of ours has."""
    return store.client.put_object(
        Bucket=store.bucket_name,
        Key=key,
        Body=body,
        ChecksumAlgorithm="SHA256",  # a put under a lock needs a checksum
        ServerSideEncryption="AES256",
        **headers,
    )


def lock(until: datetime, mode: str = "COMPLIANCE") -> dict[str, Any]:
    """The headers of a lock."""
    return {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": until}
