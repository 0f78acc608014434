"""The database servers and the accounts that the portal works with: one TOML file, no user ever types a server.

    servers = Servers.load(settings.databases_file)
    connection = servers["blog"].connect("admin")         # fresh; blocks, so it is called in a worker thread

    [[server]]
    name = "blog"
    host = "blog-db"
    port = 3306
    tls = false                    # false | true, or "verified" with ca_file
    owner_of = "blog"              # the stack whose container this is
    [server.admin]                 # lists, creates, grants, drops, dumps
    user = "homeport_admin"
    password_file = "/run/secrets/blog_db_admin_password"
    [server.console]               # SELECT and SHOW VIEW alone
    [server.write]                 # SELECT, INSERT, UPDATE, DELETE

Passwords are read at each connection, so a rotated one needs no restart, and stand nowhere but in their files.
"""

from __future__ import annotations

import os
import socket
import ssl
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pymysql  # type: ignore[import-untyped]
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pymysql.cursors import Cursor  # type: ignore[import-untyped]

from portal.databases.failures import DatabasesNotConnected, NoSuchServer, PurposeMissing, ServerUnavailable
from portal.databases.sql import Connection, fetch

Purpose = Literal["admin", "console", "write"]
Layer = Literal["name", "tcp", "tls", "login", "permission", "answer"]

NAME = r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$"
RESERVED = frozenset({"dumps", "uploads", "console"})  # parts of the room's own paths, and of its pages'
CONNECT_S = 5.0
ANSWER_S = 60.0
SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'"
)

_UNSAFE = stat.S_IWGRP | stat.S_IWOTH  # whoever may write a password decides who the portal speaks to
_LOGIN_CODES = frozenset({1045, 1044, 1049, 1130, 1698, 1820, 1862, 4151, 3118})


class ServersFileError(Exception):
    """The file can't be used. `mistakes` has one line each, which names file, table and key, and no value."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _tls_word(value: object) -> object:
    """false and true are words for it too."""
    return {False: "off", True: "required"}[value] if isinstance(value, bool) else value


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Login(_Table):
    user: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f'\"\\]+$")]
    password_file: Annotated[Path, AfterValidator(_absolute)]

    def password(self) -> str:
        """The first line of the file. Raise OSError, ValueError; neither text holds it."""
        status = self.password_file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is no file")
        if status.st_mode & _UNSAFE:
            raise ValueError("can be written by others than its owner: chmod 0400")
        first, _, _ = self.password_file.read_text("utf-8").partition("\n")
        if not first.strip():
            raise ValueError("is empty")
        return first.rstrip("\r")


class Server(_Table):
    """One server of the file. `connect` blocks."""

    name: Annotated[str, Field(pattern=NAME)]
    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._:-]+$")]
    port: Annotated[int, Field(ge=1, le=65_535)] = 3306
    tls: Annotated[Literal["off", "required", "verified"], BeforeValidator(_tls_word)] = "off"
    ca_file: Annotated[Path, AfterValidator(_absolute)] | None = None
    owner_of: Annotated[str, Field(pattern=NAME)] | None = None
    admin: Login
    console: Login | None = None
    write: Login | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Server:
        if self.name in RESERVED:
            raise ValueError(f"name: {self.name} is a word of the portal's own")
        if (self.tls == "verified") != (self.ca_file is not None):
            raise ValueError('tls = "verified" and ca_file belong together')
        users = [login.user for login in self.logins.values()]
        if len(set(users)) < len(users):
            raise ValueError("admin, console and write must be different accounts")
        return self

    @property
    def logins(self) -> Mapping[Purpose, Login]:
        found: dict[Purpose, Login | None] = {"admin": self.admin, "console": self.console, "write": self.write}
        return {purpose: login for purpose, login in found.items() if login is not None}

    def login(self, purpose: Purpose) -> Login:
        """Raise PurposeMissing."""
        if (login := self.logins.get(purpose)) is None:
            raise PurposeMissing(f"server {self.name} has no account for this", purpose=purpose)
        return login

    def connect(
        self,
        purpose: Purpose,
        *,
        database: str | None = None,
        cursor: type = Cursor,
        connect_s: float = CONNECT_S,
        answer_s: float = ANSWER_S,
        autocommit: bool = True,
    ) -> Connection:
        """Return a fresh connection: utf8mb4, strict, no local files; the caller closes it. Blocks.

        database   chosen at login; its name comes from the server's own list
        answer_s   how long one answer of the server is waited for
        raises     PurposeMissing; ServerUnavailable with `layer`
        """
        login = self.login(purpose)
        try:
            password = login.password()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise self._unavailable("login", f"the password file {login.password_file} {why}") from error
        return self.connect_as(
            login.user, password, database=database, cursor=cursor, connect_s=connect_s, answer_s=answer_s,
            autocommit=autocommit,
        )  # fmt: skip

    def connect_as(
        self,
        user: str,
        password: str,
        *,
        database: str | None = None,
        cursor: type = Cursor,
        connect_s: float = CONNECT_S,
        answer_s: float = ANSWER_S,
        autocommit: bool = True,
    ) -> Connection:
        """As `connect`, with an account that is not in the file: one that was just made."""
        try:
            connection = pymysql.connect(
                host=self.host,
                port=self.port,
                user=user,
                password=password,
                database=database,
                charset="utf8mb4",
                connect_timeout=connect_s,
                read_timeout=connect_s,  # of the greeting and the login too: the driver's limit is for TCP alone
                write_timeout=answer_s,
                local_infile=False,
                autocommit=autocommit,
                init_command=SESSION,
                cursorclass=cursor,
                **self._encryption(),
            )
            connection._read_timeout = answer_s
            return connection
        except (pymysql.MySQLError, OSError, UnicodeError) as error:
            layer, detail = self._layer(error)
            raise self._unavailable(layer, detail) from error

    def check(self, purpose: Purpose) -> None:
        """Go the whole way once, from name to answer. Raise ServerUnavailable with the layer that failed."""
        connection = self.connect(purpose)
        try:
            fetch(connection, "SELECT 1")
        finally:
            connection.close()

    def _encryption(self) -> dict[str, Any]:
        if self.tls == "off":
            return {"ssl_disabled": True}
        context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        if self.tls == "required":
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return {"ssl": context}

    def _layer(self, error: Exception) -> tuple[Layer, str]:
        """How far the way to the server goes, and what was said there."""
        code = error.args[0] if error.args and isinstance(error.args[0], int) else None
        said = str(error.args[1] if len(error.args) > 1 else error)[:300]
        cause = getattr(error, "original_exception", None) or error.__cause__ or error
        if isinstance(cause, socket.gaierror | UnicodeError):
            return "name", f"the name {self.host} is not known here"
        if isinstance(cause, ssl.SSLError) or "doesn't support SSL" in said or "SSL" in said.upper().split():
            return "tls", said
        if code in _LOGIN_CODES:
            return "login", said
        if isinstance(cause, TimeoutError | ConnectionError | OSError) or code in (2002, 2003):
            return "tcp", f"{self.host}:{self.port} does not answer: {getattr(cause, 'strerror', None) or said}"
        return "answer", said

    def _unavailable(self, layer: Layer, detail: str) -> ServerUnavailable:
        return ServerUnavailable(
            f"server {self.name}: {detail}", headers={"Retry-After": "10"}, layer=layer, server=self.name
        )


class _File(_Table):
    server: list[Server] = []

    @model_validator(mode="after")
    def _are_different(self) -> _File:
        names = [each.name for each in self.server]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two servers are called {', '.join(twice)}")
        return self


class Servers(Mapping[str, Server]):
    """The servers by name. `mistakes` are the file's, when it can't be used: then there is none."""

    def __init__(self, servers: Mapping[str, Server], *, is_configured: bool, mistakes: tuple[str, ...] = ()) -> None:
        self._servers = dict(servers)
        self.is_configured = is_configured
        self.mistakes = mistakes

    @classmethod
    def load(cls, path: Path | None) -> Servers:
        """Read the file, and look at every file that it names. None: nothing is configured. Raise ServersFileError."""
        if path is None:
            return cls({}, is_configured=False)
        try:
            document = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ServersFileError([f"{path}: cannot be read: {error.strerror}"]) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ServersFileError([f"{path}: is no TOML: {error}"]) from error
        try:
            found = _File.model_validate(document)
        except ValidationError as error:
            raise ServersFileError(_mistakes(path, document, error)) from error
        mistakes = [f"{path}: {mistake}" for server in found.server for mistake in _unusable(server)]
        if mistakes:
            raise ServersFileError(mistakes)
        return cls({server.name: server for server in found.server}, is_configured=True)

    @classmethod
    def of(cls, path: Path | None) -> Servers:
        """As `load`; a file with mistakes gives no server, and keeps nothing else of the portal from starting."""
        try:
            return cls.load(path)
        except ServersFileError as error:
            return cls({}, is_configured=True, mistakes=tuple(error.mistakes))

    def find(self, name: str) -> Server:
        """Raise NoSuchServer, DatabasesNotConnected."""
        if not self.is_configured:
            raise DatabasesNotConnected("HOMEPORT_PORTAL_DATABASES_FILE is not set")
        if self.mistakes:
            raise DatabasesNotConnected("the servers' file has mistakes", mistakes=list(self.mistakes))
        if (server := self._servers.get(name)) is None:
            raise NoSuchServer(f"no database server is called {name}")
        return server

    def __getitem__(self, name: str) -> Server:
        return self._servers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)


def _unusable(server: Server) -> Iterator[str]:
    """The files that a server's table names and that can't be used."""
    for purpose, login in server.logins.items():
        try:
            login.password()
        except (OSError, ValueError) as error:
            why = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            yield f"server {server.name}: {purpose}.password_file: {login.password_file} {why}"
    if server.ca_file is not None and not os.access(server.ca_file, os.R_OK):
        yield f"server {server.name}: ca_file: {server.ca_file} cannot be read"


def _mistakes(path: Path, document: Mapping[str, Any], error: ValidationError) -> list[str]:
    found = []
    for each in error.errors(include_input=False, include_url=False, include_context=False):
        where = _where(document, each["loc"])
        found.append(f"{path}: {where}: {each['msg'].removeprefix('Value error, ')}")
    return found


def _where(document: Mapping[str, Any], loc: tuple[int | str, ...]) -> str:
    """("server", 0, "admin", "user") -> "server blog: admin.user"."""
    if len(loc) < 2 or not isinstance(loc[1], int):
        return ".".join(str(part) for part in loc) or "the file"
    table = document["server"][loc[1]]
    name = table.get("name") if isinstance(table, dict) else None
    label = f"server {name}" if isinstance(name, str) and name.isprintable() else f"server {loc[1] + 1}"
    return ": ".join(filter(None, (label, ".".join(str(part) for part in loc[2:]))))
