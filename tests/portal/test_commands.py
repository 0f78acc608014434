"""`homeport portal ...`: what it prints, and that describing the portal starts nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from portal.app import Adapters, create_app
from portal.settings import PortalSettings
from tests.services.portal import HOMEPORT, Portal

pytestmark = pytest.mark.slow


def test_openapi_is_printed_without_settings_and_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [HOMEPORT, "portal", "openapi"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"HOME": str(tmp_path)},
        timeout=60,
    )
    settings = PortalSettings(state_dir=Path("/nonexistent"))
    assert json.loads(ended.stdout) == create_app(settings, Adapters.of(settings)).openapi()
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_command_and_imports_no_portal(tmp_path: Path) -> None:
    ended = subprocess.run(
        [HOMEPORT, "portal", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(tmp_path), "PYTHONPROFILEIMPORTTIME": "1"},
        timeout=60,
    )
    assert all(command in ended.stdout for command in ("serve", "broker", "migrate", "openapi"))
    assert "sqlalchemy" not in ended.stderr
    assert "fastapi" not in ended.stderr


def test_migrate_needs_a_state_directory_and_says_which_setting(tmp_path: Path) -> None:
    portal = Portal(tmp_path)
    del portal.settings["STATE_DIR"]
    ended = portal.run("portal", "migrate", check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1] == "homeport: error: HOMEPORT_PORTAL_STATE_DIR is not set"


def test_migrate_says_when_the_database_does_not_answer_and_never_its_password(tmp_path: Path) -> None:
    url = "mysql+pymysql://homeport:canary-secret@127.0.0.1:1/homeport"
    ended = Portal(tmp_path, {"DATABASE_URL": url}).run("portal", "migrate", check=False)
    assert ended.returncode == 1
    assert "Database is unavailable" in ended.stderr
    assert "canary" not in ended.stdout + ended.stderr
