"""What the tests of backup/ share: the S3 server, keys to sign with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backup.signing import Signer
from tests.services.seaweedfs import SeaweedFS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for the S3 server, however indirectly, is a `services` test."""
    for item in items:
        if isinstance(item, pytest.Function) and "seaweedfs" in item.fixturenames:
            item.add_marker("services")


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFS]:
    """One S3 server per test process (3 s). Shared: a test takes a `new_bucket()` of its own."""
    with SeaweedFS() as running:
        yield running


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer(Ed25519PrivateKey.generate())
