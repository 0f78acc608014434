"""What the portal sees of the backup: its directory, and units that take requests and write what they do.

    units = BackupUnits(tmp_path / "backups")
    units.write_catalog(catalog())                  # as of now, after tests/contract/catalog/full.json
    with Portal(tmp_path, {"BACKUP_DIR": str(units.directory)}) as portal, units.at_work():
        ...
        units.hold()                                     # the next run stops in its middle, until units.go()

The units write the real form (backup.md 7); what they say of a restore is scripted here. Each second of a run is real.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

CONTRACT = Path(__file__).parents[1] / "contract" / "catalog"
POLL_S = 0.05
ZONE = ZoneInfo("Asia/Tokyo")  # of the examples
DAILY, WEEKLY = 7, 4  # points of a house that has run for a month

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_DATED = re.compile(r"(?<=daily/|eekly/)\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"\d{8}T\d{6}Z")

Line = dict[str, Any]


def catalog(name: str = "full", *, age: timedelta = timedelta(0)) -> dict[str, Any]:
    """Given an example of the contract, return it as if it had been written `age` ago, every time in it moved alike."""
    text = (CONTRACT / f"{name}.json").read_text()
    written = datetime.fromisoformat(json.loads(text)["written_at"])
    moved = datetime.now(UTC) - age - written
    days = (written + moved).astimezone(ZONE).date() - written.astimezone(ZONE).date()
    text = _moved(text, moved)
    text = _DATED.sub(lambda found: (date.fromisoformat(found[0]) + days).isoformat(), text)
    text = _INSTANT.sub(lambda found: f"{datetime.fromisoformat(found[0]) + moved:%Y%m%dT%H%M%SZ}", text)
    moved_catalog: dict[str, Any] = json.loads(text)
    return moved_catalog


def with_history(document: dict[str, Any]) -> dict[str, Any]:
    """The same with a month of good points between those that the example has."""
    known = {point["id"] for point in document["points"]}
    for kind, step, count in (("daily", 1, DAILY), ("weekly", 7, WEEKLY)):
        newest = next(point for point in document["points"] if point["kind"] == kind)
        for number in range(1, count):
            back = timedelta(days=step * number)
            day = date.fromisoformat(newest["id"].partition("/")[2]) - back
            if (point_id := f"{kind}/{day}") not in known:
                older = _moved(json.dumps(newest), -back)
                document["points"].append(
                    json.loads(older) | {"id": point_id, "kept_because": f"{kind}, {number + 1} of {count}"}
                )
    document["points"].sort(key=lambda point: point["started_at"], reverse=True)
    return document


class BackupUnits:
    """directory   `<backup root>/portal` of nobody's backup."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.taken: list[dict[str, Any]] = []  # requests, in the order in which they came
        self.refusal: str | None = None  # what the next restore is refused with
        self._may_go = threading.Event()
        self._may_go.set()
        self._is_over = threading.Event()
        for name in ("requests/taken", "runs"):
            (directory / name).mkdir(parents=True)

    def write_catalog(self, document: dict[str, Any]) -> None:
        new = self.directory / ".catalog.json"
        new.write_text(json.dumps(document))
        new.replace(self.directory / "catalog.json")

    def hold(self) -> None:
        self._may_go.clear()

    def go(self) -> None:
        self._may_go.set()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        worker = threading.Thread(target=self._work, daemon=True)
        worker.start()
        try:
            yield
        finally:
            self._is_over.set()
            self.go()
            worker.join()

    def _work(self) -> None:
        requests = self.directory / "requests"
        while not self._is_over.wait(POLL_S):
            for path in sorted(requests.glob("[!.]*.json")):
                taken = path.rename(requests / "taken" / path.name)
                request = json.loads(taken.read_text())
                self.taken.append(request)
                self._run(request)

    def _run(self, request: dict[str, Any]) -> None:
        with (self.directory / "runs" / f"{request['id']}.jsonl").open("a") as record:

            def say(kind: str, **members: Any) -> None:
                record.write(json.dumps({"at": _iso(datetime.now(UTC)), "type": kind, **members}) + "\n")
                record.flush()

            say("started", verb=request["act"], by=request["by"])
            scripts: dict[str, Callable[..., str | None]] = {
                "run": self._back_up,
                "verify": self._verify,
                "drill": self._drill,
                "vaultdrill": self._drill,
                "preview": self._preview,
                "restore": self._restore,
            }
            refused = scripts[request["act"]](request, say)
            code, meaning = (9, "the restore was refused") if refused else (0, "done and verified")
            say("ended", exit_code=code, meaning=meaning, error=refused or "")

    def _back_up(self, request: dict[str, Any], say: Callable[..., None]) -> None:
        say("step", name="preflight", detail={})
        say("step", name="stage", detail={"source": "maildir:mail"})
        say("progress", done=157286400, total=314572800, unit="bytes", rate=7864320.0, eta_s=20.0)
        self._may_go.wait()
        say("note", text="9118 of 9120 files are links to <i>an earlier point</i>")
        point = f"manual/{request['id'][:16]}-{re.sub('[^a-z0-9._-]', '-', request['scope'])}"
        say("result", result={"point": point, "verified": True, "bytes": 314572800, "new_bytes": 1048576})

    def _verify(self, request: dict[str, Any], say: Callable[..., None]) -> None:
        say("step", name="verify", detail={"point": request["point"]})
        say("result", result={"point": request["point"], "damage": []})

    def _drill(self, request: dict[str, Any], say: Callable[..., None]) -> None:
        asset = request["asset"] or {"kind": "mailbox", "name": "anna@home.test"}
        drilled = {"asset_kind": asset["kind"], "asset": asset["name"], "point": "daily/2026-11-22", "ok": True}
        measured = {
            "origin": request.get("origin", "vault"),
            "seconds": 9.8,
            "projected_seconds": 1260.0,
            "detail": "5210 messages",
        }
        say("step", name="drill", detail={})
        say("result", result={"drills": [drilled | measured]})

    def _preview(self, request: dict[str, Any], say: Callable[..., None]) -> None:
        say("step", name="plan", detail={"point": request["point"]})
        self._may_go.wait()
        wish = {name: request[name] for name in ("point", "asset", "folder", "origin", "where")}
        found = {
            "plan": "5f70bf18" * 8,
            "target": "/srv/homeport/hdd/restores/<b>anna</b>",
            "adds": 2,
            "overwrites": 1,
            "deletes": 0,
            "bytes": 20480,
            "seconds": 1.5,
            "services": [],
            "verified": True,
            "egress_usd": 0.13 if request.get("origin", "vault") == "vault" else None,
            "changes": [
                {"path": "cur/1763600000.M1P2.host:2,S", "what": "add"},
                {"path": "cur/<img src=x onerror=alert(1)>\u202e", "what": "add"},
                {"path": "dovecot-uidlist", "what": "overwrite"},
            ],
        }
        say("result", result=wish | found)

    def _restore(self, request: dict[str, Any], say: Callable[..., None]) -> str | None:
        if self.refusal:
            return self.refusal
        is_in_place = request["where"] == "in-place"
        copy = "manual/20261122T010200Z-before-restore-mailbox-anna-home.test" if is_in_place else None
        say("step", name="restore", detail={})
        say("progress", done=20480, total=20480, unit="bytes", rate=20480.0, eta_s=0.0)
        undo = f"homeport backup restore {copy} mailbox:anna@home.test --in-place --confirm {copy}" if copy else None
        done = {"files": 3, "bytes": 20480, "seconds": 1.2, "safety_copy": copy, "undo": undo, "not_scanned": 0}
        say("result", result={"target": "/srv/homeport/hdd/restores/anna"} | done)
        return None


def _moved(text: str, by: timedelta) -> str:
    return _TIME.sub(lambda found: _iso(datetime.fromisoformat(found[0]) + by), text)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
