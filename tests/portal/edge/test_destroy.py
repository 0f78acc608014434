"""`homeport edge destroy`: everything of ours, nothing else, and never mail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from portal.integrations.cloudflare import Conflict
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Address, Module, Object, Record, Rule, Script
from tests.portal.conftest import HOME, TWO, Edge, seen

NAME, BUCKET = "homeport-mail", "homeport-mail-retained"


def put(cf: CloudflareFake, *keys: str) -> None:
    cf.state.buckets[BUCKET].objects.update({key: Object(b"x") for key in keys})


def test_world_afterwards_is_the_one_before(edge: Edge, cf: CloudflareFake) -> None:
    edge.settings["edge_zones"] = f"{HOME},{TWO}"
    before = seen(cf)
    edge.deploy()
    assert edge.sync(f"bob@{HOME}").code == 0
    assert seen(cf) != before
    ended = edge.destroy()
    assert ended.out.endswith("Everything that Homeport made is removed.\n")
    assert seen(cf) == before
    assert edge.record["things"] == []
    assert not (edge.state_dir / "edge-recipients.key").exists()


def test_second_destroy_writes_nothing(edge: Edge, cf: CloudflareFake) -> None:
    edge.deploy()
    edge.destroy()
    writes = len(cf.writes)
    assert edge.destroy().out.startswith("Nothing is recorded as made by this Homeport")
    assert edge.run("destroy", "--yes", "--json").document == {"plan": None}
    assert len(cf.writes) == writes


def test_destroy_before_any_deploy_asks_nobody(edge: Edge, cf: CloudflareFake) -> None:
    edge.destroy()
    assert cf.requests == []


def test_deploy_after_destroy_begins_anew(edge: Edge, cf: CloudflareFake) -> None:
    edge.deploy()
    deployed = seen(cf)
    edge.destroy()
    edge.deploy()
    assert seen(cf) == deployed


def test_without_yes_and_terminal_nothing_is_removed(edge: Edge, cf: CloudflareFake) -> None:
    edge.deploy()
    deployed = seen(cf)
    ended = edge.run("destroy")
    assert ended.code == 1
    assert "--yes" in ended.error
    assert seen(cf) == deployed


@pytest.mark.parametrize("key", ["pending/1800000000000-00.eml", "held/1800000000000-00.eml", "something-else"])
def test_worker_and_bucket_stay_while_there_is_mail(edge: Edge, cf: CloudflareFake, key: str) -> None:
    edge.deploy()
    put(cf, key, "stats/2026-11-22/1", "state/cursor.json")
    ended = edge.run("destroy", "--yes")
    assert ended.code == 1
    assert "1 under" in ended.error
    assert "`homeport edge drain`" in ended.error
    assert not edge.zone.routing.catch_all.enabled
    assert cf.state.scripts[NAME].crons == ["* * * * *"]
    assert key in cf.state.buckets[BUCKET].objects
    assert (edge.state_dir / "edge-recipients.key").exists()
    del cf.state.buckets[BUCKET].objects[key]
    edge.destroy()
    assert (cf.state.scripts, cf.state.buckets, cf.state.namespaces) == ({}, {}, [])


async def deploy_and_destroy(edge: Edge, *, before_destroy: Callable[[], None], say: Callable[[str], None]) -> None:
    """Below the command line, so that something can happen between a plan and its acts."""
    edge.state_dir.mkdir()
    async with edge.service(say) as service:
        await service.deploy(service.plan(await service.look(), may_adopt=False, may_replace_mail=False))
        removal = await service.plan_destroy()
        assert removal is not None
        before_destroy()
        await service.destroy(removal)


def test_mail_that_comes_after_the_plan_keeps_worker_and_bucket(edge: Edge, cf: CloudflareFake) -> None:
    with pytest.raises(Conflict, match="mail has come since the plan was made"):
        asyncio.run(
            deploy_and_destroy(edge, before_destroy=lambda: put(cf, "pending/1-2.eml", "state/cursor.json"), say=print)
        )
    assert cf.state.scripts[NAME].crons == ["* * * * *"]
    assert not edge.zone.routing.catch_all.enabled
    assert set(cf.state.buckets[BUCKET].objects) == {"pending/1-2.eml", "state/cursor.json"}
    ended = edge.run("destroy", "--yes")
    assert ended.code == 1
    assert "`homeport edge drain` delivers it" in ended.error
    assert list(cf.state.scripts) == [NAME]


def test_mail_that_comes_as_the_worker_goes_keeps_its_bucket(edge: Edge, cf: CloudflareFake) -> None:
    def say(text: str) -> None:
        if text.startswith("done: remove worker"):
            put(cf, "pending/1-2.eml")

    with pytest.raises(Conflict, match="holds 1 objects that are not ours to delete"):
        asyncio.run(deploy_and_destroy(edge, before_destroy=lambda: None, say=say))
    assert set(cf.state.buckets[BUCKET].objects) == {"pending/1-2.eml"}
    assert "`homeport edge deploy` brings it back" in edge.run("destroy", "--yes").error
    edge.deploy()
    assert list(cf.state.scripts) == [NAME]


def test_deploy_after_a_destroy_that_found_an_adopted_worker_gone(edge: Edge, cf: CloudflareFake) -> None:
    cf.state.scripts[NAME] = Script(
        NAME, "x.js", {"x.js": Module("application/javascript+module", b"export default {}")}
    )
    edge.deploy("--adopt")
    cf.state.scripts.clear()
    edge.destroy()
    assert not (edge.state_dir / "edge-recipients.key").exists()
    edge.deploy()
    edge.destroy()


def test_catch_all_that_was_ours_before_we_knew_is_switched_off(edge: Edge, cf: CloudflareFake) -> None:
    """As after a lost edge.json: our Worker stands in it, and nobody knows what stood there before."""
    catch_all = edge.zone.routing.catch_all
    catch_all.actions = [{"type": "worker", "value": [NAME]}]
    edge.deploy()
    assert catch_all.enabled
    edge.destroy()
    assert (catch_all.actions, catch_all.enabled) == ([{"type": "drop"}], False)
    assert edge.record["things"] == []


def test_host_with_two_priorities_comes_back_with_both(edge: Edge, cf: CloudflareFake) -> None:
    for priority in (5, 50):
        edge.zone.records.append(Record("MX", HOME, "mail.provider.example", priority=priority))
    before = seen(cf)
    edge.deploy("--replace-mail")
    edge.destroy()
    assert seen(cf) == before


def test_workers_own_objects_go_with_the_bucket(edge: Edge, cf: CloudflareFake) -> None:
    edge.deploy()
    put(cf, *(f"stats/2026-11-{day:02}/{number}" for day in range(1, 4) for number in range(5)))
    put(cf, "state/watchdog.json", "attempts/00")
    edge.destroy()
    assert cf.state.buckets == {}


class TestOnlyOurs:
    def test_rule_and_catch_all_that_others_took_over_stay(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.deploy()
        cf.state.addresses.append(Address("me@elsewhere.example", verified="2026-11-01T00:00:00Z"))
        forward = [{"type": "forward", "value": ["me@elsewhere.example"]}]
        edge.zone.routing.catch_all.actions = forward
        ended = edge.destroy()
        assert "no longer ours, and stays" in ended.out
        assert edge.zone.routing.catch_all.actions == forward
        assert edge.zone.routing.enabled  # that catch-all needs it
        assert len([record for record in edge.zone.records if record.type == "MX"]) == 3

    def test_email_routing_stays_on_where_others_use_it(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.deploy()
        matchers = [{"type": "literal", "field": "to", "value": f"bob@{HOME}"}]
        edge.zone.routing.rules.append(Rule(matchers, [{"type": "drop"}]))
        ended = edge.destroy()
        assert "Email Routing and its records stay" in ended.out
        assert edge.zone.routing.enabled
        assert not edge.zone.routing.catch_all.enabled
        assert NAME not in cf.state.scripts

    def test_spf_that_was_changed_since_stays(self, edge: Edge) -> None:
        edge.zone.records.append(Record("TXT", HOME, "v=spf1 -all"))
        edge.deploy()
        changed = "v=spf1 include:_spf.mx.cloudflare.net include:sendgrid.net -all"
        edge.zone.record("TXT").content = changed
        assert "the SPF record was changed since" in edge.destroy().out
        assert edge.zone.record("TXT").content == changed

    def test_worker_that_others_deployed_under_our_name_stays(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.deploy()
        cf.state.scripts[NAME].tags = ["theirs"]
        ended = edge.destroy()
        assert "the worker homeport-mail is no longer the one that Homeport made" in ended.out
        assert "what that Worker is bound to stays with it" in ended.out
        assert (list(cf.state.scripts), list(cf.state.buckets)) == ([NAME], [BUCKET])

    def test_mx_that_came_back_by_hand_is_not_doubled(self, edge: Edge) -> None:
        edge.zone.records.append(Record("MX", HOME, "mail.provider.example", priority=5))
        edge.deploy("--replace-mail")
        edge.zone.records.append(Record("MX", HOME, "mail.provider.example", priority=5))
        edge.destroy()
        assert [record.content for record in edge.zone.records] == ["mail.provider.example"]

    def test_what_is_gone_already_is_no_failure(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.deploy()
        cf.state.scripts.clear()
        cf.state.buckets.clear()
        cf.state.namespaces.clear()
        edge.zone.records.clear()
        edge.destroy()
        assert edge.record["things"] == []

    def test_zones_of_an_earlier_deploy_are_cleaned_too(self, edge: Edge, cf: CloudflareFake) -> None:
        before = seen(cf)
        edge.settings["edge_zones"] = f"{HOME},{TWO}"
        edge.deploy()
        edge.settings["edge_zones"] = HOME
        edge.destroy()
        assert seen(cf) == before
