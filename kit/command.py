"""Run another program: an argument list, never a shell, always a deadline. Not for mail_api, which runs none.

The child gets a small, known environment (PATH, HOME, TZ, LC_ALL=C.UTF-8) and what the caller adds, so that no secret
of ours travels on by accident. Secrets reach a program by standard input or by a file, not by an argument; where that
cannot be avoided they are named in `secrets`, and appear neither in the log nor in an error. Standard input is empty
unless given, so that no program waits for a terminal. Descriptors are closed in the child but for `pass_fds`.

    CommandError
     ├── CommandNotStarted   there is no such program, or it cannot be executed
     ├── CommandFailed       it ended with another exit code than 0, or by a signal
     └── CommandTimedOut     it was ended by us
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

GRACE_S = 5.0  # between SIGTERM and SIGKILL: long enough for restic or a dump client to remove its lock
INHERITED = ("PATH", "HOME", "TZ")
SHOWN_CHARACTERS = 500  # of standard error, in an error's text
CHUNK_BYTES = 1024**2  # at most this much at once goes to a sink
KEPT_BYTES = 64 * 1024  # of standard error, when standard output goes to a sink


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended.

    argv       as it may be shown: secrets replaced
    exit_code  0 to 255, or -N when signal N ended it
    """

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    seconds: float


class CommandError(Exception):
    """A program did not do what it was started for. The text holds none of the caller's secrets."""


class CommandNotStarted(CommandError):
    pass


class CommandFailed(CommandError):
    def __init__(self, completed: Completed, said: str) -> None:
        super().__init__(f"{completed.argv[0]} ended with {completed.exit_code}" + (f": {said}" if said else ""))
        self.completed = completed


class CommandTimedOut(CommandError):
    pass


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | int | None = None,
    secrets: Collection[str] = (),
    pass_fds: Collection[int] = (),
    sink: Callable[[bytes], object] | None = None,
) -> Completed:
    """Run a program to its end and return what it said. Blocks: call it from a worker thread in an async process.

    argv       argv[0] is a fixed word or an absolute path in the caller's source, never something it was given
    timeout_s  for the whole run; then the program and all it has started get SIGTERM, and SIGKILL after GRACE_S
    env        added to the small environment above
    stdin      its standard input: bytes, or a descriptor that is read from where it stands
    pass_fds   descriptors that stay open in the program, under the same numbers (/dev/fd/N)
    sink       gets standard output piece by piece, so that it need not fit in memory: `stdout` is empty then, and of
               standard error the end is kept. What it raises ends the program and passes through. Not with bytes as
               standard input
    raises     CommandNotStarted, CommandFailed, CommandTimedOut; ValueError for an argv that is none
    """
    if not argv or not argv[0] or argv[0].startswith("-") or any("\0" in argument for argument in argv):
        raise ValueError("argv must begin with a program and contain no NUL")
    if sink is not None and isinstance(stdin, bytes):
        raise ValueError("either a sink or bytes as standard input")
    shown = tuple(_hide(argument, secrets) for argument in argv)
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    started = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603  # an argument list, checked above
            list(argv),
            env=inherited | {"LC_ALL": "C.UTF-8"} | dict(env or {}),
            cwd=cwd,
            stdin=_standard_input(stdin),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(pass_fds),
            start_new_session=True,  # its own process group, so that ending it ends its children
        )
    except OSError as error:
        raise CommandNotStarted(f"{shown[0]} cannot be started: {error.strerror}") from error
    with process:
        try:
            if sink is None:
                given = stdin if isinstance(stdin, bytes) else None
                stdout, stderr = process.communicate(given, timeout=timeout_s)
            else:
                stdout, stderr = b"", _pump(process, sink, timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            _log().warning("command_timed_out", argv=shown, timeout_s=timeout_s)
            raise CommandTimedOut(f"{shown[0]} did not end within {timeout_s:g} s") from None
        except BaseException:
            _end(process)
            raise
    completed = Completed(shown, process.returncode, stdout, stderr, time.monotonic() - started)
    _log().info("command_ended", argv=shown, exit_code=completed.exit_code, seconds=round(completed.seconds, 3))
    if completed.exit_code != 0:
        said = _hide(stderr.decode("utf-8", "replace").strip(), secrets)
        raise CommandFailed(completed, said[-SHOWN_CHARACTERS:])
    return completed


@contextlib.contextmanager
def running(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> Iterator[Callable[[], bool]]:
    """Run a program that stays, for as long as the block; then it and all it has started are ended.

    argv    as for `run`
    log     a new file for what it says
    yields  what tells whether it is still there
    raises  CommandNotStarted
    """
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    with log.open("xb") as output:
        try:
            process = subprocess.Popen(  # noqa: S603  # an argument list, as for `run`
                list(argv),
                env=inherited | {"LC_ALL": "C.UTF-8"} | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandNotStarted(f"{argv[0]} cannot be started: {error.strerror}") from error
    with process:
        try:
            yield lambda: process.poll() is None
        finally:
            _end(process)
            _log().info("command_ended", argv=tuple(argv), exit_code=process.returncode)


def _standard_input(stdin: bytes | int | None) -> int:
    if stdin is None:
        return subprocess.DEVNULL
    return stdin if isinstance(stdin, int) else subprocess.PIPE


def _pump(process: subprocess.Popen[bytes], sink: Callable[[bytes], object], timeout_s: float) -> bytes:
    """Give standard output to the sink until the program has ended; return the end of standard error."""
    deadline = time.monotonic() + timeout_s
    said = b""
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(deadline - time.monotonic(), 0.0))
            if not ready or time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
            for key, _ in ready:
                chunk = os.read(key.fd, CHUNK_BYTES)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    sink(chunk)
                else:
                    said = (said + chunk)[-KEPT_BYTES:]
    process.wait(max(deadline - time.monotonic(), 0.0))
    return said


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process group. Whoever still holds our pipes is in it, so the pipes close."""
    for number, wait_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.communicate(timeout=wait_s)
        except subprocess.TimeoutExpired:
            continue


def _hide(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "[redacted]")
    return text


def _log() -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
