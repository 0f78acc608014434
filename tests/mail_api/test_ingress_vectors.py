"""Every request of the shared wire vectors gets the answer that they say, from the whole ingress."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from kit.signing import parse_keys
from tests.contract import vectors
from tests.contract.vectors import Case
from tests.mail_api.in_process import MovableClock, Request, mail_parts, serving
from tests.services.lmtp_scripted import ScriptedLmtp

REQUESTS = vectors.requests()


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FastAPI]:
    """An ingress with the vectors' keys, at their time, before a mailbox that takes everything."""
    clock, keys = MovableClock(now=REQUESTS.now), parse_keys(REQUESTS.keys_file)
    with ScriptedLmtp() as peer:
        async with mail_parts(tmp_path, peer.port, clock, keys=keys) as parts, serving(parts) as app:
            yield app


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in REQUESTS.cases])
async def test_request_gets_the_answer_that_the_vector_says(app: FastAPI, case: Case) -> None:
    request = Request(app, vectors.raw_headers(case), method=case["method"], path=case["path"])
    answer = await request.answer_to(vectors.body(case))
    expected = case["expect"]
    assert answer.status == expected["status"]
    assert answer.document.get("type") == expected.get("type")
    assert answer.document.items() >= expected.get("json", {}).items()
    assert (answer.smtp is None) == ("smtp" not in expected)
    assert (answer.smtp or {}).items() >= expected.get("smtp", {}).items()
