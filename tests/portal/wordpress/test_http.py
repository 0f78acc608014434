"""The room as its users meet it: a real portal, a real broker, real sites; pages by HTTP, commands in a shell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.portal.wordpress.adopted import adopt
from tests.services.extensions import marker
from tests.services.fleet import Fleet
from tests.services.portal import Browser, Portal

Json = dict[str, Any]
GALLERY = "quay-gallery"


@pytest.fixture(scope="module")
def portal(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """One for all tests of this file, which each have a site of their own."""
    portal = Portal(tmp_path_factory.mktemp("portal"), fleet.portal_settings())
    adopt(portal, fleet)
    with portal as running:
        yield running


@pytest.fixture(scope="module")
def anna(portal: Portal) -> Browser:
    return portal.set_up()


def until(is_true: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 60
    while not (found := is_true()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return found


def ended(browser: Browser, answer: Any) -> Json:
    """The operation that an answer has begun, when it has ended."""
    assert answer.status_code == 202, answer.text

    def look() -> Json | None:
        found: Json = browser.get(f"/api/operations/{answer.json()['id']}").json()
        return None if found["state"] == "running" else found

    found: Json = until(look)
    return found


def rows(browser: Browser) -> dict[str, Json]:
    answer = browser.get("/api/wordpress")
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["sites"]}


def test_a_portal_without_a_broker_says_so(tmp_path: Path) -> None:
    with Portal(tmp_path) as portal:
        anna = portal.set_up()
        assert anna.get("/api/wordpress").json() == {"is_connected": False, "can_render": False, "sites": []}
        answer = anna.post("/api/wordpress/refresh", json={})
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/broker-unavailable")
        assert anna.get("/api/wordpress/sites/nobody").json()["type"] == "/problems/no-such-site"
        assert anna.get("/api/wordpress/packages").json() == {"packages": []}


def test_list_page_plan_apply_and_undo(portal: Portal, anna: Browser, fleet: Fleet) -> None:
    first = rows(anna)
    assert set(first) == {"alder", "birch", "cedar"}
    assert set(anna.post("/api/wordpress/refresh", json={}).json()["sites"]) == set(first)
    found = until(lambda: all(row["reading"]["read_at"] for row in rows(anna).values()) and rows(anna))
    assert (found["alder"]["plugins"], found["alder"]["reading"]["is_stale"]) == (3, False)
    assert found["alder"]["is_debugging"] is False, "WP_DEBUG_DISPLAY is on by itself, and does nothing"
    page = anna.get("/api/wordpress/sites/alder").json()
    assert {each["name"] for each in page["plugin_list"]} >= {"quay-forms", GALLERY, "akismet"}
    assert (page["users"][0]["login"], page["cron"]["events"] > 0) == ("warden", True)
    for secret in (fleet.site("alder").password, fleet.site("alder").spec().redis_password_sha256):
        assert secret not in json.dumps(page)

    wanted = {"changes": [{"kind": "plugin", "slug": GALLERY, "state": "active"}]}
    made = anna.post("/api/wordpress/sites/alder/plans", json=wanted)
    assert made.status_code == 201, made.text
    plan = made.json()
    assert (plan["restore_point"], plan["act"], plan["target"]) == ("not-needed", "wordpress:apply", "alder")
    (change,) = plan["changes"]
    assert (change["kind"], change["subject"], change["has_way_back"], change["source"]) == (
        *("plugin", GALLERY),
        *(True, None),
    )
    assert anna.get(f"/api/wordpress/plans/{plan['id']}").json() == plan
    assert ended(anna, anna.post(f"/api/wordpress/plans/{plan['id']}/apply", json={}))["state"] == "done"
    assert marker(GALLERY, "1.0.0") in fleet.page("alder")[1]
    again = anna.post(f"/api/wordpress/plans/{plan['id']}/apply", json={})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/plan-applied")
    back = anna.post(f"/api/wordpress/plans/{plan['id']}/undo", json={}).json()
    assert ended(anna, anna.post(f"/api/wordpress/plans/{back['id']}/apply", json={}))["state"] == "done"
    assert marker(GALLERY, "1.0.0") not in fleet.page("alder")[1]
    acts = [row["action"] for row in portal.audit(target="alder")]
    assert acts.count("ui:wordpress:apply") == 4


def test_replacing_without_a_backup_asks_twice(anna: Browser, fleet: Fleet) -> None:
    wanted = {"old": "Hello world!", "new": "Good morning!"}
    plan = anna.post("/api/wordpress/sites/cedar/search-replace", json=wanted).json()
    assert (plan["restore_point"], plan["changes"][0]["has_way_back"]) == ("none", False)
    assert plan["changes"][0]["before"]["tables"]["wp_posts.post_title"] == 1
    refused = anna.post(f"/api/wordpress/plans/{plan['id']}/apply", json={})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/restore-point-required")
    done = anna.post(f"/api/wordpress/plans/{plan['id']}/apply", json={"without_restore_point": True})
    assert ended(anna, done)["state"] == "done"
    assert fleet.query("cedar", "SELECT post_title FROM wp_posts WHERE ID = 1") == [("Good morning!",)]


def test_a_password_is_answered_once(portal: Portal, anna: Browser) -> None:
    key = {"Idempotency-Key": "k1"}
    answer = anna.post("/api/wordpress/sites/birch/users/warden/password", json={}, headers=key)
    assert answer.status_code == 200, answer.text
    password = answer.json()["password"]
    again = anna.post("/api/wordpress/sites/birch/users/warden/password", json={}, headers=key)
    assert again.json()["type"] == "/problems/idempotent-answer-gone"
    entries = portal.audit(target="birch")
    assert [row["action"] for row in entries][:2] == ["ui:wordpress:password"] * 2
    assert password not in json.dumps(entries)
    assert password not in portal.log.read_text()
    unknown = anna.post("/api/wordpress/sites/birch/users/nobody/password", json={})
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/no-such-wordpress-user")


def test_a_name_that_is_no_sites_is_refused(anna: Browser) -> None:
    for name in ("..%2f..%2fetc", "-rf", "%00", "A", "a" * 40, "alder%0a"):
        answer = anna.get(f"/api/wordpress/sites/{name}")
        assert answer.status_code in (404, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_commands_do_what_the_pages_do(portal: Portal, fleet: Fleet) -> None:
    assert "alder" in portal.run("wordpress", "list").stdout
    assert portal.run("wordpress", "refresh", "alder").stdout.startswith("alder: read")
    shown = portal.run("wordpress", "show", "alder").stdout
    assert "quay-forms" in shown
    assert "warden" in shown
    planned = portal.run("wordpress", "plugin", "alder", "activate", GALLERY, "--plan")
    assert GALLERY in planned.stdout
    assert marker(GALLERY, "1.0.0") not in fleet.page("alder")[1]
    asked = portal.run("wordpress", "plugin", "alder", "activate", GALLERY, check=False)
    assert (asked.returncode, "--yes" in asked.stderr) == (1, True)
    done = portal.run("wordpress", "plugin", "alder", "activate", GALLERY, "--yes")
    assert marker(GALLERY, "1.0.0") in fleet.page("alder")[1]
    plan_id = done.stdout.rsplit(maxsplit=1)[-1]
    portal.run("wordpress", "undo", plan_id, "--yes")
    assert marker(GALLERY, "1.0.0") not in fleet.page("alder")[1]
    line = portal.run("wordpress", "wp", "alder", "plugin", "list", "--format=csv", "--fields=name,status")
    assert "quay-forms,active" in line.stdout.splitlines()
    refused = portal.run("wordpress", "wp", "alder", "eval", "phpinfo();", check=False)
    assert refused.returncode == 2
    portal.run("wordpress", "php", "alder", "--memory-mib", "160")
    portal.run("wordpress", "ring", "alder", "1")
    assert json.loads(portal.run("wordpress", "show", "alder", "--json").stdout)["ring"] == 1
    assert "160M" in (fleet.web_dir / "current/php/alder.conf").read_text()
    portal.run("wordpress", "cache", "alder")
    assert len(portal.run("wordpress", "password", "alder", "warden").stdout.strip()) == 20
    counted = portal.run("wordpress", "search-replace", "alder", "Hello world!", "Good day!", "--plan")
    assert "wp_posts.post_title" in counted.stdout
    listed = json.loads(portal.run("wordpress", "list", "--json").stdout)
    assert {each["name"] for each in listed["sites"]} == {"alder", "birch", "cedar"}
    file = fleet.put_package("harbour-map", "2.1.0")
    assert file in portal.run("wordpress", "packages").stdout
    gone = portal.run("wordpress", "show", "nobody", check=False)
    assert (gone.returncode, "no site has this name" in gone.stderr) == (1, True)
