"""A passkey authenticator in software: it makes real key pairs, attestations and signatures, and can be made to err.

What it answers is what a browser's `PublicKeyCredential.toJSON()` gives. The portal's library verifies it for real.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

Json = dict[str, Any]
UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40  # flags of authenticator data (WebAuthn Level 3, 6.1)
ES256 = -7


@dataclass
class Authenticator:
    """One device with at most one passkey. Change a field to make it lie."""

    origin: str
    is_user_verified: bool = True
    rp_id: str | None = None  # None: the one it is asked for
    is_self_attested: bool = False
    counts: bool = True
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes = b""
    sign_count: int = 0

    def create(self, options: Json) -> Json:
        """navigator.credentials.create()"""
        assert {"type": "public-key", "alg": ES256} in options["pubKeyCredParams"]
        self.user_handle = base64url_to_bytes(options["user"]["id"])
        client_data = self._client_data("webauthn.create", options["challenge"])
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + self._cose_key()
        data = self._authenticator_data(options["rp"]["id"], AT) + attested
        statement: Json = {}
        if self.is_self_attested:
            statement = {"alg": ES256, "sig": self._sign(data, client_data)}
        attestation = {"fmt": "packed" if self.is_self_attested else "none", "attStmt": statement, "authData": data}
        return self._credential(
            {
                "clientDataJSON": bytes_to_base64url(client_data),
                "attestationObject": bytes_to_base64url(cbor2.dumps(attestation)),
                "transports": ["internal"],
            }
        )

    def get(self, options: Json) -> Json:
        """navigator.credentials.get()"""
        client_data = self._client_data("webauthn.get", options["challenge"])
        data = self._authenticator_data(options["rpId"], 0)
        return self._credential(
            {
                "clientDataJSON": bytes_to_base64url(client_data),
                "authenticatorData": bytes_to_base64url(data),
                "signature": bytes_to_base64url(self._sign(data, client_data)),
                "userHandle": bytes_to_base64url(self.user_handle),
            }
        )

    def _credential(self, response: Json) -> Json:
        name = bytes_to_base64url(self.credential_id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}

    def _client_data(self, kind: str, challenge: str) -> bytes:
        document = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(document).encode()

    def _authenticator_data(self, rp_id: str, flags: int) -> bytes:
        self.sign_count += self.counts
        flags |= UP | BE | BS | (UV if self.is_user_verified else 0)
        digest = hashlib.sha256((self.rp_id or rp_id).encode()).digest()
        return digest + bytes([flags]) + self.sign_count.to_bytes(4, "big")

    def _sign(self, data: bytes, client_data: bytes) -> bytes:
        return self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))

    def _cose_key(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        return cbor2.dumps(
            {1: 2, 3: ES256, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        )
