"""What `homeport domain` says before anything is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.portal.conftest import Ended


@pytest.mark.parametrize("command", [[], ["add"], ["remove"]])
def test_help_says_that_a_fresh_factor_is_asked_for(run_cli: Callable[..., Ended], command: list[str]) -> None:
    ended = run_cli("domain", *command, "--help", environment={})
    assert ended.code == 0
    assert "asks for a fresh factor" in " ".join(ended.out.split())
