"""The real portal's process: its event streams end with it and come back, and its operations can be asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services.portal import Portal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with Portal(tmp_path_factory.mktemp("portal")) as portal:
        portal.set_up("anna")
        yield portal


def first_event(lines: Iterator[str]) -> tuple[str, Any, str]:
    """Return (topic, data, id)."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            return fields["event"], json.loads(fields["data"]), fields["id"]
        name, _, value = line.partition(": ")
        fields[name] = value
    raise AssertionError("the stream has ended")


def test_operations_can_be_asked_for_in_both_ways(portal: Portal) -> None:
    assert portal.log_in("anna").get("/api/operations").json() == {"operations": [], "before": None}
    assert portal.run("operations", "list").stdout == "Nothing fits.\n"


def test_logging_out_ends_the_stream(portal: Portal) -> None:
    anna = portal.log_in("anna")
    with anna.stream("GET", "/api/events") as answer:
        lines = answer.iter_lines()
        first_event(lines)
        assert anna.post("/api/logout").status_code == 204
        assert all(line in ("", ": ping") for line in lines)  # it is asked every few seconds whether it still may


def test_stream_ends_with_the_portal_and_comes_back_without_a_gap_in_time(portal: Portal) -> None:
    anna = portal.log_in("anna")
    with anna.stream("GET", "/api/events") as answer:
        lines = answer.iter_lines()
        topic, data, last_id = first_event(lines)
        assert (topic, data) == ("ready", {"resumed": False})
        portal.stop()  # fails when the open stream keeps it from ending
        assert list(lines) == []
    portal.start()
    with anna.stream("GET", "/api/events", headers={"Last-Event-ID": last_id}) as answer:
        topic, data, again = first_event(answer.iter_lines())
    assert (topic, data) == ("ready", {"resumed": False})  # another start: nobody knows what was missed
    assert again.partition("-")[0] != last_id.partition("-")[0]
