"""The keys file: what is accepted, what the CLI writes, and a ring that never loses the keys it has."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kit.signing import Key, KeysError, parse_keys
from mail_api.keys import RESTAT_S, KeyRing, add_key, retire_key
from tests.clock import FakeClock


def _key(key_id: str) -> Key:
    return Key(key_id, hashlib.sha256(key_id.encode()).digest())


OLD, NEW, THIRD = _key("2026-10"), _key("2026-11"), _key("third")


def _text(*keys: Key) -> str:
    return "".join(f"{key.line}\n" for key in keys)


# -- text -------------------------------------------------------------------------------------------------------------


def test_keys_file_with_comments_blank_lines_and_crlf_is_read() -> None:
    text = f"# Schlüssel 鍵\r\n\r\n  {NEW.line}  \r\n   # the old one\n{OLD.line.upper()}"
    assert parse_keys(text) == (NEW, OLD)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no key"),
        ("# nothing\n\n", "holds no key"),
        ("nonsense", "line 1: not key-id:secret"),
        (f"\n# x\n{NEW.key_id}", "line 3: not key-id:secret"),
        (f"{NEW.line}0", "line 1: not key-id:secret"),
        (NEW.line[:-2], "line 1: not key-id:secret"),
        (f"{NEW.line[:-2]}zz", "line 1: not key-id:secret"),
        (f"{NEW.key_id}: {NEW.secret.hex()}", "line 1: not key-id:secret"),
        (f"UPPER:{NEW.secret.hex()}", "line 1: not key-id:secret"),
        (f"{'k' * 33}:{NEW.secret.hex()}", "line 1: not key-id:secret"),
        (f":{NEW.secret.hex()}", "line 1: not key-id:secret"),
        ("k:changethis", "line 1: not key-id:secret"),
        (f"k:{'00' * 32}", "line 1: the secret is not random"),
        (f"k:{'deadbeef' * 8}", "line 1: the secret is not random"),
        (f"k:{'0123456789abcdef' * 4}", "line 1: the secret is not random"),
        (f"k:{bytes(range(32)).hex()}", "line 1: the secret is not random"),
        (f"k:{(b'changethis' * 4)[:32].hex()}", "line 1: the secret is not random"),
        (f"k:{b'31415926535897932384626433832795'.hex()}", "line 1: the secret is not random"),
        (_text(NEW, Key(NEW.key_id, OLD.secret)), "line 2: repeats"),
        (_text(NEW, Key("other", NEW.secret)), "line 2: repeats"),
        (_text(NEW, OLD, THIRD), "line 3: more than 2 keys"),
    ],
)
def test_keys_file_error_names_the_line_and_never_what_stands_on_it(text: str, complaint: str) -> None:
    with pytest.raises(KeysError) as caught:
        parse_keys(text)
    assert str(caught.value).startswith(complaint)
    for key in (NEW, OLD):
        assert key.secret.hex()[:8] not in str(caught.value)


def test_key_does_not_show_its_secret() -> None:
    assert NEW.secret.hex() not in repr(NEW)
    assert repr(NEW.secret) not in repr(NEW)


def test_generated_keys_are_usable_and_differ() -> None:
    first, second = Key.generate("a"), Key.generate("b")
    assert parse_keys(_text(first, second)) == (first, second)


@pytest.mark.parametrize("key_id", ["", "A", "a_b", "a b", "a:b", "a\n", "k" * 33, "é"])
def test_generate_refuses_an_id_that_no_header_may_carry(key_id: str) -> None:
    with pytest.raises(KeysError, match="a key id is"):
        Key.generate(key_id)


def test_added_key_is_current_and_everything_else_stays() -> None:
    text = f"# our keys\n\n{OLD.line}\n# end"
    added = add_key(text, NEW)
    assert added == f"# our keys\n\n{NEW.line}\n{OLD.line}\n# end\n"
    assert parse_keys(added) == (NEW, OLD)
    assert add_key("", NEW) == _text(NEW)
    assert add_key("# only a comment\n", NEW) == f"# only a comment\n{NEW.line}\n"


@pytest.mark.parametrize("key", [THIRD, NEW, Key("other", NEW.secret)])
def test_adding_a_third_key_or_a_repeated_one_is_refused(key: Key) -> None:
    with pytest.raises(KeysError):
        add_key(_text(NEW, OLD), key)


def test_retired_key_is_gone_and_everything_else_stays() -> None:
    text = f"# our keys\n{NEW.line}\n# until Friday\n {OLD.line} \n"
    assert retire_key(text, OLD.key_id) == f"# our keys\n{NEW.line}\n# until Friday\n"
    assert parse_keys(retire_key(text, NEW.key_id)) == (OLD,)


def test_retiring_an_unknown_key_or_the_only_one_is_refused() -> None:
    with pytest.raises(KeysError, match="no key 'third'"):
        retire_key(_text(NEW, OLD), "third")
    with pytest.raises(KeysError, match="holds no key"):
        retire_key(_text(NEW), NEW.key_id)


# -- ring -------------------------------------------------------------------------------------------------------------


class File:
    """A keys file and the ring over it."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, FakeClock()
        self.replace(_text(OLD))
        self.ring = KeyRing(path, clock=self.clock)

    def replace(self, text: str) -> None:
        """As `homeport mail keys` does: by rename."""
        part = self.path.with_suffix(".part")
        part.write_text(text)
        part.chmod(0o600)
        part.rename(self.path)

    def later(self) -> KeyRing:
        self.clock.advance(RESTAT_S)
        return self.ring


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "keys")


def test_ring_finds_keys_by_id_and_knows_the_current_one(file: File) -> None:
    assert file.ring.current == OLD
    assert file.ring.find(OLD.key_id) == OLD
    assert file.ring.find(NEW.key_id) is None
    assert file.ring.key_ids == (OLD.key_id,)


def test_ring_follows_a_replaced_file_within_a_second(file: File) -> None:
    file.replace(add_key(_text(OLD), NEW))
    assert file.ring.current == OLD  # not looked at yet
    assert file.later().current == NEW
    assert file.ring.key_ids == (NEW.key_id, OLD.key_id)
    file.replace(_text(NEW))
    assert file.later().find(OLD.key_id) is None


def test_ring_looks_at_the_file_once_a_second_at_most(file: File) -> None:
    file.replace(_text(NEW))
    assert file.later().current == NEW
    file.replace(_text(THIRD))
    file.clock.advance(RESTAT_S / 2)
    assert file.ring.current == NEW
    file.clock.advance(RESTAT_S / 2)
    assert file.ring.current == THIRD


def test_ring_follows_a_file_that_was_put_there_with_the_old_time_and_size(file: File) -> None:
    before = file.path.stat()
    file.replace(_text(NEW))
    os.utime(file.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.path.stat().st_size == before.st_size
    assert file.later().current == NEW


def test_ring_reads_a_file_with_a_byte_order_mark(file: File) -> None:
    file.replace("\ufeff" + _text(NEW))
    assert file.later().current == NEW


def test_ring_follows_a_file_rewritten_in_place_to_the_same_size(file: File) -> None:
    assert len(_text(OLD)) == len(_text(NEW))
    file.path.write_text(_text(NEW))
    os.utime(file.path, ns=(1, 1))
    assert file.later().current == NEW


def test_ring_reads_a_file_again_only_when_it_changed(file: File) -> None:
    with capture_logs() as logs:
        for _ in range(5):
            assert file.later().current == OLD
        file.replace(_text(NEW))
        for _ in range(5):
            assert file.later().current == NEW
    assert [(log["event"], log["key_ids"]) for log in logs] == [("keys_file_read", [NEW.key_id])]


@pytest.mark.parametrize("damage", ["nonsense", "", f"{NEW.key_id}:short"])
def test_ring_keeps_its_keys_when_the_file_is_damaged_and_says_so_once(file: File, damage: str) -> None:
    file.replace(damage)
    with capture_logs() as logs:
        for _ in range(5):
            assert file.later().current == OLD
    assert [log["event"] for log in logs] == ["keys_file_unusable"]
    file.replace(_text(NEW))
    assert file.later().current == NEW


def test_ring_keeps_its_keys_when_the_file_vanishes_and_says_so_each_time_it_does(file: File) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            file.path.rename(file.path.with_suffix(".away"))
            for _ in range(3):
                assert file.later().current == OLD
            file.path.with_suffix(".away").rename(file.path)
            assert file.later().current == OLD
    assert [log["event"] for log in logs] == ["keys_file_unusable"] * 2


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_ring_refuses_a_file_that_others_may_write(file: File, mode: int) -> None:
    file.path.chmod(mode)
    with pytest.raises(KeysError, match="others than its owner may write"):
        KeyRing(file.path, clock=file.clock)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, False), (0o444, True)])
def test_ring_warns_of_a_file_that_all_may_read(file: File, mode: int, warned: bool) -> None:
    file.path.chmod(mode)
    with capture_logs() as logs:
        KeyRing(file.path, clock=file.clock)
    assert [log["event"] for log in logs] == ["keys_file_readable_by_all"] * warned


def test_ring_without_a_usable_file_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="missing: No such file"):
        KeyRing(tmp_path / "missing", clock=FakeClock())
    with pytest.raises(KeysError, match="Is a directory"):
        KeyRing(tmp_path, clock=FakeClock())
    (tmp_path / "bad").write_text("\nnonsense")
    (tmp_path / "bad").chmod(0o600)
    with pytest.raises(KeysError, match="bad: line 2: not key-id:secret"):
        KeyRing(tmp_path / "bad", clock=FakeClock())


def test_ring_reads_a_file_of_any_bytes_as_damaged_and_not_as_a_crash(file: File) -> None:
    file.path.write_bytes(bytes(range(256)))
    with capture_logs() as logs:
        assert file.later().current == OLD
    assert [log["event"] for log in logs] == ["keys_file_unusable"]
