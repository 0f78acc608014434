"""The portal's process: where it listens, what it refuses to start with, its admin socket, and how it stops."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from portal.serving import AdminDoor, CannotServe, check_address, listener_on, parse_listen
from tests.services.mariadb import MariaDB
from tests.services.portal import Portal
from tests.services.process import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with Portal(tmp_path_factory.mktemp("portal")) as running:
        yield running


def over_socket(portal: Portal) -> httpx2.Client:
    return httpx2.Client(
        transport=httpx2.HTTPTransport(uds=str(portal.state_dir / "admin.sock")), base_url="http://localhost"
    )


# -- where it listens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listen", "expected"),
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::1]:80", ("::1", 80)), ("localhost:0", ("localhost", 0))],
)
def test_address_to_listen_on_is_read(listen: str, expected: tuple[str, int]) -> None:
    assert parse_listen(listen) == expected


@pytest.mark.parametrize("listen", ["", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(CannotServe, match="HOST:PORT"):
        parse_listen(listen)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_taken(host: str) -> None:
    check_address(host, is_plain_http=True)


@pytest.mark.parametrize("host", ["100.64.0.1", "100.127.255.254", "fd7a:115c:a1e0::1"])
def test_tailscale_address_is_taken_behind_https_only(host: str) -> None:
    check_address(host, is_plain_http=False)
    with pytest.raises(CannotServe, match="plain HTTP"):
        check_address(host, is_plain_http=True)


@pytest.mark.parametrize(
    "host",
    [
        *("0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "203.0.113.9", "2001:db8::1", "100.128.0.1", "169.254.1.1"),
        *("fe80::1", "::ffff:203.0.113.9", "portal.example.com"),
    ],
)
@pytest.mark.parametrize("is_plain_http", [True, False])
def test_any_other_address_is_refused(host: str, is_plain_http: bool) -> None:
    with pytest.raises(CannotServe):
        check_address(host, is_plain_http=is_plain_http)


def test_no_part_of_an_answer_waits_for_an_acknowledgement() -> None:
    with listener_on("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_command_refuses_a_public_address_before_it_touches_anything(tmp_path: Path) -> None:
    portal = Portal(tmp_path)
    ended = portal.run("portal", "serve", "--listen", "0.0.0.0:8080", check=False)
    assert ended.returncode == 1
    assert "--in-container" in ended.stderr
    assert not portal.state_dir.exists()


# -- what it refuses to start with ------------------------------------------------------------------------------------


def test_schema_that_is_not_current_is_refused(tmp_path: Path) -> None:
    portal = Portal(tmp_path)
    ended = portal.run("portal", "serve", "--listen", "127.0.0.1:0", check=False)
    assert ended.returncode == 1
    assert "homeport portal migrate" in ended.stderr
    assert portal.run("portal", "migrate").stdout == "The schema was brought up to date.\n"
    assert portal.run("portal", "migrate").stdout == "The schema is up to date.\n"


def test_second_portal_in_the_same_directory_is_refused(portal: Portal) -> None:
    ended = portal.run("portal", "serve", "--listen", "127.0.0.1:0", check=False)
    assert ended.returncode == 1
    assert "another portal is at work" in ended.stderr
    assert httpx2.get(f"{portal.url}/livez").status_code == 200
    with over_socket(portal) as client:
        assert client.get("/livez").status_code == 200


def test_port_that_is_taken_is_said(portal: Portal, tmp_path: Path) -> None:
    other = Portal(tmp_path)
    other.run("portal", "migrate")
    ended = other.run("portal", "serve", "--listen", f"127.0.0.1:{portal.port}", check=False)
    assert ended.returncode == 1
    assert "cannot listen on" in ended.stderr
    assert not (other.state_dir / "admin.sock").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "http://portal.example.com"),
        ("DATABASE_URL", "mysql+pymysql://homeport:change-this@127.0.0.1/homeport"),
        ("DATABASE_URL", "changethis"),
        ("TRUSTED_PROXIES", "everybody"),
        ("NO_SUCH_SETTING", "x"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_by_name(tmp_path: Path, name: str, value: str) -> None:
    ended = Portal(tmp_path, {name: value}).run("portal", "migrate", check=False)
    assert ended.returncode == 1
    assert f"HOMEPORT_PORTAL_{name}" in ended.stderr
    assert "Traceback" not in ended.stderr


# -- the admin socket -------------------------------------------------------------------------------------------------


def test_admin_socket_and_all_state_are_for_its_user_alone(portal: Portal) -> None:
    assert stat.S_IMODE((portal.state_dir / "admin.sock").stat().st_mode) == 0o600
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [portal.state_dir, *portal.state_dir.rglob("*")]}
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}


def test_admin_socket_gives_the_local_administrator(portal: Portal) -> None:
    with over_socket(portal) as client:
        session = client.get("/api/session", headers={"Host": "anything"}).json()
        assert (session["state"], session["user"]["role"]) == ("logged-in", "admin")
        assert client.get("/api/audit").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        ("X-Forwarded-For", "admin.sock"),
        ("X-Local-Uid", "0"),
        ("Forwarded", "for=unix:admin.sock"),
        ("Tailscale-User-Login", "anna"),
    ],
)
def test_nobody_on_tcp_is_the_local_administrator(portal: Portal, header: tuple[str, str]) -> None:
    assert httpx2.get(f"{portal.url}/api/audit", headers=[header]).status_code == 401


@pytest.mark.parametrize(("uid", "status"), [(0, 200), (os.geteuid(), 200), (65534, 403)])
async def test_admin_door_opens_for_root_and_its_own_user_only(uid: int, status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["state"] == {"local_uid": uid}
        await send({"type": "http.response.start", "status": 200})

    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "client": ("admin.sock", uid), "state": {}}
    await AdminDoor(app)(scope, receive, send)
    assert sent[0]["status"] == status


def test_set_up_link_is_printed_once_and_makes_one_administrator(tmp_path: Path) -> None:
    with Portal(tmp_path) as portal:
        anna = portal.set_up("anna")
        assert anna.get("/api/audit").status_code == 200
        portal.stop()
        portal.log.write_text("")
        portal.start()
        assert "setup#" not in portal.log.read_text()
        assert anna.get("/api/session").json()["state"] == "logged-in"  # a session outlives the process


@pytest.mark.services
def test_portal_on_mariadb_does_the_same(tmp_path: Path, mariadb: MariaDB) -> None:
    with Portal(tmp_path, {"DATABASE_URL": mariadb.new_database()}) as portal:
        anna = portal.set_up("anna")
        assert anna.get("/api/session").json()["user"]["name"] == "anna"
        assert anna.get("/api/operations").json()["operations"] == []
        assert anna.get("/api/settings").json()["database"] == "MariaDB"
        assert anna.get("/api/audit/verification").json()["broken_at"] is None
        assert portal.run("audit", "verify").stdout.endswith("rows are as they were written.\n")
        assert not (portal.state_dir / "portal.sqlite3").exists()


# -- metrics and readiness --------------------------------------------------------------------------------------------


def test_metrics_listener_tells_how_it_goes_and_nothing_else(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with Portal(tmp_path, {"METRICS_LISTEN": f"127.0.0.1:{port}"}) as portal:
        anna = portal.set_up()
        assert anna.get("/api/containers/gone").status_code == 503
        assert portal.browser().post("/api/login", json={"name": "anna", "password": "wrong"}).status_code == 401
        assert anna.get("/no/such.map?canary-7d").status_code == 404
        with anna.stream("GET", "/api/events") as stream:
            flow = stream.iter_raw()  # the stream is closed when nobody holds this any more
            assert next(flow)
            metrics = httpx2.get(f"{url}/metrics").text
        for line in (
            'homeport_portal_requests_total{method="GET",route="/api/containers/{name}",status="503"} 1.0',
            'homeport_portal_requests_total{method="POST",route="/api/setup",status="200"} 1.0',
            'homeport_portal_request_seconds_count{route="/api/setup"} 1.0',
            'homeport_portal_login_failures_total{factor="password"} 1.0',
            'homeport_portal_streams{kind="events"} 1.0',
            "homeport_portal_operations_running 0.0",
        ):
            assert f"{line}\n" in metrics, line
        assert "canary" not in metrics
        ready = httpx2.get(f"{url}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
        assert set(ready.json()["checks"]) == {"database", "broker"}
        assert ready.json()["checks"]["broker"]["detail"] == "no broker is configured"
        assert httpx2.get(f"{url}/livez").status_code == 200
        assert httpx2.get(f"{url}/api/session").status_code == 404
        for path in ("/metrics", "/readyz"):
            assert "homeport_portal_requests" not in anna.get(path).text


def test_readiness_fails_with_a_broker_that_is_not_there(tmp_path: Path) -> None:
    port = free_port()
    settings = {"METRICS_LISTEN": f"127.0.0.1:{port}", "BROKER_SOCKET": str(tmp_path / "nobody.sock")}
    with Portal(tmp_path, settings):
        ready = httpx2.get(f"http://127.0.0.1:{port}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "failing")
        checks = ready.json()["checks"]
        assert (checks["database"]["ok"], checks["broker"]["ok"]) == (True, False)


@pytest.mark.parametrize("listen", ["0.0.0.0:9126", "203.0.113.9:9126", "nonsense"])
def test_metrics_are_not_served_to_strangers(tmp_path: Path, listen: str) -> None:
    portal = Portal(tmp_path, {"METRICS_LISTEN": listen})
    ended = portal.run("portal", "serve", "--listen", "127.0.0.1:0", check=False)
    assert ended.returncode == 1
    assert listen.partition(":")[0] in ended.stderr
    assert not portal.state_dir.exists()


# -- how it stops -----------------------------------------------------------------------------------------------------


def test_stop_ends_event_streams_at_once_and_leaves_no_socket(tmp_path: Path) -> None:
    with Portal(tmp_path) as portal:
        anna = portal.set_up()
        begun, ended = threading.Event(), threading.Event()

        def watch() -> None:
            with anna.stream("GET", "/api/events") as answer:
                for _line in answer.iter_lines():
                    begun.set()
            ended.set()

        thread = threading.Thread(target=watch)
        thread.start()
        assert begun.wait(10)
        portal.stop()
        thread.join(10)
        assert ended.is_set()
        assert not (portal.state_dir / "admin.sock").exists()
        assert "portal_stopped" in portal.log.read_text()
        assert "Traceback" not in portal.log.read_text()


def test_portal_that_was_killed_starts_again(tmp_path: Path) -> None:
    with Portal(tmp_path) as portal:
        portal.kill()
        assert (portal.state_dir / "admin.sock").exists()
        portal.start()
        with over_socket(portal) as client:
            assert client.get("/api/session").status_code == 200
