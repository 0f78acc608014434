"""A real MariaDB server: TCP on 127.0.0.1, as many empty databases as are asked for, each with an account of its own.

    with MariaDB() as server:
        url = server.new_database()     # mysql+pymysql://..., empty; nobody else uses it

Everything lies in one fresh directory: `data/`, `socket`, `log`. Run by root, the server uses Debian's account
`mysql`; run by anybody else, everything is theirs. Commits are not fsynced: what is tested is SQL, not the disk.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pymysql  # type: ignore[import-untyped]

from tests.services.process import Daemon, Server, ServiceFailed, free_port

INSTALL_S = 120.0  # 3 s on an idle machine
ANSWER_S = 10


# As stacks/blog/mariadb/entrypoint.sh gives them.
PORTAL_GRANTS = {
    "admin": (
        r"ALL PRIVILEGES ON `wp\_%`.* TO WITH GRANT OPTION",
        "CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO ",
        "SELECT ON mysql.* TO ",
    ),
    "console": (r"SELECT, SHOW VIEW ON `wp\_%`.* TO ",),
    "write": (r"SELECT, INSERT, UPDATE, DELETE ON `wp\_%`.* TO ",),
}


class MariaDB(Server):
    """One server in a directory of its own, the same port for as long as the object lives.

    options   more of mariadbd's options, such as "--log-bin"
    """

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.portal_passwords = {purpose: secrets.token_hex(16) for purpose in PORTAL_GRANTS}
        self.directory = Path(tempfile.mkdtemp(prefix="mariadb-"))
        account = "--user=mysql" if os.geteuid() == 0 else f"--user={os.environ.get('USER', 'nobody')}"
        if os.geteuid() == 0:
            shutil.chown(self.directory, "mysql", "mysql")
        # A starting server removes old temporary tables, also those of others in the same directory.
        data = (f"--datadir={self.directory}/data", f"--tmpdir={self.directory}")
        try:
            _install(*data, account)
        except BaseException:
            shutil.rmtree(self.directory)
            raise
        argv = (
            *(_program("mariadbd"), "--no-defaults", *data, account),
            *(f"--socket={self.unix_socket}", f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve"),
            *(f"--pid-file={self.directory}/pid", "--performance-schema=OFF", "--innodb-buffer-pool-size=32M"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=16M", "--innodb-doublewrite=0", *options),
        )
        self.daemon = Daemon(argv, ready=self._answers, log=self.directory / "log")

    @property
    def unix_socket(self) -> Path:
        return self.directory / "socket"

    def execute(self, *statements: str) -> None:
        """Run statements as root."""
        with (
            pymysql.connect(unix_socket=str(self.unix_socket), user="root", connect_timeout=ANSWER_S) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def new_database(self) -> str:
        """Return the URL of a new, empty database; its account may do everything in it and nothing elsewhere."""
        name, password = f"d{secrets.token_hex(6)}", secrets.token_hex(12)
        self.execute(
            f"CREATE DATABASE {name}",
            f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{password}'",
            f"GRANT ALL ON {name}.* TO {name}@'127.0.0.1'",
        )
        return f"mysql+pymysql://{name}:{password}@127.0.0.1:{self.port}/{name}"

    def servers_file(self, directory: Path, name: str = "blog") -> Path:
        """Write a file of the portal's databases room that names this server; return its path.

        The accounts are those of stacks/blog/mariadb: they see the databases whose names begin with "wp_".
        """
        tables = [f'[[server]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {self.port}\nowner_of = "blog"\n']
        for purpose, grants in PORTAL_GRANTS.items():
            account = f"homeport_{purpose}@'%'"
            self.execute(
                f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{self.portal_passwords[purpose]}'",
                *(f"GRANT {grant.replace(' TO ', f' TO {account} ')}" for grant in grants),
            )
            file = directory / f"{name}-{purpose}.password"
            file.touch(mode=0o600)
            file.write_text(self.portal_passwords[purpose] + "\n")
            tables.append(f'[server.{purpose}]\nuser = "homeport_{purpose}"\npassword_file = "{file}"\n')
        path = directory / f"{name}.toml"
        path.write_text("".join(tables))
        return path

    def _answers(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_S) as connection:
            if b"MariaDB" not in connection.recv(512):
                raise ConnectionError(f"port {self.port} is not MariaDB's")


def _install(*options: str) -> None:
    """Make the server's own tables. Raise ServiceFailed when the program is missing, or when it fails."""
    made = subprocess.run(
        (
            *(_program("mariadb-install-db"), "--no-defaults", *options, "--skip-test-db"),
            *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_S,
    )
    if made.returncode != 0:
        raise ServiceFailed(f"mariadb-install-db ended with {made.returncode}\n{made.stdout}{made.stderr}")


def _program(name: str) -> str:
    """Where Debian has it: the server stands in sbin, which an ordinary user's PATH leaves out."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise ServiceFailed(f"{name} is not installed: apt-get install mariadb-server")
    return found
