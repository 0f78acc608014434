"""Routes and their records come and go together, and nothing of anybody else is lost on the way."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from portal.dns.schemas import ApplyDnsPlan
from portal.dns.tunnel.problems import (
    HostnameTaken,
    NoSuchRoute,
    NoTunnel,
    RouteInvalid,
    TunnelIsLocal,
    TunnelNotChosen,
)
from portal.operations.plans import PlanStale
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Record, Tunnel, Zone
from tests.portal.dns.conftest import ANNA
from tests.portal.dns.tunnel.conftest import FALLBACK, Desk, Sit, a_tunnel, container, route

APP = "app.home.example"


async def test_route_comes_with_its_record_and_goes_with_it(desk: Desk) -> None:
    plan = await desk.plan(route(APP))
    assert [(each.name, each.before) for each in plan.changes] == [(f"record {APP}", None), (f"route {APP}", None)]
    assert plan.needs_step_up
    assert desk.cf.writes == []
    operation = await desk.done(plan)
    assert operation.result == {"changes": 2, "version": 4}
    assert desk.ingress == [{"hostname": APP, "service": "http://blog-nginx:80"}, FALLBACK]
    record = desk.cf.state.zones["home.example"].record("CNAME", APP)
    assert (record.content, record.proxied, record.comment, record.ttl) == (desk.host, True, "homeport-tunnel", 1)

    assert (await desk.plan(route(APP))).changes == []
    removal = await desk.plan(remove=[APP])
    assert [(each.name, each.after, each.is_protected) for each in removal.changes] == [
        (f"record {APP}", None, True),
        (f"route {APP}", None, True),
    ]
    assert {use.name for use in removal.changes[0].used_by} == {APP, "blog-nginx"}
    await desk.done(removal)
    assert (desk.ingress, desk.records_at(APP)) == ([FALLBACK], [])


async def test_record_is_there_only_while_its_route_is(desk: Desk) -> None:
    await desk.add(route(APP))
    await desk.done(await desk.plan(remove=[APP]))
    changes = [each.path.rsplit("/", 1)[-1] for each in desk.cf.writes]
    assert changes == ["configurations", "batch", "batch", "configurations"]


async def test_undo_of_either_way_brings_back_what_was(desk: Desk) -> None:
    desk.tunnel.config["ingress"].insert(
        0, {"hostname": APP, "service": "http://old:1", "originRequest": {"noTLSVerify": True}, "id": "7"}
    )
    desk.lead(APP, comment="by the dashboard", tags=["team:web"])
    before, record = (
        copy.deepcopy(desk.ingress),
        copy.deepcopy(desk.cf.state.zones["home.example"].record("CNAME", APP)),
    )
    removal = await desk.plan(remove=[APP])
    await desk.done(removal)
    back = await desk.tunnels.undo(ANNA, removal.id)
    assert back.undoes == removal.id
    await desk.done(back)
    now = desk.cf.state.zones["home.example"].record("CNAME", APP)
    assert desk.ingress == before
    for field in ("content", "proxied", "comment", "tags", "ttl"):
        assert getattr(now, field) == getattr(record, field)
    changed = await desk.add(route(APP, "https://blog-nginx:443"))
    assert desk.ingress[0] == before[0] | {"service": "https://blog-nginx:443"}
    await desk.done(await desk.tunnels.undo(ANNA, changed.id))
    assert desk.ingress == before


async def test_settings_that_nobody_here_knows_survive(desk: Desk) -> None:
    config: dict[str, Any] = {
        "ingress": [
            {"hostname": "a.home.example", "service": "http://a:1", "originRequest": {"connectTimeout": 9, "new": [1]}},
            {"hostname": "b.home.example", "path": "^/b", "service": "ssh://b:22", "futureMember": {"x": None}},
            {"hostname": "*.home.example", "service": "http://c:1"},
            {"service": "http_status:503", "originRequest": {}},
        ],
        "originRequest": {"noTLSVerify": True, "connect_timeout": "a name the SDK would change"},
        "warp-routing": {"enabled": True},
        "futureSetting": {"deep": [{"er": 1}]},
    }
    desk.tunnel.config = copy.deepcopy(config)
    await desk.add(route(APP), route("b.home.example", path="^/c"))
    now = desk.tunnel.config
    assert [entry for entry in now["ingress"] if entry["service"] != "http://blog-nginx:80"] == config["ingress"]
    assert [entry.get("hostname") for entry in now["ingress"]] == [
        "a.home.example",
        "b.home.example",
        APP,
        "b.home.example",
        "*.home.example",
        None,
    ]
    assert {name: now[name] for name in config if name != "ingress"} == {
        name: config[name] for name in config if name != "ingress"
    }
    await desk.done(await desk.plan(remove=[APP, "b.home.example ^/c"]))
    assert desk.tunnel.config == config


async def test_foreign_record_at_the_hostname_is_a_conflict_and_stays(desk: Desk) -> None:
    desk.cf.state.zones["home.example"].records.append(Record("A", APP, "192.0.2.7"))
    with pytest.raises(HostnameTaken, match=r"A '192\.0\.2\.7'") as taken:
        await desk.plan(route(APP))
    assert taken.value.extensions["record"]["content"] == "192.0.2.7"  # type: ignore[index]
    desk.cf.state.zones["home.example"].records.clear()
    desk.lead(APP, content="11111111-2222-4333-8444-555555555555.cfargotunnel.com")
    desk.cf.state.tunnels.append(a_tunnel("other"))
    desk.cf.state.tunnels[1].id = "11111111-2222-4333-8444-555555555555"
    with pytest.raises(TunnelNotChosen):
        await desk.plan(route(APP))
    assert desk.cf.writes == []


async def test_record_that_somebody_puts_there_after_the_plan_is_not_overwritten(desk: Desk) -> None:
    plan = await desk.plan(route(APP))
    desk.cf.state.zones["home.example"].records.append(Record("A", APP, "192.0.2.7"))
    with pytest.raises(PlanStale) as stale:
        await desk.apply(plan)
    with pytest.raises(HostnameTaken):
        await desk.tunnels.apply(ANNA, stale.value.plan.id, ApplyDnsPlan(), lambda: None)
    assert desk.records_at(APP) == [("A", "192.0.2.7")]
    assert desk.ingress == [FALLBACK]


async def test_removal_leaves_a_record_that_leads_elsewhere(desk: Desk) -> None:
    await desk.add(route(APP))
    desk.cf.state.zones["home.example"].record("CNAME", APP).content = "elsewhere.example.net"
    plan = await desk.plan(remove=[APP])
    assert [each.name for each in plan.changes] == [f"route {APP}"]
    await desk.done(plan)
    assert desk.records_at(APP) == [("CNAME", "elsewhere.example.net")]


async def test_record_stays_while_another_path_of_the_hostname_is_left(desk: Desk) -> None:
    await desk.add(route(APP), route(APP, "http://mail-ingress:8080", path="/api"))
    assert [entry.get("path") for entry in desk.ingress] == ["/api", None, None]
    plan = await desk.plan(remove=[f"{APP}/api"])
    assert [each.name for each in plan.changes] == [f"route {APP}/api"]
    await desk.done(plan)
    assert desk.records_at(APP)


async def test_removed_entry_comes_back_between_the_entries_that_it_stood_between(desk: Desk) -> None:
    paths = ["^/x", "^/x/long/path$", r"\.(jpg|png)$", "^/y"]  # the second is never reached, and stays so
    desk.tunnel.config["ingress"] = [
        *({"hostname": APP, "path": path, "service": "http://blog-nginx:80"} for path in paths),
        FALLBACK,
    ]
    before = copy.deepcopy(desk.ingress)
    removal = await desk.plan(remove=[f"{APP} {paths[1]}", f"{APP} {paths[2]}"])
    await desk.done(removal)
    await desk.done(await desk.tunnels.undo(ANNA, removal.id))
    assert desk.ingress == before


async def test_hostname_in_japanese_and_a_zone_below_a_zone(cf: CloudflareFake, sit: Sit) -> None:
    cf.state.tunnels.append(a_tunnel())
    for name in ("xn--r8jz45g.example", "sub.home.example"):
        cf.state.zones[name] = Zone(name)
    async with sit() as desk:
        await desk.add(route("ブログ.例え.example"), route("www.sub.home.example"))
        assert {entry.get("hostname") for entry in desk.ingress} == {
            "xn--qckyd1c.xn--r8jz45g.example",
            "www.sub.home.example",
            None,
        }
        assert desk.records_at("xn--qckyd1c.xn--r8jz45g.example", "xn--r8jz45g.example")
        assert desk.records_at("www.sub.home.example", "sub.home.example")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (route("app.elsewhere.example"), "hostname"),
        (route("not a name"), "hostname"),
        (route('x".home.example'), "hostname"),
        (route(APP, "http://169.254.169.254:80/latest"), "service"),
        (route(APP, "unix:/var/run/docker.sock"), "service"),
        (route(APP, "http://user:pass@blog-nginx:80"), "service"),
        (route(APP, "http://blog-nginx:99999"), "service"),
        (route(APP, path="(((" * 9), "path"),
        (route(APP, path="/a b"), "path"),
    ],
)
async def test_route_that_cannot_be_is_refused_with_the_field(desk: Desk, given: Any, field: str) -> None:
    with pytest.raises(RouteInvalid) as refused:
        await desk.plan(given)
    assert [each["field"] for each in refused.value.extensions["findings"]] == [field]  # type: ignore[attr-defined]


async def test_fixed_answers_and_unknown_targets_are_planned_with_a_warning(desk: Desk) -> None:
    desk.broker.containers = [container("down", state="exited"), container("far", network="mailserver")]
    hosts = {"a": "http://nobody:80", "b": "http://192.0.2.1:80", "c": "http://down:1", "d": "http://far:1"}
    routes = [route(f"{name}.home.example", service) for name, service in hosts.items()]
    plan = await desk.plan(route(APP, "http_status:404"), *routes)
    assert [(each.code, each.name) for each in plan.warnings] == [
        ("target-unknown", "route a.home.example"),
        ("target-unknown", "route b.home.example"),
        ("target-stopped", "route c.home.example"),
        ("target-not-on-edge", "route d.home.example"),
    ]
    assert len(plan.changes) == 10


async def test_what_is_not_there_cannot_be_removed(desk: Desk) -> None:
    desk.lead("elsewhere.home.example", content="www.example.net")
    await desk.add(route("live.home.example"))
    for name in (APP, "elsewhere.home.example", "live.home.example"):
        with pytest.raises(NoSuchRoute):
            await desk.plan(remove_records=[name])
    with pytest.raises(NoSuchRoute):
        await desk.plan(remove=[APP])


async def test_local_tunnel_is_shown_and_refused(cf: CloudflareFake, sit: Sit) -> None:
    cf.state.tunnels.append(Tunnel("home", "secret", config_src="local"))
    async with sit() as desk:
        shown = (await desk.tunnels.overview()).tunnel
        assert shown is not None
        assert (shown.is_ours, shown.version) == (False, None)
        with pytest.raises(TunnelIsLocal):
            await desk.plan(route(APP))


async def test_the_setting_chooses_among_tunnels_and_several_need_one(cf: CloudflareFake, sit: Sit) -> None:
    cf.state.tunnels += [a_tunnel("one"), a_tunnel("two")]
    async with sit() as desk:
        with pytest.raises(TunnelNotChosen) as several:
            await desk.plan(route(APP))
        assert [each["name"] for each in several.value.extensions["tunnels"]] == ["one", "two"]  # type: ignore[attr-defined]
        overview = await desk.tunnels.overview()
        assert overview.connection.settings == ["HOMEPORT_PORTAL_TUNNEL_ID"]
    async with sit(tunnel_id=cf.state.tunnels[1].id) as desk:
        await desk.add(route(APP))
        assert [tunnel.version for tunnel in cf.state.tunnels] == [3, 4]
    async with sit(tunnel_id="11111111-2222-4333-8444-555555555555") as desk:
        with pytest.raises(NoTunnel):
            await desk.plan(route(APP))


async def test_more_records_than_one_transaction_takes_are_swept_in_several(cf: CloudflareFake, sit: Sit) -> None:
    cf.state.tunnels.append(a_tunnel())
    names = [f"n{number}.home.example" for number in range(300)]
    async with sit() as desk:
        for name in names[:100]:
            desk.lead(name)
            desk.tunnel.config["ingress"].insert(0, {"hostname": name, "service": "http://gone:80"})
        for name in names[100:]:
            desk.lead(name)
        await desk.done(await desk.plan(remove=names[:100], remove_records=names[100:]))
        assert cf.state.zones["home.example"].records == []
        assert desk.ingress == [FALLBACK]
        assert [each.path.rsplit("/", 1)[-1] for each in cf.writes] == ["batch", "batch", "configurations"]


async def test_entries_of_one_name_go_together_or_the_last_first(desk: Desk) -> None:
    doubled = [{"hostname": APP, "service": f"http://blog-nginx:{port}"} for port in (80, 81)]
    desk.tunnel.config["ingress"] = [*doubled, FALLBACK]
    desk.lead(APP)
    with pytest.raises(RouteInvalid, match=f"{APP} #2 would take the place of {APP}"):
        await desk.plan(remove=[APP])
    plan = await desk.plan(remove=[APP, f"{APP} #2"])
    await desk.done(plan)
    assert (desk.ingress, desk.records_at(APP)) == ([FALLBACK], [])
    await desk.done(await desk.tunnels.undo(ANNA, plan.id))
    assert desk.ingress == [*doubled, FALLBACK]
    await desk.done(await desk.plan(remove=[f"{APP} #2"]))
    assert desk.ingress == [doubled[0], FALLBACK]
    assert desk.records_at(APP) == [("CNAME", desk.host)]
