"""Whether the console and its write mode are on, server by server: by what their accounts may do (grants.py)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime

import pymysql  # type: ignore[import-untyped]

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.databases.console import grants
from portal.databases.console.run import ALLOWED
from portal.databases.servers import Purpose, Server, Servers
from portal.databases.sql import OWN, fetch

log = get_logger()

CONNECT_S = 2.0  # a page waits for it
ANSWER_S = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """`console` and `write` say what keeps them off; "" is on. `checked_at` is None when the server gave no answer."""

    console: str
    write: str
    databases: tuple[str, ...]
    checked_at: datetime | None


class Switches:
    def __init__(self, servers: Servers, clock: Clock) -> None:
        self._servers = servers
        self._clock = clock
        self._told: dict[tuple[str, str], str] = {}

    def look(self, name: str) -> Seen:
        """Ask the server now. Blocks for some seconds at most; raises nothing that a server does."""
        server = self._servers[name]
        found = {purpose: self._purpose(server, purpose) for purpose in ("console", "write")}
        console, databases, is_answer = found["console"]
        write, _, is_write_answer = found["write"]
        for purpose, why in (("console", console), ("write", write)):
            if why and self._told.get((name, purpose)) != why:
                log.warning("console_off", server=name, purpose=purpose, why=why)
            self._told[name, purpose] = why
        return Seen(console, write, databases, now_utc(self._clock) if is_answer or is_write_answer else None)

    @staticmethod
    def _purpose(server: Server, purpose: Purpose) -> tuple[str, tuple[str, ...], bool]:
        """What keeps it off, the databases that its account sees, and whether the server was heard."""
        if purpose not in server.logins:
            return f"the servers' file has no [server.{purpose}]", (), False
        try:
            connection = server.connect(purpose, connect_s=CONNECT_S, answer_s=ANSWER_S)
        except Problem as problem:
            return problem.detail or problem.title, (), False
        with contextlib.closing(connection):
            try:
                too_much = grants.excess_of(connection, ALLOWED[purpose])
                rows = fetch(connection, "SELECT schema_name FROM information_schema.schemata ORDER BY 1")
            except (Problem, pymysql.MySQLError, OSError) as error:
                return getattr(error, "detail", "") or "the server gave no answer", (), False
        why = f"the account {server.login(purpose).user} has more rights than it may: {'; '.join(too_much)}"
        databases = tuple(str(row[0]) for row in rows if row[0] not in OWN)
        return why if too_much else "", databases, True
