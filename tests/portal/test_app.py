"""The application as it is built: nothing unguarded, problems explained, an OpenAPI document that a client can use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI

from kit.problem import all_problems
from portal.actor import Actor
from portal.app import Adapters, create_app
from portal.auth.dependencies import GuardedRoute, allowed
from portal.auth.permissions import PUBLIC_ROUTES, UnguardedRoute, routes_of
from portal.settings import PortalSettings
from tests.kit.server import serve


@pytest.fixture(scope="module")
def app() -> FastAPI:
    settings = PortalSettings(state_dir=Path("/nonexistent"))
    return create_app(settings, Adapters.of(settings))


def test_building_the_application_opens_nothing(app: FastAPI) -> None:
    assert not hasattr(app.state, "portal")
    assert not Path("/nonexistent").exists()


def test_route_without_a_permission_keeps_the_portal_from_being_built(monkeypatch: pytest.MonkeyPatch) -> None:
    router = APIRouter(route_class=GuardedRoute)

    @router.get("/api/forgotten")
    async def forgotten() -> None: ...

    @router.get("/api/remembered")
    async def remembered(actor: Annotated[Actor, allowed("audit:read")]) -> None: ...

    monkeypatch.setattr("portal.app.dashboard_routes", router)
    settings = PortalSettings(state_dir=Path("/nonexistent"))
    with pytest.raises(UnguardedRoute) as caught:
        create_app(settings, Adapters.of(settings))
    assert "GET /api/forgotten" in str(caught.value)
    assert "remembered" not in str(caught.value)


def test_public_routes_are_those_that_are_listed(app: FastAPI) -> None:
    assert {str(route) for route in routes_of(app) if route.act is None} <= PUBLIC_ROUTES


def test_every_problem_is_explained_where_its_type_leads(app: FastAPI) -> None:
    import httpx2

    with serve(app) as url:
        host = {"Host": "localhost:8080"}
        for cls in all_problems():
            if not cls.__module__.startswith(("kit", "portal")):
                continue
            document = httpx2.get(f"{url}/problems/{cls.type}", headers=host).json()
            assert (document["title"], document["status"]) == (cls.title, cls.status)
            assert document["description"]
        assert httpx2.get(f"{url}/problems/nothing", headers=host).status_code == 404


# -- OpenAPI ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_operation_ids_are_names_a_client_can_use(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(ids)) == len(ids)
    assert all(name.isidentifier() and name == name.lower() for name in ids)


def test_every_operation_documents_its_problems_in_one_shape(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        assert "422" not in operation["responses"]
        (media_type,) = operation["responses"]["default"]["content"]
        assert media_type == "application/problem+json"
    assert "HTTPValidationError" not in json.dumps(document)


def test_references_of_the_document_lead_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        text = text.replace(f'"#/components/schemas/{name}"', "")
    assert "#/components/schemas/" not in text


def test_document_holds_the_api_and_not_the_front_end(document: dict[str, Any]) -> None:
    assert {path for path in document["paths"] if not path.startswith("/api/")} == {"/livez"}
    assert {"/api/session", "/api/audit", "/api/operations", "/api/events", "/api/containers"} <= document[
        "paths"
    ].keys()
