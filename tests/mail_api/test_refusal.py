"""The table of wire.md, "Answer": exactly these refusals reach a sender, each with exactly this reply."""

from __future__ import annotations

import json
import re

import pytest

from mail_api.refusal import FinalRefusal

TABLE = {
    "unknown-mailbox": (404, 550, "5.1.1"),
    "too-large": (413, 552, "5.3.4"),
    "bad-address": (422, 553, "5.1.3"),
    "mail-loop": (422, 554, "5.4.6"),
    "content-refused": (422, 554, "5.7.1"),
    "mailbox-full": (507, 552, "5.2.2"),
}
REFUSALS = sorted(FinalRefusal.__subclasses__(), key=lambda refusal: refusal.type)


def test_final_refusals_are_wire_mds_table() -> None:
    assert {cls.type: (cls.status, cls.smtp_code, cls.smtp_enhanced) for cls in REFUSALS} == TABLE


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.type)
def test_final_refusal_answers_with_smtp_and_the_echoed_id(refusal: type[FinalRefusal]) -> None:
    response = refusal("because", message_id="ab" * 16).response()
    document = json.loads(bytes(response.body))
    assert response.status_code == document["status"] == refusal.status
    assert response.media_type == "application/problem+json"
    assert document["message_id"] == "ab" * 16
    assert document["smtp"] == {
        "code": refusal.smtp_code,
        "enhanced": refusal.smtp_enhanced,
        "text": refusal.smtp_text,
    }


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.type)
def test_final_refusal_is_permanent_and_fits_an_smtp_reply(refusal: type[FinalRefusal]) -> None:
    assert 550 <= refusal.smtp_code <= 554
    assert refusal.smtp_enhanced.startswith("5.")
    assert re.fullmatch(r"[ -~]{1,100}", refusal.smtp_text)
