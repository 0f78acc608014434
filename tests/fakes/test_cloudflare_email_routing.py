"""Email Routing of the fake, through the official client."""

from __future__ import annotations

from typing import Any, cast

import cloudflare
import pytest
from cloudflare import AsyncCloudflare

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.email_routing import RULE_LIMIT
from tests.fakes.cloudflare.state import Address, Module, Record, Rule, Script
from tests.fakes.conftest import DEPRECATED, ask, code_of

WORKER: Any = [{"type": "worker", "value": ["edge"]}]


def to(address: str) -> Any:
    return [{"type": "literal", "field": "to", "value": address}]


@pytest.fixture
def routed(cf: CloudflareFake) -> CloudflareFake:
    """Email Routing is on in home.example, and there is a Worker."""
    cf.state.zones["home.example"].routing.enabled = True
    cf.state.scripts["edge"] = Script("edge", "w.js", {"w.js": Module("application/javascript+module", b"export")})
    return cf


# The zone


async def test_zone_starts_unconfigured_with_a_silent_catch_all(client: AsyncCloudflare, home: str) -> None:
    settings = await client.email_routing.get(zone_id=home)
    assert settings is not None
    assert (settings.enabled, settings.status, settings.name) == (False, "unconfigured", "home.example")
    catch_all = await client.email_routing.rules.catch_alls.get(zone_id=home)
    assert catch_all is not None
    assert catch_all.actions is not None
    assert (catch_all.enabled, catch_all.actions[0].type) == (False, "drop")


async def test_creating_dns_enables_and_locks_and_deleting_it_undoes_that(
    cf: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    wanted = await client.email_routing.dns.get(zone_id=home)
    assert wanted is not None
    assert [record.type for record in wanted] == ["MX", "MX", "MX", "TXT"]
    settings = await client.email_routing.dns.create(zone_id=home)
    assert settings is not None
    assert (settings.enabled, settings.status) == (True, "ready")
    made = [(record.type, record.content) for record in cf.state.zones["home.example"].records]
    assert made == [(record.type, record.content) for record in wanted]
    mx = cf.state.zones["home.example"].records[0]
    with pytest.raises(cloudflare.BadRequestError) as locked:
        await client.dns.records.delete(mx.id, zone_id=home)
    assert code_of(locked.value) == 1046
    with pytest.raises(cloudflare.BadRequestError) as managed:
        await client.dns.records.create(zone_id=home, type="MX", name="@", content="mx.example", priority=0, ttl=1)
    assert code_of(managed.value) == 890190
    settings = await client.email_routing.dns.delete(zone_id=home)
    assert settings is not None
    assert (settings.enabled, settings.status) == (False, "unconfigured")
    assert cf.state.zones["home.example"].records == []


async def test_unlocked_records_can_be_changed_and_still_go_with_the_service(
    cf: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    await client.email_routing.dns.create(zone_id=home, name="home.example")
    settings = await client.email_routing.dns.edit(zone_id=home)
    assert settings is not None
    assert settings.status == "unlocked"
    zone = cf.state.zones["home.example"]
    spf = zone.record("TXT")
    await client.dns.records.update(
        spf.id, zone_id=home, type="TXT", name="@", ttl=1, content='"v=spf1 include:other.example -all"'
    )
    settings = await client.email_routing.get(zone_id=home)
    assert settings is not None
    assert settings.status == "misconfigured"
    await client.email_routing.dns.delete(zone_id=home)
    assert zone.records == []


async def test_records_that_enabling_added_may_be_hidden_from_the_dns_api(
    cf: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    routing = cf.state.zones["home.example"].routing
    routing.records_hidden = True
    settings = await client.email_routing.dns.create(zone_id=home)
    assert settings is not None
    assert settings.status == "ready"
    assert [record async for record in client.dns.records.list(zone_id=home)] == []
    assert "route1" not in await client.dns.records.export(zone_id=home)


async def test_dkim_record_belongs_to_those_needed_where_a_test_says_so(
    cf: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    zone = cf.state.zones["home.example"]
    zone.routing.dkim = '"v=DKIM1; h=sha256; k=rsa; p=AAAA"'
    await client.email_routing.dns.create(zone_id=home)
    assert zone.record("TXT", "cf2024-1._domainkey.home.example").content == zone.routing.dkim
    needed = await client.email_routing.dns.get(zone_id=home)
    assert needed is not None
    assert len(needed) == len(zone.records) == 5


def test_needed_records_may_be_answered_as_those_missing(cf: CloudflareFake, home: str) -> None:
    """The other shape of this answer, which the SDK's types don't know."""
    zone = cf.state.zones["home.example"]
    zone.routing.tells_missing = True
    zone.records.append(Record("MX", "home.example", "route1.mx.cloudflare.net", priority=5))
    result = ask(cf, cf.token(), "GET", f"/zones/{home}/email/routing/dns").json()["result"]
    assert [error["code"] for error in result["errors"]] == ["mx.missing", "mx.missing", "spf.missing"]
    assert result["errors"][0]["missing"]["content"] == "route2.mx.cloudflare.net"
    assert [record["content"] for record in result["record"]] == ["route1.mx.cloudflare.net"]


@pytest.mark.filterwarnings(DEPRECATED)
async def test_the_deprecated_calls_do_the_same(client: AsyncCloudflare, home: str) -> None:
    for act, status in (
        (client.email_routing.enable, "ready"),
        (client.email_routing.unlock, "unlocked"),
        (client.email_routing.disable, "unconfigured"),
    ):
        settings = await act(zone_id=home)
        assert settings is not None
        assert settings.status == status


async def test_enabling_is_refused_while_foreign_mx_records_stand(
    cf: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    zone = cf.state.zones["home.example"]
    zone.records.append(Record("MX", "home.example", "mx.example", priority=0))
    with pytest.raises(cloudflare.ConflictError):
        await client.email_routing.dns.create(zone_id=home)
    assert not zone.routing.enabled
    assert len(zone.records) == 1


async def test_enabling_leaves_a_foreign_spf_alone_and_says_misconfigured(
    cf: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    zone = cf.state.zones["home.example"]
    zone.records.append(Record("TXT", "home.example", "v=spf1 include:other.example -all"))
    settings = await client.email_routing.dns.create(zone_id=home)
    assert settings is not None
    assert settings.status == "misconfigured/locked"
    assert len([record for record in zone.records if record.type == "TXT"]) == 1
    zone.records[0].content = "v=spf1 include:_spf.mx.cloudflare.net include:other.example -all"
    settings = await client.email_routing.get(zone_id=home)
    assert settings is not None
    assert settings.status == "ready"


async def test_enabling_twice_changes_nothing_the_second_time(
    cf: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    await client.email_routing.dns.create(zone_id=home)
    before = list(cf.state.zones["home.example"].records)
    await client.email_routing.dns.create(zone_id=home)
    assert cf.state.zones["home.example"].records == before


async def test_patching_enabled_succeeds_and_does_nothing(client: AsyncCloudflare, home: str) -> None:
    for act in (client.email_routing.edit, client.email_routing.update):
        settings = await act(zone_id=home, enabled=True, support_subaddress=True)
        assert settings is not None
        assert (settings.enabled, settings.status, settings.support_subaddress) == (False, "unconfigured", True)


# Rules


async def test_rule_lives_through_create_get_update_delete(
    routed: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    rules = client.email_routing.rules
    made = await rules.create(zone_id=home, matchers=to("a@home.example"), actions=WORKER, name="a", priority=3)
    assert made is not None
    assert made.id is not None
    assert (made.enabled, made.priority, made.name) == (True, 3, "a")
    assert await rules.get(made.id, zone_id=home) == made
    changed = await rules.update(
        made.id, zone_id=home, matchers=to("a@home.example"), actions=[{"type": "drop"}], enabled=False
    )
    assert changed is not None
    assert (changed.id, changed.enabled, changed.name, changed.priority) == (made.id, False, "", 0)
    await rules.delete(made.id, zone_id=home)
    for act in (rules.get, rules.delete):
        with pytest.raises(cloudflare.NotFoundError):
            await act(made.id, zone_id=home)


async def test_rules_are_listed_in_pages_with_the_catch_all_among_them(
    routed: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    routing = routed.state.zones["home.example"].routing
    routing.rules += [Rule(to(f"a{n}@home.example"), WORKER) for n in range(7)]
    ids = [rule.id async for rule in client.email_routing.rules.list(zone_id=home, per_page=5)]
    assert ids == [*(rule.id for rule in routing.rules), routing.catch_all.id]
    assert len(routed.requests) == 3
    enabled = [rule.id async for rule in client.email_routing.rules.list(zone_id=home, enabled=True)]
    assert enabled == [rule.id for rule in routing.rules]


async def test_catch_all_is_put_and_never_created_or_deleted(
    routed: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    rules = client.email_routing.rules
    with pytest.raises(cloudflare.ConflictError):
        await rules.create(zone_id=home, matchers=[{"type": "all"}], actions=WORKER)
    put = await rules.catch_alls.update(
        zone_id=home, matchers=[{"type": "all"}], actions=WORKER, enabled=True, name="homeport"
    )
    assert put is not None
    got = await rules.catch_alls.get(zone_id=home)
    assert got is not None
    assert got.model_dump() == put.model_dump()
    assert got.id is not None
    with pytest.raises(cloudflare.ConflictError):
        await rules.delete(got.id, zone_id=home)
    with pytest.raises(cloudflare.BadRequestError):
        await rules.catch_alls.update(zone_id=home, matchers=cast(Any, to("a@home.example")), actions=WORKER)


async def test_worker_must_exist_and_may_be_seen_late(
    routed: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    unknown: Any = [{"type": "worker", "value": ["unknown"]}]
    with pytest.raises(cloudflare.NotFoundError) as missing:
        await client.email_routing.rules.create(zone_id=home, matchers=to("a@home.example"), actions=unknown)
    assert code_of(missing.value) == 2016
    routed.state.routing_blind_to["edge"] = 2
    for _ in range(2):
        with pytest.raises(cloudflare.NotFoundError) as late:
            await client.email_routing.rules.catch_alls.update(zone_id=home, matchers=[{"type": "all"}], actions=WORKER)
        assert code_of(late.value) == 2016
    await client.email_routing.rules.catch_alls.update(zone_id=home, matchers=[{"type": "all"}], actions=WORKER)


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (cloudflare.BadRequestError, {"matchers": to("a@elsewhere.example")}),
        (cloudflare.BadRequestError, {"matchers": to("home.example")}),
        (cloudflare.BadRequestError, {"matchers": []}),
        (cloudflare.BadRequestError, {"matchers": to("a@home.example") * 2}),
        (cloudflare.BadRequestError, {"matchers": [{"type": "literal", "value": "a@home.example"}]}),
        (cloudflare.BadRequestError, {"actions": []}),
        (cloudflare.BadRequestError, {"actions": [{"type": "worker"}]}),
        (cloudflare.BadRequestError, {"actions": [{"type": "forward", "value": ["nobody@elsewhere.example"]}]}),
        (cloudflare.BadRequestError, {"actions": [{"type": "bounce"}]}),
        (cloudflare.BadRequestError, {"source": "wrangler"}),
        (cloudflare.BadRequestError, {"extra_body": {"colour": "red"}}),
        (cloudflare.ConflictError, {"matchers": to("Taken@home.example")}),
    ],
    ids=str,
)
async def test_rules_that_cannot_be_are_refused(
    routed: CloudflareFake, client: AsyncCloudflare, home: str, error: type[Exception], fields: dict[str, Any]
) -> None:
    rules = routed.state.zones["home.example"].routing.rules
    rules.append(Rule(to("taken@home.example"), WORKER))
    with pytest.raises(error):
        await client.email_routing.rules.create(
            zone_id=home, **cast(Any, {"matchers": to("a@home.example"), "actions": WORKER, **fields})
        )
    assert len(rules) == 1


async def test_no_rule_is_written_while_routing_is_off(
    routed: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    routed.state.zones["home.example"].routing.enabled = False
    with pytest.raises(cloudflare.BadRequestError):
        await client.email_routing.rules.create(zone_id=home, matchers=to("a@home.example"), actions=WORKER)
    with pytest.raises(cloudflare.BadRequestError):
        await client.email_routing.rules.catch_alls.update(zone_id=home, matchers=[{"type": "all"}], actions=WORKER)


async def test_rules_are_limited(routed: CloudflareFake, client: AsyncCloudflare, home: str) -> None:
    routed.state.zones["home.example"].routing.rules += [
        Rule(to(f"a{n}@home.example"), WORKER) for n in range(RULE_LIMIT)
    ]
    with pytest.raises(cloudflare.BadRequestError):
        await client.email_routing.rules.create(zone_id=home, matchers=to("a@home.example"), actions=WORKER)


# Destination addresses


async def test_address_is_unverified_until_a_person_follows_the_link(
    routed: CloudflareFake, client: AsyncCloudflare, account: str, home: str
) -> None:
    addresses = client.email_routing.addresses
    made = await addresses.create(account_id=account, email="Me@Elsewhere.example")
    assert made is not None
    assert made.id is not None
    assert (made.email, made.verified) == ("me@elsewhere.example", None)
    forward: Any = [{"type": "forward", "value": ["me@elsewhere.example"]}]
    with pytest.raises(cloudflare.BadRequestError) as unverified:
        await client.email_routing.rules.create(zone_id=home, matchers=to("a@home.example"), actions=forward)
    assert code_of(unverified.value) == 2012
    routed.state.addresses[0].verified = "2026-11-22T00:00:00Z"
    await client.email_routing.rules.create(zone_id=home, matchers=to("a@home.example"), actions=forward)
    got = await addresses.get(made.id, account_id=account)
    assert got is not None
    assert got.verified is not None
    assert [a.email async for a in addresses.list(account_id=account, verified=True)] == ["me@elsewhere.example"]
    with pytest.raises(cloudflare.ConflictError):
        await addresses.create(account_id=account, email="me@elsewhere.example")
    await addresses.delete(made.id, account_id=account)
    with pytest.raises(cloudflare.NotFoundError):
        await addresses.get(made.id, account_id=account)


async def test_addresses_page(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    cf.state.addresses += [Address(f"a{n}@elsewhere.example", created=f"2026-11-0{n + 1}T00:00:00Z") for n in range(6)]
    found = [a.email async for a in client.email_routing.addresses.list(account_id=account, per_page=5)]
    assert found == [address.email for address in cf.state.addresses]
    newest = [a.email async for a in client.email_routing.addresses.list(account_id=account, direction="desc")]
    assert newest == found[::-1]
    assert [a async for a in client.email_routing.addresses.list(account_id=account, verified=True)] == []


@pytest.mark.parametrize("email", ["nobody", "@elsewhere.example", "a@"])
async def test_what_is_no_address_is_refused(client: AsyncCloudflare, account: str, email: str) -> None:
    with pytest.raises(cloudflare.BadRequestError):
        await client.email_routing.addresses.create(account_id=account, email=email)
