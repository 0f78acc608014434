"""Which of the two services may write what."""

from __future__ import annotations

import re
from pathlib import Path

COMPOSE = (Path(__file__).parents[2] / "compose.yaml").read_text("utf-8")


def writable(service: str) -> set[str]:
    """Where a service may write, as it sees it."""
    section = re.split(r"^  (?=\S)", COMPOSE.partition(f"\n  {service}:")[2], maxsplit=1, flags=re.MULTILINE)[0]
    mounts = re.findall(r"^      - \S+?:(/srv/[a-z/]+|/etc/[a-z-]+)(:ro)?(?: #.*)?$", section, re.MULTILINE)
    return {path for path, read_only in mounts if not read_only}


def test_the_nightly_run_writes_its_own_disk_alone_and_a_restore_whatever_it_may_have_to_put_back() -> None:
    data = {f"/srv/homeport/{name}" for name in ("ssd", "hdd", "checkout")}
    assert writable("backup") == {"/srv/homeport/backup"}
    assert writable("backup-restore") == {"/srv/homeport/backup"} | data
