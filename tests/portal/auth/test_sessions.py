"""Sessions: the cookie, how they end, and that an id which somebody else knows opens nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from sqlalchemy import update

from portal.auth.models import UserRow
from portal.auth.sessions import ABSOLUTE, IDLE
from portal.auth.site import Site, SiteRefused
from portal.db import Database
from tests.clock import FakeClock
from tests.portal.auth.browser import PASSWORD, Browser, done, problem

MINUTE = 60.0


class TestCookie:
    async def test_cookie_under_https_is_a_host_cookie_with_all_flags(self, admin: Browser) -> None:
        (line,) = admin.set_cookies
        name, *attributes = line.split("; ")
        assert name.startswith("__Host-sid=")
        assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]

    async def test_cookie_in_embedded_mode_has_a_plain_name_and_is_not_secure(
        self, make_app: Callable[..., FastAPI], clock: FakeClock
    ) -> None:
        app = make_app("http://localhost:8080")
        browser = Browser(app, clock, origin="http://127.0.0.1:8080")
        browser.headers["Origin"] = "http://127.0.0.1:8080"
        token = (await app.state.portal.auth.users.begin_setup()).partition("#")[2]
        done(await browser.post("/api/setup", {"token": token, "name": "mika", "password": PASSWORD}))
        name, *attributes = browser.set_cookies[0].split("; ")
        assert name.startswith("sid=")
        assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
        assert await browser.is_logged_in()

    @pytest.mark.parametrize(
        "url",
        [
            "https://portal.home.example",
            "https://portal.home.example:8443/",
            "https://localhost",
            "https://127.0.0.1:8080",
            "https://[fd7a:115c:a1e0::1]",
        ],
    )
    def test_cookie_under_any_https_url_is_secure(self, url: str) -> None:
        site = Site.from_public_url(url)
        assert site.cookie_name == "__Host-sid"
        assert "; Secure" in site.cookie("x")

    @pytest.mark.parametrize(
        "url",
        [
            "http://portal.home.example",
            "http://100.64.0.7:8080",
            "http://192.168.1.2",
            "http://localhost.evil.example",
            "http://127.0.0.2",
            "http://0.0.0.0:8080",
            "ftp://localhost",
            "localhost:8080",
            "https://user@portal.home.example",
            "https://portal.home.example/portal",
            "https://portal.home.example/?x",
            "",
        ],
    )
    def test_site_at_any_other_url_is_refused(self, url: str) -> None:
        with pytest.raises(SiteRefused):
            Site.from_public_url(url)

    @pytest.mark.parametrize(
        ("url", "rp_id"),
        [
            ("https://portal.home.example:8443", "portal.home.example"),
            ("https://127.0.0.1", None),
            ("https://[fd7a:115c:a1e0::1]", None),
            ("http://localhost:8080", "localhost"),
            ("http://127.0.0.1:8080", "localhost"),
        ],
    )
    def test_passkeys_are_bound_to_a_name_and_never_to_an_address(self, url: str, rp_id: str | None) -> None:
        assert Site.from_public_url(url).rp_id == rp_id

    async def test_cookie_holds_nothing_that_is_stored(self, admin: Browser, stored: Callable[[], str]) -> None:
        secret = admin.cookies["__Host-sid"]
        assert len(secret) == 43  # 256 bits
        assert secret not in stored()


class TestFixation:
    async def test_login_with_a_planted_id_gives_another_one(self, admin: Browser, clock: FakeClock) -> None:
        planted = "planted-by-somebody-who-waits"
        victim, attacker = admin.another(), admin.another()
        victim.cookies["__Host-sid"] = attacker.cookies["__Host-sid"] = planted
        await victim.login("mika")
        assert victim.cookies["__Host-sid"] != planted
        assert not await attacker.is_logged_in()

    async def test_login_ends_the_session_that_the_browser_came_with(self, admin: Browser) -> None:
        before = admin.another()
        before.cookies = dict(admin.cookies)
        await admin.login("mika")
        assert await admin.is_logged_in()
        assert not await before.is_logged_in()

    async def test_step_up_gives_another_id_and_the_old_one_opens_nothing(self, admin: Browser) -> None:
        before = admin.another()
        before.cookies = dict(admin.cookies)
        done(await admin.post("/api/step-up", {"password": PASSWORD}))
        assert admin.cookies != before.cookies
        assert await admin.is_logged_in()
        problem(await before.get("/api/account"), 401, "login-required")

    async def test_session_id_given_twice_is_none(self, admin: Browser) -> None:
        cookie = f"__Host-sid={admin.cookies['__Host-sid']}"
        other = admin.another()
        problem(await other.get("/api/account", headers={"Cookie": f"{cookie}; {cookie}"}), 401, "login-required")

    async def test_cookie_of_the_plain_name_is_no_session_under_https(self, admin: Browser) -> None:
        other = admin.another()
        other.cookies["sid"] = admin.cookies["__Host-sid"]
        assert not await other.is_logged_in()


class TestEnd:
    async def test_session_without_a_request_for_thirty_minutes_ends(self, admin: Browser, clock: FakeClock) -> None:
        clock.advance(IDLE.total_seconds())
        problem(await admin.get("/api/account"), 401, "login-required")

    async def test_session_with_requests_goes_on_until_twelve_hours(self, admin: Browser, clock: FakeClock) -> None:
        for _ in range(35):
            clock.advance(20 * MINUTE)
            assert await admin.is_logged_in()
        clock.advance(ABSOLUTE.total_seconds() - 35 * 20 * MINUTE - 1)
        assert await admin.is_logged_in()
        clock.advance(1)
        problem(await admin.get("/api/account"), 401, "login-required")

    async def test_step_up_does_not_move_the_absolute_end(self, admin: Browser, clock: FakeClock) -> None:
        for _ in range(36):
            clock.advance(20 * MINUTE - 1)
            done(await admin.post("/api/step-up", {"password": PASSWORD}))
        clock.advance(36)
        assert not await admin.is_logged_in()

    async def test_background_requests_keep_no_session_alive(self, admin: Browser, clock: FakeClock) -> None:
        background = {"Homeport-Background": "1"}
        for _ in range(2):
            clock.advance(14 * MINUTE)
            done(await admin.get("/api/account", headers=background))
        clock.advance(2 * MINUTE)
        problem(await admin.get("/api/account"), 401, "login-required")

    async def test_logout_ends_the_session_and_takes_the_cookie(self, admin: Browser) -> None:
        before = admin.another()
        before.cookies = dict(admin.cookies)
        done(await admin.post("/api/logout"), 204)
        assert admin.cookies == {}
        assert "Max-Age=0" in admin.set_cookies[-1]
        assert not await before.is_logged_in()

    async def test_disabling_a_user_ends_the_sessions_at_once(self, admin: Browser) -> None:
        kenta = await admin.invite("kenta", "operator")
        elsewhere = admin.another()
        await elsewhere.login("kenta")
        user_id = (await kenta.state())["user"]["id"]
        done(await admin.patch(f"/api/users/{user_id}", {"is_disabled": True}))
        for each in (kenta, elsewhere):
            problem(await each.get("/api/account"), 401, "login-required")
        done(await admin.patch(f"/api/users/{user_id}", {"is_disabled": False}))
        assert not await kenta.is_logged_in()
        await kenta.login("kenta")

    async def test_session_of_a_disabled_user_opens_nothing_even_if_it_was_left(
        self, admin: Browser, database: Database
    ) -> None:
        database.run_sync(lambda session: session.execute(update(UserRow).values(is_disabled=True)))
        problem(await admin.get("/api/account"), 401, "login-required")

    async def test_role_taken_away_is_gone_at_once(self, admin: Browser) -> None:
        kenta = await admin.invite("kenta", "admin")
        done(await kenta.get("/api/users"))
        user_id = (await kenta.state())["user"]["id"]
        done(await admin.patch(f"/api/users/{user_id}", {"role": "viewer"}))
        assert problem(await kenta.get("/api/users"), 403, "not-permitted")["needed_role"] == "admin"

    async def test_changing_a_factor_ends_the_other_sessions(self, admin: Browser) -> None:
        async def a_second_one() -> Browser:
            other = admin.another()
            await other.login("mika", password)
            return other

        password = PASSWORD
        other = await a_second_one()
        new = "neun graue Katzen am Meer"
        done(await admin.post("/api/account/password", {"current": PASSWORD, "new": new}), 204)
        assert not await other.is_logged_in()
        password = new
        other = await a_second_one()
        await admin.enrol_totp()
        assert not await other.is_logged_in()
        other = admin.another(totp=admin.totp)
        await other.login("mika", password)
        done(await admin.post("/api/account/recovery-codes"))
        assert not await other.is_logged_in()
        assert await admin.is_logged_in()


class TestList:
    async def test_own_sessions_are_listed_and_revoked_one_by_one(self, admin: Browser) -> None:
        other = admin.another(address="100.64.0.99")
        await other.login("mika")
        sessions = done(await admin.get("/api/account"))["sessions"]
        assert {session["source"]: session["is_current"] for session in sessions} == {
            "100.64.0.7": True,
            "100.64.0.99": False,
        }
        (theirs,) = (session["id"] for session in sessions if not session["is_current"])
        done(await admin.delete(f"/api/account/sessions/{theirs}"), 204)
        assert not await other.is_logged_in()
        assert await admin.is_logged_in()
        done(await admin.delete(f"/api/account/sessions/{theirs}"), 204)

    async def test_all_other_sessions_are_revoked_at_once(self, admin: Browser) -> None:
        others = [admin.another(), admin.another()]
        for other in others:
            await other.login("mika")
        done(await admin.delete("/api/account/sessions"), 204)
        assert [await each.is_logged_in() for each in (admin, *others)] == [True, False, False]

    async def test_sessions_of_another_user_cannot_be_revoked_as_own(self, admin: Browser) -> None:
        kenta = await admin.invite("kenta", "admin")
        theirs = done(await kenta.get("/api/account"))["sessions"][0]["id"]
        done(await admin.delete(f"/api/account/sessions/{theirs}"), 204)
        assert await kenta.is_logged_in()

    async def test_user_agent_of_a_stranger_is_shown_without_what_is_invisible(self, admin: Browser) -> None:
        other = admin.another()
        other.headers["User-Agent"] = "Browser\x7f\x85\xad 1.0" + "x" * 500
        await other.login("mika")
        agents = [session["agent"] for session in done(await admin.get("/api/account"))["sessions"]]
        assert any(agent.startswith("Browser 1.0xxx") and len(agent) == 200 for agent in agents)

    async def test_no_answer_holds_a_secret_of_a_session(self, admin: Browser) -> None:
        for path in ("/api/session", "/api/account", "/api/users"):
            assert admin.cookies["__Host-sid"] not in (await admin.get(path)).text


class TestStream:
    async def test_open_stream_is_told_when_its_session_ended(self, admin: Browser, app: FastAPI) -> None:
        async def log_out_elsewhere() -> None:
            other = admin.another()
            other.cookies = dict(admin.cookies)
            done(await other.post("/api/logout"), 204)

        app.state.between = log_out_elsewhere
        assert done(await admin.get("/api/containers/x/still")) == {"before": True, "after": False}

    async def test_open_stream_outlives_a_step_up(self, admin: Browser, app: FastAPI) -> None:
        async def step_up() -> None:
            other = admin.another()
            other.cookies = dict(admin.cookies)
            done(await other.post("/api/step-up", {"password": PASSWORD}))

        app.state.between = step_up
        assert done(await admin.get("/api/containers/x/still")) == {"before": True, "after": True}

    async def test_open_stream_ends_when_its_session_idles_out(
        self, admin: Browser, app: FastAPI, clock: FakeClock
    ) -> None:
        async def wait() -> None:
            clock.advance(IDLE.total_seconds())

        app.state.between = wait
        assert done(await admin.get("/api/containers/x/still")) == {"before": True, "after": False}
