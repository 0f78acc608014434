"""Homeport's own processes over the shared Dovecot; for what runs in the test's process, a clock that can be moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.mail_api.in_process import MovableClock, MovableLoop
from tests.services.dovecot import SENTINEL, Dovecot
from tests.services.homeport import Homeport


@pytest.fixture(scope="session")
def homeport(dovecot: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeport]:
    """Ingress and delivery with the sentinel of the shared Dovecot, one pair per test process. Nobody stops them."""
    with Homeport(tmp_path_factory.mktemp("homeport"), transport=dovecot.lmtp_url, sentinel=SENTINEL) as running:
        yield running


@pytest.fixture(scope="module")
def start_homeport(dovecot: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Homeport]]:
    """A function that starts one with settings of its own; it ends with the module.

    transport   of the shared Dovecot, if not given
    workers     of the ingress
    settings    by the name behind HOMEPORT_MAIL_
    """
    with ExitStack() as running:

        def start(
            *, transport: str = dovecot.lmtp_url, sentinel: str | None = SENTINEL, workers: int = 1, **settings: str
        ) -> Homeport:
            directory = tmp_path_factory.mktemp("homeport")
            homeport = Homeport(directory, transport=transport, sentinel=sentinel, settings=settings, workers=workers)
            return running.enter_context(homeport)

        yield start


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"movable": MovableLoop}


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()
