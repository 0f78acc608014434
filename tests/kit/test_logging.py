from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from kit.logging import REDACTED, configure, get_logger, mask_address


def lines(event: str, values: Mapping[str, object], *, as_json: bool = True, level: str = "info") -> list[str]:
    stream = io.StringIO()
    configure(json=as_json, level=level, stream=stream)
    get_logger().info(event, **values)
    return stream.getvalue().splitlines()


def logged(**values: object) -> dict[str, object]:
    (line,) = lines("message_deferred", values)
    members: dict[str, object] = json.loads(line)
    return members


def test_log_json_is_one_object_per_line() -> None:
    members = logged(queue_id="q1", attempt=3, delay_s=1.5, held=False, reply=None)
    assert members.pop("timestamp")
    assert members == {
        "event": "message_deferred",
        "level": "info",
        "queue_id": "q1",
        "attempt": 3,
        "delay_s": 1.5,
        "held": False,
        "reply": None,
    }


def test_log_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure(json=True)
    get_logger().info("started")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "started"


@pytest.mark.parametrize(
    "key", ["password", "api_key_secret", "Authorization", "apiToken", "Homeport-Signature", "set-cookie", "apikey"]
)
def test_log_secret_key_is_redacted_at_any_depth(key: str) -> None:
    members = logged(headers={"list": [{key: "hunter22"}]}, **{key: b"hunter22"})
    assert members[key] == REDACTED
    assert members["headers"] == {"list": [{key: REDACTED}]}


@pytest.mark.parametrize("key", ["key_id", "secretary", "author", "signed", "recipient"])
def test_log_other_keys_are_kept(key: str) -> None:
    assert logged(**{key: "value"})[key] == "value"


def test_log_redaction_tells_whether_a_secret_is_there() -> None:
    members = logged(token=None, password=True, secret="")
    assert (members["token"], members["password"], members["secret"]) == (None, True, REDACTED)


@pytest.mark.parametrize("as_json", [True, False])
def test_log_hostile_text_stays_on_its_line_and_is_visible(as_json: bool) -> None:
    hostile = 'a\r\n{"event":"forged"}\x1b[2J\u202ereversed\u2028\udc80\x00'
    raw = hostile.encode("utf-8", "replace")
    (line,) = lines("message_received", {"helo": hostile, "nested": [hostile], "raw": raw}, as_json=as_json)
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "\\x1b" in line
    assert "\\u202e" in line


@given(st.text(), st.booleans())
def test_log_any_text_is_one_line_that_can_be_written(text: str, as_json: bool) -> None:
    (line,) = lines("message_received", {"helo": text, "list": [text]}, as_json=as_json)
    line.encode("utf-8")


def test_log_exception_is_in_json_one_line() -> None:
    stream = io.StringIO()
    configure(json=True, stream=stream)
    try:
        raise ValueError("bad\x1b[2J")
    except ValueError:
        get_logger().exception("delivery_failed")
    (line,) = stream.getvalue().splitlines()
    trace = json.loads(line)["exception"]
    assert trace.startswith("Traceback")
    assert trace.endswith("ValueError: bad\\x1b[2J")


def test_log_of_the_standard_library_has_the_same_form() -> None:
    stream = io.StringIO()
    configure(json=True, stream=stream)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logging.getLogger("uvicorn.error").warning("cannot %s", "bind\x07")
    members = json.loads(stream.getvalue())
    members.pop("timestamp")
    assert members == {"event": "cannot bind\\x07", "level": "warning", "logger": "uvicorn.error", "request_id": "r1"}


def test_log_debug_lines_of_others_stay_out() -> None:
    stream = io.StringIO()
    configure(json=True, level="debug", stream=stream)
    logging.getLogger("httpx2").debug("headers: everything")
    get_logger().debug("ours")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["ours"]


def test_log_below_the_level_is_not_written() -> None:
    assert lines("message_deferred", {}, level="warning") == []


def test_log_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="debug, info, warning, error, critical"):
        configure(json=True, level="verbose")


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("alice@example.com", "a***@example.com"),
        ("", "<>"),
        ("alice", "a***"),
        ("@example.com", "***@example.com"),
        ('"odd@local"@example.com', '"***@example.com'),
        ("日本@例え.jp", "日***@例え.jp"),
    ],
)
def test_mask_address_hides_the_local_part(address: str, masked: str) -> None:
    assert mask_address(address) == masked
