"""What holds for every test: the daemons' fixtures and their marker, Hypothesis' limits, the form of the log, what is
too slow for the inner loop, and which failures may be tried again (ADR 0029).

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

# Together they are four fifths of what is no `services` test: they wait for deadlines, start processes, or ask a fake
# by HTTP. `make check` has 2 minutes; whoever works on one of these runs it by its name.
SLOW = (
    "tests/architecture/test_imports.py",
    "tests/architecture/test_setup_node.py",
    "tests/backup/restore/",
    "tests/backup/test_commands.py",
    "tests/backup/test_pipeline.py",
    "tests/backup/test_repository.py",
    "tests/backup/vault/test_days.py",
    "tests/blog/test_site_files.py",
    "tests/kit/test_cli.py",
    "tests/kit/test_command.py",
    "tests/mail_api/scan/test_",
    "tests/mail_api/test_settings.py",
    "tests/mail_api/transport/test_lmtp.py",
    "tests/portal/auth/test_cross_site.py",
    "tests/portal/auth/test_users.py",
    "tests/portal/auth/test_walk.py",
    "tests/portal/backups/",
    "tests/portal/broker/test_server.py",
    "tests/portal/containers/",
    "tests/portal/dns/command_line/",
    "tests/portal/dns/test_",
    "tests/portal/dns/tunnel/",
    "tests/portal/dns/posture/",
    "tests/portal/edge/",
    "tests/portal/integrations/test_cloudflare.py",
    "tests/portal/integrations/test_generations.py",
    "tests/portal/operations/",
    "tests/portal/stacks/test_",
    "tests/portal/test_app.py",
    "tests/portal/wordpress/test_http.py",
    "tests/services/",
    "tests/test_reruns.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whatever asks for a daemon's fixture, however indirectly, is a `services` test; what lies in SLOW is `slow`."""
    daemons = vars(config.pluginmanager.get_plugin("tests.services.fixtures")).keys()
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if not daemons.isdisjoint(item.fixturenames):
            item.add_marker("services")
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")
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
