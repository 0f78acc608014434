"""What a wish becomes, and what is said of a change: as tables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from portal.operations.plans import Change
from portal.wordpress.changes import ChangeRefused, Name, Replacement, has_way_back, is_older, suffers, wish_of
from portal.wordpress.packages import Package
from portal.wordpress.reading import inventory_of
from portal.wordpress.schemas import NewReplacement, NewSitePlan
from portal.wordpress.wp import WpAnswerUnexpected, counts_of

SITE = inventory_of(
    {
        "core": {"version": "6.8.2", "update_version": "6.8.3"},
        "plugins": [
            {"name": "cache", "version": "1.0", "state": "active", "update_version": "1.2"},
            {"name": "map", "version": "3.1", "state": "inactive"},
            {"name": "homeport", "version": "1", "state": "must-use"},
        ],
        "themes": [
            {"name": "child", "version": "1", "state": "active"},
            {"name": "base", "version": "1", "state": "parent"},
            {"name": "other", "version": "2", "state": "inactive"},
        ],
    }
)
STOPS = ["stops-working", "pages-slower"]
PACKAGES = {"map.zip": Package("map.zip", "plugin", "map", "4.0")}


def wish(*changes: dict[str, Any]) -> dict[str, Any]:
    return wish_of(NewSitePlan.model_validate({"changes": changes}).changes, SITE, PACKAGES)


def value(state: str, version: str | None) -> dict[str, Any]:
    return {"state": state, "version": version}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"kind": "plugin", "slug": "cache", "state": "inactive"}, {"plugin:cache@any": value("inactive", None)}),
        ({"kind": "plugin", "slug": "cache", "version": "latest"}, {"plugin:cache": value("active", "1.2")}),
        ({"kind": "plugin", "slug": "cache", "version": "0.9"}, {"plugin:cache": value("active", "0.9")}),
        ({"kind": "plugin", "slug": "cache", "state": "absent"}, {"plugin:cache": value("absent", None)}),
        ({"kind": "plugin", "slug": "map", "version": "latest"}, {"plugin:map": value("inactive", "3.1")}),
        ({"kind": "plugin", "package": "map.zip", "state": "active"}, {"plugin:map": value("active", "4.0")}),
        ({"kind": "plugin", "slug": "new", "version": "latest"}, {"plugin:new@any": value("inactive", None)}),
        (
            {"kind": "theme", "slug": "other", "state": "active"},
            {"theme:other@any": value("active", None), "theme:child@any": value("inactive", None)},
        ),
        ({"kind": "core", "version": "latest"}, {"core": {"version": "6.8.3"}}),
        ({"kind": "option", "name": "blogname", "value": "x"}, {"option:blogname": "x"}),
        ({"kind": "maintenance", "is_on": True}, {"maintenance": True}),
    ],
)
def test_a_change_becomes_a_wish(change: dict[str, Any], expected: dict[str, Any]) -> None:
    assert wish(change) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "plugin", "slug": "homeport", "state": "absent"},
        {"kind": "theme", "slug": "child", "state": "absent"},
        {"kind": "theme", "slug": "base", "state": "absent"},
        {"kind": "theme", "slug": "child", "state": "inactive"},
        {"kind": "theme", "package": "map.zip"},
        {"kind": "plugin", "package": "map.zip", "slug": "other"},
        {"kind": "core", "version": "6.7.9"},
    ],
)
def test_what_stands_against_it_is_said(change: dict[str, Any]) -> None:
    with pytest.raises(ChangeRefused):
        wish(change)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "plugin", "slug": "../x", "state": "active"},
        {"kind": "plugin", "slug": "--require", "state": "active"},
        {"kind": "plugin", "slug": "cache"},
        {"kind": "plugin", "state": "active"},
        {"kind": "plugin", "slug": "cache", "version": "1; id"},
        {"kind": "plugin", "slug": "cache", "version": "1.0", "state": "absent"},
        {"kind": "plugin", "package": "https://evil.example/x.zip"},
        {"kind": "option", "name": "users_can_register", "value": "1"},
        {"kind": "option", "name": "blogname", "value": "--url=x"},
        {"kind": "option", "name": "blogname", "value": "a\nb"},
        {"kind": "core", "version": "nightly"},
        {"kind": "cron"},
    ],
)
def test_what_has_not_the_form_of_a_change_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewSitePlan.model_validate({"changes": [change]})


@pytest.mark.parametrize("old", ["", "ab", "  a  ", "-abc", "a\nb", "a\x00bc"])
def test_a_text_too_short_or_broken_is_not_looked_for(old: str) -> None:
    with pytest.raises(ValidationError):
        NewReplacement(old=old, new="new")


@given(st.text(max_size=50), st.text(max_size=50), st.lists(st.text(max_size=9), max_size=3))
def test_a_replacement_comes_back_out_of_its_name(old: str, new: str, columns: list[str]) -> None:
    wanted = Replacement(old, new, tuple(columns))
    name = Name.parse(wanted.name)
    assert (name.kind, Replacement.parse(name), str(name)) == ("search-replace", wanted, wanted.name)


@pytest.mark.parametrize("text", ["core", "maintenance", "plugin:a@any", "theme:b", "option:home"])
def test_a_name_comes_back_as_it_was(text: str) -> None:
    assert str(Name.parse(text)) == text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            Change("plugin:redis-cache@any", value("active", None), value("inactive", None)),
            ["stops-working", "pages-slower"],
        ),
        (Change("plugin:cache", value("active", "1.2"), value("active", "1.0")), ["database-of-a-newer-version"]),
        (Change("plugin:cache", value("active", "1.0"), value("active", "1.2")), []),
        (Change("theme:a@any", value("active", None), value("inactive", None)), ["look-of-the-site"]),
        (Change("core", {"version": "6.8"}, {"version": "6.9"}), ["no-way-back"]),
        (Change("option:siteurl", "a", "b"), ["address-of-the-site"]),
        (Change("option:blogname", "a", "b"), []),
        (Change("maintenance", False, True), ["visitors-see-maintenance"]),
        (Change("maintenance", True, False), []),
    ],
)
def test_what_suffers_is_said(change: Change, expected: list[str]) -> None:
    assert suffers(change) == expected
    assert has_way_back(change) is (change.name != "core")


@pytest.mark.parametrize(
    ("one", "other"), [("1.9", "1.10"), ("1.0-beta2", "1.0"), ("2", "10"), ("1.0-beta", "1.0-beta2"), ("6.8", "6.8.1")]
)
def test_versions_are_compared_by_value(one: str, other: str) -> None:
    assert is_older(one, other)
    assert not is_older(other, one)
    assert not is_older(one, one)


def test_the_counts_of_a_replacement_are_read() -> None:
    table = "Table\tColumn\tReplacements\tType\nwp_posts\tguid\t0\tSQL\nwp_posts\tpost_content\t12\tPHP\n"
    said = f"Warning: x\n{table}Success: x\n"
    assert counts_of(said) == {"wp_posts.post_content": 12}
    assert counts_of("Success: 0 replacements to be made.\n") == {}
    with pytest.raises(WpAnswerUnexpected):
        counts_of("wp_posts\tpost_content\t12\n")
