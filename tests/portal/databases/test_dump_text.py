"""What is read of a dump while it passes: tables, rows, its end, its compression, whose code it makes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from portal.databases.dump_text import Scan, inspect, pieces, without_definers
from portal.databases.failures import DumpUnreadable

DUMP = rb"""/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19-11.8.2-MariaDB, for debian-linux-gnu (x86_64)
CREATE TABLE `a` (
  `id` int(11)
);
INSERT INTO `a` VALUES
(1,'(x),'),
(2,'y\nCREATE TABLE `never` (');
CREATE TABLE IF NOT EXISTS `b``c` (
);
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */
/*!50001 VIEW `v` AS select 1 AS `DEFINER=``x``@``y```*/;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`wp``a`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON a FOR EACH ROW
CREATE TABLE `neither` (
*/;;
CREATE DEFINER=`root`@`localhost` FUNCTION `f`() RETURNS int(11)
RETURN 1 ;;
DELIMITER ;
-- Dump completed
"""  # noqa: W291  # as the program writes it


def _read(path: Path) -> bytes:
    return b"".join(chunk for chunk, _ in pieces(path))


@given(st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=40))
def test_a_scan_reads_the_same_however_the_text_is_cut(sizes: list[int]) -> None:
    scan, at, n = Scan(), 0, 0
    chunks = []
    while at < len(DUMP):
        size = sizes[n % len(sizes)]
        chunks.append(DUMP[at : at + size])
        scan.feed(chunks[-1])
        at, n = at + size, n + 1
    assert (scan.tables, scan.rows, scan.is_dump, scan.is_whole) == (["a", "b`c"], 2, True, True)
    stripped = b"".join(chunk for chunk, _ in without_definers((chunk, 0) for chunk in chunks))
    assert b"DEFINER=`" not in stripped.replace(b"DEFINER=``x``", b"")
    assert b"`DEFINER=``x``@``y```" in stripped  # inside a statement nothing is touched
    assert b"/*!50013  SQL SECURITY DEFINER */" in stripped
    assert b"CREATE  FUNCTION `f`()" in stripped


def test_a_dump_without_its_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(DUMP.replace(b"-- Dump completed\n", b""))
    with pytest.raises(DumpUnreadable, match="cut off"):
        inspect(path)


@pytest.mark.parametrize("kind", ["none", "gz", "zst", "zst in frames"])
def test_each_compression_is_known_by_its_first_bytes(tmp_path: Path, kind: str) -> None:
    text = DUMP * 300
    packer = zstandard.ZstdCompressor()
    packed = {
        "none": text,
        "gz": gzip.compress(text),
        "zst": packer.compress(text),
        "zst in frames": packer.compress(text[:1000]) + packer.compress(text[1000:]),
    }[kind]
    path = tmp_path / "dump.whatever"
    path.write_bytes(packed)
    assert _read(path) == text
    assert inspect(path).tables.count("a") == 300
    if kind != "none":
        path.write_bytes(packed[:-7])
        with pytest.raises(DumpUnreadable):
            _read(path)
        path.write_bytes(packed[: len(packed) // 2] + b"\xff" * 20 + packed[len(packed) // 2 :])
        with pytest.raises(DumpUnreadable):
            inspect(path)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\x7fELF\0\0\0", b"PK\x03\x04\0\0"])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DumpUnreadable):
        inspect(path)


def test_a_bomb_is_read_in_small_bites(tmp_path: Path) -> None:
    """1 GiB of one letter in 100 KiB: no piece of it may be large."""
    path = tmp_path / "bomb"
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    with path.open("wb") as file:
        for _ in range(256):
            file.write(packer.compress(b"a" * 1024**2))
        file.write(packer.flush())
    assert path.stat().st_size < 200 * 1024
    assert max(len(chunk) for chunk, _ in pieces(path)) < 64 * 1024**2
