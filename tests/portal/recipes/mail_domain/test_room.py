"""A domain added, proven and removed: on Cloudflare's fake and a real MariaDB, by the room as app.py wires it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from kit.clock import SystemClock
from kit.problem import Problem
from portal.edge.ownership import Ownership, locked
from portal.integrations.records import text_of
from portal.recipes.mail_domain.schemas import ApplyDomainPlan
from portal.recipes.mail_domain.service import mail_domain
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.email_routing import required_records
from tests.fakes.cloudflare.state import Record, Rule
from tests.portal.conftest import HOME, TWO, Ended, seen
from tests.portal.recipes.conftest import ANNA, JP, SENDER, Desk, Relay, World

pytestmark = pytest.mark.services

SPF = "v=spf1 include:_spf.mx.cloudflare.net include:sendgrid.net ~all"


def records(cf: CloudflareFake, zone: str = JP) -> set[tuple[str, str, str]]:
    return {(each.type, each.name, text_of(each.content)) for each in cf.state.zones[zone].records}


async def command(run: Callable[..., Ended], *arguments: str) -> Ended:
    """A command beside the portal, which has a loop of its own."""
    return await asyncio.to_thread(run, *arguments)


async def refused(awaitable: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        await awaitable
    return caught.value


# -- which names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Example.CO.JP.", JP),
        ("例え.jp", "xn--r8jz45g.jp"),
        ("xn--r8jz45g.jp", "xn--r8jz45g.jp"),
        (" home.example ", HOME),
    ],
)
async def test_domain_is_taken_as_people_write_it(text: str, name: str) -> None:
    assert mail_domain(text) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("co.jp", "co.jp is a public suffix"),
        ("jp", "is no domain"),
        ("mail.example.co.jp", "lies below example.co.jp"),
        ("メール.例え.jp", "メール.例え.jp lies below 例え.jp"),
        ("ex ample.jp", "is no domain"),
        ("a@example.jp", "is no domain"),
        ("-x.jp", "is no domain"),
        ("‮.jp", "is no domain"),
        ("homeport.invalid", "belongs to Homeport"),
    ],
)
async def test_what_is_no_domain_of_its_own_is_refused_with_why(text: str, said: str) -> None:
    with pytest.raises(Problem) as caught:
        mail_domain(text)
    assert (caught.value.status, caught.value.type) == (422, "mail-domain-refused")
    assert said in caught.value.detail


# -- adding -----------------------------------------------------------------------------------------------------------


async def test_domain_is_added_in_one_action_and_a_second_run_changes_nothing(world: World, desk: Desk) -> None:
    plan = await world.plan()
    assert not plan.conflicts
    assert [step.name for step in plan.steps if step.state == "todo"] == [
        "mail-domain", "worker", "rule", "records", "routing", "recipients",
    ]  # fmt: skip
    assert plan.steps[0].detail.startswith("active at ")
    assert world.cf.state.zones[JP].records == []

    assert (await world.apply(plan)).state == "done"
    state = world.cf.state.zones[JP]
    assert {("TXT", JP, SPF), ("CNAME", f"s1._domainkey.{JP}", "s1.domainkey.relay.example")} <= records(world.cf)
    assert ("TXT", f"_dmarc.{JP}", "v=DMARC1; p=quarantine; rua=mailto:reports@home.example") in records(world.cf)
    assert ("TXT", f"_smtp._tls.{JP}", "v=TLSRPTv1; rua=mailto:reports@home.example") in records(world.cf)
    assert sum(each.type == "MX" for each in state.records) == 3
    assert state.routing.enabled
    assert state.routing.catch_all.actions == [{"type": "worker", "value": ["homeport-mail"]}]
    assert (await command(desk.mail_db.done, "list", "--json")).document
    assert len(desk.edge.list_of(JP)["hashes"]) == 2  # postmaster, homeport-canary
    assert desk.edge.record["zones"] == [JP]

    before, writes = seen(world.cf), len(world.cf.writes)
    again = await world.plan()
    assert (again.changes, again.conflicts) == ([], [])
    assert {step.name: step.state for step in again.steps}["canary"] == "waiting"
    assert (await world.apply(again)).state == "done"
    assert (seen(world.cf), len(world.cf.writes)) == (before, writes)
    view = await world.view()
    assert (view.is_finished, view.managed_by) == (False, "homeport")
    assert "waiting for the first mail" in view.detail
    assert await world.service.names() == [JP]
    ended = await world.service.read_plan(plan.id)
    assert {step.state for step in ended.steps} <= {"done", "unchanged", "waiting"}


async def test_edge_deploy_after_it_removes_nothing_and_destroy_takes_it(world: World, desk: Desk) -> None:
    await world.done()
    await world.done(HOME)
    before = seen(world.cf)
    assert "Nothing to change." in (await command(desk.edge.deploy)).out
    assert seen(world.cf) == before
    desk.edge.settings |= {"edge_zones": TWO, "edge_addresses": f"bob@{TWO}"}  # beside single addresses too
    await command(desk.edge.deploy)
    assert seen(world.cf)["zones"][JP] == before["zones"][JP]
    assert (
        await command(desk.edge.sync, f"bob@{TWO}")
    ).code == 0  # a file that lacks the added domains leaves their lists alone
    assert len(desk.edge.list_of(JP)["hashes"]) == 2
    assert set((await command(desk.edge.run, "status", "--json")).document["zones"]) == {JP, HOME, TWO}
    assert {each["resource"] for each in (await command(desk.edge.run, "plan", "--json")).document["permissions"]} >= {
        f"zone {JP}"
    }
    await command(desk.edge.destroy)
    assert all(not zone.records and not zone.routing.enabled for zone in world.cf.state.zones.values())
    assert desk.edge.record["zones"] == []


async def test_what_is_there_is_merged_and_comes_back_as_it_was(world: World) -> None:
    zone = world.cf.state.zones[JP]
    zone.records += [
        Record("TXT", JP, '"v=spf1 ip4:192.0.2.1 -all"', ttl=300),
        Record("TXT", f"_dmarc.{JP}", "v=DMARC1; p=none; rua=mailto:a@b.example", ttl=600),
        Record("MX", JP, "mail.provider.example", priority=0),
    ]
    before = seen(world.cf)["zones"][JP]
    stopped = await world.plan()
    assert "goes to another server" in stopped.conflicts[0].what
    problem = await refused(world.apply(stopped))
    assert (problem.type, problem.extensions["conflicts"]) == ("mail-domain-conflict", [dict(stopped.conflicts[0])])

    plan = await world.plan(replace_mail=True)
    assert plan.needs_step_up
    assert (await world.apply(plan)).state == "done"
    merged = "v=spf1 ip4:192.0.2.1 include:_spf.mx.cloudflare.net include:sendgrid.net -all"
    assert ("TXT", JP, merged) in records(world.cf)
    assert ("TXT", f"_dmarc.{JP}", "v=DMARC1; p=quarantine; rua=mailto:a@b.example") in records(world.cf)
    assert not (await world.plan()).changes
    await world.done(act="remove")
    assert seen(world.cf)["zones"][JP] == before


async def test_zone_that_is_not_active_names_its_name_servers(world: World) -> None:
    world.cf.state.zones[JP].status = "pending"
    plan = await world.plan()
    (conflict,) = plan.conflicts
    assert "pending" in conflict.what
    assert "ns.cloudflare.com" in conflict.way_out
    (conflict,) = (await world.plan("nobodys.example")).conflicts
    assert "no zone nobodys.example" in conflict.what
    assert (plan.changes, plan.steps[0].state) == ([], "waiting")


async def test_what_changed_since_the_plan_makes_it_stale_with_the_new_one(world: World) -> None:
    plan = await world.plan()
    world.cf.edit(JP, type="TXT", name=f"_dmarc.{JP}", content='"v=DMARC1; p=reject"')
    problem = await refused(world.apply(plan))
    assert problem.type == "plan-stale"
    new: Any = problem.extensions["plan"]
    assert not [change for change in new["changes"] if "_dmarc" in change["name"]]
    assert new["wanted"] == "add"
    assert world.cf.writes == []


async def test_it_is_no_drift(world: World) -> None:
    await world.room.zones.read(JP)
    await world.done()
    await world.room.zones.read(JP)
    assert (await world.room.drift(JP, "open")).drift == []


async def test_edge_at_work_is_a_clear_refusal_and_nothing_is_lost(world: World, desk: Desk) -> None:
    plan = await world.plan()
    with locked(desk.edge.state_dir):
        operation = await world.apply(plan)
    assert (operation.state, operation.error["type"]) == ("failed", "/problems/edge-busy")
    assert not world.cf.state.zones[JP].records
    await world.done()
    assert not (await world.plan()).changes


@pytest.mark.parametrize(
    ("fault", "skip"), [(500, 0), (500, 5), (500, 9), ("applied-then-reset", 2), ("applied-then-reset", 7)]
)
async def test_failure_at_any_step_is_finished_by_running_it_again(world: World, fault: Any, skip: int) -> None:
    plan = await world.plan()
    world.cf.fail("write", ".", fault, skip=skip, times=1)
    operation = await world.apply(plan)
    world.cf.heal()
    struck = [number for number, write in enumerate(world.cf.writes) if write.status in (0, 500)]
    assert struck == [skip], "nothing was left to fail at this step"
    if operation.state != "done":
        assert operation.error["type"].startswith("/problems/cloudflare-")
        assert (await world.view()).is_finished is False
        await world.done()
    assert not (await world.plan()).changes
    await world.done(act="remove")
    assert not world.cf.state.zones[JP].records


async def test_cloudflares_refusals_are_never_our_own(desk: Desk) -> None:
    token = desk.cf.token(without=["Email Routing Rules Read"])
    async with desk.stand(cloudflare_token=token) as world:
        problem = await refused(world.plan())
    assert (problem.status, problem.type) == (502, "edge-unreadable")
    assert "Email Routing Rules Write for zone example.co.jp" in problem.detail


async def test_what_is_not_set_is_named(desk: Desk) -> None:
    async with desk.stand(edge_keys_file=desk.edge.directory / "none", edge_mail_api_url=None) as world:
        listed = await world.service.domains()
        problem = await refused(world.plan())
    assert [line.split()[0] for line in listed.not_ready] == [
        "HOMEPORT_PORTAL_EDGE_MAIL_API_URL", "HOMEPORT_PORTAL_EDGE_KEYS_FILE",
    ]  # fmt: skip
    assert (problem.status, problem.extensions["missing"]) == (409, listed.not_ready)


@pytest.mark.parametrize("spf", [None, '"v=spf1 mx -all"'])
async def test_domain_of_the_settings_is_completed_and_never_removed_here(desk: Desk, spf: str | None) -> None:
    """Its SPF record is changed twice, by the deploy and here, and goes back to what it was before both."""
    desk.cf.state.zones[JP].records += [Record("TXT", JP, spf)] if spf else []
    before = records(desk.cf)
    desk.edge.settings["edge_zones"] = JP
    await command(desk.edge.deploy)
    async with desk.stand(edge_zones=(JP,)) as world:
        assert (await world.view()).managed_by == "settings"
        plan = await world.plan()
        assert {step.name for step in plan.steps if step.state == "todo"} == {"mail-domain", "records"}
        assert (await world.apply(plan)).state == "done"
        assert ("TXT", JP, SPF if spf is None else SPF.replace("spf1", "spf1 mx").replace("~", "-")) in records(
            world.cf
        )
        assert desk.edge.record["zones"] == []
        (conflict,) = (await world.plan(act="remove")).conflicts
        assert "HOMEPORT_PORTAL_EDGE_ZONES" in conflict.what
    await command(desk.edge.destroy)
    assert records(desk.cf) == before


async def test_routing_that_others_switched_on_keeps_what_it_stands_on(world: World) -> None:
    """Its SPF record is locked: it is unlocked to be merged. When ours goes, Email Routing and its records stay."""
    zone = world.cf.state.zones[JP]
    zone.records += required_records(zone)
    zone.routing.enabled = zone.routing.records_locked = True
    zone.routing.rules.append(
        Rule(matchers=[{"type": "literal", "field": "to", "value": f"old@{JP}"}], actions=[{"type": "drop"}])
    )
    before = records(world.cf)
    await world.done()
    assert ("TXT", JP, SPF) in records(world.cf)
    await world.done(act="remove")
    assert records(world.cf) == before


async def test_domain_whose_zone_is_in_order_already_is_remembered(desk: Desk) -> None:
    """It was one of the settings', and stands there no more."""
    desk.edge.settings["edge_zones"] = JP
    await command(desk.edge.deploy)
    async with desk.stand(mail_dkim=(), mail_spf="", mail_dmarc_rua=None) as world:
        assert (await refused(world.plan(mailbox="homeport-canary"))).type == "mail-domain-refused"
        await world.done()
        assert desk.edge.record["zones"] == [JP]
        assert not (await world.plan()).changes


async def test_mail_servers_database_that_is_silent_is_named(desk: Desk) -> None:
    async with desk.stand() as world:
        desk.mail_db.server.execute("DROP USER mail_owner@'%'")
        problem = await refused(world.plan())
    assert (problem.status, problem.type) == (409, "mail-domains-not-ready")
    assert "the mail server's database" in problem.detail


# -- removing ---------------------------------------------------------------------------------------------------------


async def test_remove_takes_only_ours_and_leaves_mail(world: World, desk: Desk) -> None:
    zone = world.cf.state.zones[JP]
    zone.records.append(Record("A", f"www.{JP}", "192.0.2.7"))
    before = seen(world.cf)["zones"][JP]
    await world.done()
    world.cf.edit(JP, type="TXT", name=JP, content='"v=spf1 mx -all"')  # somebody else, since
    await command(desk.mail_db.done, "add", f"bob@{JP}", "--no-login")
    (hourly,) = world.service.jobs
    await hourly.work()
    assert len(desk.edge.list_of(JP)["hashes"]) == 3
    plan = await world.plan(act="remove")
    assert plan.needs_step_up
    problem = await refused(world.service.apply(ANNA, plan.id, ApplyDomainPlan(), lambda: None))
    assert problem.type == "typed-name-required"
    assert (await world.apply(plan)).state == "done"
    assert "was changed since" in " ".join(plan.notes)
    assert records(world.cf) == {("A", f"www.{JP}", "192.0.2.7"), ("TXT", JP, "v=spf1 mx -all")}
    assert seen(world.cf)["zones"][JP]["enabled"] is before["enabled"]
    assert Ownership.load(desk.edge.state_dir).zones == ()
    kept = json.dumps((await command(desk.mail_db.done, "list", "--json")).document)
    assert f"bob@{JP}" in kept
    ((is_active,),) = desk.mail_db.ask("mail_owner", "SELECT is_active FROM domains WHERE name = %s", JP)
    assert not is_active
    assert await world.service.names() == []
    assert (await refused(world.plan(act="remove"))).type == "no-such-mail-domain"
    await world.done()  # and back again, with bob
    assert len(desk.edge.list_of(JP)["hashes"]) == 3


async def test_mail_domain_that_was_there_before_goes_on_after_the_removal(world: World, desk: Desk) -> None:
    await command(desk.mail_db.done, "domain", "add", JP)
    await command(desk.mail_db.done, "add", f"bob@{JP}", "--no-login")
    await world.done()
    await world.done()  # a second time it is there in any case
    plan = await world.plan(act="remove")
    assert "remove mail-domain" not in {change["name"] for change in plan.changes}
    assert "goes on taking mail" in " ".join(plan.notes)
    assert (await world.apply(plan)).state == "done"
    rows = desk.mail_db.ask("mail_owner", "SELECT is_active FROM domains WHERE name = %s", JP)
    assert [bool(is_active) for (is_active,) in rows] == [True]
    rows = desk.mail_db.ask(
        "mail_owner",
        "SELECT m.is_active FROM mailboxes m JOIN addresses a ON a.mailbox_id = m.id WHERE a.address = %s",
        f"homeport-canary@{JP}",
    )
    assert [bool(is_active) for (is_active,) in rows] == [False]


@pytest.mark.parametrize("by", ["portal", "settings"])
async def test_zone_that_was_deleted_at_cloudflare_is_forgotten_and_blocks_nothing(desk: Desk, by: str) -> None:
    if by == "settings":  # and taken out of them since: nothing names it any more
        desk.edge.settings["edge_zones"] = JP
        await command(desk.edge.deploy)
        del desk.edge.settings["edge_zones"]
    async with desk.stand() as world:
        if by == "portal":
            await world.done()
        zone = world.cf.state.zones.pop(JP)
        stuck = await command(desk.edge.run, "destroy", "--yes")
        assert (stuck.code, f"`homeport domain remove {JP}`" in stuck.error) == (1, True)
        plan = await world.plan(act="remove")
        assert "has no zone example.co.jp any more, or the token may not see it" in " ".join(plan.notes)
        assert (await world.apply(plan)).state == "done"
        assert not [thing for thing in Ownership.load(desk.edge.state_dir) if thing.zone == JP]
        await command(desk.edge.destroy)
        assert desk.edge.record["things"] == []
        assert zone.records


async def test_domain_whose_edge_was_destroyed_is_not_finished(
    desk: Desk, mail_way: dict[str, Any], relay: Relay
) -> None:
    async with desk.stand(**mail_way) as world:
        await world.done()
        assert (await world.view()).is_finished
        await command(desk.edge.destroy)
        view = await world.view()
        assert view.is_finished is False
        assert f"`homeport domain add {JP}` completes it" in view.detail
        await world.done()
        assert (await world.view()).is_finished
    assert len(relay.messages) == 2


# -- what has to be confirmed -----------------------------------------------------------------------------------------


async def test_what_changes_the_zone_needs_a_fresh_factor_and_only_a_removal_the_name(world: World) -> None:
    class NotConfirmed(Exception):
        pass

    def confirm() -> None:
        raise NotConfirmed

    plan = await world.plan()
    assert (plan.needs_step_up, plan.needs_typed_name) == (True, False)
    with pytest.raises(NotConfirmed):
        await world.service.apply(ANNA, plan.id, ApplyDomainPlan(), confirm)
    assert world.cf.writes == []
    begun = await world.service.apply(ANNA, plan.id, ApplyDomainPlan(), lambda: None)
    assert (await world.runner.wait(begun.id)).state == "done"
    same = await world.plan()
    assert (same.needs_step_up, same.needs_typed_name) == (False, False)
    other = await world.plan(mailbox="info")  # the mail server alone
    assert (bool(other.changes), other.needs_step_up) == (True, False)
    removal = await world.plan(act="remove")
    assert (removal.needs_step_up, removal.needs_typed_name) == (True, True)


async def test_record_that_others_changed_since_keeps_what_they_changed(world: World) -> None:
    world.cf.state.zones[JP].records.append(Record("TXT", JP, '"v=spf1 mx -all"', ttl=300))
    await world.done()
    (spf,) = [each for each in world.cf.state.zones[JP].records if text_of(each.content).startswith("v=spf1")]
    spf.ttl, spf.comment = 900, "of others"
    await world.done(act="remove")
    (spf,) = [each for each in world.cf.state.zones[JP].records if text_of(each.content).startswith("v=spf1")]
    assert (text_of(spf.content), spf.ttl, spf.comment) == ("v=spf1 mx -all", 900, "of others")


# -- the canary -------------------------------------------------------------------------------------------------------


async def test_domain_is_finished_when_a_canary_has_come_in(desk: Desk, mail_way: dict[str, Any], relay: Relay) -> None:
    async with desk.stand(**mail_way) as world:
        desk.cf.state.zones[JP].status = "pending"
        stopped = {step.name: step for step in (await world.plan()).steps}["canary"]
        assert (stopped.state, stopped.detail) == ("waiting", "nothing is sent while something is in the way")
        desk.cf.state.zones[JP].status = "active"
        operation = await world.done()
        assert operation.result is not None
        assert operation.result["canary_seconds"] >= 0
        view = await world.view()
        assert (view.is_finished, view.canary_seconds) == (True, operation.result["canary_seconds"])
        again = await world.plan()
        assert (again.changes, again.unchanged) == ([], ["canary", "mailbox postmaster"])
        begun = await world.service.canary(ANNA, JP)
        assert (await world.runner.wait(begun.id)).state == "done"
    first, second = relay.messages
    assert first != second
    async with desk.stand(**mail_way, mail_dmarc_rua="r@two.example", mail_spf="include:other.example") as world:
        assert {change["name"].split()[0] for change in (await world.plan()).changes} == {"record", "canary"}
        await world.done()
        assert len(relay.messages) == 3


async def test_canary_that_does_not_come_is_told_honestly(desk: Desk, mail_way: dict[str, Any], relay: Relay) -> None:
    async with desk.stand(**mail_way, canary_s=1) as world:
        relay.refusal = b"550 5.7.1 sender not verified\r\n"
        operation = await world.apply(await world.plan())
        assert operation.error["type"] == "/problems/canary-not-sent"
        assert "sender not verified" in operation.error["detail"]
        relay.refusal = None
        relay.deliver = lambda _to, _message: None
        plan = await world.plan()
        assert [change["name"] for change in plan.changes] == ["canary"]
        operation = await world.apply(plan)
        assert operation.error["type"] == "/problems/canary-not-seen"
        detail = operation.error["detail"]
        assert "the relay took it (2.0.0 queued as R1)" in detail
        assert "the mailbox could not be read at the end" in detail  # Dovecot does not know it
        assert "the Worker could not be asked" in detail
        steps = {step.name: step for step in (await world.service.read_plan(plan.id)).steps}
        assert (steps["canary"].state, steps["canary"].detail) == ("failed", detail)
        assert (await world.view()).is_finished is False


async def next_second() -> None:
    """Dovecot notes whole seconds."""
    now = SystemClock().now()
    await asyncio.sleep(int(now) + 1.05 - now)


async def test_without_a_relay_only_new_mail_from_outside_proves_the_domain(
    desk: Desk, mail_way: dict[str, Any], relay: Relay
) -> None:
    mail = f"From: {SENDER}\r\nSubject: hello\r\n\r\nhi\r\n".encode()
    from_outside = b"X-Homeport-Id: 0123456789abcdef0123456789abcdef\r\n" + mail
    imap = mail_way["mail_imap_url"]

    async with desk.stand(mail_imap_url=imap, canary_s=1) as world:

        async def proven() -> str:
            begun = await world.service.canary(ANNA, JP)
            return (await world.runner.wait(begun.id)).state

        await world.done()
        assert not (await world.plan()).changes
        await next_second()
        relay.deliver(f"homeport-canary@{JP}", mail)  # from inside: it has not come through the mail API
        assert await proven() == "failed"
        relay.deliver(f"homeport-canary@{JP}", from_outside)
        assert await proven() == "done"
        view = await world.view()
        assert (view.is_finished, view.canary_seconds) == (True, None)
        assert await proven() == "failed"  # not by the same mail again
    async with desk.stand(mail_imap_url=imap, canary_s=1, mail_spf="include:other.example") as world:
        await world.done()
        assert await proven() == "failed"  # nor by mail from before the change
        assert (await world.view()).is_finished is False
        await next_second()
        relay.deliver(f"homeport-canary@{JP}", from_outside)
        assert await proven() == "done"


async def test_portal_that_stops_while_it_waits_goes_on_where_it_was(
    desk: Desk, mail_way: dict[str, Any], relay: Relay
) -> None:
    taken = asyncio.Event()
    loop = asyncio.get_running_loop()
    deliver = relay.deliver

    def keep(_to: str, _message: bytes) -> None:
        loop.call_soon_threadsafe(taken.set)

    relay.deliver = keep
    async with desk.stand(**mail_way) as world:
        plan = await world.plan()
        begun = await world.service.apply(ANNA, plan.id, ApplyDomainPlan(), lambda: None)
        await taken.wait()
    relay.deliver = deliver
    async with desk.stand(**mail_way) as world:
        await world.runner.recovered()
        operation = await world.runner.get(begun.id)
        assert operation.state == "interrupted"
        assert operation.outcome_detail == f"{len(plan.changes) - 1} of {len(plan.changes)} changes are there"
        left = await world.plan()
        assert [change["name"] for change in left.changes] == ["canary"]
        assert (await world.apply(left)).state == "done"
        assert (await world.view()).is_finished
