"""The pure parts: what harms, what is offered, whose fatal error it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.recipes.fleet_update.health import Health, Seen, fatals_of, harm, unfit
from portal.recipes.fleet_update.wanted import Update, change_name, offered, parsed, present
from portal.wordpress.reading import Inventory, inventory_of

WELL = Seen(200, 0.2, True, True)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        (WELL, WELL, ""),
        (WELL, Seen(500, 0.2, True, True), "answered 200 before and answers 500 now"),
        (WELL, Seen(302, 0.2, False, False), "answered 200 before and answers 302 now"),
        (WELL, Seen(None, 20.0, False, None, "refused"), "does not answer any more: refused"),
        (WELL, Seen(200, 0.2, False, True), "breaks off in the middle"),
        (WELL, Seen(200, 0.2, True, False), "does not show the site's title any more"),
        (WELL, Seen(200, 6.0, True, True), "took 0.2 s before and takes 6.0 s now"),
        (WELL, Seen(200, 4.9, True, True), ""),  # a busy machine
        (Seen(200, 2.0, True, True), Seen(200, 7.0, True, True), ""),
        (Seen(404, 0.1, False, False), Seen(404, 0.1, False, False), ""),  # held against itself, not against an ideal
        (Seen(200, 0.2, False, None), Seen(200, 0.2, False, None), ""),
    ],
)
def test_a_site_is_held_against_itself(was: Seen, now: Seen, said: str) -> None:
    found = harm(Health({"origin /": was}), Health({"origin /": now}))
    assert found == ([f"origin / {said}"] if said else [])


def test_fatal_errors_are_harm_and_pages_not_looked_at_again_are_not() -> None:
    before = Health({"origin /": WELL, "edge /": WELL})
    assert harm(before, Health({"origin /": WELL}, ["PHP Fatal error: no"])) == ["PHP: PHP Fatal error: no"]
    assert harm(before, Health({"origin /": WELL}, None)) == []


def test_ill_sites_are_named() -> None:
    ill = Health({"origin /": Seen(503, 0.1, True, None), "origin /a": Seen(None, 0.1, False, None, "refused")})
    assert unfit(ill) == ["origin / answers 503", "origin /a does not answer: refused"]
    assert unfit(Health({"origin /": WELL})) == []


def test_health_survives_the_journal() -> None:
    health = Health({"origin /": WELL}, ["PHP Fatal error: no"])
    assert Health.parsed(json.dumps(health.document())) == health
    assert Health.parsed(None) == Health()


def test_only_a_sites_own_fatal_errors_count() -> None:
    lines = [
        "PHP Fatal error:  Uncaught Error in /srv/sites/alder/public/wp-content/plugins/a/a.php:3",
        "PHP Fatal error:  Uncaught Error in /srv/sites/alder-two/public/wp-load.php:3",
        "PHP Warning:  Undefined variable in /srv/sites/alder/public/index.php",
        "PHP Parse error:  syntax error in /srv/sites/alder/public/x.php\x1b[31m",
    ]
    found = fatals_of("alder", [*lines, *lines])
    assert [line[:15] for line in found] == ["PHP Fatal error", "PHP Parse error"]
    assert "\x1b" not in "".join(found)


@given(st.lists(st.text(max_size=60), max_size=20))
def test_hostile_logs_give_bounded_lines_without_control_characters(lines: list[str]) -> None:
    logged = [f"PHP Fatal error: {line} /srv/sites/alder/{line}" * 20 for line in lines]
    found = fatals_of("alder", logged)
    assert len(found) <= 20
    assert all(len(line) <= 300 and line.isprintable() for line in found if line.isascii())


def _inventory() -> Inventory:
    return inventory_of(
        {
            "core": {"version": "6.8", "update_version": "6.8.1"},
            "plugins": [
                {"name": "z-cache", "version": "1.0", "state": "active", "update_version": "1.1"},
                {"name": "a-forms", "version": "2.0", "state": "inactive", "update_version": "2.0.1"},
                {"name": "current", "version": "2.0", "state": "active"},
                {"name": "../../evil", "version": "2.0", "state": "active", "update_version": "3.0"},
                {"name": "strange", "version": "2.0", "state": "active", "update_version": "--exec=rm"},
            ],
            "themes": [{"name": "plain", "version": "1.0", "state": "active", "update_version": "1.2"}],
        }
    )


def test_updates_come_in_order_and_hostile_names_are_left_out() -> None:
    found = offered(_inventory(), ["plugin", "theme", "core"])
    assert [(each.name, each.version) for each in found] == [
        ("plugin:a-forms", "2.0.1"),
        ("plugin:z-cache", "1.1"),
        ("theme:plain", "1.2"),
        ("core", "6.8.1"),
    ]
    assert [each.name for each in offered(_inventory(), ["core"])] == ["core"]


def test_names_of_a_plan_come_back_as_they_were() -> None:
    update = Update("plugin", "a-forms", "2.0.1")
    assert parsed(change_name("alder", update), "2.0.1") == ("alder", update)
    assert parsed(change_name("alder", Update("core", "", "7")), "7") == ("alder", Update("core", "", "7"))
    with pytest.raises(ValueError, match="names no update"):
        parsed("alder option:blogname", "1")
    assert present(_inventory(), "plugin:z-cache") == "1.0"
    assert present(_inventory(), "plugin:gone") is None
    assert present(_inventory(), "core") == "6.8"
