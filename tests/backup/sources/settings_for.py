"""backup.toml of a test, with the parts that every one needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backup.settings import BackupSettings


def settings_for(directory: Path, **more: Any) -> BackupSettings:
    """`directory`/backup is the root; keys and passwords lie beside it."""
    (directory / "backup" / "locks").mkdir(parents=True, exist_ok=True)
    for name in ("signing.pem", "signing.pub"):
        (directory / name).write_text(f"of the signing key, {name}\n")
    return BackupSettings.model_validate(
        {
            "root": directory / "backup",
            "signing_key_file": directory / "signing.pem",
            "public_key_file": directory / "signing.pub",
            **more,
        }
    )
