"""Tunnel, mail posture and mail domains as their users see them: each change is looked at before it is made."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from portal.mailboxes.database import MailDatabase
from portal.mailboxes.settings import MailboxesSettings
from tests.browser.conftest import Visit, logged_in
from tests.browser.test_dns import Options, changes_in
from tests.browser.test_pages import faults, file_name, screens
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.demo import JAPANESE, SAMPLE
from tests.portal.conftest import WORKER
from tests.portal.mailboxes.conftest import PASSWORDS, make_accounts
from tests.portal.recipes.mail_domain.test_http import MailPortal
from tests.services.mariadb import MariaDB
from tests.services.portal import Portal

__all__ = ["screens"]

UNICODE = "例え.example"
DATABASE = "mail_of_browsers"


def routes(cf: CloudflareFake) -> dict[str, Any]:
    """The tunnel's routes, service by hostname."""
    return {each["hostname"]: each["service"] for each in cf.state.tunnels[0].config["ingress"] if "hostname" in each}


def names(cf: CloudflareFake, zone: str = SAMPLE) -> set[str]:
    return {f"{each.type} {each.name}" for each in cf.state.zones[zone].records}


def test_route_comes_with_its_record_and_goes_with_it(
    portal_with_cloudflare: Portal, anna: Options, cloudflare: CloudflareFake, visit: Visit
) -> None:
    name = f"shop.{SAMPLE}"
    page = visit(portal_with_cloudflare, "/dns/tunnel", **anna)
    page.get_by_role("button", name="経路を追加").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("ホスト名").fill(name)
    dialog.get_by_label("サービス").fill("http://shop:8080")
    dialog.get_by_role("button", name="計画を見る").click()
    expect(changes_in(dialog)).to_contain_text(f"経路 {name}")
    expect(changes_in(dialog)).to_contain_text(f"レコード {name}")
    assert name not in routes(cloudflare)
    dialog.get_by_role("button", name="追加", exact=True).click()
    expect(dialog).to_contain_text("完了")
    assert (routes(cloudflare)[name], f"CNAME {name}" in names(cloudflare)) == ("http://shop:8080", True)
    dialog.get_by_role("button", name="閉じる").click()
    row = page.get_by_role("row", name=re.compile(name))
    expect(row).to_contain_text("http://shop:8080")

    row.get_by_role("button", name=f"経路 {name} の削除").click()
    expect(changes_in(dialog)).to_contain_text(f"経路 {name}")
    dialog.get_by_role("button", name="削除", exact=True).click()
    expect(dialog).to_contain_text("完了")
    dialog.get_by_role("button", name="閉じる").click()
    expect(row).to_have_count(0)
    assert (name in routes(cloudflare), f"CNAME {name}" in names(cloudflare)) == (False, False)


def test_what_leads_nowhere_is_swept(
    portal_with_cloudflare: Portal, anna: Options, cloudflare: CloudflareFake, visit: Visit
) -> None:
    page = visit(portal_with_cloudflare, "/dns/tunnel", locale="en-GB", **anna)
    orphan = page.get_by_role("table", name="Orphans").get_by_role("row", name=re.compile(f"old-wiki.{SAMPLE}"))
    expect(orphan).to_contain_text("no route takes it")
    before = routes(cloudflare)
    page.get_by_role("button", name="Remove all orphans").click()
    dialog = page.get_by_role("dialog")
    expect(changes_in(dialog).locator(":scope > li")).to_have_text([re.compile(f"old-wiki.{SAMPLE}")])
    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(dialog).to_have_count(0)
    expect(orphan).to_have_count(0)
    assert f"CNAME old-wiki.{SAMPLE}" not in names(cloudflare)
    assert routes(cloudflare) == before


def test_mail_api_gets_its_rules(
    portal_with_cloudflare: Portal, anna: Options, cloudflare: CloudflareFake, visit: Visit
) -> None:
    page = visit(portal_with_cloudflare, "/dns/tunnel", **anna)
    rules = page.get_by_role("listitem").filter(has_text=f"mail-api.{SAMPLE}")
    expect(rules.filter(has_text="なし")).to_have_count(2)
    page.get_by_role("button", name="足りないルールを計画").click()
    dialog = page.get_by_role("dialog")
    expect(changes_in(dialog).locator(":scope > li")).to_have_count(2)
    dialog.get_by_role("button", name="追加", exact=True).click()
    expect(dialog).to_contain_text("完了")
    dialog.get_by_role("button", name="閉じる").click()
    expect(rules.filter(has_text="あり")).to_have_count(2)
    assert len(cloudflare.state.zones[SAMPLE].rulesets) == 2


@pytest.mark.parametrize(
    ("locale", "check", "fix", "done", "finding"),
    [
        ("ja-JP", "今すぐ確認", "修正", "正常", "DMARC が p=none です"),
        ("en-GB", "Check now", "Fix", "in order", "asks for no TLS reports"),
    ],
)
def test_finding_is_mended_as_a_plan_and_seen_by_the_resolvers(
    portal_with_cloudflare: Portal,
    anna: Options,
    visit: Visit,
    locale: str,
    check: str,
    fix: str,
    done: str,
    finding: str,
) -> None:
    page = visit(portal_with_cloudflare, f"/dns/mail?zone={SAMPLE}", locale=locale, **anna)
    page.get_by_role("button", name=check).click()
    name = "DMARC" if locale == "ja-JP" else "TLS-RPT"
    found = page.get_by_role("main").get_by_role("listitem").filter(has=page.get_by_text(name, exact=True))
    expect(found).to_contain_text(finding)
    found.get_by_role("button", name=fix, exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(changes_in(dialog)).to_contain_text(f"reports@{SAMPLE}" if locale == "en-GB" else "p=quarantine")
    dialog.get_by_role("button", name=fix, exact=True).click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("status").filter(has_text=SAMPLE)).to_be_visible()
    page.get_by_role("button", name=check).click()
    expect(found).to_contain_text(done)


@pytest.fixture
def mail_database(mariadb: MariaDB) -> Iterator[dict[str, str]]:
    """The settings that lead to a mail server's database with its schema, and no domain."""
    make_accounts(mariadb, *PASSWORDS)
    mariadb.execute(
        f"CREATE OR REPLACE DATABASE {DATABASE} CHARACTER SET utf8mb4",
        f"GRANT ALL ON {DATABASE}.* TO mail_owner@'%' WITH GRANT OPTION",
    )
    settings = {
        "HOMEPORT_MAILBOXES_DATABASE_URL": f"mysql+pymysql://mail_owner@127.0.0.1:{mariadb.port}/{DATABASE}",
        "HOMEPORT_MAILBOXES_DATABASE_PASSWORD": PASSWORDS["mail_owner"],
    }
    with contextlib.closing(MailDatabase(MailboxesSettings.load(settings))) as database:
        database.migrate()
    yield settings
    mariadb.execute(f"DROP DATABASE {DATABASE}", *(f"DROP USER IF EXISTS {name}@'%'" for name in PASSWORDS))


def test_mail_domain_is_added_after_its_conflict_is_settled(
    cloudflare: CloudflareFake,
    cloudflare_settings: dict[str, str],
    mail_database: dict[str, str],
    tmp_path: Path,
    visit: Visit,
    screens: Path,
) -> None:
    secret = secrets.token_hex(32)
    (tmp_path / "keys").write_text(f"k-{secret[:6]}:{secret}\n")
    (tmp_path / "worker.js").write_bytes(WORKER)
    files = {"EDGE_KEYS_FILE": str(tmp_path / "keys"), "EDGE_WORKER_FILE": str(tmp_path / "worker.js")}
    with MailPortal(tmp_path, cloudflare_settings | files, mail_database) as portal:
        page = visit(portal, "/domains", **logged_in(portal), bypass_csp=True)
        page.get_by_role("button", name="ドメインを追加").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("ドメイン", exact=True).fill(SAMPLE)
        dialog.get_by_role("button", name="計画を見る").click()
        expect(dialog.get_by_role("button", name="追加", exact=True)).to_be_enabled()  # nothing of it gives way
        expect(dialog.get_by_label(re.compile("入力してください"))).to_have_count(0)
        dialog.get_by_role("button", name="キャンセル").click()

        page.get_by_role("button", name="ドメインを追加").click()
        dialog.get_by_label("ドメイン", exact=True).fill(UNICODE)
        dialog.get_by_role("button", name="計画を見る").click()
        conflict = dialog.get_by_role("alert")
        expect(conflict).to_contain_text("mx.provider.example")
        expect(conflict).to_contain_text("--replace-mail")
        expect(dialog.get_by_role("button", name="追加", exact=True)).to_be_disabled()
        page.screenshot(path=screens / file_name("domains-conflict", "light", "ja-JP", 1280))
        assert faults(page) == []
        dialog.get_by_role("button", name="キャンセル").click()

        page.get_by_role("button", name="ドメインを追加").click()
        dialog.get_by_label("ドメイン", exact=True).fill(UNICODE)
        dialog.get_by_role("checkbox", name="今ほかへ届くメールをここで受け取る").check()
        dialog.get_by_role("button", name="計画を見る").click()
        expect(dialog.get_by_role("list", name="手順").get_by_role("listitem")).to_have_count(8)
        expect(dialog.get_by_role("alert")).to_have_count(0)
        page.screenshot(path=screens / file_name("domains-plan", "light", "ja-JP", 1280))
        assert faults(page) == []
        add = dialog.get_by_role("button", name="追加", exact=True)
        expect(add).to_be_disabled()
        dialog.get_by_label(f"確認のため {JAPANESE} と入力してください").fill(JAPANESE)
        add.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("メールドメインの追加と削除")
        expect(page.get_by_role("main")).to_contain_text("完了")
        page.screenshot(path=screens / file_name("domains-operation", "light", "ja-JP", 1280))
        page.goto("/domains")
        expect(page.get_by_role("row", name=re.compile(UNICODE))).to_contain_text("最初のメールを待っています")
    assert f"MX {JAPANESE}" in names(cloudflare, JAPANESE)
    assert "mx.provider.example" not in {each.content for each in cloudflare.state.zones[JAPANESE].records}
