"""run() with real programs: what they get, what they say, and that nothing of them is left."""

from __future__ import annotations

import io
import json
import os
import select
import sys
from pathlib import Path

import pytest

from kit import command
from kit.command import CommandFailed, CommandNotStarted, CommandTimedOut, run, running
from kit.logging import configure


def python(source: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", source, *arguments]


def test_command_output_and_exit_code_are_returned() -> None:
    completed = run(python("import sys; print('out'); print('err', file=sys.stderr)"), timeout_s=30.0)
    assert (completed.exit_code, completed.stdout, completed.stderr) == (0, b"out\n", b"err\n")
    assert completed.seconds > 0


def test_command_arguments_reach_the_program_unchanged() -> None:
    hostile = ["$(id)", "a b", "'; rm -rf x", "*", "-n", "é\n"]
    completed = run(python("import sys, json; print(json.dumps(sys.argv[1:]))", *hostile), timeout_s=30.0)
    assert json.loads(completed.stdout) == hostile


def test_command_environment_is_small_and_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEPORT_PORTAL_TOKEN", "hunter22")
    completed = run(["/usr/bin/env"], timeout_s=30.0, env={"RESTIC_CACHE": "/c"})
    names = {line.split("=", 1)[0] for line in completed.stdout.decode().splitlines()}
    assert names <= {"PATH", "HOME", "TZ", "LC_ALL", "RESTIC_CACHE"}
    assert {"LC_ALL", "RESTIC_CACHE"} <= names


def test_command_standard_input_is_given_or_empty() -> None:
    echo = python("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())")
    large = os.urandom(300_000)  # more than a pipe holds
    assert run(echo, timeout_s=30.0, stdin=large).stdout == large
    assert run(echo, timeout_s=30.0).stdout == b""


def test_command_runs_in_the_given_directory(tmp_path: Path) -> None:
    assert run(["/bin/pwd"], timeout_s=30.0, cwd=tmp_path).stdout.decode().strip() == str(tmp_path.resolve())


def test_command_failed_says_code_and_error() -> None:
    with pytest.raises(CommandFailed, match="ended with 3: no such table") as caught:
        run(python("import sys; print('no such table', file=sys.stderr); sys.exit(3)"), timeout_s=30.0)
    assert caught.value.completed.exit_code == 3


def test_command_ended_by_a_signal_is_a_failure() -> None:
    with pytest.raises(CommandFailed, match="ended with -9"):
        run(python("import os; os.kill(os.getpid(), 9)"), timeout_s=30.0)


def test_command_absent_or_not_executable_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    for program in ("/nonexistent/program", str(tmp_path / "data")):
        with pytest.raises(CommandNotStarted, match="cannot be started"):
            run([program], timeout_s=30.0)


@pytest.mark.parametrize("argv", [[], [""], ["-c"], ["/bin/echo", "a\0b"]])
def test_command_argv_that_is_none_is_refused(argv: list[str]) -> None:
    with pytest.raises(ValueError, match="argv must begin with a program"):
        run(argv, timeout_s=30.0)


FAMILY = """
import os, signal, sys
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    with open(sys.argv[1] + ".tmp", "w") as pids:
        pids.write(f"{os.getpid()} {child}")
    os.rename(sys.argv[1] + ".tmp", sys.argv[1])
signal.pause()
"""


@pytest.mark.parametrize("manner", ["polite", "stubborn"])
def test_command_timed_out_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: str) -> None:
    monkeypatch.setattr(command, "GRACE_S", 0.2)
    with pytest.raises(CommandTimedOut, match=r"did not end within 2 s"):
        run(python(FAMILY, str(tmp_path / "pids"), manner), timeout_s=2.0)
    for pid in (tmp_path / "pids").read_text().split():
        assert _ends(int(pid))


def _ends(pid: int) -> bool:
    """Whether the process is gone, or goes within 10 s: it may be on its way out still."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10.0)[0])
    finally:
        os.close(descriptor)


def test_command_secrets_appear_neither_in_log_nor_in_errors() -> None:
    log = io.StringIO()
    configure(json=True, stream=log)
    with pytest.raises(CommandFailed) as caught:
        run(
            python("import sys; sys.exit('wrong password ' + sys.argv[1])", "hunter22-long", "--p=hunter22"),
            timeout_s=30.0,
            secrets=["hunter22", "hunter22-long", ""],
        )
    logged = log.getvalue()
    assert "command_ended" in logged
    assert "[redacted]" in logged
    for text in (logged, str(caught.value), repr(caught.value.completed)):
        assert "hunter22" not in text
        assert "-long" not in text


def test_command_output_goes_to_a_sink_piece_by_piece() -> None:
    pieces: list[bytes] = []
    completed = run(
        python(
            "import sys\nfor _ in range(64): sys.stdout.buffer.write(b'x' * 65536)\nsys.stderr.write('e' * 100_000)"
        ),
        timeout_s=30.0,
        sink=pieces.append,
    )
    assert b"".join(pieces) == b"x" * 64 * 65536
    assert len(pieces) > 1
    assert (completed.stdout, completed.stderr) == (b"", b"e" * command.KEPT_BYTES)


def test_command_with_a_sink_that_fails_says_what_it_said() -> None:
    with pytest.raises(CommandFailed, match="ended with 2: table is gone"):
        run(python("import sys; print('half'); sys.stderr.write('table is gone'); sys.exit(2)"), timeout_s=30, sink=len)


@pytest.mark.parametrize("source", ["while True: print('x' * 10_000)", "import time; time.sleep(60)"])
def test_command_with_a_sink_has_a_deadline_however_much_it_says(source: str) -> None:
    with pytest.raises(CommandTimedOut, match="did not end within"):
        run(python(source), timeout_s=0.5, sink=len)


def test_command_ends_when_its_sink_fails(tmp_path: Path) -> None:
    source = (
        "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); print('x', flush=True); time.sleep(60)"
    )

    def full(_: bytes) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run(python(source, str(tmp_path / "pid")), timeout_s=30.0, sink=full)
    assert _ends(int((tmp_path / "pid").read_text()))


def test_command_reads_a_descriptor_from_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"first line\n" + b"x" * 300_000)
    with (tmp_path / "dump").open("rb", buffering=0) as file:
        file.seek(11)
        completed = run(["/bin/cat"], timeout_s=30.0, stdin=file.fileno())
    assert completed.stdout == b"x" * 300_000


def test_command_keeps_only_the_descriptors_that_were_passed() -> None:
    kept, other = os.memfd_create("kept"), os.memfd_create("other")
    try:
        for descriptor in (kept, other):
            os.set_inheritable(descriptor, True)
        os.write(kept, b"options")
        assert run(["/bin/cat", f"/dev/fd/{kept}"], timeout_s=30.0, pass_fds=[kept]).stdout == b"options"
        with pytest.raises(CommandFailed):
            run(["/bin/cat", f"/dev/fd/{other}"], timeout_s=30.0, pass_fds=[kept])
    finally:
        os.close(kept)
        os.close(other)


def test_command_takes_no_bytes_beside_a_sink() -> None:
    with pytest.raises(ValueError, match="either a sink or bytes"):
        run(["/bin/cat"], timeout_s=30.0, stdin=b"", sink=len)


def test_a_program_that_stays_is_there_for_the_block_and_then_ended_with_its_children(tmp_path: Path) -> None:
    source = (
        "import os, subprocess, sys, time; print('said', flush=True); child = subprocess.Popen(['/bin/sleep', '60']);"
        "open(sys.argv[1] + '.part', 'w').write(f'{os.getpid()} {child.pid}');"
        "os.rename(sys.argv[1] + '.part', sys.argv[1]); time.sleep(60)"
    )
    with running(python(source, str(tmp_path / "pids")), log=tmp_path / "log") as is_running:
        while not (tmp_path / "pids").exists():
            assert is_running()
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(_ends(pid) for pid in pids)
    assert not is_running()
    assert (tmp_path / "log").read_text() == "said\n"


def test_a_program_that_stays_is_ended_when_the_block_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="of the block"),
        running(["/bin/sleep", "60"], log=tmp_path / "log") as is_running,
    ):
        raise RuntimeError("of the block")
    assert not is_running()


def test_a_program_that_stays_and_is_not_there_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(CommandNotStarted, match="no-such-program"), running(["/no-such-program"], log=tmp_path / "log"):
        pass
