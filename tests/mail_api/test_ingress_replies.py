"""Whatever mailbox server and scanner say, the answer is the one that wire.md and mail.md 6.3 list."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from mail_api.content import Content
from mail_api.envelope import Envelope
from mail_api.history import Step
from mail_api.ledger import LedgerReader
from mail_api.scan.verdict import Action, Verdict
from mail_api.spool import Place
from mail_api.trace_headers import Trace
from tests.mail_api.in_process import MovableClock, ingress
from tests.services.homeport import message
from tests.services.lmtp_scripted import DROP, Last, ScriptedLmtp
from tests.services.lmtp_scripted import Step as LmtpStep

OK = "250 2.1.5 OK"
NO_MAILBOX = "550 5.1.1 User doesn't exist"
RETAINED_AT = 1_700_000_000


def stages(**steps: list[LmtpStep]) -> dict[str, Any]:
    """A script for ScriptedLmtp."""
    return steps


@pytest.mark.parametrize("retained_at", [None, RETAINED_AT], ids=["live", "drain"])
@pytest.mark.parametrize(
    "script",
    [
        stages(greeting=["421 4.3.2 Shutting down", "554 5.3.2 No", "554 5.3.2 No"]),
        stages(lhlo=["502 5.5.1 What?", "502 5.5.1 What?"]),
        stages(mail=["452 4.3.1 Disk full", "452 4.3.1 Disk full"]),
        stages(mail=["553 5.1.8 Bad sender", "553 5.1.8 Bad sender"]),
        stages(rcpt=["451 4.3.0 Later"]),
        stages(rcpt=["501 5.5.4 Bad address"]),
        stages(rcpt=["550 5.7.1 Denied"]),
        stages(rcpt=["550 No code"]),
        stages(rcpt=[NO_MAILBOX, NO_MAILBOX]),  # the sentinel is unknown too
        stages(rcpt=[NO_MAILBOX, "451 4.3.0 Later"]),
        stages(rcpt=[OK, "450 4.2.1 Busy"]),
        stages(rcpt=["552 5.2.2 Quota exceeded"]),
        stages(body=["452 4.2.2 Quota exceeded"]),
        stages(body=["552 5.2.2 Quota exceeded"]),
        stages(body=["451 4.2.0 Save failed"]),
        stages(body=["554 5.6.0 Broken message"]),
        stages(body=[Last("421 4.3.2 Shutting down")]),
        stages(body=[DROP]),
        stages(body=[b"garbage\r\n"]),
        stages(rcpt=[b"\xff\xfe\r\n"] * 9),
    ],
    ids=lambda script: " ".join(f"{stage}={steps[-1]}" for stage, steps in script.items()),
)
async def test_undecided_reply_leaves_the_message_queued(
    tmp_path: Path, clock: MovableClock, script: dict[str, Any], retained_at: int | None
) -> None:
    async with ingress(tmp_path, ScriptedLmtp(**script), clock) as pipe:
        raw, message_id = message(), secrets.token_hex(16)
        answer = await pipe.post(raw, message_id=message_id, retained_at=retained_at)
        assert (answer.status, answer.document["status"], answer.document["queue_id"]) == (202, "queued", message_id)
        entry = pipe.parts.spool.read(Place.QUEUE, message_id)
        assert entry.reason
        assert (pipe.parts.spool.path(Place.QUEUE, message_id) / "message.eml").read_bytes() == raw


@pytest.mark.parametrize(
    ("script", "settings", "refusal"),
    [
        (stages(rcpt=[NO_MAILBOX, OK] * 2), {}, (404, "unknown-mailbox", 550)),
        (stages(rcpt=[OK, NO_MAILBOX, OK, NO_MAILBOX, OK]), {}, (404, "unknown-mailbox", 550)),  # gone after the probe
        (stages(rcpt=[NO_MAILBOX] * 2), {"sentinel": None}, (404, "unknown-mailbox", 550)),
        (stages(rcpt=["552 5.2.2 Full"] * 2), {"mailbox_full_is_final": True}, (507, "mailbox-full", 552)),
        (stages(body=["552 5.2.2 Full"] * 2), {"mailbox_full_is_final": True}, (507, "mailbox-full", 552)),
        (stages(body=["452 4.2.2 Full"] * 2), {"mailbox_full_is_final": True}, (507, "mailbox-full", 552)),
    ],
)
async def test_final_reply_refuses_a_live_message_and_holds_a_drained_one(
    tmp_path: Path,
    clock: MovableClock,
    script: dict[str, Any],
    settings: dict[str, Any],
    refusal: tuple[int, str, int],
) -> None:
    async with ingress(tmp_path, ScriptedLmtp(**script), clock, **settings) as pipe:
        raw, message_id = message(), secrets.token_hex(16)
        answer = await pipe.post(raw, message_id=message_id)
        assert answer.smtp is not None
        assert (answer.status, answer.type, answer.smtp["code"]) == refusal
        assert answer.document["message_id"] == message_id
        drained = await pipe.post(raw, message_id=message_id, retained_at=RETAINED_AT)
        assert (drained.status, drained.document["status"], drained.smtp) == (202, "held", None)
        assert pipe.parts.spool.read(Place.HOLD, message_id).reason


async def test_local_part_keeps_its_case_and_domain_becomes_a_labels(tmp_path: Path, clock: MovableClock) -> None:
    async with ingress(tmp_path, ScriptedLmtp(), clock) as pipe:
        assert (await pipe.post(message(), rcpt_to="AnNa@BÜCHER.Test", mail_from="Bo@EXAMPLE.org")).status == 200
    transaction = pipe.peer.transactions[-1]
    assert (transaction.mail, transaction.rcpts) == ("Bo@example.org", ["AnNa@xn--bcher-kva.test"])


class Says:
    """A scanner that has made up its mind, or has a defect; tests/mail_api/scan has the real ones."""

    def __init__(self, verdict: Verdict | None) -> None:
        self.verdict = verdict

    async def scan(self, envelope: Envelope, content: Content, trace: Trace, *, timeout_s: float) -> Verdict:
        if self.verdict is None:
            raise RuntimeError("a defect")
        return self.verdict

    async def close(self) -> None:
        return None


@pytest.mark.parametrize(
    ("action", "live", "drained"),
    [
        (Action.DELIVER, (200, "delivered"), (200, "delivered")),
        (Action.DEFER, (202, "queued"), (202, "queued")),
        (Action.HOLD, (202, "held"), (202, "held")),
        (Action.REFUSE, (422, 422), (202, "held")),
    ],
)
async def test_verdict_decides_before_the_mailbox_server_is_sent_anything(
    tmp_path: Path, clock: MovableClock, action: Action, live: tuple[int, object], drained: tuple[int, object]
) -> None:
    verdict = Verdict(action, "seen", is_scanned=True, headers="X-Spam-Flag: YES\r\n", report={"score": 20.0})
    async with ingress(tmp_path, ScriptedLmtp(), clock, scanner=Says(verdict)) as pipe:
        for retained_at, expected in ((None, live), (RETAINED_AT, drained)):
            raw = b"X-Spam-Flag: NO\r\n" + message()
            answer = await pipe.post(raw, retained_at=retained_at)
            assert (answer.status, answer.document["status"]) == expected
            if answer.status == 202:
                place = Place.HOLD if expected[1] == "held" else Place.QUEUE
                entry = pipe.parts.spool.read(place, answer.document["queue_id"])
                assert entry.verdict is not None
                assert (entry.verdict["action"], entry.verdict["report"]) == (action, {"score": 20.0})
            elif answer.status == 422:
                assert answer.smtp is not None
                assert (answer.type, answer.smtp["code"], answer.smtp["enhanced"]) == ("content-refused", 554, "5.7.1")
        sent = pipe.bodies()
    assert len(sent) == (2 if action is Action.DELIVER else 0)
    for body in sent:
        fields, rest = body.split(b"\r\nReceived: by mx.test", 1)
        assert fields.endswith(b"\r\nX-Spam-Flag: YES")
        assert b"X-Spam-Flag" not in rest


@pytest.mark.parametrize(
    ("script", "retained_at", "steps"),
    [
        ({}, None, [Step.RECEIVED, Step.SCANNED, Step.DELIVERED]),
        (stages(rcpt=[NO_MAILBOX, OK]), None, [Step.RECEIVED, Step.RECIPIENT, Step.REFUSED]),
        (stages(rcpt=[NO_MAILBOX, OK]), RETAINED_AT, [Step.RETAINED, Step.DRAINED, Step.RECIPIENT, Step.HELD]),
        (stages(rcpt=["451 4.3.0 Later"]), None, [Step.RECEIVED, Step.RECIPIENT, Step.SCANNED, Step.QUEUED]),
        (stages(body=["451 4.3.0 Later"]), None, [Step.RECEIVED, Step.SCANNED, Step.ATTEMPTED, Step.QUEUED]),
    ],
)
async def test_history_tells_every_step_with_what_was_said(
    tmp_path: Path, clock: MovableClock, script: dict[str, Any], retained_at: int | None, steps: list[Step]
) -> None:
    async with ingress(tmp_path, ScriptedLmtp(**script), clock) as pipe:
        raw, message_id, again = message(), secrets.token_hex(16), secrets.token_hex(16)
        await pipe.post(raw, message_id=message_id, retained_at=retained_at)
        await pipe.post(raw, message_id=again, retained_at=retained_at)
        with contextlib.closing(LedgerReader(pipe.parts.settings.ledger_file)) as reader:
            events, repeated = reader.events(message_id), reader.events(again)
    assert [event.step for event in events] == steps
    arrived, *_ = here = [event for event in events if event.step is not Step.RETAINED]
    assert {event.at for event in here} == {clock.now()}
    assert arrived.data["rcpt_to"] == "anna@home.test"
    assert arrived.data["key_id"] == "test"
    told = " ".join(str(event.data) for event in events)
    assert all(reply in told for replies in script.values() for reply in replies if reply != OK)
    if steps[-1] in (Step.DELIVERED, Step.QUEUED):
        assert [event.step for event in repeated] == [Step.RECEIVED, Step.DUPLICATE]
        assert repeated[1].data["of"] == message_id


async def test_defect_of_ours_is_undecided_counted_and_can_be_repeated(tmp_path: Path, clock: MovableClock) -> None:
    scanner = Says(None)
    async with ingress(tmp_path, ScriptedLmtp(), clock, scanner=scanner) as pipe:
        counted = defects()
        raw, message_id = message(), secrets.token_hex(16)
        answer = await pipe.post(raw, message_id=message_id)
        assert (answer.status, answer.type, answer.smtp) == (500, "internal-error", None)
        assert "a defect" not in str(answer.document)
        assert defects() == counted + 1
        scanner.verdict = Verdict(Action.DELIVER, "seen", is_scanned=True)
        assert (await pipe.post(raw, message_id=message_id)).status == 200


def defects() -> float:
    return REGISTRY.get_sample_value("homeport_mail_refused_total", {"type": "internal-error"}) or 0.0
