"""A real Dovecot: LMTP by TCP and by unix socket, IMAP, Maildir, users that come and go while it runs.

    with Dovecot() as dovecot:
        mailbox = dovecot.add_user("anna@home.test")
        ...                         # deliver to dovecot.lmtp_url
        mailbox.messages()          # as IMAP gives them, CRLF
        mailbox.files()             # as they lie in new/ and cur/, LF

Everything lies in one fresh directory: `mail/<domain>/<local>/` (Maildir), `users/<domain>/<local>` (one passwd-file
per user: Dovecot sees a new file at once, a changed one within a second), `run/`, `dovecot.conf`, `log`. Run by root,
Dovecot uses its Debian accounts and mail belongs to `mail`; run by anybody else, everything is theirs.

Quota is enforced without grace: a user with `quota_bytes` gets 552 5.2.2 after the data. Dovecot has no setting that
takes CHUNKING out of LHLO: `lmtp_proxy.py` does that.
"""

from __future__ import annotations

import contextlib
import getpass
import grp
import imaplib
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.services.process import POLL_S, Daemon, Server, ServiceFailed, free_port

ANSWER_S = 5.0  # for one answer of a daemon that runs on this machine
PASSWORD = "correct-horse"  # of every user
SENTINEL = "sentinel@home.test"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One user of a running Dovecot."""

    dovecot: Dovecot
    address: str

    @property
    def directory(self) -> Path:
        """The Maildir; it exists after the first delivery or login."""
        local, _, domain = self.address.lower().rpartition("@")
        return self.dovecot.directory / "mail" / domain / local

    def files(self) -> dict[Path, bytes]:
        """The messages as they lie in new/ and cur/, in order of arrival."""
        found = [path for part in ("new", "cur") for path in self.directory.glob(f"{part}/*")]
        return {path: path.read_bytes() for path in sorted(found, key=_arrival)}

    def messages(self, folder: str = "INBOX") -> list[bytes]:
        """The messages as IMAP gives them (BODY.PEEK[], so none becomes seen), in order of arrival."""
        with imaplib.IMAP4("127.0.0.1", self.dovecot.imap_port, timeout=ANSWER_S) as imap:
            imap.login(self.address, PASSWORD)
            status, answer = imap.select(f'"{folder}"', readonly=True)
            if status != "OK":
                raise ServiceFailed(f"SELECT {folder}: {answer!r}")
            if answer == [b"0"]:
                return []
            _, parts = imap.fetch("1:*", "(BODY.PEEK[])")
            return [part[1] for part in parts if isinstance(part, tuple)]


class Dovecot(Server):
    """One Dovecot in a directory of its own, the same ports for as long as the object lives.

    lmtp_processes   at most so many LMTP sessions at once; further connections wait unanswered
    lmtp_idle        so many LMTP processes are kept ready, so that a connection needs no fork
    extra            more configuration, in the syntax of the installed Dovecot
    """

    def __init__(self, *, lmtp_processes: int | None = None, lmtp_idle: int = 0, extra: str = "") -> None:
        self.lmtp_port, self.imap_port = free_port(), free_port()
        self.lmtp_processes, self.lmtp_idle, self.extra = lmtp_processes, lmtp_idle, extra
        self.directory = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.directory.chmod(0o711)  # the mail user passes through
        (self.directory / "users").mkdir()
        (self.directory / "mail").mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.directory / "mail", "mail", "mail")
        configuration = self.directory / "dovecot.conf"
        configuration.write_text(_configuration()(self))
        self.daemon = Daemon(
            ["dovecot", "-F", "-c", str(configuration)], ready=self._answers, log=self.directory / "log"
        )
        self.sentinel = self.add_user(SENTINEL)

    @property
    def lmtp_socket(self) -> Path:
        return self.directory / "run" / "lmtp"

    @property
    def lmtp_url(self) -> str:
        return f"lmtp://127.0.0.1:{self.lmtp_port}"

    @property
    def lmtp_unix_url(self) -> str:
        return f"lmtp+unix://{self.lmtp_socket}"

    def restart(self) -> None:
        self.stop()
        self.start()

    def add_user(self, address: str | None = None, *, quota_bytes: int | None = None) -> Mailbox:
        """Return a new mailbox; with quota_bytes, one that refuses what would exceed it. Known when this returns.

        address   default: a fresh one in home.test; any domain will do
        raises    ValueError for an address that a passwd-file or a file name can't hold
        """
        mailbox = Mailbox(self, address or f"u{secrets.token_hex(6)}@home.test")
        entry = self._entry(mailbox.address)
        entry.parent.mkdir(exist_ok=True)
        rule = "" if quota_bytes is None else f"userdb_quota_rule=*:bytes={quota_bytes}"
        part = entry.with_name(entry.name + "\x01")  # Dovecot must never read half an entry
        part.write_text(f"{mailbox.address.lower()}:{{PLAIN}}{PASSWORD}::::::{rule}\n")
        part.rename(entry)
        self._wait_until_known(mailbox.address, True)
        return mailbox

    def remove_user(self, address: str) -> None:
        """Let Dovecot forget a user; the mail stays. Takes up to a second: the user is unknown when this returns."""
        self._entry(address).unlink()
        self._wait_until_known(address, False)

    def _entry(self, address: str) -> Path:
        local, at, domain = address.lower().rpartition("@")  # as auth_username_format does
        if not (local and at and domain) or set(address) & set("/:\0\n\x01"):
            raise ValueError(f"no address for a passwd-file: {address!r}")
        return self.directory / "users" / domain / local

    def _wait_until_known(self, address: str, known: bool) -> None:
        if not self.daemon.is_running:
            return
        give_up = time.monotonic() + ANSWER_S
        while self._knows(address) != known:
            if time.monotonic() > give_up:
                raise ServiceFailed(f"{address}: Dovecot still says {not known}\n{self.daemon.log_tail()}")
            time.sleep(POLL_S)  # auth has nothing that would announce a change

    def _knows(self, address: str) -> bool:
        """Ask the auth process as LMTP does (Dovecot's doc, "Authentication Master Process Protocol")."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(self.directory / "run" / "auth-userdb"))
            connection.sendall(f"VERSION\t1\t1\nUSER\t1\t{address}\tservice=lmtp\n".encode())
            with connection.makefile("rb") as answers:
                for answer in answers:
                    if answer.startswith((b"USER\t1", b"NOTFOUND\t1")):
                        return answer.startswith(b"USER")
        raise ServiceFailed(f"no userdb answer for {address}\n{self.daemon.log_tail()}")

    def _answers(self) -> None:
        for port, greeting in ((self.lmtp_port, b"220 "), (self.imap_port, b"* OK ")):
            with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)) as connection:
                if not connection.recv(512).startswith(greeting):
                    raise ConnectionError(f"port {port} is not Dovecot's")


def _arrival(path: Path) -> tuple[int, int]:
    """Seconds and microseconds out of a name such as 1795000000.M98P71.host: text would put M98 behind M1234."""
    seconds, microseconds = re.match(r"(\d+)\.M(\d+)", path.name).groups()  # type: ignore[union-attr]  # Dovecot made it
    return int(seconds), int(microseconds)


def _configuration() -> Callable[[Dovecot], str]:
    """Return what writes the configuration of the installed Dovecot. Raise ServiceFailed if there is none."""
    try:
        version = subprocess.run(["dovecot", "--version"], check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise ServiceFailed("dovecot is not installed: apt-get install dovecot-imapd dovecot-lmtpd") from error
    writer = _CONFIGURATIONS.get(".".join(version.split(".")[:2]))
    if writer is None:
        raise ServiceFailed(f"no configuration for Dovecot {version.strip()}")
    return writer


def _configuration_2_3(dovecot: Dovecot) -> str:
    directory = dovecot.directory
    users = f"{directory}/users/%d/%n"
    if os.geteuid() == 0:
        accounts = "mail_uid = mail\nmail_gid = mail\nfirst_valid_uid = 1\nfirst_valid_gid = 1"
    else:
        user, group = getpass.getuser(), grp.getgrgid(os.getegid()).gr_name
        unprivileged = "".join(f"service {name} {{\n  chroot =\n}}\n" for name in ("anvil", "imap-login", "stats"))
        accounts = (
            f"default_internal_user = {user}\ndefault_login_user = {user}\ndefault_internal_group = {group}\n"
            f"mail_uid = {os.geteuid()}\nmail_gid = {os.getegid()}\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n"
            f"{unprivileged}"
        )
    limit = "" if dovecot.lmtp_processes is None else f"process_limit = {dovecot.lmtp_processes}"
    return f"""
base_dir = {directory}/run
state_dir = {directory}/run
log_path = {directory}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
{accounts}
mail_location = maildir:{directory}/mail/%d/%n
recipient_delimiter = +
passdb {{
  driver = passwd-file
  args = username_format=%u {users}
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {users}
  default_fields = home={directory}/mail/%d/%n
}}
plugin {{
  quota = maildir:User quota
  quota_grace = 0
}}
protocol lmtp {{
  mail_plugins = quota
}}
service imap-login {{
  inet_listener imap {{
    port = {dovecot.imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  {limit}
  process_min_avail = {dovecot.lmtp_idle}
  inet_listener lmtp {{
    port = {dovecot.lmtp_port}
  }}
  unix_listener lmtp {{
    mode = 0666
  }}
}}
{dovecot.extra}
"""


_CONFIGURATIONS: dict[str, Callable[[Dovecot], str]] = {"2.3": _configuration_2_3}  # 2.4 has another syntax throughout
