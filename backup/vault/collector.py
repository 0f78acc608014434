"""`vault gc`: remove from the vault what nobody needs any more. Off the backed-up host, by a person (backup.md 6.6).

A version is removed when both hold, and else it stays:
    its lock ended GRACE ago or earlier
    no seal of the last MEMORY names it

Expired does not mean unneeded: a host that is gone renews nothing. So nothing at all is removed while the newest seal
is older than FRESH, nor when one of the seals that count cannot be read or is not ours.

Removed are versions of repository files, seals with their tables, and canaries. Heads of the audit stay for ever, they
are small; so do versions without a lock and delete markers, which nobody of ours makes: they are counted, for a person
to look at. The order is seals, snapshots, index, data: whatever ends this early leaves no list of things that are gone.
A sync that needs an expired version after all renews it, and then the store refuses to delete it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from backup.exit_codes import VaultUnsafe, VerificationFailed
from backup.journal import Journal
from backup.settings import VaultSettings
from backup.signing import Verifier
from backup.vault import seal as seals
from backup.vault.cost import GB
from backup.vault.vault import NotThere, Stored, VaultStore, Version

GRACE = timedelta(days=7)
MEMORY = timedelta(days=45)
FRESH = timedelta(days=7)
SHORTEST_LOCK = timedelta(days=30)  # backup/terraform lets nothing be locked for less: younger ones are not asked for
CLOCK_SLACK = timedelta(minutes=5)

_ORDER = ("snapshots/", "index/", "data/", "keys/", "config")  # below repository/


@dataclass(frozen=True, slots=True)
class Collection:
    """
    newest_seal    when it was made
    expired        what may go, in the order in which it goes
    size_bytes     of all of them
    month_usd      what they cost in a month
    deleted        how many are gone now; 0 in a dry run
    renewed        keys of those that a sync has renewed while this ran: they stay
    unlocked       keys of versions that have no lock
    markers        keys of delete markers
    """

    newest_seal: datetime
    expired: tuple[Stored, ...]
    size_bytes: int
    month_usd: float
    deleted: int
    renewed: tuple[str, ...]
    unlocked: tuple[str, ...]
    markers: tuple[str, ...]


def collect(
    store: VaultStore, verifier: Verifier, settings: VaultSettings, journal: Journal, *, dry_run: bool = True
) -> Collection:
    """Find what has expired and is in no recent seal; remove it unless `dry_run`.

    raises  VaultUnsafe, with nothing removed, when the seals give no ground to remove anything; later, when the store
            refuses to delete what it says is not locked
            VaultUnreachable, at any time: what is gone is gone, run it again
    """
    now = store.now()
    journal.step("seals")
    named, newest = _named(store, verifier, now)
    journal.step("list")
    expired, unlocked, markers = _expired(store, named, now, journal)
    size_bytes = sum(each.size for each in expired)
    deleted, renewed = 0, []
    if not dry_run:
        journal.step("delete", objects=len(expired), bytes=size_bytes)
        for each in expired:
            if _delete(store, each):
                deleted += 1
            else:
                renewed.append(each.key)
            journal.progress(deleted + len(renewed), len(expired), "objects")
    for keys, what in ((unlocked, "without a lock"), (markers, "delete markers")):
        if keys:
            journal.warn(f"{len(keys)} {what}, which Homeport never makes; the first is {keys[0]}")
    return Collection(
        newest_seal=newest,
        expired=tuple(expired),
        size_bytes=size_bytes,
        month_usd=size_bytes / GB * settings.usd_per_gb_month,
        deleted=deleted,
        renewed=tuple(renewed),
        unlocked=tuple(unlocked),
        markers=tuple(markers),
    )


def _named(store: VaultStore, verifier: Verifier, now: datetime) -> tuple[set[tuple[str, str]], datetime]:
    """Every (key, version) that a recent seal names, and when the newest of them was made."""
    named: set[tuple[str, str]] = set()
    newest: datetime | None = None
    for version in seals.listed(store):
        made, _ = store.keys.parse_seal(version.key)
        if max(made, version.modified) < now - MEMORY:
            continue
        try:
            seal = seals.read(store, version, verifier)
        except (VerificationFailed, NotThere) as error:
            raise VaultUnsafe(
                f"{error}. While a seal of the last {MEMORY.days} days is not ours, nobody can say what is needed:"
                " nothing was removed. homeport backup vault verify says more"
            ) from error
        if seal.sealed_at > now + CLOCK_SLACK:
            raise VaultUnsafe(f"{version.key} is dated in the future: nothing was removed")
        named.update((each.key, each.version_id) for each in seal.objects)
        newest = max(newest or seal.sealed_at, seal.sealed_at)
    if newest is None or newest < now - FRESH:
        found = "there is none of the last weeks" if newest is None else f"the newest is of {newest:%Y-%m-%d %H:%M} UTC"
        raise VaultUnsafe(
            f"no seal is younger than {FRESH.days} days ({found}): the host does not sync, so expired does not mean"
            " unneeded. Nothing was removed. Bring the host back, or restore from the vault first"
        )
    return named, newest


def _expired(
    store: VaultStore, named: set[tuple[str, str]], now: datetime, journal: Journal
) -> tuple[list[Stored], list[str], list[str]]:
    """What may go, sorted; keys of what has no lock; keys of delete markers."""
    expired, unlocked, markers = [], [], []
    for number, version in enumerate(_versions(store), 1):
        journal.progress(number, None, "objects")
        if version.is_delete_marker:
            markers.append(version.key)
            continue
        if (version.key, version.version_id) in named or version.modified > now - SHORTEST_LOCK:
            continue
        try:
            stored = store.head(version.key, version.version_id)
        except NotThere:  # another collector was quicker
            continue
        if stored.retain_until is None:
            unlocked.append(version.key)
        elif stored.retain_until <= now - GRACE:
            expired.append(stored)
    return sorted(expired, key=lambda each: (_rank(store, each.key), each.key)), unlocked, markers


def _versions(store: VaultStore) -> Iterator[Version]:
    for prefix in (store.keys.canaries, store.keys.seals, store.keys.repository):
        yield from store.versions(prefix)


def _rank(store: VaultStore, key: str) -> int:
    name = key.removeprefix(store.keys.repository)
    if name == key:
        return -1
    return next((rank for rank, kind in enumerate(_ORDER) if name.startswith(kind)), len(_ORDER))


def _delete(store: VaultStore, stored: Stored) -> bool:
    """False when it has been renewed meanwhile. Raise VaultUnsafe for any other refusal."""
    try:
        store.delete(stored.key, stored.version_id)
    except NotThere:
        return True
    except VaultUnsafe:
        now = store.head(stored.key, stored.version_id)
        if now.retain_until is not None and now.retain_until > store.now():
            return False
        raise
    return True
