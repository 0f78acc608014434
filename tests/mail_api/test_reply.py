"""The reply table: style.md T3-T5. What is not named is temporary, and the class follows from the code."""

from __future__ import annotations

import itertools

import pytest

from mail_api.reply import Kind, Meaning, Reply, Stage, not_sent, unknown

STATUSES = range(200, 600)
ENHANCED = ["", *(f"{a}.{b}.{c}" for a, b, c in itertools.product((2, 4, 5), range(8), range(11)))]


@pytest.mark.parametrize(
    ("code", "enhanced", "meaning"),
    [
        (550, "5.1.1", Meaning.NO_MAILBOX),
        (552, "5.2.2", Meaning.MAILBOX_FULL),
        (452, "4.2.2", Meaning.MAILBOX_FULL),
        (550, "", Meaning.TEMPORARY),
        (550, "5.7.1", Meaning.TEMPORARY),
        (550, "4.1.1", Meaning.TEMPORARY),
        (551, "5.1.1", Meaning.TEMPORARY),
        (552, "5.2.0", Meaning.TEMPORARY),  # Sieve reject (mail.md 3.1)
        (552, "5.3.4", Meaning.TEMPORARY),
        (451, "4.2.0", Meaning.TEMPORARY),
        (421, "4.4.2", Meaning.TEMPORARY),
        (354, "", Meaning.TEMPORARY),
    ],
)
def test_reply_means_what_dovecot_says(code: int, enhanced: str, meaning: Meaning) -> None:
    for stage in (Stage.RCPT, Stage.DATA):
        assert Reply(Kind.ANSWERED, stage, code, enhanced).meaning is meaning


def test_reply_outside_the_table_is_temporary_whatever_its_codes() -> None:
    named = {(550, "5.1.1"), (552, "5.2.2"), (452, "4.2.2")}
    for code, enhanced, stage in itertools.product(STATUSES, ENHANCED, Stage):
        reply = Reply(Kind.ANSWERED, stage, code, enhanced)
        if code < 300:
            expected = Meaning.DELIVERED if stage is Stage.DATA else Meaning.ACCEPTED
            assert reply.meaning is expected
        elif (code, enhanced) not in named:
            assert reply.meaning is Meaning.TEMPORARY
        assert reply.is_positive == (code < 300)


@pytest.mark.parametrize(
    ("stage", "meaning"),
    [
        (Stage.CONNECT, Meaning.UNREACHABLE),
        (Stage.LHLO, Meaning.UNREACHABLE),
        (Stage.MAIL, Meaning.TEMPORARY),
        (Stage.RCPT, Meaning.TEMPORARY),
        (Stage.DATA, Meaning.TEMPORARY),
    ],
)
def test_reply_not_sent_is_the_transports_fault_only_before_the_message(stage: Stage, meaning: Meaning) -> None:
    reply = not_sent(stage, "connection refused")
    assert reply.meaning is meaning
    assert not reply.is_positive
    assert str(reply) == f"connection refused ({stage.value})"


def test_reply_lost_after_the_last_byte_is_unknown_and_never_failed() -> None:
    reply = unknown("connection lost")
    assert reply.meaning is Meaning.UNKNOWN
    assert reply.stage is Stage.DATA
    assert not reply.is_positive


def test_reply_reads_as_one_line() -> None:
    assert str(Reply(Kind.ANSWERED, Stage.RCPT, 550, "5.1.1", "No user")) == "550 5.1.1 No user (rcpt)"
    assert str(Reply(Kind.ANSWERED, Stage.DATA, 250)) == "250 (data)"
    assert str(Reply(Kind.UNKNOWN, Stage.DATA)) == "unknown (data)"


@pytest.mark.parametrize("accepted", [True, False, None])
def test_reply_with_sentinel_changes_nothing_else(accepted: bool | None) -> None:
    reply = Reply(Kind.ANSWERED, Stage.RCPT, 550, "5.1.1", "No user")
    seen = reply.with_sentinel(accepted)
    assert seen.sentinel_accepted is accepted
    assert seen.with_sentinel(None) == reply
