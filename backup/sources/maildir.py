"""A tree of mailboxes, `<path>/<domain>/<local part>/`, put under `mail/`. How one is copied: mailbox.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backup.exit_codes import SourceFailed
from backup.journal import Journal
from backup.settings import Maildir
from backup.sources.listing import Directory, measure, opened, shown
from backup.sources.mailbox import Mailbox, copy_other, in_order
from backup.sources.source import Estimate, Staged, require_content
from backup.state import AssetState, PointState

if TYPE_CHECKING:
    from backup.stage import Stage


@dataclass(frozen=True, slots=True)
class MaildirTree:
    """
    left_out        addresses of mailboxes that are excluded
    accept_smaller  holds this source's name when it may be empty by now
    """

    settings: Maildir
    left_out: frozenset[str] = frozenset()
    accept_smaller: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"maildir:{self.settings.name}"

    @property
    def paths(self) -> Sequence[Path]:
        return (self.settings.path,)

    def estimate(self) -> Estimate:
        return measure(self.settings.path)

    def stage(self, stage: Stage, previous: PointState | None, journal: Journal) -> Staged:
        assets: list[AssetState] = []
        warnings: list[str] = []
        with opened(self.settings.path, b"mail") as top:
            for domain in self._directories(stage, top, warnings):
                with top.below(domain) as below:
                    if below is None:
                        continue
                    below.make(stage)
                    for local in self._directories(stage, below, warnings):
                        with below.below(local) as at:
                            address = _address(domain, local)
                            if at is not None and address not in self.left_out:
                                assets += self._mailbox(stage, at, address, warnings)
                                journal.progress(len(assets), None, "mailboxes")
        require_content(self.name, assets, previous, self.name in self.accept_smaller)
        return Staged(assets, warnings)

    def _directories(self, stage: Stage, at: Directory, warnings: list[str]) -> list[bytes]:
        """Names of the directories; all else is copied as it is."""
        names = at.names()
        for name in names:
            if not name.is_dir:
                copy_other(stage, at, name, warnings)
        return in_order(name.name for name in names if name.is_dir)

    def _mailbox(self, stage: Stage, at: Directory, address: str | None, warnings: list[str]) -> list[AssetState]:
        if stage.has(at.path):
            raise SourceFailed(f"{shown(at.source)}: two trees hold a mailbox of this address")
        mailbox = Mailbox(stage, at)
        mailbox.copy()
        warnings += mailbox.warnings
        if address is None:
            warnings.append(f"{shown(at.source)}: not a name in UTF-8; it is copied, but listed as no mailbox")
            return []
        return [
            AssetState(
                kind="mailbox",
                name=address,
                source=self.name,
                paths=[at.path.decode()],
                bytes=mailbox.bytes,
                counts=mailbox.counts,
                folders=mailbox.folders,
                facts={"maildir": mailbox.maildir},
            )
        ]


def addresses(path: Path) -> list[str]:
    """Of all mailboxes of a tree, sorted; also of those that a link stands for, which are not copied.

    raises  SourceFailed
    """
    found: list[str | None] = []
    with opened(path, b"") as top:
        for domain in top.names():
            if domain.is_link:
                found.append(f"*@{shown(domain.name)}")
            if domain.is_dir:
                with top.below(domain.name) as below:
                    names = below.names() if below else []
                    found += [_address(domain.name, name.name) for name in names if name.is_dir or name.is_link]
    return sorted(address for address in found if address)


def _address(domain: bytes, local: bytes) -> str | None:
    """None when it is not UTF-8: such a name can stand in no list."""
    try:
        return f"{local.decode()}@{domain.decode()}"
    except UnicodeDecodeError:
        return None
