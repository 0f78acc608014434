"""Vault seals: what was needed when a point was stored, by key and version, signed. Written last, after the read-back.

A seal is `seals/<instant>-<point>.json`: one JSON object, its `signature` over the SHA-256 of the rest in canonical
form (keys sorted, no blanks, ASCII). Before it a table of the same objects goes to `seals/<instant>-<point>.txt`, a
line `<version id> <sha256> <size> <key>` for each, for a reader who has only a shell; the seal holds its SHA-256.

Nobody can remove a seal while it is locked, but whoever may write can add keys, and versions above ours. So a seal
counts by its signature, and only under the key that belongs to its content: an old one copied under a new name is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from backup.exit_codes import RepositoryFailed, VaultUnsafe, VerificationFailed
from backup.points import PointId
from backup.signing import Signer, Verifier
from backup.vault.keys import Keys
from backup.vault.vault import Denied, Exists, NotThere, Stored, VaultStore, Version

SCHEMA_VERSION = 1
PURPOSE: Final = "vault-seal"
MAX_SAME_SECOND = 60
MAX_BYTES = 64 * 1024**2  # of some 250,000 objects, of 16 MiB each: what is larger was put by somebody else


@dataclass(frozen=True, slots=True)
class SealedPoint:
    """A point that the repository held.

    started_at  UTC; the instant that the point stands for, from which its days are counted
    snapshot    id of its restic snapshot, 64 hex digits
    """

    point: PointId
    started_at: datetime
    snapshot: str


@dataclass(frozen=True, slots=True)
class SealedObject:
    """
    key           whole, with the prefix
    retain_until  UTC, when the seal was written; it may have been moved forward since
    """

    key: str
    version_id: str
    sha256: str
    size: int
    retain_until: datetime


@dataclass(frozen=True, slots=True)
class Seal:
    """
    point    the newest point, whose storing this seal proves
    points   all that can be restored from `objects`, that one among them
    objects  every file of the repository, sorted by key
    """

    point: PointId
    sealed_at: datetime
    host: str
    prefix: str
    points: tuple[SealedPoint, ...]
    objects: tuple[SealedObject, ...]

    @property
    def keys(self) -> Keys:
        return Keys(self.prefix)

    @property
    def key(self) -> str:
        return self.keys.seal(self.sealed_at, self.point)

    @property
    def lowest_retain_until(self) -> datetime:
        return min(each.retain_until for each in self.objects)

    def table(self) -> bytes:
        lines = (f"{each.version_id} {each.sha256} {each.size} {each.key}\n" for each in self.objects)
        return "".join(lines).encode("ascii")

    def document(self) -> dict[str, Any]:
        """Without the signature."""
        return {
            "schema_version": SCHEMA_VERSION,
            "point": str(self.point),
            "sealed_at": _text(self.sealed_at),
            "host": self.host,
            "prefix": self.prefix,
            "points": [
                {"point": str(each.point), "started_at": _text(each.started_at), "snapshot": each.snapshot}
                for each in self.points
            ],
            "objects": [
                [each.key, each.version_id, each.sha256, each.size, _text(each.retain_until)] for each in self.objects
            ],
            "table_sha256": hashlib.sha256(self.table()).hexdigest(),
        }


def serialize(seal: Seal, signer: Signer) -> bytes:
    document = seal.document()
    return _canonical(document | {"signature": signer.sign(PURPOSE, _digest(document))}) + b"\n"


def parse(data: bytes, key: str, verifier: Verifier) -> Seal:
    """Given a seal as it was read from under `key`. Raise VerificationFailed unless it is ours and belongs there."""
    try:
        document = json.loads(data)
        signature = document.pop("signature")
        verifier.verify(PURPOSE, _digest(document), signature)
        if document["schema_version"] != SCHEMA_VERSION:
            raise VerificationFailed(f"{key} has the format {document['schema_version']}, this Homeport knows 1")
        seal = Seal(
            point=PointId.parse(document["point"]),
            sealed_at=_time(document["sealed_at"]),
            host=document["host"],
            prefix=document["prefix"],
            points=tuple(
                SealedPoint(PointId.parse(each["point"]), _time(each["started_at"]), each["snapshot"])
                for each in document["points"]
            ),
            objects=tuple(
                SealedObject(key, version_id, sha256, size, _time(until))
                for key, version_id, sha256, size, until in document["objects"]
            ),
        )
    except VerificationFailed as error:
        raise VerificationFailed(f"{key}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VerificationFailed(f"{key} is not a seal: {error!r}") from error
    if strange := [each.key for each in seal.objects if not seal.keys.is_file(each.key)]:
        raise VerificationFailed(f"{key} lists {strange[0]!r}, which is no file of a repository")
    if seal.key != key:
        raise VerificationFailed(f"{key} holds the seal of another key, {seal.key}: somebody has copied it")
    return seal


def write(store: VaultStore, seal: Seal, signer: Signer, *, retain_until: datetime) -> Seal:
    """Put the table, then the seal. Return it as it was written: its instant moves on when its second is taken.

    raises  VaultUnsafe when so many keys are taken that somebody must have put them there
            RepositoryFailed when it would be larger than what `read` reads
    """
    for _ in range(MAX_SAME_SECOND):
        table, body = seal.table(), serialize(seal, signer)
        if len(body) > MAX_BYTES:
            raise RepositoryFailed(f"the repository has {len(seal.objects)} files: too many for one seal")
        is_ours = _put(store, store.keys.seal_table(seal.sealed_at, seal.point), table, retain_until)
        if is_ours and _put(store, seal.key, body, retain_until):
            return seal
        seal = replace(seal, sealed_at=seal.sealed_at + timedelta(seconds=1))
    raise VaultUnsafe(f"{MAX_SAME_SECOND} keys up to {seal.key} are taken: somebody writes seals that are not ours")


def read(store: VaultStore, version: Version, verifier: Verifier) -> Seal:
    """Raise VerificationFailed; also for what cannot be read as ours can: whoever may write may put such things here,
    and they must not hide the seals below. Raise NotThere, VaultUnreachable.
    """
    if version.size > MAX_BYTES:
        raise VerificationFailed(f"{version.key} has {version.size} bytes: no seal of ours is so large")
    try:
        body = store.read(version.key, version.version_id)
    except (VaultUnsafe, Denied) as error:
        raise VerificationFailed(f"{version.key} cannot be read: {error}") from error
    return parse(body, version.key, verifier)


def listed(store: VaultStore) -> list[Version]:
    """Every version of every key that looks like a seal's, newest first. Delete markers hide nothing here."""
    found = []
    for version in store.versions(store.keys.seals):
        try:
            store.keys.parse_seal(version.key)
        except ValueError:
            continue
        if not version.is_delete_marker:
            found.append(version)
    return sorted(found, key=lambda each: (each.key, each.modified), reverse=True)


def valid(
    store: VaultStore, verifier: Verifier, *, since: datetime | None = None, passed_over: list[str] | None = None
) -> Iterator[Seal]:
    """Every valid seal, newest first; what is none is passed over (`vault verify` names it).

    since        leave out those that were written before
    passed_over  is told why
    """
    for version in listed(store):
        if since is not None and store.keys.parse_seal(version.key)[0] < since:
            return
        try:
            yield read(store, version, verifier)
        except (VerificationFailed, NotThere) as error:
            if passed_over is not None:
                passed_over.append(str(error))


def newest(store: VaultStore, verifier: Verifier, *, point: PointId | None = None) -> Seal:
    """The newest valid seal; with `point`, the newest from which that point can be restored. Raise NotThere."""
    passed_over: list[str] = []
    for seal in valid(store, verifier, passed_over=passed_over):
        if point is None or any(each.point == point for each in seal.points):
            return seal
    what = "no valid seal" if point is None else f"no valid seal of {point}"
    others = f"; {len(passed_over)} are none, the newest because: {passed_over[0]}" if passed_over else ""
    raise NotThere(f"{store.name} holds {what} of the key {verifier.key_id}{others}")


def sealed_objects(stored: Iterable[Stored]) -> tuple[SealedObject, ...]:
    """Given what was read back, locked, return it as a seal lists it: sorted by key."""
    found = []
    for each in sorted(stored, key=lambda each: each.key):
        assert each.retain_until is not None, each
        found.append(SealedObject(each.key, each.version_id, each.sha256, each.size, each.retain_until))
    return tuple(found)


def _put(store: VaultStore, key: str, body: bytes, retain_until: datetime) -> bool:
    """Whether this key now holds this body: put just now, or by an attempt whose answer was lost."""
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        store.put(key, body, sha256=sha256, retain_until=retain_until)
    except Exists:
        return store.head(key).sha256 == sha256
    return True


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _digest(document: dict[str, Any]) -> bytes:
    return hashlib.sha256(_canonical(document)).digest()


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {text!r}")
    return at.astimezone(UTC)
