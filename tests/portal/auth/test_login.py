"""Logging in: set-up, password, second factor, recovery codes, and what a failure tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from kit.clock import now_utc
from portal.auth.invitations import SETUP
from portal.auth.models import UserRow
from portal.auth.service import Auth
from portal.db import Database
from tests.clock import FakeClock
from tests.portal.auth.browser import PASSWORD, Browser, done, problem

Audit = Callable[[], list[tuple[str, str, str]]]


def _token(link: str | None) -> str:
    assert link is not None
    return link.partition("#")[2]


def _form(token: str, name: str = "mika") -> dict[str, str]:
    return {"token": token, "name": name, "password": PASSWORD}


class TestSetup:
    async def test_setup_with_the_console_token_makes_an_administrator_who_is_logged_in(
        self, browser: Browser, auth: Auth, audit: Audit
    ) -> None:
        assert (await browser.state())["state"] == "setup-needed"
        document = done(await browser.post("/api/setup", _form(_token(await auth.users.begin_setup()))))
        assert (document["user"]["name"], document["user"]["role"]) == ("mika", "admin")
        assert await browser.is_logged_in()
        assert ("ui:users:create", "mika", "done") in audit()

    @pytest.mark.parametrize("token", ["", "x", "\N{SNOWMAN}", "0" * 43])
    async def test_setup_without_the_console_token_is_refused(self, browser: Browser, auth: Auth, token: str) -> None:
        await auth.users.begin_setup()
        answer = await browser.post("/api/setup", _form(token))
        assert answer.status_code in (403, 422)
        assert (await browser.state())["state"] == "setup-needed"

    async def test_setup_token_is_used_up_and_no_new_one_is_made(self, browser: Browser, auth: Auth) -> None:
        token = _token(await auth.users.begin_setup())
        done(await browser.post("/api/setup", _form(token)))
        problem(await browser.another().post("/api/setup", _form(token, "eve")), 403, "setup-refused")
        assert await auth.users.begin_setup() is None

    async def test_setup_token_that_was_left_opens_nothing_once_there_is_a_user(
        self, browser: Browser, auth: Auth, database: Database
    ) -> None:
        token = _token(await auth.users.begin_setup())
        user = UserRow(id="x", name="kenta", role="admin", is_disabled=False, created_at=now_utc())
        database.run_sync(lambda session: session.add(user))
        problem(await browser.post("/api/setup", _form(token)), 403, "setup-refused")

    async def test_setup_token_of_an_earlier_start_is_refused(self, browser: Browser, auth: Auth) -> None:
        earlier = _token(await auth.users.begin_setup())
        later = _token(await auth.users.begin_setup())
        problem(await browser.post("/api/setup", _form(earlier)), 403, "setup-refused")
        done(await browser.post("/api/setup", _form(later)))

    async def test_setup_token_ends_after_a_day(self, browser: Browser, auth: Auth, clock: FakeClock) -> None:
        token = _token(await auth.users.begin_setup())
        clock.advance(SETUP.total_seconds())
        problem(await browser.post("/api/setup", _form(token)), 403, "setup-refused")

    async def test_setup_without_the_token_costs_no_password_hash(
        self, browser: Browser, auth: Auth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else strangers could keep the portal busy, and its memory full."""
        await auth.users.begin_setup()
        monkeypatch.setattr(PasswordHasher, "hash", None)
        problem(await browser.post("/api/setup", _form("0" * 43)), 403, "setup-refused")
        form = {"token": "0" * 43, "password": PASSWORD}
        problem(await browser.post("/api/invitation", form), 403, "invitation-refused")

    async def test_setup_weak_password_is_refused_and_does_not_use_up_the_token(
        self, browser: Browser, auth: Auth
    ) -> None:
        token = _token(await auth.users.begin_setup())
        weak = {"token": token, "name": "mika", "password": "Password2026!"}
        assert problem(await browser.post("/api/setup", weak), 422, "password-refused")["reason"] == "common"
        done(await browser.post("/api/setup", _form(token)))

    async def test_setup_race_of_two_gives_one_administrator(
        self, make_app: Callable[..., FastAPI], any_database: Database, clock: FakeClock
    ) -> None:
        app = make_app(db=any_database)
        auth: Auth = app.state.portal.auth
        token = _token(await auth.users.begin_setup())
        answers = await asyncio.gather(
            *(Browser(app, clock).post("/api/setup", _form(token, f"user{number}")) for number in range(8))
        )
        assert sorted(answer.status_code for answer in answers) == [200, *[403] * 7]
        assert [user.role for user in await auth.users.list_all()] == ["admin"]


class TestPassword:
    async def test_login_with_the_password_begins_a_session(self, admin: Browser, audit: Audit) -> None:
        other = admin.another()
        assert (await other.login("mika"))["user"]["name"] == "mika"
        assert audit()[-1] == ("ui:session:create", "mika", "done")

    async def test_login_name_as_a_telephone_types_it_is_the_same_name(self, admin: Browser) -> None:
        assert (await admin.another().login("Mika "))["user"]["name"] == "mika"

    async def test_login_password_in_another_unicode_form_is_the_same_password(
        self, admin: Browser, clock: FakeClock
    ) -> None:
        theirs = admin.another()
        link = done(await admin.post("/api/users", {"name": "kenta", "role": "viewer"}), 201)["invitation"]
        await theirs.accept(link, "がっこうのにわのはな２つ")
        decomposed = "か\u3099っこうのにわのはな2つ"
        await admin.another().login("kenta", decomposed)

    async def test_login_failures_cannot_be_told_apart(self, admin: Browser) -> None:
        await admin.post("/api/users", {"name": "invited", "role": "viewer"})
        disabled = await admin.invite("disabled", "viewer")
        user_id = (await disabled.state())["user"]["id"]
        done(await admin.patch(f"/api/users/{user_id}", {"is_disabled": True}))
        answers = [
            await admin.another(address=f"100.64.1.{number}").post("/api/login", {"name": name, "password": password})
            for number, (name, password) in enumerate(
                [("mika", "wrong"), ("nobody", PASSWORD), ("disabled", PASSWORD), ("invited", PASSWORD)]
            )
        ]
        documents = [problem(answer, 401, "login-failed") for answer in answers]
        for document in documents:
            document.pop("request_id")
        assert all(document == documents[0] for document in documents)
        headers = [sorted(answer.headers.items()) for answer in answers]
        assert all(each == headers[0] for each in headers)

    async def test_login_of_an_unknown_user_is_the_same_work(
        self, admin: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Counted, not timed: one Argon2 computation at the same cost, whoever it is."""
        costs: list[str] = []
        verify = PasswordHasher.verify

        def counted(self: PasswordHasher, stored: str, password: str) -> bool:
            costs.append(stored.rsplit("$", 2)[0])  # without salt and hash
            return verify(self, stored, password)

        monkeypatch.setattr(PasswordHasher, "verify", counted)
        for number, name in enumerate(("mika", "nobody")):
            other = admin.another(address=f"100.64.1.{number}")
            await other.post("/api/login", {"name": name, "password": "wrong"})
        assert len(costs) == 2
        assert costs[0] == costs[1]

    async def test_login_failure_records_a_known_name_and_never_what_was_typed(
        self, admin: Browser, audit: Audit, stored: Callable[[], str]
    ) -> None:
        await admin.another().post("/api/login", {"name": "mika", "password": "not-the-password"})
        await admin.another().post("/api/login", {"name": "hunter-two-typed", "password": "x"})
        assert audit()[-2:] == [
            ("ui:session:create", "mika", "denied"),
            ("ui:session:create", "unknown user", "denied"),
        ]
        assert "hunter-two-typed" not in stored()
        assert "not-the-password" not in stored()

    @pytest.mark.parametrize("name", ["mi\r\nka", "mika\x00", "mika\u202e", "../mika", "m" * 33, "-mika", "mika\n\nx"])
    async def test_login_name_with_control_characters_is_refused(self, admin: Browser, name: str) -> None:
        problem(await admin.another().post("/api/login", {"name": name, "password": "x"}), 422, "invalid-request")

    async def test_login_fields_that_are_not_asked_for_are_refused(self, admin: Browser) -> None:
        document = {"name": "mika", "password": PASSWORD, "role": "admin"}
        problem(await admin.another().post("/api/login", document), 422, "invalid-request")

    async def test_login_password_is_in_no_answer_and_no_table(self, admin: Browser, stored: Callable[[], str]) -> None:
        answer = await admin.another().post("/api/login", {"name": 5, "password": PASSWORD})
        assert PASSWORD not in answer.text
        assert PASSWORD not in stored()


class TestSecondFactor:
    async def test_login_with_second_factor_needs_it(self, admin: Browser) -> None:
        await admin.enrol_totp()
        other = admin.another()
        half = done(await other.post("/api/login", {"name": "mika", "password": PASSWORD}))
        assert half["state"] == "second-factor-needed"
        assert half["factors"] == ["totp", "recovery-code"]
        assert other.set_cookies == []
        assert not await other.is_logged_in()
        done(await other.post("/api/login/totp", {"login": half["login"], "code": admin.code()}))
        assert await other.is_logged_in()

    async def test_login_ticket_is_no_credential(self, admin: Browser) -> None:
        await admin.enrol_totp()
        other = admin.another()
        ticket = done(await other.post("/api/login", {"name": "mika", "password": PASSWORD}))["login"]
        problem(await other.get("/api/account", headers={"Authorization": f"Bearer {ticket}"}), 401, "login-required")
        other.cookies["__Host-sid"] = ticket
        problem(await other.get("/api/account"), 401, "login-required")

    async def test_totp_code_is_good_once(self, admin: Browser, clock: FakeClock) -> None:
        await admin.enrol_totp()
        code = admin.code()
        first, second = admin.another(), admin.another()
        for each, status in ((first, 200), (second, 401)):
            half = done(await each.post("/api/login", {"name": "mika", "password": PASSWORD}))
            assert (await each.post("/api/login/totp", {"login": half["login"], "code": code})).status_code == status
        assert not await second.is_logged_in()

    async def test_totp_code_in_two_logins_at_once_opens_one(
        self, make_app: Callable[..., FastAPI], any_database: Database, clock: FakeClock
    ) -> None:
        app = make_app(db=any_database)
        mika = Browser(app, clock)
        done(await mika.post("/api/setup", _form(_token(await app.state.portal.auth.users.begin_setup()))))
        await mika.enrol_totp()
        others = [mika.another(), mika.another(), mika.another()]
        halves = [done(await each.post("/api/login", {"name": "mika", "password": PASSWORD})) for each in others]
        code = mika.code()
        answers = await asyncio.gather(
            *(
                each.post("/api/login/totp", {"login": half["login"], "code": code})
                for each, half in zip(others, halves, strict=True)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 401, 401]

    async def test_login_ticket_ends_after_five_minutes(self, admin: Browser, clock: FakeClock) -> None:
        await admin.enrol_totp()
        half = done(await admin.another().post("/api/login", {"name": "mika", "password": PASSWORD}))
        clock.advance(300)
        answer = await admin.another().post("/api/login/totp", {"login": half["login"], "code": admin.code()})
        problem(answer, 401, "login-expired")

    async def test_login_ticket_ends_after_five_wrong_codes(self, admin: Browser, clock: FakeClock) -> None:
        await admin.enrol_totp()
        other = admin.another()
        half = done(await other.post("/api/login", {"name": "mika", "password": PASSWORD}))
        for _ in range(5):
            clock.advance(59)
            answer = await other.post("/api/login/totp", {"login": half["login"], "code": "000000"})
            problem(answer, 401, "login-failed")
        clock.advance(1)
        answer = await other.post("/api/login/totp", {"login": half["login"], "code": admin.code()})
        problem(answer, 401, "login-expired")

    async def test_second_factor_guesses_are_slowed_although_the_password_is_right(
        self, admin: Browser, clock: FakeClock
    ) -> None:
        """A right password must not buy five new guesses each time."""
        await admin.enrol_totp()
        statuses: list[int] = []
        for number in range(12):
            other = admin.another(address=f"100.64.2.{number}")
            half = await other.post("/api/login", {"name": "mika", "password": PASSWORD})
            if half.status_code == 429:
                statuses.append(429)
                continue
            document = {"login": half.json()["login"], "code": "000000"}
            statuses.append((await other.post("/api/login/totp", document)).status_code)
        assert statuses == [*[401] * 5, *[429] * 7]

    async def test_recovery_code_opens_once(self, admin: Browser) -> None:
        codes = await admin.enrol_totp()
        assert len(set(codes)) == 10
        for status in (200, 401):
            other = admin.another()
            half = done(await other.post("/api/login", {"name": "mika", "password": PASSWORD}))
            document = {"login": half["login"], "code": codes[3].upper().replace("-", " ")}
            assert (await other.post("/api/login/recovery-code", document)).status_code == status
            assert await other.is_logged_in() is (status == 200)
        assert done(await admin.get("/api/account"))["recovery_codes_left"] == 9

    async def test_recovery_codes_and_totp_secret_are_stored_as_nothing_readable(
        self, admin: Browser, stored: Callable[[], str]
    ) -> None:
        codes = await admin.enrol_totp()
        assert admin.totp is not None
        everything = stored()
        for secret in (*codes, *(code.replace("-", "") for code in codes), admin.totp.secret):
            assert secret not in everything


class TestThrottle:
    async def test_two_hundred_tries_at_once_are_heard_five_times(self, admin: Browser, auth: Auth) -> None:
        async def one(number: int) -> httpx2.Response:
            other = admin.another(address=f"100.64.{3 + number // 200}.{number % 200}")
            return await other.post("/api/login", {"name": "mika", "password": f"guess {number}"})

        answers = await asyncio.gather(*(one(number) for number in range(200)))
        assert sorted(answer.status_code for answer in answers) == [*[401] * 5, *[429] * 195]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) == problem(refused, 429, "too-many-attempts")["retry_after_s"]

    async def test_guesses_at_many_accounts_from_one_address_are_heard_five_times(self, admin: Browser) -> None:
        other = admin.another(address="100.64.9.9")
        answers = [await other.post("/api/login", {"name": f"user{number}", "password": "x"}) for number in range(9)]
        assert [answer.status_code for answer in answers] == [*[401] * 5, *[429] * 4]

    async def test_guesses_from_elsewhere_lock_nobody_out(self, admin: Browser, clock: FakeClock) -> None:
        """The owner's own address is judged by itself; from any other the wait is a minute at most."""
        await admin.another().login("mika")
        for number in range(40):
            clock.advance(5)
            other = admin.another(address=f"100.64.9.{number}")
            await other.post("/api/login", {"name": "mika", "password": "guess"})
        blocked = await admin.another(address="100.64.8.1").post("/api/login", {"name": "mika", "password": PASSWORD})
        assert 0 < problem(blocked, 429, "too-many-attempts")["retry_after_s"] <= 60
        await admin.another().login("mika")
        clock.advance(60)
        await admin.another(address="100.64.8.1").login("mika")
