"""The backup's side, played by a test: a directory as the backup leaves it, and a unit that takes requests.

The unit writes what tests/contract/catalog/ shows: the documented lines, one JSON object each, flushed. What it does
with a request is a function of the test's, which gets the request and a `Run` to speak through.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Json = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "contract" / "catalog"
POLL_S = 0.02
MEANINGS = {0: "done and verified", 4: "a source failed or is inconsistent", 9: "the restore was refused"}


def example(name: str) -> Json:
    document: Json = json.loads((EXAMPLES / f"{name}.json").read_bytes())
    return document


def fresh(catalog: Json, now: datetime | None = None) -> Json:
    """The example as if it had been written a minute ago: every time in it moved by the same amount."""
    by = (now or datetime.now(UTC)) - timedelta(minutes=1) - datetime.fromisoformat(catalog["written_at"])

    def moved(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: moved(value) for name, value in node.items()}
        if isinstance(node, list):
            return [moved(value) for value in node]
        if isinstance(node, str) and node.endswith("Z") and node[4:5] == "-":
            with contextlib.suppress(ValueError):
                return iso(datetime.fromisoformat(node) + by)
        return node

    document: Json = moved(catalog)
    return document


def iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_directory(directory: Path, catalog: Json | None) -> Path:
    """`<backup root>/portal` with its directories, and a catalog unless it is None."""
    for name in ("requests", "requests/taken", "runs"):
        (directory / name).mkdir(parents=True)
    if catalog is not None:
        write_catalog(directory, catalog)
    return directory


def write_catalog(directory: Path, catalog: Json) -> None:
    new = directory / ".catalog.json.new"
    new.write_text(json.dumps(catalog))
    new.rename(directory / "catalog.json")


class Run:
    """The record of one run."""

    def __init__(self, directory: Path, run_id: str) -> None:
        self.id = run_id
        self.path = directory / "runs" / f"{run_id}.jsonl"

    def say(self, kind: str, **members: Any) -> None:
        line = json.dumps({"at": iso(datetime.now(UTC)), "type": kind, **members}) + "\n"
        with self.path.open("a") as file:
            file.write(line)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """As whoever works holds its record; leaving it is that process's end, whatever the record says."""
        with self.path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def started(self, verb: str, by: str = "anna") -> None:
        self.say("started", verb=verb, by=by)

    def result(self, **result: Any) -> None:
        self.say("result", result=result)

    def ended(self, exit_code: int = 0, error: str = "") -> None:
        self.say("ended", exit_code=exit_code, meaning=MEANINGS[exit_code], error=error)


Work = Callable[[Json, Run], None]


@contextlib.contextmanager
def unit(directory: Path, work: Work, *, hidden: Path | None = None) -> Iterator[list[Json]]:
    """Take requests and work on them, one at a time, in a thread; yields those that were taken.

    hidden  where it takes them to instead of requests/taken: the portal does not see into another user's directory
    """
    taken: list[Json] = []
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.wait(POLL_S):
            for path in sorted((directory / "requests").glob("[!.]*.json")):
                take(path.name)

    def take(name: str) -> None:
        place = (hidden or directory / "requests" / "taken") / name
        with contextlib.suppress(FileNotFoundError):
            (directory / "requests" / name).rename(place)
            request = json.loads(place.read_bytes())
            run = Run(directory, request["id"])
            with run.held():
                run.started(request["act"], request["by"])
                taken.append(request)
                work(request, run)
            place.unlink()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield taken
    finally:
        is_over.set()
        thread.join(20)
        assert not thread.is_alive()


def preview_of(request: Json, **members: Any) -> Json:
    """What a preview's result is, as the contract has it."""
    wanted = {name: request[name] for name in ("point", "asset", "folder", "origin", "where")}
    standard: Json = {
        "plan": "5f" * 32,
        "target": f"{request['asset']['kind']} {request['asset']['name']}",
        "adds": 2,
        "overwrites": 0,
        "deletes": 0,
        "bytes": 20480,
        "seconds": 1.5,
        "services": [],
        "verified": True,
        "egress_usd": None,
        "changes": [{"path": "cur/1763600000.M1P2.host:2,S", "what": "add"}],
    }
    return wanted | standard | members


def obliging(request: Json, run: Run) -> None:
    """Do whatever is asked for, and do it well."""
    run.say("step", name="stage", detail={"source": "site:blog"})
    run.say("progress", done=50, total=100, unit="bytes", rate=25.0, eta_s=2.0)
    run.say("warning", text="one table was dumped under a lock")
    match request["act"]:
        case "preview":
            run.result(**preview_of(request))
        case "restore":
            run.result(target="beside", files=2, bytes=20480, seconds=0.1, safety_copy=None, undo=None, not_scanned=0)
        case "verify":
            run.result(point=request["point"], damage=[])
        case "drill":
            run.result(drills=[])
        case _:
            run.result(point="manual/20261122T061500Z-all", verified=True, bytes=100, new_bytes=10)
    run.ended()
