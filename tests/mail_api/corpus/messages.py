"""Messages to post, and what of each must lie in a mailbox.

Equal but for this, whichever way a message takes (mail.md 3.2, measured with Dovecot 2.3.19.1):

    everywhere   Maildir keeps CRLF as LF. A bare CR as the very last byte is lost, with BDAT.
    DATA         the message ends with a line end: one is added if it lacks it.
    IMAP         LF is CRLF again, so a line end says no longer which it was; NUL is shown as 0x80.
    we           remove X-Spam* and what claims to be our own Authentication-Results.
"""

from __future__ import annotations

import random
import re
import sys
import sysconfig
from itertools import chain, product
from pathlib import Path

MAX_BYTES = 25 * 1024**2  # wire.md: Cloudflare Email Routing's limit


def cpython() -> dict[str, bytes]:
    """The messages of CPython's own email tests: small, and each odd in a way of its own. LF, as they are in there."""
    directory = Path(sysconfig.get_path("stdlib"), "test", "test_email", "data")
    return {path.name: path.read_bytes() for path in sorted(directory.glob("*.txt"))}


def mail_parser() -> dict[str, bytes]:
    """The messages of mail-parser's tests: real spam, broken MIME, an Outlook file. scripts/corpora.py fetches them."""
    directories = Path(sys.prefix, "corpora").glob("mail_parser-*/tests/mails")
    return {path.name: path.read_bytes() for directory in directories for path in sorted(directory.iterdir())}


def with_crlf(message: bytes) -> bytes:
    """Return a message as mail servers hand it on: every line end is CRLF."""
    return re.sub(rb"\r?\n", b"\r\n", message)


_SMUGGLED = b"MAIL FROM:<evil@example.org>{0}RCPT TO:<nobody@home.test>{0}DATA{0}Subject: evil{0}{0}evil{0}.{0}"


def _smuggled(before: bytes, end: bytes) -> bytes:
    return b"one" + before + _SMUGGLED.replace(b"{0}", end)


_BODIES = {
    "bare LF": b"one\ntwo\n\nthree\n",
    "bare LF among CRLF": b"one\r\ntwo\nthree\r\n",
    "bare CR": b"one\rtwo\r\rthree\r\n",
    "CR CR LF": b"one\r\r\ntwo\r\r\r\n\r\n",
    "LF CR": b"one\n\rtwo\n\r\n",
    "NUL": b"\0one\0\r\n\0\r\n",
    "every byte value": bytes(range(256)),
    "every byte value, and back": bytes([*range(256), *range(255, -1, -1)]) * 5 + b"\r\n",
    "every pair of bytes that matter": bytes(chain(*product(b"\r\n.\0 \xff", repeat=2))),
    "a line of 5,000": b"x" * 5_000 + b"\r\n",
    "a line of 100,000": b"y" * 100_000 + b"\r\n",
    "a line of 100,000 dots": b"." * 100_000,
    "dot lines": b".\r\n..\r\n...\r\n.\r\n. \r\n.x\r\n",
    "dot lines between bare LF": b"one\n.\n..\n.two\n.\nthree\n",
    "dot lines between bare CR": b"one\r.\r..\r.two\r.\rthree",
    "end of data after LF": _smuggled(b"\n.\r\n", b"\r\n"),
    "end of data before LF": _smuggled(b"\r\n.\n", b"\n"),
    "end of data between LF": _smuggled(b"\n.\n", b"\n"),
    "end of data between CR": _smuggled(b"\r.\r", b"\r"),
    "end of data after CR": _smuggled(b"\r.\r\n", b"\r\n"),
    "end of data before CR": _smuggled(b"\r\n.\r", b"\r"),
    "end of data": _smuggled(b"\r\n.\r\n", b"\r\n"),
    "end of data after NUL": _smuggled(b"\0\r\n.\r\n", b"\r\n"),
    "BDAT in the text": b"one\r\nBDAT 5 LAST\r\nRSET\r\nQUIT\r\n",
    "no line end at the end": b"one\r\ntwo",
    "a dot at the end": b"one\r\n.",
    "a bare LF at the end": b"one\n",
    "empty": b"",
    "line ends": b"\r\n" * 1000,
    "8-bit text": "Grüße, 日本語\r\n".encode() * 50,
    "not UTF-8": "Grüße\r\n".encode("latin-1") + "日本語\r\n".encode("shift-jis"),
}
_HEADERS = {
    "no header": b"",
    "empty message": None,
    "one line": b"Subject: one line",
    "header without end": b"Subject: a\r\nX: b\r\n",
    "continuation first": b" begins with a blank; it continues the field above\r\n\tand a tab\r\nSubject: a\r\n\r\n",
    "no colon": b"Subject: a\r\nno field at all\r\nTo: b\r\n\r\n",
    "no name": b"Subject: a\r\n: b\r\nTo: c\r\n\r\n",
    "blanks before the colon": b"Subject \t : a\r\n\r\n",
    "NUL in the header": b"Subject: a\0b\r\nX\0Y: c\r\n\r\n",
    "8-bit header": "Sübject: ä\r\nSubject: 日本\r\n\r\n".encode(),
    "bare LF in the header": b"Subject: a\nTo: b\n\n",
    "bare CR in the header": b"Subject: a\rBcc: b\r\r\nTo: c\r\n\r\n",
    "mbox line": b"From someone@example.org Mon Jan  1 00:00:00 2024\r\nSubject: a\r\n\r\n",
    "field of 100,000": b"Subject: " + b"x" * 100_000 + b"\r\n\r\n",
    "2,000 fields": b"".join(b"X-%d: a\r\n" % number for number in range(2_000)) + b"\r\n",
    "our own field": b"X-Homeport-Id: " + b"0" * 32 + b"\r\nReceived: from a;\r\n\tby b\r\n\r\n",
    "Dovecot's own fields": b"Return-Path: <a@example.org>\r\nDelivered-To: b@example.org\r\n\r\n",
}


def hostile() -> dict[str, bytes]:
    """Small messages that some mail software is known to change, cut or take for two."""
    header = b"From: <a@example.org>\r\nSubject: hostile\r\n\r\n"
    return {name: header + body for name, body in _BODIES.items()} | {
        name: b"" if start is None else start + b"one\r\n.\r\ntwo\r\n" for name, start in _HEADERS.items()
    }


def largest() -> bytes:
    """A message of 25 MiB exactly: any byte, lines of any length, the last one without an end."""
    header = b"Subject: largest\r\n\r\n"
    return header + random.Random(25).randbytes(MAX_BYTES - len(header) - 1) + b"."


def stored(message: bytes, verb: str) -> bytes:
    """Return a message as it lies in the Maildir after it was sent by BDAT or DATA."""
    if verb == "BDAT":
        message = message.removesuffix(b"\r")
    elif message and not message.endswith(b"\n"):  # of an empty one, our own fields are the last line
        message += b"\r\n"
    return message.replace(b"\r\n", b"\n")


def shown(file: bytes) -> bytes:
    """Return a message as IMAP shows it, given how it lies in the Maildir."""
    return re.sub(rb"(?<!\r)\n", b"\r\n", file).replace(b"\0", b"\x80")


_SPAM_FIELDS = re.compile(rb"(?:^|(?<=\n))X-Spam[^:\r\n]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE)


def without_spam_fields(message: bytes) -> bytes:
    """Return a well-formed message without its X-Spam* fields."""
    end = re.search(rb"\r?\n\r?\n|\Z", message)
    assert end
    return _SPAM_FIELDS.sub(b"", message[: end.end()]) + message[end.end() :]
