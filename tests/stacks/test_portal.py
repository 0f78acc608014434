"""The portal of the booted deployment: it answers, shows the stacks' containers, acts on them by its broker."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.services.homeport import eventually
from tests.services.portal import PASSWORD, Browser
from tests.stacks.deployment import Deployment


@pytest.fixture(scope="module")
def operator(stack: Deployment) -> Iterator[Browser]:
    """The first administrator, by the link that the portal writes on its console."""
    with Browser(stack.portal_url) as browser:
        (*_, token) = re.findall(r"/setup#(\S+)", stack.log("portal", 1000))
        answer = browser.post("/api/setup", json={"token": token, "name": "anna", "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        yield browser


def test_front_end_is_served(stack: Deployment, operator: Browser) -> None:
    answer = operator.get("/")
    assert answer.status_code == 200
    assert '<div id="root">' in answer.text


def test_containers_of_all_stacks_are_shown_as_they_are(stack: Deployment, operator: Browser) -> None:
    ours = {
        state["Name"].removeprefix("/"): state["State"]["Status"]
        for service, state in stack.states().items()
        if not service.startswith("test-")
    }

    def shown() -> dict[str, str]:
        listed = operator.get("/api/containers").json()["containers"]
        return {each["name"]: each["state"] for each in listed if each["name"] in ours}

    assert eventually(lambda: shown() == ours)


def test_restart_by_the_portal_happens(stack: Deployment, operator: Browser) -> None:
    """Valkey: nobody's mail waits for it."""
    before = stack.state("mail-valkey")
    name = before["Name"].removeprefix("/")
    answer = operator.post(f"/api/containers/{name}/restart", json={})
    assert answer.status_code == 202, answer.text
    operation = answer.json()["id"]
    ended = eventually(
        lambda: found if (found := operator.get(f"/api/operations/{operation}").json())["state"] != "running" else None,
        within_s=60.0,
    )
    assert ended["state"] == "done", ended
    assert stack.state("mail-valkey")["State"]["StartedAt"] > before["State"]["StartedAt"]
    stack.wait_until_healthy("mail-valkey")


def test_broker_hears_nobody_but_the_portal(stack: Deployment) -> None:
    """The same question in the same words: the portal's user is answered, the broker's own and root are not."""
    assert re.fullmatch(r"\d+ containers", stack.execute("portal", "python3", "-c", ASK).strip())
    for user in ("10003:10002", "0:10002"):
        assert stack.execute("broker", "python3", "-c", ASK, user=user).strip() == "BrokerUnavailable"


ASK = """
import asyncio, pathlib
from portal.broker import schemas
from portal.broker.client import Broker
try:
    listed = asyncio.run(Broker(pathlib.Path("/run/homeport-broker/broker.sock")).ask(schemas.List()))
    print(len(listed.containers), "containers")
except Exception as error:
    print(type(error).__name__)
"""
