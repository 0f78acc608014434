"""`homeport backup init`: settings, keys, directories, repository, recovery sheet. What is there already stays.

The sheet is what a restore begins with when this machine is gone. Its code is made from what stands on it, so typing it
back proves that this very sheet was printed, and a new password or key asks for a new one.
"""

from __future__ import annotations

import base64
import grp
import hashlib
import os
import secrets
import string
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from backup import catalog_build
from backup.exit_codes import WrongUsage
from backup.facts import Facts
from backup.house import House
from backup.settings import BackupSettings, load, read_secret
from backup.signing import Verifier, generate
from kit.atomic import write_durably
from kit.clock import now_utc

PASSWORD_BYTES = 32
CODE_LETTERS = 8  # 40 bits: nobody guesses it, and it is no secret


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


def recovery_sheet(settings: BackupSettings) -> str:
    """What to print: it holds the repository's password, so it is as good as the backup itself."""
    lines = [
        "HOMEPORT BACKUP: RECOVERY SHEET",
        "Print this, keep it where this machine is not. Whoever has it can read",
    ]
    lines += ["every backup. docs/runbooks/restore-without-homeport.md says how to restore with it alone.", ""]
    pairs = [("host", settings.host), ("backup root", str(settings.root))]
    pairs += [("public key", Verifier.read(settings.public_key_file).text)]
    pairs += [("key id", Verifier.read(settings.public_key_file).key_id)]
    if settings.repository is not None:
        pairs += [("repository", str(settings.layout.repository))]
        pairs += [("its password", read_secret(settings.repository.password_file))]
    if settings.vault is not None:
        vault = settings.vault
        place = str(vault.endpoint) if vault.endpoint is not None else "AWS"
        pairs += [("vault", f"{vault.bucket}/{vault.prefix} in {vault.region}, {place}")]
        pairs += [("its credentials", "not here: make restorer credentials in the AWS console, or by backup/terraform")]
    lines += [f"{name:<16}{value}" for name, value in pairs]
    return "\n".join([*lines, "", f"{'code':<16}{sheet_code(settings)}", ""])


def sheet_code(settings: BackupSettings) -> str:
    """Two groups of four, such as `K3QZ-7MPA`."""
    digest = hashlib.sha256(b"homeport recovery sheet v1\n")
    digest.update(Verifier.read(settings.public_key_file).text.encode())
    if settings.repository is not None:
        digest.update(read_secret(settings.repository.password_file).encode())
    if settings.vault is not None:
        digest.update(f"{settings.vault.bucket}/{settings.vault.prefix}".encode())
    letters = base64.b32encode(digest.digest()).decode()[:CODE_LETTERS]
    return f"{letters[:4]}-{letters[4:]}"


def confirm_sheet(settings: BackupSettings, code: str) -> None:
    """Remember that the sheet is printed. Raise WrongUsage for another code."""
    if "".join(filter(str.isalnum, code.upper())) != sheet_code(settings).replace("-", ""):
        raise WrongUsage(
            "this is not the code of the present sheet: it changes with password, key and vault. Print it anew"
        )
    house = House(settings)
    facts = house.facts()
    facts.put(catalog_build.SHEET, now_utc(house.clock), code=sheet_code(settings))
    house.write_catalog(facts)


def sheet_confirmed(settings: BackupSettings, facts: Facts) -> bool:
    """Whether the sheet that was confirmed is the present one."""
    thing = facts.get(catalog_build.SHEET)
    return thing is not None and thing.document.get("code") == sheet_code(settings)


def write_sheet(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WrongUsage(f"{path} cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
