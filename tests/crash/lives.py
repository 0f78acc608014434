"""The lives of a message, step by step as fault.py names them, and the row of the crash table that each step leads to.

docs/design/spool.md has the crash table. `test_steps.py` holds the lives against the running processes: whoever changes
the order of the steps in the product learns it there, and looks at the crash table before changing this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LARGE_BYTES = 1_200_000  # streams into an unnamed file


@dataclass(frozen=True, slots=True)
class Row:
    """What a crash leaves, and what comes of it after restart and repeat.

    state   of the ledger's row; None = there is none
    place   directory of the spool that has the entry, or None
    copies  how many there may be in the mailbox at last
    """

    state: str | None
    place: str | None
    copies: frozenset[int] = frozenset({1})


ONCE_OR_TWICE, TWICE = frozenset({1, 2}), frozenset({2})

INGRESS_ROWS = {
    "I1": Row(None, None),
    "I2": Row("in-flight", None),
    "I3": Row("in-flight", None, ONCE_OR_TWICE),
    "I4": Row("in-flight", None, TWICE),
    "I3 maildir": Row("in-flight", None),
    "I4 maildir": Row("in-flight", None),  # once: the repeat finds it by its name
    "I5": Row("delivered", None),
    "I6": Row("in-flight", "tmp"),
    "I7": Row("in-flight", "queue"),
    "I8": Row("in-flight", "queue"),
    "I9": Row("queued", "queue"),
    "I7 hold": Row("in-flight", "hold"),
    "I8 hold": Row("in-flight", "hold"),
    "I9 hold": Row("held", "hold"),
}
DELIVERY_ROWS = {
    "D0": Row("queued", "queue"),
    "D1": Row("queued", "active"),
    "D2": Row("queued", "active", ONCE_OR_TWICE),
    "D3": Row("queued", "active", TWICE),
    "D4": Row("delivered", "active"),
    "D5": Row("delivered", "tmp"),
    "D5 done": Row("delivered", None),
    "D6": Row("queued", "active"),
    "D7": Row("queued", "queue"),
    "D8": Row("queued", "hold"),
    "D8 done": Row("held", "hold"),
}
OPERATOR_ROWS = {
    "O0": Row("queued", "queue"),
    "O1": Row("queued", "active"),
    "O2": Row("queued", "hold"),
    "O2 done": Row("held", "hold"),
    "O3": Row("dropped", "queue"),
    "O4": Row("dropped", "tmp"),
    "O4 done": Row("dropped", None),
}


Steps = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Life:
    """`steps`: each with the name of the row that a crash behind it belongs to; a crash before the first is `begin`."""

    begin: str
    steps: Steps

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.steps]

    def crashes(self) -> Iterator[tuple[int, str, str, str]]:
        """Yield (number, name, "kill-before" or "kill-after", row) for every step."""
        row_before = self.begin
        for number, (row, name) in enumerate(self.steps):
            yield number, name, "kill-before", row_before
            yield number, name, "kill-after", row
            row_before = row


def _at(row: str, *names: str) -> Steps:
    return tuple((row, name) for name in names)


_STREAMED = _at("I1", "create tmp/#", "write tmp/#")
_TAKEN = _at("I1", "ledger BEGIN") + _at("I2", "ledger COMMIT")
_DIRECT = (
    *_TAKEN,
    *_at("I3", "lmtp body"),
    *_at("I4", "lmtp reply", "ledger BEGIN"),
    *_at("I5", "ledger COMMIT"),
)
_WRITTEN = ("create tmp/ID/message.eml", "write tmp/ID/message.eml", "fdatasync tmp/ID/message.eml")
_LINKED = ("link tmp/ID/message.eml", "fdatasync tmp/#")


def _spooled(body: tuple[str, ...], place: str = "queue", suffix: str = "") -> Steps:
    envelope = ("create tmp/ID/envelope.json", "write tmp/ID/envelope.json", "fdatasync tmp/ID/envelope.json")
    return (
        *_TAKEN,
        *_at("I6", "mkdir tmp/ID", *body, *envelope, "fsync tmp/ID"),
        *_at(f"I7{suffix}", f"rename tmp/ID {place}/ID"),
        *_at(f"I8{suffix}", f"fsync {place}", "ledger BEGIN"),
        *_at(f"I9{suffix}", "ledger COMMIT"),
    )


_CLAIMED = _at("D1", "rename queue/ID active/ID", "read active/ID/message.eml", "ledger BEGIN", "ledger COMMIT")


def _replaced(row: str) -> Steps:
    """The envelope, in active/."""
    new = "active/ID/.envelope.json.new"
    rename = f"rename {new} active/ID/envelope.json"
    return _at(row, f"unlink {new}", f"create {new}", f"write {new}", f"fdatasync {new}", rename, "utime active/ID")


def _moved(row: str, place: str) -> Steps:
    return _at(row, f"rename active/ID {place}/ID", f"fsync {place}")


def _removed(row: str, place: str) -> Steps:
    """In the order in which the file system lists the two files."""
    return (
        *_at(row, f"rename {place}/ID tmp/ID", "unlink tmp/ID/*", "unlink tmp/ID/*"),
        *_at(f"{row} done", "rmdir tmp/ID"),
    )


INGRESS = {
    "direct": Life("I1", _DIRECT),
    "direct large": Life("I1", _STREAMED + _DIRECT),
    "spool": Life("I1", _spooled(_WRITTEN)),
    "spool large": Life("I1", _STREAMED + _spooled(_LINKED)),
    "hold": Life("I1", _spooled(_WRITTEN, "hold", " hold")),
}
MAILDIR = {
    "maildir": Life(
        "I1",
        (
            *_TAKEN,
            *_at("I3 maildir", *(f"{verb} maildir/home.test/anna/tmp/ID" for verb in ("create", "write", "fdatasync"))),
            *_at("I4 maildir", "link maildir/home.test/anna/new/ID"),
            *_at("I4 maildir", "unlink maildir/home.test/anna/tmp/ID", "fsync maildir/home.test/anna/new"),
            *_at("I4 maildir", "ledger BEGIN"),
            *_at("I5", "ledger COMMIT"),
        ),
    )
}
DELIVERY = {
    "deliver": Life(
        "D0",
        (
            *_CLAIMED,
            *_at("D2", "lmtp body"),
            *_at("D3", "lmtp reply", "ledger BEGIN"),
            *_at("D4", "ledger COMMIT"),
            *_removed("D5", "active"),
        ),
    ),
    "defer": Life(
        "D0",
        (
            *_CLAIMED,
            *_at("D6", "lmtp body", "lmtp reply", "ledger BEGIN", "ledger COMMIT"),
            *_replaced("D6"),
            *_moved("D7", "queue"),
        ),
    ),
    "refuse": Life(
        "D0",
        (
            *_CLAIMED,
            *_replaced("D6"),
            *_moved("D8", "hold"),
            *_at("D8", "ledger BEGIN"),
            *_at("D8 done", "ledger COMMIT"),
        ),
    ),
}
OPERATOR = {
    "hold": Life(
        "O0",
        (
            *_at("O1", "rename queue/ID active/ID"),
            *_replaced("O1"),
            *_moved("O2", "hold"),
            *_at("O2", "ledger BEGIN"),
            *_at("O2 done", "ledger COMMIT"),
        ),
    ),
    "release": Life(
        "O2 done",
        (
            *_at("O2 done", "ledger BEGIN"),
            *_at("O2", "ledger COMMIT"),
            *_at("O1", "rename hold/ID active/ID"),
            *_replaced("O1"),
            *_moved("O0", "queue"),
        ),
    ),
    "drop": Life("O0", (*_at("O0", "ledger BEGIN"), *_at("O3", "ledger COMMIT"), *_removed("O4", "queue"))),
}
