"""requests/<id>.json: what the portal asks the backup for. Written whole under its name, taken by a rename.

    requests/<id>.json         nobody has taken it yet: it can be withdrawn
    requests/taken/<id>.json   a unit has taken it. The unit's own: only a portal that runs as the same user sees inside
    runs/<id>.jsonl            what that unit says of it, from the moment on that it has taken it

A request has a closed form and names only what the catalog names: no path, no command, no setting. The id is the run's.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from kit.atomic import write_durably
from kit.problem import Problem
from portal.backups.files import read_plain

Act = Literal["run", "verify", "drill", "vaultdrill", "preview", "restore"]
State = Literal["requested", "accepted"]

MODE = 0o660  # the units are in the directory's group
MAX_BYTES = 64 * 1024
MAX_BY = 100  # as the units take it
SHOWN = 200  # requests that nobody takes

_ID = re.compile(r"(\d{8}T\d{6}Z)-([a-z][a-z-]{0,30})-[0-9a-f]{8}", re.ASCII)
_INSTANT = "%Y%m%dT%H%M%SZ"


class RequestNotWritten(Problem):
    """The request could not be written into the backup's directory; `detail` says why. Nothing was asked for."""

    status, type, title = 503, "backup-request-not-written", "The request could not be written"


@dataclass(frozen=True, slots=True)
class Request:
    """wanted   the members of its act, beside those that every request has"""

    id: str
    act: Act
    by: str
    at: datetime
    wanted: Mapping[str, Any]

    @classmethod
    def new(cls, act: Act, by: str, at: datetime, wanted: Mapping[str, Any]) -> Request:
        """by   who asks; what could not be shown on one line is left out of the name"""
        shown = "".join(char for char in by if char.isprintable())[:MAX_BY] or "?"
        return cls(f"{at.astimezone(UTC).strftime(_INSTANT)}-{act}-{secrets.token_hex(4)}", act, shown, at, wanted)

    def document(self) -> dict[str, Any]:
        at = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"schema_version": 1, "id": self.id, "act": self.act, "by": self.by, "at": at, **self.wanted}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it lies there."""

    id: str
    verb: str
    by: str
    at: datetime
    state: State


class Requests:
    """The directory of requests. Everything here blocks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "requests"
        self._taken = self._directory / "taken"

    def write(self, request: Request) -> None:
        """Raise RequestNotWritten."""
        try:
            data = json.dumps(request.document(), ensure_ascii=False, indent=1).encode() + b"\n"
            write_durably(self._directory / f"{request.id}.json", data, mode=MODE)
        except OSError as error:
            raise RequestNotWritten(f"{error.strerror or error}: {self._directory}") from error

    def withdraw(self, request_id: str) -> bool:
        """Take a request back. Return False when it is not there any more: somebody has taken it."""
        try:
            (self._directory / f"{request_id}.json").unlink()
        except FileNotFoundError:
            return False
        return True

    def state(self, request_id: str) -> State | None:
        """Where a request is; None: in neither place, or taken and out of our sight. Asked in the order of its way."""
        for state, directory in self._places():
            if os.path.lexists(directory / f"{request_id}.json"):
                return state
        return None

    def all(self) -> list[Asked]:
        """Those that lie there, newest first."""
        return sorted(self._all(), key=lambda asked: asked.id, reverse=True)

    def _all(self) -> Iterator[Asked]:
        for state, directory in self._places():
            try:
                names = sorted((entry.name for entry in os.scandir(directory)), reverse=True)
            except OSError:
                continue
            ids = [name.removesuffix(".json") for name in names if name.endswith(".json")]
            for request_id in [each for each in ids if _ID.fullmatch(each)][:SHOWN]:
                if started := started_at(request_id):
                    by = _by(directory / f"{request_id}.json")
                    yield Asked(request_id, verb_of(request_id), by, started, state)

    def _places(self) -> tuple[tuple[State, Path], ...]:
        return ("requested", self._directory), ("accepted", self._taken)


def started_at(run_id: str) -> datetime | None:
    """Given the id of a run, return the time in it; None when it is no id."""
    match = _ID.fullmatch(run_id)
    try:
        return datetime.strptime(match[1], _INSTANT).replace(tzinfo=UTC) if match else None
    except ValueError:
        return None


def verb_of(run_id: str) -> str:
    match = _ID.fullmatch(run_id)
    return match[2] if match else ""


def _by(path: Path) -> str:
    try:
        document = json.loads(read_plain(path, limit=MAX_BYTES)[0])
    except (OSError, ValueError, RecursionError):
        return ""
    by = document.get("by") if isinstance(document, dict) else None
    return by[:MAX_BY] if isinstance(by, str) else ""
