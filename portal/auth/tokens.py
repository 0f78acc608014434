"""API tokens: for scripts, scoped by act and resource, expiring, shown once (security.md 3.4).

A token acts for its owner and never with more than its owner's role of the moment: it stops when the owner is disabled,
demoted below the act, or removed. It can do no act that needs a step-up, so it cannot make tokens or users. Stored is
its digest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, delete, select, update
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.problem import Problem
from portal.actor import Actor, Role
from portal.audit import Result, record
from portal.auth.models import TokenRow, UserRow
from portal.auth.scopes import Granted, Scope
from portal.auth.secret_ids import digest, new_id, new_secret
from portal.db import Database

PREFIX = "hpt_"  # lets people and scanners recognise what has leaked
MAX_DAYS = 365
USED_EVERY = timedelta(minutes=1)  # `last_used_at` is written no more often


class NoSuchToken(Problem):
    """There is no token with this id."""

    status, type, title = 404, "no-such-token", "No such token"


@dataclass(frozen=True, slots=True)
class Token:
    id: str
    name: str
    owner_id: str
    owner: str
    owner_role: Role
    scopes: tuple[Granted, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    last_used_source: str | None
    is_usable: bool


class Tokens:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def find(self, secret: str, source: str) -> Token | None:
        """Given what was presented, return the token if it holds: known, not expired, its owner not disabled."""
        if not secret.startswith(PREFIX):
            return None
        token = await self._find(TokenRow.digest == digest(secret))
        if token is None:
            return None
        now = now_utc(self._clock)
        if token.last_used_at is None or now - token.last_used_at >= USED_EVERY or token.last_used_source != source:
            await self._db.run(lambda session: _use(session, token.id, now, source))
        return token

    async def find_by_id(self, token_id: str) -> Token | None:
        """A token that was found earlier, if it still holds. This is no use of it."""
        return await self._find(TokenRow.id == token_id)

    async def _find(self, which: ColumnElement[bool]) -> Token | None:
        found = await self._db.read(lambda session: session.execute(_query().where(which)).one_or_none())
        token = None if found is None else self._token(*found)
        return token if token is not None and token.is_usable else None

    async def list_all(self) -> list[Token]:
        """All tokens, expired ones too, newest first; none of their secrets."""
        query = _query().order_by(TokenRow.created_at.desc())
        return await self._db.read(lambda session: [self._token(*row) for row in session.execute(query)])

    async def create(
        self, actor: Actor, owner_id: str, name: str, scopes: Sequence[Scope], lifetime: timedelta
    ) -> tuple[Token, str]:
        """Return the token and its secret, which is shown once."""
        secret, now = PREFIX + new_secret(), now_utc(self._clock)
        granted = list(dict.fromkeys(Granted(scope.act, scope.resource) for scope in scopes))

        def work(session: Session) -> Token:
            row = TokenRow(
                id=new_id(),
                digest=digest(secret),
                name=name,
                owner_id=owner_id,
                scopes=json.dumps(granted),
                created_at=now,
                expires_at=now + lifetime,
            )
            session.add(row)
            session.flush()
            token = self._token(row, session.get_one(UserRow, owner_id))
            after = {"scopes": granted, "expires_at": token.expires_at}
            record(session, actor, actor.tag("tokens:create"), f"{name} ({token.id})", Result.DONE, after=after)
            return token

        return await self._db.run(work), secret

    async def delete(self, actor: Actor, token_id: str) -> None:
        """Raise NoSuchToken."""

        def work(session: Session) -> None:
            row = session.get(TokenRow, token_id)
            if row is None:
                raise NoSuchToken
            session.execute(delete(TokenRow).where(TokenRow.id == token_id))
            record(session, actor, actor.tag("tokens:delete"), f"{row.name} ({row.id})", Result.DONE)

        await self._db.run(work)

    def _token(self, row: TokenRow, owner: UserRow) -> Token:
        return Token(
            id=row.id,
            name=row.name,
            owner_id=owner.id,
            owner=owner.name,
            owner_role=Role(owner.role),
            scopes=tuple(Granted(*pair) for pair in json.loads(row.scopes)),
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            last_used_source=row.last_used_source,
            is_usable=now_utc(self._clock) < row.expires_at and not owner.is_disabled,
        )


def _query() -> Select[TokenRow, UserRow]:
    return select(TokenRow, UserRow).join(UserRow, UserRow.id == TokenRow.owner_id)


def _use(session: Session, token_id: str, now: datetime, source: str) -> None:
    session.execute(
        update(TokenRow).where(TokenRow.id == token_id).values(last_used_at=now, last_used_source=source[:64])
    )
