"""The one decision, for everything that scanners, transport and operator can say: the tables of wire.md and mail.md."""

from __future__ import annotations

import itertools

import pytest

from mail_api.refusal import ContentRefused, FinalRefusal, MailboxFull, UnknownMailbox
from mail_api.reply import Kind, Meaning, Reply, Stage, not_sent, unknown
from mail_api.scan.verdict import Action, Verdict
from mail_api.settle import Decision, Mode, Outcome, Policy, final_refusal, judge_reply, judge_verdict, refuse

POLICIES = [Policy(*both) for both in itertools.product((False, True), repeat=2)]
SAID = [None, False, True]  # about the sentinel
NO_MAILBOX = Reply(Kind.ANSWERED, Stage.RCPT, 550, "5.1.1", "User doesn't exist")
FULL = [
    Reply(Kind.ANSWERED, Stage.DATA, 552, "5.2.2", "Quota exceeded"),
    Reply(Kind.ANSWERED, Stage.RCPT, 452, "4.2.2", "Quota exceeded"),
]
DELIVERED = Reply(Kind.ANSWERED, Stage.DATA, 250, "2.0.0", "Saved")
# every way of not knowing or not being able to: among them permanent codes that wire.md does not list
UNDECIDED = [
    unknown("connection lost"),
    *(not_sent(stage, "refused") for stage in Stage),
    *(
        Reply(Kind.ANSWERED, stage, code, enhanced)
        for stage in Stage
        for code, enhanced in [
            (421, "4.3.2"),
            (451, "4.3.0"),
            (450, "4.1.1"),
            (500, ""),
            (550, ""),
            (550, "5.7.1"),
            (550, "5.1.10"),
            (551, "5.1.1"),
            (552, "5.2.0"),
            (552, "5.3.4"),
            (553, "5.1.3"),
            (554, "5.4.6"),
            (599, "5.1.1"),
        ]
    ),
    Reply(Kind.ANSWERED, Stage.RCPT, 250, "2.1.5"),  # accepted, and then nothing was sent
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("mode", Mode)
def test_reply_of_delivery_is_delivered(mode: Mode, policy: Policy) -> None:
    assert judge_reply(DELIVERED, mode, policy).outcome is Outcome.DELIVERED


@pytest.mark.parametrize("reply", UNDECIDED, ids=str)
@pytest.mark.parametrize("sentinel", SAID)
def test_reply_that_wire_md_does_not_list_is_queued_whatever_the_policy(reply: Reply, sentinel: bool | None) -> None:
    for mode, policy in itertools.product(Mode, POLICIES):
        decision = judge_reply(reply.with_sentinel(sentinel), mode, policy)
        assert (decision.outcome, decision.refusal) == (Outcome.QUEUE, None)
        assert final_refusal(reply.with_sentinel(sentinel), policy) is None


@pytest.mark.parametrize("full_is_final", [False, True])
@pytest.mark.parametrize(
    ("has_sentinel", "sentinel_accepted", "is_final"),
    [(True, True, True), (True, False, False), (True, None, False), (False, None, True)],
)
def test_unknown_mailbox_is_final_only_beside_a_known_sentinel(
    has_sentinel: bool, sentinel_accepted: bool | None, is_final: bool, full_is_final: bool
) -> None:
    reply = NO_MAILBOX.with_sentinel(sentinel_accepted)
    _assert_refused_or_queued(reply, Policy(has_sentinel, full_is_final), UnknownMailbox if is_final else None)


@pytest.mark.parametrize("reply", FULL, ids=str)
@pytest.mark.parametrize("policy", POLICIES)
def test_full_mailbox_is_final_only_by_setting(policy: Policy, reply: Reply) -> None:
    _assert_refused_or_queued(reply, policy, MailboxFull if policy.mailbox_full_is_final else None)


def _assert_refused_or_queued(reply: Reply, policy: Policy, refusal: type[FinalRefusal] | None) -> None:
    assert final_refusal(reply, policy) is refusal
    live = Decision(Outcome.REFUSE, str(reply), refusal) if refusal else Decision(Outcome.QUEUE, str(reply))
    gone = Decision(Outcome.HOLD if refusal else Outcome.QUEUE, str(reply))
    assert [judge_reply(reply, mode, policy) for mode in Mode] == [live, gone, gone]


@pytest.mark.parametrize(
    ("action", "live", "gone"),
    [
        (Action.DELIVER, None, None),
        (Action.DEFER, Outcome.QUEUE, Outcome.QUEUE),
        (Action.HOLD, Outcome.HOLD, Outcome.HOLD),
        (Action.REFUSE, Outcome.REFUSE, Outcome.HOLD),
    ],
)
def test_verdict_forces_what_mail_md_6_3_says(action: Action, live: Outcome | None, gone: Outcome | None) -> None:
    decisions = [judge_verdict(Verdict(action, "why", is_scanned=True), mode) for mode in Mode]
    assert [decision and decision.outcome for decision in decisions] == [live, gone, gone]
    assert all(decision is None or decision.reason == "why" for decision in decisions)
    assert {decision.refusal for decision in decisions if decision} <= {None, ContentRefused}


def test_every_meaning_and_action_stands_in_the_tables_above() -> None:
    replies = [DELIVERED, NO_MAILBOX, *FULL, *UNDECIDED]
    assert {reply.meaning for reply in replies} == set(Meaning)


@pytest.mark.parametrize("refusal", FinalRefusal.__subclasses__())
def test_refusal_is_said_only_while_the_sender_waits(refusal: type[FinalRefusal]) -> None:
    assert refuse(refusal, Mode.LIVE, "why") == Decision(Outcome.REFUSE, "why", refusal)
    for mode in (Mode.DRAIN, Mode.QUEUE):
        assert refuse(refusal, mode, "why") == Decision(Outcome.HOLD, "why")
