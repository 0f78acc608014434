"""`make run`'s script as its user sees it: what it prints, where the message lies, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.process import POLL_S, free_port

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "run.py"
START_S = 30.0
STOP_S = 20.0
LAST_LINE = "Ctrl-C stops everything."

pytestmark = pytest.mark.slow


class Checkout:
    """A directory with the real script, so that its ./var is the test's, and its processes are known by that path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.port, self.portal_port, self.edge_port = free_port(), free_port(), free_port()
        self.output = path / "output"
        (path / "scripts").mkdir()
        shutil.copy(SCRIPT, path / "scripts")
        self.process: subprocess.Popen[bytes] | None = None

    def build_edge(self) -> None:
        """What `make worker` leaves: Node, and the Worker's folder."""
        for name in (".node", "stacks"):
            (self.path / name).symlink_to(ROOT / name)

    def start(self, **environment: str) -> None:
        """Start the script, with its output in a file: a terminal that nobody reads must not stop it."""
        settings = {
            "PORT": str(self.port),
            "PORTAL_PORT": str(self.portal_port),
            "EDGE": "",
            "DEMO": "",
            "EDGE_PORT": str(self.edge_port),
            "HOMEPORT_MAIL_DOMAINS": "of-another-homeport.test",
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, self.path / "scripts" / "run.py"],
                env=os.environ | settings | environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_it_says(self, text: str) -> str:
        """Return all that was printed by the time `text` was."""
        assert self.process is not None
        give_up = time.monotonic() + START_S
        while text not in (printed := self.output.read_text()):
            assert self.process.poll() is None, printed
            assert time.monotonic() < give_up, printed
            time.sleep(POLL_S)
        return printed

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, if one is given, and return the exit code."""
        assert self.process is not None
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def processes(self) -> list[int]:
        """Who runs with a setting that points in here."""
        return [pid for pid, environment in environments() if bytes(self.path / "var") in environment]

    def letters(self) -> list[Path]:
        return sorted((self.path / "var/mail/maildir/homeport.test").glob("*/new/*"))


def environments() -> Iterator[tuple[int, bytes]]:
    for directory in Path("/proc").glob("[1-9]*"):
        try:
            yield int(directory.name), (directory / "environ").read_bytes()
        except OSError:  # it ended meanwhile, or is somebody else's
            continue


@pytest.fixture
def checkout_with_edge(checkout: Checkout) -> Checkout:
    checkout.build_edge()
    return checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path)
    yield checkout
    if checkout.process is not None:
        checkout.process.kill()  # first: it starts nothing any more
        checkout.process.wait()
    for pid in checkout.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_delivers_a_sample_and_stops_everything(checkout: Checkout, number: signal.Signals) -> None:
    checkout.start()
    printed = checkout.wait_until_it_says(LAST_LINE)
    assert len(checkout.processes()) == 4  # ingress, delivery, broker, portal
    with urllib.request.urlopen(f"http://localhost:{checkout.portal_port}/livez", timeout=START_S) as answer:
        assert answer.status == 200
    assert f"http://localhost:{checkout.portal_port}/setup#" in printed
    [letter] = checkout.letters()
    assert letter.parts[-3] == "you"
    assert f"Sample message delivered: {letter.relative_to(checkout.path)}" in printed
    assert b"\nSubject: Homeport test message\r\n" in letter.read_bytes()
    assert checkout.end(number) == 0
    assert checkout.processes() == []
    assert "Traceback" not in checkout.output.read_text()


def test_run_says_how_to_post_another_message(checkout: Checkout) -> None:
    checkout.start()
    printed = checkout.wait_until_it_says(LAST_LINE)
    commands = dict(re.findall(r"^  ([a-z ]+): {2,}(\S.*)$", printed, re.MULTILINE))
    directory = checkout.path
    for what, part in [
        ("another message", "delivered: message "),
        ("what happened", "-> anyone@homeport.test"),
        ("what waits", "Nothing is in queue."),
    ]:
        said = subprocess.run(
            commands[what].split(), cwd=directory, capture_output=True, text=True, check=True, timeout=START_S
        )
        assert part in said.stdout
    assert [letter.parts[-3] for letter in checkout.letters()] == ["anyone", "you"]


def test_run_again_finds_its_keys_and_mail(checkout: Checkout) -> None:
    seen = []
    for _ in range(2):
        checkout.start()
        checkout.wait_until_it_says(LAST_LINE)
        assert checkout.end(signal.SIGINT) == 0
        seen.append(((checkout.path / "var/mail/keys").read_text(), len(checkout.letters())))
    (keys, letters), (keys_again, letters_again) = seen
    assert keys_again == keys
    assert (letters, letters_again) == (1, 2)


def test_run_on_a_port_in_use_says_so_and_leaves_nothing(checkout: Checkout) -> None:
    with socket.create_server(("127.0.0.1", checkout.port)):
        checkout.start()
        assert checkout.end() == 1
    printed = checkout.output.read_text()
    assert f"homeport: error: port {checkout.port} cannot be used: Address already in use" in printed
    assert "make run PORT=" in printed
    assert "Traceback" not in printed
    assert checkout.processes() == []
    checkout.start()  # the first try is not in the way of the second
    checkout.wait_until_it_says(LAST_LINE)


def test_run_ends_with_an_error_when_one_of_its_processes_does(checkout: Checkout) -> None:
    checkout.start()
    checkout.wait_until_it_says(LAST_LINE)
    os.kill(checkout.processes()[-1], signal.SIGKILL)
    assert checkout.end() == 1
    assert "ended (exit code -9)" in checkout.output.read_text()
    assert checkout.processes() == []


class TestDemo:
    def test_run_with_demo_has_a_portal_of_its_own_beside_a_sample_cloudflare(self, checkout: Checkout) -> None:
        (checkout.path / "tests").symlink_to(ROOT / "tests")
        states = [checkout.path / f"var/demo/{port}/state" for port in (checkout.portal_port, checkout.port)]
        for state in states:
            state.mkdir(parents=True)
            (state / "left").write_text("of an earlier demonstration, or of one that runs on another port")
        checkout.start(DEMO="1")
        printed = checkout.wait_until_it_says(LAST_LINE)
        assert "This is a demonstration: its Cloudflare, with zones, mail and tunnel, is made up." in printed
        with urllib.request.urlopen(f"http://localhost:{checkout.portal_port}/api/session", timeout=START_S) as answer:
            assert json.load(answer)["is_demo"] is True
        assert [(state / "left").exists() for state in states] == [False, True]
        assert (states[0] / "portal.sqlite3").exists()
        assert not (checkout.path / "var/portal").exists()
        assert len(checkout.processes()) == 5  # ingress, delivery, Cloudflare, broker, portal
        assert checkout.end(signal.SIGINT) == 0
        assert checkout.processes() == []
        assert "Traceback" not in checkout.output.read_text()

    def test_demonstration_that_cannot_begin_anew_says_so(self, checkout: Checkout) -> None:
        (checkout.path / "tests").symlink_to(ROOT / "tests")
        (checkout.path / "var/demo").mkdir(parents=True)
        (checkout.path / f"var/demo/{checkout.portal_port}").write_text("no directory")
        checkout.start(DEMO="1")
        assert checkout.end() == 1
        printed = checkout.output.read_text()
        assert f"homeport: error: var/demo/{checkout.portal_port} cannot be emptied: Not a directory" in printed
        assert "Traceback" not in printed
        assert checkout.processes() == []

    def test_sample_cloudflare_does_not_outlive_a_killed_run(self, checkout: Checkout) -> None:
        (checkout.path / "tests").symlink_to(ROOT / "tests")
        checkout.start(DEMO="1")
        checkout.wait_until_it_says(LAST_LINE)
        checkout.end(signal.SIGKILL)
        give_up = time.monotonic() + STOP_S
        while len(checkout.processes()) > 4:  # mail processes and portal are left: nobody tells them
            assert time.monotonic() < give_up
            time.sleep(POLL_S)


class TestEdge:
    def ask(self, url: str, data: bytes | None = None) -> Any:
        with urllib.request.urlopen(url, data=data, timeout=START_S) as answer:
            return json.load(answer)

    def commands(self, printed: str) -> dict[str, list[str]]:
        """The commands that it shows, in words, by what they are for."""
        matches = re.finditer(r"^  ([A-Za-z ]+): +(\S.*)$", printed, re.MULTILINE)
        return {match[1]: shlex.split(match[2]) for match in matches}

    def post(self, checkout: Checkout, command: list[str]) -> Any:
        """Do what this curl command does; a machine may have none."""
        assert command[:2] == ["curl", "--data-binary"]
        return self.ask(command[3], (checkout.path / command[2].removeprefix("@")).read_bytes())

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_run_with_edge_delivers_a_raw_letter_and_stops_everything(
        self, checkout_with_edge: Checkout, number: signal.Signals
    ) -> None:
        checkout = checkout_with_edge
        checkout.start(EDGE="1")
        printed = checkout.wait_until_it_says(LAST_LINE)
        [letter] = checkout.letters()
        assert f"Sample letter through the edge: {letter.relative_to(checkout.path)}" in printed
        assert letter.read_bytes().endswith((checkout.path / "var/edge/letter.eml").read_bytes())
        assert stat.S_IMODE((checkout.path / "var/edge/edge.json").stat().st_mode) == 0o600  # it holds the key
        assert len(checkout.processes()) == 6  # ingress, delivery, broker, portal, Node, workerd
        assert checkout.end(number) == 0
        assert checkout.processes() == []
        assert "Traceback" not in checkout.output.read_text()

    def test_run_with_edge_says_how_to_post_a_letter_and_see_it_retained(self, checkout_with_edge: Checkout) -> None:
        checkout = checkout_with_edge
        checkout.start(EDGE="1")
        commands = self.commands(checkout.wait_until_it_says(LAST_LINE))
        taken = {"outcome": "ok", "reject": None, "error": None}
        for count in (1, 2):  # the same letter twice: it is no sender's repeat
            assert self.post(checkout, commands["another letter"]) == taken
            assert len(list(checkout.path.glob("var/mail/maildir/homeport.test/anyone/new/*"))) == count

        subprocess.run(commands["stop the mail API"], check=True)
        assert self.post(checkout, commands["another letter"]) == taken
        [stored] = self.ask(commands["what is retained"][1])
        assert checkout.end(signal.SIGINT) == 0  # also with a stopped mail API
        assert checkout.processes() == []

        checkout.start(EDGE="1")
        commands = self.commands(checkout.wait_until_it_says(LAST_LINE))
        assert self.ask(commands["what is retained"][1]) == [stored]
        self.ask(commands["run the cron"][-1], b"")
        assert self.ask(commands["what is retained"][1]) == []
        assert len(list(checkout.path.glob("var/mail/maildir/homeport.test/anyone/new/*"))) == 3

    def test_run_ends_with_an_error_when_the_edge_does(self, checkout_with_edge: Checkout) -> None:
        checkout = checkout_with_edge
        checkout.start(EDGE="1")
        checkout.wait_until_it_says(LAST_LINE)
        [edge] = [pid for pid in checkout.processes() if b"edge.mjs" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(edge, signal.SIGKILL)
        assert checkout.end() == 1
        assert "homeport: error: edge ended (exit code -9)" in checkout.output.read_text()
        assert checkout.processes() == []

    def test_edge_does_not_outlive_a_killed_run(self, checkout_with_edge: Checkout) -> None:
        checkout = checkout_with_edge
        checkout.start(EDGE="1")
        checkout.wait_until_it_says(LAST_LINE)
        checkout.end(signal.SIGKILL)
        give_up = time.monotonic() + STOP_S
        while len(checkout.processes()) > 4:  # mail processes and portal are left: nobody tells them
            assert time.monotonic() < give_up
            time.sleep(POLL_S)

    def test_run_with_edge_on_a_port_in_use_says_so(self, checkout_with_edge: Checkout) -> None:
        checkout = checkout_with_edge
        with socket.create_server(("127.0.0.1", checkout.edge_port)):
            checkout.start(EDGE="1")
            assert checkout.end() == 1
        assert "make run EDGE=1 EDGE_PORT=" in checkout.output.read_text()
        assert checkout.processes() == []

    @pytest.mark.parametrize("missing", [".node/bin/node", "stacks/mailserver/email-worker/dist/worker.js"])
    def test_run_with_edge_that_is_not_built_says_how_to_build_it(self, checkout: Checkout, missing: str) -> None:
        for name in (".node/bin/node", "stacks/mailserver/email-worker/dist/worker.js"):
            if name != missing:
                (checkout.path / name).parent.mkdir(parents=True)
                (checkout.path / name).touch()
        checkout.start(EDGE="1")
        assert checkout.end() == 1
        printed = checkout.output.read_text()
        assert f"homeport: error: {missing} is not there; make it with: make worker" in printed
        assert "Traceback" not in printed
        assert checkout.processes() == []
