"""edge.json: durable, versioned, without secrets, and held by one process at a time."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import pytest
import structlog

from portal.edge.ownership import (
    RECIPIENTS_KEY_NAME,
    Kind,
    Ownership,
    OwnershipError,
    Thing,
    locked,
    marker_of,
    recipients_key,
)

BUCKET = Thing(Kind.BUCKET, None, "homeport-mail-retained", at=1_800_000_000)
RECORD = Thing(
    Kind.FORMER_RECORD,
    "home.example",
    "MX home.example mail.provider.example",
    at=1_800_000_000,
    id="0" * 32,
    former={"type": "MX", "priority": 0, "tags": ["a:b"]},
)


def test_things_come_back_as_they_were(tmp_path: Path) -> None:
    owned = Ownership.load(tmp_path)
    owned.intend(BUCKET, RECORD)
    owned.made(*BUCKET.key, id="an-id")
    again = Ownership.load(tmp_path)
    assert again.installation == owned.installation
    assert list(again) == [dataclasses.replace(BUCKET, is_made=True, id="an-id"), RECORD]
    again.forget(RECORD)
    assert Ownership.load(tmp_path).find(*RECORD.key) is None


def test_nothing_is_written_before_something_is_owned(tmp_path: Path) -> None:
    owned = Ownership.load(tmp_path)
    assert list(owned) == []
    assert list(tmp_path.iterdir()) == []
    assert owned.marker == f"homeport-edge-{owned.installation}"


def test_marker_is_known_as_long_as_something_is_recorded(tmp_path: Path) -> None:
    marker = marker_of(tmp_path)
    assert marker() is None  # each look would draw another id
    owned = Ownership.load(tmp_path)
    owned.intend(BUCKET)
    assert marker() == owned.marker


def test_record_that_cannot_be_read_is_logged_once_until_it_can(tmp_path: Path) -> None:
    marker, path = marker_of(tmp_path), tmp_path / "edge.json"
    Ownership.load(tmp_path).intend(BUCKET)
    good = path.read_bytes()
    with structlog.testing.capture_logs() as logs:
        for content in (b"{", b"{", good, b"{"):
            path.write_bytes(content)
            assert (marker() is None) is (content == b"{")
    assert [each["event"] for each in logs] == ["edge_record_unreadable"] * 2


def test_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    Ownership.load(tmp_path).intend(BUCKET)
    assert stat.S_IMODE((tmp_path / "edge.json").stat().st_mode) == 0o600


def test_changed_new_and_removed_secrets_are_noticed_without_keeping_them(tmp_path: Path) -> None:
    owned = Ownership.load(tmp_path)
    assert owned.changed_secrets({"KEY": "canary-one"}) == ["KEY"]
    owned.remember_digests(owned.digests_of({"KEY": "canary-one", "OLD": "canary-two"}))
    again = Ownership.load(tmp_path)
    assert again.changed_secrets({"KEY": "canary-one", "OLD": "canary-two"}) == []
    assert again.changed_secrets({"KEY": "canary-ONE", "NEW": "canary-three"}) == ["KEY", "NEW", "OLD"]
    assert "canary" not in (tmp_path / "edge.json").read_text()


def test_same_secret_has_another_digest_elsewhere(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        owned = Ownership.load(tmp_path / name)
        owned.remember_digests(owned.digests_of({"A": "canary", "B": "canary"}))
        digests |= set(json.loads((tmp_path / name / "edge.json").read_bytes())["digests"].values())
    assert len(digests) == 4


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"v": 2}', b'{"v": 1}', b'{"v": 1, "installation": "x", "salt": "00", "things": 1}'],
)
def test_file_that_is_not_ours_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "edge.json").write_bytes(content)
    with pytest.raises(OwnershipError, match=r"edge\.json"):
        Ownership.load(tmp_path)
    assert (tmp_path / "edge.json").read_bytes() == content


def test_second_one_at_work_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "state"), pytest.raises(OwnershipError, match="another"), locked(tmp_path / "state"):
        pass
    with locked(tmp_path / "state"):
        pass


class TestRecipientsKey:
    def test_is_made_once(self, tmp_path: Path) -> None:
        assert recipients_key(tmp_path, make=False) is None
        key = recipients_key(tmp_path, make=True)
        assert key is not None
        assert len(key) == 32
        assert recipients_key(tmp_path, make=True) == recipients_key(tmp_path, make=False) == key

    @pytest.mark.parametrize("content", [b"", b"00", b"x" * 64, b"\xff" * 64])
    def test_that_is_none_is_refused_and_kept(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / RECIPIENTS_KEY_NAME).write_bytes(content)
        with pytest.raises(OwnershipError, match=RECIPIENTS_KEY_NAME):
            recipients_key(tmp_path, make=True)
        assert (tmp_path / RECIPIENTS_KEY_NAME).read_bytes() == content
