"""Plan, apply, undo, apply is the identity, whatever the zone and the wish: every field, and the export."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from portal.dns.records.values import Value, key_of, keyed, value_of
from portal.dns.schemas import DnsPlan
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.dns import Draft, answer_of
from tests.portal import database as databases
from tests.portal.dns import zones
from tests.portal.dns.conftest import ANNA, Room, standing_room

ZONE = zones.ZONE
EXAMPLES = 25
# What of a record a draw changes together. Content and priority make another record of it, in the place of the first.
FIELDS = (("ttl",), ("proxied",), ("comment",), ("tags",), ("settings",), ("priority",), ("content", "data"))
Values = Mapping[str, Value]


def _values(room: Room) -> Values:
    records = keyed(answer_of(record) for record in room.cf.state.zones[ZONE].records)
    return {key: value_of(record) for key, record in records.items()}


def _altered(value: Value, other: Value, fields: tuple[str, ...]) -> Value:
    """A value with these fields of another one of its type; those that one or both lack are none."""
    altered = value | {field: other.get(field) for field in fields if field in value or field in other}
    return value_of(altered | ({"ttl": 1} if altered["proxied"] else {}))


@st.composite
def _wishes(draw: st.DrawFn, before: Values, other: Values) -> dict[str, Any]:
    """Some records go, some change in any of their fields, some come."""
    wish: dict[str, Any] = {}
    for key, value in before.items():
        match draw(st.sampled_from(("stays", "goes", "changes", "changes"))):
            case "goes":
                wish[key] = None
            case "changes":
                groups = draw(st.sets(st.sampled_from(FIELDS), min_size=1))
                fields = tuple(field for group in groups for field in group)
                changed = _altered(value, draw(zones.value(value["type"])), fields)
                wish |= {key: None, key_of(changed): changed}
    return wish | {key: value for key, value in other.items() if key not in before}


async def _round(room: Room, before: Values, wish: dict[str, Any]) -> tuple[DnsPlan, DnsPlan] | None:
    """There and back: the two plans, or None where Cloudflare did not take the first."""
    zone = room.cf.state.zones[ZONE]
    zone.records.clear()
    draft = Draft(zone)
    for value in before.values():
        draft.create(dict(value))
    draft.commit()
    present, text = _values(room), await room.export(ZONE)
    plan = await room.service.plan_wish(ANNA, ZONE, wish)
    operation = await room.apply(plan)
    if operation.state != "done":  # the drawn halves don't fit together: then nothing has happened
        assert operation.error is not None
        assert operation.error["type"] == "/problems/dns-change-refused", operation.error
        assert _values(room) == present
        return None
    wished = {key: value for key, value in {**present, **wish}.items() if value is not None}
    assert _values(room) == wished
    again = await room.service.plan_wish(ANNA, ZONE, wish)
    assert again.changes == []
    back = await room.service.undo(ANNA, ZONE, plan.id)
    await room.done(back)
    assert _values(room) == present
    assert await room.export(ZONE) == text
    return plan, back


@contextmanager
def _standing(template: Path, directory: Path) -> Iterator[tuple[asyncio.Runner, Room]]:
    with CloudflareFake(zones=[ZONE]) as cf, asyncio.Runner() as runner:
        standing = standing_room(cf, databases.copy_of(template, directory), directory)
        room = runner.run(standing.__aenter__())
        try:
            yield runner, room
        finally:
            runner.run(standing.__aexit__(None, None, None))


def test_undone_zone_is_the_zone_before_and_its_export_byte_for_byte(database_template: Path, tmp_path: Path) -> None:
    taken: list[bool] = []
    with _standing(database_template, tmp_path) as (runner, room):

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(data=st.data())
        def undo(data: st.DataObject) -> None:
            before = keyed(data.draw(zones.records(max_size=8)))
            other = keyed(data.draw(zones.records(max_size=5)))
            plans = runner.run(_round(room, before, data.draw(_wishes(before, other))))
            what = "refused" if plans is None else "applied" if plans[0].changes else "nothing to do"
            event(what)
            if what != "nothing to do":  # it says nothing of undoing
                taken.append(what == "applied")

        undo()
    assert sum(taken) > max(len(taken) / 2, EXAMPLES / 4)


def test_undo_over_several_transactions_is_the_identity_too(database_template: Path, tmp_path: Path) -> None:
    """Every field of records of three types changes, others go, others come: more than one batch takes, both ways."""

    def value(type_: str, name: str, content: str, **more: Any) -> Value:
        return value_of({"type": type_, "name": f"{name}.{ZONE}", "content": content, **more})

    def wished(number: int) -> Iterator[tuple[Value | None, Value | None]]:
        said = {"comment": f"site {number}", "tags": [f"row:{number}"]}
        yield (
            value("A", f"a{number}", "192.0.2.7", proxied=True, **said),
            value("A", f"a{number}", "192.0.2.7", ttl=300, comment="another", tags=["team:web"]),
        )
        yield (
            value("CNAME", f"c{number}", "one.example.net", settings={"flatten_cname": True}, ttl=60),
            value("CNAME", f"c{number}", "two.example.net", proxied=True, **said),
        )
        yield (
            value("MX", f"m{number}", "mx.example.net", priority=0, **said),
            value("MX", f"m{number}", "mx.example.net", priority=10, ttl=86_400),
        )
        yield value("TXT", f"g{number}", f'"{number}"', **said), None
        yield None, value("TXT", f"n{number}", f'"{number}"', **said)

    pairs = [pair for number in range(90) for pair in wished(number)]
    before = {key_of(old): old for old, _ in pairs if old is not None}
    wish: dict[str, Any] = dict.fromkeys(before) | {key_of(new): new for _, new in pairs if new is not None}
    with _standing(database_template, tmp_path) as (runner, room):
        room.cf.state.zones[ZONE].record_limit = 1000
        plans = runner.run(_round(room, before, wish))
        taken = [write.status for write in room.cf.writes if write.path.endswith("/batch")]
    assert plans is not None
    there, back = plans
    assert min(there.batches, back.batches) > 1
    assert taken == [200] * (there.batches + back.batches)
    fields = {field for change in there.changes for field in change.fields}
    assert fields == {"content", "priority", "ttl", "proxied", "comment", "tags", "settings"}
