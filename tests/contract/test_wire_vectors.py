"""Our side of wire.md against the shared vectors, as far as pure code decides; the rest is ingress'."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from pathlib import Path

import pytest

from kit.problem import Problem
from kit.signing import canonical_string, sign
from mail_api.content import Content
from mail_api.envelope import (
    encode_address,
    parse_recipient,
    parse_sender,
    read_envelope,
    read_unchecked_envelope,
)
from mail_api.keys import KeyRing
from mail_api.refusal import BadAddress
from mail_api.signature import (
    MESSAGE_HEADERS,
    SignatureRefused,
    SignedRequest,
    homeport_headers,
    signed_headers,
    verify,
)
from mail_api.trace_headers import fingerprint, read_trace
from tests.clock import FakeClock
from tests.contract import make_wire_vectors, vectors
from tests.contract.vectors import Case

REQUESTS = vectors.requests()


def _named(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in cases])


def _of(*stages: str) -> list[Case]:
    return [case for case in REQUESTS.cases if case["expect"]["stage"] in stages]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    path: Path = tmp_path_factory.mktemp("wire") / "keys"
    path.write_text(REQUESTS.keys_file)
    path.chmod(0o600)
    return KeyRing(path, clock=FakeClock())


def _verified(case: Case, keys: KeyRing) -> SignedRequest:
    headers = homeport_headers(vectors.raw_headers(case))
    return verify(headers, method=case["method"], path=case["path"], keys=keys, now=REQUESTS.now)


def _values(signed: SignedRequest) -> dict[str, str]:
    return {field: getattr(signed, field) for field in MESSAGE_HEADERS}


def test_vectors_are_what_the_generator_writes(tmp_path: Path) -> None:
    make_wire_vectors.write(tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    checked_in = {path.name: path.read_text() for path in vectors.DIRECTORY.iterdir()}
    assert written == checked_in, "run tests/contract/make_wire_vectors.py"


@_named(_of("signature"))
def test_request_is_refused_for_its_signature(case: Case, keys: KeyRing) -> None:
    with pytest.raises(SignatureRefused) as caught:
        _verified(case, keys)
    _assert_answers(caught.value, case)
    assert caught.value.reason.value == case["expect"]["reason"]


@_named(_of("envelope", "body", "done"))
def test_request_is_signed_over_this_canonical_string(case: Case, keys: KeyRing) -> None:
    signed = _verified(case, keys)
    values = dataclasses.asdict(signed) | {"timestamp": str(signed.timestamp)}
    canonical = canonical_string(method=case["method"], path=case["path"], **values)
    assert canonical.decode() == case["canonical"]
    key = keys.find(signed.key_id)
    assert key is not None
    assert ["homeport-signature", sign(key.secret, canonical)] in [
        [name.lower(), said] for name, said in case["headers"]
    ]


@_named(_of("envelope"))
def test_request_is_refused_for_its_envelope(case: Case, keys: KeyRing) -> None:
    values, expect = _values(_verified(case, keys)), case["expect"]
    with pytest.raises(Problem) as caught:
        read_envelope(**values)
    if expect["status"] == 202:  # the sender is gone: held, under the address as it came
        assert isinstance(caught.value, BadAddress)
        assert read_unchecked_envelope(**values).message_id == expect["json"]["message_id"]
    else:
        _assert_answers(caught.value, case)


@_named([case for case in _of("body", "done") if case["method"] == "POST"])
def test_request_announces_this_envelope_and_body(case: Case, keys: KeyRing) -> None:
    envelope, body = read_envelope(**_values(_verified(case, keys))), vectors.body(case)
    is_as_announced = (envelope.size_bytes, envelope.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert is_as_announced == (case["expect"]["stage"] == "done")
    if is_as_announced:
        assert case["expect"]["envelope"].items() <= dataclasses.asdict(envelope).items()


def _is_spelled_normally(case: Case) -> bool:
    envelope = case["expect"].get("envelope", {"mail_from": "", "rcpt_to": ""})
    sent = {name: value for name, value in case["headers"] if name in ("Homeport-Mail-From", "Homeport-Rcpt-To")}
    return all(value == encode_address(envelope[name[9:].lower().replace("-", "_")]) for name, value in sent.items())


@_named([case for case in _of("done") if _is_spelled_normally(case)])
def test_client_sends_the_same_request(case: Case, keys: KeyRing) -> None:
    signed = _verified(case, keys)
    key = keys.find(signed.key_id)
    assert key is not None
    message = read_envelope(**_values(signed)) if case["method"] == "POST" else None
    ours = signed_headers(key, now=signed.timestamp, method=case["method"], path=case["path"], message=message)
    sent = {name.lower(): value for name, value in case["headers"]}
    assert ours == {"homeport-mail-from": ""} | sent if message else ours == sent


@_named(vectors.cases("addresses"))
def test_address_has_this_encoding_and_normal_form(case: Case) -> None:
    assert encode_address(case["address"]) == case["encoded"]
    for parse, normal in ((parse_sender, case["sender"]), (parse_recipient, case["recipient"])):
        if normal is None:
            with pytest.raises(BadAddress):
                parse(case["address"])
        else:
            assert parse(case["address"]) == normal


@_named(vectors.cases("fingerprints"))
def test_message_has_this_trace_and_fingerprint(case: Case) -> None:
    message = base64.b64decode(case["message"])
    assert dataclasses.asdict(read_trace(message)) == case["trace"]
    content = Content(message, len(message), hashlib.sha256(message).hexdigest())
    assert fingerprint(case["mail_from"], case["rcpt_to"], content) == case["fingerprint"]


def _assert_answers(problem: Problem, case: Case) -> None:
    """The problem is the expected one, once its raiser has added the message id."""
    problem.extensions["message_id"] = case["expect"].get("json", {}).get("message_id")
    document, expect = problem.document(), case["expect"]
    assert (document["status"], document["type"]) == (expect["status"], expect["type"])
    smtp = document.get("smtp", {})
    assert isinstance(smtp, dict)
    assert expect.get("smtp", {}).items() <= smtp.items()
    assert ("smtp" in document) == ("smtp" in expect)
