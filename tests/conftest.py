"""What holds for every test: the daemons' fixtures and their marker, Hypothesis' limits, the form of the log.

The network: connections to 127.0.0.1, ::1 and unix sockets, nothing else (pytest-socket, see pyproject.toml).
"""

from __future__ import annotations

import hypothesis
import pytest

from kit.logging import configure

pytest_plugins = ["tests.services.fixtures"]

hypothesis.settings.register_profile("homeport", deadline=None, print_blob=True)  # other work shares the machine
hypothesis.settings.load_profile("homeport")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whatever asks for a daemon's fixture, however indirectly, is a `services` test."""
    daemons = vars(config.pluginmanager.get_plugin("tests.services.fixtures")).keys()
    for item in items:
        if isinstance(item, pytest.Function) and not daemons.isdisjoint(item.fixturenames):
            item.add_marker("services")


@pytest.fixture(autouse=True)
def _log_to_captured_stderr() -> None:
    configure(json=False, level="debug")
