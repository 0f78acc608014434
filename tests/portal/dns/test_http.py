"""The DNS room by HTTP: the whole application in this process, on Cloudflare's fake."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.dns import BATCH_LIMIT
from tests.portal.auth.browser import done, problem
from tests.portal.dns.conftest import HOME, TWO, OpenWeb, Web, records_at

Json = dict[str, Any]
RECORDS = f"/api/dns/zones/{HOME}/records"
PLANS = f"/api/dns/zones/{HOME}/plans"
READ = f"/api/dns/zones/{HOME}/read"
DRIFT = f"/api/dns/zones/{HOME}/drift"


def _create(type_: str, name: str, content: str, **more: Any) -> Json:
    return {"act": "create", "record": {"type": type_, "name": name, "content": content, **more}}


# -- looking ----------------------------------------------------------------------------------------------------------


async def test_zones_and_records_are_found_filtered_sorted_and_paged(cf: CloudflareFake, web: Web) -> None:
    for name, content in (("www", "192.0.2.1"), ("a-shop", "192.0.2.2"), ("api", "192.0.2.3")):
        cf.edit(HOME, type="A", name=name, content=content, proxied=name == "www")
    cf.edit(HOME, type="CNAME", name="xn--r8jz45g", content="www.home.example", comment="テスト")
    cf.edit(HOME, type="TXT", name="@", content='"<script>alert(1)</script> \u202e"')
    done(await web.post(READ))
    overview = done(await web.get("/api/dns"))
    assert overview["connection"]["state"] == "connected"
    zones = {each["name"]: each for each in overview["zones"]}
    assert set(zones) == {HOME, TWO}
    assert (zones[HOME]["records"], zones[HOME]["status"], zones[HOME]["error"]) == (5, "active", None)

    async def found(**asked: Any) -> list[str]:
        page = done(await web.get(RECORDS, **asked))
        return [each["name"].removesuffix(f".{HOME}") for each in page["records"]]

    assert await found() == [HOME, "a-shop", "api", "www", "xn--r8jz45g"]
    assert await found(direction="desc", limit=2) == ["xn--r8jz45g", "www"]
    assert await found(offset=3, limit=1) == ["www"]
    assert await found(find="\uff37WW") == ["www", "xn--r8jz45g"]  # in a name, and in what a CNAME leads to
    assert await found(find="例え") == ["xn--r8jz45g"]
    assert await found(find="テスト") == ["xn--r8jz45g"]
    assert await found(type="A", proxied="true") == ["www"]
    assert await found(sort="content", type="A") == ["www", "a-shop", "api"]
    assert await found(show="ours") == []
    page = done(await web.get(RECORDS, type="TXT"))
    assert (page["matching"], page["total"], page["types"]) == (1, 5, ["A", "CNAME", "TXT"])
    assert "<script>" in page["records"][0]["content"]
    key = page["records"][0]["key"]
    detail = done(await web.get(f"/api/dns/zones/{HOME}/record", key=key))
    assert detail["record"]["key"] == key
    problem(await web.get(f"/api/dns/zones/{HOME}/record", key="A x 0"), 404, "no-such-record")
    problem(await web.get("/api/dns/zones/other.example/records"), 404, "no-such-zone")


async def test_portal_without_an_account_says_which_settings_are_missing(open_web: OpenWeb) -> None:
    async with open_web(token=None) as web:
        overview = done(await web.get("/api/dns"))
        assert (overview["connection"]["state"], overview["zones"]) == ("not-configured", [])
        names = ["HOMEPORT_PORTAL_CLOUDFLARE_TOKEN", "HOMEPORT_PORTAL_CLOUDFLARE_ACCOUNT"]
        assert overview["connection"]["settings"] == names
        for answer in (await web.get(RECORDS), await web.post(PLANS, {"edits": [_create("A", "a", "192.0.2.1")]})):
            assert problem(answer, 409, "cloudflare-not-configured")["settings"] == names
        reading = await web.parts.readings.measure("dns:cloudflare")
        assert (reading.status, reading.value) == ("not_connected", None)


# -- plan, apply, undo ------------------------------------------------------------------------------------------------


async def test_plan_apply_undo(cf: CloudflareFake, web: Web) -> None:
    export = await web.get(f"/api/dns/zones/{HOME}/export")
    assert export.headers["content-disposition"] == f'attachment; filename="{HOME}.zone"'
    plan = await web.plan(_create("A", "www", "192.0.2.7", comment="hello"))
    assert records_at(cf) == []
    assert done(await web.get(f"{PLANS}/{plan['id']}")) == plan
    assert (await web.apply(plan))["state"] == "done"
    assert [each["comment"] for each in records_at(cf)] == ["hello"]
    problem(await web.post(f"{PLANS}/{plan['id']}/apply"), 409, "plan-applied")
    back = done(await web.post(f"{PLANS}/{plan['id']}/undo"), 201)
    assert (back["undoes"], back["counts"]["delete"], back["needs_step_up"]) == (plan["id"], 1, True)
    assert (await web.apply(back))["state"] == "done"
    assert (await web.get(f"/api/dns/zones/{HOME}/export")).text == export.text


async def test_stale_plan_is_409_with_the_new_plan_as_the_room_shows_it(cf: CloudflareFake, web: Web) -> None:
    cf.edit(HOME, type="A", name="www", content="192.0.2.7")
    done(await web.post(READ))
    (record,) = done(await web.get(RECORDS))["records"]
    plan = await web.plan({"act": "change", "key": record["key"], "record": {"ttl": 300}})
    cf.edit(HOME, type="A", name="www", comment="theirs")
    document = problem(await web.post(f"{PLANS}/{plan['id']}/apply"), 409, "plan-stale")
    assert document["plan"]["changes"][0]["before"]["comment"] == "theirs"
    assert done(await web.get(f"{PLANS}/{document['plan']['id']}")) == document["plan"]


async def test_what_is_wrong_with_a_record_is_said_before_cloudflare_does(cf: CloudflareFake, web: Web) -> None:
    edits = [_create("A", "ok", "1.1.1.1"), _create("MX", "@", "mx.home.example")]
    document = problem(await web.post(PLANS, {"edits": edits}), 422, "record-invalid")
    assert [each["index"] for each in document["edits"]] == [1]
    assert document["edits"][0]["problems"][0]["code"] == "priority-missing"
    checked = done(await web.post(f"/api/dns/zones/{HOME}/check", edits[0]))
    assert (checked["record"]["name"], checked["problems"]) == (f"ok.{HOME}", [])
    checked = done(await web.post(f"/api/dns/zones/{HOME}/check", edits[1]))
    assert (checked["record"], checked["problems"][0]["severity"]) == (None, "error")
    assert not cf.writes


async def test_ten_thousand_records_come_in_as_one_file_and_other_bodies_stay_small(web: Web) -> None:
    text = "\n".join(f'host{number} 300 IN TXT "{"x" * 80} {number}"' for number in range(10_000))
    assert len(text) > 1024**2
    plan = done(await web.post(f"{PLANS}/import", {"format": "bind", "text": text}), 201)
    assert plan["counts"] == {"create": 10_000, "change": 0, "delete": 0, "unchanged": 0}
    assert (plan["batches"], len(plan["changes"])) == (10_000 // BATCH_LIMIT, 500)
    answer = await web.post(f"{DRIFT}/accept", {"drift_ids": [1], "more": "x" * 1024**2})
    problem(answer, 413, "content-too-large")


# -- who may ----------------------------------------------------------------------------------------------------------


async def test_token_of_one_zone_works_there_and_is_refused_elsewhere_by_the_missing_scope(
    cf: CloudflareFake, web: Web
) -> None:
    elsewhere = await web.plan(_create("A", "www", "192.0.2.7"), zone=TWO)
    token = await web.token(*((act, HOME) for act in ("dns:read", "dns:plan", "dns:apply")))
    done(await token.ask("GET", RECORDS))
    edits = {"edits": [_create("A", "www", "192.0.2.7")]}
    plan = done(await token.ask("POST", PLANS, edits), 201)
    begun = done(await token.ask("POST", f"{PLANS}/{plan['id']}/apply", {}), 202)
    assert (await web.parts.runner.wait(begun["id"])).state == "done"
    for method, path, body, act in (
        ("GET", f"/api/dns/zones/{TWO}/records", None, "dns:read"),
        ("POST", f"/api/dns/zones/{TWO}/plans", edits, "dns:plan"),
        ("POST", f"/api/dns/zones/{TWO}/plans/{elsewhere['id']}/apply", {}, "dns:apply"),
        ("GET", "/api/dns", None, "dns:list"),
    ):
        document = problem(await token.ask(method, path, body), 403, "not-permitted")
        assert act in document["detail"]
    # nor does the zone's own address lead to another zone's plan
    problem(await token.ask("POST", f"{PLANS}/{elsewhere['id']}/apply", {}), 404, "plan-not-found")
    assert records_at(cf, TWO) == []


async def test_token_never_removes_a_record_nor_changes_several_at_once(cf: CloudflareFake, web: Web) -> None:
    token = await web.token(("dns:plan", "*"), ("dns:apply", "*"), ("dns:read", "*"))
    edits = [_create("A", "a", "192.0.2.1"), _create("A", "b", "192.0.2.1")]
    two = done(await token.ask("POST", PLANS, {"edits": edits}), 201)
    assert two["needs_step_up"]
    problem(await token.ask("POST", f"{PLANS}/{two['id']}/apply", {}), 403, "not-permitted")
    await web.apply(two)
    key = done(await token.ask("GET", RECORDS))["records"][0]["key"]
    gone = done(await token.ask("POST", PLANS, {"edits": [{"act": "delete", "key": key}]}), 201)
    problem(await token.ask("POST", f"{PLANS}/{gone['id']}/apply", {}), 403, "not-permitted")
    assert len(records_at(cf)) == 2
    assert await web.denied() == ["api:dns:apply"] * 2


async def test_removal_or_several_changes_need_a_fresh_factor_and_one_change_does_not(
    cf: CloudflareFake, web: Web
) -> None:
    web.clock.advance(301)
    one = await web.plan(_create("A", "www", "192.0.2.7"))
    assert not one["needs_step_up"]
    assert (await web.apply(one))["state"] == "done"
    key = done(await web.get(RECORDS))["records"][0]["key"]
    for edits in ([{"act": "delete", "key": key}], [_create("A", "a", "192.0.2.1"), _create("A", "b", "192.0.2.1")]):
        plan = await web.plan(*edits)
        problem(await web.post(f"{PLANS}/{plan['id']}/apply"), 403, "step-up-required")
    assert len(records_at(cf)) == 1
    assert await web.denied() == ["ui:dns:apply"] * 2


# -- Cloudflare's troubles --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "type_", "said"),
    [
        ({"status": "expired"}, "cloudflare-token-refused", {}),
        ({"without": ["DNS Read"]}, "cloudflare-permission-missing", {"group": "DNS", "level": "Read"}),
    ],
)
async def test_refusal_of_our_token_is_no_refusal_of_the_session(
    cf: CloudflareFake, open_web: OpenWeb, token: Mapping[str, Any], type_: str, said: Json
) -> None:
    async with open_web(token=cf.token(**token)) as web:
        document = problem(await web.get(RECORDS), 502, type_)
        assert said.items() <= document.items()
        problem(await web.post(PLANS, {"edits": [_create("A", "a", "192.0.2.1")]}), 502, type_)
        connection = done(await web.get("/api/dns"))["connection"]
        assert connection["state"] == "refused"
        assert connection["permission"] == ("DNS Read" if said else None)
        assert await web.anna.is_logged_in()
        reading = await web.parts.readings.measure("dns:cloudflare")
        assert (reading.value, reading.status) == ("refused", "warning" if said else "critical")


async def test_permission_that_is_missing_for_one_zone_leaves_the_others(cf: CloudflareFake, open_web: OpenWeb) -> None:
    """The token lists TWO, and may not read its records."""
    path = f"{cf.zone_id(TWO)}/dns_records"
    cf.fail("GET", path, 403, times=99, code=10000, message="Authentication error")
    cf.edit(HOME, type="A", name="www", content="192.0.2.7")
    async with open_web() as web:
        await web.parts.dns.zones.poll()
        overview = done(await web.get("/api/dns"))
        home, two = overview["zones"]
        assert (home["name"], home["records"], home["error"], home["is_stale"]) == (HOME, 1, None, False)
        assert (two["name"], two["records"]) == (TWO, None)
        assert "DNS Read" in two["error"]
        assert TWO in two["error"]
        connection = overview["connection"]
        assert (connection["state"], connection["permission"]) == ("refused", "DNS Read")
        assert [each["name"] for each in done(await web.get(RECORDS))["records"]] == [f"www.{HOME}"]
        document = problem(await web.get(f"/api/dns/zones/{TWO}/records"), 502, "cloudflare-permission-missing")
        assert (document["group"], document["level"], document["resource"]) == ("DNS", "Read", f"zone {TWO}")
    assert {request.status for request in cf.requests if request.path.endswith(path)} == {403}


async def test_outage_shows_the_last_known_records_with_their_age(cf: CloudflareFake, web: Web) -> None:
    cf.edit(HOME, type="A", name="www", content="192.0.2.7")
    done(await web.post(READ))
    before = done(await web.get(RECORDS))
    cf.fail("*", ".", "reset", times=1_000_000)
    problem(await web.post(READ), 504, "cloudflare-silent")
    page = done(await web.get(RECORDS))
    assert page["records"] == before["records"]
    assert (page["connection"]["state"], page["zone"]["is_stale"]) == ("silent", True)
    assert page["zone"]["read_at"] == before["zone"]["read_at"]
    assert "cannot be reached" in page["zone"]["error"]
    problem(await web.post(PLANS, {"edits": [_create("A", "a", "192.0.2.1")]}), 504, "cloudflare-silent")
    reading = await web.parts.readings.measure("dns:cloudflare")
    assert (reading.status, reading.value) == ("warning", "silent")


async def test_restart_during_an_outage_still_shows_them(cf: CloudflareFake, open_web: OpenWeb) -> None:
    cf.edit(HOME, type="A", name="www", content="192.0.2.7")
    async with open_web() as web:
        done(await web.post(READ))
    cf.fail("*", ".", "reset", times=1_000_000)
    async with open_web() as web:
        page = done(await web.get(RECORDS))
        assert [each["content"] for each in page["records"]] == ["192.0.2.7"]
        assert page["zone"]["is_stale"]
        assert HOME in [each["name"] for each in done(await web.get("/api/dns"))["zones"]]
        cf.heal()
        web.clock.advance(60)
        assert done(await web.post(READ))["is_stale"] is False
        assert done(await web.get(DRIFT))["drift"] == []


async def test_rate_limit_is_said_with_the_time_to_come_again(cf: CloudflareFake, web: Web) -> None:
    cf.fail("*", "/dns_records", 429, times=1_000_000, retry_after=600)
    answer = await web.post(READ)
    document = problem(answer, 503, "cloudflare-rate-limited")
    assert (answer.headers["retry-after"], document["retry_in_s"]) == ("600", 600.0)
    connection = done(await web.get("/api/dns"))["connection"]
    assert connection["state"] == "limited"
    assert connection["retry_at"]


@pytest.fixture
def www(cf: CloudflareFake) -> None:
    cf.edit(HOME, type="A", name="www", content="192.0.2.7", comment="site")


@pytest.mark.usefixtures("www")
async def test_change_from_outside_is_drift_and_can_be_taken_back(cf: CloudflareFake, web: Web) -> None:
    done(await web.post(READ))
    cf.edit(HOME, type="A", name="www", content="198.51.100.1")
    assert done(await web.post(READ))["drift"] == 1
    (drift,) = done(await web.get(DRIFT))["drift"]
    assert (drift["name"], drift["act"]) == (f"A www.{HOME}", "change")
    assert (drift["before"]["content"], drift["after"]["content"]) == ("192.0.2.7", "198.51.100.1")
    assert len(done(await web.get(RECORDS, show="drifted"))["records"]) == 1
    assert (await web.parts.readings.measure("dns:drift")).status == "warning"
    plan = done(await web.post(f"{PLANS}/drift", {"drift_ids": [drift["id"]]}), 201)
    assert (await web.apply(plan))["state"] == "done"
    assert [each["content"] for each in records_at(cf)] == ["192.0.2.7"]
    assert done(await web.get(DRIFT))["drift"] == []
    assert (await web.parts.readings.measure("dns:drift")).status == "ok"


async def test_answers_hold_no_token(cf: CloudflareFake, open_web: OpenWeb) -> None:
    secret = cf.token()
    async with open_web(token=secret) as web:
        cf.fail("GET", "/dns_records", 400, message=f"bad token {secret}", times=1_000)
        answer = await web.post(READ)
        assert answer.status_code == 502
        assert secret not in json.dumps(answer.json())
        assert secret not in (await web.get("/api/dns")).text
