"""The public listener keeps to its own OpenAPI document, whatever is sent: signed or not, well formed or not."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import time
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    missing_required_header,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kit import signing
from mail_api import signature
from mail_api.envelope import encode_address
from tests.services.dovecot import Mailbox
from tests.services.homeport import HOMEPORT, Homeport, message

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
Case = schemathesis.Case[Any]
Operation = APIOperation[Any, Any, Any, Any]
PROBES = settings(
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MODES = pytest.mark.parametrize("mode", GenerationMode)

schemathesis.serializer.alias("message/rfc822", "application/octet-stream")


@pytest.fixture(scope="module")
def document() -> Any:
    printed = subprocess.run([*HOMEPORT, "mail", "openapi"], capture_output=True, check=True, timeout=30)
    return json.loads(printed.stdout)


@pytest.fixture(scope="module")
def post_message(document: Any) -> Operation:
    return schemathesis.openapi.from_dict(document)["/v1/messages"]["POST"]


@pytest.fixture(scope="module")
def get_health(document: Any) -> Operation:
    return schemathesis.openapi.from_dict(document)["/v1/health"]["GET"]


def test_document_describes_the_three_public_routes(document: Any) -> None:
    described = {path: list(operations) for path, operations in document["paths"].items()}
    assert described == {"/livez": ["get"], "/v1/messages": ["post"], "/v1/health": ["get"]}


@MODES
@pytest.mark.parametrize("operation", ["post_message", "get_health"])
@PROBES
@given(data=st.data())
def test_anonymous_request_is_refused_as_documented(
    homeport: Homeport, request: pytest.FixtureRequest, operation: str, mode: GenerationMode, data: st.DataObject
) -> None:
    case: Case = data.draw(request.getfixturevalue(operation).as_strategy(generation_mode=mode))
    answer = case.call(base_url=f"http://127.0.0.1:{homeport.port}")
    assert answer.status_code == 401
    case.validate_response(answer, checks=[*CHECKS, missing_required_header])


@MODES
def test_signed_message_is_answered_as_documented(
    homeport: Homeport, mailbox: Mailbox, post_message: Operation, mode: GenerationMode
) -> None:
    seen: Counter[int] = Counter()
    recipients = [mailbox.address, f"nobody{secrets.token_hex(4)}@home.test", "no domain", "a\n@home.test"]

    @PROBES
    @given(
        case=post_message.as_strategy(generation_mode=mode),
        recipient=st.sampled_from([*recipients, None]),  # None: what the document's pattern gave
        sender=st.sampled_from(["", "a@example.org", None]),
        is_announced=st.sampled_from([True, True, False]),
    )
    def probe(case: Case, recipient: str | None, sender: str | None, is_announced: bool) -> None:
        body = case.as_transport_kwargs().get("data") or b""
        body = body.encode() if isinstance(body, str) else body
        case.body = body
        if recipient is not None:
            case.headers["Homeport-Rcpt-To"] = encode_address(recipient)
        if sender is not None:
            case.headers["Homeport-Mail-From"] = encode_address(sender)
        if is_announced:
            case.headers["Homeport-Content-Length"] = str(len(body))
            case.headers["Homeport-Content-SHA256"] = hashlib.sha256(body).hexdigest()
        sign(case, homeport)
        answer = case.call(base_url=f"http://127.0.0.1:{homeport.port}")
        seen[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    probe()
    # what chance draws differs from one run to the next, derandomized or not: the rest is asked for below, by name
    assert {400, 401} & seen.keys() if mode is GenerationMode.NEGATIVE else {200, 400} <= seen.keys(), seen


@pytest.mark.parametrize(
    ("recipient", "retained", "status"),
    [(None, False, 200), ("nobody", False, 404), ("nobody", True, 202), ("a b", False, 422)],
)
def test_answer_to_a_well_formed_request_is_documented(
    homeport: Homeport, mailbox: Mailbox, post_message: Operation, recipient: str | None, retained: bool, status: int
) -> None:
    rcpt_to = f"{recipient}{secrets.token_hex(4)}@home.test" if recipient else mailbox.address
    raw = message()
    headers = homeport.poster.headers(raw, rcpt_to=rcpt_to, retained_at=int(time.time()) if retained else None)
    case = post_message.Case(headers=headers, body=raw, media_type="message/rfc822")
    answer = case.call(base_url=f"http://127.0.0.1:{homeport.port}")
    assert answer.status_code == status, answer.text
    case.validate_response(answer, checks=CHECKS)


def sign(case: Case, homeport: Homeport) -> None:
    """Sign a request with whatever it carries."""
    case.headers["Homeport-Key-Id"] = homeport.key.key_id
    case.headers["Homeport-Timestamp"] = str(int(time.time()))
    values = {name: case.headers.get(header, "") for name, header in signature.MESSAGE_HEADERS.items()}
    canonical = signing.canonical_string(
        key_id=homeport.key.key_id,
        timestamp=case.headers["Homeport-Timestamp"],
        method=case.method,
        path=case.path,
        **values,
    )
    case.headers["Homeport-Signature"] = signing.sign(homeport.key.secret, canonical)
