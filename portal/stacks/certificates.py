"""The certificate that mail programs and browsers see: looked at, and a self-signed one for a first try."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from portal.stacks.findings import Finding, problem, warning

CHAIN, KEY = "fullchain.pem", "privkey.pem"
SELF_SIGNED_DAYS = 397  # as long as browsers and Apple's devices take one
SOON_DAYS = 14  # a renewal that works happens about 30 days before the end
MAX_BYTES = 1024**2

_RENEW = "renew it (docs/runbooks/mailserver.md, Certificates)"


def self_signed(host: str, now: datetime) -> tuple[bytes, bytes]:
    """Return (chain, key) as PEM, for that one name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])  # X.520 ub-common-name
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )  # so that it can be trusted by hand
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), pem


def look(directory: Path, shown: str, host: str, now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with the two files.

    host   the name that programs connect to; "" if it is not known yet
    """
    chain_name, key_name = f"{shown}/{CHAIN}", f"{shown}/{KEY}"
    chain, key = _read(directory / CHAIN), _read(directory / KEY)
    for name, content in ((chain_name, chain), (key_name, key)):
        if isinstance(content, str):
            yield problem(
                name, content, "put it there, or for a first try `homeport stack init mailserver --self-signed`"
            )
    if isinstance(chain, str) or isinstance(key, str):
        return
    for path, name in ((directory / CHAIN, chain_name), (directory / KEY, key_name)):
        if not path.stat().st_mode & stat.S_IROTH:
            yield problem(name, "cannot be read by the containers' users", f"chmod 0444 {name}")
    if not directory.stat().st_mode & stat.S_IXOTH:
        yield problem(shown, "cannot be entered by the containers' users", f"chmod 0755 {shown}")
    if _is_open(directory / KEY):
        yield problem(key_name, "can be read by every user of this machine", f"chmod 0700 the directory above {shown}")
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError:
        yield problem(chain_name, "holds no certificate in PEM", _RENEW)
        return
    yield from _look_at_chain(certificates, chain_name, host, now)
    try:
        private = load_pem_private_key(key, password=None)
    except TypeError:
        yield problem(key_name, "is encrypted, and nobody is there to type its password", "store it without one")
        return
    except ValueError:
        yield problem(key_name, "holds no private key in PEM", _RENEW)
        return
    public = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*public) != certificates[0].public_key().public_bytes(*public):
        yield problem(key_name, f"does not belong to the first certificate of {CHAIN}", _RENEW)


def _look_at_chain(certificates: list[x509.Certificate], name: str, host: str, now: datetime) -> Iterator[Finding]:
    leaf = certificates[0]
    if leaf.not_valid_after_utc <= now:
        yield problem(name, f"has expired on {leaf.not_valid_after_utc:%Y-%m-%d}", _RENEW)
    elif leaf.not_valid_after_utc <= now + timedelta(days=SOON_DAYS):
        yield warning(name, f"expires on {leaf.not_valid_after_utc:%Y-%m-%d}", "see why its renewal has not run")
    if leaf.not_valid_before_utc > now:
        yield problem(name, f"is not valid before {leaf.not_valid_before_utc:%Y-%m-%d}", "set this machine's clock")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        covered = names.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        covered = []
    if host and not any(_covers(each, host) for each in covered):
        said = ", ".join(covered[:5]) or "no name at all"
        yield problem(
            name,
            f"is for {said}, not for {host}",
            "let MAIL_HOSTNAME be the name that mail programs connect to, and get a certificate for it",
        )
    if leaf.issuer == leaf.subject:
        yield warning(
            name, "is self-signed: every mail program will ask", "get one that they know, before others use it"
        )
    elif len(certificates) < 2:
        yield warning(name, "holds no intermediate certificate", "use the full chain that the issuer gives")


def _covers(pattern: str, host: str) -> bool:
    """RFC 6125 6.4.3: a wildcard is a whole first label."""
    pattern, host = pattern.lower(), host.lower()
    return pattern == host or (pattern.startswith("*.") and pattern[1:] == host[host.find(".") :])


def _is_open(path: Path) -> bool:
    """Whether every directory above lets everybody in."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def _read(path: Path) -> bytes | str:
    """The content, or what is wrong with the file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return content if content.strip() else "is empty"
