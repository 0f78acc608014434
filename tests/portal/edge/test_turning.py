"""Mail of a domain turns from another server to the edge: whatever fails on the way, somebody takes the mail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Record
from tests.portal.conftest import HOME, Edge, seen

FORMER = [(0, "a.provider.example"), (10, "b.provider.example"), (30, "a.provider.example")]
CLOUDFLARE = {f"route{number}.mx.cloudflare.net" for number in (1, 2, 3)}
ENABLE, CATCH_ALL, BATCH = (
    ("POST", "/email/routing/dns$"),
    ("PUT", "/rules/catch_all$"),
    ("POST", "/dns_records/batch$"),
)


@pytest.fixture(autouse=True)
def served(edge: Edge) -> None:
    """Another server has the mail, by one of its hosts at two priorities."""
    edge.zone.records += [Record("MX", HOME, host, priority=priority) for priority, host in FORMER]
    edge.zone.records.append(Record("TXT", HOME, "v=spf1 include:provider.example -all"))


def mx(edge: Edge) -> list[Any]:
    return sorted((record.priority, record.content) for record in edge.zone.records if record.type == "MX")


def assert_turned_back(edge: Edge, ended: Any) -> None:
    assert ended.code == 1
    assert ended.error
    assert mx(edge) == FORMER
    assert not edge.zone.routing.enabled
    assert f"mail to {HOME} goes where it went before" in ended.err
    assert "0 a.provider.example, 10 b.provider.example, 30 a.provider.example" in ended.err


def assert_next_run_completes(edge: Edge, before: Any) -> None:
    edge.cf.heal()
    edge.deploy("--replace-mail")
    assert {host for _, host in mx(edge)} == CLOUDFLARE
    assert edge.zone.routing.enabled
    assert edge.zone.routing.catch_all.enabled
    assert edge.deploy().out == "Nothing to change.\n"
    edge.destroy()
    assert seen(edge.cf) == before


@pytest.mark.parametrize("how", [400, 500, "reset", "unsuccessful"])
@pytest.mark.parametrize(
    "act", [(*BATCH, 0), (*ENABLE, 0), (*CATCH_ALL, 1)]
)  # the first catch-all is refused, and waits
def test_failure_puts_the_former_mx_back(edge: Edge, cf: CloudflareFake, act: Any, how: Any) -> None:
    before = seen(cf)
    method, path, skip = act
    cf.fail(method, path, how, skip=skip)
    assert_turned_back(edge, edge.run("deploy", "--yes", "--replace-mail"))
    assert_next_run_completes(edge, before)


def test_rules_for_addresses_are_no_different(edge: Edge, cf: CloudflareFake) -> None:
    edge.settings["edge_addresses"] = f"alice@{HOME},bob@{HOME}"
    before = seen(cf)
    cf.fail("POST", "/email/routing/rules$", 400, skip=3)  # two that wait, one that is taken
    assert_turned_back(edge, edge.run("deploy", "--yes", "--replace-mail"))
    cf.heal()
    edge.deploy("--replace-mail")
    assert len(edge.zone.routing.rules) == 2
    edge.destroy()
    assert seen(cf) == before


def test_routing_that_was_switched_on_without_an_answer_is_switched_off(edge: Edge, cf: CloudflareFake) -> None:
    before = seen(cf)
    cf.fail(*ENABLE, "applied-then-reset")
    cf.fail(
        "GET", "/email/routing$", 500, skip=2, times=3
    )  # behind the plan's look and the proof's: the look at the act
    assert_turned_back(edge, edge.run("deploy", "--yes", "--replace-mail"))
    assert [request.path.rpartition("/")[2] for request in cf.writes[-3:]] == ["dns", "batch", "dns"]  # unlock first
    assert_next_run_completes(edge, before)


def test_missing_permission_is_found_before_mail_turns(edge: Edge, cf: CloudflareFake) -> None:
    before = seen(cf)
    good = edge.settings["cloudflare_token"]
    edge.settings["cloudflare_token"] = cf.token(without=["Zone Settings Write"])
    ended = edge.run("deploy", "--yes", "--replace-mail")
    assert f"the token lacks: Zone Settings Write for zone {HOME}" in ended.error
    assert mx(edge) == FORMER
    assert not [request for request in cf.writes if request.path.endswith("/batch")]
    edge.settings["cloudflare_token"] = good
    assert_next_run_completes(edge, before)


def test_proof_that_is_refused_for_another_reason_stops_nothing(edge: Edge, cf: CloudflareFake) -> None:
    cf.fail("PATCH", "/email/routing$", 400)
    edge.deploy("--replace-mail")
    assert edge.zone.routing.enabled


class Interrupt(BaseException):
    """As Ctrl-C."""


def test_interrupt_behind_the_records_puts_them_back(edge: Edge, cf: CloudflareFake) -> None:
    edge.state_dir.mkdir()
    before = seen(cf)

    def say(text: str) -> None:
        if text.startswith("done: remove former-record"):
            raise Interrupt

    async def deploy() -> None:
        async with edge.service(say) as service:
            await service.deploy(service.plan(await service.look(), may_adopt=False, may_replace_mail=True))

    with pytest.raises(Interrupt):
        asyncio.run(deploy())
    assert mx(edge) == FORMER
    assert_next_run_completes(edge, before)


def test_former_mx_that_cannot_be_put_back_are_named(edge: Edge, cf: CloudflareFake) -> None:
    before = seen(cf)
    cf.fail(*ENABLE, 400)
    cf.fail(*BATCH, 500, skip=1)
    ended = edge.run("deploy", "--yes", "--replace-mail")
    assert ended.code == 1
    assert f"MAIL TO {HOME} MAY BE REFUSED NOW" in ended.err
    assert "10 b.provider.example" in ended.err
    cf.fail(*ENABLE, 400)
    again = edge.run("deploy", "--yes", "--replace-mail")
    assert again.code == 1
    assert "`homeport edge destroy` puts its former MX records back" in again.err
    assert_next_run_completes(edge, before)


def test_zone_that_had_no_mx_has_none_again(edge: Edge, cf: CloudflareFake) -> None:
    edge.zone.records.clear()
    before = seen(cf)
    cf.fail(*ENABLE, 400)
    assert edge.run("deploy", "--yes").code == 1
    assert mx(edge) == []
    assert_next_run_completes(edge, before)


def test_one_zone_that_turned_stays_when_another_fails(edge: Edge, cf: CloudflareFake) -> None:
    edge.settings["edge_zones"] = f"{HOME},two.example"
    cf.fail("POST", f"/zones/{cf.zone_id('two.example')}/email/routing/dns$", 400)
    assert edge.run("deploy", "--yes", "--replace-mail").code == 1
    assert {host for _, host in mx(edge)} == CLOUDFLARE
    assert edge.zone.routing.enabled
    assert not [record for record in cf.state.zones["two.example"].records if record.type == "MX"]
