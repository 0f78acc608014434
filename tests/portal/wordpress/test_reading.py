"""What a site tells of itself is other people's text: whatever it is, it is read, bounded, and shown as text."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portal.wordpress.reading import MAX_ITEMS, MAX_TEXT, Inventory, SiteReading, inventory_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Json = dict[str, Any]


def plugin(name: str = "cache-it", **more: Any) -> Json:
    return {"name": name, "title": "Cache", "version": "1.0", "state": "active"} | more


def test_a_whole_document_is_read() -> None:
    found = inventory_of(
        {
            "title": "Garden",
            "core": {"version": "6.8.3", "db_version": 60421, "update_version": "6.8.4", "needs_db_update": False},
            "php": {"version": "8.4.1", "memory_limit": "256M"},
            "plugins": [plugin(update_version="1.1"), plugin("other", state="inactive")],
            "themes": [plugin("twenty", update_version=None)],
            "users": [
                {"id": 1, "login": "warden", "roles": ["administrator"], "last_login_at": "2026-11-22T10:00:00Z"}
            ],
            "cron": {"events": 12, "overdue": 3, "oldest_overdue_s": 7200, "is_disabled": True},
            "debug": {"WP_DEBUG": True},
            "site_bytes": 10**9,
            "maintenance": False,
            "errors": ["users: too many"],
        }
    )
    assert (found.core.version, found.core.update_version, found.cron.overdue) == ("6.8.3", "6.8.4", 3)
    assert found.users[0].last_login_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert (found.debug, found.errors) == ({"WP_DEBUG": True}, ("users: too many",))
    assert Inventory.model_validate_json(found.model_dump_json()) == found


def test_parts_of_another_form_are_left_out_and_said() -> None:
    found = inventory_of(
        {
            "title": 5,
            "core": [],
            "plugins": [plugin(), {"name": "x"}, "y", plugin(state="odd")],
            "users": {"id": 1},
            "site_bytes": -1,
            "database_bytes": True,
            "debug": {"WP_DEBUG": "yes"},
            "cron": {"overdue": "many"},
        }
    )
    assert [each.name for each in found.plugins] == ["cache-it"]
    assert (found.core.version, found.title, found.site_bytes, found.database_bytes) == ("", "", None, None)
    assert {error.partition(":")[0] for error in found.errors} == {"title", "core", "plugins"}
    assert (found.debug, found.cron.overdue, found.users) == ({}, None, ())


def test_hostile_text_stays_on_one_line_and_is_cut() -> None:
    found = inventory_of({"title": "\x1b[31ma\nb\u202ec" + "x" * 5000, "plugins": [plugin("../../etc", title="\0<b>")]})
    assert not {"\x1b", "\n", "\u202e"} & set(found.title)
    assert len(found.title) <= MAX_TEXT
    assert (found.plugins[0].title, found.plugins[0].is_named) == ("<b>", False)
    many = inventory_of({"plugins": [plugin(f"p{number}") for number in range(MAX_ITEMS + 5)]})
    assert (len(many.plugins), many.errors) == (MAX_ITEMS, ("plugins: 5 left out, of another form",))


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*Inventory.model_fields]), _JSON, max_size=8))
def test_no_document_breaks_the_reading(document: Json) -> None:
    found = inventory_of(json.loads(json.dumps(document)))
    assert Inventory.model_validate_json(found.model_dump_json()) == found


def test_what_is_older_than_a_day_is_stale() -> None:
    def reading(read_at: datetime | None) -> SiteReading:
        return SiteReading(Inventory(), read_at, NOW, 0.1, "", "", None)

    assert not reading(NOW - timedelta(hours=23)).is_stale(NOW)
    assert reading(NOW - timedelta(hours=25)).is_stale(NOW)
    assert not reading(None).is_stale(NOW)
