"""The services as pytest fixtures, loaded by `pytest_plugins` in tests/conftest.py."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.services.clamd import Clamd
from tests.services.docker_engine import DockerEngine
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.fleet import Fleet
from tests.services.mariadb import MariaDB
from tests.services.nsd import Nsd
from tests.services.rspamd import Rspamd


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """One Dovecot per test process. Shared: a test that stops it, pauses it or reconfigures it takes `own_dovecot`."""
    with Dovecot() as running:
        yield running


@pytest.fixture
def own_dovecot() -> Iterator[Dovecot]:
    """A Dovecot for this test alone (0.2 s)."""
    with Dovecot() as running:
        yield running


@pytest.fixture
def mailbox(dovecot: Dovecot) -> Mailbox:
    """An empty mailbox of the shared Dovecot that no other test uses."""
    return dovecot.add_user()


@pytest.fixture(scope="session")
def rspamd() -> Iterator[Rspamd]:
    """One Rspamd per test process. Shared: a test that stops or pauses it takes `own_rspamd`."""
    with Rspamd() as running:
        yield running


@pytest.fixture
def own_rspamd() -> Iterator[Rspamd]:
    """An Rspamd for this test alone (1 s)."""
    with Rspamd() as running:
        yield running


@pytest.fixture(scope="session")
def clamd() -> Iterator[Clamd]:
    """One clamd per test process. Shared: a test that stops or pauses it takes `own_clamd`."""
    with Clamd() as running:
        yield running


@pytest.fixture
def own_clamd() -> Iterator[Clamd]:
    """A clamd for this test alone (0.5 s)."""
    with Clamd() as running:
        yield running


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """One MariaDB server per test process. Shared: a test takes a `new_database()` of its own."""
    with MariaDB() as running:
        yield running


@pytest.fixture(scope="session")
def nsd() -> Iterator[Nsd]:
    """One NSD per test process. Shared: a test serves zones of its own, of names that no other one uses."""
    with Nsd() as running:
        yield running


@pytest.fixture(scope="session")
def shared_docker_engine() -> Iterator[DockerEngine]:
    """One Docker engine per test process."""
    if os.geteuid() != 0:
        pytest.skip("a Docker engine in namespaces of its own needs root")
    with DockerEngine() as running:
        yield running


@pytest.fixture
def docker_engine(shared_docker_engine: DockerEngine) -> Iterator[DockerEngine]:
    """The shared engine without any container. A test that stops it takes `own_docker_engine`."""
    yield shared_docker_engine
    shared_docker_engine.clear()


@pytest.fixture
def own_docker_engine() -> Iterator[DockerEngine]:
    """A Docker engine for this test alone (0.4 s)."""
    if os.geteuid() != 0:
        pytest.skip("a Docker engine in namespaces of its own needs root")
    with DockerEngine() as running:
        yield running


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Three WordPress sites for the tests of one file. Who breaks one mends it, or makes a `Fleet` of its own."""
    yield from _fleet(3)


@pytest.fixture(scope="session")
def fleet17() -> Iterator[Fleet]:
    """Seventeen WordPress sites per test process, for `slow` tests that leave them as they were."""
    yield from _fleet(17)


def _fleet(sites: int) -> Iterator[Fleet]:
    if os.geteuid() != 0:
        pytest.skip("a fleet in namespaces of its own needs root")
    with Fleet(sites) as running:
        yield running
