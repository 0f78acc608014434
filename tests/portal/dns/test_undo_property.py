"""Plan, apply, undo, apply is the identity, whatever the zone and the wish: every field, and the export."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.dns.records.values import keyed, value_of
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.dns import Draft, answer_of
from tests.portal import database as databases
from tests.portal.dns import zones
from tests.portal.dns.conftest import ANNA, Room, standing_room

ZONE = zones.ZONE
EXAMPLES = 25
Values = Mapping[str, dict[str, Any]]


def _values(room: Room) -> Values:
    records = keyed(answer_of(record) for record in room.cf.state.zones[ZONE].records)
    return {key: value_of(record) for key, record in records.items()}


@st.composite
def _wishes(draw: st.DrawFn, before: Values, other: Values) -> dict[str, Any]:
    """Some records go, some change beside their content, some come."""
    wish: dict[str, Any] = {}
    for key, value in before.items():
        match draw(st.sampled_from(("stays", "goes", "changes"))):
            case "goes":
                wish[key] = None
            case "changes":
                wish[key] = value_of({**value, "comment": "another", "tags": [*value.get("tags", []), "more:tags"]})
    return wish | {key: value for key, value in other.items() if key not in before}


async def _round(room: Room, before: Values, wish: dict[str, Any]) -> bool:
    """Whether Cloudflare took it."""
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
        return False
    wished = {key: value for key, value in {**present, **wish}.items() if value is not None}
    assert _values(room) == wished
    again = await room.service.plan_wish(ANNA, ZONE, wish)
    assert again.changes == []
    await room.done(await room.service.undo(ANNA, ZONE, plan.id))
    assert _values(room) == present
    assert await room.export(ZONE) == text
    return True


def test_undone_zone_is_the_zone_before_and_its_export_byte_for_byte(database_template: Path, tmp_path: Path) -> None:
    with CloudflareFake(zones=[ZONE]) as cf, asyncio.Runner() as runner:
        standing = standing_room(cf, databases.copy_of(database_template, tmp_path), tmp_path)
        room = runner.run(standing.__aenter__())

        taken: list[bool] = []

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(data=st.data())
        def undo(data: st.DataObject) -> None:
            before = keyed(data.draw(zones.records(max_size=8)))
            other = keyed(data.draw(zones.records(max_size=5)))
            taken.append(runner.run(_round(room, before, data.draw(_wishes(before, other)))))

        try:
            undo()
            assert sum(taken) > len(taken) / 2
        finally:
            runner.run(standing.__aexit__(None, None, None))
