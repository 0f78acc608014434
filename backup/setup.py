"""`homeport backup init`: settings, keys, directories, repository, recovery sheet. What is there already stays.

The sheet is what a restore begins with when this machine is gone. Its code is made from what stands on it, so typing it
back proves that this very sheet was printed, and a new password or key asks for a new one.
"""

from __future__ import annotations

import grp
import os
import secrets
import string
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from backup import recovery_sheet
from backup.exit_codes import WrongUsage
from backup.house import House
from backup.settings import BackupSettings, load
from backup.signing import generate
from kit.atomic import write_durably
from kit.clock import now_utc

PASSWORD_BYTES = 32


@dataclass(frozen=True, slots=True)
class Prepared:
    """`done` says in a line each what was made."""

    settings: BackupSettings
    done: list[str]


def prepare(*, config: Path, root: Path, zone: str, host: str, group: int | None) -> Prepared:
    """Make whatever is missing. Raise WrongUsage, and what restic says."""
    done: list[str] = []
    if not root.is_dir():
        raise WrongUsage(f"{root} is no directory; mount the backup's disk first")
    if not config.exists():
        _write_config(config, root=root.resolve(), zone=zone, host=host)
        done.append(f"wrote {config}: name your sources in it")
    settings = load(config)
    if settings.root.resolve() != root.resolve():
        raise WrongUsage(f"{config} is there already and names the root {settings.root}, not {root}")
    keys = (settings.signing_key_file, settings.public_key_file)
    if not any(path.exists() for path in keys):
        for path in keys:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        generate(*keys)
        done.append(f"made the signing key {keys[0]}")
    if settings.repository is not None and not settings.repository.password_file.exists():
        password = settings.repository.password_file
        password.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(password, f"{secrets.token_urlsafe(PASSWORD_BYTES)}\n".encode(), mode=0o400)
        done.append(f"made the repository's password {password}")
    if not settings.layout.marker.exists():
        done.append(f"set up {settings.root}")
    settings.layout.create(group)
    house = House(settings)
    if house.has_repository() and not house.repository().exists():
        house.repository().create()
        done.append(f"made the repository {settings.layout.repository}")
    house.write_catalog(house.facts())
    return Prepared(settings, done)


def group_id(name: str) -> int:
    """Given a group's name or number. Raise WrongUsage."""
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise WrongUsage(f"there is no group {name!r} on this machine") from None


def _write_config(config: Path, *, root: Path, zone: str, host: str) -> None:
    template = string.Template(resources.files("backup").joinpath("backup.toml.template").read_text("utf-8"))
    keys = config.absolute().parent / "backup"
    values = {"root": root, "zone": zone, "host": host, "keys": keys}
    for name, value in values.items():
        if '"' in str(value) or "\\" in str(value) or not str(value).isprintable():
            raise WrongUsage(f"{name} cannot stand in a TOML file: {value}")
    config.parent.mkdir(parents=True, exist_ok=True)
    write_durably(config, template.substitute(values).encode(), mode=0o644)


# -- the recovery sheet


def confirm_sheet(settings: BackupSettings, code: str) -> None:
    """Remember that the sheet is printed. Raise WrongUsage for another code."""
    if "".join(filter(str.isalnum, code.upper())) != recovery_sheet.code(settings).replace("-", ""):
        raise WrongUsage(
            "this is not the code of the present sheet: it changes with password, key and vault. Print it anew"
        )
    house = House(settings)
    facts = house.facts()
    facts.put(recovery_sheet.FACT, now_utc(house.clock), code=recovery_sheet.code(settings))
    house.write_catalog(facts)


def write_sheet(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WrongUsage(f"{path} cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
