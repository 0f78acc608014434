"""Updates, probes and mail of sites as their users meet them: a portal as a process, pages by HTTP, commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.portal.recipes.fleet_update.conftest import Units
from tests.portal.wordpress.adopted import adopt
from tests.services.fleet import FORMS, Fleet
from tests.services.portal import Browser, Portal

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]  # a fleet and a portal begin

NOBODY = "01JD0000000000000000000000"
UPDATES = "/api/wordpress/updates"


@contextmanager
def standing_portal(fleet: Fleet, directory: Path, **settings: str) -> Iterator[Portal]:
    """One that knows the sites before it starts: it renders what it knows."""
    portal = Portal(directory, fleet.portal_settings() | settings)
    adopt(portal, fleet)
    with portal:
        yield portal


@pytest.fixture(scope="module")
def portal(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """With a backup that knows two of the sites; its first administrator is made."""
    units = Units(fleet, tmp_path_factory.mktemp("backup"))
    told = [{"name": name, "server": "blog", "database": f"wp_{name}"} for name in ("alder", "birch")]
    (units.directory / "told" / "sites.json").write_text(json.dumps({"version": 1, "sites": told}))
    units.know()
    with standing_portal(fleet, tmp_path_factory.mktemp("portal"), BACKUP_DIR=str(units.directory)) as running:
        running.set_up()
        yield running


@pytest.fixture
def anna(portal: Portal) -> Browser:
    return portal.browsers[0]


def test_what_is_asked_wrongly_is_a_problem(anna: Browser) -> None:
    assert anna.get(UPDATES).json() == {"updates": [], "not_ready": []}
    assert anna.get(f"{UPDATES}/{NOBODY}").status_code == 404
    assert anna.get(f"{UPDATES}/plans/{NOBODY}").status_code == 404
    assert anna.post(f"{UPDATES}/plans/{NOBODY}/apply", json={}).status_code == 404
    assert anna.post(f"{UPDATES}/plans", json={"sites": ["../etc"]}).status_code == 422
    assert anna.post(f"{UPDATES}/plans", json={"rings": [3]}).status_code == 422


def test_probes_are_shown_and_unknown_sites_are_not_found(portal: Portal, anna: Browser) -> None:
    shown = anna.get("/api/wordpress/sites/alder/probes").json()
    assert [probe["name"] for probe in shown["probes"]] == ["origin", "edge", "certificate", "uptime", "cache"]
    assert anna.get("/api/wordpress/sites/nobody/probes").status_code == 404
    assert anna.get("/api/wordpress/sites/No%20Site/probes").status_code == 422
    assert json.loads(portal.run("wordpress", "probes", "alder", "--json").stdout)["site"] == "alder"
    assert "certificate" in portal.run("wordpress", "probes", "alder").stdout
    elsewhere = portal.run("wordpress", "probes", "../../wordpress/sites/alder", check=False)  # is one name
    assert elsewhere.returncode == 1


def test_mail_says_what_is_missing(portal: Portal, anna: Browser) -> None:
    listed = anna.get("/api/wordpress/mail").json()
    assert [each["sender"] for each in listed["sites"]] == [None] * 3
    assert "HOMEPORT_PORTAL_SITE_MAIL_HOST is not set" in listed["not_ready"]
    refused = anna.post("/api/wordpress/mail/plans", json={"domain": "home.example"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/site-mail-not-ready")
    untested = anna.post("/api/wordpress/sites/alder/mail-test", json={})
    assert (untested.status_code, untested.json()["type"]) == (409, "/problems/site-mail-not-configured")
    assert anna.get(f"/api/wordpress/mail/plans/{NOBODY}").status_code == 404
    said = portal.run("wordpress", "mail", "list")
    assert ("alder" in said.stdout, "SITE_MAIL_HOST" in said.stderr) == (True, True)


def test_plan_and_report_in_a_shell(portal: Portal, anna: Browser, fleet: Fleet) -> None:
    fleet.add_plugin_update(FORMS, "9.1.0")
    shown = portal.run("wordpress", "update", "--plan", "--no-core", "--no-themes").stdout
    assert f"plugin:{FORMS}: 1.0.0 -> 9.1.0" in shown
    assert "left out: cedar: the backup does not know it" in shown
    unasked = portal.run("wordpress", "update", "alder", "--no-core", check=False)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (1, True)
    plan = planned(anna, sites=["alder"], core=False, themes=False)
    assert [ring["sites"][0]["site"] for ring in plan["rings"]] == ["alder"]
    assert anna.get(f"{UPDATES}/plans/{plan['id']}").json() == plan
    assert planned(anna, sites=["alder"], rings=[1])["changes"] == []
    unknown = anna.post(f"{UPDATES}/plans", json={"sites": ["nobody"]})
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/no-such-site")


def planned(anna: Browser, **wanted: Any) -> dict[str, Any]:
    answer = anna.post(f"{UPDATES}/plans", json=wanted)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document
