"""The services as pytest fixtures, loaded by `pytest_plugins` in tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.dovecot import Dovecot, Mailbox


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
