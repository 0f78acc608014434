"""Holding points against their manifests after the night, and drills: what is found is remembered for the catalog."""

from __future__ import annotations

from backup import catalog, drill, recovery_sheet, verify
from backup.exit_codes import DestinationFailed, SourceFailed, VerificationFailed, WrongUsage
from backup.house import POINTS, House
from backup.journal import Journal
from backup.points import PointId
from backup.restore.model import Context, Origin
from backup.runs import Run
from backup.settings import Server
from backup.sources import mariadb
from backup.vault import doctor as doctors
from backup.vault import finding
from kit.clock import now_utc

REHASH_DAYS = 28  # each day one part of every kept tree: all of it in four weeks
SHOWN = 20  # damaged files in a result
RATE = "drill-rate"  # among the facts: bytes and seconds of the newest drills that were large enough to tell


def rehash(house: House, work: Run) -> None:
    """Read today's part of every kept tree. Raise VerificationFailed, which names the first damaged file."""
    part = now_utc(house.clock).toordinal() % REHASH_DAYS
    damaged: list[verify.Damage] = []
    work.journal.step("re-hash", part=f"{part + 1} of {REHASH_DAYS}")
    for point in house.layout.sealed():
        damaged += _verify(house, point, work, part=(part, REHASH_DAYS))
    _require_whole(damaged)


def verify_points(house: House, work: Run, points: list[PointId]) -> None:
    """Read points whole. Raise VerificationFailed, WrongUsage."""
    for point in points:
        if not house.layout.point(point).is_dir():
            raise WrongUsage(f"there is no {point} here; `homeport backup list` shows what there is")
    damaged: list[verify.Damage] = []
    for point in points:
        work.journal.step("verify", point=str(point))
        damaged += _verify(house, point, work, part=None)
    work.result = {
        "point": ", ".join(map(str, points)),
        "damage": [str(each) for each in damaged[:SHOWN]],
        "damaged": len(damaged),
    }
    work.summary = f"{', '.join(map(str, points))}: every file is what its manifest says"
    _require_whole(damaged)


def _verify(house: House, point: PointId, work: Run, *, part: tuple[int, int] | None) -> list[verify.Damage]:
    """Under the points lock, shared: no retention takes the tree away meanwhile."""
    facts = house.facts()
    with house.hold(POINTS, f"verify {point}", work.journal, shared=True):
        if not house.layout.point(point).is_dir():
            return []
        found = verify.verify_point(house.layout.point(point), house.verifier(), part=part, journal=work.journal)
    if found:
        facts.set_point(str(point), damage=str(found[0]))
    elif part is None:
        facts.set_point(str(point), damage="", verified_at=now_utc(house.clock))
    return found


def _require_whole(damaged: list[verify.Damage]) -> None:
    if not damaged:
        return
    points = sorted({str(each.point) for each in damaged})
    raise VerificationFailed(
        f"{len(damaged)} files are not what they were, in {', '.join(points)}; the first is"
        f" {damaged[0]}. Nothing was changed. Other points, the repository and the vault have copies of"
        " their own: homeport backup restore --origin repository"
    )


def run_drills(house: House, work: Run, context: Context, asset: tuple[str, str] | None, origin: Origin) -> None:
    """Restore into scratch what was asked for, else what is due. Raise VerificationFailed when one does not hold."""
    facts = house.facts()
    work.journal.step("drill", origin=origin)
    results = drill.run(asset, origin, context)
    at = now_utc(house.clock)
    drills = [
        catalog.Drill(
            at=at,
            asset_kind=each.asset_kind,
            asset=each.asset,
            point=str(each.point),
            origin=each.origin,
            ok=each.ok,
            seconds=each.seconds,
            projected_seconds=each.projected_seconds,
            detail=each.detail,
        )
        for each in results
    ]
    for each in drills:
        facts.add_drill(each)
    telling = [each for each in results if each.ok and each.bytes >= drill.SMALLEST]
    if telling:
        facts.put(RATE, at, bytes=sum(each.bytes for each in telling), seconds=sum(each.seconds for each in telling))
    work.result = {"drills": [each.model_dump(mode="json") for each in drills]}
    work.summary = "; ".join(f"{each.asset_kind} {each.asset}: {each.detail or 'restored'}" for each in drills)
    failed = [each for each in drills if not each.ok]
    if failed:
        text = "; ".join(f"{each.asset_kind} {each.asset} of {each.point}: {each.detail}" for each in failed)
        raise VerificationFailed(f"a drill failed: {text}. Live data were not touched")


def drilled_bytes_per_s(house: House) -> float | None:
    """As the newest drill has measured it. None before the first, and where it cannot be read: it is an estimate's."""
    try:
        rate = house.facts().get(RATE)
    except DestinationFailed:
        return None
    return rate.document["bytes"] / rate.document["seconds"] if rate and rate.document["seconds"] else None


def doctor(house: House, journal: Journal) -> list[finding.Finding]:
    """What a night and a restore depend on: the host, the sources' servers, the vault."""
    confirmed_at = recovery_sheet.confirmed_at(house.settings, house.facts())
    found = doctors.doctor(house.settings, clock=house.clock, journal=journal, sheet_confirmed_at=confirmed_at)
    return [*(_server(each) for each in house.settings.sources.mariadb), *found]


def _server(server: Server) -> finding.Finding:
    try:
        versions = mariadb.versions(server)
    except SourceFailed as error:
        return finding.failed(str(error), "every night fails until then: put it right, then run the doctor again")
    return finding.ok(f"server {server.name} is {versions['server']}, dumped by a client {versions['client']}")
