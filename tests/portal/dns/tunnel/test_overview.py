"""What is shown of the tunnel: troubles, orphans both ways, what is not known, and the last known state."""

from __future__ import annotations

import pytest

from portal.dns.tunnel.ingress import FALLBACK as NOT_FOUND
from portal.integrations.cloudflare_problems import CloudflareSilent
from portal.probes import Status
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Record
from tests.portal.brokers import RunningBroker, broker, start_broker
from tests.portal.dns.tunnel.conftest import Desk, Sit, a_tunnel, container, route
from tests.services.docker_engine import DockerEngine

__all__ = ["broker", "start_broker"]  # fixtures

HOSTILE = "a\u202e<script>alert(1)</script>\x00" + "x" * 4096
GONE = "11111111-2222-4333-8444-555555555555.cfargotunnel.com"


def _entry(hostname: str, service: str) -> dict[str, str]:
    return {"hostname": hostname, "service": service}


async def test_each_trouble_of_a_route_is_named(desk: Desk) -> None:
    desk.broker.containers = [container("up"), container("down", state="exited"), container("mail-x", service="svc")]
    desk.tunnel.config["ingress"][:0] = [
        _entry("ok.home.example", "http://up:80"),
        _entry("by-service.home.example", "http://svc:80"),
        _entry("none.home.example", "http://up:80"),
        _entry("else.home.example", "http://up:80"),
        _entry("grey.home.example", "http://up:80"),
        _entry("down.home.example", "http://down:80"),
        _entry("who.home.example", "http://nobody:80"),
        _entry("lan.home.example", "http://192.168.1.5:80"),
        _entry("far.elsewhere.example", "http_status:200"),
        {"hostname": "*.wild.home.example", "service": "http://up:80"},
    ]
    for name in ("ok", "by-service", "down", "who", "lan", "*.wild"):
        desk.lead(f"{name}.home.example")
    desk.lead("grey.home.example", proxied=False)
    desk.cf.state.zones["home.example"].records.append(Record("A", "else.home.example", "192.0.2.1"))
    await desk.room.service.zones.poll()
    found = await desk.tunnels.overview()
    assert found.tunnel is not None
    routes = {each.name.partition(".")[0]: each for each in found.tunnel.routes}
    assert {name: each.trouble for name, each in routes.items()} == {
        "ok": [],
        "by-service": [],
        "none": ["no-record"],
        "else": ["record-elsewhere"],
        "grey": ["not-proxied"],
        "down": ["target-stopped"],
        "who": ["target-unknown"],
        "lan": [],
        "far": ["zone-unknown"],
        "*": [],
    }
    assert (routes["by-service"].target, routes["down"].target_state) == ("mail-x", "exited")
    assert (found.tunnel.status, found.tunnel.connections, found.tunnel.fallback) == ("healthy", 4, NOT_FOUND)
    assert [(each.kind, each.name, each.why) for each in found.orphans] == [
        ("route", "down.home.example", "target-stopped"),
        ("route", "who.home.example", "target-unknown"),
    ]


async def test_roles_are_what_the_containers_are_and_the_mail_api_what_the_setting_says(
    cf: CloudflareFake, sit: Sit
) -> None:
    cf.state.tunnels.append(
        a_tunnel(
            "home",
            _entry("www.home.example", "http://blog-nginx:80"),
            _entry("mail.home.example", "http://mail-roundcube:80"),
            _entry("api.home.example", "http://other:80"),
            _entry("x.home.example", "http://other:80"),
        )
    )
    async with sit(edge_mail_api_url="https://api.home.example") as desk:
        found = (await desk.tunnels.overview()).tunnel
        assert found is not None
        assert [each.role for each in found.routes] == ["site", "webmail", "mail-api", "other"]


async def test_orphans_both_ways_are_swept_by_one_plan(desk: Desk) -> None:
    await desk.add(route("live.home.example"))
    desk.lead("dead.home.example")
    desk.lead("old.home.example", content=GONE)
    desk.tunnel.config["ingress"].insert(0, _entry("ghost.home.example", "http://nobody:80"))
    desk.lead("ghost.home.example")
    await desk.room.service.zones.read("home.example")
    desk.tunnels._picture.forget_age()
    orphans = (await desk.tunnels.overview()).orphans
    assert {(each.kind, each.name, each.why) for each in orphans} == {
        ("record", "dead.home.example", "no-route"),
        ("record", "old.home.example", "tunnel-gone"),
        ("route", "ghost.home.example", "target-unknown"),
    }
    sweep = await desk.plan(
        remove=[each.name for each in orphans if each.kind == "route"],
        remove_records=[each.name for each in orphans if each.kind == "record"],
    )
    await desk.done(sweep)
    assert {entry.get("hostname") for entry in desk.ingress} == {"live.home.example", None}
    assert [each.name for each in desk.cf.state.zones["home.example"].records] == ["live.home.example"]
    await desk.room.service.zones.read("home.example")
    assert (await desk.tunnels.overview()).orphans == []


async def test_other_tunnels_records_and_a_catch_all_that_leads_somewhere_are_no_orphans(
    cf: CloudflareFake, sit: Sit
) -> None:
    cf.state.tunnels += [a_tunnel("one"), a_tunnel("two")]
    cf.state.tunnels[0].config["ingress"] = [{"service": "http://blog-nginx:80"}]
    async with sit(tunnel_id=cf.state.tunnels[0].id) as desk:
        desk.lead("mine.home.example")
        desk.lead("theirs.home.example", content=f"{cf.state.tunnels[1].id}.cfargotunnel.com")
        assert (await desk.tunnels.overview()).orphans == []


async def test_silent_broker_makes_targets_unknown_and_not_fine(desk: Desk) -> None:
    await desk.add(route("app.home.example", "http://nobody:80"))
    desk.broker.containers = None
    await desk.room.service.zones.poll()
    found = await desk.tunnels.overview()
    assert found.silent == ["broker"]
    assert found.tunnel is not None
    assert (found.tunnel.routes[0].target, found.tunnel.routes[0].trouble, found.orphans) == (None, [], [])


async def test_zone_that_was_never_read_has_no_missing_records(desk: Desk) -> None:
    desk.tunnel.config["ingress"].insert(0, _entry("app.home.example", "http://blog-nginx:80"))
    found = await desk.tunnels.overview()
    assert found.silent == ["zone home.example", "zone two.example"]
    assert found.tunnel is not None
    assert found.tunnel.routes[0].trouble == []


async def test_outage_shows_the_last_known_state_also_after_a_restart(cf: CloudflareFake, sit: Sit) -> None:
    cf.state.tunnels.append(a_tunnel())
    async with sit() as desk:
        await desk.add(route("app.home.example"))
        known = await desk.tunnels.overview()
    cf.fail("*", ".", 500, times=10_000)
    async with sit() as desk:
        found = await desk.tunnels.overview()
        assert found.tunnel is not None
        assert [each.name for each in found.tunnel.routes] == ["app.home.example"]
        assert found.read_at == known.read_at
        assert found.connection.state == "silent"
        assert "tunnel" in found.silent
        for probe in desk.tunnels.probes:
            with pytest.raises(CloudflareSilent):
                await probe.measure()
        uses = await desk.room.uses.of("container", "blog-nginx")
        assert [use.name for use in uses.uses if use.room == "tunnel"] == ["app.home.example"]


async def test_without_an_account_nothing_is_asked_and_the_settings_are_named(cf: CloudflareFake, sit: Sit) -> None:
    async with sit(token=None) as desk:
        found = await desk.tunnels.overview()
        assert (found.tunnel, found.connection.state) == (None, "not-configured")
        assert "HOMEPORT_PORTAL_CLOUDFLARE_TOKEN" in found.connection.settings
        assert [(await probe.measure()).status for probe in desk.tunnels.probes] == [Status.NOT_CONNECTED] * 2
    assert cf.requests == []


async def test_token_without_the_tunnel_permission_is_named(cf: CloudflareFake, sit: Sit) -> None:
    cf.state.tunnels.append(a_tunnel())
    async with sit(token=cf.token(without=["Cloudflare Tunnel Read"])) as desk:
        found = await desk.tunnels.overview()
        assert (found.connection.state, found.connection.permission) == ("refused", "Cloudflare Tunnel Read")
        assert found.tunnel is None


async def test_container_says_which_hostnames_lead_to_it(desk: Desk) -> None:
    await desk.add(route("a.home.example"), route("b.home.example"), route("b.home.example", path="/x"))
    uses = await desk.room.uses.of("container", "blog-nginx")
    assert [(use.kind, use.name, use.why) for use in uses.uses if use.room == "tunnel"] == [
        ("hostname", "a.home.example", "reached-by"),
        ("hostname", "b.home.example/x", "reached-by"),
        ("hostname", "b.home.example", "reached-by"),
    ]
    for name in ("a.home.example", "CNAME a.home.example", "CNAME a.home.example 0a1b2c3d4e5f"):
        uses = await desk.room.uses.of("record", name)
        assert [(use.kind, use.name) for use in uses.uses if use.room == "tunnel"] == [
            ("route", "a.home.example"),
            ("container", "blog-nginx"),
        ]
    assert not (await desk.room.uses.of("container", "mail-ingress")).uses


async def test_probes_count_orphans_and_say_how_the_tunnel_is(desk: Desk) -> None:
    status, orphans = desk.tunnels.probes
    assert (await status.measure()).status is Status.OK
    assert (await orphans.measure()).value == 0
    desk.tunnel.config["ingress"].insert(0, _entry("who.home.example", "http://nobody:80"))
    del desk.tunnel.connections[1:]
    desk.tunnels._picture.forget_age()
    assert (await status.measure()).status is Status.WARNING
    reading = await orphans.measure()
    assert (reading.status, reading.value) == (Status.WARNING, 1)
    desk.broker.containers = None
    desk.tunnel.connections.clear()
    desk.tunnels._picture.forget_age()
    assert (await status.measure()).status is Status.CRITICAL


async def test_hostile_names_and_settings_are_shown_as_they_are(desk: Desk) -> None:
    desk.tunnel.name = HOSTILE
    desk.tunnel.config["ingress"].insert(0, {"hostname": HOSTILE, "service": f"http://{HOSTILE}", "x": [HOSTILE]})
    found = (await desk.tunnels.overview()).tunnel
    assert found is not None
    assert (found.name, found.routes[0].settings) == (HOSTILE, {"x": [HOSTILE]})
    await desk.add(route("app.home.example"))
    assert desk.ingress[0]["hostname"] == HOSTILE


@pytest.mark.services
async def test_route_to_a_container_of_a_real_engine_is_orphaned_when_that_stops(
    cf: CloudflareFake, sit: Sit, broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    running = docker_engine.run(stack="blog", service="blog-app")
    cf.state.tunnels.append(a_tunnel("home", _entry("app.home.example", "http://blog-app:80")))
    async with sit(broker=broker.path) as desk:
        found = (await desk.tunnels.overview()).tunnel
        assert found is not None
        assert (found.routes[0].target, found.routes[0].target_state) == (running.name, "running")
        uses = await desk.room.uses.of("container", running.name)
        assert [use.name for use in uses.uses if use.room == "tunnel"] == ["app.home.example"]
        docker_engine.client.api.stop(running.id, timeout=0)
        running.wait_for(Status="exited")
        assert [each.why for each in (await desk.tunnels.overview()).orphans] == ["target-stopped"]
        running.remove()
        assert [each.why for each in (await desk.tunnels.overview()).orphans] == ["target-unknown"]
