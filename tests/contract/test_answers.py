"""answers.json from the mail API's side: what the vectors call a refusal is what it answers, and it has no other."""

from __future__ import annotations

import base64
import json

from mail_api.refusal import FinalRefusal
from tests.contract import vectors
from tests.contract.vectors import Case


def test_refusals_are_the_documents_that_the_mail_api_answers() -> None:
    expected = {case["name"]: case for case in vectors.cases("answers") if case["name"].startswith("refusal: ")}
    answered: dict[str, Case] = {}
    for refusal in FinalRefusal.__subclasses__():
        response = refusal(message_id=_message_id(expected)).response()
        document = {name: value for name, value in json.loads(bytes(response.body)).items() if name != "request_id"}
        answered[f"refusal: {refusal.type}"] = {
            "status": response.status_code,
            "content_type": response.media_type,
            "body": document,
        }
    assert answered == {
        name: {
            "status": case["status"],
            "content_type": case["content_type"],
            "body": json.loads(base64.b64decode(case["body"])),
        }
        for name, case in expected.items()
    }


def _message_id(cases: dict[str, Case]) -> str:
    (message_id,) = {json.loads(base64.b64decode(case["body"]))["message_id"] for case in cases.values()}
    return str(message_id)
