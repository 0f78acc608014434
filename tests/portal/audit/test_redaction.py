"""What the audit keeps of values: no secrets, bounded, and never an error."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from portal.audit.redaction import MAX_JSON_BYTES, REDACTED, clip, is_secret, to_json

CANARY = "canary-secret-value"


def kept(value: object) -> Any:
    text = to_json(value)
    return None if text is None else json.loads(text)


@pytest.mark.parametrize(
    "key",
    [
        *("password", "newPassword", "api_key", "apiKey", "API-KEY", "token", "accessToken", "client_secret", "code"),
        *("authorization", "cookie", "totp_secret", "recovery_codes", "private_key", "password_hash"),
    ],
)
def test_secrets_are_cut_out_at_any_depth(key: str) -> None:
    assert is_secret(key)
    text = to_json({"outer": [{"inner": {key: {"deep": CANARY}}}], key: CANARY})
    assert text is not None
    assert CANARY not in text
    assert text.count(REDACTED) == 2


@pytest.mark.parametrize(
    "key",
    [
        "author",
        "token_id",
        "token_name",
        "password_changed_at",
        "passkeys",
        "keyboard",
        "state",
        "codec",
        "exit_code",
        "statusCode",
    ],
)
def test_what_only_tells_about_a_secret_is_kept(key: str) -> None:
    assert kept({key: "x"}) == {key: "x"}


class Model(BaseModel):
    name: str
    hidden: SecretStr
    at: datetime


@dataclass(frozen=True, slots=True)
class Plain:
    name: str
    token: str


class Colour(enum.Enum):
    RED = "red"


def test_models_dataclasses_and_other_values_become_json() -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    assert kept(Model(name="x", hidden=SecretStr(CANARY), at=at)) == {
        "name": "x",
        "hidden": REDACTED,
        "at": "2026-11-22T00:00:00+00:00",
    }
    assert kept(Plain("x", CANARY)) == {"name": "x", "token": REDACTED}
    assert kept([Colour.RED, {3, 1, 2}, b"\xff\x00", float("nan"), None, True]) == (
        ["red", [1, 2, 3], "[2 bytes]", "nan", None, True]
    )
    assert to_json(None) is None


def test_what_is_too_long_leaves_its_size_and_hash() -> None:
    document = kept({"x": ["y" * 1000] * 100})
    assert document["omitted_bytes"] > MAX_JSON_BYTES
    assert len(document["sha256"]) == 64


def test_what_is_too_deep_ends() -> None:
    value: list[Any] = []
    value.append(value)
    assert "[too deep]" in (to_json(value) or "")


def test_clip_makes_text_storable() -> None:
    assert clip("a\ud800b\0c", 50) == "a\\ud800b\\x00c"
    assert clip("x" * 10, 5) == "xxxx…"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary() | st.datetimes(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner),
        max_leaves=20,
    )
)
def test_anything_becomes_json_that_a_database_can_hold(value: object) -> None:
    text = to_json(value)
    if text is not None:
        assert "\0" not in text
        json.loads(text.encode("utf-8"))
