"""The mail of sites: configured in bulk, taken back, and proved by a message that arrives."""

from __future__ import annotations

import asyncio
import email
import json
from pathlib import Path
from typing import Any

import pytest

from portal.integrations.site_files import SiteFiles, SiteFilesRefused
from portal.mailboxes import passwords
from portal.recipes.site_mail.problems import SiteMailConflict, SiteMailNotConfigured, SiteMailNotReady
from portal.recipes.site_mail.work import SiteMailWork
from portal.wordpress.sites import NoSuchSite, Sites
from tests.portal.mailboxes.conftest import MailDb
from tests.portal.recipes.site_mail.conftest import DOMAIN, OTHER_DOMAIN, World, standing
from tests.portal.wordpress.conftest import ANNA
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.fleet import Fleet
from tests.services.homeport import eventually

pytestmark = pytest.mark.slow

FORM = """<?php
add_action('init', function () {
    if (isset($_GET['form'])) {
        $head = ['From: Anna <anna@elsewhere.example>'];
        echo wp_mail('TO', 'Hello', 'from a visitor', $head) ? 'sent' : 'not sent';
        exit;
    }
});
"""


class NoMail(MailDb):
    """Where the portal has no mail server's database."""

    def __init__(self) -> None:
        pass

    @property
    def environment(self) -> dict[str, str]:
        return {}


async def test_sites_get_accounts_in_bulk_and_their_mail_arrives(world: World, mail_dovecot: Dovecot) -> None:
    plan = await world.plan(domain=DOMAIN)
    assert [(each.name, each.after and each.after.sender) for each in plan.changes] == [
        ("alder", f"wp-alder@{DOMAIN}"),
        ("birch", f"wp-birch@{DOMAIN}"),
        ("cedar", f"wp-cedar@{DOMAIN}"),
    ]
    assert world.mailboxes() == {}
    operation = await world.applied(plan)
    assert operation.state == "done", operation.error
    assert world.mailboxes() == dict.fromkeys((f"wp-{site}@{DOMAIN}" for site in ("alder", "birch", "cedar")), True)
    login = json.loads(world.login("alder").read_text())
    assert (login["user"], login["sender"], login["host"]) == (f"wp-alder@{DOMAIN}",) * 2 + ("mail-postfix",)
    found = world.login("alder").stat()
    assert (found.st_uid, oct(found.st_mode)[-3:]) == (world.fleet.site("alder").uid, "400")
    shown = json.dumps([operation.detail, operation.result, [line.text for line in operation.report.lines]])
    assert login["password"] not in shown
    both = await asyncio.gather(world.tested("alder"), world.tested("birch"))  # into one mailbox, at once
    for tested in both:
        assert tested.state == "done", (tested.error, tested.report)
        assert tested.result["to"] == f"homeport-site-mail@{DOMAIN}"
    assert not Mailbox(mail_dovecot, tested.result["to"]).files()  # deleted as soon as it was found
    assert (await world.plan(domain=DOMAIN)).changes == []


async def test_a_form_sends_as_the_site_and_is_answered_where_it_asked(world: World, mail_dovecot: Dovecot) -> None:
    await world.done(sites=["birch"], domain=DOMAIN)
    to = f"wp-birch@{DOMAIN}"
    form = world.fleet.site("birch").public / "wp-content" / "mu-plugins" / "form.php"
    form.write_text(FORM.replace("TO", to))
    form.chmod(0o644)
    try:
        assert world.fleet.page("birch", "/?form=1") == (200, "sent")
    finally:
        form.unlink()
    mailbox = Mailbox(mail_dovecot, to)
    (written,) = eventually(mailbox.files).values()
    message = email.message_from_bytes(written)
    assert (message["From"], message["Reply-To"]) == (f"Anna <{to}>", "anna@elsewhere.example")
    assert message["Return-Path"] in (None, f"<{to}>")


async def test_taking_it_back_disables_the_account_and_gives_it_again(world: World) -> None:
    plan = await world.done(sites=["cedar"], domain=DOMAIN)
    first = json.loads(world.login("cedar").read_text())["password"]
    back = await world.mail.undo(ANNA, plan.id)
    assert [(each.name, each.after) for each in back.changes] == [("cedar", None)]
    assert (await world.applied(back)).state == "done"
    assert not world.login("cedar").exists()
    assert world.mailboxes() == {f"wp-cedar@{DOMAIN}": False}
    with pytest.raises(SiteMailNotConfigured):
        await world.mail.test(ANNA, "cedar")
    await world.done(sites=["cedar"], domain=DOMAIN)
    assert world.mailboxes() == {f"wp-cedar@{DOMAIN}": True}
    assert json.loads(world.login("cedar").read_text())["password"] != first
    site = await world.wordpress.sites.get("cedar")  # which goes, and comes back
    had = await world.mail.enabled(site)
    await world.mail.disable(site)
    assert (had, world.mailboxes()) == ([f"wp-cedar@{DOMAIN}"], {f"wp-cedar@{DOMAIN}": False})
    await world.mail.enable(site, had)
    assert await world.senders("cedar") == {"cedar": f"@{DOMAIN}"}
    await world.done(act="remove", sites=["cedar"])
    assert {view.site: view.sender for view in (await world.mail.sites()).sites}["cedar"] is None


def fails(monkeypatch: pytest.MonkeyPatch, owner: type, step: str, when: str, *, site: str) -> None:
    """Let a step on a site fail once, before its act or after it."""
    real, failures = getattr(owner, step), [SiteMailConflict("the disk is gone", conflicts=[])]

    def is_meant(given: tuple[Any, ...]) -> bool:
        return bool(failures) and site in {getattr(each, "name", each) for each in given[:1]}

    async def broken(self: Any, *given: Any, **named: Any) -> Any:
        if when == "before" and is_meant(given):
            raise failures.pop()
        done = await real(self, *given, **named)
        if is_meant(given):
            raise failures.pop()
        return done

    monkeypatch.setattr(owner, step, broken)


STEPS = [(SiteMailWork, "_give_account"), (SiteFiles, "secrets"), (Sites, "change"), (SiteMailWork, "_disabled")]
FAULTS = [(owner, step, when) for owner, step in STEPS for when in ("before", "after")]


@pytest.mark.parametrize(("owner", "step", "when"), FAULTS)
@pytest.mark.parametrize("start", [None, DOMAIN], ids=["sent-nothing", "sent-already"])
async def test_fault_at_any_step_leaves_every_site_sending_as_it_did(
    world: World, monkeypatch: pytest.MonkeyPatch, start: str | None, owner: type, step: str, when: str
) -> None:
    """The second of two sites, so that also one that was done already goes back."""
    both = ["birch", "cedar"]
    if start is not None:
        await world.done(sites=both, domain=start)
    before = await world.senders(*both)
    with monkeypatch.context() as patched:
        fails(patched, owner, step, when, site="cedar")
        ended = await world.applied(await world.plan(sites=both, domain=OTHER_DOMAIN))
    assert (ended.state, ended.error["detail"]) == ("failed", "the disk is gone")
    assert await world.senders(*both) == before == dict.fromkeys(both, start and f"@{start}")
    await world.done(sites=both, domain=OTHER_DOMAIN)
    assert await world.senders(*both) == dict.fromkeys(both, f"@{OTHER_DOMAIN}")
    await world.done(act="remove", sites=both)


@pytest.mark.parametrize(("owner", "step", "when"), FAULTS)
async def test_fault_in_another_login_of_the_same_account_leaves_one_that_fits(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: type, step: str, when: str
) -> None:
    await world.done(sites=["cedar"], domain=DOMAIN)
    mail = (await world.wordpress.sites.get("cedar")).mail
    assert mail is not None
    former = dict(mail) | {"sender_name": "of old"}
    await world.wordpress.sites.change("cedar", mail=former)
    login = json.loads(world.login("cedar").read_text())
    world.login("cedar").write_text(json.dumps(login | {"sender_name": "of old"}))
    with monkeypatch.context() as patched:
        fails(patched, owner, step, when, site="cedar")
        ended = await world.applied(await world.plan(sites=["cedar"], domain=DOMAIN))
    assert ended.state == "failed"
    assert (await world.wordpress.sites.get("cedar")).mail == former
    assert await world.senders("cedar") == {"cedar": f"@{DOMAIN}"}
    await world.done(act="remove", sites=["cedar"])


@pytest.mark.parametrize(("owner", "step", "when"), [fault for fault in FAULTS if fault[1] != "_give_account"])
async def test_fault_while_it_is_taken_from_a_site_leaves_it_sending(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: type, step: str, when: str
) -> None:
    await world.done(sites=["cedar"], domain=DOMAIN)
    with monkeypatch.context() as patched:
        fails(patched, owner, step, when, site="cedar")
        ended = await world.applied(await world.plan(act="remove", sites=["cedar"]))
    assert ended.state == "failed"
    assert await world.senders("cedar") == {"cedar": f"@{DOMAIN}"}
    await world.done(act="remove", sites=["cedar"])
    assert await world.senders("cedar") == {"cedar": None}


async def test_tree_that_cannot_be_written_keeps_a_login_that_fits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither forth nor back, as while blog-site-files is away."""
    await world.done(sites=["cedar"], domain=DOMAIN)
    before = world.login("cedar").read_bytes()

    async def refuse(*_: object, **__: object) -> None:
        raise SiteFilesRefused("no space left", code="failed")

    with monkeypatch.context() as patched:
        patched.setattr(SiteFiles, "secrets", refuse)
        ended = await world.applied(await world.plan(sites=["cedar"], domain=OTHER_DOMAIN))
    assert "configure its mail again" in ended.report.lines[-1].text
    assert world.login("cedar").read_bytes() == before
    assert world.mailboxes() == {f"wp-cedar@{DOMAIN}": True, f"wp-cedar@{OTHER_DOMAIN}": False}
    await world.done(sites=["cedar"], domain=DOMAIN)  # as it is told to: that is a change
    assert await world.senders("cedar") == {"cedar": f"@{DOMAIN}"}
    await world.done(act="remove", sites=["cedar"])


async def test_login_that_a_killed_portal_left_half_changed_is_a_change_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account has another password by then, the tree has not: nothing is done on the error, as when one dies."""
    await world.done(sites=["cedar"], domain=DOMAIN)
    mail = (await world.wordpress.sites.get("cedar")).mail
    assert mail is not None
    await world.wordpress.sites.change("cedar", mail=dict(mail) | {"sender_name": "of old"})

    async def die(*_: object) -> None:
        return None

    with monkeypatch.context() as patched:
        patched.setattr(SiteMailWork, "_back", die)
        fails(patched, SiteFiles, "secrets", "before", site="cedar")
        assert (await world.applied(await world.plan(sites=["cedar"], domain=DOMAIN))).state == "failed"
    again = await world.plan(sites=["cedar"], domain=DOMAIN)
    assert [change.name for change in again.changes] == ["cedar"]
    assert (await world.applied(again)).state == "done"
    assert await world.senders("cedar") == {"cedar": f"@{DOMAIN}"}
    await world.done(act="remove", sites=["cedar"])


async def test_site_that_goes_while_mail_is_configured_is_left_without_an_account(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.done(sites=["birch"], domain=DOMAIN)
    secrets = SiteFiles.secrets

    async def going(self: Any, site: str, *given: Any, **named: Any) -> None:
        if site == "cedar":
            await world.wordpress.sites.change("birch", state="removing")
            raise SiteFilesRefused("no space left", code="failed")
        await secrets(self, site, *given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(SiteFiles, "secrets", going)
        ended = await world.applied(await world.plan(sites=["birch", "cedar"], domain=OTHER_DOMAIN))
    assert ended.state == "failed"
    assert not any(is_enabled for account, is_enabled in world.mailboxes().items() if "birch" in account)
    await world.wordpress.sites.change("birch", state="active")


async def test_mailbox_that_somebody_makes_meanwhile_stays_theirs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, hashed = await world.plan(sites=["alder"], domain=OTHER_DOMAIN), passwords.hashed

    def meanwhile(password: str, local: str) -> str:
        world.mail_db.done("add", f"wp-alder@{OTHER_DOMAIN}", "--no-login")
        return hashed(password, local)

    with monkeypatch.context() as patched:
        patched.setattr(passwords, "hashed", meanwhile)
        ended = await world.applied(plan)
    assert "not made for this site" in ended.error["detail"]
    assert world.mailboxes()[f"wp-alder@{OTHER_DOMAIN}"] is True
    assert world.mail_db.ask("mail_owner", "SELECT COUNT(*) FROM mailboxes WHERE password IS NULL") == [(1,)]
    with pytest.raises(SiteMailConflict, match="not made for this site"):
        await world.plan(sites=["alder"], domain=OTHER_DOMAIN)


async def test_somebody_elses_mailbox_is_not_taken(world: World) -> None:
    world.mail_db.done("add", f"wp-alder@{DOMAIN}", "--no-login")
    with pytest.raises(SiteMailConflict, match="not made for this site"):
        await world.plan(sites=["alder", "birch"], domain=DOMAIN)
    with pytest.raises(SiteMailConflict, match="no mail domain here"):
        await world.plan(sites=["birch"], domain="elsewhere.example")
    with pytest.raises(SiteMailConflict):
        await world.plan(sites=["birch"], domain="../etc")
    with pytest.raises(NoSuchSite):
        await world.plan(sites=["nobody"], domain=DOMAIN)
    assert not world.login("birch").exists()


async def test_a_wrong_password_is_said_and_never_shown(world: World) -> None:
    await world.done(sites=["alder"], domain=DOMAIN)
    login = json.loads(world.login("alder").read_text())
    place = world.login("alder")
    place.chmod(0o600)
    place.write_text(json.dumps(login | {"password": "wrong-password-of-a-test"}))
    tested = await world.tested("alder")
    assert (tested.state, tested.error["type"]) == ("failed", "/problems/site-mail-not-sent")
    assert "SMTP" in tested.error["detail"]
    assert "wrong-password-of-a-test" not in json.dumps(tested.error)


async def test_one_account_of_the_operator_serves_all_sites(
    database_url: str, tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOMEPORT_MAILBOXES_DATABASE_URL", "HOMEPORT_MAILBOXES_DATABASE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    nobody = NoMail()
    given: dict[str, Any] = {"site_mail_host": "relay.example", "site_mail_user": "blog@home.example"}
    given["site_mail_password"] = "a-long-password-of-the-operator"
    async with standing(database_url, tmp_path, fleet, nobody, monkeypatch, **given) as world:
        await world.done(sites=["birch"])
        login = json.loads(world.login("birch").read_text())
        assert (login["user"], login["password"]) == ("blog@home.example", "a-long-password-of-the-operator")
        with pytest.raises(SiteMailNotReady, match="IMAP_URL"):
            await world.mail.test(ANNA, "birch")
        await world.done(act="remove", sites=["birch"])
        assert not world.login("birch").exists()


async def test_what_is_missing_is_named(
    database_url: str, tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOMEPORT_MAILBOXES_DATABASE_URL", "HOMEPORT_MAILBOXES_DATABASE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    nobody = NoMail()
    async with standing(database_url, tmp_path, fleet, nobody, monkeypatch) as world:
        said = (await world.mail.sites()).not_ready
        assert [line.split()[0] for line in said] == ["HOMEPORT_PORTAL_SITE_MAIL_HOST", "neither"]
        with pytest.raises(SiteMailNotReady):
            await world.plan()
