"""A real Postfix: smtpd on 127.0.0.1, every mailbox by LMTP into another server's mailboxes. The bench's yardstick.

    with Dovecot() as dovecot, Postfix(dovecot.lmtp_port, domains=["home.test"]) as postfix:
        ...                         # SMTP to 127.0.0.1:postfix.smtp_port

Settings are Postfix's own defaults (its queue file is fsynced before 250), except where a default would hold it back
in a comparison: no `in_flow_delay`, LMTP concurrency at its limit from the start, LMTP connections kept. Its own
configuration, queue and data directories; no chroot; no other domain is accepted. Needs root, as master(8) does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.services.process import Daemon, Server, ServiceFailed, free_port

ANSWER_S = 5.0

# master(5): service, type, private, unprivileged, chroot, wakeup, maxproc, command. Debian's master.cf, without chroot.
_SERVICES = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
local unix - n n - - local
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Server):
    """One Postfix before the LMTP server on 127.0.0.1:lmtp_port.

    domains       their addresses are accepted and handed to the LMTP server, whether it knows them or not
    concurrency   LMTP sessions at most
    """

    def __init__(self, lmtp_port: int, *, domains: Sequence[str], concurrency: int = 16) -> None:
        if os.geteuid() != 0:
            raise ServiceFailed("Postfix needs root: its master starts each service under its own account")
        if shutil.which("postfix") is None:
            raise ServiceFailed("postfix is not installed: apt-get install postfix")
        self.smtp_port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="postfix-"))
        self.directory.chmod(0o755)  # its accounts pass through
        configuration = self.directory / "etc"
        configuration.mkdir()
        (self.directory / "queue").mkdir()
        (self.directory / "data").mkdir()
        shutil.chown(self.directory / "data", "postfix")
        (configuration / "main.cf").write_text(_main(self, lmtp_port, domains, concurrency))
        (configuration / "master.cf").write_text(f"127.0.0.1:{self.smtp_port} inet n - n - - smtpd\n{_SERVICES}")
        try:  # `check` makes the queue; `start-fg` would start master in a session that isn't ours to end
            subprocess.run(["postfix", "-c", configuration, "check"], check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            shutil.rmtree(self.directory)
            raise ServiceFailed(f"postfix check: {error.stderr}") from error
        master = [f"{_parameter('daemon_directory')}/master", "-c", str(configuration), "-s"]
        self.daemon = Daemon(master, ready=self._answers, log=self.directory / "maillog")

    def queued(self) -> list[Path]:
        """The queue files of messages that were accepted and aren't delivered."""
        queues = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
        return [path for queue in queues for path in (self.directory / "queue" / queue).rglob("*") if path.is_file()]

    def _answers(self) -> None:
        with contextlib.closing(
            socket.create_connection(("127.0.0.1", self.smtp_port), timeout=ANSWER_S)
        ) as connection:
            if not connection.recv(512).startswith(b"220 "):
                raise ConnectionError(f"port {self.smtp_port} is not Postfix's")
            connection.sendall(b"QUIT\r\n")


def _parameter(name: str) -> str:
    """Return one of Postfix's built-in defaults."""
    return subprocess.run(["postconf", "-dh", name], check=True, capture_output=True, text=True).stdout.strip()


def _main(postfix: Postfix, lmtp_port: int, domains: Sequence[str], concurrency: int) -> str:
    directory = postfix.directory
    return f"""
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/maillog
maillog_file_prefixes = {directory}
myhostname = postfix.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
virtual_mailbox_domains = {", ".join(domains)}
virtual_mailbox_maps = static:all
virtual_transport = lmtp:inet:127.0.0.1:{lmtp_port}
smtpd_recipient_restrictions = permit_mynetworks, reject
message_size_limit = {25 * 1024**2}
in_flow_delay = 0
initial_destination_concurrency = {concurrency}
default_destination_concurrency_limit = {concurrency}
lmtp_connection_cache_destinations = inet:127.0.0.1:{lmtp_port}
"""
