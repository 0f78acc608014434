"""Requests of the portal: untrusted files in a directory that it may write to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup import catalog, requests
from backup.exit_codes import DestinationFailed, ExitCode
from backup.layout import Layout
from backup.points import PointId
from backup.requests import Inbox, NotOne, Refused

CATALOG = catalog.read(Path(__file__).parents[1] / "contract" / "catalog" / "full.json")
AT = "2026-11-22T01:00:00Z"
ANNA = {"kind": "mailbox", "name": "anna@home.test"}


def run_id(act: str, number: int = 0) -> str:
    return f"20261122T0100{number % 60:02}Z-{act}-{number:08x}"


def document(act: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """A request as the portal writes it."""
    about = {"schema_version": 1, "id": run_id(act, number), "act": act, "by": "anna", "at": AT}
    restore = {"point": "daily/2026-11-22", "asset": ANNA, "folder": None, "origin": "local", "where": "beside"}
    rest: dict[str, dict[str, Any]] = {
        "run": {"scope": "all"},
        "verify": {"point": "daily/2026-11-22"},
        "drill": {"asset": None, "origin": "local"},
        "vaultdrill": {"asset": None},
        "preview": restore,
        "restore": restore | {"plan": "0" * 64, "confirm": None},
    }
    return about | rest[act] | more


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.create()
    return layout


@pytest.fixture
def inbox(layout: Layout) -> Iterator[Inbox]:
    inbox = Inbox(layout, "run")
    yield inbox
    inbox.close()


def put(layout: Layout, asked: dict[str, Any]) -> Path:
    path = layout.requests / f"{asked['id']}.json"
    path.write_text(json.dumps(asked))
    return path


def refused(inbox: Inbox) -> Refused:
    [taken] = inbox.take()
    assert isinstance(taken, Refused)
    return taken


# -- what is taken


@pytest.mark.parametrize("act", ["run", "verify", "drill", "vaultdrill", "preview", "restore"])
def test_request_is_taken_by_the_unit_it_is_for_and_by_no_other(act: str, layout: Layout) -> None:
    path = put(layout, document(act))
    for unit in ("run", "restore"):
        inbox = Inbox(layout, unit)
        taken = list(inbox.take())
        inbox.close()
        assert [each.id for each in taken] == ([run_id(act)] if act in requests.ACTS[unit] else [])
    assert not path.exists()


def test_requests_are_taken_in_the_order_of_their_times(layout: Layout, inbox: Inbox) -> None:
    for number in (3, 1, 2):
        put(layout, document("run", number))
    assert [each.id for each in inbox.take()] == [run_id("run", number) for number in (1, 2, 3)]


def test_request_changed_after_it_was_taken_changes_nothing(layout: Layout, inbox: Inbox) -> None:
    path = put(layout, document("run"))
    taken = next(iter(inbox.take()))
    path.write_text(json.dumps(document("run", scope="mailbox:anna@home.test")))
    assert isinstance(taken, requests.Run)
    assert taken.scope == "all"


def test_withdrawn_request_is_nothing(layout: Layout, inbox: Inbox) -> None:
    put(layout, document("run", 1))
    put(layout, document("run", 2))
    taken = inbox.take()
    assert next(taken).id == run_id("run", 1)
    (layout.requests / f"{run_id('run', 2)}.json").unlink()
    assert list(taken) == []


def test_taken_request_is_left_over_until_it_is_done(layout: Layout, inbox: Inbox) -> None:
    put(layout, document("run"))
    list(inbox.take())
    assert inbox.left_over() == [run_id("run")]
    inbox.done(run_id("run"))
    assert inbox.left_over() == []


def test_file_that_is_being_written_is_left_alone(layout: Layout, inbox: Inbox) -> None:
    (layout.requests / f".{run_id('run')}.json.tmp").write_text("{")
    assert list(inbox.take()) == []
    assert inbox.sweep() == []


# -- what is refused


@pytest.mark.parametrize(
    "more",
    [
        {"retention": {"daily": 1}},
        {"path": "/etc/shadow"},
        {"scope": ["all"]},
        {"schema_version": 2},
        {"by": ""},
        {"by": "a\nb"},
        {"by": "x" * 101},
        {"at": "yesterday"},
        {"act": "prune"},
        {"id": run_id("run", 5)},
    ],
)
def test_request_with_a_foreign_word_or_a_wrong_value_is_refused(
    more: dict[str, Any], layout: Layout, inbox: Inbox
) -> None:
    (layout.requests / f"{run_id('run')}.json").write_text(json.dumps(document("run") | more))
    found = refused(inbox)
    assert (found.id, found.code) == (run_id("run"), ExitCode.USAGE)
    assert "/etc/shadow" not in found.reason


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"act":"run"}', b"[" * 10_000],
    ids=["empty", "cut", "list", "null", "not UTF-8", "no keys", "no id", "deep"],
)
def test_what_is_no_json_request_is_refused(content: bytes, layout: Layout, inbox: Inbox) -> None:
    (layout.requests / f"{run_id('run')}.json").write_bytes(content)
    assert refused(inbox).code is ExitCode.USAGE


def test_refused_drill_from_the_vault_is_no_refused_restore(layout: Layout) -> None:
    (layout.requests / f"{run_id('vaultdrill')}.json").write_text("{")
    inbox = Inbox(layout, "restore")
    assert refused(inbox).code is ExitCode.USAGE
    inbox.close()


def test_content_of_another_act_than_the_name_says_is_refused(layout: Layout, inbox: Inbox) -> None:
    """A restore that is named like a run must not reach the unit `run`."""
    (layout.requests / f"{run_id('run')}.json").write_text(json.dumps(document("restore", id=run_id("run"))))
    assert "its name says run" in refused(inbox).reason


def test_file_of_a_gibibyte_is_refused_unread(layout: Layout, inbox: Inbox) -> None:
    with (layout.requests / f"{run_id('run')}.json").open("wb") as file:
        file.truncate(1024**3)
    assert "are allowed" in refused(inbox).reason


def test_link_is_refused_and_not_followed(layout: Layout, inbox: Inbox, tmp_path: Path) -> None:
    target = tmp_path / "target.json"
    target.write_text(json.dumps(document("run")))
    (layout.requests / f"{run_id('run')}.json").symlink_to(target)
    assert "cannot be opened" in refused(inbox).reason
    inbox.done(run_id("run"))
    assert target.exists()


def test_second_name_of_a_file_is_refused(layout: Layout, inbox: Inbox, tmp_path: Path) -> None:
    target = tmp_path / "target.json"
    target.write_text(json.dumps(document("run")))
    os.link(target, layout.requests / f"{run_id('run')}.json")
    assert "second name" in refused(inbox).reason


def test_fifo_is_refused_without_waiting(layout: Layout, inbox: Inbox) -> None:
    os.mkfifo(layout.requests / f"{run_id('run')}.json")
    assert "no plain file" in refused(inbox).reason


def test_directory_is_refused_and_removed(layout: Layout, inbox: Inbox) -> None:
    (layout.requests / f"{run_id('run')}.json" / "deep").mkdir(parents=True)
    assert "no plain file" in refused(inbox).reason
    inbox.done(run_id("run"))
    assert not any((layout.requests / "taken").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_file_of_a_stranger_is_refused(layout: Layout, inbox: Inbox) -> None:
    os.chown(put(layout, document("run")), 12345, 12345)
    assert "somebody else" in refused(inbox).reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_file_of_the_portal_is_taken(layout: Layout) -> None:
    os.chown(layout.requests, -1, 12345)
    os.chown(put(layout, document("run")), 12345, 12345)
    inbox = Inbox(layout, "run")
    [taken] = inbox.take()
    inbox.close()
    assert isinstance(taken, requests.Run)


def test_link_in_place_of_the_taken_directory_is_refused(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (layout.requests / "taken").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DestinationFailed, match="cannot be opened"):
        Inbox(layout, "run")


def test_names_that_are_no_requests_are_swept_away(layout: Layout, inbox: Inbox) -> None:
    names = [
        "x.json",
        "..json",
        f"{run_id('prune')}.json",
        f"{run_id('run')}.JSON",
        "a\nb",
        "20261122T010000Z-run-xyz.json",
    ]
    for name in names:
        (layout.requests / name).write_text("{}")
    put(layout, document("restore"))
    assert inbox.sweep() == sorted(name for name in names if not name.startswith("."))
    assert (layout.requests / f"{run_id('restore')}.json").exists()


# -- held against the catalog


def check(act: str, folders: list[str] | None = None, **more: Any) -> None:
    asked = requests.parse(json.dumps(document(act, **more)).encode(), run_id(act))
    requests.check(asked, CATALOG, lambda _point, _asset: folders)


@pytest.mark.parametrize(
    ("act", "more"),
    [
        ("run", {"scope": "all"}),
        ("run", {"scope": "site:blog"}),
        ("verify", {"point": "weekly/2026-11-22"}),
        ("drill", {"asset": ANNA}),
        ("vaultdrill", {"asset": ANNA}),
        ("preview", {"asset": {"kind": "everything", "name": ""}}),
        ("preview", {"folder": ".Sent"}),
        ("restore", {"folder": "", "where": "in-place", "confirm": "daily/2026-11-22"}),
        (
            "preview",
            {"point": "daily/2026-10-28", "asset": {"kind": "mailbox", "name": "old@home.test"}, "origin": "vault"},
        ),
    ],
)
def test_request_for_what_the_catalog_has_is_taken(act: str, more: dict[str, Any]) -> None:
    check(act, folders=["", ".Sent"], **more)


@pytest.mark.parametrize(
    ("act", "more"),
    [
        ("run", {"scope": "site:gone"}),
        ("run", {"scope": "../../etc"}),
        ("run", {"scope": "volume:/srv/homeport/ssd/valkey"}),
        ("verify", {"point": "daily/1999-01-01"}),
        ("verify", {"point": "../daily/2026-11-22"}),
        ("drill", {"asset": {"kind": "mailbox", "name": "nobody@home.test"}}),
        ("drill", {"origin": "vault"}),  # which the unit `run` has no keys for
        ("vaultdrill", {"asset": {"kind": "mailbox", "name": "nobody@home.test"}}),
        ("vaultdrill", {"origin": "vault"}),
        ("preview", {"asset": {"kind": "mailbox", "name": "old@home.test"}}),
        ("preview", {"asset": {"kind": "everything", "name": "x"}}),
        ("preview", {"asset": {"kind": "site", "name": "blog"}, "folder": "uploads"}),
        ("preview", {"folder": "../bo"}),
        ("preview", {"folder": ".."}),
        ("preview", {"folder": ".Sent\x00"}),
        ("preview", {"folder": ".Gone"}),
        ("restore", {"point": "daily-2026-11-22"}),
    ],
)
def test_request_for_what_the_catalog_does_not_have_is_refused(act: str, more: dict[str, Any]) -> None:
    with pytest.raises(NotOne):
        check(act, folders=["", ".Sent"], **more)


def test_point_ids_of_the_catalog_are_ids() -> None:
    assert all(str(PointId.parse(point.id)) == point.id for point in CATALOG.points)
