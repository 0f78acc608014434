"""The verdict table of mail.md 6.3: every pair of findings, under each setting."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest

from mail_api.history import Step
from mail_api.scan.rspamd import FINDINGS
from mail_api.scan.verdict import ACTIONS, Action, Finding, NoScanner, Opinion, Verdict, judge, one_line
from mail_api.settings import SpamScannerDown
from mail_api.settle import Mode, Outcome, judge_verdict

D, R, L, H = Action.DEFER, Action.REFUSE, Action.DELIVER, Action.HOLD

# rows: what Rspamd finds; columns: what clamd finds. The setting says `defer`.
VIRUS = (None, Finding.CLEAN, Finding.REFUSED, Finding.OVER_LIMIT, Finding.FAILED)
TABLE = {
    None: (None, L, R, H, D),
    Finding.CLEAN: (L, L, R, H, D),
    Finding.SPAM: (L, L, R, H, D),
    Finding.PATIENCE: (D, D, R, H, D),
    Finding.REFUSED: (R, R, R, R, R),
    Finding.SET_ASIDE: (H, H, R, H, D),
    Finding.OVER_LIMIT: (H, H, R, H, D),
    Finding.FAILED: (D, D, R, H, D),
}
FAILED_IS_EXCUSED = (L, L, R, H, D)  # the last row under the setting `deliver`

CASES = [
    (spam, virus, setting, excused if (setting, spam) == ("deliver", Finding.FAILED) else action)
    for spam, row in TABLE.items()
    for virus, action, excused in zip(VIRUS, row, FAILED_IS_EXCUSED, strict=True)
    for setting in SpamScannerDown
    if (spam, virus) != (None, None)
]


def opinion(finding: Finding | None, *, is_unreachable: bool = False) -> Opinion | None:
    if finding is None:
        return None
    return Opinion(finding, f"said {finding}", {"a": 1}, is_unreachable=is_unreachable)


def test_table_has_every_finding() -> None:
    assert set(TABLE) == {None, *Finding} == {None, *ACTIONS}
    assert set(FINDINGS.values()) | {Finding.OVER_LIMIT, Finding.FAILED} == set(Finding)


@pytest.mark.parametrize(("spam", "virus", "setting", "action"), CASES)
def test_verdict_is_that_of_the_table(
    spam: Finding | None, virus: Finding | None, setting: SpamScannerDown, action: Action
) -> None:
    verdict = judge(opinion(spam), opinion(virus), spam_scanner_down=setting)
    assert verdict.action is action
    assert verdict.is_scanned is (Finding.FAILED not in (spam, virus))
    assert set(verdict.report) == {name for name, one in (("rspamd", spam), ("clamd", virus)) if one}
    assert all(report["a"] == 1 for report in verdict.report.values())
    assert verdict.is_settled is (action is L and verdict.is_scanned)


@pytest.mark.parametrize(("spam", "virus", "setting", "action"), CASES)
def test_what_a_virus_scanner_has_not_cleared_is_never_delivered(
    spam: Finding | None, virus: Finding | None, setting: SpamScannerDown, action: Action
) -> None:
    if virus not in (None, Finding.CLEAN):
        assert judge(opinion(spam), opinion(virus), spam_scanner_down=setting).action is not L


@pytest.mark.parametrize(("spam", "virus", "setting", "action"), CASES)
@pytest.mark.parametrize("mode", Mode)
def test_settlement_follows_mail_md(
    mode: Mode, spam: Finding | None, virus: Finding | None, setting: SpamScannerDown, action: Action
) -> None:
    decision = judge_verdict(judge(opinion(spam), opinion(virus), spam_scanner_down=setting), mode)
    expected = {
        L: None,
        D: Outcome.QUEUE,
        H: Outcome.HOLD,
        R: Outcome.REFUSE if mode is Mode.LIVE else Outcome.HOLD,
    }[action]
    assert (decision and decision.outcome) == expected


@pytest.mark.parametrize("spam_gone", [False, True, None])
@pytest.mark.parametrize("virus_gone", [False, True, None])
def test_outage_is_what_unreachable_scanners_alone_bring_about(spam_gone: bool | None, virus_gone: bool | None) -> None:
    """True: nobody listens; False: it failed over this message; None: it finds nothing."""
    both = [
        opinion(Finding.CLEAN if gone is None else Finding.FAILED, is_unreachable=bool(gone))
        for gone in (spam_gone, virus_gone)
    ]
    verdict = judge(*both, spam_scanner_down=SpamScannerDown.DEFER)
    assert verdict.is_outage is (True in (spam_gone, virus_gone) and False not in (spam_gone, virus_gone))


def test_patience_beside_an_outage_is_charged() -> None:
    verdict = judge(
        opinion(Finding.PATIENCE),
        opinion(Finding.FAILED, is_unreachable=True),
        spam_scanner_down=SpamScannerDown.DEFER,
    )
    assert (verdict.action, verdict.is_outage) == (Action.DEFER, False)


class TestRelease:
    REFUSED = Verdict(Action.REFUSE, "clamd: found A", is_scanned=True, report={"clamd": {"said": "found A"}})

    def test_what_scanners_said_is_overruled_and_kept(self) -> None:
        released = self.REFUSED.released("uid:7")
        assert (released.action, released.released_by, released.is_settled) == (Action.DELIVER, "uid:7", True)
        assert released.report["clamd"] == {"said": "found A"}
        assert released.report["overruled"] == {"action": "refuse", "reason": "clamd: found A"}
        assert released.reason == "released by uid:7; was refuse: clamd: found A"

    def test_what_nobody_looked_at_is_not_overruled(self) -> None:
        unseen = Verdict(Action.DEFER, "clamd: no answer", is_scanned=False, report={"clamd": {"said": "no answer"}})
        assert unseen.released("uid:7") == unseen
        assert not unseen.is_settled

    def test_clean_message_has_nothing_to_overrule(self) -> None:
        clean = Verdict(Action.DELIVER, "clamd: clean", is_scanned=True, headers="X-Spam: Yes\r\n")
        assert clean.released("uid:7") == clean

    def test_verdict_survives_the_spool(self) -> None:
        for verdict in (self.REFUSED, self.REFUSED.released("uid:7")):
            assert Verdict.stored(json.loads(json.dumps(dataclasses.asdict(verdict)))) == verdict

    def test_verdict_of_an_older_version_is_read(self) -> None:
        older = {"action": "deliver", "reason": "r", "is_scanned": True, "headers": "", "report": {}}
        assert Verdict.stored(older) == Verdict(Action.DELIVER, "r", is_scanned=True)

    @pytest.mark.parametrize("document", [None, {}, {"action": "explode"}, {"action": "deliver"}])
    def test_verdict_that_cannot_be_read_is_none(self, document: dict[str, object] | None) -> None:
        assert Verdict.stored(document) is None


def test_event_says_what_follows_and_why() -> None:
    event = Verdict(Action.HOLD, "clamd: too large", is_scanned=True).event(5.0)
    assert (event.step, event.at) == (Step.SCANNED, 5.0)
    assert event.data == {"action": "hold", "scanned": True, "reason": "clamd: too large"}


async def test_without_scanners_mail_is_delivered_and_marked_unscanned() -> None:
    verdict = await NoScanner().scan(None, None, None, timeout_s=1.0)  # type: ignore[arg-type]  # it looks at none
    assert (verdict.action, verdict.is_scanned, verdict.report) == (Action.DELIVER, False, {})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\r\n  b\tc\x85d\u2028e", "a b c d e"),
        ("\x1b[31mred\x00\u202e", "?[31mred??"),
        ("\ud800", "?"),
        ("日本語", "日本語"),
        ("x" * 300, "x" * 197 + "..."),
    ],
)
def test_line_is_printable_and_short(text: str, line: str) -> None:
    assert one_line(text) == line
    assert all(character.isprintable() for character in one_line(text))


def test_every_pair_stands_in_the_cases() -> None:
    pairs = set(itertools.product([None, *Finding], VIRUS)) - {(None, None)}
    assert {(spam, virus) for spam, virus, _, _ in CASES} == pairs
