"""What an error of boto3 means to a vault, as one table. No text of it holds a secret: S3 sends a key id at most.

VaultUnreachable   no answer, or one that says "not you" or "not now"
 ├── Denied        (vault.py) a policy, or one object that is archived or under somebody else's key
 ├── Conflict      somebody puts the same key at this moment
 └── WrongBody     what arrived does not have the checksum that was announced
VaultUnsafe        the bucket is not there, or has no Object Lock
Exists, NotThere
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from backup.exit_codes import VaultUnreachable, VaultUnsafe
from backup.vault.vault import Denied, Exists, NotThere


class Conflict(VaultUnreachable):
    pass


class WrongBody(VaultUnreachable):
    pass


# To a HEAD the body, and with it the code, is missing: botocore gives the status in its place.
_MEANINGS: dict[type[Exception], frozenset[str]] = {
    Exists: frozenset({"PreconditionFailed", "412"}),
    NotThere: frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound", "MethodNotAllowed", "405"}),
    Conflict: frozenset({"ConditionalRequestConflict"}),
    Denied: frozenset({"AccessDenied", "403", "Forbidden", "InvalidObjectState"}),
    WrongBody: frozenset({"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}),
    VaultUnsafe: frozenset(
        {
            *("NoSuchBucket", "NotImplemented", "InvalidBucketState", "InvalidRequest"),
            *("ObjectLockConfigurationNotFoundError", "ObjectLockConfigurationNotFound"),
        }
    ),
}
_BY_CODE = {code: kind for kind, codes in _MEANINGS.items() for code in codes}
_ADVICE = {
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "ExpiredToken": "the credentials have expired",
    "InvalidAccessKeyId": "there are no such credentials any more",
    "SignatureDoesNotMatch": "the secret key is not that of the key id",
    "AccessDenied": "a policy does not allow it to this role",
}


def meaning(what: str, error: ClientError | BotoCoreError) -> Exception:
    """Given what could not be done, such as "cannot put x in y", return the exception to raise."""
    if not isinstance(error, ClientError):
        return VaultUnreachable(f"{what}: {error}")
    name = code(error)
    advice = f"; {_ADVICE[name]}" if name in _ADVICE else ""
    text = f"{what}: {name}: {error.response.get('Error', {}).get('Message', '')}{advice}"
    return _BY_CODE.get(name, VaultUnreachable)(text)


def code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
