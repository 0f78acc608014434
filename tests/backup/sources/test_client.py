"""The client programs against a real server: values, passwords, TLS, and where a password is not to be seen."""

from __future__ import annotations

import io
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from backup.exit_codes import SourceFailed, WrongUsage
from backup.settings import Server
from backup.sources import client
from backup.sources.client import Version, identifier, literal, query
from kit.logging import configure
from tests.backup.sources.conftest import DUMP_RIGHTS, account
from tests.services.mariadb import MariaDB
from tests.services.process import process_stats


def test_values_come_back_as_they_are(dump_account: Server) -> None:
    for value in ("", "a\tb", "a\nb", "back\\slash\\n", "NULL", "日本", "'\"`;-- "):
        assert query(dump_account, f"SELECT {literal(value)}, 7") == [[value, "7"]]
    assert query(dump_account, "SELECT 1 FROM DUAL WHERE 1 = 0") == []
    assert query(dump_account, "SELECT 1; SELECT 2") == [["1"], ["2"]]


def test_an_error_is_in_the_server_s_words(dump_account: Server) -> None:
    with pytest.raises(SourceFailed, match=r"^server main: ERROR 1146 \(42S02\) .*: Table 'mysql.gone' doesn't exist$"):
        query(dump_account, "SELECT 'a row of somebody' FROM mysql.gone")


def test_a_server_that_is_away_is_said_so(dump_account: Server, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="Can't connect"):
        query(dump_account.model_copy(update={"socket": tmp_path / "none"}), "SELECT 1")


def test_the_operator_s_own_options_do_not_get_in(
    dump_account: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".my.cnf").write_text("[client]\nuser=somebody\npassword=wrong\n[mysqldump]\nno-data\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert query(dump_account, "SELECT 1") == [["1"]]


def test_a_password_stands_in_no_argument_environment_or_log(dump_account: Server) -> None:
    log = io.StringIO()
    configure(json=True, stream=log)
    password = dump_account.password_file.read_text().strip()
    seen: list[bytes] = []
    thread = threading.Thread(target=query, args=(dump_account, "SELECT SLEEP(1)"))
    thread.start()
    while thread.is_alive():
        for stat in process_stats():
            directory = Path(f"/proc/{stat.pid}")
            try:
                arguments, environment = (directory / "cmdline").read_bytes(), (directory / "environ").read_bytes()
            except OSError:
                continue
            if b"--defaults-file=/dev/fd/" in arguments:
                seen.append(arguments + environment)
        time.sleep(0.02)
    thread.join()
    assert seen
    secret = password[-16:]
    assert not any(secret.encode() in each for each in seen)
    assert "command_ended" in log.getvalue()
    assert secret not in log.getvalue()


def test_a_wrong_password_is_not_shown(dump_account: Server, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("correct-horse-battery")
    with pytest.raises(SourceFailed, match="Access denied") as caught:
        query(dump_account.model_copy(update={"password_file": tmp_path / "wrong"}), "SELECT 1")
    assert "correct-horse" not in str(caught.value)
    with pytest.raises(WrongUsage, match="cannot be read"):
        query(dump_account.model_copy(update={"password_file": tmp_path / "none"}), "SELECT 1")


def test_a_restore_is_another_account(mariadb: MariaDB, dump_account: Server, tmp_path: Path) -> None:
    writer = account(mariadb, tmp_path, DUMP_RIGHTS)
    both = dump_account.model_copy(update={"restore_user": writer.user, "restore_password_file": writer.password_file})
    assert query(both, "SELECT CURRENT_USER()", restore=True) == [[f"{writer.user}@localhost"]]
    with pytest.raises(SourceFailed, match="main has no restore_user"):
        query(dump_account, "SELECT 1", restore=True)


def test_statements_are_read_from_a_descriptor(dump_account: Server, tmp_path: Path) -> None:
    (tmp_path / "dump.sql").write_bytes(b"this is no SQL;\nSELECT 'loaded';\n")
    with (tmp_path / "dump.sql").open("rb", buffering=0) as file:
        file.seek(len(b"this is no SQL;\n"))
        assert client.execute(dump_account, file.fileno(), "--skip-column-names") == b"loaded\n"


def test_a_connection_by_tcp_checks_the_certificate(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    authority, stranger = _authority(tmp_path, "authority"), _authority(tmp_path, "stranger")
    for name in ("server.pem", "server.key"):
        shutil.chown(tmp_path / name, "mysql") if (tmp_path / name).owner() == "root" else None
    options = (f"--ssl-cert={tmp_path}/server.pem", f"--ssl-key={tmp_path}/server.key")
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    with MariaDB(*options) as mariadb:
        local = account(mariadb, tmp_path, DUMP_RIGHTS)
        server = local.model_copy(update={"socket": None, "host": "127.0.0.1", "port": mariadb.port})
        checked = server.model_copy(update={"ca_file": authority})
        assert query(checked, "SHOW STATUS LIKE 'Ssl_cipher'")[0][1] != ""
        with pytest.raises(SourceFailed, match=r"TLS/SSL error.*certificate"):
            query(server.model_copy(update={"ca_file": stranger}), "SELECT 1")


def test_versions_of_clients_and_servers_are_understood() -> None:
    for text in (
        "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
        "10.11.19-MariaDB-0+deb12u1",
    ):
        assert Version.parse(text) == Version(10, 11, 19)
    assert (
        str(Version.parse("mariadb-dump from 11.8.3-MariaDB, client 10.19 for debian-linux-gnu (x86_64)")) == "11.8.3"
    )
    assert Version(9, 9, 9).series < Version(10, 11, 0).series
    with pytest.raises(SourceFailed, match="not a version of MariaDB"):
        Version.parse("mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)")


def test_names_are_quoted() -> None:
    assert identifier("a`b") == "`a``b`"


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceFailed, match="mariadb-dump is not installed"):
        client.dump_version()


def _authority(directory: Path, name: str) -> Path:
    """Write a certificate authority, and server.pem and server.key that it has signed unless they are there."""
    key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)

    def certificate(subject: str, public: ec.EllipticCurvePublicKey, *, is_authority: bool) -> bytes:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
            .sign(key, SHA256())
            .public_bytes(Encoding.PEM)
        )

    path = directory / f"{name}.pem"
    path.write_bytes(certificate(name, key.public_key(), is_authority=True))
    if not (directory / "server.pem").exists():
        (directory / "server.pem").write_bytes(certificate("127.0.0.1", server_key.public_key(), is_authority=False))
        (directory / "server.key").write_bytes(
            server_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )
    return path
