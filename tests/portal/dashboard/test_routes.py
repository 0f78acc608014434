"""The dashboard and the settings page: what was measured, how the portal was started, and never a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from portal.settings import PortalSettings
from tests.services.homeport import eventually
from tests.services.portal import Browser, Portal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    settings = {"CLOUDFLARE_TOKEN": "sparrow-secret-token", "TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8"}
    with Portal(tmp_path_factory.mktemp("portal"), settings) as portal:
        yield portal.set_up()


def test_database_is_measured_soon_after_the_start(anna: Browser) -> None:
    def measured() -> dict[str, Any] | None:
        readings = {reading["name"]: reading for reading in anna.get("/api/dashboard").json()["readings"]}
        database: dict[str, Any] = readings["portal:database"]
        return database if database["measured_at"] else None

    reading = eventually(measured)
    assert reading["unit"] == "ms"
    assert reading["value"] > 0
    assert reading["status"] in ("ok", "warning")


def test_jobs_are_shown_with_their_last_run_and_the_next(anna: Browser) -> None:
    def ended() -> dict[str, Any] | None:
        jobs = {job["name"]: job for job in anna.get("/api/dashboard").json()["jobs"]}
        assert jobs["forget what is old"]["last_at"] is None
        probe: dict[str, Any] = jobs["probe portal:database"]
        return probe if probe["last_at"] else None

    job = eventually(ended)
    assert job["last_error"] is None
    assert job["next_at"] > job["last_at"]


def test_every_setting_is_shown_and_no_secret(anna: Browser) -> None:
    answer = anna.get("/api/settings")
    assert "sparrow" not in answer.text
    document = answer.json()
    settings = {setting["name"]: setting for setting in document["settings"]}
    assert settings.keys() == {PortalSettings.variable(field) for field in PortalSettings.model_fields}
    assert all(setting["description"] for setting in settings.values())
    token = settings["HOMEPORT_PORTAL_CLOUDFLARE_TOKEN"]
    assert (token["value"], token["is_secret"], token["is_set"]) == (None, True, True)
    assert settings["HOMEPORT_PORTAL_DATABASE_URL"]["is_secret"] is True
    assert settings["HOMEPORT_PORTAL_DATABASE_URL"]["is_set"] is False
    assert settings["HOMEPORT_PORTAL_TRUSTED_PROXIES"]["value"] == "127.0.0.1,10.0.0.0/8"
    assert document["database"] == "SQLite"
    assert document["version"]
