"""The manifest's lines, their order, their signature."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup import manifest
from backup.exit_codes import VerificationFailed
from backup.layout import MANIFEST, SIGNATURE, STATE
from backup.manifest import Entry, entries, path_of, write
from backup.signing import Signer
from tests.backup.nights import SIGNER, Night

HASH = "0123456789abcdef" * 4
PARTS = st.binary(min_size=1, max_size=255).filter(
    lambda part: not set(part) & set(b"/\0") and part not in (b".", b"..")
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(b"/".join)
NUMBERS = st.integers(0, 2**63)
FILES = st.builds(
    Entry,
    *(PATHS, st.just("file"), NUMBERS, st.integers(0, 0o7777), NUMBERS, NUMBERS, NUMBERS, st.just(HASH), st.none()),
    *(NUMBERS, NUMBERS, NUMBERS),
)
LINKS = st.builds(lambda path, target: Entry(path, "symlink", len(target), 0o777, 1, 2, 3, None, target), PATHS, PARTS)
DIRS = st.builds(lambda path: Entry(path, "dir", 0, 0o750, 1, 2, 3), PATHS)


def file(path: bytes, dev: int = 0, ino: int = 0, ctime_ns: int = 0) -> Entry:
    times = 1_700_000_000_000_000_000
    return Entry(path, "file", 5, 0o640, 1000, 1000, times, HASH, None, dev, ino, ctime_ns)


@given(st.one_of(FILES, LINKS, DIRS))
def test_an_entry_of_any_name_comes_back_from_its_line(entry: Entry) -> None:
    line = entry.line()
    assert line.count(b"\n") == 1
    assert path_of(line) == entry.path
    assert manifest.parse(line) == entry


def test_a_line_is_plain_json_with_names_that_a_person_can_read() -> None:
    line = file("mail/home.test/anna/日本".encode(), dev=1, ino=2, ctime_ns=3).line()
    assert json.loads(line) == {
        "path": "mail/home.test/anna/日本",
        "type": "file",
        "size": 5,
        "mode": 0o640,
        "uid": 1000,
        "gid": 1000,
        "mtime_ns": 1_700_000_000_000_000_000,
        "sha256": HASH,
        "dev": 1,
        "ino": 2,
        "ctime_ns": 3,
    }
    assert "日本".encode() in line
    assert json.loads(Entry(b"a\xff", "symlink", 1, 0o777, 0, 0, 0, None, b"\xfe").line())["path_b64"] == "Yf8="


@pytest.mark.parametrize("run_lines", [3, 1 << 16])
def test_entries_of_any_order_are_written_by_path_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_lines: int
) -> None:
    monkeypatch.setattr(manifest, "RUN_LINES", run_lines)  # 3: the sort goes through files
    paths = [
        b"a",
        b"a-b",
        b"a.txt",
        b"a/b",
        b"a/\xff",
        b"a\nb",
        b"b",
        b'b"c',
        b"b\\",
        *(b"m/%d" % n for n in range(50)),
    ]
    shuffled = random.Random(1).sample(paths, len(paths))
    write(tmp_path / "m", [file(path) for path in shuffled])
    assert [entry.path for entry in entries(tmp_path / "m")] == sorted(paths)


@pytest.mark.parametrize("run_lines", [2, 1 << 16])
def test_of_two_entries_with_one_path_the_last_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_lines: int
) -> None:
    monkeypatch.setattr(manifest, "RUN_LINES", run_lines)
    write(tmp_path / "m", [file(b"a", dev=1), file(b"b"), file(b"a", dev=2), file(b"c"), file(b"a", dev=3)])
    assert [(entry.path, entry.dev) for entry in entries(tmp_path / "m")] == [(b"a", 3), (b"b", 0), (b"c", 0)]


@pytest.mark.parametrize(
    "broken",
    [
        b"{}\n",
        b"not json\n",
        b"[]\n",
        b'{"path":"x","type":"file"}\n',
        file(b"x").line().replace(b'"x"', b'"../x"'),
        file(b"x").line().replace(b'"x"', b'"/x"'),
        file(b"x").line().replace(b'"x"', b'"x//y"'),
        file(b"x").line().replace(b'"x"', b'"x\\u0000"'),
        file(b"x").line().replace(b'"size":5', b'"size":"5"'),
        file(b"x").line().replace(b'"size":5', b'"size":true'),
        file(b"x").line().replace(HASH.encode(), b"ab"),
        file(b"x").line().replace(b'"file"', b'"device"'),
        file(b"b").line(),  # a second time
        file(b"a").line(),  # out of order
        file(b"x").line()[:-1],  # cut off
        b"[" * 100_000 + b"\n",
        b'{"path_b64":"%%%","type":"dir"}\n',
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "m").write_bytes(file(b"b").line() + broken)
    with pytest.raises(VerificationFailed, match="line 2 is not an entry"):
        list(entries(tmp_path / "m"))


def test_a_manifest_that_is_not_there_fails_the_verification(tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match="No such file"):
        list(entries(tmp_path / "m"))
    with pytest.raises(VerificationFailed, match="No such file"):
        manifest.read_state(tmp_path)
    with pytest.raises(VerificationFailed, match="No such file"):
        manifest.check_signature(tmp_path, SIGNER.verifier)


def test_a_flipped_bit_anywhere_in_the_signed_files_is_seen_and_named(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.fill({"a": b"1"})
    directory = night.point(night.run())
    for name, every in ((MANIFEST, 41), (STATE, 41), (SIGNATURE, 5)):  # odd: each bit of a byte has its turn
        path = directory / name
        whole = path.read_bytes()
        for bit in range(0, len(whole) * 8, every):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            assert [each[0] for each in manifest.differences(directory, SIGNER.verifier)] == [name], bit
        path.write_bytes(whole)
    manifest.check_signature(directory, SIGNER.verifier)


def test_a_signature_of_another_key_is_refused(tmp_path: Path, signer: Signer) -> None:
    night = Night(tmp_path)
    night.fill({"a": b"1"})
    directory = night.point(night.run())
    with pytest.raises(VerificationFailed, match=f"signed by the key {SIGNER.verifier.key_id}"):
        manifest.check_signature(directory, signer.verifier)
