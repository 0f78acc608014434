"""The room as its users meet it: a real portal over HTTP and in a shell, and a unit that takes what it asks for."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.portal.backups.unit import (
    Json,
    Run,
    example,
    fresh,
    make_directory,
    obliging,
    unit,
    write_catalog,
)
from tests.portal.conftest import Ended
from tests.services.portal import PASSWORD, Browser, Portal
from tests.services.process import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_directory(tmp_path_factory.mktemp("backup") / "portal", fresh(example("full")))


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, directory: Path) -> Iterator[Portal]:
    settings = {"BACKUP_DIR": str(directory), "METRICS_LISTEN": f"127.0.0.1:{free_port()}"}
    with Portal(tmp_path_factory.mktemp("portal"), settings) as running:
        yield running


@pytest.fixture(scope="module")
def anna(portal: Portal) -> Browser:
    return portal.set_up()


def _ended(browser: Browser, answer: httpx2.Response) -> Json:
    assert answer.status_code == 202, answer.text
    give_up = time.monotonic() + 20
    while True:
        found: Json = browser.get(f"/api/operations/{answer.json()['id']}").json()
        if found["state"] != "running":
            return found
        assert time.monotonic() < give_up
        time.sleep(0.05)


def _point(browser: Browser) -> str:
    return str(browser.get("/api/backups").json()["points"][0]["id"])


def test_overview_points_assets_and_runs_are_the_catalogs(anna: Browser, directory: Path) -> None:
    catalog = json.loads((directory / "catalog.json").read_bytes())
    overview = anna.get("/api/backups").json()
    assert (overview["state"], overview["detail"], overview["pending"]) == ("fresh", "", [])
    assert {name: overview[name] for name in catalog if name != "schema_version"} == {
        name: value for name, value in catalog.items() if name != "schema_version"
    }
    assert anna.get("/api/backups/points").json() == {"points": catalog["points"]}
    assert anna.get("/api/backups/assets").json() == {"assets": catalog["assets"]}
    first = catalog["points"][0]
    view = anna.get(f"/api/backups/points/{first['id'].replace('/', '-', 1)}").json()
    assert view["point"] == first
    assert {"anna@home.test", "blog"} <= {each["name"] for each in view["assets"]}
    Run(directory, "20261122T020000Z-run-0000000a").started("run", by="timer")
    Run(directory, "20261122T020000Z-run-0000000a").ended()
    log = anna.get("/api/backups/runs/20261122T020000Z-run-0000000a").json()
    assert (log["state"], [line["type"] for line in log["lines"]]) == ("ended", ["started", "ended"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("points/daily-2001-01-01", 404),
        ("points/..%2f..%2fetc", 422),
        ("points/daily-2001-01-01%0a", 422),
        ("points/manual-20261122T020000Z-..", 422),
        ("runs/20261122T020000Z-run-ffffffff", 404),
        ("runs/..%2f..%2fcatalog", 422),
        ("runs/20261122T020000Z-run-ffffffff?after=-1", 422),
    ],
)
def test_what_is_none_is_refused(anna: Browser, path: str, status: int) -> None:
    answer = anna.get(f"/api/backups/{path}")
    assert answer.status_code in (status, 404), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("run", {"scope": "all\n"}),
        ("run", {"scope": "all", "retention": 1}),
        ("verify", {"point": "daily/../../etc"}),
        ("drill", {"asset": {"kind": "secret", "name": "key"}, "origin": "local"}),
        ("drill", {"asset": None, "origin": "repository"}),
        ("previews", {"point": "daily/2026-11-22", "asset": {"kind": "mailbox", "name": "x"}, "where": "/etc"}),
        ("restores", {"preview": "../../x"}),
        ("restores", {"preview": "20261122T020000Z-restore-0000000a"}),
    ],
)
def test_what_no_request_can_be_is_refused(anna: Browser, directory: Path, path: str, body: Json) -> None:
    assert anna.post(f"/api/backups/{path}", json=body).status_code == 422
    assert not list((directory / "requests").glob("*.json"))


def test_run_is_an_operation_and_a_repeated_one_is_the_same(anna: Browser, portal: Portal, directory: Path) -> None:
    with unit(directory, obliging) as taken:
        answer = anna.post("/api/backups/run", json={}, headers={"Idempotency-Key": "k1"})
        operation = _ended(anna, answer)
        again = anna.post("/api/backups/run", json={}, headers={"Idempotency-Key": "k1"})
        assert again.json()["id"] == operation["id"]
        _ended(anna, anna.post("/api/backups/verify", json={"point": _point(anna)}))
        _ended(anna, anna.post("/api/backups/drill", json={"asset": {"kind": "site", "name": "blog"}}))
        _ended(anna, anna.post("/api/backups/drill", json={}))
    assert (operation["act"], operation["target"], operation["state"]) == ("backups:run", "all", "done")
    assert [each["act"] for each in taken] == ["run", "verify", "drill", "drill"]
    assert [each.get("asset") for each in taken[2:]] == [{"kind": "site", "name": "blog"}, None]
    actions = [(row["action"], row["result"]) for row in portal.audit(action="backups:run")]
    assert actions == [("ui:backups:run", "done"), ("ui:backups:run", "accepted")]


def test_restore_in_place_needs_the_typed_point_and_a_fresh_factor(
    anna: Browser, portal: Portal, directory: Path
) -> None:
    point = _point(anna)
    wanted = {"point": point, "asset": {"kind": "mailbox", "name": "anna@home.test"}, "where": "in-place"}
    with unit(directory, obliging) as taken:
        run = _ended(anna, anna.post("/api/backups/previews", json=wanted))["result"]["run"]

        def restore(**more: str) -> httpx2.Response:
            return anna.post("/api/backups/restores", json={"preview": run, **more})

        refused = restore()
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/typed-name-required")
        assert refused.json()["name"] == point
        assert restore(confirm_point="daily/2001-01-01").json()["type"] == "/problems/typed-name-required"
        with sqlite3.connect(portal.state_dir / "portal.sqlite3") as database:  # her login was a fresh factor
            database.execute("UPDATE sessions SET factor_at = '2026-01-01 00:00:00.000000'")
        assert restore(confirm_point=point).json()["type"] == "/problems/step-up-required"
        assert anna.post("/api/step-up", json={"password": PASSWORD}).status_code == 200
        assert _ended(anna, restore(confirm_point=point))["state"] == "done"
    assert [(each["act"], each.get("confirm")) for each in taken] == [("preview", None), ("restore", point)]
    denied = [row["detail"] for row in portal.audit(action="backups:restore", result="denied")]
    assert denied == ["step-up-required", "typed-name-required", "typed-name-required"]


def test_viewer_looks_and_a_token_restores_beside_alone(anna: Browser, portal: Portal, directory: Path) -> None:
    invited = anna.post("/api/users", json={"name": "vera", "role": "viewer"}).json()
    vera = portal.browser()
    token = invited["invitation"].partition("#")[2]
    assert vera.post("/api/invitation", json={"token": token, "password": PASSWORD}).status_code == 200
    assert vera.get("/api/backups").status_code == 200
    for path in ("run", "verify", "drill", "previews", "restores"):
        assert vera.post(f"/api/backups/{path}", json={}).status_code == 403
    scopes = [{"act": f"backups:{verb}"} for verb in ("read", "preview", "restore")]
    secret = anna.post("/api/tokens", json={"name": "t", "scopes": scopes, "expires_in_days": 1}).json()["secret"]
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    point = _point(anna)
    asset = {"kind": "mailbox", "name": "anna@home.test"}
    with unit(directory, obliging), httpx2.Client(base_url=portal.url, headers=headers, trust_env=False) as robot:
        for where, status in (("beside", 202), ("in-place", 403)):
            wanted = {"point": point, "asset": asset, "where": where}
            run = _ended(anna, robot.post("/api/backups/previews", json=wanted))["result"]["run"]
            answer = robot.post("/api/backups/restores", json={"preview": run, "confirm_point": point})
            assert answer.status_code == status, answer.text
            if status == 202:
                assert _ended(anna, answer)["state"] == "done"


def test_dashboard_and_metrics_say_what_was_measured(anna: Browser, portal: Portal) -> None:
    def readings() -> dict[str, Any]:
        found = anna.get("/api/dashboard").json()["readings"]
        return {each["name"]: each for each in found if each["name"].startswith("backups:")}

    give_up = time.monotonic() + 20
    while any(each["measured_at"] is None for each in readings().values()):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    assert {name: each["status"] for name, each in readings().items()} == {
        "backups:local": "ok",
        "backups:vault": "ok",
        "backups:margin": "ok",
        "backups:drill": "critical",  # the site's last one found nothing
        "backups:coverage": "critical",  # a site is in no source
    }
    text = httpx2.get(f"http://{portal.settings['METRICS_LISTEN']}/metrics", trust_env=False).text
    for name in ('homeport_backup_age_seconds{copy="local"}', "homeport_vault_lock_margin_seconds"):
        (value,) = [line.split()[-1] for line in text.splitlines() if line.startswith(name)]
        assert float(value) > 0
    assert 'homeport_backup_drill_seconds{asset_kind="mailbox",origin="local"}' in text


def test_commands_show_and_act(anna: Browser, portal: Portal, directory: Path, run_cli: Callable[..., Ended]) -> None:
    def run(*arguments: str, code: int = 0) -> Ended:
        environment = {name: value for name, value in portal.environment.items() if "STATE_DIR" in name}
        ended = run_cli("backups", *arguments, environment=environment)
        assert ended.code == code, ended.err
        return ended

    point = _point(anna)
    assert point in run("list").out
    assert run("list", "--json").document["points"][0]["id"] == point
    shown = run("show", point).out
    assert "verified" in shown
    assert "mailbox:anna@home.test" in shown
    assert "at most 24.0 h" in run("status").out
    covered = run("coverage").out.splitlines()
    assert covered[1].startswith("site:shop")
    assert "missing" in covered[1]
    with unit(directory, obliging) as taken:
        ran = run("run", "site:blog")
        assert "stage: source=site:blog" in ran.err
        assert "manual/20261122T061500Z-all" in ran.out
        run("verify", point)
        run("drill", "site:blog", "--origin", "vault")
        previewed = run("preview", point, "mailbox:anna@home.test", "--folder", ".Sent").out
        assert "2 added, 0 overwritten, 0 deleted" in previewed
        command = previewed.splitlines()[-1].partition("homeport backups ")[2].split()
        assert run(*command, "--json").document["state"] == "done"
        in_place = run("preview", point, "mailbox:anna@home.test", "--in-place").out.splitlines()[-1]
        assert in_place.endswith(f"--confirm {point}")
        refused = run("restore", in_place.split()[-3], "--confirm", point, "--services-stopped", code=1)
    assert "fresh factor" in refused.err, "which is asked for on a terminal"
    assert [each["act"] for each in taken] == ["run", "verify", "vaultdrill", "preview", "restore", "preview"]
    assert taken[3]["folder"] == ".Sent"
    run("show", "../x", code=2)
    run("preview", point, "nothing:x", code=1)
    with unit(directory, lambda request, run: run.ended(4, "mysqldump: Got error: 2013\x1b[31m")):
        failed = run("run", code=1)
    assert "mysqldump: Got error: 2013" in failed.err
    assert "\x1b" not in failed.err


def test_old_absent_and_damaged_catalogs_say_so(anna: Browser, portal: Portal, directory: Path) -> None:
    good = (directory / "catalog.json").read_bytes()
    try:
        write_catalog(directory, example("full") | {"written_at": "2026-01-01T00:00:00Z"})
        assert anna.get("/api/backups").json()["state"] == "stale"
        assert "no run has ended since" in portal.run("backups", "list").stderr
        (directory / "catalog.json").write_text("{")
        found = anna.get("/api/backups").json()
        assert (found["state"], found["points"], found["meters"]) == ("damaged", [], None)
        answer = anna.get("/api/backups/points")
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/backup-catalog-unreadable")
        (directory / "catalog.json").unlink()
        assert anna.get("/api/backups").json()["state"] == "absent"
    finally:
        (directory / "catalog.json").write_bytes(good)


def test_thousand_points_are_listed_within_the_budget(anna: Browser, directory: Path) -> None:
    good = json.loads((directory / "catalog.json").read_bytes())
    many = [good["points"][0] | {"assets": [f"mailbox:m{n}@home.test" for n in range(20)]} for _ in range(1000)]
    try:
        write_catalog(directory, good | {"points": many})
        assert len(anna.get("/api/backups").json()["points"]) == 1000
        took = []
        for _ in range(5):
            began = time.monotonic()
            anna.get("/api/backups")
            took.append(time.monotonic() - began)
        assert min(took) < 0.5, took  # the machine is shared; alone it is a tenth
    finally:
        write_catalog(directory, good)
