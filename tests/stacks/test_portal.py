"""The portal of the booted deployment: it answers, shows the stacks' containers, acts on them by its broker."""

from __future__ import annotations

import re

from tests.services.homeport import eventually
from tests.services.portal import Browser
from tests.stacks.deployment import Deployment
from tests.stacks.operations import begun, ended


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
    operation = ended(operator, begun(operator, f"/api/containers/{name}/restart"))
    assert operation["state"] == "done", operation
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
