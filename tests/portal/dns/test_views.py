"""What a plan shows of what depends on its records."""

from __future__ import annotations

from datetime import UTC, datetime

from portal.dns.command_line.printing import change_lines
from portal.dns.records.values import keyed, value_of
from portal.dns.views import MAX_ASKED, paired, plan_view, suffering
from portal.operations.plans import Change, Plan
from portal.probes import Found
from tests.portal.dns.zones import ZONE

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def removals(*names: str) -> list[Change]:
    """The removal of records, each as "TYPE label"."""
    contents = {"MX": "mx.example.net", "TXT": '"text"', "CNAME": "host.example.net", "A": "192.0.2.1"}
    found = keyed(
        {"id": name, "type": kind, "name": f"{label}.{ZONE}", "content": contents[kind], "priority": 10}
        for name in names
        for kind, label in [name.split()]
    )
    return [Change(key, value_of(record), None) for key, record in found.items()]


def changes(*names: str) -> list[Change]:
    return [Change(each.name, each.before, each.before | {"ttl": 600}) for each in removals(*names)]


def test_what_goes_is_asked_for_before_what_changes_and_mail_before_addresses() -> None:
    many = [f"A a{number}" for number in range(2 * MAX_ASKED)]
    asked = suffering(paired([*changes(*many, "MX mx"), *removals("A gone", "TXT gone", "CNAME gone")]))
    assert asked[:4] == [f"CNAME gone.{ZONE}", f"TXT gone.{ZONE}", f"A gone.{ZONE}", f"MX mx.{ZONE}"]
    assert len(asked) == MAX_ASKED


def test_record_that_nobody_was_asked_about_does_not_look_as_if_nothing_depended_on_it() -> None:
    wanted = removals("A one", "A two")
    pairs = paired(wanted)
    plan = Plan("1", "dns:apply", ZONE, tuple(wanted), {each.name: None for each in wanted}, NOW, NOW, None, None)
    shown = plan_view(plan, pairs, uses={f"A one.{ZONE}": Found((), ())}, warned={}, zone_plan="free")
    assert [each.used_by for each in shown.changes] == [[], None]
    lines = list(change_lines(shown.changes[1].model_dump(mode="json")))
    assert any("used by: not asked" in line for line in lines)
    assert not any("used by" in line for line in change_lines(shown.changes[0].model_dump(mode="json")))
