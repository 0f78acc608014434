"""The wire: answers are parsed, or the session is given up; DATA is normalised and stuffed."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_api.reply import Kind, Reply, Stage
from mail_api.transport.lmtp_session import (
    MAX_LINE_BYTES,
    MAX_REPLY_LINES,
    Answer,
    AnswerParser,
    DotStuffer,
    SessionLost,
)
from tests.mail_api.transport.samples import HOSTILE

# Small enough alphabets that the interesting neighbourhoods occur
MESSAGES = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"a", b"\r\n.", b"\n.\n"])).map(b"".join)
WIRE = st.lists(
    st.sampled_from([b"250", b"550 ", b"421", b"-", b" ", b"\r\n", b"\n", b"5.1.1 ", b"text", b"\0\xff"]) | st.binary()
).map(b"".join)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cut at the given places, in any order; some pieces may be empty."""
    places = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def stuffed(pieces: list[bytes]) -> bytes:
    stuffer = DotStuffer()
    return b"".join([*map(stuffer.feed, pieces), stuffer.end()])


def unstuffed(wire: bytes) -> bytes:
    """What RFC 5321 4.5.2 makes a server keep: it knows no line end but CRLF."""
    *lines, last, nothing = wire.split(b"\r\n")
    assert (last, nothing) == (b".", b"")
    assert b"." not in lines
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)


def normalised(message: bytes) -> bytes:
    message = re.sub(rb"(?<!\r)\n", b"\r\n", message)
    return message if message.endswith(b"\r\n") or not message else message + b"\r\n"


class TestDotStuffer:
    @pytest.mark.parametrize(
        ("message", "wire"),
        [
            (b"", b".\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a\n", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"\r.\r\n", b"\r.\r\n.\r\n"),
            (b"a\r", b"a\r\r\n.\r\n"),
            (b"a\r\r\n.", b"a\r\r\n..\r\n.\r\n"),
            (b"\n\n", b"\r\n\r\n.\r\n"),
        ],
    )
    def test_stuffer_known_message_gives_known_wire(self, message: bytes, wire: bytes) -> None:
        assert stuffed([message]) == wire

    @pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
    def test_stuffer_hostile_body_unstuffs_to_the_normalised_text(self, body: bytes) -> None:
        assert unstuffed(stuffed([body])) == normalised(body)

    @given(MESSAGES | st.binary())
    def test_stuffer_any_message_unstuffs_to_the_normalised_text(self, message: bytes) -> None:
        wire = stuffed([message])
        assert unstuffed(wire) == normalised(message)
        assert not re.search(rb"(?<!\r)\n", wire)

    @given(MESSAGES, st.lists(st.integers(0, 10_000)))
    def test_stuffer_any_cutting_gives_the_same_wire(self, message: bytes, at: list[int]) -> None:
        assert stuffed(cut(message, at)) == stuffed([message])


class TestAnswerParser:
    def test_parser_lines_of_one_reply_become_one_answer(self) -> None:
        answers = list(AnswerParser().feed(b"250-mx\r\n250-PIPELINING\r\n250 SIZE 10\r\n220\r\n250 bare\n"))
        assert answers == [
            Answer(250, (b"mx", b"PIPELINING", b"SIZE 10")),
            Answer(220, (b"",)),
            Answer(250, (b"bare",)),
        ]

    @pytest.mark.parametrize(
        "garbage",
        [
            b"hello\r\n",
            b"\r\n",
            b"150 no\r\n",
            b"650 no\r\n",
            b"25 no\r\n",
            b"2500 no\r\n",
            b"250_no\r\n",
            b"250-one\r\n251 two\r\n",
            "२५० digits of another script\r\n".encode(),
            b"250 " + b"x" * MAX_LINE_BYTES + b"\r\n",
            b"250 " + b"x" * MAX_LINE_BYTES,
            b"250-x\r\n" * (MAX_REPLY_LINES + 1),
        ],
    )
    def test_parser_garbage_gives_the_session_up(self, garbage: bytes) -> None:
        with pytest.raises(SessionLost):
            list(AnswerParser().feed(garbage))

    def test_parser_garbage_after_an_answer_keeps_the_answer(self) -> None:
        answers = AnswerParser().feed(b"250 2.0.0 Saved\r\nrubbish\r\n")
        assert next(answers) == Answer(250, (b"2.0.0 Saved",))
        with pytest.raises(SessionLost):
            next(answers)

    @given(WIRE, st.lists(st.integers(0, 10_000)))
    def test_parser_any_bytes_cut_anywhere_give_the_same_answers_or_are_given_up(
        self, wire: bytes, at: list[int]
    ) -> None:
        def parsed(pieces: list[bytes]) -> tuple[list[Answer], bool]:
            parser, answers = AnswerParser(), []
            try:
                for piece in pieces:
                    for answer in parser.feed(piece):
                        answers.append(answer)  # noqa: PERF402 - what came before an error counts
            except SessionLost:
                return answers, True
            return answers, False

        assert parsed(cut(wire, at)) == parsed([wire])

    @given(st.lists(st.sampled_from([b"250-x\r\n", b"250-" + b"y" * 500, b"\r\n", b"250"]), max_size=2_000))
    def test_parser_without_an_end_holds_a_bounded_amount(self, pieces: list[bytes]) -> None:
        parser = AnswerParser()
        try:
            for piece in pieces:
                list(parser.feed(piece))
                assert len(parser._rest) + sum(map(len, parser._texts)) <= MAX_LINE_BYTES * (MAX_REPLY_LINES + 1)
        except SessionLost:
            pass


class TestAnswer:
    @pytest.mark.parametrize(
        ("answer", "code", "enhanced", "text"),
        [
            (Answer(550, (b"5.1.1 <a@b> unknown",)), 550, "5.1.1", "<a@b> unknown"),
            (Answer(250, (b"2.0.0",)), 250, "2.0.0", ""),
            (Answer(250, (b"OK",)), 250, "", "OK"),
            (Answer(552, (b"5.2.2 full", b"5.2.2 really")), 552, "5.2.2", "full really"),
            (Answer(450, (b"5.1.1 of another class",)), 450, "", "5.1.1 of another class"),
            (Answer(250, (b"2.0.0.1 not one",)), 250, "", "2.0.0.1 not one"),
            (Answer(550, ("5.1.1 f\x1b[31mü\u202e".encode() + b"\xff",)), 550, "5.1.1", "f?[31mü?\ufffd"),
        ],
    )
    def test_answer_becomes_a_log_safe_reply(self, answer: Answer, code: int, enhanced: str, text: str) -> None:
        assert answer.at(Stage.RCPT) == Reply(Kind.ANSWERED, Stage.RCPT, code, enhanced, text)
