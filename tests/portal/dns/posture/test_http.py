"""The posture by HTTP: the whole application in this process, with a resolver that nobody is behind."""

from __future__ import annotations

import pytest

from portal.dns.posture import resolving
from tests.fakes.cloudflare import CloudflareFake
from tests.portal.auth.browser import done, problem
from tests.portal.dns.conftest import HOME, OpenWeb, Web, records_at

MAIL = "/api/dns/mail"


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "TIMEOUT_S", 0.05)


async def test_a_domain_is_checked_and_shown_as_it_was_found(web: Web) -> None:
    assert done(await web.get(MAIL))["domains"] == []
    before = done(await web.get(f"{MAIL}/{HOME}"))
    assert (before["verdict"], before["checked_at"], before["is_stale"]) == ("unknown", None, True)
    view = done(await web.post(f"{MAIL}/{HOME}/check"))
    by_check = {check["check"]: check for check in view["checks"]}
    assert list(by_check) == ["email-routing", "mx", "spf", "dkim", "dmarc", "mta-sts", "tls-rpt"]
    assert by_check["email-routing"]["findings"][0]["code"] == "routing-off"
    assert by_check["spf"]["verdict"] == "unknown"
    assert "No resolver could say anything" in by_check["spf"]["summary"]
    assert done(await web.get(f"{MAIL}/{HOME}")) == view


async def test_a_fix_is_a_plan_of_the_zone_that_is_applied_like_any_other(cf: CloudflareFake, web: Web) -> None:
    plan = done(await web.post(f"{MAIL}/{HOME}/plans/fix", {"findings": ["spf-missing", "dmarc-missing"]}), 201)
    assert [change["name"] for change in plan["changes"]] == [f"TXT _dmarc.{HOME}", f"TXT {HOME}"]
    assert records_at(cf) == []
    operation = await web.apply(plan)
    assert operation["state"] == "done"
    assert {record["name"] for record in records_at(cf)} == {HOME, f"_dmarc.{HOME}"}
    again = done(await web.post(f"{MAIL}/{HOME}/plans/fix", {"findings": ["spf-missing", "dmarc-missing"]}), 201)
    assert again["changes"] == []


async def test_what_cannot_be_mended_or_checked_is_a_problem(web: Web) -> None:
    unfixable = await web.post(f"{MAIL}/{HOME}/plans/fix", {"findings": ["mta-sts-missing", "spf-missing"]})
    assert problem(unfixable, 409, "finding-not-fixable")["findings"] == ["mta-sts-missing"]
    for path in (f"{MAIL}/somebody-else.example", f"{MAIL}/sub.{HOME}"):
        problem(await web.get(path), 404, "unknown-mail-domain")
        problem(await web.post(f"{path}/check"), 404, "unknown-mail-domain")


async def test_a_refusal_of_cloudflare_is_none_of_ours(cf: CloudflareFake, web: Web) -> None:
    done(await web.get("/api/dns"))
    cf.fail("GET", "email/routing", 403, times=9, code=10000, message="Authentication error")
    refused = await web.post(f"{MAIL}/{HOME}/plans/fix", {"findings": ["spf-missing"]})
    assert problem(refused, 502, "cloudflare-permission-missing")["group"] == "Zone Settings"


async def test_without_an_account_the_page_says_what_to_set(open_web: OpenWeb) -> None:
    async with open_web(token=None) as web:
        overview = done(await web.get(MAIL))
        assert overview["connection"]["state"] == "not-configured"
        assert overview["domains"] == []
        problem(await web.get(f"{MAIL}/{HOME}"), 404, "unknown-mail-domain")
