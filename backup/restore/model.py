"""What a restore is asked, what it would do, what it did: the values, and the digest that ties the last two together.

A plan is made by looking, an application by the same code that looks again first: when the digest is another, the
world or the point has changed since the preview, and nothing is done. The digest covers the request, the manifest of
the point, and each change with what it would replace. It does not cover what a restore keeps, so mail that arrives
between preview and restore leaves a plan valid.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from backup.exit_codes import RestoreRefused
from backup.journal import Journal
from backup.points import PointId
from backup.settings import BackupSettings
from backup.signing import Verifier
from backup.state import AssetKind, AssetState, PointState, readable
from backup.vault.vault import VaultStore
from kit.clock import Clock

Origin = Literal["local", "repository", "vault"]
Where = Literal["beside", "in-place"]
What = Literal["add", "overwrite", "delete"]

SHOWN_CHANGES = 200  # of a plan; the counts are of all
RESTORED = "restored"  # <root>/restored/<run id>/: where things lie that were restored beside


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """
    asset_kind        "everything" takes the whole point, and no name
    path              below the asset, "/" between parts, as `os.fsdecode` gives it: a file, a message or a directory;
                      of a database the name of a table
    folder            of a mailbox, as in AssetState.folders: INBOX is ""
    allow_unverified  take also what is not sealed, not signed or not what its manifest says; the report names it
    """

    point: PointId
    asset_kind: AssetKind | Literal["everything"]
    asset_name: str = ""
    path: str | None = None
    folder: str | None = None
    origin: Origin = "local"
    where: Where = "beside"
    allow_unverified: bool = False

    @property
    def is_partial(self) -> bool:
        return self.path is not None or self.folder is not None

    @property
    def asset(self) -> str:
        return "everything" if self.asset_kind == "everything" else f"{self.asset_kind}:{self.asset_name}"


@dataclass(frozen=True, slots=True)
class Context:
    """What a restore works with.

    run_id        of this run: names the directory of what is restored beside, and the scratch
    safety_copy   given kind and name of an asset, makes an on-demand point of it and returns its id, None when nothing
                  is there to be copied. It takes the locks that it needs; none is held when it is called
    bytes_per_s   of the last drill, for estimates; None before the first
    store         the vault, with the restorer's credentials; called when the origin is the vault, and only then
    lock_wait_s   how long to wait for the repository, for a site and for another restore
    """

    settings: BackupSettings
    verifier: Verifier
    journal: Journal
    clock: Clock
    run_id: str
    safety_copy: Callable[[str, str], PointId | None]
    store: Callable[[], VaultStore]
    lock_wait_s: float = 3600.0
    bytes_per_s: float | None = None

    @property
    def root(self) -> Path:
        return self.settings.root

    @property
    def restored(self) -> Path:
        return self.root / RESTORED


@dataclass(frozen=True, slots=True)
class Change:
    """
    path      as a person finds it: below the live directory or, beside, below the new one; a table is "table <name>"
    replaced  what tells the thing that is overwritten or deleted from what may be there later
    """

    path: str
    what: What
    bytes: int = 0
    replaced: str = ""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """
    sha256      names the plan; `apply` does nothing else
    target      where it will lie: live places, or the directory below which the restore makes one of its own
    bytes       to be written
    seconds     an estimate from the last drill; None without one
    services    containers to stop meanwhile
    verified    the point is sealed, its signature is good
    egress_usd  what getting it out of the vault costs at most; None for another origin
    changes     the first SHOWN_CHANGES
    """

    sha256: str
    request: RestoreRequest
    target: str
    adds: int
    overwrites: int
    deletes: int
    bytes: int
    services: tuple[str, ...]
    verified: bool
    changes: tuple[Change, ...]
    egress_usd: float | None = None
    seconds: float | None = None

    def document(self) -> dict[str, Any]:
        """The result of a preview, as the portal reads it."""
        request = self.request
        return {
            "plan": self.sha256,
            "point": str(request.point),
            "asset": {"kind": request.asset_kind, "name": request.asset_name},
            "folder": request.folder,
            "origin": request.origin,
            "where": request.where,
            "target": readable(self.target),
            "adds": self.adds,
            "overwrites": self.overwrites,
            "deletes": self.deletes,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "services": list(self.services),
            "verified": self.verified,
            "egress_usd": self.egress_usd,
            "changes": [{"path": readable(each.path), "what": each.what} for each in self.changes],
        }


class WorldChanged(RestoreRefused):
    """Point or live data are not what was planned from. Nothing was done; `plan` is what a restore would do now."""

    def __init__(self, plan: RestorePlan) -> None:
        first = "".join(f"\n  {each.what} {each.path!r}" for each in plan.changes[:10])
        super().__init__(
            f"the world has changed since the preview, nothing was done. A restore now would add {plan.adds}, overwrite"
            f" {plan.overwrites} and delete {plan.deletes}: look at a new preview{first}"
        )
        self.plan = plan


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """
    target       where it lies
    safety_copy  the point that was made before live data was touched; None: beside, or nothing was there
    undo         the command that brings back what was there; None beside, and where nothing was replaced
    not_scanned  files that no malware scanner has seen
    damaged      files that are not what the manifest says, taken because that was allowed
    """

    target: str
    files: int
    bytes: int
    seconds: float
    safety_copy: PointId | None = None
    undo: str | None = None
    not_scanned: int = 0
    damaged: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        return {
            "target": readable(self.target),
            "files": self.files,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "safety_copy": None if self.safety_copy is None else str(self.safety_copy),
            "undo": None if self.undo is None else readable(self.undo),
            "not_scanned": self.not_scanned,
            "damaged": [readable(path) for path in self.damaged],
        }


@dataclass(slots=True)
class Tally:
    """Changes as they are found: counted and digested, the first of them kept."""

    adds: int = 0
    overwrites: int = 0
    deletes: int = 0
    bytes: int = 0
    changes: list[Change] = field(default_factory=list)
    _digest: Any = field(default_factory=hashlib.sha256)

    def add(self, change: Change, sha256: str | None = None) -> None:
        if change.what == "add":
            self.adds += 1
        elif change.what == "overwrite":
            self.overwrites += 1
        else:
            self.deletes += 1
        self.bytes += change.bytes
        if len(self.changes) < SHOWN_CHANGES:
            self.changes.append(change)
        self.digest(change.what, change.path, str(change.bytes), change.replaced, sha256 or "")

    def digest(self, *parts: str) -> None:
        self._digest.update(os.fsencode("\0".join(parts) + "\n\0"))  # no part holds a NUL: none can look like another

    @property
    def sha256(self) -> str:
        return str(self._digest.hexdigest())


def chosen(state: PointState, request: RestoreRequest) -> Sequence[AssetState]:
    """The assets of a point that a request means. Raise RestoreRefused when there are none, or for a contradiction."""
    if request.asset_kind == "everything":
        if request.is_partial or request.asset_name:
            raise RestoreRefused("everything has no name, path or folder")
        return state.assets
    found = [each for each in state.assets if (each.kind, each.name) == (request.asset_kind, request.asset_name)]
    if not found:
        raise RestoreRefused(f"{state.point} holds no {request.asset_kind} {request.asset_name!r}")
    if request.folder is not None:
        if request.asset_kind != "mailbox":
            raise RestoreRefused(f"a {request.asset_kind} has no folders; give a path")
        if request.folder not in found[0].folders:
            raise RestoreRefused(f"{request.asset_name} has no folder {request.folder!r} in {state.point}")
    return found
