"""Who sent this request: wire.md, "Request". Judged from the header fields, before the first body byte is read.

Every refusal looks the same from outside and costs the same work, whether the key id is known or not; the reason goes
to the log. Nothing is said here about what the signed values mean: that is `envelope`, once the signature held.

Pure but for the key ring, which may look at its file.
"""

from __future__ import annotations

import enum
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kit.problem import Problem
from kit.signing import (
    KEY_ID,
    KEY_ID_HEADER,
    SECRET_BYTES,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    VERSION,
    Key,
    canonical_string,
    sign,
    signed_headers_without_body,
)
from mail_api.envelope import Envelope, encode_address
from mail_api.keys import KeyRing

WINDOW_S = 300  # wire.md: each try signs anew, so this covers clock error and transfer, not retries

MESSAGE_HEADERS = {  # field of SignedRequest -> header; a request without a body has none of them
    "message_id": "homeport-message-id",
    "mail_from": "homeport-mail-from",
    "rcpt_to": "homeport-rcpt-to",
    "content_length": "homeport-content-length",
    "content_sha256": "homeport-content-sha256",
    "retained_at": "homeport-retained-at",
}

_TIMESTAMP = re.compile(r"0|[1-9][0-9]{0,11}")
_SIGNATURE = re.compile(rf"{VERSION}=([0-9a-f]{{64}})")
_NOBODY = Key("nobody", secrets.token_bytes(SECRET_BYTES))  # what an unknown key id is checked against


class Reason(enum.StrEnum):
    """Why a signature was refused; for the log only."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown-key"
    MISMATCH = "mismatch"
    STALE = "stale"  # said only of a signature that holds: the sender's clock or ours is wrong


class SignatureRefused(Problem):
    """The request is not signed by anybody we know, or not now."""

    status, type, title = 401, "signature-refused", "Signature refused"

    def __init__(self, reason: Reason) -> None:
        # RFC 9110 15.5.2: a 401 names the scheme it expects.
        super().__init__("the request's signature was not accepted", headers={"WWW-Authenticate": "Homeport"})
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What the signature vouches for: the values as sent, "" for an absent header. Only `timestamp` is parsed."""

    key_id: str
    timestamp: int
    message_id: str = ""
    mail_from: str = ""
    rcpt_to: str = ""
    content_length: str = ""
    content_sha256: str = ""
    retained_at: str = ""


def homeport_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Given header fields as ASGI hands them over (names in lower case), return those named `homeport-*`.

    raises   SignatureRefused if one occurs twice: which of the two was signed?
    """
    found: dict[str, str] = {}
    for name, value in raw:
        if name.startswith(b"homeport-"):
            key = name.decode("latin-1")
            if key in found:
                raise SignatureRefused(Reason.MALFORMED)
            found[key] = value.decode("latin-1")
    return found


def verify(headers: Mapping[str, str], *, method: str, path: str, keys: KeyRing, now: float) -> SignedRequest:
    """Given the `homeport_headers` of a request, return what its signature vouches for, or raise SignatureRefused.

    path   as in the request line, without a query
    now    seconds since the epoch; the timestamp may be 300 s older or newer, both inclusive
    """
    try:
        key_id, timestamp = headers[KEY_ID_HEADER], headers[TIMESTAMP_HEADER]
        claimed = _SIGNATURE.fullmatch(headers[SIGNATURE_HEADER])
    except KeyError:
        raise SignatureRefused(Reason.MISSING) from None
    if not (claimed and KEY_ID.fullmatch(key_id) and _TIMESTAMP.fullmatch(timestamp)):
        raise SignatureRefused(Reason.MALFORMED)
    values = {field: headers.get(header, "") for field, header in MESSAGE_HEADERS.items()}
    try:
        canonical = canonical_string(key_id=key_id, timestamp=timestamp, method=method, path=path, **values)
    except ValueError:
        raise SignatureRefused(Reason.MALFORMED) from None

    key = keys.find(key_id)
    expected = hmac.digest((key or _NOBODY).secret, canonical, "sha256")
    is_equal = hmac.compare_digest(expected, bytes.fromhex(claimed[1]))
    if key is None:
        raise SignatureRefused(Reason.UNKNOWN_KEY)
    if not is_equal:
        raise SignatureRefused(Reason.MISMATCH)
    if abs(now - int(timestamp)) > WINDOW_S:
        raise SignatureRefused(Reason.STALE)
    return SignedRequest(key_id, int(timestamp), **values)


def signed_headers(key: Key, *, now: int, method: str, path: str, message: Envelope | None = None) -> dict[str, str]:
    """The client's side: return the header fields for a request, names in lower case.

    now       seconds since the epoch
    message   the envelope to announce; None for a request without a body
    """
    if message is None:
        return signed_headers_without_body(key, now=now, method=method, path=path)
    sent = _values(message)
    values = dict.fromkeys(MESSAGE_HEADERS, "") | sent
    canonical = canonical_string(key_id=key.key_id, timestamp=str(now), method=method, path=path, **values)
    return {
        KEY_ID_HEADER: key.key_id,
        TIMESTAMP_HEADER: str(now),
        **{MESSAGE_HEADERS[field]: value for field, value in sent.items()},
        SIGNATURE_HEADER: sign(key.secret, canonical),
    }


def _values(message: Envelope) -> dict[str, str]:
    values = {
        "message_id": message.message_id,
        "mail_from": encode_address(message.mail_from),
        "rcpt_to": encode_address(message.rcpt_to),
        "content_length": str(message.size_bytes),
        "content_sha256": message.sha256,
    }
    return values if message.retained_at is None else values | {"retained_at": str(message.retained_at)}
