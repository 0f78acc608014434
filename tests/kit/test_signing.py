"""What every signer does: the canonical string's shape, and a request without a body. The vectors cover the rest."""

from __future__ import annotations

import hmac
import inspect

import pytest

from kit.signing import Key, canonical_string, sign, signed_headers_without_body

KEY = Key("2026-11", bytes(range(7, 231, 7)))
VALUES = dict.fromkeys(inspect.signature(canonical_string).parameters, "x")


def test_request_without_a_body_signs_empty_strings() -> None:
    headers = signed_headers_without_body(KEY, now=1_800_000_000, method="GET", path="/status")
    canonical = b"v1\n2026-11\n1800000000\n\nGET\n/status\n\n\n\n\n"
    assert headers == {
        "homeport-key-id": "2026-11",
        "homeport-timestamp": "1800000000",
        "homeport-signature": f"v1={hmac.digest(KEY.secret, canonical, 'sha256').hex()}",
    }
    assert headers["homeport-signature"] == sign(KEY.secret, canonical)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("value", ["a\nb", "é"])
def test_value_that_could_pose_as_two_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"line feed|ascii"):
        canonical_string(**VALUES | {name: value})


def test_secret_is_not_shown() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert str(KEY.secret) not in repr(KEY)
