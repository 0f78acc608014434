"""The rules in front of the mail API: made before its record, never over somebody else's, gone with the route."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from portal.dns.schemas import ApplyDnsPlan
from portal.dns.tunnel import rules
from portal.dns.tunnel.targets import clean_hostname
from portal.integrations.cloudflare_problems import CloudflarePermissionMissing
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Ruleset
from tests.portal.dns.conftest import ANNA
from tests.portal.dns.tunnel.conftest import Desk, Sit, a_tunnel, route

API = "mail-api.home.example"
MAIL_API = route(API, "http://mail-ingress:8080", role="mail-api")
WAF, RATE = rules.PHASES["waf"], rules.PHASES["rate"]


def _rules(desk: Desk, phase: str) -> list[dict[str, Any]]:
    return [
        rule
        for ruleset in desk.cf.state.zones["home.example"].rulesets
        if ruleset.phase == phase
        for rule in ruleset.rules
    ]


async def test_rules_stand_before_the_record_leads_there(desk: Desk) -> None:
    plan = await desk.plan(MAIL_API, protect=True)
    assert [each.name for each in plan.changes] == [
        f"record {API}",
        f"route {API}",
        f"rule rate {API}",
        f"rule waf {API}",
    ]
    await desk.done(plan)
    assert [each.path.rsplit("/", 1)[-1] for each in desk.cf.writes] == [
        "rulesets",
        "rulesets",
        "configurations",
        "batch",
    ]
    (waf,), (rate,) = _rules(desk, WAF), _rules(desk, RATE)
    assert waf["expression"] == (
        f'(http.host eq "{API}" and not (starts_with(http.request.uri.path, "/v1/") '
        'and http.request.method in {"GET" "POST"}))'
    )
    assert (waf["action"], waf["enabled"], waf["description"].startswith("homeport:")) == ("block", True, True)
    assert rate["ratelimit"]["period"] == 10
    assert (await desk.plan(MAIL_API, protect=True)).changes == []
    found = (await desk.tunnels.overview()).protection
    assert [(each.kind, each.state) for each in found] == [("waf", "in-place"), ("rate-limit", "in-place")]


async def test_rules_go_with_the_route_and_come_back_by_undo(desk: Desk) -> None:
    await desk.add(MAIL_API, protect=True)
    before = [rules.value_of(rule) for phase in (WAF, RATE) for rule in _rules(desk, phase)]
    removal = await desk.plan(remove=[API])
    await desk.done(removal)
    assert (_rules(desk, WAF), _rules(desk, RATE), desk.records_at(API)) == ([], [], [])
    await desk.done(await desk.tunnels.undo(ANNA, removal.id))
    assert [rules.value_of(rule) for phase in (WAF, RATE) for rule in _rules(desk, phase)] == before


async def test_foreign_rules_are_untouched_and_a_changed_one_of_ours_is_repaired(desk: Desk) -> None:
    foreign = {
        "id": "f" * 32,
        "ref": "f" * 32,
        "version": "4",
        "description": "theirs",
        "expression": "(ip.src eq 192.0.2.4)",
        "action": "log",
        "enabled": False,
        "last_updated": "2026-01-01T00:00:00Z",
    }
    desk.cf.state.zones["home.example"].rulesets.append(Ruleset("theirs", WAF, [copy.deepcopy(foreign)]))
    await desk.add(MAIL_API, protect=True)
    assert _rules(desk, WAF)[0] == foreign
    _rules(desk, WAF)[1].update(enabled=False, logging={"enabled": True})
    plan = await desk.plan(MAIL_API, protect=True)
    assert [each.name for each in plan.changes] == [f"rule waf {API}"]
    await desk.done(plan)
    repaired = _rules(desk, WAF)[1]
    assert (repaired["enabled"], repaired["logging"]) == (True, {"enabled": True})
    await desk.done(await desk.tunnels.undo(ANNA, plan.id))
    assert _rules(desk, WAF)[1]["enabled"] is False
    assert _rules(desk, WAF)[0] == foreign


async def test_only_rate_rule_of_the_free_plan_is_left_to_whoever_has_it(desk: Desk) -> None:
    theirs = {
        "id": "e" * 32,
        "description": "login",
        "expression": '(http.request.uri.path eq "/login")',
        "action": "block",
        "enabled": True,
        "ratelimit": {"characteristics": ["cf.colo.id", "ip.src"], "period": 10},
    }
    desk.cf.state.zones["home.example"].rulesets.append(Ruleset("theirs", RATE, [copy.deepcopy(theirs)]))
    plan = await desk.plan(MAIL_API, protect=True)
    assert f"rule rate {API}" not in [each.name for each in plan.changes]
    assert [each.code for each in plan.warnings] == ["rate-rule-taken"]
    assert [each.code for each in (await desk.tunnels.read_plan(plan.id)).warnings] == ["rate-rule-taken"]
    await desk.done(plan)
    assert _rules(desk, RATE) == [theirs]
    found = {each.kind: each for each in (await desk.tunnels.overview()).protection}
    assert (found["rate-limit"].state, found["rate-limit"].detail) == ("missing", "the zone's only rule is 'login'")


async def test_only_rate_rule_of_the_free_plan_may_be_ours_for_another_hostname(desk: Desk) -> None:
    await desk.add(MAIL_API, protect=True)
    other = route("mail-two.home.example", "http://mail-ingress:8080", role="mail-api")
    plan = await desk.plan(other, protect=True)
    assert "rule rate mail-two.home.example" not in [each.name for each in plan.changes]
    assert [each.code for each in plan.warnings] == ["rate-rule-taken"]
    await desk.done(plan)
    assert [each["description"] for each in _rules(desk, RATE)] == [rules.description("rate", API)]


async def test_mail_api_moves_to_another_hostname_with_its_rules(desk: Desk) -> None:
    await desk.add(MAIL_API, protect=True)
    other = "mail-two.home.example"
    desk.cf.requests.clear()
    plan = await desk.plan(route(other, "http://mail-ingress:8080", role="mail-api"), protect=True, remove=[API])
    assert plan.warnings == []
    await desk.done(plan)
    writes = [each.method for each in desk.cf.requests if "/rulesets" in each.path and each.method != "GET"]
    assert writes[0] == "DELETE"  # there is room for one rate limiting rule
    assert [each["description"] for each in _rules(desk, WAF)] == [rules.description("waf", other)]
    assert [each["description"] for each in _rules(desk, RATE)] == [rules.description("rate", other)]
    await desk.done(await desk.tunnels.undo(ANNA, plan.id))
    assert [each["description"] for each in _rules(desk, RATE)] == [rules.description("rate", API)]


async def test_rule_that_cloudflare_adds_to_is_taken_back_all_the_same(desk: Desk) -> None:
    plan = await desk.plan(MAIL_API, protect=True)
    desk.cf.fail("write", "/configurations", 500, times=9)
    begun = await desk.tunnels.apply(ANNA, plan.id, ApplyDnsPlan(), lambda: None)
    while not _rules(desk, WAF):  # noqa: ASYNC110  # the fake runs in a thread of its own
        await asyncio.sleep(0.01)
    _rules(desk, WAF)[0]["logging"] = {"enabled": True}
    operation = await desk.room.runner.wait(begun.id)
    assert operation.state == "failed"
    assert (_rules(desk, WAF), _rules(desk, RATE)) == ([], [])


async def test_rule_that_cannot_be_made_leaves_nothing_public(desk: Desk) -> None:
    plan = await desk.plan(MAIL_API, protect=True)
    desk.cf.fail("POST", "/rulesets", 500, skip=1)
    operation = await desk.apply(plan)
    assert operation.state == "failed"
    assert (_rules(desk, WAF), _rules(desk, RATE), desk.records_at(API), len(desk.ingress)) == ([], [], [], 1)


async def test_token_without_the_permission_is_named_where_it_is_needed(cf: CloudflareFake, sit: Sit) -> None:
    cf.state.tunnels.append(a_tunnel())
    async with sit(token=cf.token(without=["Zone WAF Read"])) as desk:
        with pytest.raises(CloudflarePermissionMissing) as missing:
            await desk.plan(MAIL_API, protect=True)
        assert missing.value.extensions["group"] == "Zone WAF"
        await desk.add(MAIL_API)
        found = await desk.tunnels.overview()
        assert {each.state for each in found.protection} == {"unknown"}
        assert "rules" in found.silent
        removal = await desk.plan(remove=[API])
        assert {each.code for each in removal.warnings} == {"rules-unknown"}
        await desk.done(removal)
        assert desk.records_at(API) == []


def test_quotes_cannot_come_into_an_expression() -> None:
    for hostile in ('a" or true or http.host eq "', "a\\.example", "a b.example"):
        with pytest.raises(ValueError, match="domain"):
            clean_hostname(hostile)
