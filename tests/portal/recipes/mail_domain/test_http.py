"""Mail domains as their users meet them: a portal as a process, pages by HTTP, `homeport domain` in a shell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.cloudflare import CloudflareFake
from tests.portal.conftest import HOME, Edge
from tests.portal.mailboxes.conftest import MailDb
from tests.portal.recipes.conftest import JP
from tests.portal.test_client import on_terminal
from tests.services.portal import PASSWORD, Portal

pytestmark = pytest.mark.services


class MailPortal(Portal):
    """A portal that knows where the mail server's database is."""

    def __init__(self, directory: Path, settings: dict[str, str], mail: dict[str, str]) -> None:
        self.mail = mail
        super().__init__(directory, settings)

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self.mail


@pytest.fixture
def portal(cf: CloudflareFake, edge: Edge, mail_db: MailDb, tmp_path: Path) -> Iterator[Portal]:
    settings = {name.upper(): value for name, value in edge.settings.items() if name != "state_dir"}
    with MailPortal(tmp_path, settings, mail_db.environment) as running:
        yield running


def test_add_list_and_remove_in_a_shell(portal: Portal, cf: CloudflareFake) -> None:
    shown = portal.run("domain", "add", "Example.CO.JP", "--plan")
    assert f"create mail-domain: {JP}" in shown.stdout
    assert "routing: todo" in shown.stdout
    assert cf.writes == []
    unasked = portal.run("domain", "add", JP, check=False)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (1, True)
    unconfirmed = portal.run("domain", "add", JP, "--yes", check=False)
    assert (unconfirmed.returncode, "fresh factor" in unconfirmed.stderr, cf.writes) == (1, True, [])
    portal.set_up()
    code, added = on_terminal(portal, "domain", "add", JP, "--yes", typed=["anna", "", PASSWORD])
    assert code == 0, added
    assert "made the mail domain example.co.jp" in added
    assert added.endswith("Done.\r\n")
    again = portal.run("domain", "add", JP, "--yes", "--json")
    assert json.loads(again.stdout)["changes"] == []
    listed = json.loads(portal.run("domain", "list", "--json").stdout)
    assert [(each["domain"], each["is_finished"]) for each in listed["domains"]] == [(JP, False)]
    assert "waiting for the first mail" in portal.run("domain", "status", JP).stdout
    unproven = portal.run("domain", "canary", JP, check=False)
    assert (unproven.returncode, "HOMEPORT_PORTAL_MAIL_IMAP_URL" in unproven.stderr) == (1, True)
    writes = len(cf.writes)
    untyped = portal.run("domain", "remove", JP, "--yes", check=False)
    assert (untyped.returncode, len(cf.writes)) == (1, writes)
    rows = [(row["action"], row["result"]) for row in portal.audit(target=JP)]
    assert rows == [("cli:mail-domains:apply", "done"), ("cli:mail-domains:apply", "accepted")]
    denied = portal.audit(result="denied")
    assert [row["action"].endswith("mail-domains:apply") for row in denied] == [True] * 3


def test_pages(portal: Portal, cf: CloudflareFake) -> None:
    anna = portal.set_up()
    refused = anna.post("/api/mail-domains/plans", json={"domain": "co.jp"})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/mail-domain-refused")
    cf.fail("GET", "zones", 403, times=9)
    lacking = anna.post("/api/mail-domains/plans", json={"domain": JP})
    assert lacking.status_code == 502
    cf.heal()
    cf.fail("GET", "zones", 429, times=9, retry_after=900)
    limited = anna.post("/api/mail-domains/plans", json={"domain": JP})
    assert (limited.status_code, limited.headers["Retry-After"]) == (503, "900")
    cf.heal()
    plan = anna.post("/api/mail-domains/plans", json={"domain": JP, "mailbox": "info"}).json()
    assert anna.get(f"/api/mail-domains/plans/{plan['id']}").json() == plan
    assert {change["name"] for change in plan["changes"]} >= {"routing", "rule *", "mailbox info", "recipients"}
    removal = anna.post("/api/mail-domains/plans", json={"domain": HOME, "act": "remove"})
    assert (removal.status_code, removal.json()["type"]) == (404, "/problems/no-such-mail-domain")
    assert anna.post("/api/mail-domains/nobodys.example/canary", json={}).status_code == 404
    assert anna.get("/api/mail-domains/plans/01JD0000000000000000000000").status_code == 404


def test_portal_without_anything_set_says_what_is_missing(tmp_path: Path) -> None:
    with Portal(tmp_path) as bare:
        anna = bare.set_up()
        listed: dict[str, Any] = anna.get("/api/mail-domains").json()
        assert listed["domains"] == []
        assert [line.split()[0] for line in listed["not_ready"]] == [
            "HOMEPORT_PORTAL_CLOUDFLARE_TOKEN",
            "HOMEPORT_PORTAL_CLOUDFLARE_ACCOUNT",
            "HOMEPORT_PORTAL_EDGE_MAIL_API_URL",
            "HOMEPORT_PORTAL_EDGE_KEYS_FILE",
            "HOMEPORT_MAILBOXES_DATABASE_PASSWORD",
            "HOMEPORT_MAILBOXES_DATABASE_URL",
        ]
        refused = anna.post("/api/mail-domains/plans", json={"domain": JP})
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/mail-domains-not-ready")
        assert refused.json()["missing"] == listed["not_ready"]
        assert "EDGE_KEYS_FILE" in bare.run("domain", "list").stderr
