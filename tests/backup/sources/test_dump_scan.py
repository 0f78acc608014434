"""What the scan of a dump counts, however the dump is cut into pieces. With a real dump: test_mariadb.py."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.exit_codes import SourceFailed
from backup.sources.dump_scan import DumpScan

DUMP = rb"""/*M!999999\- enable the sandbox mode */
-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)

DROP TABLE IF EXISTS `t`;
CREATE TABLE `t` (
  `id` int(11) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

LOCK TABLES `t` WRITE;
/*!40000 ALTER TABLE `t` DISABLE KEYS */;
INSERT INTO `t` VALUES
(1,'a\n(\'x'),
(2,'UNLOCK TABLES;'),
(3,'(');
INSERT INTO `t` VALUES
(4,'-- Dump completed');
/*!40000 ALTER TABLE `t` ENABLE KEYS */;
UNLOCK TABLES;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN
LOCK TABLES `fake` WRITE;
(1),
CREATE TABLE `fake` (
END */;;
DELIMITER ;

CREATE TABLE `we``ird` (
  `a` int(11) DEFAULT NULL
) ENGINE=InnoDB;
LOCK TABLES `we``ird` WRITE;
UNLOCK TABLES;
-- Dump completed
"""


def scanned(*chunks: bytes) -> DumpScan:
    scan = DumpScan()
    for chunk in chunks:
        scan.feed(chunk)
    return scan


def test_rows_are_counted_by_table_and_a_trigger_s_body_is_none() -> None:
    scan = scanned(DUMP)
    scan.finish()
    assert scan.rows == {"t": 4, "we`ird": 0}
    assert scan.bytes == len(DUMP)


@given(st.lists(st.integers(0, len(DUMP)), max_size=60))
def test_the_count_does_not_depend_on_how_the_dump_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(DUMP)]
    scan = scanned(*(DUMP[start:end] for start, end in itertools.pairwise(edges)))
    scan.finish()
    assert scan.rows == {"t": 4, "we`ird": 0}


def test_a_dump_byte_by_byte_is_the_same() -> None:
    assert scanned(*(DUMP[at : at + 1] for at in range(len(DUMP)))).rows == {"t": 4, "we`ird": 0}


@pytest.mark.parametrize("end", [0, 1, 200, len(DUMP) // 2, len(DUMP) - 20])
def test_a_dump_that_is_cut_off_is_refused(end: int) -> None:
    with pytest.raises(SourceFailed, match=f"cut off after {end} bytes"):
        scanned(DUMP[:end]).finish()
