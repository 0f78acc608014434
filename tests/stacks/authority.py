"""A certificate authority for one run: what a Tailscale or SendGrid certificate is in production.

authority = Authority(tmp_path / "authority")
authority.issue(tmp_path / "tls", "mail.home.test", "127.0.0.1")     # fullchain.pem, privkey.pem
context = ssl.create_default_context(cafile=authority.certificate)
"""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

LIFE = datetime.timedelta(days=1)
SKEW = datetime.timedelta(hours=1)  # a container's clock is the machine's, a certificate's seconds are rounded


class Authority:
    """`certificate` is the file with its own certificate."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.certificate = directory / "authority.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name.from_rfc4514_string("CN=Homeport test authority")
        itself = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        signed = (
            itself.add_extension(self._identifier, critical=False)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate.write_bytes(signed.public_bytes(Encoding.PEM))

    def issue(self, directory: Path, *names: str) -> None:
        """Write fullchain.pem and privkey.pem for a server of these names and addresses, readable by everybody.

        The directory guards the key on this machine; inside a container the server's own user reads it.
        """
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(x509.Name.from_rfc4514_string(f"CN={names[0]}"), key.public_key())
            .add_extension(x509.SubjectAlternativeName([general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        chain = certificate.public_bytes(Encoding.PEM) + self.certificate.read_bytes()
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for name, content in (("fullchain.pem", chain), ("privkey.pem", secret)):
            (directory / name).write_bytes(content)
            (directory / name).chmod(0o444)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(now + LIFE)
        )


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
