"""Verify a DKIM signature (RFC 6376): rsa-sha256 with relaxed canonicalisation of header and body, as Rspamd signs."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)\r\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Signed:
    """Who has signed, and which fields, in lower case."""

    domain: str
    selector: str
    fields: tuple[str, ...]


def verify(message: bytes, public_key: str) -> Signed:
    """Given a message with CRLF and the `p=` of the published record, return what is signed.

    raises   InvalidSignature; AssertionError when body or algorithm is another one
    """
    head, _, body = message.partition(b"\r\n\r\n")
    fields = [(name.lower(), value) for name, value in _FIELD.findall(head + b"\r\n")]
    (signature,) = [value for name, value in fields if name == b"dkim-signature"]
    tags = dict(re.findall(r"([a-z]+)=([^;]*)", re.sub(r"\s", "", signature.decode())))
    assert (tags["a"], tags["c"]) == ("rsa-sha256", "relaxed/relaxed")
    assert hashlib.sha256(relaxed_body(body)).digest() == base64.b64decode(tags["bh"])
    unread = list(fields)
    signed = b""
    for name in tags["h"].lower().split(":"):  # of fields of the same name the last one first (5.4.2)
        at = next((at for at in reversed(range(len(unread))) if unread[at][0] == name.encode()), None)
        if at is not None:
            signed += relaxed(*unread.pop(at)) + b"\r\n"
    signed += relaxed(b"dkim-signature", re.sub(rb"([;\s]b=)[^;]*", rb"\1", signature))
    key = load_der_public_key(base64.b64decode(public_key))
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size >= 2048
    key.verify(base64.b64decode(tags["b"]), signed, padding.PKCS1v15(), hashes.SHA256())
    return Signed(tags["d"], tags["s"], tuple(tags["h"].lower().split(":")))


def relaxed(name: bytes, value: bytes) -> bytes:
    """3.4.2, without the line end."""
    return name.lower() + b":" + re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip(b" ")


def relaxed_body(body: bytes) -> bytes:
    """3.4.4"""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    return re.sub(rb"(?:\r\n)*\Z", b"", b"\r\n".join(lines)) + b"\r\n"
