"""The commands' client: over the admin socket and by URL with a token, step-up on a terminal, errors in one line."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portal.client import Client, NotReachable, PortalError
from tests.services import portal as services
from tests.services.portal import PASSWORD, Browser, Portal
from tests.services.process import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with Portal(tmp_path_factory.mktemp("portal")) as running:
        yield running


@pytest.fixture(scope="module")
def anna(portal: Portal) -> Browser:
    return portal.set_up("anna")


@pytest.fixture(scope="module")
def token(anna: Browser) -> str:
    """May read the audit, and nothing else."""
    assert anna.post("/api/step-up", json={"password": PASSWORD}).status_code == 200
    scopes = [{"act": "audit:read", "resource": "*"}]
    answer = anna.post("/api/tokens", json={"name": "reader", "scopes": scopes, "expires_in_days": 1})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["secret"])


@pytest.fixture
def local(portal: Portal) -> Iterator[Client]:
    with Client(socket=portal.state_dir / "admin.sock") as client:
        yield client


def test_parameters_that_are_none_are_left_out(local: Client) -> None:
    assert local.get("/api/audit", limit=1, actor=None)["entries"] is not None


def test_refusal_is_one_line_with_what_is_wrong(local: Client) -> None:
    with pytest.raises(PortalError) as caught:
        local.get("/api/audit", limit=0, since="yesterday")
    assert "\n" not in str(caught.value)
    assert "query.limit" in str(caught.value)
    assert caught.value.status == 422
    assert caught.value.problem["type"] == "/problems/invalid-request"
    with pytest.raises(PortalError, match="Not found"):
        local.get("/api/nothing")


def test_stream_gives_lines_and_refusals(local: Client) -> None:
    assert list(local.lines("/api/audit/export", action="audit:export"))[-1].startswith('{"sequence":')
    with pytest.raises(PortalError, match="Invalid request"):
        list(local.lines("/api/audit/export", form="pdf"))


def test_token_in_a_file_reads_what_its_scope_says(portal: Portal, token: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{token}\n")
    environment = {"HOMEPORT_TOKEN_FILE": str(tmp_path / "token"), "HOMEPORT_URL": portal.url}
    assert "tokens:create" in portal.run("audit", "list", environment=environment).stdout
    ended = portal.run("audit", "export", check=False, environment=environment)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("homeport: error: Not permitted")
    assert token not in ended.stderr


def test_token_that_is_missing_doubled_or_wrong_is_said(portal: Portal) -> None:
    url = ("audit", "list", "--url", portal.url)
    assert "HOMEPORT_TOKEN_FILE" in portal.run(*url, check=False).stderr
    both = {"HOMEPORT_TOKEN": "canary-secret", "HOMEPORT_TOKEN_FILE": "/nonexistent"}
    ended = portal.run(*url, check=False, environment=both)
    assert "both set" in ended.stderr
    assert "canary" not in ended.stderr
    assert "Login required" in portal.run(*url, check=False, environment={"HOMEPORT_TOKEN": "hpt_nonsense"}).stderr


@pytest.mark.parametrize("url", ["http://portal.example.com", "http://127.0.0.1.example.com", "portal.example.com", ""])
def test_token_is_never_sent_in_the_clear(url: str) -> None:
    with pytest.raises(PortalError, match="https://"):
        Client(url=url, token="canary")


@contextmanager
def stranger(answer: bytes) -> Iterator[str]:
    """Something that listens and is no portal."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n[]",
        b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_answer_of_something_else_is_not_mistaken_for_the_portals(answer: bytes) -> None:
    with stranger(answer) as url, Client(url=url, token="x" * 20) as client, pytest.raises(PortalError, match="portal"):
        client.get("/api/audit")


def test_nobody_there_is_said() -> None:
    with (
        Client(url=f"http://127.0.0.1:{free_port()}", token="x") as client,
        pytest.raises(NotReachable, match="no portal"),
    ):
        client.get("/api/audit")


# -- step-up on a terminal --------------------------------------------------------------------------------------------


def on_terminal(portal: Portal, *arguments: str, typed: list[str]) -> tuple[int, str]:
    """Run a command on a terminal of its own; type a line at each prompt. Return its exit code and all it showed."""
    keyboard, screen = pty.openpty()
    process = subprocess.Popen(
        [services.HOMEPORT, *arguments],
        env=portal.environment,
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,  # else a password would be asked for on the terminal of whoever runs the tests
    )
    os.close(screen)
    shown, lines = "", list(typed)
    while True:
        try:
            part = os.read(keyboard, 4096).decode()
        except OSError:  # EIO: the last one that had the terminal open has ended
            break
        shown += part
        if lines and shown.endswith(": "):  # the blank comes last, when echo is off for a password
            os.write(keyboard, lines.pop(0).encode() + b"\n")
    os.close(keyboard)
    return process.wait(30), shown


def test_act_that_needs_a_factor_asks_for_it_and_is_done(portal: Portal, anna: Browser) -> None:
    code, shown = on_terminal(portal, "users", "create", "bob", "--role", "viewer", typed=["anna", "", PASSWORD])
    assert code == 0, shown
    assert PASSWORD not in shown
    assert "bob" in [user["name"] for user in anna.get("/api/users").json()["users"]]
    (row,) = portal.audit(action="users:create", target="bob")
    assert (row["actor"]["kind"], row["result"]) == ("local", "done")
    assert "confirmed by anna" in row["actor"]["name"]


def test_wrong_factor_does_nothing(portal: Portal, anna: Browser) -> None:
    code, shown = on_terminal(portal, "users", "create", "eve", typed=["anna", "", "wrong password, truly"])
    assert code == 1, shown
    assert "eve" not in [user["name"] for user in anna.get("/api/users").json()["users"]]


def test_without_a_terminal_nothing_is_asked(portal: Portal) -> None:
    ended = portal.run("users", "create", "eve", check=False)
    assert ended.returncode == 1
    assert "terminal" in ended.stderr
