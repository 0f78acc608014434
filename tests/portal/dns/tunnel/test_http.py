"""The tunnel as its users meet it: a real portal on Cloudflare's fake; pages by HTTP, commands in a shell."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

import pytest

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Record
from tests.portal.dns.tunnel.conftest import a_tunnel
from tests.services.portal import PASSWORD, Browser, Portal

Json = dict[str, Any]
PATH = "/api/dns/tunnel"
APP = "app.home.example"


@pytest.fixture
def cf(cf: CloudflareFake) -> CloudflareFake:
    cf.state.tunnels.append(a_tunnel())
    return cf


def _ended(browser: Browser, operation: Json) -> Json:
    give_up = time.monotonic() + 20
    while (found := browser.get(f"/api/operations/{operation['id']}").json())["state"] == "running":
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return dict(found)


def _plan(browser: Browser, **wanted: Any) -> Json:
    answer = browser.post(f"{PATH}/plans", json=wanted)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def _apply(browser: Browser, plan: Json) -> Json:
    answer = browser.post(f"{PATH}/plans/{plan['id']}/apply", json={"reason": "a new site"})
    assert answer.status_code == 202, answer.text
    return _ended(browser, answer.json())


def _check_refusals(cf: CloudflareFake, anna: Browser) -> None:
    """They are problems, and never those of a session."""
    cf.state.zones["home.example"].records.append(Record("A", "taken.home.example", "192.0.2.7"))
    for wanted, status, type_ in (
        ({"add": [{"hostname": "taken.home.example", "service": "http://x:1"}]}, 409, "hostname-taken"),
        ({"add": [{"hostname": "x.elsewhere.example", "service": "http://x:1"}]}, 422, "route-invalid"),
        ({"remove": ["nobody.home.example"]}, 404, "no-such-route"),
        ({"surprise": 1}, 422, "invalid-request"),
    ):
        answer = anna.post(f"{PATH}/plans", json=wanted)
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{type_}")
    for how in (401, 403, 404, 429, 500):
        cf.fail("*", "/cfd_tunnel", how, times=99, retry_after=3600)
        answer = anna.post(f"{PATH}/plans", json={"remove": [APP]})
        assert answer.status_code in (502, 503, 504), answer.text
        assert anna.get(PATH).status_code == 200
        cf.heal()


def test_plan_apply_stale_undo_and_refusals_by_http(cf: CloudflareFake, anna: Browser, portal: Portal) -> None:
    add = [{"hostname": APP, "service": "http://blog-nginx:80", "role": "site"}]
    plan = _plan(anna, add=add)
    with sqlite3.connect(portal.state_dir / "portal.sqlite3") as database:  # her login was a fresh factor, five minutes
        database.execute("UPDATE sessions SET factor_at = '2026-01-01 00:00:00.000000'")
    refused = anna.post(f"{PATH}/plans/{plan['id']}/apply", json={})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/step-up-required")
    assert [row["detail"] for row in portal.audit(target=plan["id"], result="denied")] == ["step-up-required"]
    assert anna.post("/api/step-up", json={"password": PASSWORD}).status_code == 200
    operation = _apply(anna, plan)
    assert operation["state"] == "done", operation
    assert operation["detail"]["reason"] == "a new site"
    shown = anna.get(PATH).json()
    assert [(each["name"], each["is_ours"]) for each in shown["tunnel"]["routes"]] == [(APP, True)]
    assert "broker" in shown["silent"]

    removal = _plan(anna, remove=[APP])
    cf.state.tunnels[0].config["ingress"][0]["service"] = "http://other:1"
    stale = anna.post(f"{PATH}/plans/{removal['id']}/apply", json={})
    assert (stale.status_code, stale.json()["type"]) == (409, "/problems/plan-stale")
    new = stale.json()["plan"]
    assert new["changes"][1]["before"]["service"] == "http://other:1"
    assert _apply(anna, new)["state"] == "done"
    back = anna.post(f"{PATH}/plans/{new['id']}/undo", json={})
    assert back.status_code == 201
    assert _apply(anna, back.json())["state"] == "done"
    assert [entry.get("service") for entry in cf.state.tunnels[0].config["ingress"]] == [
        "http://other:1",
        "http_status:404",
    ]
    assert anna.get(f"{PATH}/plans/{new['id']}").json()["operation_id"] is not None
    _check_refusals(cf, anna)


def test_commands_plan_apply_sweep_and_undo(cf: CloudflareFake, anna: Browser, portal: Portal) -> None:
    tunnel, zone = cf.state.tunnels[0], cf.state.zones["home.example"]
    host = f"{tunnel.id}.cfargotunnel.com"
    zone.records += [Record("CNAME", APP, host, proxied=True), Record("CNAME", "old.home.example", host, proxied=True)]
    portal.run("dns", "read", "home.example")

    def run(*arguments: str, check: bool = True) -> Any:
        return portal.run("tunnel", *arguments, check=check)

    shown = run("routes").stdout
    assert "orphan: record old.home.example (no-route)" in shown
    planned = run("add", APP, "http://blog-nginx:80").stdout
    assert f"+ route {APP}  http://blog-nginx:80" in planned
    plan_id = planned.split()[-1]
    applied = run("apply", plan_id, "--reason", "a new site").stdout
    assert applied.startswith("done")
    assert run("add", APP, "http://blog-nginx:80").stdout == "Nothing has to change.\n"
    assert f"~ route {APP}  http://blog-nginx:80 -> http_status:404" in run("add", APP, "http_status:404").stdout

    sweep = json.loads(run("sweep", "--json").stdout)
    assert [each["name"] for each in sweep["changes"]] == ["record old.home.example"]
    refused = run("apply", sweep["id"], check=False)
    assert refused.returncode == 1
    assert "step-up" in refused.stderr or "fresh" in refused.stderr
    back = run("undo", applied.split()[-1]).stdout
    assert f"- route {APP}" in back
    assert run("protect", "nobody.home.example", check=False).returncode == 1
    protect = json.loads(run("protect", APP, "--json").stdout)
    assert [each["name"] for each in protect["changes"]] == [f"rule rate {APP}", f"rule waf {APP}"]
    assert run("remove", "nobody.home.example", check=False).returncode == 1
    tunnel.config["ingress"][0]["service"] = "http://other:1"
    stale = run("undo", applied.split()[-1], check=False)  # changed by others since: the way back is another one
    assert stale.returncode == 1
    assert f"- route {APP}  http://other:1" in stale.stdout
    assert "To do it: homeport tunnel apply" in stale.stdout


def test_sweep_of_more_than_one_plan_holds_and_hostname_in_its_own_script(
    cf: CloudflareFake, anna: Browser, portal: Portal
) -> None:
    tunnel, zone = cf.state.tunnels[0], cf.state.zones["home.example"]
    tunnel.config["ingress"].insert(0, {"hostname": "xn--bcher-kva.home.example", "service": "http://mail-ingress:80"})
    host = f"{tunnel.id}.cfargotunnel.com"
    zone.records += [Record("CNAME", f"old{number}.home.example", host, proxied=True) for number in range(203)]
    portal.run("dns", "read", "home.example")
    swept = portal.run("tunnel", "sweep", "--json")
    assert len(json.loads(swept.stdout)["changes"]) == 200
    assert "3 more are left" in swept.stderr
    protect = json.loads(portal.run("tunnel", "protect", "B\u00fccher.home.example", "--json").stdout)
    assert "rule waf xn--bcher-kva.home.example" in [each["name"] for each in protect["changes"]]
