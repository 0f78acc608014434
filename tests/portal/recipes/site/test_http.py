"""Sites as their operators meet them: a portal as a process, `homeport site` in a shell, HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.fakes.cloudflare import CloudflareFake
from tests.portal import database as databases
from tests.portal.recipes.site.conftest import HOST, SITE, know_alder
from tests.portal.test_client import on_terminal
from tests.services.fleet import Fleet
from tests.services.portal import PASSWORD, Portal

pytestmark = pytest.mark.slow

ADD = ("site", "add", SITE, "--host", HOST, "--title", "Garden", "--admin", "anna", "--email", "anna@home.example")


class SitePortal(Portal):
    """A portal that knows the fleet's site."""

    fleet: Fleet

    def start(self) -> None:
        self.run("portal", "migrate")
        with databases.opened(f"sqlite:///{self.state_dir / 'portal.sqlite3'}") as database:
            know_alder(database, self.fleet)
        self.daemon.start()


@pytest.fixture
def portal(cf: CloudflareFake, fleet_of_one: Fleet, tmp_path: Path) -> Iterator[Portal]:
    settings = fleet_of_one.portal_settings() | {
        "CLOUDFLARE_TOKEN": cf.token(),
        "CLOUDFLARE_ACCOUNT": cf.account_id,
        "CLOUDFLARE_URL": cf.url,
        "SITES_EDGE_URL": fleet_of_one.origin_url,
    }
    portal = SitePortal(tmp_path, settings)
    portal.fleet = fleet_of_one
    with portal as running:
        yield running


def test_site_is_made_and_removed_in_a_shell(portal: Portal, cf: CloudflareFake, fleet_of_one: Fleet) -> None:
    shown = portal.run(*ADD, "--plan").stdout
    assert f"make route {HOST}" in shown
    assert (cf.writes, (fleet_of_one.sites_root / SITE).exists()) == ([], False)
    unasked = portal.run(*ADD, check=False)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (1, True)
    unconfirmed = portal.run(*ADD, "--yes", check=False)
    assert (unconfirmed.returncode, "fresh factor" in unconfirmed.stderr, cf.writes) == (1, True, [])
    anna = portal.set_up()
    code, added = on_terminal(portal, *ADD, "--yes", typed=["anna", "", PASSWORD])
    assert code == 0, added
    (password,) = re.findall(r"with the password (\S+)", added)
    login = httpx2.post(
        f"{fleet_of_one.origin_url}/wp-login.php",
        data={"log": "anna", "pwd": password},
        headers={"Host": HOST, "X-Forwarded-Proto": "https", "Cookie": "wordpress_test_cookie=WP%20Cookie%20check"},
        trust_env=False,
    )
    assert (login.status_code, "wordpress_logged_in" in login.headers.get("set-cookie", "")) == (302, True)
    operations = anna.get("/api/operations").text
    assert password not in operations
    assert password not in portal.log.read_text()
    assert password not in json.dumps(portal.audit())
    again = portal.run(*ADD, "--yes", check=False)
    assert (again.returncode, "site garden is there already" in again.stderr) == (1, True)

    refused = portal.run("site", "remove", SITE, "--yes", check=False)
    assert (refused.returncode, "no final restore point" in refused.stderr) == (1, True)
    remove = ("site", "remove", SITE, "--yes", "--without-restore-point")
    untyped = portal.run(*remove, check=False)
    assert (untyped.returncode, (fleet_of_one.sites_root / SITE).exists()) == (1, True)
    code, removed = on_terminal(portal, *remove, "--confirm", SITE, typed=["anna", "", PASSWORD])
    assert (code, removed.splitlines()[-1]) == (0, "Done."), removed
    assert not (fleet_of_one.sites_root / SITE).exists()
    assert fleet_of_one.page("alder")[0] == 200
    assert json.loads(portal.run("site", "unfinished", "--json").stdout) == {"runs": []}
    rows = {(row["action"], row["result"]) for row in portal.audit(target=SITE)}
    assert {("cli:sites:apply", "accepted"), ("cli:sites:apply", "done")} <= rows


def test_what_is_asked_wrongly_is_a_problem(portal: Portal, fleet_of_one: Fleet) -> None:
    anna = portal.set_up()
    (fleet_of_one.import_dir / "garden.sql").write_text("-- nothing")
    try:
        listed = anna.get("/api/sites/imports").json()
        assert [(each["name"], each["kind"]) for each in listed["files"]] == [("garden.sql", "dump")]
        assert "garden.sql" in portal.run("site", "imports").stdout
    finally:
        (fleet_of_one.import_dir / "garden.sql").unlink()
    wanted = {"act": "add", "site": SITE, "hostnames": [HOST], "title": "Garden", "admin_login": "anna"}
    wanted["admin_email"] = "anna@home.example"
    cases: tuple[tuple[dict[str, str], int, str], ...] = (
        ({"site": "default"}, 422, "site-name-invalid"),
        ({"title": "--path=/etc"}, 422, "invalid-request"),
        ({"admin_login": "-x"}, 422, "invalid-request"),
        ({"server": "none"}, 404, "no-such-database-server"),
        ({"act": "import", "archive": "../x.tar", "dump": "x.sql"}, 422, "invalid-request"),
        ({"act": "explode"}, 422, "invalid-request"),
    )
    for number, (changed, status, kind) in enumerate(cases):
        answer = anna.post("/api/sites/plans", json=wanted | changed, headers={"Idempotency-Key": f"plan-{number}"})
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{kind}"), changed
    gone = anna.post("/api/sites/plans", json={"act": "remove", "site": "none"}, headers={"Idempotency-Key": "gone"})
    assert gone.json()["type"] == "/problems/no-such-site"
    nothing = "01M82M4SZHPK82E77E97ZZ5TX7"
    for way in ("resume", "revert"):
        answer = anna.post(f"/api/sites/unfinished/{nothing}/{way}", json={}, headers={"Idempotency-Key": way})
        assert answer.json()["type"] == "/problems/no-unfinished-site-run"
    wrong = portal.run("site", "unfinished", nothing, check=False)
    assert wrong.returncode == 2
