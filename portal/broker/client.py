"""The broker as a room sees it: one coroutine per verb, async iterators for streams. Knows no Docker.

    broker = Broker(path)
    listed = await broker.ask(schemas.List())
    async with broker.follow(schemas.Logs(container=..., follow=True)) as flow:
        async for item in flow: ...
        flow.why                    # "ended", "engine-lost"

Every call is a connection of its own, so a broker that was restarted needs nothing from this side. Raises the problems
of failures.py; a stream that breaks without an end raises BrokerUnavailable.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from portal.broker import frames, schemas
from portal.broker.failures import BY_TYPE, BrokerProblem, BrokerUnavailable, RequestMalformed

A = TypeVar("A", bound=schemas.Answer)

CONNECT_S = 3.0
ANSWER_S = 60.0  # more than the broker gives the engine; grace and a program's own timeout come on top
ITEM_BYTES = 64 * 1024  # read ahead of whoever consumes a stream; then the broker waits

_RESULTS: Mapping[type[schemas.Request], type[schemas.Answer]] = {
    schemas.List: schemas.Containers,
    schemas.Inspect: schemas.Details,
    schemas.Start: schemas.Container,
    schemas.Stop: schemas.Container,
    schemas.Restart: schemas.Container,
    schemas.Stats: schemas.Samples,
    schemas.Stacks: schemas.StackList,
    schemas.Images: schemas.ImageList,
    schemas.DiskUsage: schemas.DiskUse,
    schemas.WpCli: schemas.Ended,
    schemas.SiteFiles: schemas.Ended,
    schemas.WebConfig: schemas.Ended,
}
_ITEMS: Mapping[type[schemas.Request], type[schemas.Answer]] = {
    schemas.Logs: schemas.LogLines,
    schemas.WatchStats: schemas.Sample,
    schemas.Events: schemas.Event,
}


class Flow(AsyncIterator[A]):
    """Items until the stream ends by itself; `why` says how. Leaving the `async with` ends it from this side."""

    def __init__(self, reader: asyncio.StreamReader, item: TypeAdapter[A]) -> None:
        self._reader = reader
        self._item = item
        self.why: Literal["ended", "engine-lost"] | None = None

    def __aiter__(self) -> Flow[A]:
        return self

    async def __anext__(self) -> A:
        if self.why is not None:
            raise StopAsyncIteration
        document = await _receive(self._reader)
        if "item" in document:
            return self._item.validate_python(document["item"])
        if "end" in document:
            self.why = schemas.End.model_validate(document["end"]).why
            raise StopAsyncIteration
        raise _problem(document)


class Broker:
    """path   of the broker's socket; None: this portal has none, and every call says so"""

    def __init__(self, path: Path | None, *, answer_s: float = ANSWER_S) -> None:
        self._path = path
        self._answer_s = answer_s
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def is_configured(self) -> bool:
        return self._path is not None

    async def close(self) -> None:
        """End what is open: whoever waits for an answer or an item gets BrokerUnavailable."""
        for writer in tuple(self._open):
            writer.transport.abort()

    @overload
    async def ask(self, request: schemas.List) -> schemas.Containers: ...
    @overload
    async def ask(self, request: schemas.Inspect) -> schemas.Details: ...
    @overload
    async def ask(self, request: schemas.Start | schemas.Stop | schemas.Restart) -> schemas.Container: ...
    @overload
    async def ask(self, request: schemas.Stats) -> schemas.Samples: ...
    @overload
    async def ask(self, request: schemas.Stacks) -> schemas.StackList: ...
    @overload
    async def ask(self, request: schemas.Images) -> schemas.ImageList: ...
    @overload
    async def ask(self, request: schemas.DiskUsage) -> schemas.DiskUse: ...
    @overload
    async def ask(self, request: schemas.WpCli | schemas.SiteFiles | schemas.WebConfig) -> schemas.Ended: ...

    async def ask(self, request: schemas.Request) -> schemas.Answer:
        """Send one request and return its result. Raise a BrokerProblem."""
        patience_s = self._answer_s + getattr(request, "grace_s", 0) + getattr(request, "timeout_s", 0)
        async with self._sent(request) as reader:
            try:
                async with asyncio.timeout(patience_s):  # wait_for can lose a cancellation before Python 3.12
                    document = await _receive(reader)
            except TimeoutError as error:
                raise BrokerUnavailable(f"no answer within {patience_s:g} s") from error
        if "result" not in document:
            raise _problem(document)
        try:
            return _RESULTS[type(request)].model_validate(document["result"])
        except ValidationError as error:
            raise RequestMalformed("the broker's answer is of another release") from error

    @overload
    def follow(self, request: schemas.Logs) -> contextlib.AbstractAsyncContextManager[Flow[schemas.LogLines]]: ...
    @overload
    def follow(self, request: schemas.WatchStats) -> contextlib.AbstractAsyncContextManager[Flow[schemas.Sample]]: ...
    @overload
    def follow(self, request: schemas.Events) -> contextlib.AbstractAsyncContextManager[Flow[schemas.Event]]: ...

    def follow(self, request: schemas.Request) -> contextlib.AbstractAsyncContextManager[Flow[Any]]:
        """Open a stream. A BrokerProblem comes on opening, or with the first item."""
        return self._follow(request)

    @contextlib.asynccontextmanager
    async def _follow(self, request: schemas.Request) -> AsyncIterator[Flow[Any]]:
        async with self._sent(request) as reader:
            yield Flow(reader, TypeAdapter(_ITEMS[type(request)]))

    @contextlib.asynccontextmanager
    async def _sent(self, request: schemas.Request) -> AsyncIterator[asyncio.StreamReader]:
        if self._path is None:
            raise BrokerUnavailable("no broker is configured")
        frame = frames.encode(request.model_dump_json().encode(), limit=frames.MAX_REQUEST_BYTES)
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=ITEM_BYTES)
        except (OSError, TimeoutError) as error:
            raise BrokerUnavailable() from error
        self._open.add(writer)
        try:
            writer.write(frame)
            yield reader
        finally:
            self._open.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _receive(reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        head = await reader.readexactly(frames.LENGTH.size)
        document = json.loads(await reader.readexactly(frames.length_of(head, limit=frames.MAX_ANSWER_BYTES)))
    except (OSError, EOFError, frames.FrameError, ValueError) as error:
        raise BrokerUnavailable("it hung up") from error
    if not isinstance(document, dict):
        raise BrokerUnavailable("it said something else than an answer")
    return document


def _problem(document: Mapping[str, Any]) -> BrokerProblem:
    try:
        failure = schemas.Failure.model_validate(document.get("error"))
    except ValidationError:
        return BrokerUnavailable("it said something else than an answer")
    extensions = {"protection": failure.protection.model_dump()} if failure.protection else {}
    return BY_TYPE.get(failure.type, BrokerUnavailable)(failure.detail, **extensions)
