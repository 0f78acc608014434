"""One daemon with all its children: started in a session of its own, signalled as one, ended and waited for.

A session's id is the pid of the child started here. The kernel does not give that number away while a member of the
session lives, so a signal can only reach what was started here.

When the test process itself dies without a word (SIGKILL, `os._exit` by a timeout), its daemons are killed too: a small
shell waits beside each for the end of a pipe. Their directories stay then.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

START_DEADLINE_S = 20.0  # Dovecot needs 0.1 s, Postfix 0.5 s; two cores are shared with other test workers
STOP_DEADLINE_S = 10.0
POLL_S = 0.01
PORTS = range(10240, 32768)  # below Linux's ephemeral range, else a client's own port could take a stopped daemon's

_GIVEN: set[int] = set()
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ServiceFailed(RuntimeError):
    """A daemon did not start, or did not end; the message carries the end of its log."""


class ProcessStat(NamedTuple):
    """What tests need of /proc/PID/stat, proc(5)."""

    pid: int
    session: int
    state: str  # one letter: R, S, D, T, Z ...
    cpu_s: float  # user and system time, its own and of its children already waited for


def process_stats() -> Iterator[ProcessStat]:
    """Yield every process on this machine that can be read, zombies included."""
    for directory in Path("/proc").glob("[1-9]*"):
        try:
            stat = (directory / "stat").read_text(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        fields = stat.rpartition(")")[2].split()  # the name may hold anything; `fields[0]` is field 3, the state
        ticks = sum(map(int, fields[11:15]))
        yield ProcessStat(int(directory.name), int(fields[3]), fields[0], ticks / _TICKS_PER_S)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on. It isn't reserved: a daemon that finds it taken fails.

    This process gets no number twice: the first may not be bound yet.
    """
    while True:
        port = random.choice(PORTS)
        if port in _GIVEN:
            continue
        with socket.socket() as probe:
            # Without SO_REUSEADDR a port with connections in TIME_WAIT would look taken, with it a listener still does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _GIVEN.add(port)
        return port


class Service(ABC):
    """What tests start on entering a `with` and close on leaving it, also when the start fails half-way."""

    @abstractmethod
    def start(self) -> None:
        """Return when it answers its protocol."""

    @abstractmethod
    def close(self) -> None:
        """End it and everything it started."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Daemon:
    """A program and its children.

    argv    stays in the foreground
    ready   returns when the daemon answered its protocol, raises OSError while it doesn't
    log     gets the program's output, is appended to; its end is shown when the daemon fails
    """

    def __init__(
        self, argv: Sequence[str], *, ready: Callable[[], object], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.argv = list(argv)
        self.log = log
        self._ready = ready
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the program, which is its session's id too. Raise ServiceFailed when it isn't running."""
        if self._process is None:
            raise ServiceFailed(f"{self.argv[0]} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def members(self) -> list[ProcessStat]:
        """The program and its children, without zombies."""
        return [stat for stat in process_stats() if stat.session == self.pid and stat.state != "Z"]

    def start(self, *, deadline_s: float = START_DEADLINE_S) -> None:
        """Return when the daemon is ready. Raise ServiceFailed, with nothing left behind, when it isn't in time."""
        if self.is_running:
            raise ServiceFailed(f"{self.argv[0]} is running already")
        self.kill()  # what is left of one that ended by itself
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._env, start_new_session=True
            )
        # An end of file, and no line, means that we are gone. A session of its own keeps Ctrl-C from it.
        guard = ["sh", "-c", "read _ || kill -s KILL -- -$0", str(self.pid)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        give_up = time.monotonic() + deadline_s
        while True:
            try:
                self._ready()
                return
            except OSError as error:
                if time.monotonic() > give_up or self._ended(within_s=POLL_S):
                    self.kill()
                    raise ServiceFailed(f"{self.argv} isn't ready: {error}\n{self.log_tail()}") from error

    def stop(self, *, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Ask it to end (SIGTERM); return when all its processes are gone. Raise ServiceFailed if that took a kill."""
        if self._process is None:
            return
        self.resume()
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)
        if not self._gone(deadline_s):
            self.kill()
            raise ServiceFailed(f"{self.argv} did not end within {deadline_s} s\n{self.log_tail()}")
        self._forget()

    def kill(self) -> None:
        """End all its processes at once (SIGKILL); return when they are gone."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        if not self._gone(STOP_DEADLINE_S):
            raise ServiceFailed(f"{self.argv} survived SIGKILL")
        self._forget()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): the kernel goes on accepting connections for it, nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        # Members, not the group: some daemons give their children groups of their own. The program itself comes first
        # (lower pid, starts nothing any more when stopped); repeated until a look finds nobody new.
        signalled: set[int] = set()
        while new := [stat.pid for stat in self.members() if stat.pid not in signalled]:
            for pid in sorted(new, key=lambda pid: pid != self.pid):
                signalled.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _forget(self) -> None:
        assert self._guard is not None
        self._guard.communicate(b"\n")
        self._process = self._guard = None

    def _ended(self, *, within_s: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _gone(self, deadline_s: float) -> bool:
        give_up = time.monotonic() + deadline_s
        if not self._ended(within_s=deadline_s):
            return False
        while self.members():
            if time.monotonic() > give_up:
                return False
            time.sleep(POLL_S)  # grandchildren can't be waited for, only looked at
        return True


class Server(Service):
    """A daemon in a directory of its own, on the same address for as long as the object lives. A subclass sets both."""

    directory: Path
    daemon: Daemon

    def start(self) -> None:
        self.daemon.start()

    def stop(self) -> None:
        """End it in order. Connections are refused until `start`."""
        self.daemon.stop()

    def kill(self) -> None:
        """End it like a power cut would: nothing is said on any connection but its end."""
        self.daemon.kill()

    def pause(self) -> None:
        """Let it hang: it accepts connections and never answers. `stop`, `kill` and `close` still work."""
        self.daemon.pause()

    def resume(self) -> None:
        self.daemon.resume()

    def close(self) -> None:
        """Kill it and remove its directory, data included."""
        self.daemon.kill()
        shutil.rmtree(self.directory)
