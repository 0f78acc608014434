"""Heads of the portal's audit chain, put where the portal cannot reach.

A chain cannot show that its newest rows and its head were cut off together. So the portal writes its head to a file
every hour, and this signs it and puts it into the vault as `audit/<instant>.json`, under the same lock as everything:

    {"at":"2026-11-22T05:00:00Z","hash":"<64 hex digits>","schema_version":1,"sequence":1234,
     "signature":"ed25519 <key id> <base64>"}

The signature is that of an "audit-head" (backup/signing.py), over the SHA-256 of the document without its signature, as
canonical JSON: sorted keys, no spaces, UTF-8. The instant of the key is the head's own, so the same head put twice is
one object. `fetch` brings all of them into a directory for `homeport audit verify --heads`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from backup.exit_codes import SourceFailed, VaultUnsafe, VerificationFailed
from backup.journal import Journal
from backup.settings import VaultSettings
from backup.signing import Signer, Verifier
from backup.vault.vault import Denied, Exists, NotThere, VaultStore, Version
from kit.atomic import write_durably

MAX_BYTES = 64 * 1024  # a head has 300
SHOWN = 5  # of many bad ones


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


class Head(BaseModel):
    """As the portal writes it (`homeport audit head`).

    sequence  number of the newest row; 0 for an empty chain
    hash      of that row
    at        when the head was read
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    sequence: Annotated[int, Field(ge=0)]
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    at: Annotated[AwareDatetime, AfterValidator(_utc)]

    @property
    def canonical(self) -> dict[str, object]:
        return {
            "schema_version": self.schema_version,
            "sequence": self.sequence,
            "hash": self.hash,
            "at": self.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(_canonical(self.canonical)).digest()


class SignedHead(Head):
    signature: str

    @property
    def document(self) -> bytes:
        return _canonical(self.canonical | {"signature": self.signature})


def read(path: Path) -> Head:
    """Read the portal's file. Raise SourceFailed when it is none: it comes from another process."""
    try:
        return Head.model_validate_json(path.read_bytes())
    except OSError as error:
        said = f"the audit head {path} cannot be read: {error.strerror}"
        raise SourceFailed(f"{said}. `homeport audit head` writes it") from error
    except ValidationError as error:
        raise SourceFailed(f"{path} is no audit head: {_mistake(error)}. `homeport audit head` writes it") from None


def put(store: VaultStore, head: Head, signer: Signer, settings: VaultSettings, journal: Journal) -> str:
    """Sign a head and put it, locked for the whole window; return its key. The same head again changes nothing.

    raises  VaultUnsafe, when another head lies under this instant
            VaultUnreachable, from the store; the portal's file stays, and the next hour brings a newer one
    """
    signed = SignedHead(**head.model_dump(), signature=signer.sign("audit-head", head.sha256))
    key = store.keys.audit_head(head.at)
    body = signed.document
    until = store.now() + timedelta(days=settings.window_days)
    try:
        store.put(key, body, sha256=hashlib.sha256(body).hexdigest(), retain_until=until)
    except Exists:
        there = _read(store, _first_versions(store, key)[key])
        if there.canonical != head.canonical:
            raise VaultUnsafe(
                f"{key} holds the head of row {there.sequence}, not that of row {head.sequence}, which has the same"
                " time. Nothing was changed. Run `homeport audit verify --heads`: one of the two is not the portal's"
            ) from None
        journal.note(f"the audit head of row {head.sequence} is in the vault already, as {key}")
        return key
    journal.note(f"put the audit head of row {head.sequence} as {key}")
    return key


def heads(store: VaultStore, verifier: Verifier) -> Iterator[tuple[str, SignedHead]]:
    """Every head with its key, oldest first, in the version that was written first: a later one is somebody else's.

    raises  VaultUnsafe, after the last, when one is damaged, or not signed by us: whoever may write can put junk here,
            and it must not keep the true ones back
    """
    bad: list[str] = []
    for key, version in sorted(_first_versions(store, store.keys.audit).items()):
        try:
            head = _read(store, version)
            verifier.verify("audit-head", head.sha256, head.signature)
        except NotThere:
            continue  # its lock had ended, and the collector was here
        except (VaultUnsafe, VerificationFailed) as error:
            bad.append(f"{key}, version {version.version_id}: {error}")
            continue
        if store.keys.audit_head(head.at) != key:
            bad.append(f"{key}, version {version.version_id}, holds the head of another time, {head.at:%Y-%m-%dT%H:%M}")
            continue
        yield key, head
    if bad:
        more = f"\nand {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise VaultUnsafe("\n".join(bad[:SHOWN]) + more + "\nDo not delete anything. All others were fetched")


def fetch(store: VaultStore, verifier: Verifier, target: Path, journal: Journal) -> int:
    """Write every head into an existing directory, one `<instant>.json` each; return how many there are.

    raises  VaultUnsafe, as `heads` does, when all that are ours were written
    """
    count = 0
    for key, head in heads(store, verifier):
        write_durably(target / key.rpartition("/")[2], head.document, mode=0o644)
        count += 1
        journal.progress(count, None, "heads")
    return count


def _first_versions(store: VaultStore, prefix: str) -> dict[str, Version]:
    """Of each key the version that was written first; delete markers hide nothing."""
    first: dict[str, Version] = {}
    for version in store.versions(prefix):  # the newest first: of one second, the last in the list is the oldest
        known = first.get(version.key)
        if not version.is_delete_marker and (known is None or version.modified <= known.modified):
            first[version.key] = version
    return first


def _read(store: VaultStore, version: Version) -> SignedHead:
    """Raise VaultUnsafe when it is none of ours, NotThere, VaultUnreachable."""
    if version.size > MAX_BYTES:
        raise VaultUnsafe(f"{version.key} has {version.size} bytes: no audit head is so large. Do not delete anything")
    try:
        return SignedHead.model_validate_json(store.read(version.key, version.version_id))
    except Denied as error:
        raise VaultUnsafe(f"{version.key} cannot be read: {error}. Do not delete anything") from error
    except ValidationError as error:
        raise VaultUnsafe(f"{version.key} is no audit head: {_mistake(error)}. Do not delete anything") from None


def _mistake(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'the document'}: {first['msg']}"


def _canonical(document: dict[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
