"""The rules of the backups room: what is shown, what may be asked for, what a restore in place takes with it.

    room = Backups.of(directory, broker, hub, runner, clock)
    room.begin() ... await room.close()

The portal makes no backup and restores nothing: it reads catalog.json and runs/, and writes requests, each as an
operation that follows its run to the end (following.py). Whatever it asks for is named by the catalog; what the catalog
does not know is refused here, and again by the unit. A restore names a preview, so what is done is what was shown.

A restore in place may name containers that must not run meanwhile. They are stopped by the broker before the request
is written and started when the run has ended, however it ended: by the operation, or by the next portal's re-check.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.actor import Actor
from portal.backups import probes
from portal.backups.catalog import BackupsNotConnected, CatalogFile
from portal.backups.following import Following
from portal.backups.jobs import Jobs
from portal.backups.requests import Act, Request, Requests
from portal.backups.runs import has_ended, read_lines
from portal.backups.schemas import (
    EVERYTHING,
    BackupOverview,
    BackupPoint,
    BackupPointView,
    Catalog,
    PendingJob,
    PreviewRestore,
    RestorableKind,
    RestorePreview,
    RestorePreviewed,
    RunBackup,
    RunDrill,
    RunLog,
    VerifyPoint,
)
from portal.backups.services import Services
from portal.broker.client import Broker
from portal.operations.hub import Hub
from portal.operations.progress import Progress
from portal.operations.records import Operation, Outcome
from portal.operations.recovery import Finding
from portal.operations.runner import Runner
from portal.probes import Probe

log = get_logger()

TOPIC = "backups"
WATCH_S = 2.0
TAKE_S = 300.0  # a restore for which containers were stopped is not left lying

_HOUR = 3600.0
OperationAct = Literal["run", "verify", "drill", "preview", "restore"]
TIMEOUT_S: Mapping[OperationAct, float] = {
    "run": 48 * _HOUR,
    "verify": 48 * _HOUR,
    "drill": 48 * _HOUR,
    "preview": 24 * _HOUR,  # one of the vault fetches what it shows
    "restore": 7 * 24 * _HOUR,
}


class NoSuchPoint(Problem):
    """The catalog has no point of this id."""

    status, type, title = 404, "no-such-point", "No such restore point"


class NoSuchAsset(Problem):
    """The catalog has nothing of this kind and name, or the point does not hold it."""

    status, type, title = 404, "no-such-asset", "No such asset"


class NoSuchRun(Problem):
    """There is no record of a run of this id, and no request."""

    status, type, title = 404, "no-such-run", "No such run"


class PointNotThere(Problem):
    """The point is known, but it does not lie where it is asked for; `detail` says where it does."""

    status, type, title = 409, "point-not-there", "The point is not there"


class PreviewUnusable(Problem):
    """The run is no preview that ended well: make a new one, and restore from that."""

    status, type, title = 409, "preview-unusable", "The preview cannot be used"


Confirm = Callable[[str], None]


@dataclass
class Backups:
    """Made by `of`. A directory of None: not connected."""

    directory: Path | None
    hub: Hub
    runner: Runner
    clock: Clock
    file: CatalogFile
    services: Services
    requests: Requests | None
    following: Following | None
    jobs: Jobs | None
    _watch: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, directory: Path | None, broker: Broker, hub: Hub, runner: Runner, clock: Clock) -> Backups:
        file, services = CatalogFile(directory), Services(broker)
        if directory is None:
            return cls(None, hub, runner, clock, file, services, None, None, None)
        requests = Requests(directory)
        following = Following(directory, requests, runner, clock)
        jobs = Jobs(directory, requests, following.operations, clock)
        return cls(directory, hub, runner, clock, file, services, requests, following, jobs)

    @property
    def probes(self) -> Sequence[Probe]:
        return probes.of(self.file, self.clock)

    def begin(self) -> None:
        """Tell the runner how the acts are re-checked, and begin to watch the directory. Before `runner.recover`."""
        for act, timeout_s in TIMEOUT_S.items():
            self.runner.recheck(f"backups:{act}", self._recheck, within_s=timeout_s)
        if self.directory is not None:
            self._watch = asyncio.create_task(self._tell_changes(self.directory))

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    # -- looking ------------------------------------------------------------------------------------------------------

    async def overview(self) -> BackupOverview:
        seen = await asyncio.to_thread(self.file.read)
        members = _NOTHING if seen.catalog is None else {name: getattr(seen.catalog, name) for name in _NOTHING}
        state = seen.state(now_utc(self.clock))
        return BackupOverview(state=state, detail=seen.detail, pending=await self.pending(), **members)

    async def catalog(self) -> Catalog:
        """Raise BackupsNotConnected or CatalogUnreadable."""
        return (await asyncio.to_thread(self.file.read)).require()

    async def point(self, point_id: str) -> BackupPointView:
        """Raise NoSuchPoint, and what `catalog` raises."""
        catalog = await self.catalog()
        point = _point(catalog, point_id)
        held = set(point.assets)
        assets = [each for each in catalog.assets if f"{each.kind}:{each.name}" in held or each.point == point.id]
        return BackupPointView(point=point, assets=assets)

    async def pending(self) -> list[PendingJob]:
        """What is asked for and what runs, newest first."""
        return [] if self.jobs is None else await asyncio.to_thread(self.jobs.pending)

    async def run_log(self, run_id: str, *, after: int | None) -> RunLog:
        """Raise NoSuchRun or BackupsNotConnected."""
        directory, requests, _ = self._connected()
        path = directory / "runs" / f"{run_id}.jsonl"
        place = await asyncio.to_thread(requests.state, run_id)
        try:
            part = await asyncio.to_thread(read_lines, path, after)
            is_ended = await asyncio.to_thread(has_ended, path)
        except OSError as error:
            if place is None:
                raise NoSuchRun(f"nothing is known of {run_id}") from error
            return RunLog(id=run_id, state=place, lines=[], after=0, is_truncated=False)
        return RunLog(
            id=run_id,
            state="ended" if is_ended else "running",
            lines=part.lines,
            after=part.after,
            is_truncated=part.is_truncated,
        )

    # -- acting -------------------------------------------------------------------------------------------------------

    async def run(self, actor: Actor, wanted: RunBackup) -> Operation:
        """Raise NoSuchAsset, BackupsNotConnected, CatalogUnreadable, and what the runner raises."""
        self._connected()
        if wanted.scope != "all":
            kind, _, name = wanted.scope.partition(":")
            catalog = await self.catalog()
            if kind not in get_args(RestorableKind):
                raise NoSuchAsset(f"no point is made of {kind!r} alone")
            _asset(catalog, kind, name)
        return await self._begin(actor, "run", wanted.scope, {"scope": wanted.scope}, {"scope": wanted.scope})

    async def verify(self, actor: Actor, wanted: VerifyPoint) -> Operation:
        """Raise NoSuchPoint, PointNotThere, and as `run`."""
        point = _point(await self.catalog(), wanted.point)
        if not point.is_local:
            raise PointNotThere(f"{point.id} lies in the vault only")
        return await self._begin(actor, "verify", point.id, {"point": point.id}, {"point": point.id})

    async def drill(self, actor: Actor, wanted: RunDrill) -> Operation:
        """Raise as `run`."""
        self._connected()
        target, detail = "drill", dict[str, Any](origin=wanted.origin)
        if wanted.asset is not None:
            _asset(await self.catalog(), wanted.asset.kind, wanted.asset.name)
            target = f"{wanted.asset.kind}:{wanted.asset.name}"
            detail["asset"] = target
        asked: dict[str, Any] = {"asset": wanted.asset and wanted.asset.model_dump()}
        if wanted.origin == "vault":  # asked of another unit: only that one may fetch from the vault
            return await self._begin(actor, "drill", target, asked, detail, asks="vaultdrill")
        return await self._begin(actor, "drill", target, asked | {"origin": wanted.origin}, detail)

    async def preview(self, actor: Actor, wanted: PreviewRestore) -> Operation:
        """Raise NoSuchPoint, NoSuchAsset, PointNotThere, and as `run`."""
        catalog = await self.catalog()
        point = _point(catalog, wanted.point)
        _require_place(point, wanted.origin)
        if wanted.asset.kind == EVERYTHING:
            if wanted.asset.name or wanted.folder is not None:
                raise NoSuchAsset("everything has neither a name nor folders")
        else:
            _asset(catalog, wanted.asset.kind, wanted.asset.name, point=point)
        asked = wanted.model_dump(mode="json")
        return await self._begin(actor, "preview", _target(wanted), asked, _detail(wanted))

    async def restore(self, actor: Actor, wanted: RestorePreviewed, confirm: Confirm) -> Operation:
        """Bring about what a preview showed.

        confirm  given the point's id, raises unless whoever asks may restore it in place now
        raises   NoSuchRun, PreviewUnusable, what `confirm` and `Services.running` raise, and as `run`
        """
        shown = await self._previewed(wanted.preview)
        is_in_place = shown.where == "in-place"
        if is_in_place:
            confirm(shown.point)
        asked = shown.model_dump(mode="json", include={"point", "asset", "folder", "origin", "where", "plan"})
        asked["confirm"] = shown.point if is_in_place else None
        detail = _detail(shown) | {"preview": wanted.preview}
        if not (is_in_place and shown.services):
            return await self._begin(actor, "restore", _target(shown), asked, detail)
        names = await self.services.running(shown.services, are_stopped=wanted.services_stopped)
        return await self._begin(actor, "restore", _target(shown), asked, detail | {"services": names})

    async def _begin(
        self,
        actor: Actor,
        act: OperationAct,
        target: str,
        asked: Mapping[str, Any],
        detail: Mapping[str, Any],
        *,
        asks: Act | None = None,
    ) -> Operation:
        """Begin an operation that writes a request and follows it.

        detail  its "services" are the containers that are stopped meanwhile
        asks    the request's act, where it is not the operation's
        """
        *_, following = self._connected()
        request = Request.new(asks or act, actor.name, now_utc(self.clock), asked)
        names = list(detail.get("services", ()))

        async def work(progress: Progress) -> dict[str, Any]:
            if not names:
                return await following.ask(progress, request)
            reason = f"restore in place of {target} from {asked.get('point')}"
            return await self._ask_without(names, reason, actor, progress, request)

        known = dict(detail) | {"run": request.id}
        return await self.runner.start(actor, f"backups:{act}", target, work, timeout_s=TIMEOUT_S[act], detail=known)

    async def _ask_without(
        self, names: Sequence[str], reason: str, actor: Actor, progress: Progress, request: Request
    ) -> dict[str, Any]:
        """As Following.ask, while the named containers are stopped."""
        *_, following = self._connected()
        try:
            await self.services.stop(names, reason, actor, progress)
            return await following.ask(progress, request, take_within_s=TAKE_S)
        finally:
            # A run that goes on needs them stopped: then the next portal starts them, when it has ended.
            if request.id not in following.left and not await following.is_stopping(progress):
                await asyncio.shield(self.services.start(names, actor, progress))

    async def _previewed(self, run_id: str) -> RestorePreview:
        """What a preview said. Raise NoSuchRun or PreviewUnusable."""
        *_, following = self._connected()
        record = following.record(run_id)
        try:
            await asyncio.to_thread(record.advance)
        except OSError as error:
            raise NoSuchRun(f"the record of {run_id} cannot be read: {error.strerror or error}") from error
        if record.last is None:
            raise NoSuchRun(f"nothing is known of {run_id}")
        if record.ended is None or record.ended.exit_code != 0 or record.result is None:
            raise PreviewUnusable("it has not ended" if record.ended is None else "it did not end well")
        try:
            return RestorePreview.model_validate(record.result.result)
        except ValidationError as error:
            raise PreviewUnusable("its record is not as a preview writes it") from error

    async def _recheck(self, operation: Operation) -> Finding:
        """What became of a request of an earlier portal: known when its run has ended. Starts what was stopped."""
        detail = operation.detail if isinstance(operation.detail, dict) else {}
        run_id, names = detail.get("run"), detail.get("services") or []
        if self.following is None or not isinstance(run_id, str):
            return Finding(Outcome.UNKNOWN, "this portal has no backup directory")
        found = await self.following.found(operation.id, run_id, take_within_s=TAKE_S if names else None)
        if names:
            await self.services.start(names, Actor.system("recheck"), None)
        return found

    def _connected(self) -> tuple[Path, Requests, Following]:
        if self.directory is None or self.requests is None or self.following is None:
            raise BackupsNotConnected
        return self.directory, self.requests, self.following

    # -- news -------------------------------------------------------------------------------------------------------

    async def _tell_changes(self, directory: Path) -> None:
        """Tell those who watch when the catalog is another one, or when a request came, was taken or ended."""
        places = [directory / name for name in ("catalog.json", "requests", "requests/taken", "runs")]
        before: list[object] | None = None
        while True:
            now = await asyncio.to_thread(lambda: [_sign(place) for place in places])
            if before is not None and now != before:
                self.hub.publish(TOPIC, {"catalog": now[0] != before[0], "jobs": now[1:] != before[1:]})
            before = now
            await asyncio.sleep(WATCH_S)


_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("written_at", "retention", "local", "meters", "repository", "vault")),
    **dict.fromkeys(("host", "zone"), ""),
    **{name: [] for name in ("points", "assets", "drills", "runs", "schedule")},
    "recovery_sheet_confirmed_at": None,
}


def _sign(path: Path) -> object:
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def _point(catalog: Catalog, point_id: str) -> BackupPoint:
    point = next((each for each in catalog.points if each.id == point_id), None)
    if point is None:
        raise NoSuchPoint(f"the catalog has no point {point_id}")
    return point


def _asset(catalog: Catalog, kind: str, name: str, *, point: BackupPoint | None = None) -> None:
    """Raise NoSuchAsset unless the catalog names it: as an asset of today, or as one that lies in the given point."""
    if point is not None and point.assets:
        is_known = f"{kind}:{name}" in point.assets
    else:
        is_known = any(each.kind == kind and each.name == name for each in catalog.assets)
    if not is_known:
        where = f"{point.id} does not hold" if point is not None and point.assets else "the catalog does not name"
        raise NoSuchAsset(f"{where} {kind}:{name}"[:500])


def _require_place(point: BackupPoint, origin: str) -> None:
    there = {
        "local": point.is_local,
        "repository": point.repository is not None,
        "vault": point.vault is not None,
    }
    if not there[origin]:
        places = ", ".join(name for name, is_there in there.items() if is_there) or "nowhere"
        raise PointNotThere(f"{point.id} lies in: {places}")


def _target(wanted: PreviewRestore | RestorePreview) -> str:
    return f"{wanted.asset.kind}:{wanted.asset.name}" if wanted.asset.name else wanted.asset.kind


def _detail(wanted: PreviewRestore | RestorePreview) -> dict[str, Any]:
    detail = {"point": wanted.point, "asset": _target(wanted), "origin": wanted.origin, "where": wanted.where}
    return detail | ({"folder": wanted.folder} if wanted.folder is not None else {})
