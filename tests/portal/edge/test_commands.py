"""`homeport edge` as an operator types it: in a process of its own, on a terminal, and with nothing configured."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from portal.edge.ownership import locked
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Object
from tests.portal.conftest import Edge, Ended

HOMEPORT = str(Path(sys.executable).with_name("homeport"))
COMMANDS = ("plan", "deploy", "sync", "status", "drain", "destroy")


def run(edge: Edge, *arguments: str, stdin: str | None = None) -> Ended:
    ended = subprocess.run(
        [HOMEPORT, "edge", *arguments],
        env=os.environ | edge.environment,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def run_on_terminal(edge: Edge, *arguments: str, answer: str, meanwhile: Callable[[], None] | None = None) -> Ended:
    """Run with a terminal as standard input; type the answer when asked, after what happens `meanwhile`."""
    ours, theirs = pty.openpty()
    with contextlib.ExitStack() as held:
        held.callback(os.close, ours)
        process = held.enter_context(
            subprocess.Popen(
                [HOMEPORT, "edge", *arguments],
                env=os.environ | edge.environment,
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
        )
        held.callback(process.kill)
        os.close(theirs)
        assert process.stderr is not None
        asked = ""
        while not asked.endswith("[y/N]:") and (char := process.stderr.read(1)):
            asked += char
        if meanwhile is not None:
            meanwhile()
        os.write(ours, answer.encode())
        out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, asked + err)


def test_a_whole_life(edge: Edge) -> None:
    assert run(edge, "plan").code == 0
    assert run(edge, "deploy", "--yes").out.endswith("The edge is in order.\n")
    assert run(edge, "sync", "--from", "-", stdin="bob@home.example\n").out.startswith("home.example: 1 addresses")
    assert "homeport-mail version" in run(edge, "status").out
    assert run(edge, "destroy", "--yes").out.endswith("Everything that Homeport made is removed.\n")


def test_progress_goes_to_standard_error(edge: Edge) -> None:
    ended = run(edge, "deploy", "--yes", "--json")
    assert len(ended.document["plan"]["steps"]) == 11
    assert "done: create worker homeport-mail" in ended.err


@pytest.mark.parametrize(("answer", "is_done"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_terminal_is_asked(edge: Edge, cf: CloudflareFake, answer: str, is_done: bool) -> None:
    cf.state.subdomain = None  # so that the plan names the installation, which no file holds yet
    ended = run_on_terminal(edge, "deploy", answer=answer)
    assert "Do this at Cloudflare?" in ended.err
    assert "create worker homeport-mail" in ended.out
    assert (ended.code == 0) == is_done
    assert bool(cf.writes) == is_done


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command: str) -> None:
    ended = subprocess.run([HOMEPORT, "edge", command, "--help"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    assert "--json" in ended.stdout


@pytest.mark.parametrize("arguments", [["plan", "--no-such-option"], ["sync"], ["no-such-command"], []])
def test_wrong_usage_is_two(edge: Edge, arguments: list[str]) -> None:
    assert run(edge, *arguments).code == 2


@pytest.mark.parametrize("command", [[*each] for each in (("plan",), ("deploy", "--yes"), ("status",), ("drain",))])
def test_missing_settings_are_all_named(edge: Edge, command: list[str]) -> None:
    edge.settings.clear()
    ended = run(edge, *command)
    assert ended.code == 1
    assert "HOMEPORT_PORTAL_CLOUDFLARE_TOKEN is not set" in ended.err
    assert "HOMEPORT_PORTAL_EDGE_KEYS_FILE is not set" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("keys", None, "`homeport mail keys new` makes one"),
        ("keys", b"k1:00\n", "64 hex digits"),
        ("worker.js", None, "`make worker` builds it"),
        ("worker.js", b"", "is no Worker"),
        ("state/edge.json", b"{", "cannot be read"),
        ("state/edge-recipients.key", b"xyz", "does not hold 32 bytes"),
    ],
)
def test_file_that_is_missing_or_wrong_is_said(
    edge: Edge, cf: CloudflareFake, file: str, content: bytes | None, said: str
) -> None:
    path = edge.directory / file
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    for command in (["plan"], ["deploy", "--yes"]):
        ended = edge.run(*command)
        assert ended.code == 1
        assert said in ended.error
    assert not cf.writes


def test_second_change_at_once_is_refused(edge: Edge, cf: CloudflareFake) -> None:
    with locked(edge.state_dir):
        for command in (["deploy", "--yes"], ["destroy", "--yes"], ["sync", "--from", "-"]):
            ended = edge.run(*command)
            assert ended.code == 1
            assert "another `homeport edge`" in ended.error
        assert edge.run("plan").code == 0
    assert not cf.writes


def test_change_between_plan_and_yes_stops_the_deploy(edge: Edge, cf: CloudflareFake) -> None:
    edge.deploy()
    edge.zone.routing.catch_all.enabled = False
    writes = len(cf.writes)

    def meanwhile() -> None:
        edge.zone.routing.catch_all.enabled = True
        cf.state.scripts["homeport-mail"].crons = []

    ended = run_on_terminal(edge, "deploy", answer="y\n", meanwhile=meanwhile)
    assert ended.code == 1
    assert "something has changed since the plan was shown" in ended.error
    assert len(cf.writes) == writes


def test_mail_between_plan_and_yes_stops_the_destroy(edge: Edge, cf: CloudflareFake) -> None:
    edge.deploy()
    writes = len(cf.writes)

    def meanwhile() -> None:
        cf.state.buckets["homeport-mail-retained"].objects["pending/1-2.eml"] = Object(b"x")

    ended = run_on_terminal(edge, "destroy", answer="y\n", meanwhile=meanwhile)
    assert ended.code == 1
    assert "something has changed since the plan was shown" in ended.error
    assert len(cf.writes) == writes


def test_terminal_may_say_yes_to_a_destroy(edge: Edge, cf: CloudflareFake) -> None:
    edge.deploy()
    assert run_on_terminal(edge, "destroy", answer="y\n").code == 0
    assert cf.state.scripts == {}
