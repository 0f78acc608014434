"""What the scanners are asked about: envelopes, contents, the trace of Cloudflare."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mail_api.content import Content
from mail_api.envelope import Envelope
from mail_api.trace_headers import Trace

MESSAGE_ID = "0123456789abcdef" * 2
PLAIN = b"From: <a@example.org>\r\nSubject: a\r\n\r\nHello.\r\n"
TRACE = Trace("192.0.2.7", "there.example", 0)


def envelope(*, mail_from: str = "a@example.org", rcpt_to: str = "anna@home.test") -> Envelope:
    return Envelope(MESSAGE_ID, mail_from, rcpt_to, 0, "")


def in_memory(raw: bytes = PLAIN) -> Content:
    return Content(raw, len(raw), hashlib.sha256(raw).hexdigest())


@contextmanager
def in_file(raw: bytes, directory: Path) -> Iterator[Content]:
    path = directory / "message"
    path.write_bytes(raw)
    fd = os.open(path, os.O_RDONLY)
    try:
        yield Content(fd, len(raw), hashlib.sha256(raw).hexdigest())
    finally:
        os.close(fd)


def zipped(data: bytes) -> bytes:
    """An archive with these bytes in a file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.com", data)
    return archive.getvalue()


def attached(data: bytes) -> bytes:
    """A message with these bytes as a base64 attachment."""
    head = b"From: <a@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    part = b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + b"--b\r\n\r\nx\r\n" + part + base64.encodebytes(data).replace(b"\n", b"\r\n") + b"--b--\r\n"
