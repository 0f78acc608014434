"""Passkeys: registered and used with a software authenticator whose answers the library verifies for real."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from tests.clock import FakeClock
from tests.portal.auth.authenticator import Authenticator
from tests.portal.auth.browser import ORIGIN, PASSWORD, Browser, done, problem

Json = dict[str, Any]


async def register(browser: Browser, device: Authenticator, name: str = "Key on the ring") -> list[str] | None:
    """Make a passkey; return the recovery codes that came with it."""
    asked = done(await browser.post("/api/account/passkeys/options"))
    form = {"challenge_id": asked["challenge_id"], "credential": device.create(asked["options"]), "name": name}
    codes: list[str] | None = done(await browser.post("/api/account/passkeys", form))["recovery_codes"]
    return codes


async def answer_to(browser: Browser, device: Authenticator, path: str = "/api/login/passkey/options") -> Json:
    asked = done(await browser.post(path))
    return {"challenge_id": asked["challenge_id"], "credential": device.get(asked["options"])}


@pytest.fixture
def device() -> Authenticator:
    return Authenticator(ORIGIN)


class TestRegistration:
    async def test_passkey_is_registered_and_comes_with_recovery_codes(
        self, admin: Browser, device: Authenticator
    ) -> None:
        codes = await register(admin, device)
        assert codes is not None
        assert len(codes) == 10
        account = done(await admin.get("/api/account"))
        assert [passkey["name"] for passkey in account["passkeys"]] == ["Key on the ring"]
        assert account["passkeys"][0]["is_backed_up"] is True
        assert await register(admin, Authenticator(ORIGIN), "another") is None

    async def test_passkey_with_a_real_attestation_is_registered(self, admin: Browser) -> None:
        await register(admin, Authenticator(ORIGIN, is_self_attested=True))

    @pytest.mark.parametrize(
        "lie",
        [
            {"origin": "https://portal.home.example.evil.example"},
            {"origin": "http://portal.home.example"},
            {"rp_id": "home.example"},
            {"is_user_verified": False},
        ],
        ids=str,
    )
    async def test_passkey_from_elsewhere_or_without_user_verification_is_refused(
        self, admin: Browser, lie: dict[str, Any]
    ) -> None:
        asked = done(await admin.post("/api/account/passkeys/options"))
        device = Authenticator(**({"origin": ORIGIN} | lie))
        form = {"challenge_id": asked["challenge_id"], "credential": device.create(asked["options"]), "name": "x"}
        problem(await admin.post("/api/account/passkeys", form), 403, "passkey-refused")
        assert done(await admin.get("/api/account"))["passkeys"] == []

    async def test_attestation_that_another_key_signed_is_refused(self, admin: Browser) -> None:
        asked = done(await admin.post("/api/account/passkeys/options"))
        device = Authenticator(ORIGIN, is_self_attested=True)
        signer = Authenticator(ORIGIN)
        device._sign = signer._sign  # type: ignore[method-assign]
        form = {"challenge_id": asked["challenge_id"], "credential": device.create(asked["options"]), "name": "x"}
        problem(await admin.post("/api/account/passkeys", form), 403, "passkey-refused")

    async def test_challenge_is_good_once_and_for_whom_it_was_made(
        self, admin: Browser, device: Authenticator, clock: FakeClock
    ) -> None:
        kenta = await admin.invite("kenta", "viewer")
        asked = done(await admin.post("/api/account/passkeys/options"))
        form = {"challenge_id": asked["challenge_id"], "credential": device.create(asked["options"]), "name": "x"}
        problem(await kenta.post("/api/account/passkeys", form), 403, "passkey-refused")
        problem(await admin.post("/api/account/passkeys", form), 403, "passkey-refused")

    async def test_challenge_ends_after_five_minutes(
        self, admin: Browser, device: Authenticator, clock: FakeClock
    ) -> None:
        asked = done(await admin.post("/api/account/passkeys/options"))
        form = {"challenge_id": asked["challenge_id"], "credential": device.create(asked["options"]), "name": "x"}
        clock.advance(300)
        done(await admin.post("/api/step-up", {"password": PASSWORD}))
        problem(await admin.post("/api/account/passkeys", form), 403, "passkey-refused")

    async def test_passkey_is_registered_once_whoever_has_it(self, admin: Browser, device: Authenticator) -> None:
        kenta = await admin.invite("kenta", "viewer")
        await register(admin, device)
        asked = done(await kenta.post("/api/account/passkeys/options"))
        form = {"challenge_id": asked["challenge_id"], "credential": device.create(asked["options"]), "name": "x"}
        problem(await kenta.post("/api/account/passkeys", form), 403, "passkey-refused")

    @pytest.mark.parametrize(
        "credential", [{}, {"id": 1}, {"id": "x", "rawId": "x", "type": "public-key"}, {"a": [{}]}]
    )
    async def test_credential_that_is_none_is_refused(self, admin: Browser, credential: Json) -> None:
        asked = done(await admin.post("/api/account/passkeys/options"))
        form = {"challenge_id": asked["challenge_id"], "credential": credential, "name": "x"}
        problem(await admin.post("/api/account/passkeys", form), 403, "passkey-refused")
        login = {"challenge_id": done(await admin.another().post("/api/login/passkey/options"))["challenge_id"]}
        answer = await admin.another().post("/api/login/passkey", login | {"credential": credential})
        problem(answer, 403, "passkey-refused")

    @pytest.mark.parametrize("name", ["", " ", "a\nb", "a\u202eb", "x" * 65])
    async def test_passkey_name_with_control_characters_is_refused(self, admin: Browser, name: str) -> None:
        form = {"challenge_id": "x", "credential": {}, "name": name}
        problem(await admin.post("/api/account/passkeys", form), 422, "invalid-request")

    async def test_passkeys_are_impossible_where_the_portal_has_no_name(
        self, make_app: Callable[..., FastAPI], clock: FakeClock
    ) -> None:
        url = "https://[fd7a:115c:a1e0::1]"
        browser = Browser(make_app(url), clock, origin=url)
        browser.headers["Origin"] = url
        assert (await browser.state())["passkeys_possible"] is False
        problem(await browser.post("/api/login/passkey/options"), 409, "passkeys-impossible")


class TestLogin:
    async def test_login_with_a_passkey_needs_no_name_and_no_password(
        self, admin: Browser, device: Authenticator
    ) -> None:
        await register(admin, device)
        other = admin.another()
        document = done(await other.post("/api/login/passkey", await answer_to(other, device)))
        assert document["user"]["name"] == "mika"
        assert document["session"]["factor"] == "passkey"
        assert done(await admin.get("/api/account"))["passkeys"][0]["last_used_at"] is not None

    async def test_login_with_a_password_alone_is_not_enough_any_more(
        self, admin: Browser, device: Authenticator
    ) -> None:
        await register(admin, device)
        half = done(await admin.another().post("/api/login", {"name": "mika", "password": PASSWORD}))
        assert half["factors"] == ["passkey", "recovery-code"]

    @pytest.mark.parametrize(
        "lie",
        [
            {"origin": "https://evil.example"},
            {"rp_id": "evil.example"},
            {"is_user_verified": False},
            {"key": Authenticator(ORIGIN).key},
            {"credential_id": b"\0" * 32},
            {"user_handle": b"somebody else"},
            {"sign_count": -1},
        ],
        ids=lambda lie: next(iter(lie)),
    )
    async def test_login_with_an_answer_that_does_not_hold_is_refused(
        self, admin: Browser, device: Authenticator, lie: dict[str, Any]
    ) -> None:
        await register(admin, device)
        for name, value in lie.items():
            setattr(device, name, value)
        other = admin.another()
        problem(await other.post("/api/login/passkey", await answer_to(other, device)), 403, "passkey-refused")
        assert not await other.is_logged_in()

    @pytest.mark.parametrize("counts", [True, False])
    async def test_login_answer_is_good_once_whether_or_not_the_authenticator_counts(
        self, admin: Browser, counts: bool
    ) -> None:
        device = Authenticator(ORIGIN, counts=counts)
        await register(admin, device)
        other, again = admin.another(), admin.another()
        form = await answer_to(other, device)
        done(await other.post("/api/login/passkey", form))
        problem(await again.post("/api/login/passkey", form), 403, "passkey-refused")

    async def test_login_of_an_authenticator_that_does_not_count_holds_again_and_again(self, admin: Browser) -> None:
        device = Authenticator(ORIGIN, counts=False)
        await register(admin, device)
        for _ in range(2):
            other = admin.another()
            done(await other.post("/api/login/passkey", await answer_to(other, device)))

    async def test_login_of_a_disabled_user_is_refused(self, admin: Browser, device: Authenticator) -> None:
        kenta = await admin.invite("kenta", "viewer")
        await register(kenta, device)
        user_id = (await kenta.state())["user"]["id"]
        done(await admin.patch(f"/api/users/{user_id}", {"is_disabled": True}))
        problem(await kenta.post("/api/login/passkey", await answer_to(kenta, device)), 403, "passkey-refused")

    async def test_removed_passkey_opens_nothing(self, admin: Browser, device: Authenticator) -> None:
        await register(admin, device)
        passkey_id = done(await admin.get("/api/account"))["passkeys"][0]["id"]
        done(await admin.delete(f"/api/account/passkeys/{passkey_id}"), 204)
        other = admin.another()
        problem(await other.post("/api/login/passkey", await answer_to(other, device)), 403, "passkey-refused")
        assert done(await admin.get("/api/account"))["recovery_codes_left"] == 0

    async def test_passkey_of_another_user_cannot_be_removed(self, admin: Browser, device: Authenticator) -> None:
        kenta = await admin.invite("kenta", "viewer")
        await register(kenta, device)
        passkey_id = done(await kenta.get("/api/account"))["passkeys"][0]["id"]
        problem(await admin.delete(f"/api/account/passkeys/{passkey_id}"), 404, "no-such-factor")


class TestStepUp:
    async def test_step_up_by_passkey(self, admin: Browser, device: Authenticator, clock: FakeClock) -> None:
        await register(admin, device)
        clock.advance(301)
        new_user = {"name": "kenta", "role": "viewer"}
        problem(await admin.post("/api/users", new_user), 403, "step-up-required")
        form = await answer_to(admin, device, "/api/step-up/passkey/options")
        before = dict(admin.cookies)
        done(await admin.post("/api/step-up", form))
        assert admin.cookies != before
        done(await admin.post("/api/users", new_user), 201)

    async def test_step_up_by_the_passkey_of_somebody_else_is_refused(
        self, admin: Browser, device: Authenticator
    ) -> None:
        kenta = await admin.invite("kenta", "viewer")
        await register(kenta, device)
        await register(admin, Authenticator(ORIGIN))
        asked = done(await admin.post("/api/step-up/passkey/options"))
        form = {"challenge_id": asked["challenge_id"], "credential": device.get(asked["options"])}
        problem(await admin.post("/api/step-up", form), 403, "passkey-refused")

    async def test_step_up_without_user_verification_is_refused(self, admin: Browser, device: Authenticator) -> None:
        await register(admin, device)
        device.is_user_verified = False
        form = await answer_to(admin, device, "/api/step-up/passkey/options")
        problem(await admin.post("/api/step-up", form), 403, "passkey-refused")
