"""DKIM keys for tests, made once for each process: public parts as p= has them."""

from __future__ import annotations

import base64
import functools

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


@functools.cache
def rsa_key(bits: int) -> str:
    key = rsa.generate_private_key(65_537, bits).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@functools.cache
def ed25519_key() -> str:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


@functools.cache
def other_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def strings(text: str) -> str:
    """A long text as strings of a zone file."""
    return " ".join(f'"{text[start : start + 200]}"' for start in range(0, len(text), 200))
