"""One Homeport per test process, over the shared Dovecot; edges as the tests want them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.way import url_of
from tests.services.dovecot import SENTINEL, Dovecot
from tests.services.edge import Edge
from tests.services.homeport import Homeport


@pytest.fixture(scope="session")
def homeport(dovecot: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeport]:
    """Ingress and delivery with the sentinel of the shared Dovecot. Who stops one starts it again (`down`)."""
    with Homeport(tmp_path_factory.mktemp("homeport"), transport=dovecot.lmtp_url, sentinel=SENTINEL) as running:
        yield running


@pytest.fixture
def start_edge(homeport: Homeport, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Edge]]:
    """A function that starts an edge before `homeport`, or before what the keywords of `Edge` say (0.5 s)."""
    with ExitStack() as running:

        def start(**options: Any) -> Edge:
            origin: dict[str, Any] = {"mail_api": url_of(homeport), "key": homeport.key}
            return running.enter_context(Edge(tmp_path_factory.mktemp("edge"), **origin | options))

        yield start


@pytest.fixture
def edge(start_edge: Callable[..., Edge]) -> Edge:
    return start_edge()
