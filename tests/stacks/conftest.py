"""One booted deployment for all of tests/stacks: `stack`. Tests add mailboxes of their own and leave it as it was.

Whatever fails is shown with the logs of the containers that are not well. The test of the end comes last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.edge import Edge
from tests.services.portal import PASSWORD, Browser
from tests.services.process import ServiceFailed
from tests.stacks.deployment import Deployment
from tests.stacks.mailbox import StackMailbox

HERE = Path(__file__).parent
LAST = "test_end.py"
PATIENCE_S = 300.0
BOOT_S = 1500.0  # the first test waits for the base image, ten images and the boot, maybe beside other work

_STACK = pytest.StashKey[Deployment]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker("stacks")
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PATIENCE_S))
    first = next((item for item in ours if "stack" in getattr(item, "fixturenames", ())), None)
    if first is not None:
        first.add_marker(pytest.mark.timeout(BOOT_S), append=False)
    items.sort(key=lambda item: item.path.name == LAST and item.path.parent == HERE)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Deployment]:
    """All of Homeport. Who stops or restarts a part of it waits until it is well again."""
    running = Deployment(tmp_path_factory.mktemp("stack") / "homeport")
    pytestconfig.stash[_STACK] = running
    with running:
        yield running


@pytest.fixture(scope="session")
def edge(stack: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """The Email Worker before the stack's tunnel. It knows no recipients of its own."""
    with stack.edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture(scope="session")
def operator(stack: Deployment) -> Iterator[Browser]:
    """The first administrator, by the link that the portal writes on its console."""
    with Browser(stack.portal_url) as browser:
        (*_, token) = re.findall(r"/setup#(\S+)", stack.log("portal", 1000))
        answer = browser.post("/api/setup", json={"token": token, "name": "anna", "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        yield browser


@pytest.fixture
def anna(stack: Deployment) -> StackMailbox:
    """A fresh mailbox."""
    return stack.add_mailbox()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    running = item.config.stash.get(_STACK, None)
    if report.failed and running is not None:
        try:
            report.sections.append(("containers that are not well", running.troubles() or "none"))
            report.sections.append(("mail that waits", running.waiting() or "none"))
        except (ServiceFailed, OSError) as error:  # the engine itself may be what failed
            report.sections.append(("containers", str(error)))
    return report  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    running = config.stash.get(_STACK, None)
    if running is not None and running.figures:
        terminalreporter.section("the stack")
        for name, value in running.figures.items():
            terminalreporter.write_line(f"{name}: {value}")
