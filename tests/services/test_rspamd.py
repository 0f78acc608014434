"""The Rspamd that other tests rely on does what `rspamd.py` promises."""

from __future__ import annotations

import pytest

from tests.services.rspamd import Rspamd, pattern

PLAIN = b"From: <a@example.org>\r\nSubject: a\r\n\r\nHello.\r\n"


@pytest.mark.parametrize("action", ["reject", "add header", "rewrite subject", "no action"])
def test_rspamd_does_what_a_pattern_asks_for(rspamd: Rspamd, action: str) -> None:
    assert rspamd.check(PLAIN + pattern(action) + b"\r\n", IP="192.0.2.1")["action"] == action


@pytest.mark.parametrize("action", ["soft reject", "greylist"])
def test_rspamd_does_what_a_field_asks_for(rspamd: Rspamd, action: str) -> None:
    assert rspamd.check(b"X-Test-Action: %s\r\n" % action.encode() + PLAIN)["action"] == action


def test_rspamd_shows_what_it_was_told(rspamd: Rspamd) -> None:
    told = {"IP": "192.0.2.7", "Helo": "there.example", "From": "a@b.example", "Rcpt": "c@d.example", "Queue-Id": "q"}
    seen = rspamd.check(PLAIN, **told)["symbols"]["SEEN"]["options"]
    assert seen == ["ip=192.0.2.7", "helo=there.example", "from=a@b.example", "rcpt=c@d.example", "queue=q"]


def test_rspamd_finds_nothing_in_a_plain_message(rspamd: Rspamd) -> None:
    answer = rspamd.check(PLAIN)
    assert (answer["action"], answer["score"], list(answer["symbols"])) == ("no action", 0.0, ["SEEN"])
