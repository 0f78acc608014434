"""The envelope: who sent a message, to whom, and what its body must turn out to be. Decoded from signed values.

A leaf, pure. Envelope values come from the request's header fields only, never from the message. Two kinds of bad
value (wire.md): what a broken Worker would send is `MalformedRequest` and bounces nothing; what a stranger wrote into
his SMTP session and no mailbox can have is `BadAddress`, which is final.

An address is `local@domain`, split at the last @ outside quotes, or "" for the null sender. The local part keeps its
case and may be non-ASCII or a quoted string; it is read more loosely than RFC 5321 (leading, doubled and trailing dots
are common at Japanese carriers), but never so that `<address>` could be read in two ways. The domain becomes
lower-case A-labels, likewise loosely: underscores and emoji are refused by IDNA and resolved by DNS.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from dataclasses import dataclass, replace

import idna

from kit.problem import Problem
from mail_api.refusal import BadAddress

MAX_LOCAL_BYTES = 64  # RFC 5321 4.5.3.1.1; recipients only, since SRS and VERP senders exceed it
MAX_DOMAIN_CHARS = 255  # RFC 5321 4.5.3.1.2; longer ones are not even mapped
MAX_ADDRESS_BYTES = 254  # RFC 5321 4.5.3.1.3: a path of 256 with its < and >; leaves a domain less than its 255

_MESSAGE_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,14}")  # exact in JavaScript's numbers too
_QUOTED = re.compile(r'"(?:[^"\\]|\\[ -~])+"')  # RFC 5321 4.1.2; what stands in it is printable besides
_UNQUOTED = re.compile(r'[^ "<>@\\]+')
_DOMAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_LITERAL = re.compile(r"\[[!-Z^-~]+\]")  # RFC 5321 4.1.3; a sender may have one


class MalformedRequest(Problem):
    """A header of the request is not what wire.md says: a fault of the Worker, not of the message."""

    status, type, title = 400, "malformed-request", "Malformed request"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message to one recipient.

    message_id   the idempotency key, 32 lower-case hex digits
    mail_from    "" for the null sender
    rcpt_to      domain as lower-case A-labels, local part as sent
    size_bytes   announced length of the body
    sha256       announced digest of the body, lower-case hex
    retained_at  epoch seconds of first receipt, only on a drain from R2
    """

    message_id: str
    mail_from: str
    rcpt_to: str
    size_bytes: int
    sha256: str
    retained_at: int | None = None

    @property
    def rcpt_domain(self) -> str:
        return self.rcpt_to.rpartition("@")[2]

    @property
    def digest(self) -> str:
        """SHA-256 over sender and recipient: a message id that comes back with another one is a conflict (409)."""
        return hashlib.sha256(f"{len(self.mail_from)} {self.mail_from} {self.rcpt_to}".encode()).hexdigest()


def read_envelope(
    *, message_id: str, mail_from: str, rcpt_to: str, content_length: str, content_sha256: str, retained_at: str
) -> Envelope:
    """Given the signed values as sent, return the envelope.

    raises   MalformedRequest for a value that breaks wire.md; BadAddress for an address that no mailbox can have
    """
    envelope = read_unchecked_envelope(
        message_id=message_id,
        mail_from=mail_from,
        rcpt_to=rcpt_to,
        content_length=content_length,
        content_sha256=content_sha256,
        retained_at=retained_at,
    )
    sender, recipient = parse_sender(envelope.mail_from), parse_recipient(envelope.rcpt_to)
    return replace(envelope, mail_from=sender, rcpt_to=recipient)


def read_unchecked_envelope(
    *, message_id: str, mail_from: str, rcpt_to: str, content_length: str, content_sha256: str, retained_at: str
) -> Envelope:
    """Like `read_envelope`, but with the addresses as they came: to hold a message by, never to deliver it.

    raises   MalformedRequest
    """
    if not _MESSAGE_ID.fullmatch(message_id):
        raise MalformedRequest("Homeport-Message-Id is not 32 lower-case hex digits")
    if not _SHA256.fullmatch(content_sha256):
        raise MalformedRequest("Homeport-Content-SHA256 is not 64 lower-case hex digits")
    if not rcpt_to:
        raise MalformedRequest("Homeport-Rcpt-To is missing")
    return Envelope(
        message_id,
        _decoded(mail_from, "Homeport-Mail-From"),
        _decoded(rcpt_to, "Homeport-Rcpt-To"),
        _decimal(content_length, "Homeport-Content-Length"),
        content_sha256,
        _decimal(retained_at, "Homeport-Retained-At") if retained_at else None,
    )


def parse_sender(address: str) -> str:
    """Return a sender's address in its normal form, "" for the null sender. Raise BadAddress."""
    return "" if address in ("", "<>") else _normal(address, "sender")


def parse_recipient(address: str) -> str:
    """Return a recipient's address in its normal form. Raise BadAddress, also for an address literal as domain."""
    normal = _normal(address, "recipient")
    local, _, domain = normal.rpartition("@")
    if domain.startswith("["):
        raise BadAddress("recipient: the domain is an address literal")
    if len(local.encode()) > MAX_LOCAL_BYTES:
        raise BadAddress(f"recipient: the local part is longer than {MAX_LOCAL_BYTES} octets")
    return normal


def encode_address(address: str) -> str:
    """Return an address as a header carries it: base64url of its UTF-8 bytes, no padding."""
    return _base64url(address.encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decoded(value: str, header: str) -> str:
    try:
        data = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        if _base64url(data) != value:  # the decoder skips foreign characters and ignores trailing bits
            raise ValueError
        return data.decode()
    except ValueError:
        raise MalformedRequest(f"{header} is not unpadded base64url of UTF-8") from None


def _decimal(value: str, header: str) -> int:
    if not _DECIMAL.fullmatch(value):
        raise MalformedRequest(f"{header} is not a decimal number")
    return int(value)


@functools.lru_cache(4096)  # the same few recipients, over and over
def _normal(address: str, who: str) -> str:
    if not address.isprintable():  # false for controls, line separators, direction marks, odd spaces
        raise BadAddress(f"{who}: the address has control characters")
    local, at, domain = address.rpartition("@")
    if not at or not domain:
        raise BadAddress(f"{who}: the address has no domain")
    if not local:
        raise BadAddress(f"{who}: the address has no local part")
    if not (_UNQUOTED.fullmatch(local) or _QUOTED.fullmatch(local)):
        raise BadAddress(f"{who}: the local part has characters that must be quoted")
    normal = f"{local}@{_a_labels(domain, who)}"
    if len(normal.encode()) > MAX_ADDRESS_BYTES:
        raise BadAddress(f"{who}: the address is longer than {MAX_ADDRESS_BYTES} octets")
    return normal


def _a_labels(domain: str, who: str) -> str:
    if _LITERAL.fullmatch(domain):
        return domain
    if len(domain) <= MAX_DOMAIN_CHARS:
        ascii_domain = domain.lower() if domain.isascii() else _mapped(domain)
        if _DOMAIN.fullmatch(ascii_domain):
            return ascii_domain
    raise BadAddress(f"{who}: the domain is not valid")


def _mapped(domain: str) -> str:
    """Map as UTS 46 does and encode each label, without IDNA's validity rules. Return "" for what cannot be mapped."""
    try:
        labels = idna.uts46_remap(domain, std3_rules=False).split(".")
    except idna.IDNAError:
        return ""
    return ".".join(label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in labels)
