"""A backup directory, and a broker in front of the shared engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.portal.backups.unit import example, fresh, make_directory
from tests.portal.brokers import broker, start_broker

__all__ = ["broker", "start_broker"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """As the backup leaves it after a good night."""
    return make_directory(tmp_path / "backup", fresh(example("full")))
