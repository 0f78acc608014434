"""Reads a dump while it streams past: which tables it makes, how many rows each gets, and whether it is whole.

So the counts are of the dump's own consistent view, and a load of it must give exactly them, whatever was written to
the database meanwhile. This leans on how mariadb-dump writes, with the options that mariadb.py gives it:

    CREATE TABLE `t` (          one line
    LOCK TABLES `t` WRITE;      before the rows of `t`
    INSERT INTO `t` VALUES
    (1,'a'),                    one line for each row; a line break inside a value is written as \\n
    UNLOCK TABLES;              after them
    DELIMITER ;;                before the body of a trigger, routine or event, which may hold any line
    DELIMITER ;                 after it
    -- Dump completed           the last line

tests/backup/sources/test_dump_scan.py compares it with a real server.
"""

from __future__ import annotations

import re

from backup.exit_codes import SourceFailed

_NAME = rb"`((?:[^`]|``)+)`"
_LANDMARK = re.compile(
    rb"^(?:CREATE TABLE " + _NAME + rb" \($|LOCK TABLES " + _NAME + rb" WRITE;$|(DELIMITER ;;)$)", re.MULTILINE
)
_END_OF_ROWS = b"UNLOCK TABLES;\n"
_END_OF_BODY = b"DELIMITER ;\n"
_COMPLETED = b"-- Dump completed"
_TAIL_BYTES = 256


class DumpScan:
    """
    rows    of each table that the dump makes; 0 for an empty one
    bytes   seen so far
    """

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.bytes = 0
        self._line: list[bytes] = []  # pieces of a line that has not ended yet
        self._table: str | None = None  # whose rows are passing
        self._is_body = False
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        self.bytes += len(chunk)
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._line.append(chunk)
            return
        self._lines(b"".join((*self._line, chunk[:end])))
        self._line = [chunk[end:]]

    def finish(self) -> None:
        """Raise SourceFailed unless the dump ended as a whole one does."""
        last = self._tail.rstrip().rpartition(b"\n")[2]
        if not last.startswith(_COMPLETED):
            said = last.decode("utf-8", "replace")[-120:]
            raise SourceFailed(f"the dump is cut off after {self.bytes} bytes: it ends with {said!r}")

    def _lines(self, text: bytes) -> None:
        """Given whole lines."""
        at = 0
        while at < len(text):
            if self._table is not None:
                end = _line_start(text, _END_OF_ROWS, at)
                self.rows[self._table] += text.count(b"\n(", at, end) + text.startswith(b"(", at)
                if end == len(text):
                    return
                self._table, at = None, end + len(_END_OF_ROWS)
            elif self._is_body:
                end = _line_start(text, _END_OF_BODY, at)
                if end == len(text):
                    return
                self._is_body, at = False, end + len(_END_OF_BODY)
            else:
                found = _LANDMARK.search(text, at)
                if found is None:
                    return
                self._landmark(found)
                at = found.end() + 1

    def _landmark(self, found: re.Match[bytes]) -> None:
        made, locked, body = found.groups()
        if body:
            self._is_body = True
        elif made:
            self.rows.setdefault(_name(made), 0)
        else:
            self._table = _name(locked)
            self.rows.setdefault(self._table, 0)


def _line_start(text: bytes, line: bytes, at: int) -> int:
    """Where this line begins at or after `at`, which is the beginning of one; the end of `text` when it does not."""
    if text.startswith(line, at):
        return at
    found = text.find(b"\n" + line, at)
    return len(text) if found < 0 else found + 1


def _name(quoted: bytes) -> str:
    return quoted.replace(b"``", b"`").decode("utf-8", "replace")
