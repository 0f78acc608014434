"""A backup root with real sources beside it, small enough to be made for each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backup.house import House
from backup.settings import BackupSettings
from backup.signing import generate
from kit.clock import Clock, SystemClock


def make_house(directory: Path, *, clock: Clock | None = None, repository: bool = False, **more: Any) -> House:
    """A root, keys, a file set and a tree of two mailboxes. `more` overrides tables of backup.toml."""
    root, data, keys = directory / "root", directory / "data", directory / "keys"
    for each in (root, data, keys):
        each.mkdir()
    generate(keys / "signing.key", keys / "signing.pub")
    (keys / "repository.password").write_text("a password of the repository\n")
    (data / "config").mkdir()
    (data / "config" / "compose.yaml").write_text("services: {}\n")
    for name in ("anna", "bo"):
        deliver(data / "mail" / "home.test" / name, "1.host", b"Subject: one\n\nfor " + name.encode())
    house = settled(directory, clock=clock, repository=repository, **more)
    house.layout.create()
    if repository:
        house.repository().create()
    return house


def settled(directory: Path, *, clock: Clock | None = None, repository: bool = False, **more: Any) -> House:
    """The same of a directory that is made already, or is a copy of one."""
    data, keys = directory / "data", directory / "keys"
    document = {
        "root": directory / "root",
        "host": "homeport",
        "lock_wait_hours": 0.01,
        "signing_key_file": keys / "signing.key",
        "public_key_file": keys / "signing.pub",
        "sources": {
            "maildir": [{"name": "mail", "path": data / "mail"}],
            "files": [{"name": "config", "paths": [data / "config"]}],
            "allow_same_device": True,
        },
        "repository": {"password_file": keys / "repository.password"} if repository else None,
    } | more
    return House(BackupSettings.model_validate(document), clock=clock or SystemClock())


def deliver(mailbox: Path, name: str, message: bytes) -> Path:
    """Put a message into a mailbox as it lies on disk, making it first."""
    for part in ("cur", "new", "tmp"):
        (mailbox / "Maildir" / part).mkdir(parents=True, exist_ok=True)
    path = mailbox / "Maildir" / "cur" / f"{name}:2,S"
    path.write_bytes(message)
    return path
