"""Users and tokens, as administrators manage them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from sqlalchemy import update

from portal.auth.invitations import INVITATION
from portal.auth.models import TokenRow
from portal.auth.service import Auth
from portal.db import Database
from portal.idempotency.models import IdempotencyKeyRow
from tests.clock import FakeClock
from tests.portal.auth.browser import PASSWORD, Browser, done, problem

DAY = 86_400.0
KEY = {"Idempotency-Key": "k1"}


async def id_of(admin: Browser, name: str) -> str:
    users = done(await admin.get("/api/users"))["users"]
    return next(str(user["id"]) for user in users if user["name"] == name)


class TestInvitation:
    async def test_user_chooses_the_password_and_is_logged_in(self, admin: Browser) -> None:
        document = done(await admin.post("/api/users", {"name": "kenta", "role": "operator"}), 201)
        assert document["user"]["factors"] == []
        assert document["invitation"].startswith("https://portal.home.example/invitation#")
        theirs = admin.another()
        assert (await theirs.accept(document["invitation"]))["user"]["role"] == "operator"

    async def test_invitation_is_good_once(self, admin: Browser) -> None:
        link = done(await admin.post("/api/users", {"name": "kenta", "role": "viewer"}), 201)["invitation"]
        await admin.another().accept(link)
        form = {"token": link.partition("#")[2], "password": "neun graue Katzen am Meer"}
        problem(await admin.another().post("/api/invitation", form), 403, "invitation-refused")

    async def test_invitation_in_two_browsers_at_once_is_good_once(
        self, make_app: Callable[..., FastAPI], any_database: Database, clock: FakeClock
    ) -> None:
        app = make_app(db=any_database)
        mika = Browser(app, clock)
        token = (await app.state.portal.auth.users.begin_setup()).partition("#")[2]
        done(await mika.post("/api/setup", {"token": token, "name": "mika", "password": PASSWORD}))
        link = done(await mika.post("/api/users", {"name": "kenta", "role": "viewer"}), 201)["invitation"]
        form = {"token": link.partition("#")[2], "password": PASSWORD}
        answers = await asyncio.gather(*(mika.another().post("/api/invitation", form) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 403, 403, 403]

    async def test_invitation_ends_after_three_days(self, admin: Browser, clock: FakeClock) -> None:
        link = done(await admin.post("/api/users", {"name": "kenta", "role": "viewer"}), 201)["invitation"]
        clock.advance(INVITATION.total_seconds())
        form = {"token": link.partition("#")[2], "password": PASSWORD}
        problem(await admin.another().post("/api/invitation", form), 403, "invitation-refused")

    async def test_invitation_is_no_setup_and_the_reverse(self, browser: Browser, auth: Auth, clock: FakeClock) -> None:
        setup = (await auth.users.begin_setup() or "").partition("#")[2]
        problem(
            await browser.post("/api/invitation", {"token": setup, "password": PASSWORD}), 403, "invitation-refused"
        )
        done(await browser.post("/api/setup", {"token": setup, "name": "mika", "password": PASSWORD}))

    async def test_invitation_is_in_no_list_and_no_table(self, admin: Browser, stored: Callable[[], str]) -> None:
        link = done(await admin.post("/api/users", {"name": "kenta", "role": "viewer"}), 201)["invitation"]
        secret = link.partition("#")[2]
        assert secret not in stored()
        assert secret not in (await admin.get("/api/users")).text


class TestUsers:
    @pytest.mark.parametrize(
        "name", ["Kenta\n", "ken ta", "", "-kenta", "1kenta", "k" * 33, "kénta", "ken/ta", "a\x00b"]
    )
    async def test_user_name_of_another_form_is_refused(self, admin: Browser, name: str) -> None:
        answer = await admin.post("/api/users", {"name": name, "role": "viewer"})
        if name == "Kenta\n":  # typed with a capital and a line's end: it is kenta
            assert done(answer, 201)["user"]["name"] == "kenta"
        else:
            problem(answer, 422, "invalid-request")

    async def test_user_name_is_taken_once(self, admin: Browser) -> None:
        done(await admin.post("/api/users", {"name": "kenta", "role": "viewer"}), 201)
        problem(await admin.post("/api/users", {"name": "kenta", "role": "admin"}), 409, "user-exists")

    @pytest.mark.parametrize("change", [{"role": "viewer"}, {"is_disabled": True}])
    async def test_nobody_demotes_or_disables_themselves(self, admin: Browser, change: dict[str, object]) -> None:
        await admin.invite("kenta", "admin")
        user_id = await id_of(admin, "mika")
        problem(await admin.patch(f"/api/users/{user_id}", change), 409, "user-protected")

    async def test_nobody_removes_themselves(self, admin: Browser) -> None:
        user_id = await id_of(admin, "mika")
        problem(await admin.delete(f"/api/users/{user_id}?typed_name=mika"), 409, "user-protected")

    async def test_two_administrators_who_demote_each_other_leave_one(
        self, make_app: Callable[..., FastAPI], any_database: Database, clock: FakeClock
    ) -> None:
        app = make_app(db=any_database)
        mika = Browser(app, clock)
        token = (await app.state.portal.auth.users.begin_setup()).partition("#")[2]
        done(await mika.post("/api/setup", {"token": token, "name": "mika", "password": PASSWORD}))
        kenta = await mika.invite("kenta", "admin")
        ids = [await id_of(mika, name) for name in ("kenta", "mika")]
        answers = await asyncio.gather(
            mika.patch(f"/api/users/{ids[0]}", {"is_disabled": True}),
            kenta.patch(f"/api/users/{ids[1]}", {"is_disabled": True}),
        )
        users = await app.state.portal.auth.users.list_all()
        assert len([user for user in users if not user.is_disabled]) == 1
        assert sorted(answer.status_code for answer in answers)[0] == 200

    async def test_removing_a_user_needs_the_typed_name_and_takes_everything(self, admin: Browser) -> None:
        kenta = await admin.invite("kenta", "admin")
        await kenta.enrol_totp()
        document = {"name": "script", "scopes": [{"act": "containers:list"}], "expires_in_days": 1}
        secret = done(await kenta.post("/api/tokens", document), 201)["secret"]
        user_id = await id_of(admin, "kenta")
        done(await admin.post("/api/step-up", {"password": PASSWORD}))
        assert problem(await admin.delete(f"/api/users/{user_id}"), 403, "typed-name-required")["name"] == "kenta"
        problem(await admin.delete(f"/api/users/{user_id}?typed_name=Kenta"), 403, "typed-name-required")
        done(await admin.delete(f"/api/users/{user_id}?typed_name=kenta"), 204)
        assert not await kenta.is_logged_in()
        headers = {"Authorization": f"Bearer {secret}"}
        problem(await admin.another().get("/api/containers", headers=headers), 401, "login-required")
        problem(await admin.delete(f"/api/users/{user_id}?typed_name=kenta"), 404, "no-such-user")

    async def test_reset_takes_password_factors_and_sessions_and_invites_again(
        self, admin: Browser, audit: Callable[[], list[tuple[str, str, str]]]
    ) -> None:
        kenta = await admin.invite("kenta", "viewer")
        codes = await kenta.enrol_totp()
        assert codes
        done(await admin.post("/api/step-up", {"password": PASSWORD}))
        user_id = await id_of(admin, "kenta")
        document = done(await admin.post(f"/api/users/{user_id}/reset"))
        assert document["user"]["factors"] == []
        assert not await kenta.is_logged_in()
        answer = await kenta.post("/api/login", {"name": "kenta", "password": PASSWORD})
        problem(answer, 401, "login-failed")
        assert ("ui:users:change", "kenta", "done") in audit()
        new = admin.another()
        await new.accept(document["invitation"], "neun graue Katzen am Meer")
        assert (await new.state())["has_second_factor"] is False

    async def test_ending_the_sessions_of_a_user(self, admin: Browser) -> None:
        kenta = await admin.invite("kenta", "viewer")
        done(await admin.delete(f"/api/users/{await id_of(admin, 'kenta')}/sessions"), 204)
        assert not await kenta.is_logged_in()
        problem(await admin.delete("/api/users/nobody/sessions"), 404, "no-such-user")


class TestAccount:
    async def test_password_change_needs_the_current_one(self, admin: Browser) -> None:
        new = "neun graue Katzen am Meer"
        problem(await admin.post("/api/account/password", {"current": "wrong", "new": new}), 403, "factor-refused")
        done(await admin.post("/api/account/password", {"current": PASSWORD, "new": new}), 204)
        problem(await admin.another().post("/api/login", {"name": "mika", "password": PASSWORD}), 401, "login-failed")
        await admin.another().login("mika", new)

    async def test_totp_needs_a_right_code_to_begin(self, admin: Browser) -> None:
        begun = done(await admin.post("/api/account/totp"))
        assert begun["uri"].startswith("otpauth://totp/Homeport:mika%40portal.home.example?secret=")
        assert begun["qr_svg"].startswith("<svg")
        assert "style" not in begun["qr_svg"]
        form = {"enrolment": begun["enrolment"], "code": "000000"}
        problem(await admin.post("/api/account/totp/confirm", form), 403, "factor-refused")
        assert (await admin.state())["has_second_factor"] is False

    async def test_totp_enrolment_of_another_user_is_none(self, admin: Browser) -> None:
        kenta = await admin.invite("kenta", "viewer")
        begun = done(await kenta.post("/api/account/totp"))
        form = {"enrolment": begun["enrolment"], "code": "000000"}
        problem(await admin.post("/api/account/totp/confirm", form), 409, "enrolment-expired")

    async def test_totp_is_removed_with_its_recovery_codes(self, admin: Browser) -> None:
        problem(await admin.delete("/api/account/totp"), 404, "no-such-factor")
        await admin.enrol_totp()
        done(await admin.delete("/api/account/totp"), 204)
        account = done(await admin.get("/api/account"))
        assert (account["totp"], account["recovery_codes_left"]) == (None, 0)
        problem(await admin.post("/api/account/recovery-codes"), 404, "no-such-factor")

    async def test_recovery_codes_are_replaced_as_a_whole(self, admin: Browser) -> None:
        old = await admin.enrol_totp()
        new = done(await admin.post("/api/account/recovery-codes"))["recovery_codes"]
        assert not set(old) & set(new)
        half = done(await admin.another().post("/api/login", {"name": "mika", "password": PASSWORD}))
        answer = await admin.another().post("/api/login/recovery-code", {"login": half["login"], "code": old[0]})
        problem(answer, 401, "login-failed")


class TestTokens:
    async def _script(self, admin: Browser, *scopes: dict[str, str], days: int = 1) -> Browser:
        document = {"name": "script", "scopes": scopes, "expires_in_days": days}
        secret = done(await admin.post("/api/tokens", document), 201)["secret"]
        return admin.another(headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/json"})

    async def test_token_does_what_its_scopes_hold_and_nothing_else(self, admin: Browser) -> None:
        script = await self._script(admin, {"act": "containers:restart", "resource": "blog-nginx"})
        assert done(await script.post("/api/containers/blog-nginx/restart")) == {"restarted": "blog-nginx"}
        for path in ("/api/containers/blog-php/restart", "/api/containers/blog-nginx%2Fx/restart"):
            assert (await script.post(path)).status_code in (403, 404)
        problem(await script.get("/api/containers", headers=dict(script.headers)), 403, "not-permitted")

    async def test_token_on_one_resource_does_not_list_all(self, admin: Browser) -> None:
        script = await self._script(admin, {"act": "containers:list", "resource": "blog-nginx"})
        problem(await script.get("/api/containers", headers=dict(script.headers)), 403, "not-permitted")

    async def test_token_whose_stored_scopes_hold_more_than_a_token_may_do_does_no_more(
        self, admin: Browser, database: Database
    ) -> None:
        """An act may have come to need a step-up since the token was made."""
        script = await self._script(admin, {"act": "containers:list"})
        scopes = json.dumps([[act, "*"] for act in ("containers:list", "users:create", "session:step-up")])
        database.run_sync(lambda session: session.execute(update(TokenRow).values(scopes=scopes)))
        done(await script.get("/api/containers", headers=dict(script.headers)))
        problem(await script.post("/api/users", {"name": "eve", "role": "admin"}), 403, "not-permitted")
        problem(await script.post("/api/step-up", {"password": PASSWORD}), 403, "not-permitted")

    async def test_token_expires(self, admin: Browser, clock: FakeClock) -> None:
        script = await self._script(admin, {"act": "containers:list"})
        done(await script.get("/api/containers", headers=dict(script.headers)))
        clock.advance(DAY)
        answer = await script.get("/api/containers", headers=dict(script.headers))
        problem(answer, 401, "login-required")
        assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("change", [{"is_disabled": True}, {"role": "viewer"}])
    async def test_token_stops_with_its_owner(self, admin: Browser, change: dict[str, object]) -> None:
        kenta = await admin.invite("kenta", "admin")
        script = await self._script(kenta, {"act": "containers:restart"})
        done(await script.post("/api/containers/blog-nginx/restart"))
        done(await admin.patch(f"/api/users/{await id_of(admin, 'kenta')}", change))
        assert (await script.post("/api/containers/blog-nginx/restart")).status_code in (401, 403)

    async def test_token_is_shown_once_and_stored_as_its_digest(
        self, admin: Browser, stored: Callable[[], str]
    ) -> None:
        script = await self._script(admin, {"act": "containers:list"})
        secret = script.headers["Authorization"].removeprefix("Bearer ")
        assert secret.startswith("hpt_")
        done(await script.get("/api/containers", headers=dict(script.headers)))
        (token,) = done(await admin.get("/api/tokens"))["tokens"]
        assert (token["owner"], token["last_used_source"]) == ("mika", "100.64.0.7")
        assert secret not in (await admin.get("/api/tokens")).text
        assert secret not in stored()

    async def test_token_that_is_removed_stops_at_once(self, admin: Browser) -> None:
        script = await self._script(admin, {"act": "containers:list"})
        (token,) = done(await admin.get("/api/tokens"))["tokens"]
        done(await admin.delete(f"/api/tokens/{token['id']}"), 204)
        problem(await script.get("/api/containers", headers=dict(script.headers)), 401, "login-required")
        problem(await admin.delete(f"/api/tokens/{token['id']}"), 404, "no-such-token")

    @pytest.mark.parametrize(
        "header",
        ["Bearer", "Bearer ", "Bearer x", "Basic bWlrYTp4", "Bearer hpt_", "bearer hpt_x", "hpt_x", "Bearer a\x0bb"],
    )
    async def test_token_that_is_none_opens_nothing(self, admin: Browser, header: str) -> None:
        answer = await admin.another().get("/api/containers", headers={"Authorization": header})
        problem(answer, 401, "login-required")

    @pytest.mark.parametrize(
        "change",
        [
            {"expires_in_days": 0},
            {"expires_in_days": 366},
            {"scopes": []},
            {"name": "a\r\nb"},
            {"scopes": [{"act": "containers:list", "resource": "a\nb"}]},
            {"scopes": [{"act": "containers:list", "act2": "x"}]},
            {"owner": "kenta"},
        ],
        ids=str,
    )
    async def test_token_form_of_another_shape_is_refused(self, admin: Browser, change: dict[str, object]) -> None:
        document = {"name": "x", "scopes": [{"act": "containers:list"}], "expires_in_days": 1} | change
        problem(await admin.post("/api/tokens", document), 422, "invalid-request")


class TestPolicy:
    async def test_policy_tells_each_role_what_it_may_do(self, admin: Browser) -> None:
        for name, role, permitted in (("kenta", "viewer", False), ("yui", "operator", True)):
            theirs = await admin.invite(name, role)
            acts = {act["name"]: act for act in done(await theirs.get("/api/policy"))["acts"]}
            assert acts["containers:restart"]["is_permitted"] is permitted
            assert acts["containers:restart"]["step_up"] == "protected"
            assert acts["containers:list"]["is_permitted"] is True
            assert acts["users:list"]["is_permitted"] is False


class TestAudit:
    async def test_refused_attempts_are_recorded(
        self, admin: Browser, audit: Callable[[], list[tuple[str, str, str]]]
    ) -> None:
        kenta = await admin.invite("kenta", "viewer")
        problem(await kenta.post("/api/containers/blog-nginx/restart"), 403, "not-permitted")
        assert audit()[-1] == ("ui:containers:restart", "blog-nginx", "denied")
        problem(await admin.another().post("/api/containers/blog-nginx/restart"), 401, "login-required")
        assert audit()[-1] == ("ui:containers:restart", "blog-nginx", "denied")

    async def test_strangers_cannot_fill_the_audit(
        self, admin: Browser, audit: Callable[[], list[tuple[str, str, str]]], clock: FakeClock
    ) -> None:
        other, before = admin.another(address="100.64.0.66"), len(audit())
        for _ in range(50):
            await other.post("/api/containers/blog-nginx/restart")
            await other.post("/api/login", {}, headers={"Origin": "https://evil.example"})
        assert len(audit()) == before + 1
        clock.advance(60)
        await other.post("/api/containers/blog-nginx/restart")
        assert len(audit()) == before + 2


class TestIdempotencyKey:
    """The routes of auth take the header too, and keep no secret for it."""

    async def test_user_is_made_once_and_the_invitation_shown_once(self, admin: Browser) -> None:
        form = {"name": "kenta", "role": "viewer"}
        done(await admin.post("/api/users", form, headers=KEY), 201)
        problem(await admin.post("/api/users", form, headers=KEY), 409, "idempotent-answer-gone")
        other = form | {"name": "rin"}
        problem(await admin.post("/api/users", other, headers=KEY), 422, "idempotency-key-reused")
        assert {user["name"] for user in done(await admin.get("/api/users"))["users"]} == {"mika", "kenta"}

    async def test_change_is_answered_again_and_not_made_again(self, admin: Browser) -> None:
        await admin.invite("kenta", "viewer")
        path = f"/api/users/{await id_of(admin, 'kenta')}"
        changed = done(await admin.request("PATCH", path, {"role": "operator"}, headers=KEY))
        done(await admin.request("PATCH", path, {"role": "viewer"}))
        assert done(await admin.request("PATCH", path, {"role": "operator"}, headers=KEY)) == changed
        now = {user["name"]: user["role"] for user in done(await admin.get("/api/users"))["users"]}
        assert now["kenta"] == "viewer"

    async def test_what_answers_nothing_answers_nothing_again(self, admin: Browser) -> None:
        await admin.invite("kenta", "viewer")
        path = f"/api/users/{await id_of(admin, 'kenta')}?typed_name=kenta"
        for _ in range(2):
            done(await admin.request("DELETE", path, headers=KEY), 204)
        problem(await admin.request("DELETE", path), 404, "no-such-user")

    async def test_password_leaves_nothing_that_could_be_tried_out(self, admin: Browser, database: Database) -> None:
        form = {"current": PASSWORD, "new": "fünf große Igel im Gras"}
        done(await admin.post("/api/account/password", form, headers=KEY), 204)
        (row,) = database.read_sync(lambda session: session.query(IdempotencyKeyRow).all())
        body = json.dumps(form).encode()
        guessed = b"POST\0/api/account/password\0\0" + body
        assert row.request not in {hashlib.sha256(text).hexdigest() for text in (guessed, body)}
        assert "Igel" not in f"{row.digest}{row.request}{row.answer}"
