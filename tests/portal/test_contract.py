"""The running portal does what its OpenAPI document says, to whoever asks: nobody, a viewer, an operator, an admin.

Schemathesis makes requests from the document, good and bad ones. Whatever comes: never a server error, only documented
answers in their documented form, and no answer but a refusal to who may not have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from portal.actor import Role
from portal.app import Adapters, create_app
from portal.auth.permissions import PUBLIC_ROUTES, routes_of
from portal.auth.policy import POLICY
from portal.settings import PortalSettings
from tests.services.portal import PASSWORD, Browser, Portal

pytestmark = pytest.mark.slow

_settings = PortalSettings(state_dir=Path("/nonexistent"))
_app = create_app(_settings, Adapters.of(_settings))
ACTS = {str(route): route.act for route in routes_of(_app)}
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
NO_BROKER = "/problems/broker-unavailable"  # this portal has none
SILENT_ROUTES = "(events|follow|logout|sessions)$"  # streams never end, and what ends our own login ends the test

schema = schemathesis.openapi.from_dict(_app.openapi()).exclude(path_regex=SILENT_ROUTES)
schema.config.phases.coverage.enabled = False
schema.config.phases.stateful.enabled = False


@pytest.fixture(scope="module")
def browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Role | None, Browser]]:
    with Portal(tmp_path_factory.mktemp("portal")) as portal:
        anna = portal.set_up("anna")
        found: dict[Role | None, Browser] = {None: portal.browser(), Role.ADMIN: anna}
        for role in (Role.VIEWER, Role.OPERATOR):
            assert anna.post("/api/step-up", json={"password": PASSWORD}).status_code == 200
            made = anna.post("/api/users", json={"name": role.value, "role": role.value})
            token = made.json()["invitation"].partition("#")[2]
            found[role] = portal.browser()
            answer = found[role].post("/api/invitation", json={"token": token, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
        yield found


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role or "nobody")
@schema.parametrize()
@hypothesis.settings(max_examples=6, suppress_health_check=list(hypothesis.HealthCheck))
def test_answers_are_those_of_the_document(
    case: schemathesis.Case[Any], browsers: dict[Role | None, Browser], role: Role | None
) -> None:
    browser = browsers[role]
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    response = case.call(base_url=str(browser.base_url), headers={**browser.headers, "cookie": cookies})
    case.validate_response(response, checks=CHECKS)
    is_unreadable = response.status_code in (400, 422) and isinstance(case.body, bytes)  # bodies are read first of all
    assert response.status_code < 500 or response.json()["type"] == NO_BROKER
    route = f"{case.method} {case.path}"
    act = ACTS[route]
    if act is None:
        assert route in PUBLIC_ROUTES
    elif role is None:
        assert response.status_code == 401 or is_unreadable
    elif not role.includes(POLICY[act].role):
        assert response.status_code == 403 or is_unreadable
