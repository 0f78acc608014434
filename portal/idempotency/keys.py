"""`Idempotency-Key`: a changing request that is repeated, because its answer was lost, is done once.

    async def create_user(..., once: OnceDep) -> UserView:
        return await once(actor, UserView, lambda: service.create(actor, wanted))

The key belongs to whoever sends it: the same text of two actors is two keys. It is claimed before the work and kept
for KEPT_H hours with the answer, so a repetition gets the first answer. Work that raises has changed nothing
(returning commits, raising rolls back), so its key is free again. A claim without an answer is at work, or was cut off
by the end of the process; nobody can know which act came about, so it is refused, not repeated.

Every changing route that names an act takes the header, or the application is not built (auth/permissions.py). The
public ones do not: a stranger is nobody that a key could belong to. Their tokens, codes and challenges are used up by
the first request, and a password that comes again is only another session.

What was asked for is kept as an HMAC under the portal's own key: a body may hold a password, and a bare digest of it
could be tried out by whoever reads the table. Without the header the work is just done.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy import CursorResult, delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.actor import Actor
from portal.db import Database
from portal.idempotency.models import IdempotencyKeyRow

log = get_logger()
T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")

KEPT_H = 24
CLAIM_ATTEMPTS = 3
NOTHING = "null"


class IdempotencyKeyReused(Problem):
    """The key came before with another request."""

    status, type, title = 422, "idempotency-key-reused", "Idempotency key was used for another request"


class IdempotencyKeyInUse(Problem):
    """The request with this key is at work, or was cut off: look at what it has done before sending it anew."""

    status, type, title = 409, "idempotency-key-in-use", "Request with this key has no answer yet"


class IdempotentAnswerGone(Problem):
    """The request with this key was done, but its answer was shown once and is not kept."""

    status, type, title = 409, "idempotent-answer-gone", "Answer is not shown again"


class Once:
    """One request's hold on its key."""

    def __init__(self, database: Database, clock: Clock, key: str | None, request: str) -> None:
        """
        key       as the client sent it, or None
        request   stands for what was asked for: equal only for equal requests
        """
        self._database = database
        self._clock = clock
        self._key = key
        self._request = request

    async def __call__(
        self, actor: Actor, model: type[T], work: Callable[[], Awaitable[T]], *, keep_answer: bool = True
    ) -> T:
        """Do the work, unless this key has been seen: then return the answer of that time.

        keep_answer   False where the answer holds a secret that is shown once
        raises        IdempotencyKeyReused, IdempotencyKeyInUse, IdempotentAnswerGone, and what the work raises
        """
        if self._key is None:
            return await work()
        digest = self._digest(actor, self._key)
        seen = await self._claim(digest)
        if seen is not None:
            return model.model_validate_json(self._answer(seen))
        answer = await self._done(digest, work)
        await self._keep(digest, answer.model_dump_json() if keep_answer else None)
        return answer

    async def without_answer(self, actor: Actor, work: Callable[[], Awaitable[None]]) -> None:
        """As above, for work that answers nothing: a repetition does nothing."""
        if self._key is None:
            return await work()
        digest = self._digest(actor, self._key)
        seen = await self._claim(digest)
        if seen is not None:
            self._answer(seen)
            return None
        await self._done(digest, work)
        await self._keep(digest, NOTHING)
        return None

    @staticmethod
    def _digest(actor: Actor, key: str) -> str:
        return hashlib.sha256("\0".join((actor.kind, actor.id, key)).encode()).hexdigest()

    async def _done(self, digest: str, work: Callable[[], Awaitable[R]]) -> R:
        try:
            return await work()
        except Exception:
            await self._release(digest)
            raise

    async def _claim(self, digest: str) -> IdempotencyKeyRow | None:
        """Take the key. Return None, or what is known of it."""

        def write(session: Session) -> IdempotencyKeyRow | None:
            if (row := session.get(IdempotencyKeyRow, digest)) is not None:
                return row
            now = now_utc(self._clock)
            session.add(IdempotencyKeyRow(digest=digest, request=self._request, claimed_at=now, is_done=0))
            session.flush()
            return None

        for attempts_left in reversed(range(CLAIM_ATTEMPTS)):
            try:
                return await self._database.run(write)
            except IntegrityError:  # another one has taken it at this moment: look again
                if not attempts_left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _answer(self, row: IdempotencyKeyRow) -> str:
        if row.request != self._request:
            raise IdempotencyKeyReused
        if not row.is_done:
            raise IdempotencyKeyInUse(headers={"Retry-After": "1"})
        if row.answer is None:
            raise IdempotentAnswerGone
        return row.answer

    async def _release(self, digest: str) -> None:
        await asyncio.shield(
            self._database.run(
                lambda session: session.execute(delete(IdempotencyKeyRow).where(IdempotencyKeyRow.digest == digest))
            )
        )

    async def _keep(self, digest: str, answer: str | None) -> None:
        def write(session: Session) -> None:
            if row := session.get(IdempotencyKeyRow, digest):
                row.is_done, row.answer = 1, answer

        try:
            await self._database.run(write)
        except Exception as error:  # it is done and will be answered; a repetition is refused, which is safe
            log.warning("idempotency_answer_not_kept", error=type(error).__name__)


class Idempotency:
    """Where a running portal keeps its keys."""

    def __init__(self, database: Database, clock: Clock, secret: bytes) -> None:
        """secret   of this portal, the same after a restart"""
        self._database, self._clock, self._secret = database, clock, secret

    async def once(self, request: Request, key: str | None) -> Once:
        if key is None:
            return Once(self._database, self._clock, None, "")
        asked = f"{request.method}\0{request.url.path}\0{request.url.query}\0".encode() + await request.body()
        return Once(self._database, self._clock, key, hmac.digest(self._secret, asked, "sha256").hex())


async def once(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(pattern=r"^[\x21-\x7e]{1,255}$", description="Makes a repetition of this request return its answer"),
    ] = None,
) -> Once:
    idempotency: Idempotency = request.app.state.portal.idempotency
    return await idempotency.once(request, idempotency_key)


OnceDep = Annotated[Once, Depends(once)]


def purge(session: Session, now: datetime) -> int:
    """Forget the keys that nobody repeats any more. Return how many."""
    old = IdempotencyKeyRow.claimed_at < now - timedelta(hours=KEPT_H)
    return cast(CursorResult[Any], session.execute(delete(IdempotencyKeyRow).where(old))).rowcount
