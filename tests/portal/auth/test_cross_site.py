"""CSRF: every unsafe request with a session, and every public one, comes from our own page or is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from fastapi import FastAPI

from portal.auth.service import Auth
from tests.clock import FakeClock
from tests.portal.auth.browser import ORIGIN, PASSWORD, Browser, done, local, problem

WRONG: list[Mapping[str, str | None]] = [
    {"Sec-Fetch-Site": None},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Sec-Fetch-Site": ""},
    {"Origin": None},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "http://portal.home.example"},
    {"Origin": ORIGIN + ":8443"},
    {"Origin": ORIGIN + ".evil.example"},
    {"Origin": ORIGIN.upper()},
    {"Origin": f"{ORIGIN} https://evil.example"},
    {"X-CSRF": None},
    {"X-CSRF": "0"},
    {"X-CSRF": ""},
    {"Content-Type": None},
    {"Content-Type": "text/plain"},
    {"Content-Type": "text/plain; application/json"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "multipart/form-data; boundary=application/json"},
    {"Content-Type": "application/jsonx"},
]
UNSAFE = [
    ("POST", "/api/containers/blog-nginx/restart"),
    ("POST", "/api/account/totp"),
    ("POST", "/api/logout"),
    ("DELETE", "/api/account/sessions"),
    ("PATCH", "/api/users/x"),
]
PUBLIC = ["/api/login", "/api/setup", "/api/invitation", "/api/login/totp", "/api/login/passkey/options"]


@pytest.mark.parametrize("headers", WRONG, ids=str)
@pytest.mark.parametrize(("method", "path"), UNSAFE)
async def test_unsafe_request_of_a_session_from_elsewhere_is_refused(
    admin: Browser, method: str, path: str, headers: Mapping[str, str | None]
) -> None:
    problem(await admin.request(method, path, {}, headers=headers), 403, "cross-site-request")
    assert await admin.is_logged_in()


@pytest.mark.parametrize("headers", WRONG, ids=str)
@pytest.mark.parametrize("path", PUBLIC)
async def test_login_that_another_site_sends_is_refused(
    admin: Browser, path: str, headers: Mapping[str, str | None]
) -> None:
    answer = await admin.another().post(path, {"name": "mika", "password": PASSWORD}, headers=headers)
    problem(answer, 403, "cross-site-request")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_unsafe_request_of_our_own_page_is_heard(admin: Browser, site: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Content-Type": "application/json; charset=utf-8"}
    done(await admin.post("/api/containers/blog-nginx/restart", headers=headers))


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
async def test_method_cannot_be_overridden(admin: Browser, header: str) -> None:
    answer = await admin.get("/api/account/sessions", headers={header: "DELETE"})
    assert answer.status_code == 405
    answer = await admin.get("/api/containers?_method=POST", headers={header: "POST"})
    assert done(answer)["actor"] == "mika"


async def test_embedded_origins_are_this_machines_names_on_this_port(
    make_app: Callable[..., FastAPI], clock: FakeClock
) -> None:
    app = make_app("http://localhost:8080")
    for origin, status in (
        ("http://localhost:8080", 401),
        ("http://127.0.0.1:8080", 401),
        ("http://[::1]:8080", 401),
        ("http://localhost", 403),
        ("http://localhost:8081", 403),
        ("https://localhost:8080", 403),
        ("http://evil.example:8080", 403),
    ):
        browser = Browser(app, clock, address=origin)
        answer = await browser.post("/api/login", {"name": "mika", "password": "x"}, headers={"Origin": origin})
        assert answer.status_code == status, origin


async def test_request_with_a_session_and_a_token_is_refused(admin: Browser) -> None:
    document = {"name": "script", "scopes": [{"act": "containers:list"}], "expires_in_days": 1}
    secret = done(await admin.post("/api/tokens", document), 201)["secret"]
    headers = {"Authorization": f"Bearer {secret}"}
    problem(await admin.get("/api/containers", headers=headers), 400, "two-credentials")
    done(await admin.another().get("/api/containers", headers=headers))


async def test_token_needs_no_headers_of_a_page(admin: Browser) -> None:
    document = {"name": "script", "scopes": [{"act": "containers:restart"}], "expires_in_days": 1}
    secret = done(await admin.post("/api/tokens", document), 201)["secret"]
    script = admin.another(headers={"Authorization": f"Bearer {secret}"})
    done(await script.post("/api/containers/blog-nginx/restart"))


async def test_local_administrator_with_another_credential_is_refused(
    admin: Browser, app: FastAPI, clock: FakeClock
) -> None:
    cookie = f"__Host-sid={admin.cookies['__Host-sid']}"
    for headers in ({"Cookie": cookie}, {"Authorization": "Bearer x"}):
        problem(await local(app, clock).get("/api/containers", headers=headers), 400, "two-credentials")


async def test_no_header_says_who_somebody_is(admin: Browser, auth: Auth) -> None:
    other = admin.another()
    for header in (
        "X-Forwarded-For",
        "X-Real-IP",
        "Tailscale-User-Login",
        "Remote-User",
        "X-Forwarded-User",
        "Local-Uid",
    ):
        problem(await other.get("/api/containers", headers={header: "127.0.0.1"}), 401, "login-required")
