"""No secret in what the commands print, log, write down or quote: canaries in every store, all outputs searched."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import threading
from collections import UserDict, deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kit.clock import SystemClock
from portal.edge import desired
from portal.edge.account_acts import AccountActs
from portal.edge.ownership import Kind, Ownership, recipients_key
from portal.edge.service import secrets_of
from portal.edge.steps import Act, Step
from portal.integrations.cloudflare import Cloudflare, CloudflareError
from portal.settings import EdgeSettings
from tests.fakes.cloudflare import CloudflareFake
from tests.portal.conftest import HOME, Edge
from tests.portal.worker_stub import WorkerStub

PART = "canary-webhook-path"  # a part of a secret, which alone nobody could recognise and cut


@pytest.fixture
def canaries(edge: Edge) -> list[str]:
    """Put a secret into every store there is and deploy with them; return them all."""
    secret = edge.new_key()
    edge.settings |= {
        "edge_alert_webhook": "https://alerts.elsewhere.example/" + PART,
        "edge_access_client_id": "canary-client-id.access",
        "edge_access_client_secret": "canary-client-secret",
    }
    edge.deploy()
    recipients_key = (edge.state_dir / "edge-recipients.key").read_text().strip()
    given = ["edge_alert_webhook", "edge_access_client_id", "edge_access_client_secret", "cloudflare_token"]
    return [secret, recipients_key, PART, *(edge.settings[name] for name in given)]


def assert_clean(text: str, canaries: list[str]) -> None:
    assert [canary for canary in canaries if canary in text] == []


COMMANDS: list[list[str]] = [
    ["plan"],
    ["plan", "--json"],
    ["status"],
    ["status", "--json"],
    ["drain"],
    ["sync", "--from", "-", "--json"],
    ["deploy", "--yes", "--json"],
    ["destroy", "--yes", "--json"],
]


def test_no_output_and_no_file_shows_a_secret(
    edge: Edge, canaries: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDFLARE_LOG", "debug")
    caplog.set_level(logging.DEBUG)
    with WorkerStub(edge.keys_file.read_text()) as worker:
        edge.settings["edge_worker_url"] = worker.url
        worker.answers["/drain"] = deque([{"drained": 0, "failed": 0, "held": 0, "stopped": None, "more": False}])
        edge.settings["edge_poison_limit"] = "3"  # something to deploy
        for command in COMMANDS:
            if command[0] == "destroy":
                assert_clean((edge.state_dir / "edge.json").read_text(), canaries)
            ended = edge.run(*command, stdin=f"bob@{HOME}\n")
            assert ended.code == 0, ended.err
            assert_clean(ended.out + ended.err, canaries)
    assert_clean(caplog.text, canaries)


def test_files_are_for_their_owner_alone(edge: Edge, canaries: list[str]) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in edge.state_dir.iterdir()}
    assert modes == {"edge.json": 0o600, "edge.lock": 0o600, "edge-recipients.key": 0o600}
    assert stat.S_IMODE(edge.state_dir.stat().st_mode) == 0o700


@pytest.mark.parametrize("status", [400, 500])
def test_error_that_quotes_a_secret_is_cut(edge: Edge, cf: CloudflareFake, canaries: list[str], status: Any) -> None:
    """Cloudflare has been seen to quote a request in its errors."""
    edge.settings["edge_poison_limit"] = "4"
    message = "Invalid binding: " + " ".join(canary for canary in canaries if canary != PART)
    cf.fail("PUT", "/workers/scripts/homeport-mail$", status, message=message, times=5)
    ended = edge.run("deploy", "--yes")
    assert ended.code == 1
    assert "Invalid binding: [redacted]" in ended.error
    assert_clean(ended.out + ended.err, canaries)


@pytest.mark.parametrize("how", [400, 500, "reset", "unsuccessful"])
def test_traceback_of_a_debugging_operator_shows_none(
    edge: Edge, cf: CloudflareFake, canaries: list[str], how: Any
) -> None:
    edge.settings["edge_poison_limit"] = "4"
    message = "Invalid binding: " + " ".join(canary for canary in canaries if canary != PART)
    if how == "reset":
        cf.fail("PUT", "/workers/scripts/homeport-mail$", how, times=5)
    else:
        cf.fail("PUT", "/workers/scripts/homeport-mail$", how, message=message, times=5)
    program = [sys.executable, "-c", "from kit.cli import main; main()", "edge", "deploy", "--yes"]
    environment = os.environ | edge.environment | {"HOMEPORT_DEBUG": "1", "CLOUDFLARE_LOG": "debug"}
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert_clean(ended.stdout + ended.stderr, canaries)


def test_wrong_settings_are_named_without_their_values(edge: Edge, canaries: list[str]) -> None:
    edge.settings |= {
        "edge_access_client_secret": "short",
        "cloudflare_account": "canary-account",
        "cloudflare_token": "changeme",
        "edge_mail_api_url": "http://canary-user:canary-password@mail.example",
    }
    ended = edge.run("plan")
    assert ended.code == 1
    for name in ("EDGE_ACCESS_CLIENT_SECRET", "CLOUDFLARE_ACCOUNT", "CLOUDFLARE_TOKEN", "EDGE_MAIL_API_URL"):
        assert f"HOMEPORT_PORTAL_{name}" in ended.err
    assert_clean(ended.err, [*canaries, "canary-account", "canary-user", "canary-password"])


async def test_error_that_quotes_a_key_made_in_the_same_run_is_cut(edge: Edge, cf: CloudflareFake) -> None:
    edge.state_dir.mkdir()
    key_file = edge.state_dir / "edge-recipients.key"

    def say(text: str) -> None:
        if text.startswith("done: create namespace"):
            message = f"Invalid binding: {key_file.read_text().strip()}"
            cf.fail("PUT", "/workers/scripts/homeport-mail$", 400, message=message)

    async with edge.service(say) as service:
        planned = service.plan(await service.look(), may_adopt=False, may_replace_mail=False)
        with pytest.raises(CloudflareError, match=r"Invalid binding: \[redacted\]"):
            await service.deploy(planned)


async def test_error_that_quotes_a_key_put_in_place_after_the_start_is_cut(edge: Edge, cf: CloudflareFake) -> None:
    edge.state_dir.mkdir()
    edge.settings["edge_alert_webhook"] = "https://alerts.elsewhere.example/" + PART
    async with edge.service() as service:
        said = f"Invalid binding: {edge.new_key()} for {edge.settings['edge_alert_webhook']}"
        cf.fail("PUT", "/workers/scripts/homeport-mail$", 400, message=said)
        planned = service.plan(await service.look(), may_adopt=False, may_replace_mail=False)
        with pytest.raises(CloudflareError, match=r"Invalid binding: \[redacted\] for \[redacted\]"):
            await service.deploy(planned)


@pytest.mark.parametrize("missing", ["keys", "recipients"])
def test_key_that_is_missing_keeps_no_other_from_being_known(edge: Edge, missing: str) -> None:
    secret = edge.new_key()
    edge.state_dir.mkdir()
    key = recipients_key(edge.state_dir, make=True)
    assert key is not None
    if missing == "keys":
        edge.keys_file.unlink()
    else:
        (edge.state_dir / "edge-recipients.key").write_text("not hex")
    found = secrets_of(EdgeSettings.load(edge.environment))
    assert found == ([key.hex()] if missing == "keys" else [secret])


class Watched(UserDict[str, str]):
    """Secrets that know in which threads all of them were read."""

    threads: set[int]

    def __iter__(self) -> Iterator[str]:
        self.threads.add(threading.get_ident())
        return super().__iter__()


async def test_digests_are_made_beside_the_event_loop(edge: Edge) -> None:
    """They are slow on purpose, and there may be five of them."""
    edge.state_dir.mkdir()
    async with edge.service() as service:
        await service.deploy(service.plan(await service.look(), may_adopt=False, may_replace_mail=False))
    settings, owned = EdgeSettings.load(edge.environment), Ownership.load(edge.state_dir)
    wish = desired.build(settings, bytes(32))
    secrets = Watched(wish.secrets)
    secrets.threads = set()
    token, account, url = settings.cloudflare_token, settings.cloudflare_account, settings.cloudflare_url
    async with Cloudflare(token, account=account, url=url, say=lambda _: None) as cf:
        acts = AccountActs(cf, owned, SystemClock(), lambda _: None, replace(wish, secrets=secrets))
        upload = acts.table()[Kind.WORKER, Act.CHANGE]
        await upload(Step(Kind.WORKER, Act.CHANGE, None, settings.edge_name, None, None, ""))
    assert secrets.threads
    assert threading.get_ident() not in secrets.threads
    assert owned.changed_secrets(wish.secrets) == []
