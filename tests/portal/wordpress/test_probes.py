"""Probes of sites: against the real fleet, with a real TLS server as the edge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kit.clock import SystemClock
from portal.probes import Status
from portal.wordpress.look import Look, Looks, NotSet
from portal.wordpress.probe_models import SiteReadingRow
from portal.wordpress.probes import SiteProbes
from portal.wordpress.site_probes import EVERY_S, readings
from portal.wordpress.sites import NoSuchSite
from tests.portal.wordpress.conftest import Room
from tests.portal.wordpress.public_edge import PublicEdge
from tests.services.fleet import Fleet

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def row(minutes_ago: float = 0, **columns: Any) -> SiteReadingRow:
    seen: dict[str, Any] = {
        "origin_status": 200,
        "origin_ms": 80,
        "edge_status": 200,
        "edge_ms": 120,
        "is_cached": None,
        "certificate_until": NOW + timedelta(days=60),
        "origin_error": "",
        "edge_error": "",
    }
    return SiteReadingRow(uid=20000, at=NOW - timedelta(minutes=minutes_ago), **(seen | columns))


# -- judging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "name", "status", "value"),
    [
        ({}, "origin", Status.OK, 80),
        ({"origin_ms": 3001}, "origin", Status.WARNING, 3001),
        ({"origin_status": 404}, "origin", Status.OK, 80),
        ({"origin_status": 502}, "origin", Status.CRITICAL, 80),
        ({"origin_status": None, "origin_ms": None, "origin_error": "refused"}, "origin", Status.CRITICAL, None),
        ({"origin_status": None, "origin_ms": None}, "origin", Status.NOT_CONNECTED, None),
        ({"edge_status": None, "edge_ms": None, "edge_error": "no such name"}, "edge", Status.CRITICAL, None),
        ({}, "certificate", Status.OK, 60.0),
        ({"certificate_until": NOW + timedelta(days=13.99)}, "certificate", Status.WARNING, 13.9),
        ({"certificate_until": NOW + timedelta(days=2)}, "certificate", Status.CRITICAL, 2.0),
        ({"certificate_until": NOW - timedelta(days=1)}, "certificate", Status.CRITICAL, -1.0),
        ({"certificate_until": None}, "certificate", Status.UNKNOWN, None),
        ({}, "uptime", Status.OK, 100.0),
        ({}, "cache", Status.UNKNOWN, None),  # the edge does not say
        ({"is_cached": True}, "cache", Status.OK, "cached"),
        ({"is_cached": False}, "cache", Status.WARNING, "not cached"),
    ],
)
def test_a_measurement_is_judged(columns: dict[str, Any], name: str, status: Status, value: Any) -> None:
    reading = readings([row(**columns)], NOW)[name]
    assert (reading.status, reading.value) == (status, value)


def test_what_the_edge_did_while_the_origin_was_down_counts_more_than_what_it_has() -> None:
    down: dict[str, Any] = {"origin_status": None, "origin_ms": None, "origin_error": "refused"}
    served = [row(20, **down, is_cached=True), row(is_cached=False)]
    assert (readings(served, NOW)["cache"].status, readings(served, NOW)["cache"].value) == (Status.OK, "served")
    dark = [row(20, **down, edge_status=522, is_cached=False), row(is_cached=True)]
    assert readings(dark, NOW)["cache"].value == "did not serve"


def test_uptime_counts_the_rounds_in_which_somebody_asked() -> None:
    rows = [row(5 * number) for number in range(199, 0, -1)] + [row(edge_status=None, edge_error="timed out")]
    assert readings(rows, NOW)["uptime"].value == 99.5
    unasked = [row(10, edge_status=None, edge_ms=None), row()]
    assert readings(unasked, NOW)["uptime"].value == 100.0


def test_old_measurements_are_unknown_and_none_are_green() -> None:
    old = readings([row(2 * EVERY_S / 60 + 1)], NOW)
    assert {name: each.status for name, each in old.items() if each.measured_at} == dict.fromkeys(
        ("origin", "edge", "certificate", "uptime"), Status.UNKNOWN
    )
    assert old["origin"].value == 80
    assert {each.status for each in readings([], NOW).values()} == {Status.UNKNOWN}


# -- looking ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def edge(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublicEdge]:
    names = [site.hostname for site in fleet.sites.values()]
    with PublicEdge(fleet.origin_url, tmp_path, names, caches=True) as standing:
        monkeypatch.setenv("SSL_CERT_FILE", str(standing.certificate))
        yield standing


@pytest.fixture
async def looks(fleet: Fleet, edge: PublicEdge) -> AsyncIterator[Looks]:
    made = Looks(fleet.origin_url, edge.url, SystemClock())
    yield made
    await made.close()


async def test_origin_and_public_name_are_looked_at(fleet: Fleet, edge: PublicEdge, looks: Looks) -> None:
    hostname = fleet.site("alder").hostname
    origin = await looks.origin(hostname)
    assert (origin.status, origin.is_whole, origin.certificate_until, origin.is_cached) == (200, True, None, None)
    public = await looks.edge(hostname)
    assert (public.status, public.is_whole, public.is_cached) == (200, True, False)
    assert public.certificate_until is not None
    assert timedelta(days=59) < public.certificate_until - datetime.now(UTC) < timedelta(days=61)
    assert edge.asked == [(hostname, "/")]
    assert (await looks.edge(hostname)).is_cached is True


async def test_certificate_of_another_name_and_a_dead_port_are_no_answer(
    fleet: Fleet, edge: PublicEdge, looks: Looks
) -> None:
    other = await looks.edge("nobody.example")
    assert (other.status, "CERTIFICATE_VERIFY_FAILED" in other.error or "certificate" in other.error) == (None, True)
    dead = Looks("http://127.0.0.1:9", None, SystemClock())
    refused = await dead.origin(fleet.site("alder").hostname)
    assert (refused.status, refused.error != "") == (None, True)
    await dead.close()
    with pytest.raises(NotSet):
        await Looks(None, None, SystemClock()).origin("a.example")


def test_half_a_page_is_not_whole() -> None:
    assert not Look(200, 0.1, "<html><body>half").is_whole
    assert Look(200, 0.1, "<html></HTML>\n<!-- cached -->").is_whole


# -- rounds -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def new_probes(room: Room, looks: Looks) -> Callable[[], SiteProbes]:
    return lambda: SiteProbes(room.service.sites, looks, room.database, room.hub, room.clock)


async def test_rounds_are_kept_and_shown(
    room: Room, fleet: Fleet, edge: PublicEdge, new_probes: Callable[[], SiteProbes]
) -> None:
    probes = new_probes()
    before = {each.name: (await each.measure()).status for each in probes.probes}
    assert set(before.values()) == {Status.UNKNOWN}
    await probes.round()
    await probes.round()
    shown = await new_probes().of_site("alder")
    found = {each.name: each for each in shown.probes}
    assert (found["origin"].status, found["edge"].status, found["certificate"].status) == (Status.OK,) * 3
    assert (found["cache"].value, found["uptime"].value) == ("cached", 100.0)
    assert [(point.is_origin_up, point.is_cached) for point in shown.history] == [(True, False), (True, True)]
    summed = {each.name: await each.measure() for each in probes.probes}
    assert {name: (each.status, each.value) for name, each in summed.items()}["wordpress:origin"] == (Status.OK, 0)
    assert summed["wordpress:certificates"].value == found["certificate"].value
    listed = {each.site: {probe.name: probe.status for probe in each.probes} for each in (await probes.of_all()).sites}
    assert listed == dict.fromkeys(fleet.sites, dict.fromkeys(("origin", "edge", "certificate"), Status.OK))
    with pytest.raises(NoSuchSite):
        await probes.of_site("nobody")


async def test_edge_that_serves_while_the_origin_is_down_is_seen(
    room: Room, fleet: Fleet, edge: PublicEdge, new_probes: Callable[[], SiteProbes]
) -> None:
    probes = new_probes()
    await probes.round()
    fleet.kill_daemon("blog-nginx")
    try:
        await probes.round()
    finally:
        fleet.start_daemon("blog-nginx")
    shown = {each.name: each for each in (await probes.of_site("alder")).probes}
    assert (shown["origin"].status, shown["edge"].status) == (Status.CRITICAL, Status.OK)
    assert (shown["cache"].status, shown["cache"].value) == (Status.OK, "served")
    summed = {each.name: await each.measure() for each in probes.probes}
    assert (summed["wordpress:origin"].status, summed["wordpress:origin"].value) == (Status.CRITICAL, 3)
    assert "alder: " in summed["wordpress:origin"].detail


async def test_site_in_maintenance_is_not_visited(
    room: Room, fleet: Fleet, edge: PublicEdge, new_probes: Callable[[], SiteProbes]
) -> None:
    await room.service.sites.change("birch", is_maintained=True)
    probes = new_probes()
    await probes.round()
    assert fleet.site("birch").hostname not in {host for host, _ in edge.asked}
    shown = {each.name: each.status for each in (await probes.of_site("birch")).probes}
    assert (shown["origin"], shown["uptime"]) == (Status.NOT_CONNECTED, Status.UNKNOWN)


async def test_rows_older_than_a_month_are_forgotten(
    room: Room, edge: PublicEdge, new_probes: Callable[[], SiteProbes]
) -> None:
    uid = (await room.service.sites.get("alder")).uid
    old = SiteReadingRow(uid=uid, at=datetime.now(UTC) - timedelta(days=31), origin_error="", edge_error="")
    await room.database.run(lambda session: session.add(old))
    probes = new_probes()
    assert len((await probes.of_site("alder")).history) == 1
    await probes.round()
    assert len((await probes.of_site("alder")).history) == 1
