"""Each missing permission of the token is named exactly, whichever command meets it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from portal.edge.live import Live
from portal.edge.permissions import EDGE_CALLS, as_needed, needed_for
from portal.integrations.cloudflare import MissingPermission
from tests.fakes.cloudflare import EVERY_PERMISSION, PERMISSIONS, CloudflareFake
from tests.portal.conftest import HOME, TWO, Edge, seen

# What the edge needs of all that the fake knows.
NEEDED = sorted({f"{group} {level}" for group, level, _ in EDGE_CALLS.values()})
READS = [group for group in NEEDED if group.endswith(" Read")]
WRITES = [group for group in NEEDED if group.endswith(" Write")]
SCOPES = {permission.group: permission.scope for permission in PERMISSIONS.values() if permission is not None}


def resource(edge: Edge, group: str) -> str:
    return f"account {edge.cf.account_id}" if SCOPES[group] == "account" else f"zone {HOME}"


def test_groups_have_cloudflares_names() -> None:
    assert set(NEEDED) <= EVERY_PERMISSION


@pytest.mark.parametrize("group", WRITES)
def test_deploy_names_the_permission_to_write(edge: Edge, cf: CloudflareFake, group: str) -> None:
    edge.settings["cloudflare_token"] = cf.token(without=[group])
    ended = edge.run("deploy", "--yes")
    assert ended.code == 1
    assert ended.error == f"homeport: error: the token lacks: {group} for {resource(edge, group)}"


@pytest.mark.parametrize("group", READS)
@pytest.mark.parametrize("command", [["plan"], ["deploy", "--yes"]])
def test_plan_and_deploy_name_the_permission_to_read_as_what_to_give(
    edge: Edge, cf: CloudflareFake, group: str, command: list[str]
) -> None:
    edge.settings["cloudflare_token"] = cf.token(without=[group])
    ended = edge.run(*command)
    assert ended.code == 1
    to_give = group if group == "Zone Read" else f"{group.removesuffix(' Read')} Write"
    assert ended.error == f"homeport: error: the token lacks: {to_give} for {resource(edge, group)}"
    assert not cf.writes


@pytest.mark.parametrize("group", READS)
def test_plan_marks_the_missing_permission(edge: Edge, cf: CloudflareFake, group: str) -> None:
    edge.settings["cloudflare_token"] = cf.token(without=[group])
    ended = edge.run("plan", "--json")
    missing = [each for each in ended.document["permissions"] if each["state"] == "missing"]
    assert [(each["group"].rpartition(" ")[0], each["resource"]) for each in missing] == [
        (group.removesuffix(" Read"), resource(edge, group))
    ]


@pytest.mark.parametrize("group", WRITES)
def test_destroy_names_the_permission_to_write(edge: Edge, cf: CloudflareFake, group: str) -> None:
    before = seen(cf)
    edge.deploy()
    good = edge.settings["cloudflare_token"]
    edge.settings["cloudflare_token"] = cf.token(without=[group])
    ended = edge.run("destroy", "--yes")
    assert ended.code == 1
    assert ended.error == f"homeport: error: the token lacks: {group} for {resource(edge, group)}"
    edge.settings["cloudflare_token"] = good
    edge.destroy()
    assert seen(cf) == before


@pytest.mark.parametrize("level", ["Read", "Write"])
def test_sync_names_what_it_lacks(edge: Edge, cf: CloudflareFake, level: str) -> None:
    edge.deploy()
    edge.settings["cloudflare_token"] = cf.token(without=[f"Workers KV Storage {level}"])
    ended = edge.sync(f"bob@{HOME}")
    assert ended.code == 1
    assert f"the token lacks: Workers KV Storage Write for account {cf.account_id}" in ended.error


def test_all_missing_permissions_are_named_at_once(edge: Edge, cf: CloudflareFake) -> None:
    edge.settings["edge_zones"] = f"{HOME},{TWO}"
    lacking = ["DNS Read", "Workers R2 Storage Read", "Email Routing Rules Read"]
    edge.settings["cloudflare_token"] = cf.token(without=lacking)
    ended = edge.run("plan")
    for group, on in (
        ("Workers R2 Storage", f"account {cf.account_id}"),
        *((group, f"zone {zone}") for zone in (HOME, TWO) for group in ("DNS", "Email Routing Rules")),
    ):
        assert f"{group} Write for {on}" in ended.error


def test_zone_that_the_token_may_not_see_is_named(edge: Edge, cf: CloudflareFake) -> None:
    edge.settings["edge_zones"] = f"{HOME},{TWO}"
    edge.settings["cloudflare_token"] = cf.token(zones=[HOME])
    ended = edge.run("plan")
    assert ended.code == 1
    assert f"has no zone {TWO}, or the token lacks the permission Zone Read for it" in ended.error


@pytest.mark.parametrize("token", ["unknown", "expired", "disabled", "no token at all"])
def test_token_that_is_refused_is_no_matter_of_permissions(edge: Edge, cf: CloudflareFake, token: Any) -> None:
    given = {"unknown": "x" * 40, "no token at all": "not-a-token-at-all"}
    edge.settings["cloudflare_token"] = given.get(token) or cf.token(status=token)
    for command in ("plan", "status"):
        ended = edge.run(command)
        assert ended.code == 1
        assert "Cloudflare refuses the token" in ended.error
        assert "lacks" not in ended.error


def test_permission_that_is_only_read_is_named_as_it_is() -> None:
    assert as_needed(MissingPermission("Zone", "Read", "zone a.example")) == "Zone Read for zone a.example"
    assert as_needed(MissingPermission("DNS", "Read", "zone a.example")) == "DNS Write for zone a.example"


def test_runbook_lists_what_the_plan_lists() -> None:
    """The dashboard says Edit where the API says Write."""
    text = (Path(__file__).parents[3] / "docs" / "runbooks" / "edge.md").read_text()
    rows = re.findall(r"^\| (Account|Zone) \| (.+) \|$", text, re.MULTILINE)
    told = {
        (scope.lower(), permission.replace(": Edit", " Write").replace(": ", " "))
        for scope, permissions in rows
        for permission in permissions.split(" · ")
    }
    live = Live(None, None, None, None, {})
    needed = needed_for("0" * 32, (HOME,), live)
    assert told == {(each.resource.partition(" ")[0], each.group) for each in needed}
