"""The room on Cloudflare's fake: edits become plans, plans are applied in transactions, and taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kit.problem import Problem
from portal.dns.problems import (
    DnsChangeRefused,
    ImportInvalid,
    NoSuchRecord,
    NoSuchZone,
    RecordInvalid,
    RecordLocked,
)
from portal.dns.schemas import Draft, Edit, ImportZone, Rollback
from portal.operations.journal import TargetBusy
from portal.operations.plans import PlanStale
from portal.probes import Use
from tests.fakes.cloudflare import CloudflareFake
from tests.portal.dns.conftest import ANNA, HOME, TWO, Room, change, create, records_at, remove


@pytest.fixture
def zone(cf: CloudflareFake) -> None:
    """Records of the kinds that are easily damaged."""
    cf.edit(HOME, type="A", name="www", content="192.0.2.7", proxied=True, comment="the site", tags=["team:web"])
    cf.edit(HOME, type="MX", name="@", content="mx.home.example", priority=0, ttl=300)
    cf.edit(
        HOME,
        type="SRV",
        name="_imaps._tcp",
        data={"priority": 0, "weight": 1, "port": 993, "target": "imap.home.example"},
    )
    cf.edit(HOME, type="CAA", name="@", data={"flags": 128, "tag": "issue", "value": "ca.example"})
    cf.edit(HOME, type="TXT", name="@", content='"v=spf1 -all"')


@pytest.mark.usefixtures("zone")
async def test_one_change_is_planned_applied_and_taken_back_with_every_field(room: Room, cf: CloudflareFake) -> None:
    before, text = records_at(cf), await room.export()
    keys = await room.keys()
    plan = await room.plan(change(keys["A www.home.example"], content="192.0.2.8"))
    assert plan.counts == {"create": 0, "change": 1, "delete": 0, "unchanged": 0}
    assert [(each.name, each.act, each.fields) for each in plan.changes] == [
        ("A www.home.example", "change", ["content"])
    ]
    assert (plan.needs_step_up, plan.batches) == (False, 1)
    operation = await room.done(plan)
    assert operation.result == {"created": 0, "changed": 1, "deleted": 0, "batches": 1}
    (www,) = [each for each in records_at(cf) if each["name"] == "www.home.example"]
    assert (www["content"], www["proxied"], www["comment"], www["tags"]) == (
        "192.0.2.8",
        True,
        "the site",
        ["team:web"],
    )
    assert www["id"] in {each["id"] for each in before}  # it is the same record
    back = await room.service.undo(ANNA, HOME, plan.id)
    assert back.undoes == plan.id
    await room.done(back)
    assert await room.export() == text
    assert _values(records_at(cf)) == _values(before)


@pytest.mark.usefixtures("zone")
async def test_rename_removal_and_addition_in_one_transaction(room: Room, cf: CloudflareFake) -> None:
    text, keys = await room.export(), await room.keys()
    plan = await room.plan(
        change(keys["A www.home.example"], name="web"),
        remove(keys["TXT home.example"]),
        create("CNAME", "www", "web.home.example"),
        change(keys["MX home.example"], priority=10),
    )
    assert plan.needs_step_up
    operation = await room.done(plan)
    assert operation.result["batches"] == 1
    assert [request.path.endswith("/batch") for request in cf.writes] == [True]
    by_name = {(each["type"], each["name"]): each for each in records_at(cf)}
    assert by_name["CNAME", "www.home.example"]["content"] == "web.home.example"
    assert by_name["A", "web.home.example"]["comment"] == "the site"
    assert by_name["MX", "home.example"]["priority"] == 10
    assert ("TXT", "home.example") not in by_name
    await room.done(await room.service.undo(ANNA, HOME, plan.id))
    assert await room.export() == text


@pytest.mark.usefixtures("zone")
async def test_plan_of_what_is_so_already_is_empty(room: Room) -> None:
    keys = await room.keys()
    plan = await room.plan(change(keys["A www.home.example"], content="192.0.2.7"))
    assert (plan.changes, plan.unchanged) == ([], [keys["A www.home.example"]])
    assert (await room.done(plan)).result["batches"] == 0


async def test_invalid_edits_are_told_together_with_their_index(room: Room) -> None:
    with pytest.raises(RecordInvalid) as refused:
        await room.plan(
            create("A", "ok", "192.0.2.1"),
            create("A", "www", "300.0.0.1"),
            create("MX", "@", "192.0.2.1"),
            create("A", "twice", "192.0.2.9"),
            create("A", "twice.home.example", "192.0.2.9"),
        )
    told: Any = refused.value.extensions["edits"]
    assert [each["index"] for each in told] == [1, 2, 4]
    assert "duplicate" in [problem["code"] for problem in told[2]["problems"]]


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (Edit(act="create", key="A www.home.example 0", record=Draft(type="A")), "edit-incomplete"),
        (Edit(act="create"), "edit-incomplete"),
        (Edit(act="change", record=Draft(type="A")), "edit-incomplete"),
        (Edit(act="delete", key="A www.home.example 0", record=Draft(type="A")), "edit-incomplete"),
    ],
)
async def test_edit_that_says_too_much_or_too_little_is_refused(room: Room, edit: Edit, code: str) -> None:
    with pytest.raises(RecordInvalid) as refused:
        await room.plan(edit)
    told: Any = refused.value.extensions["edits"]
    assert told[0]["problems"][0]["code"] == code


@pytest.mark.usefixtures("zone")
async def test_one_record_edited_twice_is_refused(room: Room) -> None:
    key = (await room.keys())["A www.home.example"]
    with pytest.raises(RecordInvalid) as refused:
        await room.plan(change(key, ttl=300), remove(key))
    told: Any = refused.value.extensions["edits"]
    assert (told[0]["index"], told[0]["problems"][0]["code"]) == (1, "edit-twice")


async def test_unknown_zone_and_record_are_named(room: Room) -> None:
    with pytest.raises(NoSuchZone):
        await room.plan(create("A", "www", "192.0.2.1"), zone="elsewhere.example")
    with pytest.raises(NoSuchRecord):
        await room.plan(remove("A www.home.example 000000000000"))


async def test_record_that_email_routing_keeps_is_not_edited(room: Room, cf: CloudflareFake) -> None:
    cf.state.zones[HOME].routing.records_locked = True
    cf.edit(HOME, type="MX", name="@", content="route1.mx.cloudflare.net", priority=1)
    cf.state.zones[HOME].records[-1].is_locked = True
    keys = await room.keys()
    with pytest.raises(RecordLocked, match=r"MX home\.example"):
        await room.plan(remove(keys["MX home.example"]))


# -- what happens between plan and apply ------------------------------------------------------------------------------


@pytest.mark.usefixtures("zone")
async def test_change_by_somebody_else_makes_the_plan_stale_and_shows_the_new_one(
    room: Room, cf: CloudflareFake
) -> None:
    key = (await room.keys())["A www.home.example"]
    plan = await room.plan(change(key, ttl=300, proxied=False))
    cf.edit(HOME, type="A", name="www", comment="somebody else's")
    writes = len(cf.writes)
    with pytest.raises(PlanStale) as stale:
        await room.apply(plan)
    new: Any = stale.value.extensions["plan"]
    assert new["changes"][0]["before"]["comment"] == "somebody else's"
    assert new["changes"][0]["fields"]
    assert len(cf.writes) == writes
    operation = await room.done(await room.service.read_plan(HOME, new["id"]))
    assert operation.state == "done"


@pytest.mark.usefixtures("zone")
async def test_plan_is_made_from_the_zone_as_it_is_and_not_as_a_page_has_shown_it(
    room: Room, cf: CloudflareFake
) -> None:
    key = (await room.keys())["A www.home.example"]
    cf.edit(HOME, type="A", name="www", comment="somebody else's")
    cf.edit(HOME, type="A", name="new", content="192.0.2.9")
    plan = await room.plan(change(key, ttl=300, proxied=False))
    assert plan.changes[0].after is not None
    assert plan.changes[0].after.comment == "somebody else's"
    with pytest.raises(RecordInvalid, match="not valid"):
        await room.plan(create("A", "new", "192.0.2.9"))


@pytest.mark.usefixtures("zone")
async def test_change_of_another_record_does_not_make_it_stale(room: Room, cf: CloudflareFake) -> None:
    plan = await room.plan(change((await room.keys())["A www.home.example"], ttl=300, proxied=False))
    cf.edit(HOME, type="A", name="other", content="192.0.2.99")
    await room.done(plan)


@pytest.mark.usefixtures("zone")
async def test_undoing_what_somebody_has_changed_since_says_so(room: Room, cf: CloudflareFake) -> None:
    plan = await room.plan(change((await room.keys())["A www.home.example"], comment="ours"))
    await room.done(plan)
    cf.edit(HOME, type="A", name="www", comment="theirs")
    with pytest.raises(PlanStale) as stale:
        await room.service.undo(ANNA, HOME, plan.id)
    new: Any = stale.value.extensions["plan"]
    assert new["changes"][0]["before"]["comment"] == "theirs"


async def test_refusal_of_cloudflare_is_quoted_and_nothing_was_applied(room: Room, cf: CloudflareFake) -> None:
    cf.state.zones[HOME].record_limit = 1
    plan = await room.plan(create("A", "a", "192.0.2.1"), create("A", "b", "192.0.2.2"))
    operation = await room.apply(plan)
    assert operation.state == "failed"
    assert operation.error is not None
    assert operation.error["type"] == f"/problems/{DnsChangeRefused.type}"
    assert "Record quota exceeded" in operation.error["detail"]
    assert records_at(cf) == []


@pytest.mark.parametrize("how", ["applied-then-reset", 500, "reset"])
async def test_transaction_without_a_clear_answer_is_looked_for(room: Room, cf: CloudflareFake, how: Any) -> None:
    plan = await room.plan(create("A", "a", "192.0.2.1"))
    cf.fail("POST", "/batch", how)
    operation = await room.apply(plan)
    assert (operation.state == "done") is (len(records_at(cf)) == 1) is (how == "applied-then-reset")


async def test_two_applies_at_once_in_one_zone_do_not_mix(room: Room, cf: CloudflareFake) -> None:
    one = await room.plan(create("A", "a", "192.0.2.1"))
    two = await room.plan(create("A", "b", "192.0.2.1"))
    ended = await asyncio.gather(room.apply(one), room.apply(two), return_exceptions=True)
    done = [each for each in ended if not isinstance(each, BaseException)]
    assert done
    assert {each.state for each in done} == {"done"}
    assert len(records_at(cf)) == len(done)
    assert all(isinstance(each, TargetBusy) for each in ended if isinstance(each, BaseException))


async def test_plan_is_made_from_one_reading(room: Room, cf: CloudflareFake) -> None:
    """With two, what others change in between would be undone by a plan that shows it as what was there."""
    await room.plan(create("A", "www", "192.0.2.1"))
    path = f"/zones/{cf.zone_id(HOME)}/dns_records"
    assert [request.method for request in cf.requests if request.path == path] == ["GET"]


async def test_plan_of_one_zone_is_unknown_in_another(room: Room) -> None:
    plan = await room.plan(create("A", "a", "192.0.2.1"))
    for asked in (room.service.read_plan(TWO, plan.id), room.service.undo(ANNA, TWO, plan.id)):
        with pytest.raises(Problem, match="no plan"):
            await asked


# -- what suffers -----------------------------------------------------------------------------------------------------


class _Knows:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def used_by(self, kind: str, name: str) -> list[Use]:
        self.asked.append((kind, name))
        if name.startswith("CAA"):
            raise RuntimeError
        return [Use("tunnel", "route", "www.home.example", "leads-to")] if name == "A www.home.example" else []


@pytest.mark.usefixtures("zone")
async def test_plan_says_what_depends_on_what_goes_and_names_rooms_that_cannot_say(
    room: Room, cf: CloudflareFake
) -> None:
    cf.edit(HOME, type="CNAME", name="alias", content="www.home.example")
    knows = _Knows()
    room.rooms["tunnel"] = knows
    keys = await room.keys()
    plan = await room.plan(
        remove(keys["A www.home.example"]), remove(keys["CAA home.example"]), create("A", "new", "192.0.2.1")
    )
    used_by = {each.name: [(use.room, use.name) for use in each.used_by or ()] for each in plan.changes}
    assert used_by == {
        "A www.home.example": [("dns", "CNAME alias.home.example"), ("tunnel", "www.home.example")],
        "CAA home.example": [],
        "A new.home.example": [],
    }
    assert plan.silent_rooms == ["tunnel"]
    assert sorted(knows.asked) == [("record", "A www.home.example"), ("record", "CAA home.example")]


async def test_plan_says_its_warnings_beside_the_record(room: Room) -> None:
    plan = await room.plan(create("A", "inside", "10.0.0.1"))
    assert [each.code for each in plan.changes[0].warnings] == ["address-private"]


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("form", ["bind", "csv", "json"])
async def test_importing_an_export_changes_nothing(room: Room, form: Any) -> None:
    text = await room.export(form=form)
    for mode in ("merge", "replace"):
        plan = await room.service.plan_import(ANNA, HOME, ImportZone(format=form, text=text, mode=mode))
        assert (plan.changes, plan.skipped) == ([], [])


@pytest.mark.usefixtures("zone")
async def test_import_that_replaces_is_refused_as_a_whole_when_a_line_is_wrong(room: Room) -> None:
    text = "www 300 IN A 192.0.2.7\nbad IN A 1.2.3\n"
    with pytest.raises(ImportInvalid) as refused:
        await room.service.plan_import(ANNA, HOME, ImportZone(format="bind", text=text, mode="replace"))
    told: Any = refused.value.extensions["problems"]
    assert told[0]["params"]["line"] == 2
    plan = await room.service.plan_import(ANNA, HOME, ImportZone(format="bind", text=text))
    assert [each.params["line"] for each in plan.skipped if each.severity == "error"] == [2]
    assert plan.counts["delete"] == 0


# -- points in time ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("zone")
async def test_rollback_to_the_point_before_an_operation(room: Room) -> None:
    text, keys = await room.export(), await room.keys()
    plan = await room.plan(remove(keys["SRV _imaps._tcp.home.example"]), change(keys["MX home.example"], priority=20))
    operation = await room.done(plan)
    kept = (await room.service.snapshots(HOME, before=None, limit=10)).snapshots
    assert [(each.reason, each.operation_id) for each in kept] == [("after", operation.id), ("before", operation.id)]
    difference = await room.service.difference(HOME, kept[1].id, "now")
    assert difference.counts == {"create": 0, "change": 1, "delete": 1}
    back = await room.service.plan_rollback(ANNA, HOME, Rollback(snapshot_id=kept[1].id))
    await room.done(back)
    assert await room.export() == text


def _values(records: list[dict[str, Any]]) -> list[Any]:
    return sorted(
        [{name: each[name] for name in each if name not in ("modified_on", "created_on")} for each in records],
        key=lambda each: str(each["id"]),
    )
