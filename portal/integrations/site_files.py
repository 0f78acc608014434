"""Trees of sites, by the one program of blog-site-files that the broker runs: a coroutine for each of its actions.

The program is idempotent and leaves a tree either as it was or as it was to be; what it would not do comes back as
SiteFilesRefused with its code. Raises a BrokerProblem when it could not be asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from kit.problem import Problem
from portal.broker import schemas
from portal.broker.client import Broker

Kind = Literal["plugin", "theme"]
IMPORT_S = 3600  # of an archive of some GiB
TREE_S = 600  # of a tree that is moved, kept or counted


class SiteFilesRefused(Problem):
    """The program for sites' trees would not, or could not; `code` and `detail` are its own. The tree is as it was."""

    status, type, title = 409, "site-files-refused", "The site's tree was not changed"


@dataclass(frozen=True, slots=True)
class Imported:
    """table_prefix: of the archive's configuration. skipped: names that were left out, as hostile as they came."""

    table_prefix: str
    files: int
    size_bytes: int
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """is_truncated: there is more than the program counts."""

    files: int
    size_bytes: int
    public_bytes: int
    kept_bytes: int
    is_truncated: bool


class SiteFiles:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def create(self, site: str, uid: int, secrets: schemas.Secrets, *, hostnames: tuple[str, ...] = ()) -> None:
        """Make a tree. Refused with `exists` where there is one that this did not leave unfinished."""
        await self._done(schemas.SiteFiles(action="create", site=site, uid=uid, secrets=secrets, hostnames=hostnames))

    async def import_archive(self, site: str, uid: int, archive: str, secrets: schemas.Secrets) -> Imported:
        """Make a tree out of an archive in the import directory."""
        said = await self._done(
            schemas.SiteFiles(action="import", site=site, uid=uid, archive=archive, secrets=secrets, timeout_s=IMPORT_S)
        )
        return Imported(
            str(said["table_prefix"]), int(said["files"]), int(said["bytes"]), tuple(map(str, said["skipped"]))
        )

    async def remove(self, site: str, uid: int, removal_id: str) -> str:
        """Put the tree aside and return under which name. removal_id: of lower-case letters, digits and dashes."""
        said = await self._done(schemas.SiteFiles(action="remove", site=site, uid=uid, id=removal_id, timeout_s=TREE_S))
        return str(said["removed_as"])

    async def bring_back(self, site: str, uid: int, removal_id: str) -> None:
        """Return the tree that was put aside under this id; one that is there stays."""
        await self._done(schemas.SiteFiles(action="bring-back", site=site, uid=uid, id=removal_id, timeout_s=TREE_S))

    async def keep(self, site: str, uid: int, kind: Kind, slug: str, keep_id: str) -> None:
        """Copy a plugin or theme aside, under an id of lower-case letters, digits and dashes."""
        await self._done(
            schemas.SiteFiles(action="keep", site=site, uid=uid, kind=kind, slug=slug, id=keep_id, timeout_s=TREE_S)
        )

    async def put_back(self, site: str, uid: int, kind: Kind, slug: str, keep_id: str) -> None:
        """Replace a plugin or theme by what was kept of it."""
        await self._done(
            schemas.SiteFiles(action="put-back", site=site, uid=uid, kind=kind, slug=slug, id=keep_id, timeout_s=TREE_S)
        )

    async def forget(self, site: str, uid: int, keep_id: str) -> None:
        """Drop what was kept under an id."""
        await self._done(schemas.SiteFiles(action="forget", site=site, uid=uid, id=keep_id, timeout_s=TREE_S))

    async def secrets(self, site: str, uid: int, secrets: schemas.Secrets, *, renew_salts: bool = False) -> None:
        """Write the given parts of what is secret anew. renew_salts: every login of the site ends."""
        await self._done(
            schemas.SiteFiles(action="secrets", site=site, uid=uid, secrets=secrets, renew_salts=renew_salts)
        )

    async def measure(self, site: str, uid: int) -> Measured:
        """Count files and bytes."""
        said = await self._done(schemas.SiteFiles(action="measure", site=site, uid=uid, timeout_s=TREE_S))
        return Measured(
            files=int(said["files"]),
            size_bytes=int(said["bytes"]),
            public_bytes=int(said["public_bytes"]),
            kept_bytes=int(said["kept_bytes"]),
            is_truncated=bool(said["is_truncated"]),
        )

    async def _done(self, request: schemas.SiteFiles) -> dict[str, Any]:
        ended = await self._broker.ask(request)
        try:
            said = json.loads(ended.stdout)
        except ValueError:
            said = None
        if not isinstance(said, dict):  # ended by its time limit, or by the system
            raise SiteFilesRefused(f"it ended with exit code {ended.exit_code}", code="failed")
        if ended.exit_code != 0:
            raise SiteFilesRefused(str(said.get("detail", ""))[:500], code=str(said.get("error", "failed"))[:40])
        return said
