"""The room as its users meet it: a real portal, a real broker, a real engine; pages by HTTP, commands in a shell."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.services.docker_engine import DockerEngine
from tests.services.portal import PASSWORD, Browser, Portal
from tests.services.process import Daemon

Json = dict[str, Any]


@pytest.fixture
def portal(tmp_path: Path, broker_process: Callable[..., Daemon], docker_engine: DockerEngine) -> Iterator[Portal]:
    path = tmp_path / "broker.sock"
    broker_process(path, docker_host=docker_engine.url)
    with Portal(tmp_path, {"BROKER_SOCKET": str(path)}) as running:
        yield running


@pytest.fixture
def anna(portal: Portal) -> Browser:
    return portal.set_up()


def _listed(browser: Browser) -> dict[str, Json]:
    answer = browser.get("/api/containers")
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["containers"]}


def _until(is_true: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 20
    while not (found := is_true()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return found


def _ended(browser: Browser, operation: Json) -> Json:
    def ended() -> Json | None:
        found: Json = browser.get(f"/api/operations/{operation['id']}").json()
        return None if found["state"] == "running" else found

    found: Json = _until(ended)
    return found


def _events(browser: Browser, path: str, count: int, **headers: str) -> list[tuple[str, str, Any]]:
    """The first events of a stream: (id, event, data)."""
    found: list[tuple[str, str, Any]] = []
    fields: dict[str, str] = {}
    with browser.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            name, _, value = line.partition(":")
            if line and name:
                fields[name] = value.strip()
            elif "data" in fields:
                found.append((fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])))
                fields = {}
                if len(found) == count:
                    return found
    return found


# -- looking ----------------------------------------------------------------------------------------------------------


def test_list_and_page_show_a_container(anna: Browser, docker_engine: DockerEngine) -> None:
    docker_engine.run(
        name="n1",
        service="mail-nginx",
        environment={"DB_PASSWORD": "canary-1f"},
        ports={"80/tcp": ("127.0.0.1", 18081)},
    )
    docker_engine.run(name="d1", service="mail-dovecot")
    docker_engine.run(name="foreign", stack="other")
    listed = _until(lambda: len(_listed(anna)) == 2 and _listed(anna))
    assert set(listed) == {"n1", "d1"}
    assert (listed["n1"]["state"], listed["n1"]["is_protected"], listed["n1"]["health"]) == ("running", False, None)
    assert "127.0.0.1:18081->80/tcp" in listed["n1"]["ports"]
    assert (listed["d1"]["is_protected"], listed["d1"]["role"]) == (True, "mailboxes")
    uses = anna.get("/api/used-by/container/d1").json()["uses"]
    assert [(each["why"], each["name"]) for each in uses] == [
        ("goes-dark", "mail-delivery"),
        ("goes-dark", "mail-reading"),
    ]
    assert [each["why"] for each in anna.get("/api/used-by/container/n1").json()["uses"]] == ["publishes"]
    for kind, name in (("container", "foreign"), ("zone", "home.example")):
        assert anna.get(f"/api/used-by/{kind}/{name}").json() == {"uses": [], "silent_rooms": []}
    page = anna.get("/api/containers/n1")
    assert "DB_PASSWORD" in page.json()["environment"]
    assert "canary-1f" not in page.text
    assert anna.get("/api/containers/foreign").json()["type"] == "/problems/no-such-container"
    assert anna.get("/api/containers").json()["engine"]["state"] == "connected"
    used = _until(lambda: _listed(anna)["n1"]["stats"])
    assert used["memory_bytes"] > 0
    assert anna.get("/api/containers/n1/stats").json()["samples"]
    for path, member in (("stacks", "stacks"), ("images", "images"), ("disk-usage", "volumes"), ("events", "events")):
        assert anna.get(f"/api/containers/{path}").json()[member]


@pytest.mark.parametrize("name", ["..%2f..%2fetc", "-rf", "%00", "a%20b", "a" * 256, "%E2%80%AE"])
def test_name_that_is_none_is_refused(anna: Browser, name: str) -> None:
    answer = anna.get(f"/api/containers/{name}")
    assert answer.status_code in (404, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_portal_without_a_broker_says_so(tmp_path: Path) -> None:
    with Portal(tmp_path) as portal:
        anna = portal.set_up()
        listed = anna.get("/api/containers").json()
        assert (listed["engine"]["state"], listed["containers"], listed["measured_at"]) == ("not-configured", [], None)
        answer = anna.get("/api/containers/n1")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/broker-unavailable")


# -- acting -----------------------------------------------------------------------------------------------------------


def test_restart_is_an_operation(portal: Portal, anna: Browser, docker_engine: DockerEngine) -> None:
    container = docker_engine.run(name="n1")
    _until(lambda: _listed(anna))
    before = container.state()["StartedAt"]
    answer = anna.post("/api/containers/n1/restart", json={"grace_s": 0}, headers={"Idempotency-Key": "k1"})
    assert answer.status_code == 202, answer.text
    assert _ended(anna, answer.json())["state"] == "done"
    after = container.state()["StartedAt"]
    assert after > before
    again = anna.post("/api/containers/n1/restart", json={"grace_s": 0}, headers={"Idempotency-Key": "k1"})
    assert again.json()["id"] == answer.json()["id"], "repeated, not done again"
    assert container.state()["StartedAt"] == after
    actions = [(row["action"], row["result"]) for row in portal.audit(target="n1")]
    assert actions == [("ui:containers:restart", "done"), ("ui:containers:restart", "accepted")]


def test_protected_container_needs_reason_name_and_fresh_factor(
    portal: Portal, anna: Browser, docker_engine: DockerEngine
) -> None:
    container = docker_engine.run(name="d1", service="mail-dovecot")
    _until(lambda: _listed(anna))

    def stop(**wanted: str) -> Json:
        document: Json = anna.post("/api/containers/d1/stop", json=wanted | {"grace_s": 0}).json()
        return document

    refused = stop()
    assert refused["type"] == "/problems/reason-required"
    assert [use["name"] for use in refused["used_by"]] == ["mail-delivery", "mail-reading"]
    assert stop(reason="new certificate")["type"] == "/problems/typed-name-required"
    assert stop(reason="new certificate", typed_name="d2")["type"] == "/problems/typed-name-required"
    with sqlite3.connect(portal.state_dir / "portal.sqlite3") as database:  # her login was a fresh factor, five minutes
        database.execute("UPDATE sessions SET factor_at = '2026-01-01 00:00:00.000000'")
    assert stop(reason="new certificate", typed_name="d1")["type"] == "/problems/step-up-required"
    assert container.state()["Running"]
    answer = anna.post("/api/step-up", json={"password": PASSWORD})
    assert answer.status_code == 200, answer.text
    assert _ended(anna, stop(reason="new certificate", typed_name="d1"))["state"] == "done"
    assert not container.state()["Running"]
    denied = [row["detail"] for row in portal.audit(target="d1", result="denied")]
    assert denied == ["step-up-required", "typed-name-required", "typed-name-required", "reason-required"]
    bulk = anna.post("/api/containers/restart", json={"names": ["d1", "gone"]}).json()["results"]
    assert [each["problem"]["type"] for each in bulk] == [
        "/problems/container-protected",
        "/problems/no-such-container",
    ]


def test_plan_is_made_applied_and_taken_back(portal: Portal, anna: Browser, docker_engine: DockerEngine) -> None:
    first, second = docker_engine.run(name="n1"), docker_engine.run(name="n2")
    _until(lambda: len(_listed(anna)) == 2)
    answer = anna.post("/api/containers/plans", json={"names": ["n1", "n2"], "want": "stopped"})
    assert answer.status_code == 201, answer.text
    plan = answer.json()
    assert [(each["name"], each["before"], each["after"]) for each in plan["changes"]] == [
        ("n1", "running", "stopped"),
        ("n2", "running", "stopped"),
    ]
    assert anna.get(f"/api/containers/plans/{plan['id']}").json() == plan
    assert first.state()["Running"], "so far it is a plan"

    answer = anna.post(f"/api/containers/plans/{plan['id']}/apply", json={"grace_s": 0})
    assert answer.status_code == 202, answer.text
    operation = _ended(anna, answer.json())
    assert (operation["state"], operation["inverse"]["plan_id"]) == ("done", plan["id"])
    assert sorted((each["name"], each["state"]) for each in operation["result"]["results"]) == [
        ("n1", "done"),
        ("n2", "done"),
    ]
    assert not first.state()["Running"]
    assert not second.state()["Running"]
    again = anna.post(f"/api/containers/plans/{plan['id']}/apply", json={})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/plan-applied")

    back = anna.post(f"/api/containers/plans/{plan['id']}/undo", json={}).json()
    assert (back["undoes"], [each["after"] for each in back["changes"]]) == (plan["id"], ["running", "running"])
    _ended(anna, anna.post(f"/api/containers/plans/{back['id']}/apply", json={}).json())
    assert first.state()["Running"]
    assert second.state()["Running"]


def test_stale_plan_does_nothing_and_is_answered_with_the_new_one(anna: Browser, docker_engine: DockerEngine) -> None:
    container = docker_engine.run(name="n1")
    docker_engine.run(name="n2", start=False)
    _until(lambda: len(_listed(anna)) == 2)
    plan = anna.post("/api/containers/plans", json={"names": ["n1", "n2"], "want": "running"}).json()
    assert (plan["unchanged"], [each["name"] for each in plan["changes"]]) == (["n1"], ["n2"])
    docker_engine.client.api.kill(container.id)
    container.wait_for(Running=False)
    stale = anna.post(f"/api/containers/plans/{plan['id']}/apply", json={})
    assert (stale.status_code, stale.json()["type"]) == (409, "/problems/plan-stale")
    new = stale.json()["plan"]
    assert [each["name"] for each in new["changes"]] == ["n1", "n2"]
    assert anna.get(f"/api/containers/plans/{new['id']}").json() == new
    assert anna.post(f"/api/containers/plans/{plan['id']}/undo", json={}).json()["type"] == "/problems/plan-not-applied"
    unknown = anna.post("/api/containers/plans", json={"names": ["n1", "gone"], "want": "running"})
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/no-such-container")
    for path in ("0" * 26, "nonsense"):
        assert anna.post(f"/api/containers/plans/{path}/apply", json={}).status_code in (404, 422)


def test_plan_of_protected_containers_keeps_their_rules(
    portal: Portal, anna: Browser, docker_engine: DockerEngine
) -> None:
    container = docker_engine.run(name="d1", service="mail-dovecot")
    docker_engine.run(name="n1")
    _until(lambda: len(_listed(anna)) == 2)
    plan = anna.post("/api/containers/plans", json={"names": ["d1", "n1"], "want": "stopped"}).json()
    assert [each["is_protected"] for each in plan["changes"]] == [True, False]
    assert [use["name"] for use in plan["changes"][0]["used_by"]] == ["mail-delivery", "mail-reading"]

    def apply(**wanted: Any) -> Json:
        path = f"/api/containers/plans/{plan['id']}/apply"
        document: Json = anna.post(path, json=wanted | {"grace_s": 0}).json()
        return document

    assert apply()["type"] == "/problems/reason-required"
    assert apply(reason="new certificate", typed_names=["n1"])["type"] == "/problems/typed-name-required"
    with sqlite3.connect(portal.state_dir / "portal.sqlite3") as database:
        database.execute("UPDATE sessions SET factor_at = '2026-01-01 00:00:00.000000'")
    assert apply(reason="new certificate", typed_names=["d1"])["type"] == "/problems/step-up-required"
    assert container.state()["Running"]
    denied = [row["detail"] for row in portal.audit(target=plan["id"], result="denied")]
    assert denied == ["step-up-required", "typed-name-required", "reason-required"]
    assert anna.post("/api/step-up", json={"password": PASSWORD}).status_code == 200
    operation = _ended(anna, apply(reason="new certificate", typed_names=["d1"]))
    assert (operation["state"], operation["detail"]["reason"]) == ("done", "new certificate")
    assert not container.state()["Running"]


# -- streams ----------------------------------------------------------------------------------------------------------


def test_log_stream_follows_resumes_and_ends(anna: Browser, docker_engine: DockerEngine) -> None:
    docker_engine.run("echo one; echo '<img src=x onerror=alert(1)>' >&2; sleep 0.5; echo three; sleep 0.5", name="n1")
    _until(lambda: _listed(anna))
    events = _events(anna, "/api/containers/n1/logs/follow", 100)
    assert events[-1][1:] == ("end", {"why": "ended"})
    lines = [line for _, event, data in events if event == "lines" for line in data]
    assert {(line["stream"], line["text"]) for line in lines} == {
        ("stdout", "one"),
        ("stderr", "<img src=x onerror=alert(1)>"),
        ("stdout", "three"),
    }
    second = lines[1]["at"]
    resumed = _events(anna, "/api/containers/n1/logs/follow", 100, **{"Last-Event-ID": second})
    assert [line["text"] for _, event, data in resumed if event == "lines" for line in data] == ["three"]
    for hostile in (
        "null",
        "1",
        "'; DROP TABLE",
        "9999-99-99T00:00:00Z",
        "2026-11-22T00:00:00",
        "2026-W01-1T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-22T00:00:00.1234567890Z",
        "2099-12-31T23:59:59Z",
        "9999-12-31T23:59:59.999999999Z",
    ):
        again = _events(anna, "/api/containers/n1/logs/follow", 100, **{"Last-Event-ID": hostile})
        assert sum(len(data) for _, event, data in again if event == "lines") == 3
    read = anna.get("/api/containers/n1/logs", params={"tail": 2}).json()
    assert (len(read["lines"]), read["is_truncated"]) == (2, True)
    download = anna.get("/api/containers/n1/logs/download")
    assert download.headers["content-disposition"] == 'attachment; filename="n1.log"'
    assert len(download.text.splitlines()) == 3


def test_times_at_the_ends_of_the_calendar_are_answered(anna: Browser, docker_engine: DockerEngine) -> None:
    docker_engine.run("echo one", name="n1")
    _until(lambda: _listed(anna))
    path = "/api/containers/n1/logs"
    for at, status in (
        ("0001-01-01T00:00:00Z", 200),
        ("9999-12-31T23:59:59.999999Z", 200),
        ("0001-01-01T00:00:00+23:59", 422),
        ("9999-12-31T23:59:59.999999-23:59", 422),
        ("2026-11-22T00:00:00", 422),
    ):
        for where, name in ((path, "since"), (path, "before"), (f"{path}/download", "since")):
            assert anna.get(where, params={name: at}).status_code == status, (where, name, at)
    events = _events(anna, f"{path}/follow?since=9999-12-31T23:59:59.999999Z", 100)
    assert [event for _, event, _ in events] == ["end"]


def test_streams_say_why_they_cannot_begin(anna: Browser, docker_engine: DockerEngine) -> None:
    for path in ("logs/follow", "stats/follow"):
        ((_, event, data),) = _events(anna, f"/api/containers/gone/{path}", 2)
        assert (event, data["type"]) == ("problem", "/problems/no-such-container")


def test_open_stream_does_not_hold_a_portal_that_stops(
    portal: Portal, anna: Browser, docker_engine: DockerEngine
) -> None:
    docker_engine.run("echo hello; sleep 1000", name="n1")
    _until(lambda: _listed(anna))
    with ExitStack() as stack:
        flows = []
        for path in ("logs/follow", "stats/follow"):
            answer = stack.enter_context(anna.stream("GET", f"/api/containers/n1/{path}"))
            flows.append(flow := answer.iter_raw())
            assert next(flow)
        portal.stop()
        for flow in flows:
            list(flow)  # raises when it was cut off instead of ended
    assert "graceful shutdown exceeded" not in portal.log.read_text(), (
        "the server had not to wait for its patience's end"
    )


def test_stats_stream_measures_every_second(anna: Browser, docker_engine: DockerEngine) -> None:
    docker_engine.run("while :; do :; done", name="n1")
    _until(lambda: _listed(anna))
    first, second = _events(anna, "/api/containers/n1/stats/follow", 2)
    assert (first[1], second[1]) == ("sample", "sample")
    assert second[2]["cpu_percent"] > 0


# -- commands ---------------------------------------------------------------------------------------------------------


def test_commands_do_what_the_pages_do(portal: Portal, docker_engine: DockerEngine) -> None:
    docker_engine.run("echo hello; echo problem >&2; sleep 1000", name="n1")
    docker_engine.run(name="d1", service="mail-dovecot")

    def run(*arguments: str, check: bool = True) -> Any:
        return portal.run("containers", *arguments, check=check)

    _until(lambda: "n1" in run("list").stdout and "d1" in run("list").stdout)
    assert {each["name"] for each in json.loads(run("list", "--json").stdout)["containers"]} == {"n1", "d1"}
    assert "running" in run("show", "n1").stdout
    logs = run("logs", "n1")
    assert ("hello" in logs.stdout, "problem" in logs.stderr) == (True, True)
    stopped = run("stop", "n1", "--grace", "0")
    assert "done" in stopped.stdout
    assert "exited" in run("list").stdout
    assert run("start", "n1").returncode == 0
    refused = run("stop", "d1", check=False)
    assert (refused.returncode, "Reason required" in refused.stderr) == (1, True)
    both = run("restart", "gone", "n1", "--grace", "0", check=False)
    assert both.returncode == 1
    assert ("refused" in both.stdout, "done" in both.stdout) == (True, True)
    assert run("show", "gone", check=False).returncode == 1
    events = json.loads(run("events", "n1", "--json").stdout)["events"]
    assert {"start", "die"} <= {each["action"] for each in events}
    planned = json.loads(run("plan", "stopped", "n1", "--json").stdout)
    assert "homeport containers apply" in run("plan", "stopped", "n1", "d1").stdout
    assert "goes dark mail-delivery" in run("plan", "stopped", "d1").stdout
    applied = run("apply", planned["id"], "--grace", "0")
    assert ("n1" in applied.stdout, "done" in applied.stdout) == (True, True)
    back = json.loads(run("undo", planned["id"], "--json").stdout)
    assert run("apply", back["id"]).returncode == 0
    stale = run("undo", planned["id"], check=False)
    assert (stale.returncode, "Plan is stale" in stale.stderr, "Nothing has to change" in stale.stdout) == (
        1,
        True,
        True,
    )
    assert run("plan", "stopped", "n1").stdout.splitlines()[0].split() == ["NAME", "NOW", "THEN", "WHAT", "SUFFERS"]
    assert run("kept-logs").stdout == "Nothing is kept of removed containers.\n"
    assert run("stats", "n1").returncode == 0
    assert "homeport-test/busybox" in run("images").stdout
    assert {"images", "build_cache"} <= json.loads(run("disk", "--json").stdout).keys()
    assert "COULD BE FREED" in run("disk").stdout
    assert os.geteuid() == 0
