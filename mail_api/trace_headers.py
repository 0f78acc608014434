"""The header section of a message: what Cloudflare wrote in front, what we cut out, and what we put in front.

Works on `head`, the first `HEAD_BYTES` of the message as received, and on nothing it would have to decode. Takes
linear time on any input and never raises.

What a header section is follows Dovecot, which reads it next: it ends at the first empty line; a line ends with LF, a
CR before it belongs to it, a CR elsewhere ends nothing; a line that begins with space or tab continues the one above;
lines that are no field are passed over. So no field that Dovecot or Sieve can see hides from `cuts` behind a broken
line (measured with 2.3.19.1). A field that touches the end of a full head may go on behind it and counts as absent.

Cloudflare's trace block (mail.md 2.5) is read only from byte 0, contiguous and in order; what stands below may be
forged by the sender. When Cloudflare did not stamp a message, a forged block may stand first, so its values feed
scoring only, never authentication or admission.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import NamedTuple

from mail_api.content import CHUNK_BYTES, Content, Outgoing
from mail_api.envelope import MAX_ADDRESS_BYTES

HEAD_BYTES = 1024 * 1024  # no mail system writes a longer header section; Postfix stops at 100 kB (header_size_limit)

# The start of a line that continues none: a field (RFC 5322 2.2, 4.5.8), the empty line, or neither. For Dovecot a
# name ends at a NUL: `X-Spam-Flag\0: NO` is an X-Spam-Flag to IMAP and Sieve.
_LINE = re.compile(rb"\n(?:([!-9;-~]++)(?:\x00[^:\n]*+|[ \t]*+):|(\r?\n)|[^ \t])")


class Field(NamedTuple):
    """Where a field stands in the head. A tuple, because one is made for each field of each message.

    name         lower case
    start, end   the whole field, continuation lines and last line end included
    value_start  behind the colon
    """

    name: bytes
    start: int
    value_start: int
    end: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What Cloudflare's trace block says.

    client_ip  the sending server's address in its normal form, None if not stated
    helo       what it called itself, printable ASCII, at most 255 characters; None if not stated
    end        offset behind the block; 0 if there is none
    """

    client_ip: str | None
    helo: str | None
    end: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that the pipe asks of a header section.

    received_count  number of Received fields, Cloudflare's included
    cuts            ranges to leave out on the way to the mailbox, ascending, neither touching nor overlapping
    has_identity    whether the message below the trace block has a Message-ID or a Date
    """

    trace: Trace
    received_count: int
    cuts: tuple[tuple[int, int], ...]
    has_identity: bool


def fields(head: bytes) -> Iterator[Field]:
    """Yield the fields of the header section in order."""
    name, start, value_start = b"", 0, 0
    for line in _LINE.finditer(b"\n" + head):  # so a line's offset in `head` is that of the LF before it here
        if name:
            yield Field(name, start, value_start, line.start())
        if line[2]:
            return
        name, start, value_start = (line[1] or b"").lower(), line.start(), line.end() - 1
    if name and len(head) < HEAD_BYTES:
        yield Field(name, start, value_start, len(head))


def inspect(head: bytes, authserv_id: str) -> Inspection:
    """Given the head of a message and our own authserv-id (RFC 8601 2.5), return all there is to know about it."""
    ours = authserv_id.lower().encode()
    received_count, has_identity = 0, False
    cuts: list[tuple[int, int]] = []
    for field in fields(head):
        name = field.name
        if name == b"received":
            received_count += 1
        elif name in (b"message-id", b"date"):  # never part of the trace block, so below it
            has_identity = True
        elif name.startswith(b"x-spam") or (name == b"authentication-results" and _claims(head, field, ours)):
            start = cuts.pop()[0] if cuts and cuts[-1][1] == field.start else field.start
            cuts.append((start, field.end))
    return Inspection(read_trace(head), received_count, tuple(cuts), has_identity)


# --- Authentication-Results: whose is it? ----------------------------------------------------------------------------

_CFWS = re.compile(rb"\\.|[()]|[^\\()\s]++", re.DOTALL)  # what matters in comments and white space (RFC 5322 3.2.2)
_VALUE = re.compile(  # RFC 2045 5.1 `token`, 8-bit included, or a quoted string; no host name is longer than 255
    rb'([^\x00-\x20\x7f()<>@,;:\\"/\[\]?=]++)|"((?:[^"\\]|\\.){0,255})"', re.DOTALL
)


def _claims(head: bytes, field: Field, ours: bytes) -> bool:
    """Whether an Authentication-Results field bears our authserv-id: RFC 8601 2.2, with comments and quoting."""
    value = _VALUE.match(head, _behind_comments(head, field.value_start, field.end), field.end)
    if not value:
        return False
    authserv_id = value[1] or re.sub(rb"\\(.)", rb"\1", value[2] or b"", flags=re.DOTALL)
    return authserv_id.lower().rstrip(b".") == ours


def _behind_comments(head: bytes, start: int, end: int) -> int:
    """Return the offset of the first byte that is neither white space nor in a comment; `end` if there is none."""
    depth = 0
    for token in _CFWS.finditer(head, start, end):
        if token[0] == b"(":
            depth += 1
        elif not depth:
            return token.start()
        elif token[0] == b")":
            depth -= 1
    return end


# --- Cloudflare's trace block ----------------------------------------------------------------------------------------

_IP = rb"([0-9A-Fa-f.:]++)"
_RECEIVED = re.compile(
    rb"\s*+from\s++([!-~]++)\s++\((?:\[(?:IPv6:)?)?" + _IP + rb"\]?\)\s++by\s++cloudflare-email\.net\s", re.IGNORECASE
)
_RECEIVED_SPF = re.compile(
    rb"\s*+[a-z]++\s++(?:\([^()]*+\)\s*+)?receiver=mx\.cloudflare\.net;\s*+client-ip=" + _IP + rb";"
    rb'(?:\s*+envelope-from="[^"]*+";)?(?:\s*+helo=([!-:<-~]++);?)?',
    re.IGNORECASE,
)
_BLOCK = {  # name -> its place in the block, and what its value contains
    b"received": (1, re.compile(rb"\sby\s++cloudflare-email\.net\s")),
    b"arc-seal": (2, None),
    b"arc-message-signature": (3, None),
    b"arc-authentication-results": (4, re.compile(rb";\s*+mx\.cloudflare\.net\s*+;")),
    b"received-spf": (5, re.compile(rb"\sreceiver=mx\.cloudflare\.net;")),
    b"authentication-results": (6, re.compile(rb"\smx\.cloudflare\.net\s*+;")),
    b"x-cf-spamh-score": (7, None),
}
_MAX_HELO_CHARS = 255  # RFC 5321 4.5.3.1.2


def read_trace(head: bytes) -> Trace:
    """Read Cloudflare's trace block. Every field of it is optional, none occurs twice."""
    end, last = 0, 0
    ip = helo = spf_ip = spf_helo = None
    for name, start, value_start, field_end in fields(head):
        place, content = _BLOCK.get(name, (0, None))
        if start != end or place <= last or (content and not content.search(head, value_start, field_end)):
            break
        end, last = field_end, place
        if name == b"received" and (found := _RECEIVED.match(head, value_start, end)):
            helo, ip = found.groups()
        elif name == b"received-spf" and (found := _RECEIVED_SPF.match(head, value_start, end)):
            spf_ip, spf_helo = found.groups()
            if head.count(b"client-ip=", value_start, end) > 1:  # the comment quotes the sender's address
                spf_ip = None
    # Received stands first, where it is hardest to forge, but may name the reverse lookup instead of the HELO.
    return Trace(_ip(ip) or _ip(spf_ip), _helo(spf_helo) or _helo(helo), end)


def _ip(text: bytes | None) -> str | None:
    try:
        return str(ipaddress.ip_address(text.decode("ascii"))) if text else None
    except ValueError:
        return None


def _helo(text: bytes | None) -> str | None:
    return text.decode("ascii") if text and len(text) <= _MAX_HELO_CHARS else None


# --- The same message under another id --------------------------------------------------------------------------------


def fingerprint(mail_from: str, rcpt_to: str, content: Content, inspection: Inspection | None = None) -> str | None:
    """Return the SHA-256 over envelope and message below the trace block, in lower-case hex.

    It recognises a sender's repeat, which comes under a new id and a new trace block. Distinct sends differ in
    Message-ID or Date; without either there is no telling, hence None. Blocks while a file is read.

    inspection   of this content's head, if it was already made
    encoding     three parts, each behind its length as 8 bytes big-endian: sender, recipient, message
    """
    seen = inspection or inspect(content.read(0, min(HEAD_BYTES, content.size_bytes)), "")
    if not seen.has_identity:
        return None
    digest = hashlib.sha256()
    for address in (mail_from.encode(), rcpt_to.encode()):
        digest.update(len(address).to_bytes(8) + address)
    start = seen.trace.end
    digest.update((content.size_bytes - start).to_bytes(8))
    for offset in range(start, content.size_bytes, CHUNK_BYTES):
        digest.update(content.read(offset, min(CHUNK_BYTES, content.size_bytes - offset)))
    return digest.hexdigest()


# --- What we put in front ---------------------------------------------------------------------------------------------

_NOT_IN_HOST = re.compile(r"[^A-Za-z0-9._:\[\]-]")
_PLAIN_ADDRESS = re.compile(r"[!#-'*+\--9=?@A-Z^-~]+")  # nothing that quotes, comments or ends something


def compose(
    content: Content,
    inspection: Inspection,
    *,
    message_id: str,
    rcpt_to: str,
    hostname: str,
    received_at: float,
    verdict_headers: str = "",
) -> Outgoing:
    """Return the message as it goes to the mailbox: our fields in front, topmost first, and the cuts left out.

    received_at       epoch seconds
    verdict_headers   the scanners' fields, ASCII, each ended by CRLF; they stand between the id and Received
    """
    identity = f"X-Homeport-Id: {_host(message_id)}\r\n"
    trace = received(
        message_id=message_id,
        helo=inspection.trace.helo,
        client_ip=inspection.trace.client_ip,
        hostname=hostname,
        rcpt_to=rcpt_to,
        at=received_at,
    )
    return Outgoing(f"{identity}{verdict_headers}{trace}".encode("ascii"), content, inspection.cuts)


def received(
    *, message_id: str, helo: str | None, client_ip: str | None, hostname: str, rcpt_to: str, at: float
) -> str:
    """Return our Received field (RFC 5321 4.4), ASCII, ended by CRLF.

    One clause a line, so that only an over-long value passes 78 columns, and none 998. Whatever the values are, the
    result is this one field: a foreign character becomes `?`, a recipient that would need quoting is left out.

    helo, client_ip   as the trace block gave them
    at                epoch seconds
    """
    clauses = [f"by {_host(hostname)} (Homeport) with HTTPS", f"id {_host(message_id)}"]
    if helo or client_ip:
        clauses.insert(0, f"from {_host(helo or 'unknown')}{_tcp_info(client_ip)}")
    if len(rcpt_to) <= MAX_ADDRESS_BYTES and _PLAIN_ADDRESS.fullmatch(rcpt_to):
        clauses.append(f"for <{rcpt_to}>")
    clauses[-1] += ";"
    clauses.append(format_datetime(datetime.fromtimestamp(at, UTC)))
    return "Received: " + "\r\n\t".join(clauses) + "\r\n"


def _host(value: str) -> str:
    return _NOT_IN_HOST.sub("?", value[:_MAX_HELO_CHARS])


def _tcp_info(client_ip: str | None) -> str:
    if not client_ip:
        return ""
    return f" ([{'IPv6:' if ':' in client_ip else ''}{_host(client_ip)}])"
