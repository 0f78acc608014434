"""`Idempotency-Key`: what a repetition gets, whoever sends it and whatever the first one did."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from kit.clock import now_utc
from kit.problem import Problem
from portal import idempotency
from portal.actor import Actor
from portal.db import Database, DatabaseUnavailable
from portal.idempotency import (
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    IdempotentAnswerGone,
    Once,
)
from tests.clock import FakeClock
from tests.portal.operations.conftest import ANNA

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


class Made(BaseModel):
    number: int


class Refused(Problem):
    """It was refused."""

    status, type, title = 409, "refused", "Refused"


class Shop:
    """Work that can be counted."""

    def __init__(self) -> None:
        self.made = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.error: BaseException | None = None

    async def make(self) -> Made:
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        self.made += 1
        return Made(number=self.made)


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ask(database: Database, clock: FakeClock, shop: Shop) -> Callable[..., Any]:
    """Ask the shop once: with a key, as somebody, for something."""

    async def ask(key: str | None = KEY, *, actor: Actor = ANNA, request: str = "a", keep_answer: bool = True) -> int:
        once = Once(database, clock, key, request)
        return (await once(actor, Made, shop.make, keep_answer=keep_answer)).number

    return ask


async def test_repetition_gets_the_first_answer(ask: Callable[..., Any], shop: Shop) -> None:
    assert [await ask(), await ask(), await ask()] == [1, 1, 1]
    assert shop.made == 1


async def test_without_a_key_each_request_is_done(ask: Callable[..., Any]) -> None:
    assert [await ask(None), await ask(None)] == [1, 2]


async def test_key_belongs_to_whoever_sends_it(ask: Callable[..., Any]) -> None:
    assert await ask() == 1
    assert await ask(actor=dataclasses.replace(ANNA, id="8")) == 2
    assert await ask(actor=dataclasses.replace(ANNA, kind="token")) == 3


async def test_key_for_another_request_is_refused(ask: Callable[..., Any], shop: Shop) -> None:
    await ask()
    with pytest.raises(IdempotencyKeyReused):
        await ask(request="b")
    assert shop.made == 1


async def test_two_at_once_are_done_once(ask: Callable[..., Any], shop: Shop) -> None:
    shop.may_end.clear()
    first = asyncio.create_task(ask())
    second = asyncio.create_task(ask())
    await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    shop.may_end.set()
    ended = await asyncio.gather(first, second, return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["IdempotencyKeyInUse", "int"]
    assert await ask() == 1


@pytest.mark.parametrize("error", [Refused(), ValueError(), DatabaseUnavailable()])
async def test_work_that_raises_leaves_the_key_free(ask: Callable[..., Any], shop: Shop, error: Exception) -> None:
    shop.error = error
    with pytest.raises(type(error)):
        await ask()
    shop.error = None
    assert await ask() == 1


async def test_work_that_was_cut_off_is_not_repeated(ask: Callable[..., Any], shop: Shop) -> None:
    shop.may_end.clear()
    first = asyncio.create_task(ask())
    await asyncio.wait([first], timeout=0.2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    shop.may_end.set()
    with pytest.raises(IdempotencyKeyInUse):
        await ask()
    assert shop.made == 0


async def test_answer_that_is_shown_once_is_not_kept(ask: Callable[..., Any], shop: Shop) -> None:
    assert await ask(keep_answer=False) == 1
    with pytest.raises(IdempotentAnswerGone):
        await ask(keep_answer=False)
    assert shop.made == 1


async def test_keys_are_forgotten_after_a_day(ask: Callable[..., Any], database: Database, clock: FakeClock) -> None:
    await ask()
    assert await database.run(lambda session: idempotency.purge(session, now_utc(clock))) == 0
    later = now_utc(clock) + timedelta(hours=24, seconds=1)
    assert await database.run(lambda session: idempotency.purge(session, later)) == 1
    assert await ask() == 2


async def test_race_for_one_key_on_any_database_is_won_once(any_database: Database, clock: FakeClock) -> None:
    shop = Shop()
    shop.may_end.clear()
    asked = [asyncio.create_task(Once(any_database, clock, KEY, "a")(ANNA, Made, shop.make)) for _ in range(8)]
    while sum(task.done() for task in asked) < 7:
        await asyncio.wait([task for task in asked if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    shop.may_end.set()
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["IdempotencyKeyInUse"] * 7 + ["Made"]
