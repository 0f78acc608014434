"""What holds for every test: the daemons' fixtures and their marker, Hypothesis' limits, the form of the log, and which
failures may be tried again (ADR 0029).

The network: connections to 127.0.0.1, ::1 and unix sockets, nothing else (pytest-socket, see pyproject.toml).
"""

from __future__ import annotations

import hypothesis
import pytest

from kit.logging import configure

pytest_plugins = ["tests.services.fixtures"]

# Other work shares the machine: neither a test nor the drawing of its examples has to be quick.
hypothesis.settings.register_profile(
    "homeport", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("homeport")

MAX_RERUNS = 3
# Where mail or a backup may be lost, or chance kills and cuts: a failure that does not come again is a find there.
NO_RERUN = ("tests/mail_api/", "tests/backup/", "tests/crash/", "tests/e2e/", "crash.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whatever asks for a daemon's fixture, however indirectly, is a `services` test."""
    daemons = vars(config.pluginmanager.get_plugin("tests.services.fixtures")).keys()
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if not daemons.isdisjoint(item.fixturenames):
            item.add_marker("services")
        if any(part in item.nodeid for part in NO_RERUN) or getattr(item.obj, "is_hypothesis_test", False):
            item.add_marker(pytest.mark.flaky(reruns=0))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """More than a few tests that pass at the second try are no accident any more."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and len(reporter.stats.get("rerun", ())) > MAX_RERUNS:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _log_to_captured_stderr() -> None:
    configure(json=False, level="debug")
