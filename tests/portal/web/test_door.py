"""The door: exact headers on every kind of answer, our own names only, forwarded headers from named proxies only."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse

from portal.web import door
from tests.kit.server import serve

EXPECTED = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "object-src 'none'; form-action 'self'; require-trusted-types-for 'script'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@pytest.fixture(scope="module", autouse=True)
def _server_believes_nobody() -> Iterator[None]:
    """The test's own server would believe loopback by itself; the portal's is told not to (serving.py)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.1")
        yield


@contextmanager
def portal(*, proxies: tuple[str, ...] = (), is_https: bool = False) -> Iterator[Server]:
    app = FastAPI(openapi_url=None, max_body_size=100)
    door.install(app, hosts={"portal.example.com", "localhost:8080"}, proxies=proxies, is_https=is_https)

    @app.get("/api/client")
    async def client(request: Request) -> dict[str, Any]:
        return {"client": request.client and request.client.host, "scheme": request.url.scheme}

    @app.post("/api/fail")
    async def fail(request: Request) -> None:
        await request.body()
        raise RuntimeError("canary-secret")

    @app.get("/livez")
    async def livez() -> PlainTextResponse:
        return PlainTextResponse("alive")

    with serve(app) as url:
        yield Server(int(url.rpartition(":")[2]))


class Server:
    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, method: str, path: str, *headers: tuple[str, str], host: str | None = "localhost:8080", body: bytes = b""
    ) -> http.client.HTTPResponse:
        """One request, header by header, so that a test can leave one out or send it twice."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in (*([("Host", host)] if host is not None else []), *headers):
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        answer.text = answer.read().decode()  # type: ignore[attr-defined]
        connection.close()
        return answer


def text(answer: http.client.HTTPResponse) -> str:
    return str(answer.text)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with portal() as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "host", "body", "status"),
    [
        ("GET", "/api/client", "localhost:8080", b"", 200),
        ("GET", "/livez", "localhost:8080", b"", 200),
        ("GET", "/nothing", "localhost:8080", b"", 404),
        ("DELETE", "/api/client", "localhost:8080", b"", 405),
        ("POST", "/api/fail", "localhost:8080", b"x", 500),
        ("POST", "/api/fail", "localhost:8080", b"x" * 101, 413),
        ("GET", "/api/client", "evil.example", b"", 421),
    ],
)
def test_every_kind_of_answer_has_the_headers(
    server: Server, method: str, path: str, host: str, body: bytes, status: int
) -> None:
    answer = server.ask(method, path, host=host, body=body)
    assert answer.status == status
    headers = {name.lower(): value for name, value in answer.getheaders()}
    assert EXPECTED.items() <= headers.items()
    assert "strict-transport-security" not in headers
    assert headers.get("cache-control") == ("no-store" if path.startswith("/api/") else None)
    assert "canary" not in text(answer)
    if status >= 400:
        assert headers["content-type"] == "application/problem+json"
        assert '"request_id"' in text(answer)


def test_https_portal_asks_browsers_to_stay_with_https() -> None:
    with portal(is_https=True) as server:
        assert server.ask("GET", "/api/client").getheader("strict-transport-security") == "max-age=31536000"


@pytest.mark.parametrize("host", ["portal.example.com", "PORTAL.example.com", "localhost:8080"])
def test_our_own_names_are_answered(server: Server, host: str) -> None:
    assert server.ask("GET", "/api/client", host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "portal.example.com.evil.example",
        "evil.portal.example.com",
        "localhost",
        "localhost:8081",
        "127.0.0.1:8080",
        "portal.example.com:443",
        "portal.example.com@evil.example",
        "",
    ],
)
def test_other_names_are_misdirected(server: Server, host: str) -> None:
    assert server.ask("GET", "/api/client", host=host).status == 421


def test_other_name_beside_ours_is_refused(server: Server) -> None:
    assert server.ask("GET", "/api/client", ("Host", "evil.example")).status in (400, 421)
    assert server.ask("GET", "/api/client", ("X-Forwarded-Host", "localhost:8080"), host="evil.example").status == 421


def test_liveness_is_answered_under_any_name(server: Server) -> None:
    assert text(server.ask("GET", "/livez", host="10.0.0.5")) == "alive"


FORWARDED = (("X-Forwarded-For", "203.0.113.7, 100.64.0.9"), ("X-Forwarded-Proto", "https"))


def test_forwarded_headers_of_a_stranger_are_not_believed(server: Server) -> None:
    assert text(server.ask("GET", "/api/client", *FORWARDED)) == '{"client":"127.0.0.1","scheme":"http"}'
    with portal(proxies=("10.0.0.0/8",)) as other:
        assert text(other.ask("GET", "/api/client", *FORWARDED)) == '{"client":"127.0.0.1","scheme":"http"}'


def test_forwarded_headers_of_a_named_proxy_give_the_last_address_that_is_no_proxy() -> None:
    with portal(proxies=("127.0.0.1",)) as server:
        assert text(server.ask("GET", "/api/client", *FORWARDED)) == '{"client":"100.64.0.9","scheme":"https"}'
    with portal(proxies=("127.0.0.0/8", "100.64.0.9")) as server:
        assert text(server.ask("GET", "/api/client", *FORWARDED)) == '{"client":"203.0.113.7","scheme":"https"}'
