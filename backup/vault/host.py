"""What on this host a vault depends on: restic, keys, the files of secrets, and whether the disk is encrypted."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from backup.exit_codes import WrongUsage
from backup.settings import BackupSettings
from backup.signing import Signer, Verifier
from backup.vault.finding import Finding, failed, ok, unknown, warning
from kit.command import CommandError, run

ANSWER_S = 10.0
OLDEST_RESTIC = (0, 14)  # writes repositories of version 2


def check(settings: BackupSettings, *, sheet_confirmed_at: datetime | None) -> list[Finding]:
    """
    sheet_confirmed_at   when the recovery sheet's code was typed back; None: never
    """
    return [
        *_restic(settings),
        *_keys(settings, sheet_confirmed_at),
        *_secret_files(settings),
        *_collector(settings),
        disk_encryption(settings.root),
    ]


def _restic(settings: BackupSettings) -> Iterator[Finding]:
    if settings.repository is None or not settings.repository.enabled:
        yield warning("there is no repository: local points are all there is", "set [repository] in backup.toml")
        return
    try:
        said = run([settings.repository.program, "version"], timeout_s=ANSWER_S).stdout.decode("utf-8", "replace")
    except CommandError as error:
        yield failed(f"restic: {error}", "install restic")
        return
    match = re.search(r"(\d+)\.(\d+)(?:\.\d+)?", said)
    if match is None:
        yield unknown(f"restic says no version: {said.strip()[:80]}", "install restic")
    elif (int(match[1]), int(match[2])) < OLDEST_RESTIC:
        yield failed(f"restic {match[0]} is too old: repositories need 0.14 or newer", "install a newer restic")
    else:
        yield ok(f"restic {match[0]}")


def _keys(settings: BackupSettings, sheet_confirmed_at: datetime | None) -> Iterator[Finding]:
    try:
        public = Verifier.read(settings.public_key_file)
    except WrongUsage as error:
        yield failed(str(error), "copy the public key from the recovery sheet into this file")
        return
    text = f"seals and manifests are checked with the public key {public.text} (id {public.key_id})"
    if sheet_confirmed_at is None:
        yield warning(
            f"{text}; the recovery sheet was never confirmed",
            "print it, compare its key with this one, and type its code back: homeport backup init",
        )
    else:
        yield ok(
            f"{text}; the recovery sheet was confirmed on {sheet_confirmed_at:%Y-%m-%d}: compare its key with this"
        )
    if not settings.signing_key_file.exists():
        yield unknown("the signing key is not on this machine", "nothing, where points are only verified or restored")
        return
    try:
        if Signer.read(settings.signing_key_file).verifier.text != public.text:
            text = (
                f"{settings.signing_key_file} does not belong to {settings.public_key_file}: nothing new would verify"
            )
            yield failed(text, "put the key back that belongs to the public key of the recovery sheet")
    except WrongUsage as error:
        yield failed(str(error), "restore it from the repository's secrets, tag `secrets`")


def _secret_files(settings: BackupSettings) -> Iterator[Finding]:
    vault, repository = settings.vault, settings.repository
    files: list[Path | None] = [settings.signing_key_file]
    files += [repository.password_file] if repository else []
    files += [vault.uploader_file, vault.verifier_file, vault.restorer_file, vault.collector_file] if vault else []
    for path in filter(None, files):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue  # whoever needs it says so
        if mode & 0o077:
            yield failed(f"{path} can be read by others (mode {mode:04o})", f"chmod 0600 {path}")


def _collector(settings: BackupSettings) -> Iterator[Finding]:
    vault = settings.vault
    if vault and vault.collector_file and vault.collector_file.exists():
        yield failed(
            f"the collector's credentials lie on this host ({vault.collector_file}): with them, what has expired in the"
            " vault can be removed from here",
            "remove the file, give the collector a new key, and run vault gc on another machine",
        )


def disk_encryption(path: Path) -> Finding:
    """Whether the disk below a directory has a layer of encryption that the kernel knows (LUKS).

    Points hold mail in clear. In a container the answer is often unknown: the disk's device is not to be seen there.
    """
    fix = "put the backup root on a LUKS volume, unless the disk encrypts by itself"
    try:
        source = run(["findmnt", "--noheadings", "--output", "SOURCE", "--target", str(path)], timeout_s=ANSWER_S)
        device = source.stdout.decode().strip().partition("[")[0]  # btrfs: /dev/sda1[/subvolume]
        if not device.startswith("/dev/"):
            return unknown(f"the disk of {path} is {device or 'nothing'}: its encryption cannot be seen from here", fix)
        listed = run(["lsblk", "--json", "--inverse", "--output", "NAME,TYPE", device], timeout_s=ANSWER_S).stdout
        types = list(_types(json.loads(listed)["blockdevices"]))
    except (CommandError, ValueError, KeyError, TypeError) as error:
        return unknown(f"the encryption of the disk of {path} could not be read: {error}", fix)
    if "crypt" in types:
        return ok(f"the disk of {path} is encrypted ({device})")
    return warning(f"the disk of {path} ({device}) has no layer of encryption; points hold mail in clear", fix)


def _types(devices: list[dict[str, Any]]) -> Iterator[str]:
    for device in devices:
        yield device["type"]
        yield from _types(device.get("children", []))
