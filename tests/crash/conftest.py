"""Two Homeports per test process, which live, die and rise again through all tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.harness import FaultyHomeport
from tests.services.dovecot import SENTINEL, Dovecot


@pytest.fixture(scope="session")
def _delivering(dovecot: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyHomeport]:
    directory = tmp_path_factory.mktemp("delivering")
    with FaultyHomeport(directory, transport=dovecot.lmtp_url, sentinel=SENTINEL) as homeport:
        yield homeport


@pytest.fixture(scope="session")
def _spooling(dovecot: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyHomeport]:
    directory = tmp_path_factory.mktemp("spooling")
    with FaultyHomeport(directory, transport=dovecot.lmtp_url, sentinel=SENTINEL, spools=True) as homeport:
        yield homeport


@pytest.fixture
def delivering(_delivering: FaultyHomeport) -> FaultyHomeport:
    """A Homeport whose ingress delivers at once."""
    _delivering.heal()
    return _delivering


@pytest.fixture
def spooling(_spooling: FaultyHomeport) -> FaultyHomeport:
    """A Homeport whose ingress spools everything, for its delivery to deliver."""
    _spooling.heal()
    return _spooling
