"""wire.md, "Request": what a signature covers, when it holds, and that its refusals look alike."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.signing import Key, canonical_string, sign
from mail_api.envelope import Envelope
from mail_api.keys import KeyRing
from mail_api.signature import (
    WINDOW_S,
    Reason,
    SignatureRefused,
    SignedRequest,
    homeport_headers,
    signed_headers,
    verify,
)
from tests.clock import FakeClock

NOW = 1_800_000_000
PATH = "/v1/messages"
CURRENT = Key("2026-11", hashlib.sha256(b"current").digest())
OLD = Key("2026-10", hashlib.sha256(b"old").digest())
STRANGER = Key("stranger", hashlib.sha256(b"stranger").digest())
ENVELOPE = Envelope("00112233445566778899aabbccddeeff", "alice@example.org", "bob@example.com", 5, "ab" * 32)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    path: Path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"{CURRENT.line}\n{OLD.line}\n")
    path.chmod(0o600)
    return KeyRing(path, clock=FakeClock())


def _headers(
    key: Key = CURRENT, *, now: int = NOW, method: str = "POST", path: str = PATH, message: Envelope | None = ENVELOPE
) -> dict[str, str]:
    return signed_headers(key, now=now, method=method, path=path, message=message)


def _verify(keys: KeyRing, headers: dict[str, str], *, method: str = "POST", path: str = PATH) -> SignedRequest:
    return verify(headers, method=method, path=path, keys=keys, now=float(NOW))


def _refusal(verifying: Callable[[], object]) -> SignatureRefused:
    with pytest.raises(SignatureRefused) as caught:
        verifying()
    return caught.value


# -- what is signed ---------------------------------------------------------------------------------------------------


def test_canonical_string_is_wire_mds() -> None:
    canonical = canonical_string(
        key_id="k1",
        timestamp="1800000000",
        message_id="id",
        method="POST",
        path=PATH,
        mail_from="",
        rcpt_to="Ym9i",
        content_length="5",
        content_sha256="ab",
        retained_at="",
    )
    assert canonical == b"v1\nk1\n1800000000\nid\nPOST\n/v1/messages\n\nYm9i\n5\nab\n"


@pytest.mark.parametrize("value", ["a\nb", "é", "\u3042"])
@pytest.mark.parametrize("field", ["key_id", "message_id", "path", "mail_from", "retained_at"])
def test_canonical_string_has_one_reading_or_none(field: str, value: str) -> None:
    names = ["key_id", "timestamp", "message_id", "method", "path", "mail_from", "rcpt_to"]
    values = dict.fromkeys([*names, "content_length", "content_sha256", "retained_at"], "")
    with pytest.raises(ValueError, match=r"line feed|ascii"):
        canonical_string(**values | {field: value})


def test_sign_is_hmac_sha256_with_the_decoded_secret() -> None:
    expected = hmac.new(CURRENT.secret, b"text", hashlib.sha256).hexdigest()
    assert sign(CURRENT.secret, b"text") == f"v1={expected}"


# -- what holds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [CURRENT, OLD])
def test_signature_by_either_key_holds_and_vouches_for_the_values_as_sent(keys: KeyRing, key: Key) -> None:
    assert _verify(keys, _headers(key)) == SignedRequest(
        key_id=key.key_id,
        timestamp=NOW,
        message_id=ENVELOPE.message_id,
        mail_from="YWxpY2VAZXhhbXBsZS5vcmc",
        rcpt_to="Ym9iQGV4YW1wbGUuY29t",
        content_length="5",
        content_sha256=ENVELOPE.sha256,
        retained_at="",
    )


def test_signature_of_a_drain_covers_the_time_of_first_receipt(keys: KeyRing) -> None:
    drained = Envelope(ENVELOPE.message_id, "", "bob@example.com", 5, "ab" * 32, retained_at=NOW - 9999)
    headers = _headers(message=drained)
    assert _verify(keys, headers).retained_at == str(NOW - 9999)
    del headers["homeport-retained-at"]
    assert _refusal(lambda: _verify(keys, headers)).reason is Reason.MISMATCH


def test_signature_of_a_null_sender_holds_when_a_proxy_drops_the_empty_header(keys: KeyRing) -> None:
    bounce = Envelope(ENVELOPE.message_id, "", "bob@example.com", 5, "ab" * 32)
    headers = _headers(message=bounce)
    assert headers.pop("homeport-mail-from") == ""
    assert _verify(keys, headers).mail_from == ""


def test_signature_of_a_request_without_body_signs_empty_strings(keys: KeyRing) -> None:
    headers = _headers(method="GET", path="/v1/health", message=None)
    assert sorted(headers) == ["homeport-key-id", "homeport-signature", "homeport-timestamp"]
    assert _verify(keys, headers, method="GET", path="/v1/health") == SignedRequest(CURRENT.key_id, NOW)


@pytest.mark.parametrize("off", [-WINDOW_S, -1, 0, 1, WINDOW_S])
def test_timestamp_within_the_window_holds(keys: KeyRing, off: int) -> None:
    assert _verify(keys, _headers(now=NOW + off)).timestamp == NOW + off


# -- what does not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-10 * WINDOW_S, -WINDOW_S - 1, WINDOW_S + 1, 10 * WINDOW_S])
def test_timestamp_outside_the_window_is_stale(keys: KeyRing, off: int) -> None:
    assert _refusal(lambda: _verify(keys, _headers(now=NOW + off))).reason is Reason.STALE


def test_timestamp_window_is_measured_in_fractions(keys: KeyRing) -> None:
    late = NOW + WINDOW_S + 0.001
    refusal = _refusal(lambda: verify(_headers(), method="POST", path=PATH, keys=keys, now=late))
    assert refusal.reason is Reason.STALE


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", PATH), ("post", PATH), ("POST", "/v1/health"), ("POST", f"{PATH}/"), ("POST", "/\u3042")],
)
def test_signature_for_another_request_is_refused(keys: KeyRing, method: str, path: str) -> None:
    _refusal(lambda: _verify(keys, _headers(), method=method, path=path))


def test_signature_by_an_unknown_key_is_refused(keys: KeyRing) -> None:
    assert _refusal(lambda: _verify(keys, _headers(STRANGER))).reason is Reason.UNKNOWN_KEY
    impostor = Key(CURRENT.key_id, STRANGER.secret)
    assert _refusal(lambda: _verify(keys, _headers(impostor))).reason is Reason.MISMATCH


@pytest.mark.parametrize("header", ["homeport-key-id", "homeport-timestamp", "homeport-signature"])
def test_request_without_a_needed_header_is_refused(keys: KeyRing, header: str) -> None:
    headers = _headers()
    del headers[header]
    assert _refusal(lambda: _verify(keys, headers)).reason is Reason.MISSING


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("homeport-key-id", ""),
        ("homeport-key-id", "2026-11 "),
        ("homeport-key-id", "UPPER"),
        ("homeport-key-id", "k" * 33),
        ("homeport-timestamp", ""),
        ("homeport-timestamp", "-1"),
        ("homeport-timestamp", "+1800000000"),
        ("homeport-timestamp", "1800000000.0"),
        ("homeport-timestamp", "01800000000"),
        ("homeport-timestamp", "\u0661" * 10),
        ("homeport-timestamp", "9" * 13),
        ("homeport-signature", ""),
        ("homeport-signature", "ab" * 32),
        ("homeport-signature", f"v1={'AB' * 32}"),
        ("homeport-signature", f"v1={'ab' * 31}"),
        ("homeport-signature", f"v1={'ab' * 33}"),
        ("homeport-signature", f"v2={'ab' * 32}"),
        ("homeport-signature", f"v1={'ab' * 32}\n"),
        ("homeport-mail-from", "a\nb"),
        ("homeport-rcpt-to", "\xe9"),
    ],
)
def test_header_of_the_wrong_form_is_refused(keys: KeyRing, header: str, value: str) -> None:
    assert _refusal(lambda: _verify(keys, _headers() | {header: value})).reason is Reason.MALFORMED


def test_header_given_twice_is_refused() -> None:
    raw = [(b"host", b"a"), (b"host", b"b"), (b"homeport-key-id", b"k"), (b"homeport-key-id", b"k")]
    assert homeport_headers(raw[:3]) == {"homeport-key-id": "k"}
    assert _refusal(lambda: homeport_headers(raw)).reason is Reason.MALFORMED


def test_header_values_are_taken_byte_by_byte() -> None:
    assert homeport_headers([(b"homeport-x", bytes(range(256)))]) == {"homeport-x": bytes(range(256)).decode("latin-1")}


@given(data=st.data())
def test_any_changed_byte_of_a_signed_request_is_refused(keys: KeyRing, data: st.DataObject) -> None:
    drained = Envelope(ENVELOPE.message_id, "alice@example.org", "bob@example.com", 5, "ab" * 32, retained_at=NOW)
    request = {name: value.encode() for name, value in _headers(message=drained).items()}
    request |= {"method": b"POST", "path": PATH.encode()}
    assert len(request) == 11
    part = data.draw(st.sampled_from(sorted(request)))
    where = data.draw(st.integers(0, len(request[part]) - 1))
    changed = bytearray(request[part])
    changed[where] ^= data.draw(st.integers(1, 255))
    request[part] = bytes(changed)
    method, path = (request.pop(name).decode("latin-1") for name in ("method", "path"))
    headers = homeport_headers((name.encode(), value) for name, value in request.items())
    _refusal(lambda: _verify(keys, headers, method=method, path=path))


@given(values=st.dictionaries(st.sampled_from(sorted(_headers())), st.text(max_size=80)))
def test_headers_of_any_text_are_refused_and_never_a_crash(keys: KeyRing, values: dict[str, str]) -> None:
    if any(_headers()[name] != value for name, value in values.items()):
        _refusal(lambda: _verify(keys, _headers() | values))


def test_refusals_are_the_same_document_whatever_the_reason() -> None:
    documents = [SignatureRefused(reason).document() for reason in Reason]
    assert documents == [documents[0]] * len(Reason)
    assert documents[0]["type"] == "/problems/signature-refused"
    response = SignatureRefused(Reason.STALE).response()
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Homeport"


def test_unknown_key_costs_one_hmac_like_a_known_one(keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets: list[bytes] = []
    digest = hmac.digest

    def counting(secret: bytes, message: bytes, name: str) -> bytes:
        secrets.append(secret)
        return digest(secret, message, name)

    mangled = _headers() | {"homeport-signature": f"v1={'ab' * 32}"}
    stranger = _headers(STRANGER)
    monkeypatch.setattr(hmac, "digest", counting)
    _refusal(lambda: _verify(keys, mangled))
    _refusal(lambda: _verify(keys, stranger))
    assert [len(secret) for secret in secrets] == [32, 32]
    assert secrets[0] == CURRENT.secret
    assert secrets[1] not in (CURRENT.secret, OLD.secret, STRANGER.secret)
