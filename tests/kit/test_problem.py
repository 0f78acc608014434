"""Every way an application can fail, asked over a real socket, answers in one shape."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from kit import problem
from kit.logging import configure
from kit.problem import MEDIA_TYPE, Problem, all_problems
from tests.kit.server import serve


class TargetBusy(Problem):
    """Another operation holds this target."""

    status, type, title = 409, "test-target-busy", "Target is busy"


class Payload(BaseModel):
    count: int


def create_app() -> FastAPI:
    app = FastAPI(max_body_size=100_000)

    @app.get("/busy")
    async def busy() -> None:
        raise TargetBusy("nginx is restarting", headers={"Retry-After": "5"}, instance="/api/operations/1", attempt=3)

    @app.post("/payload")
    async def payload(body: Payload) -> int:
        return body.count

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short")

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("the password is hunter22")

    @app.get("/plain")
    async def plain() -> PlainTextResponse:
        return PlainTextResponse("internal hunter22", 503, {"Retry-After": "7"})

    @app.get("/own")
    async def own() -> JSONResponse:
        return JSONResponse({"status": "failing"}, 503)

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"x" * 1000
            raise RuntimeError("half-way")

        return StreamingResponse(body())

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    problem.install(app)
    return app


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with serve(create_app()) as url:
        yield url


@pytest.fixture
def client(base_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=base_url, timeout=10.0, trust_env=False) as client:
        yield client


def document(response: httpx2.Response) -> dict[str, object]:
    assert response.headers["content-type"] == MEDIA_TYPE
    members: dict[str, object] = response.json()
    assert len(str(members.pop("request_id"))) == 16
    assert members["status"] == response.status_code
    return members


def test_problem_raised_is_its_document_with_extensions_and_headers(client: httpx2.Client) -> None:
    response = client.get("/busy")
    assert document(response) == {
        "type": "/problems/test-target-busy",
        "title": "Target is busy",
        "status": 409,
        "detail": "nginx is restarting",
        "instance": "/api/operations/1",
        "attempt": 3,
    }
    assert response.headers["retry-after"] == "5"


def test_problem_each_request_has_its_own_id(client: httpx2.Client) -> None:
    assert client.get("/busy").json()["request_id"] != client.get("/busy").json()["request_id"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nowhere", {"type": "/problems/not-found", "title": "Not found", "status": 404}),
        ("PUT", "/busy", {"type": "/problems/method-not-allowed", "title": "Method not allowed", "status": 405}),
        (
            "GET",
            "/teapot",
            {"type": "about:blank", "title": "I'm a Teapot", "status": 418, "detail": "short"},
        ),
        ("GET", "/bug", {"type": "/problems/internal-error", "title": "Internal error", "status": 500}),
        ("GET", "/plain", {"type": "about:blank", "title": "Service Unavailable", "status": 503}),
    ],
)
def test_framework_error_is_a_problem(
    client: httpx2.Client, method: str, path: str, expected: dict[str, object]
) -> None:
    assert document(client.request(method, path)) == expected


def test_method_not_allowed_keeps_its_allow_header(client: httpx2.Client) -> None:
    assert client.put("/busy").headers["allow"] == "GET"


def test_plain_text_error_keeps_retry_after_and_loses_its_text(client: httpx2.Client) -> None:
    response = client.get("/plain")
    assert response.headers["retry-after"] == "7"
    assert "hunter22" not in response.text


def test_unexpected_error_is_logged_with_its_id_and_shows_no_text() -> None:
    log = io.StringIO()
    configure(json=True, stream=log)
    with serve(create_app()) as url:
        response = httpx2.get(f"{url}/bug", trust_env=False)
    assert "hunter22" not in response.text
    (line,) = [line for line in log.getvalue().splitlines() if "request_failed" in line]
    members = json.loads(line)
    assert members["request_id"] == response.json()["request_id"]
    assert (members["method"], members["path"]) == ("GET", "/bug")
    assert "RuntimeError" in members["exception"]


def test_answer_that_breaks_off_is_cut_not_completed(client: httpx2.Client) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get("/half")


def test_json_error_of_the_application_stays_its_own(client: httpx2.Client) -> None:
    response = client.get("/own")
    assert (response.status_code, response.json()) == (503, {"status": "failing"})


@pytest.mark.parametrize("path", ["/read", "/payload", "/busy"])  # the last is refused for its method, then its size
def test_body_over_the_limit_announced_is_content_too_large(client: httpx2.Client, path: str) -> None:
    members = document(client.post(path, content=b"x" * 100_001))
    assert members == {"type": "/problems/content-too-large", "title": "Content too large", "status": 413}


def test_body_over_the_limit_chunked_is_content_too_large(client: httpx2.Client) -> None:
    members = document(client.post("/read", content=iter([b"x" * 60_000, b"x" * 60_000])))
    assert members == {"type": "/problems/content-too-large", "title": "Content too large", "status": 413}


@pytest.mark.parametrize("body", [b"{", b'{"count": "hunter22"}', b"{}"])
def test_malformed_payload_names_the_place_and_not_the_value(client: httpx2.Client, body: bytes) -> None:
    response = client.post("/payload", content=body, headers={"content-type": "application/json"})
    members = document(response)
    assert (members["type"], members["status"]) == ("/problems/invalid-request", 422)
    assert json.dumps(members["errors"]).startswith('[{"where": "body')
    assert "hunter22" not in response.text


class Shortcut:
    """Answers /fast without the framework."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/fast":
                await JSONResponse("fast")(scope, receive, send)
            case "/fast-problem":
                await TargetBusy().response()(scope, receive, send)
            case "/fast-bug":
                raise RuntimeError("the password is hunter22")
            case _:
                await self._inner(scope, receive, send)


@pytest.fixture(scope="module")
def short_url() -> Iterator[str]:
    app = FastAPI()
    problem.install(app, short_way=Shortcut)
    with serve(app) as url:
        yield url


def test_short_way_answers_for_itself(short_url: str) -> None:
    assert httpx2.get(f"{short_url}/fast", trust_env=False).json() == "fast"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/fast-problem", {"type": "/problems/test-target-busy", "title": "Target is busy", "status": 409}),
        ("/fast-bug", {"type": "/problems/internal-error", "title": "Internal error", "status": 500}),
        ("/other", {"type": "/problems/not-found", "title": "Not found", "status": 404}),
    ],
)
def test_short_way_errors_have_the_same_shape(short_url: str, path: str, expected: dict[str, object]) -> None:
    assert document(httpx2.get(short_url + path, trust_env=False)) == expected


def test_problem_reserved_members_cannot_be_overridden() -> None:
    assert TargetBusy(status=200, title="fine").document()["status"] == 409


def test_problem_outside_a_request_has_no_request_id() -> None:
    assert "request_id" not in json.loads(bytes(TargetBusy().response().body))


def test_problem_as_text_is_one_line() -> None:
    assert str(TargetBusy("nginx is restarting")) == "Target is busy: nginx is restarting"
    assert str(TargetBusy()) == "Target is busy"


def test_all_problems_are_declared_fully_and_once() -> None:
    found = all_problems()
    assert TargetBusy in found
    assert len({cls.type for cls in found}) == len(found)
    for cls in found:
        assert 400 <= cls.status <= 599
        assert cls.title
        assert cls.__doc__
