"""Step-up: exactly where the policy table says, by a factor that counts, for five minutes, never by a token."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI

from portal.auth.policy import POLICY
from tests.clock import FakeClock
from tests.portal.auth.browser import PASSWORD, Browser, done, local, problem

STALE = 301.0
NEW_USER = {"name": "kenta", "role": "viewer"}

# security.md 3.3, for the rooms that exist: users, tokens, MFA; stopping protected containers; restoring in place;
# removing records, or changing several at once; removing a mail domain
ALWAYS = {"account:change", "users:create", "users:change", "users:delete", "tokens:create", "tokens:delete"}
IN_ROOMS = {"console:write", "databases:drop"}  # whose own tests ask for them
PROTECTED = {
    *("containers:stop", "containers:restart", "containers:apply", "backups:restore"),
    *("dns:apply", "dns:route", "mail-domains:apply"),
    *("databases:load", "sites:apply"),
}

ASKING = [
    ("POST", "/api/users", "users:create"),
    ("PATCH", "/api/users/x", "users:change"),
    ("POST", "/api/users/x/reset", "users:change"),
    ("DELETE", "/api/users/x/sessions", "users:change"),
    ("DELETE", "/api/users/x", "users:delete"),
    ("POST", "/api/tokens", "tokens:create"),
    ("DELETE", "/api/tokens/x", "tokens:delete"),
    ("POST", "/api/account/password", "account:change"),
    ("POST", "/api/account/totp", "account:change"),
    ("POST", "/api/account/totp/confirm", "account:change"),
    ("DELETE", "/api/account/totp", "account:change"),
    ("POST", "/api/account/passkeys/options", "account:change"),
    ("POST", "/api/account/passkeys", "account:change"),
    ("DELETE", "/api/account/passkeys/x", "account:change"),
    ("POST", "/api/account/recovery-codes", "account:change"),
]


def test_policy_asks_for_a_step_up_where_the_design_says_and_nowhere_else() -> None:
    assert {act.name for act in POLICY.values() if act.step_up is True} == ALWAYS | IN_ROOMS
    assert {act.name for act in POLICY.values() if act.step_up == "protected"} == PROTECTED
    assert {act for _, _, act in ASKING} == ALWAYS


@pytest.mark.parametrize(("method", "path", "act"), ASKING)
async def test_act_of_the_table_without_a_fresh_factor_asks_for_one(
    admin: Browser, clock: FakeClock, method: str, path: str, act: str
) -> None:
    clock.advance(STALE)
    document = problem(await admin.request(method, path, {}), 403, "step-up-required")
    assert document["factors"] == ["password"]
    done(await admin.post("/api/step-up", {"password": PASSWORD}))
    assert (await admin.request(method, path, {})).status_code in (200, 404, 422)


async def test_step_up_ends_after_five_minutes(admin: Browser, clock: FakeClock) -> None:
    clock.advance(299)
    done(await admin.post("/api/users", NEW_USER), 201)
    clock.advance(1)
    problem(await admin.post("/api/users", {"name": "other", "role": "viewer"}), 403, "step-up-required")


async def test_what_is_not_in_the_table_never_asks(admin: Browser, clock: FakeClock) -> None:
    clock.advance(STALE)
    for path in ("/api/containers", "/api/users", "/api/tokens", "/api/account", "/api/policy"):
        done(await admin.get(path))
    done(await admin.post("/api/containers/blog-nginx/restart"))
    done(await admin.delete("/api/account/sessions"), 204)


async def test_protected_target_asks_and_an_ordinary_one_does_not(admin: Browser, clock: FakeClock) -> None:
    clock.advance(STALE)
    done(await admin.post("/api/containers/blog-nginx/restart"))
    problem(await admin.post("/api/containers/blog-db/restart"), 403, "step-up-required")
    done(await admin.post("/api/step-up", {"password": PASSWORD}))
    done(await admin.post("/api/containers/blog-db/restart"))


class TestFactors:
    async def test_password_does_not_count_once_there_is_a_second_factor(
        self, admin: Browser, clock: FakeClock
    ) -> None:
        await admin.enrol_totp()
        clock.advance(STALE)
        assert problem(await admin.post("/api/users", NEW_USER), 403, "step-up-required")["factors"] == [
            "passkey",
            "totp",
        ]
        problem(await admin.post("/api/step-up", {"password": PASSWORD}), 403, "factor-refused")
        done(await admin.post("/api/step-up", {"totp": admin.code()}))
        done(await admin.post("/api/users", NEW_USER), 201)

    async def test_password_proved_before_stops_counting_when_a_second_factor_comes(
        self, admin: Browser, clock: FakeClock
    ) -> None:
        other = admin.another()
        await admin.enrol_totp()
        await other.post("/api/login", {"name": "mika", "password": PASSWORD})
        assert not await other.is_logged_in()

    async def test_totp_code_of_the_login_does_not_count_again(self, admin: Browser, clock: FakeClock) -> None:
        await admin.enrol_totp()
        code = admin.code()
        done(await admin.post("/api/step-up", {"totp": code}))
        problem(await admin.post("/api/step-up", {"totp": code}), 403, "factor-refused")

    async def test_recovery_code_counts_for_replacing_the_lost_factor_and_for_nothing_else(
        self, admin: Browser, clock: FakeClock
    ) -> None:
        codes = await admin.enrol_totp()
        other = admin.another()
        half = done(await other.post("/api/login", {"name": "mika", "password": PASSWORD}))
        done(await other.post("/api/login/recovery-code", {"login": half["login"], "code": codes[0]}))
        problem(await other.post("/api/users", NEW_USER), 403, "step-up-required")
        await other.enrol_totp()
        done(await other.post("/api/users", NEW_USER), 201)

    async def test_recovery_code_is_no_step_up(self, admin: Browser, clock: FakeClock) -> None:
        codes = await admin.enrol_totp()
        answer = await admin.post("/api/step-up", {"totp": codes[0]})
        problem(answer, 403, "factor-refused")
        problem(await admin.post("/api/step-up", {"recovery_code": codes[0]}), 422, "invalid-request")

    @pytest.mark.parametrize(
        "form", [{}, {"password": "x", "totp": "000000"}, {"credential": {}}, {"challenge_id": "x"}]
    )
    async def test_step_up_takes_one_factor(self, admin: Browser, form: dict[str, object]) -> None:
        problem(await admin.post("/api/step-up", form), 422, "invalid-request")

    async def test_step_up_guesses_are_slowed(self, admin: Browser) -> None:
        await admin.enrol_totp()
        statuses = [(await admin.post("/api/step-up", {"totp": f"{number:06}"})).status_code for number in range(9)]
        assert statuses == [*[403] * 5, *[429] * 4]

    async def test_failed_step_up_leaves_the_session_as_it_was(self, admin: Browser, clock: FakeClock) -> None:
        clock.advance(STALE)
        before = dict(admin.cookies)
        problem(await admin.post("/api/step-up", {"password": "wrong"}), 403, "factor-refused")
        assert admin.cookies == before
        problem(await admin.post("/api/users", NEW_USER), 403, "step-up-required")


class TestToken:
    async def test_token_never_does_an_act_of_the_table(self, admin: Browser) -> None:
        scopes = [{"act": name} for name, act in POLICY.items() if act.is_token_allowed]
        document = {"name": "all", "scopes": scopes, "expires_in_days": 1}
        secret = done(await admin.post("/api/tokens", document), 201)["secret"]
        script = admin.another(headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/json"})
        for method, path, _ in ASKING:
            problem(await script.request(method, path, {}), 403, "not-permitted")
        problem(await script.post("/api/step-up", {"password": PASSWORD}), 403, "not-permitted")
        problem(await script.post("/api/containers/blog-db/restart"), 403, "not-permitted")
        done(await script.post("/api/containers/blog-nginx/restart"))

    @pytest.mark.parametrize("act", sorted(ALWAYS | {"account:read", "session:read", "session:step-up", "no:such"}))
    async def test_token_cannot_be_made_for_such_an_act(self, admin: Browser, act: str) -> None:
        document = {"name": "x", "scopes": [{"act": act}], "expires_in_days": 1}
        problem(await admin.post("/api/tokens", document), 422, "invalid-request")


class TestLocalAdministrator:
    async def test_local_administrator_does_what_needs_no_step_up(self, app: FastAPI, clock: FakeClock) -> None:
        document = done(await local(app, clock, uid=1000).get("/api/containers"))
        assert document == {"actor": "uid 1000", "kind": "local"}

    async def test_local_administrator_confirms_on_the_terminal(
        self, admin: Browser, app: FastAPI, clock: FakeClock, audit: Callable[[], list[tuple[str, str, str]]]
    ) -> None:
        await admin.enrol_totp()
        shell = local(app, clock)
        problem(await shell.post("/api/users", NEW_USER), 403, "step-up-required")
        problem(await shell.post("/api/step-up", {"name": "mika", "password": PASSWORD}), 403, "factor-refused")
        answer = done(await shell.post("/api/step-up", {"name": "mika", "totp": admin.code()}))
        confirmed = {"Homeport-Step-Up": answer["ticket"]}
        done(await shell.post("/api/users", NEW_USER, headers=confirmed), 201)
        assert audit()[-1] == ("cli:users:create", "kenta", "done")
        clock.advance(300)
        problem(await shell.post("/api/users", NEW_USER, headers=confirmed), 403, "step-up-required")

    async def test_only_an_administrator_of_the_portal_confirms(
        self, admin: Browser, app: FastAPI, clock: FakeClock
    ) -> None:
        await admin.invite("kenta", "operator")
        shell = local(app, clock)
        for name in ("kenta", "nobody"):
            problem(await shell.post("/api/step-up", {"name": name, "password": PASSWORD}), 403, "factor-refused")

    async def test_ticket_ends_with_the_rights_of_whoever_confirmed(
        self, admin: Browser, app: FastAPI, clock: FakeClock
    ) -> None:
        kenta = await admin.invite("kenta", "admin")
        user_id = (await kenta.state())["user"]["id"]
        shell = local(app, clock)
        ticket = done(await shell.post("/api/step-up", {"name": "kenta", "password": PASSWORD}))["ticket"]
        confirmed = {"Homeport-Step-Up": ticket}
        done(await shell.post("/api/users", {"name": "yui", "role": "viewer"}, headers=confirmed), 201)
        done(await admin.patch(f"/api/users/{user_id}", {"is_disabled": True}))
        problem(
            await shell.post("/api/users", {"name": "eve", "role": "viewer"}, headers=confirmed),
            403,
            "step-up-required",
        )

    async def test_ticket_is_worth_nothing_outside_the_socket(
        self, admin: Browser, app: FastAPI, clock: FakeClock
    ) -> None:
        ticket = done(await local(app, clock).post("/api/step-up", {"name": "mika", "password": PASSWORD}))["ticket"]
        clock.advance(STALE - 5)
        other = admin.another()
        other.headers["Homeport-Step-Up"] = ticket
        problem(await other.post("/api/users", NEW_USER), 401, "login-required")

    async def test_local_administrator_has_no_account(self, app: FastAPI, clock: FakeClock) -> None:
        problem(await local(app, clock).get("/api/account"), 403, "not-permitted")
