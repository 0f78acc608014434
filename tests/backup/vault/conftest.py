"""AWS's other services, and a vault that holds nothing: both are moto (tests/services/moto.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.settings import VaultSettings
from tests.services.moto import Moto


@pytest.fixture(scope="session")
def shared_moto() -> Iterator[Moto]:
    with Moto() as running:
        yield running


@pytest.fixture
def moto(shared_moto: Moto) -> Moto:
    """Empty, as if it had just been started (1 s once per test process)."""
    shared_moto.reset()
    return shared_moto


@pytest.fixture
def weak(moto: Moto, tmp_path: Path) -> VaultSettings:
    """A vault that says it is locked and is not: moto lets locks be shortened, turned and removed, by anybody."""
    client = moto.client("s3")
    client.create_bucket(Bucket="weak", ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
    client.put_object_lock_configuration(
        Bucket="weak", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    credentials = tmp_path / "anybody.credentials"
    credentials.write_text("key\nsecret\n")
    credentials.chmod(0o600)
    files = {f"{role}_file": credentials for role in ("uploader", "verifier", "restorer")}
    return VaultSettings.model_validate({"bucket": "weak", "region": "us-east-1", "endpoint": moto.url, **files})
