"""Namespaces of their own for daemons that must stand at fixed paths and ports, as they do in their containers.

    with Namespaces(directory, overlays=["/etc"], binds={...}) as apart:
        subprocess.run([*apart.enter, "ls", "/srv/sites"])

A network with nothing but a loopback, and a view of the file system in which `directory`/etc lies over /etc, say, and
other directories stand where a container has them. A process in there is an ordinary one otherwise: same users, same
kernel, and it sees what is not covered. Needs root. `Forward` leads a TCP port into the network, or out of it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services.process import Daemon, Service, ServiceFailed

ANSWER_S = 10.0
UNSHARE = ("unshare", "--mount", "--propagation", "private")


class Namespaces(Service):
    """A mount and a network namespace, held by a process that sleeps.

    directory   for its log; `directory`/root/<path> lies over <path> for each of `overlays`
    overlays    absolute paths of directories
    binds       what stands where: path inside -> path outside; made after the overlays and `prepare`
    prepare     shell commands run inside before the binds, such as a mount of an empty /run
    """

    def __init__(
        self, directory: Path, *, overlays: Sequence[str], binds: Mapping[str, Path], prepare: Sequence[str] = ()
    ) -> None:
        if os.geteuid() != 0:
            raise ServiceFailed("namespaces need root")
        if missing := [name for name in ("unshare", "nsenter", "setpriv", "ip") if shutil.which(name) is None]:
            raise ServiceFailed(f"{', '.join(missing)} not installed: apt-get install util-linux iproute2")
        self._ready_file = directory / "namespaces.ready"
        lines = ["set -e", "ip link set lo up"]
        for path in overlays:
            lower = f"{directory}/root{path}:{path}"
            lines.append(f"mount -t overlay overlay -o lowerdir={shlex.quote(lower)} {shlex.quote(path)}")
        lines += prepare
        lines += [
            f"mount --bind {shlex.quote(str(outside))} {shlex.quote(inside)}" for inside, outside in binds.items()
        ]
        lines += [f"touch {shlex.quote(str(self._ready_file))}", "exec sleep infinity"]
        self.daemon = Daemon(
            [*UNSHARE, "--net", "sh", "-c", "\n".join(lines)], ready=self._look, log=directory / "namespaces.log"
        )

    @property
    def enter(self) -> list[str]:
        """Put before a command line, this runs it inside."""
        place = f"/proc/{self.daemon.pid}/ns"
        return ["nsenter", f"--mount={place}/mnt", f"--net={place}/net", "--"]

    def start(self) -> None:
        self._ready_file.unlink(missing_ok=True)
        self.daemon.start()

    def close(self) -> None:
        self.daemon.kill()

    def contain(self, script: str, command: str) -> list[str]:
        """The command line of a daemon in a process namespace of its own.

        script    what a shell does before as root; what it mounts is seen by this daemon alone
        command   becomes the daemon

        The shell stays as process 1: whatever the daemon does, such as beginning a session of its own, the kernel ends
        all of it with that one, and that one with `unshare`. A daemon that took its place would not be, since a change
        of user takes the parent's death signal away (prctl(2)).
        """
        apart = [*UNSHARE, "--pid", "--fork", "--kill-child", "--mount-proc"]
        return [*self.enter, *apart, "sh", "-ec", f"{script}\n{command} &\nwait $!"]

    def _look(self) -> None:
        if not self._ready_file.exists():
            raise ConnectionError("the namespaces are not ready")


def contained_pid(daemon: Daemon) -> int:
    """The pid, outside, of the process that is 1 inside: what `nsenter --target` takes.

    raises   ConnectionError while it is not there, or no longer
    """
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    if len(children) != 1:
        raise ConnectionError(f"{daemon.argv[0]} has {len(children)} children")
    return int(children[0])


class Forward(Service):
    """TCP ports led into a network namespace, or out of it. Connections from one side come from 127.0.0.1 on the other.

    into    port outside -> port inside, both of 127.0.0.1
    out     port inside -> port outside
    """

    def __init__(
        self, namespaces: Namespaces, log: Path, *, into: Mapping[int, int] = {}, out: Mapping[int, int] = {}
    ) -> None:
        self._namespaces = namespaces
        self._log = log
        self._tables = {"into": dict(into), "out": dict(out)}
        self._daemon: Daemon | None = None

    def start(self) -> None:
        arguments = [
            ",".join(f"{listen}:{connect}" for listen, connect in self._tables[name].items())
            for name in ("into", "out")
        ]
        program = str(Path(__file__).with_name("forward.py"))
        network = f"/proc/{self._namespaces.daemon.pid}/ns/net"
        before = self._log.stat().st_size if self._log.exists() else 0
        self._daemon = Daemon(
            [sys.executable, program, network, *arguments], ready=lambda: self._look(before), log=self._log
        )
        self._daemon.start()

    def close(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()

    def _look(self, before: int) -> None:
        if b"listening" not in self._log.read_bytes()[before:]:
            raise ConnectionError("nothing is forwarded yet")
        for port in self._tables["into"]:
            with socket.socket() as probe:
                probe.settimeout(ANSWER_S)
                probe.connect(("127.0.0.1", port))
