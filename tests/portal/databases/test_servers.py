"""The servers' file, and the way to a server: every mistake is named, every layer that fails is told apart."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.databases.failures import DatabasesNotConnected, NoSuchServer, PurposeMissing, ServerUnavailable
from portal.databases.servers import Server, Servers, ServersFileError
from portal.databases.sql import fetch
from tests.services.mariadb import MariaDB
from tests.services.process import free_port


def _file(directory: Path, text: str) -> Path:
    for name in ("a", "b", "c"):
        file = directory / name
        file.touch(mode=0o600)
        file.write_text("password-of-a-test\n")
    path = directory / "databases.toml"
    path.write_text(text.replace("@", str(directory)))
    return path


GOOD = '[[server]]\nname = "blog"\nhost = "127.0.0.1"\n[server.admin]\nuser = "a"\npassword_file = "@/a"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[server", "is no TOML"),
        ("[[servers]]\n", "servers: Extra inputs"),
        (GOOD.replace('"blog"', '"Blog!"'), "server Blog!: name"),
        (GOOD.replace('"blog"', '"dumps"'), "is a word of the portal's own"),
        (GOOD.replace('"blog"', '"blog"\npasword = 1'), "server blog: pasword"),
        (GOOD.replace("host", "hos"), "server blog: host: Field required"),
        (GOOD.replace('"127.0.0.1"', '"a b"'), "server blog: host"),
        (GOOD.replace('"127.0.0.1"', '"x"\nport = 99999'), "server blog: port"),
        (GOOD.replace("@/a", "a"), "server blog: admin.password_file: must be an absolute path"),
        (GOOD.replace("@/a", "@/none"), "admin.password_file: @/none cannot be read"),
        (GOOD.replace("@/a", "@"), "is no file"),
        (GOOD.replace("\n[server.admin]", '\ntls = "verified"\n[server.admin]'), "ca_file belong together"),
        (GOOD + '[server.console]\nuser = "a"\npassword_file = "@/b"\n', "must be different accounts"),
        (GOOD + GOOD, "two servers are called blog"),
        (GOOD.replace('user = "a"', 'user = "a\'b"'), "server blog: admin.user"),
    ],
)
def test_a_mistake_names_file_table_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(ServersFileError) as raised:
        Servers.load(path)
    assert said.replace("@", str(tmp_path)) in str(raised.value)
    assert all(mistake.startswith(f"{path}: ") for mistake in raised.value.mistakes)
    assert "password-of-a-test" not in str(raised.value)


def test_a_password_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD)
    (tmp_path / "a").chmod(0o620)
    with pytest.raises(ServersFileError, match="chmod 0400"):
        Servers.load(path)
    servers = Servers.of(path)
    assert (len(servers), servers.is_configured, len(servers.mistakes)) == (0, True, 1)
    with pytest.raises(DatabasesNotConnected):
        servers.find("blog")


def test_without_a_file_nothing_is_connected() -> None:
    servers = Servers.load(None)
    assert not servers.is_configured
    with pytest.raises(DatabasesNotConnected):
        servers.find("blog")


def test_a_connection_is_fresh_strict_and_sends_no_files(servers: Servers) -> None:
    server = servers.find("blog")
    with server.connect("admin") as one, server.connect("admin") as two:
        assert fetch(one, "SELECT CONNECTION_ID()") != fetch(two, "SELECT CONNECTION_ID()")
        ((mode, zone),) = fetch(one, "SELECT @@sql_mode, @@time_zone")
        assert "STRICT_ALL_TABLES" in mode
        assert zone == "+00:00"
        assert not one.client_flag & 128  # CLIENT_LOCAL_FILES
    server.check("console")
    with pytest.raises(NoSuchServer):
        servers.find("mail")


def test_a_purpose_without_an_account_is_named(tmp_path: Path) -> None:
    server = Servers.load(_file(tmp_path, GOOD)).find("blog")
    with pytest.raises(PurposeMissing) as raised:
        server.connect("write")
    assert raised.value.extensions["purpose"] == "write"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def babbling_port() -> Iterator[int]:
    """Answers every connection with what no database server says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1]


def test_the_layer_that_failed_is_told(
    server: Server, mariadb: MariaDB, silent_port: int, babbling_port: int, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("not-the-password-of-it\n")
    cases: list[tuple[str, Callable[[], Server]]] = [
        ("name", lambda: server.model_copy(update={"host": "no-such-host.invalid"})),
        ("tcp", lambda: server.model_copy(update={"port": free_port()})),
        ("tls", lambda: server.model_copy(update={"tls": "required"})),
        (
            "login",
            lambda: server.model_copy(update={"admin": server.admin.model_copy(update={"password_file": wrong})}),
        ),
        ("answer", lambda: server.model_copy(update={"port": babbling_port})),
    ]
    for layer, changed in cases:
        with pytest.raises(ServerUnavailable) as raised:
            changed().check("admin")
        assert raised.value.extensions["layer"] == layer, raised.value.detail
        assert "not-the-password-of-it" not in str(raised.value)
    with pytest.raises(ServerUnavailable) as raised:
        server.model_copy(update={"port": silent_port}).connect("admin", connect_s=0.3)
    assert raised.value.extensions["layer"] in ("tcp", "answer")


def test_a_rotated_password_file_needs_no_restart(mariadb: MariaDB, server: Server) -> None:
    mariadb.execute("ALTER USER homeport_write@'%' IDENTIFIED BY 'another-one-of-a-test'")
    try:
        with pytest.raises(ServerUnavailable):
            server.check("write")
        server.logins["write"].password_file.write_text("another-one-of-a-test\n")
        server.check("write")
    finally:
        mariadb.execute(f"ALTER USER homeport_write@'%' IDENTIFIED BY '{mariadb.portal_passwords['write']}'")
