"""What the vault's commands see to themselves, on a real S3 server with Object Lock."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from backup import offsite
from backup.runs import BY_TIMER
from backup.vault_commands import HEAD_AGE, put_head
from kit.clock import now_utc
from tests.backup.houses import make_house, settled
from tests.services.seaweedfs import SeaweedFS

pytestmark = pytest.mark.services


@pytest.mark.parametrize(("age", "exit_code"), [(HEAD_AGE / 2, 0), (HEAD_AGE + timedelta(minutes=1), 4)])
def test_audit_head_that_the_portal_writes_no_more_is_told(
    age: timedelta, exit_code: int, tmp_path: Path, seaweedfs: SeaweedFS
) -> None:
    keys = tmp_path / "vault"
    keys.mkdir()
    vault = seaweedfs.vault_settings(seaweedfs.new_bucket(), keys)
    make_house(tmp_path)
    house = settled(tmp_path, repository=True, vault=vault)
    at = now_utc(house.clock) - age
    head = {"schema_version": 1, "sequence": 7, "hash": "ab" * 32, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    (house.layout.requests / offsite.AUDIT_HEAD).write_text(json.dumps(head))
    end = house.conductor.conduct("vault audit-head", BY_TIMER, lambda run: put_head(house, run))
    assert end.exit_code == exit_code, end.error
    assert end.result["key"].endswith(f"audit/{at:%Y%m%dT%H%M%SZ}.json")
    assert ("Does the portal run?" in end.error) == (exit_code == 4)
