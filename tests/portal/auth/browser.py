"""A browser as far as auth can tell: it keeps the one cookie, sends what browsers and our page send, and logs in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

import httpx2
import pyotp
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.clock import FakeClock

Json = dict[str, Any]
ORIGIN = "https://portal.home.example"
PASSWORD = "vier kleine Igel im Laub"
OWN_PAGE = {"X-CSRF": "1", "Content-Type": "application/json", "Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}


class OverAdminSocket:
    """The admin socket's door: the kernel said who speaks."""

    def __init__(self, app: ASGIApp, uid: int) -> None:
        self._app, self._uid = app, uid

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = dict(scope.get("state", {}), local_uid=self._uid)
        await self._app(scope, receive, send)


@dataclass
class Browser:
    app: ASGIApp
    clock: FakeClock
    address: str = "100.64.0.7"
    origin: str = ORIGIN
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=lambda: dict(OWN_PAGE))
    totp: pyotp.TOTP | None = None

    async def request(
        self, method: str, path: str, document: object = None, *, headers: Mapping[str, str | None] | None = None
    ) -> httpx2.Response:
        """headers   replace the usual ones; None leaves one out"""
        sent = dict(self.headers) if method not in ("GET", "HEAD", "OPTIONS") else {}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {name: value for name, value in (sent | dict(headers or {})).items() if value is not None}
        transport = httpx2.ASGITransport(self.app, client=(self.address, 40_000))
        async with httpx2.AsyncClient(transport=transport, base_url=self.origin) as client:
            content = None if document is None else _json(document)
            encoded = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
            answer = await client.request(method, path, content=content, headers=encoded)
        for line in answer.headers.get_list("set-cookie"):
            self.set_cookies.append(line)
            for name, morsel in SimpleCookie(line).items():
                self.cookies.pop(name, None)
                if morsel.value:
                    self.cookies[name] = morsel.value
        return answer

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.request("GET", path, **more)

    async def post(self, path: str, document: object = None, **more: Any) -> httpx2.Response:
        return await self.request("POST", path, {} if document is None else document, **more)

    async def patch(self, path: str, document: object, **more: Any) -> httpx2.Response:
        return await self.request("PATCH", path, document, **more)

    async def delete(self, path: str, **more: Any) -> httpx2.Response:
        return await self.request("DELETE", path, **more)

    async def state(self) -> Json:
        answer = await self.get("/api/session")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def is_logged_in(self) -> bool:
        return bool((await self.state())["state"] == "logged-in")

    def another(self, **changes: Any) -> Browser:
        """One that knows nothing of this one's cookies."""
        return Browser(self.app, self.clock, **({"address": self.address, "origin": self.origin} | changes))

    # -- what a person does with it -----------------------------------------------------------------------------------

    async def login(self, name: str, password: str = PASSWORD) -> Json:
        """With name and password, and the authenticator app if this person has one."""
        document = done(await self.post("/api/login", {"name": name, "password": password}))
        if document["state"] == "second-factor-needed":
            document = done(await self.post("/api/login/totp", {"login": document["login"], "code": self.code()}))
        return document

    async def accept(self, link: str, password: str = PASSWORD) -> Json:
        """Open a one-time link and choose a password."""
        return done(await self.post("/api/invitation", {"token": link.partition("#")[2], "password": password}))

    async def enrol_totp(self) -> list[str]:
        """Set up the authenticator app; return the recovery codes."""
        begun = done(await self.post("/api/account/totp"))
        self.totp = pyotp.TOTP(begun["secret"])
        document = {"enrolment": begun["enrolment"], "code": self.code()}
        return list(done(await self.post("/api/account/totp/confirm", document))["recovery_codes"] or [])

    def code(self) -> str:
        """The authenticator app's next code: half a minute later, so that it was not used before."""
        assert self.totp is not None
        self.clock.advance(30)
        return self.totp.at(int(self.clock.now()))

    async def invite(self, name: str, role: str) -> Browser:
        """As an administrator: make a user; return the browser in which that user is logged in."""
        document = done(await self.post("/api/users", {"name": name, "role": role}), 201)
        theirs = self.another()
        await theirs.accept(document["invitation"])
        return theirs


def done(answer: httpx2.Response, status: int = 200) -> Json:
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    return dict(answer.json()) if answer.content else {}


def problem(answer: httpx2.Response, status: int, slug: str) -> Json:
    """The answer is this problem; return its document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = dict(answer.json())
    assert (answer.status_code, document["type"]) == (status, f"/problems/{slug}"), document
    return document


def _json(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def local(app: FastAPI, clock: FakeClock, *, uid: int = 0) -> Browser:
    """Not a browser: the command line over the admin socket, which sends none of a browser's headers."""
    return Browser(OverAdminSocket(app, uid), clock, headers={"Content-Type": "application/json"})
