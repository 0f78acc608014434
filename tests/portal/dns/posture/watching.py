"""Whom this process speaks to: what it sends and looks up, whichever library does it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_watching: list[set[tuple[str, int]]] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and _watching:
        place = arguments[1]
        if isinstance(place, tuple):
            _watching[-1].add((str(place[0]), int(place[1])))
    if event in ("socket.getaddrinfo", "socket.gethostbyname") and _watching:
        _watching[-1].add((str(arguments[0]), -1))


sys.addaudithook(_watch)


@contextmanager
def places_spoken_to() -> Iterator[set[tuple[str, int]]]:
    """Every address that this process sends to meanwhile; (name, -1) for a name that its own resolver is asked for."""
    _watching.append(set())
    try:
        yield _watching[-1]
    finally:
        _watching.pop()
