"""A real clamd, by TCP or unix socket, with signatures made on the spot: no database is downloaded.

    with Clamd() as clamd:
        ...                         # stream to clamd.address

It knows two things: the EICAR test string, and the test program in the archives of Debian's `clamav-testfiles`.
Everything lies in one fresh directory. Run by root, it uses Debian's account `clamav`; run by anybody else, theirs.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import socket
import tempfile
from pathlib import Path

from tests.services.process import Daemon, Server, ServiceFailed, free_port

ANSWER_S = 5.0
TEST_FILES = Path("/usr/share/clamav-testfiles")
_ACCOUNT = "clamav"


def eicar() -> bytes:
    """The test string that every virus scanner reports. Put together here: no file of ours holds it."""
    return rb"X5O!P%@AP[4\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"


class Clamd(Server):
    """One clamd in a directory of its own, the same address for as long as the object lives.

    unix              listen on a unix socket instead of a port
    stream_max_bytes  StreamMaxLength: a longer stream is refused
    file_max_bytes    MaxFileSize: a larger part is not scanned
    """

    def __init__(
        self,
        *,
        unix: bool = False,
        stream_max_bytes: int = 100 * 1024**2,
        file_max_bytes: int = 100 * 1024**2,
    ) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="clamd-"))
        self.directory.chmod(0o755)
        self._socket = self.directory / "run" / "socket" if unix else None
        for name in ("run", "database"):
            (self.directory / name).mkdir()
        (self.directory / "database" / "eicar.ndb").write_text(f"Eicar-Test:0:*:{eicar().hex()}\n")
        (self.directory / "database" / "program.hdb").write_text(_program_line())
        listen = f"LocalSocket {self._socket}" if unix else f"TCPSocket {self.port}\nTCPAddr 127.0.0.1"
        account = _ACCOUNT if os.geteuid() == 0 else getpass.getuser()
        (self.directory / "clamd.conf").write_text(
            f"{listen}\nForeground yes\nUser {account}\nDatabaseDirectory {self.directory}/database\n"
            f"TemporaryDirectory {self.directory}/run\nStreamMaxLength {stream_max_bytes}\n"
            f"MaxFileSize {file_max_bytes}\nAlertExceedsMax yes\nSelfCheck 0\nLogTime no\n"
        )
        if os.geteuid() == 0:
            shutil.chown(self.directory / "run", _ACCOUNT, _ACCOUNT)
        self.daemon = Daemon(
            [_program(), "-c", str(self.directory / "clamd.conf")], ready=self._answers, log=self.directory / "log"
        )

    @property
    def address(self) -> str:
        """As HOMEPORT_MAIL_CLAMD takes it."""
        return f"unix://{self._socket}" if self._socket else f"127.0.0.1:{self.port}"

    def _answers(self) -> None:
        with socket.socket(socket.AF_UNIX if self._socket else socket.AF_INET) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(self._socket) if self._socket else ("127.0.0.1", self.port))
            connection.sendall(b"zPING\0")
            if connection.recv(16) != b"PONG\0":
                raise ConnectionError("it is no clamd")


def _program_line() -> str:
    """A signature of clamav-testfiles' program, by digest and size."""
    program = (TEST_FILES / "clam.exe").read_bytes()
    return f"{hashlib.md5(program, usedforsecurity=False).hexdigest()}:{len(program)}:Clam-Test-File\n"


def _program() -> str:
    """Where Debian has it: in sbin, which an ordinary user's PATH leaves out."""
    found = shutil.which("clamd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise ServiceFailed("clamd is not installed: apt-get install clamav-daemon")
    return found
