"""The running portal keeps to its own OpenAPI document, whoever asks and whatever is sent.

Portal, broker and Docker engine are real, so that names in paths lead to something. Every operation of the document is
asked as nobody, as each role and with a token that may do whatever a token may: what the document allows, and what it
forbids. Then what no document describes: hostile values in every query parameter and in `Last-Event-ID`.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kit.problem import MEDIA_TYPE, all_problems
from portal.actor import Role
from portal.app import Adapters, create_app
from portal.auth.permissions import PUBLIC_ROUTES, routes_of
from portal.auth.policy import POLICY
from portal.broker.client import Broker
from portal.settings import PortalSettings
from tests.portal.backups.unit import Run, example, make_directory
from tests.services.docker_engine import DockerEngine
from tests.services.portal import ANSWER_S, HOMEPORT, PASSWORD, Browser, Portal
from tests.services.process import Daemon

pytestmark = [pytest.mark.slow, pytest.mark.services]

Case = schemathesis.Case[Any]
Operation = APIOperation[Any, Any, Any, Any]
Who = Literal["anonymous", "token"] | Role

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EVENT_STREAM = "text/event-stream"
LAST = "/api/logout"  # ends the session that everything else is asked with
EXAMPLES = 4  # of each operation in each mode, each sent as everybody
SLOWEST_S = 30.0  # until an answer begins
SILENT_S = 2.0  # a stream may be silent, but breaks at once
PROBES = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
MODES = pytest.mark.parametrize("mode", GenerationMode)
EVERYBODY: list[Who] = ["anonymous", *Role, "token"]

HOSTILE = [
    "",
    " ",
    "\0",
    "\r\nX-Injected: 1",
    "'\"<script>",
    "../../etc/passwd",
    "%00",
    "%ZZ",
    "\u202e\U0001f600\ufdd0",
    "-1",
    "0",
    "1",
    "1e400",
    "NaN",
    "9" * 40,
    "true",
    "null",
    "[]",
    "a" * 5000,
    "0001-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999-23:59",
    "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00",
]
HOSTILE_RAW = ["%ff%fe", "%ed%a0%80", "%c0%80"]  # no UTF-8
HOSTILE_HEADERS = [
    b"",
    b"\xff\xfe",
    b"0",
    b"-1",
    b"9" * 40,
    b"00000000-0",
    b"00000000-999999999999999",
    b"<script>",
    b"a" * 5000,
    b"0001-01-01T00:00:00Z",
    b"1999-12-31T23:59:59Z",
    b"2026-11-22T00:00:00.000000001Z",
    b"9999-12-31T23:59:59Z",
    b"9999-12-31T23:59:59.999999999Z",
    b"2000-01-01T00:00:00+23:59Z",
    b"2026-W01-1T00:00:00Z",
]


@dataclass
class Stage:
    """A portal with something in it, and whoever asks.

    paths     values of path parameters that exist, by the parameter's name; what is done to them, is done
    running   likewise, of a container that nobody stops
    """

    portal: Portal
    admin: Browser
    paths: Mapping[str, str]
    running: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.portal.url

    def headers(self, who: Who) -> dict[str, str]:
        """What whoever asks sends with every request: of a fresh session, from our own page."""
        if who == "anonymous":
            return own_page(self.admin)
        if who == "token":
            return {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        browser = self._user(who)
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        return own_page(browser) | {"Cookie": cookie}

    def is_logged_in(self, headers: Mapping[str, str]) -> bool:
        answer = httpx2.get(f"{self.url}/api/session", headers=dict(headers), trust_env=False)
        return bool(answer.json()["state"] == "logged-in")

    def _user(self, role: Role) -> Browser:
        invited = self._as_admin("/api/users", {"name": f"u{secrets.token_hex(4)}", "role": role})
        browser = self.portal.browser()
        token = invited["invitation"].partition("#")[2]
        done(browser.post("/api/invitation", json={"token": token, "password": PASSWORD}))
        return browser

    def _token(self) -> str:
        scopes = [{"act": name} for name, act in POLICY.items() if act.is_token_allowed]
        form = {"name": secrets.token_hex(4), "scopes": scopes, "expires_in_days": 1}
        return str(self._as_admin("/api/tokens", form)["secret"])

    def _as_admin(self, path: str, form: Mapping[str, Any]) -> dict[str, Any]:
        """Post what needs a fresh factor, which on a busy machine the last one is no more."""
        answer = self.admin.post(path, json=form)
        if answer.status_code == 403:
            done(self.admin.post("/api/step-up", json={"password": PASSWORD}))
            answer = self.admin.post(path, json=form)
        return done(answer)


def own_page(browser: Browser) -> dict[str, str]:
    names = ("Origin", "Sec-Fetch-Site", "X-CSRF", "Content-Type")
    return {name: browser.headers[name] for name in names}


def done(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    document: dict[str, Any] = answer.json()
    return document


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, shared_docker_engine: DockerEngine) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("portal")
    engine, path = shared_docker_engine, directory / "broker.sock"
    environ = dict(os.environ) | {"HOMEPORT_BROKER_DOCKER_HOST": engine.url, "HOMEPORT_BROKER_STACKS": "mail"}
    environ |= {"HOMEPORT_BROKER_PORTAL_UID": str(os.geteuid())}

    def answers() -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))

    talks = "trap 'exit 0' TERM; while true; do echo '<b>hello'; sleep 0.1; done"
    container, running = engine.run(talks), engine.run(talks, service="mail-db")  # which is protected
    broker = Daemon(
        [HOMEPORT, "portal", "broker", "--socket", str(path)], ready=answers, log=directory / "broker.log", env=environ
    )
    try:
        broker.start()
        backups = make_directory(directory / "backup", example("full"))
        night = Run(backups, "20261122T030000Z-run-0123abcd")
        night.started("run", by="timer")
        with Portal(directory, {"BROKER_SOCKET": str(path), "BACKUP_DIR": str(backups)}) as portal:
            admin = portal.set_up()
            victim = done(admin.post("/api/users", json={"name": "victim", "role": "viewer"}))
            operation = done(admin.post(f"/api/containers/{container.name}/restart", json={"grace_s": 1}))
            plan = done(admin.post("/api/containers/plans", json={"names": [container.name], "want": "running"}))
            paths = {"name": container.name, "operation_id": operation["id"], "user_id": victim["user"]["id"]}
            paths |= {"plan_id": plan["id"], "kind": "container", "point": "daily-2026-11-22", "run_id": night.id}
            yield Stage(portal, admin, paths, running={"name": running.name})
    finally:
        broker.kill()
        engine.clear()


@pytest.fixture(scope="module")
def document() -> Any:
    argv = [HOMEPORT, "portal", "openapi"]
    printed = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    return schemathesis.openapi.from_dict(json.loads(printed.stdout))


@pytest.fixture(scope="module")
def acts() -> Mapping[str, str | None]:
    """Which act a route needs, by method and path."""
    app = create_app(PortalSettings(state_dir=Path("/nonexistent")), Adapters(broker=Broker(None)))
    return {str(route): route.act for route in routes_of(app)}


def operations(document: Any) -> list[Operation]:
    """Every operation of the document; that which ends the session at the end."""
    found: list[Operation] = [result.ok() for result in document.get_all_operations()]
    assert len(found) > 50, "the document has the rooms"
    return sorted(found, key=lambda operation: operation.path == LAST)


def is_stream(operation: Operation) -> bool:
    return EVENT_STREAM in operation.definition.raw["responses"].get("200", {}).get("content", {})


# -- what the document says -------------------------------------------------------------------------------------------


@MODES
def test_every_operation_answers_everybody_as_documented(
    stage: Stage, document: Any, acts: Mapping[str, str | None], mode: GenerationMode
) -> None:
    headers = {who: stage.headers(who) for who in EVERYBODY}
    seen = {who: Counter[int]() for who in EVERYBODY}
    with requests.Session() as session:
        session.trust_env = False
        for operation in operations(document):
            if operation.path == LAST:
                assert all(stage.is_logged_in(headers[role]) for role in Role), "it was them who asked until here"
            probe(
                stage,
                session,
                operation,
                mode,
                headers,
                {who: refusal(acts, operation, who) for who in EVERYBODY},
                seen,
            )
    assert {401} <= seen["anonymous"].keys(), seen
    for role in Role:
        assert ({200, 404} if mode is GenerationMode.POSITIVE else {422}) <= seen[role].keys(), seen
    assert {403} <= seen[Role.VIEWER].keys() & seen[Role.OPERATOR].keys() & seen["token"].keys(), seen


def refusal(acts: Mapping[str, str | None], operation: Operation, who: Who) -> int | None:
    """The status that this operation has for whoever asks, because they may not do it at all; None when they may."""
    route = f"{operation.method.upper()} {operation.path}"
    if route in PUBLIC_ROUTES:
        return None
    act = POLICY[acts[route] or ""]
    if who == "anonymous":
        return 401
    if who == "token":
        return None if act.is_token_allowed else 403
    return None if who.includes(act.role) else 403


def probe(
    stage: Stage,
    session: requests.Session,
    operation: Operation,
    mode: GenerationMode,
    headers: Mapping[Who, Mapping[str, str]],
    refused: Mapping[Who, int | None],
    seen: Mapping[Who, Counter[int]],
) -> None:
    """Send what the document allows, or forbids, to things that exist and to others, as everybody; count statuses."""

    @PROBES
    @given(case=operation.as_strategy(generation_mode=mode), is_real=st.booleans())
    def send(case: Case, is_real: bool) -> None:
        if is_real:
            case.path_parameters |= {name: stage.paths.get(name, value) for name, value in case.path_parameters.items()}
        for who in EVERYBODY:
            with session.request(**request_of(case, stage.url, headers[who])) as answer:
                seen[who][answer.status_code] += 1
                if is_stream(operation) and answer.ok:
                    assert answer.headers["Content-Type"].partition(";")[0] == EVENT_STREAM
                else:
                    case.validate_response(answer, checks=CHECKS)
                    check(answer)
            assert answer.status_code in documented(operation) or answer.status_code >= 400, answer.text
            if refused[who] is not None and mode is GenerationMode.POSITIVE:
                assert answer.status_code == refused[who], (who, answer.text)
            elif refused[who] is not None:  # before anything else, unless the path itself is none of this route's
                assert answer.status_code in (refused[who], 404, 405), (who, answer.text)

    try:
        send()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, operation.label  # it has nothing that could be wrong


def request_of(case: Case, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    given_: dict[str, Any] = case.as_transport_kwargs(base_url=url)
    sent = dict(given_.get("headers") or {}) | dict(headers)
    return given_ | {"headers": sent, "allow_redirects": False, "stream": True, "timeout": SLOWEST_S}


def documented(operation: Operation) -> set[int]:
    return {int(status) for status in operation.definition.raw["responses"] if status != "default"}


def check(answer: requests.Response | httpx2.Response) -> None:
    """What holds for every answer: nothing failed, nothing is stored, and what is refused is a known problem."""
    status, text = answer.status_code, answer.text
    assert status < 500, text
    assert "traceback" not in text.lower()
    if "/api/" in str(answer.url):
        assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if status >= 400:
        assert answer.headers["Content-Type"] == MEDIA_TYPE, text
        problem = answer.json()
        assert problem["status"] == status
        assert problem["type"] in {f"/problems/{each.type}" for each in all_problems()}


# -- streams, and a portal that has lost its engine -------------------------------------------------------------------


def test_every_stream_begins_with_an_event_that_can_be_read(stage: Stage, document: Any) -> None:
    heard = {}
    for who in [*Role, "token"]:
        with httpx2.Client(base_url=stage.url, headers=stage.headers(who), timeout=ANSWER_S, trust_env=False) as client:
            for operation in filter(is_stream, operations(document)):
                with client.stream("GET", operation.path.format_map(stage.running)) as answer:
                    assert answer.status_code == 200, (who, operation.path)
                    assert answer.headers["Cache-Control"].startswith("no-")
                    topic, data = whole_event(answer)
                heard[operation.path] = topic
                assert isinstance(data, dict if topic != "lines" else list), (who, operation.path, data)
    assert sorted(heard.values()) == ["lines", "ready", "sample"]


def test_portal_without_its_broker_answers_everything_as_documented(
    tmp_path: Path, document: Any, acts: Mapping[str, str | None]
) -> None:
    seen: Counter[int] = Counter()
    with Portal(tmp_path, {"BROKER_SOCKET": str(tmp_path / "nobody.sock")}) as portal:
        admin = portal.set_up()
        away = Stage(portal, admin, paths={"name": "gone", "kind": "container"}, running={"name": "gone"})
        headers = away.headers(Role.ADMIN)
        with requests.Session() as session:
            session.trust_env = False
            for operation in operations(document):
                if is_stream(operation):
                    continue

                @settings(PROBES, max_examples=2)
                @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
                def send(case: Case) -> None:
                    case.path_parameters |= {
                        name: away.paths.get(name, value) for name, value in case.path_parameters.items()
                    }
                    with session.request(**request_of(case, away.url, headers)) as answer:
                        seen[answer.status_code] += 1
                        assert answer.status_code < 500 or answer.status_code == 503, (
                            case.operation.label,
                            answer.text,
                        )
                        case.validate_response(
                            answer, checks=[each for each in CHECKS if each is not not_a_server_error]
                        )
                        if answer.status_code == 503:
                            assert answer.json()["type"] == "/problems/broker-unavailable", answer.text

                send()
        with httpx2.Client(
            base_url=away.url, headers=away.headers(Role.VIEWER), timeout=ANSWER_S, trust_env=False
        ) as client:
            for path in ("logs/follow", "stats/follow"):
                with client.stream("GET", f"/api/containers/gone/{path}") as answer:
                    topic, data = whole_event(answer)
                assert (topic, data["type"]) == ("problem", "/problems/broker-unavailable")
    assert {200, 503} <= seen.keys(), seen


def whole_event(answer: httpx2.Response) -> tuple[str, Any]:
    """The topic of the first event, and its data."""
    topic = ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            topic = value
        elif name == "data":
            return topic, json.loads(value)
    raise AssertionError("the stream ended without an event")


# -- what no document describes ---------------------------------------------------------------------------------------


def test_hostile_query_values_are_answered_or_refused(stage: Stage, document: Any) -> None:
    tried, failed = 0, []
    with httpx2.Client(base_url=stage.url, headers=stage.headers(Role.ADMIN), trust_env=False) as client:
        for operation in operations(document):
            path = operation.path.format_map({**dict.fromkeys(path_names(operation), "x"), **stage.running})
            for parameter in operation.query:
                for value in [*map(quoted, HOSTILE), *HOSTILE_RAW]:
                    tried += 1
                    url, patience_s = f"{path}?{parameter.name}={value}", SILENT_S if is_stream(operation) else ANSWER_S
                    with client.stream(operation.method.upper(), url, timeout=patience_s) as answer:
                        heard = first_event(answer) if is_stream(operation) and answer.is_success else whole(answer)
                    if heard in ("broken", "ended", "problem") or answer.status_code >= 500:
                        failed.append(f"{operation.method.upper()} {url[:200]}: {answer.status_code} {heard}")
                    elif not answer.is_success:
                        check(answer)
    assert tried > 500
    assert not failed, "\n".join(failed)


def test_hostile_last_event_id_means_from_now_on(stage: Stage, document: Any) -> None:
    failed = []
    headers = stage.headers(Role.VIEWER)
    with httpx2.Client(base_url=stage.url, headers=headers, timeout=ANSWER_S, trust_env=False) as client:
        for operation in filter(is_stream, operations(document)):
            path = operation.path.format_map(stage.running)
            for value in HOSTILE_HEADERS:
                with client.stream("GET", path, headers={b"Last-Event-ID": value}) as answer:
                    heard = first_event(answer) if answer.is_success else "refused"
                if heard not in ("ready", "lines", "sample"):
                    failed.append(f"GET {path}, Last-Event-ID {value!r}: {answer.status_code} {heard}")
    assert not failed, "\n".join(failed)


def first_event(answer: httpx2.Response) -> str:
    """The topic of the first event of a stream, or `silent`, `broken` or `ended` when there was none."""
    try:
        for line in answer.iter_lines():
            if line.startswith(":"):  # it keeps itself alive
                return "silent"
            if line.startswith("event: "):
                return line.removeprefix("event: ")
    except httpx2.ReadTimeout:
        return "silent"
    except httpx2.RemoteProtocolError:
        return "broken"
    return "ended"


def whole(answer: httpx2.Response) -> str:
    """Read an answer to its end."""
    try:
        answer.read()
    except httpx2.RemoteProtocolError:
        return "broken"
    return "whole"


def path_names(operation: Operation) -> Iterable[str]:
    return [parameter.name for parameter in operation.path_parameters]


def quoted(value: str) -> str:
    return httpx2.QueryParams({"": value}).__str__().removeprefix("=")
