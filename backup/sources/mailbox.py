"""One mailbox under live delivery, copied without a lock.

A mail is renamed while we walk: delivery and clients move it from `new` to `cur` and change the flags behind ":2,".
Its base name, the part before, stays. So a mailbox is walked at least twice. The first pass copies what it finds; each
later one copies what has no copy in its folder under its base name yet. Passes end when two running have missed
nothing: a mail that was listed and had vanished when its turn came was then looked for in every folder, twice, before
it counts as deleted. `new` is listed before `cur`, the way a mail goes, and each directory at one moment (listing.py).
So each base name that existed before the start and after the end is in the copy.

A mail that is moved between folders meanwhile may be in both. Dovecot's uidlists come after the mails: a UID too many
is an expunged mail, one too few would be given to another mail.

A folder is a directory with `cur` in it. INBOX is the mailbox's directory itself or `Maildir/` below it, so that both
Maildir++ (`.Sent`) and nested folders (`Sent`), with or without a home around them, are understood. All else in a
mailbox is copied too (Sieve scripts, subscriptions, keywords), but what Dovecot can rebuild and temporary files.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from backup.exit_codes import SourceFailed
from backup.sources.listing import Directory, Name, join, shown

if TYPE_CHECKING:
    from backup.stage import Stage

NEW, CURRENT, TEMPORARY = b"new", b"cur", b"tmp"
HOME = "Maildir"
PASSES = 50  # two or three are usual; more only while mails come and go faster than they can be opened
DEPTH = 64  # each level holds a descriptor; mail clients stop far earlier

# doc.dovecot.org, "Maildir Mailbox Format", "Index Files", "FTS": made anew from the mails, uidlists and keywords
REBUILDABLE = re.compile(
    rb"dovecot\.(list\.|map\.)?index.*|dovecot\.mailbox\.log.*|fts-flatcurve|xapian-indexes|lucene-indexes", re.DOTALL
)
UNFINISHED = re.compile(rb".*\.lock|\.temp\..*", re.DOTALL)


class Mailbox:
    """A copy in the making.

    bytes, warnings   of what was copied
    """

    def __init__(self, stage: Stage, at: Directory) -> None:
        self.bytes = 0
        self.warnings: list[str] = []
        self._stage, self._at = stage, at
        self._copied: dict[bytes, set[bytes]] = {}  # base names by the path of their folder in the stage
        self._made: set[bytes] = set()

    @property
    def maildir(self) -> str:
        """Where INBOX is below the mailbox: "" or "Maildir"."""
        home = join(self._at.path, HOME.encode())
        return HOME if home in self._made and self._at.path not in self._copied else ""

    @property
    def folders(self) -> list[str]:
        """Names as on disk, below `maildir`, "" for INBOX. Those that are not UTF-8 are copied, but not named here."""
        names = []
        for path in sorted(self._folders()):
            with contextlib.suppress(UnicodeDecodeError):
                names.append(path[len(self._top) :].lstrip(b"/").decode())
        return names

    @property
    def counts(self) -> dict[str, int]:
        """messages: files in new/ and cur/ of all folders whose name begins with no dot; folders."""
        folders = self._folders()
        messages = sum(not base.startswith(b".") for path in folders for base in self._copied[path])
        return {"messages": messages, "folders": len(folders)}

    def copy(self) -> None:
        """Raise SourceFailed, DestinationFailed."""
        quiet = 0
        for _ in range(PASSES):
            missed = self._pass(self._at, 0)
            quiet = 0 if missed else quiet + 1
            if quiet == 2:
                break
        else:
            raise SourceFailed(f"{shown(self._at.source)}: mails are renamed faster than they can be copied")
        self._rest(self._at)

    @property
    def _top(self) -> bytes:
        return join(self._at.path, self.maildir.encode()) if self.maildir else self._at.path

    def _folders(self) -> list[bytes]:
        top = self._top
        return [path for path in self._copied if path == top or path.startswith(top + b"/")]

    # -- mails --------------------------------------------------------------------------------------------------------

    def _pass(self, at: Directory, depth: int) -> int:
        """Copy every mail that has no copy yet; return how many had vanished when their turn came."""
        if depth > DEPTH:
            raise SourceFailed(f"{shown(at.source)}: folders deeper than {DEPTH}")
        self._make(at)
        directories = {name.name for name in at.names() if name.is_dir}
        is_folder = _is_folder(directories)
        if is_folder:
            directories -= {NEW, TEMPORARY}
        missed = 0
        for name in in_order(directories):
            if is_folder and name == CURRENT:
                missed += self._messages(at)
            elif not REBUILDABLE.fullmatch(name):
                with at.below(name) as below:
                    missed += self._pass(below, depth + 1) if below else 0
        return missed

    def _messages(self, folder: Directory) -> int:
        copied = self._copied.setdefault(folder.path, set())
        missed = 0
        with contextlib.ExitStack() as stack:
            # `new` is listed first, the way a mail goes, and copied last, the way the manifest goes
            parts = [part for name in (NEW, CURRENT) if (part := stack.enter_context(folder.below(name)))]
            listed = [(part, sorted(name.name for name in part.names() if name.is_file)) for part in parts]
            for part in parts:
                self._make(part)
            for part, name in ((part, name) for part, names in reversed(listed) for name in names):
                base = base_name(name)
                if base in copied:
                    continue
                try:
                    self.bytes += part.copy_file(self._stage, name).size
                except FileNotFoundError:
                    missed += 1
                else:
                    copied.add(base)
        return missed

    # -- all else -----------------------------------------------------------------------------------------------------

    def _rest(self, at: Directory, *, are_mails: bool = False) -> None:
        names = at.names()
        is_folder = _is_folder({name.name for name in names if name.is_dir})
        for name in sorted(names, key=lambda name: name.name):
            if name.is_dir:
                if is_folder and name.name == TEMPORARY:
                    with at.below(name.name) as below:
                        if below:
                            self._make(below)
                elif not REBUILDABLE.fullmatch(name.name):
                    with at.below(name.name) as below:
                        if below:
                            self._make(below)
                            self._rest(below, are_mails=is_folder and name.name in (NEW, CURRENT))
            elif are_mails and name.is_file:
                continue
            elif not (REBUILDABLE.fullmatch(name.name) or UNFINISHED.fullmatch(name.name)):
                self.bytes += copy_other(self._stage, at, name, self.warnings)

    def _make(self, at: Directory) -> None:
        if at.path not in self._made:
            at.make(self._stage)
            self._made.add(at.path)


def copy_other(stage: Stage, at: Directory, name: Name, warnings: list[str]) -> int:
    """Copy what is no directory, and return its bytes; sockets and the like are named in a warning."""
    with contextlib.suppress(FileNotFoundError):
        if name.is_file:
            return at.copy_file(stage, name.name).size
        if name.is_link:
            at.copy_link(stage, name.name)
        else:
            warnings.append(f"{shown(join(at.source, name.name))}: no file, directory or symlink; left out")
    return 0


def base_name(name: bytes) -> bytes:
    return name.partition(b":2,")[0]


def in_order(directories: Iterable[bytes]) -> list[bytes]:
    """As the manifest has their content: a stage finds the previous point's lines fastest that way."""
    return sorted(directories, key=lambda name: name + b"/")


def _is_folder(directories: set[bytes]) -> bool:
    return CURRENT in directories
