"""Before the first byte is written: is the destination there, is it another disk, is there room, is the clock sane?

Everything wrong is DestinationFailed and names what to do; nothing has been written or removed by then.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from backup.exit_codes import DestinationFailed, SourceFailed
from backup.file_journal import size
from backup.journal import Journal
from backup.layout import Layout
from backup.points import PointId, PointKind
from backup.sources.source import Estimate, Source
from backup.state import PointState

ROOM = 1.2  # of what is expected, backup.md 4
CHURN = 0.05  # of what a point has, without its dumps: counted as new even if the size stayed
CLOCK_SLACK = timedelta(minutes=5)  # a clock that was set right by this much has not jumped


@dataclass(frozen=True, slots=True)
class Need:
    """What the run is expected to write."""

    bytes: int
    inodes: int


def check_clock(now: datetime, point: PointId, newest: PointState | None) -> None:
    """Refuse to date a point before the newest one of its root: retention would rotate out the wrong ones.

    Refusing is the safe side: with a clock that had once run ahead, dating on would pile every night onto one date.
    """
    if newest is None:
        return
    other = PointId.parse(newest.point)
    is_before = point.kind is not PointKind.MANUAL and point.kind is other.kind and point.day < other.day
    if is_before or now + CLOCK_SLACK < newest.started_at:
        raise DestinationFailed(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, but the point {newest.point} was made at"
            f" {newest.started_at:%Y-%m-%d %H:%M} UTC. Nothing was written or removed. Set the clock; or, if it was"
            f" wrong when that point was made, move that point's directory out of the backup root"
        )


def same_device(layout: Layout, sources: Sequence[Source]) -> list[tuple[str, Path]]:
    """Return every (source, path) that lies on the disk of the backup root."""
    root = layout.root.stat().st_dev
    found = []
    for source in sources:
        for path in source.paths:
            try:
                is_same = path.stat().st_dev == root
            except OSError:
                continue  # the source itself will say so, in its own words
            if is_same:
                found.append((source.name, path))
    return found


def check_devices(layout: Layout, sources: Sequence[Source], *, allow: bool, journal: Journal) -> None:
    """Data and its backup on one disk die together."""
    shared = same_device(layout, sources)
    if not shared:
        return
    text = ", ".join(f"{path} ({name})" for name, path in shared)
    if not allow:
        raise DestinationFailed(
            f"on the same disk as the backup root {layout.root}: {text}. Nothing was written. Put the root on another"
            " disk; or say sources.allow_same_device = true, and the coverage stays red"
        )
    journal.warn(f"data and backup share a disk, as the settings allow: {text}")


def estimate(sources: Sequence[Source], journal: Journal) -> Estimate:
    """The sum over the sources. One that cannot be looked at counts nothing here; its stage will fail by itself."""
    bytes_, files = 0, 0
    for source in sources:
        journal.step("estimate", source=source.name)
        try:
            each = source.estimate()
        except SourceFailed as error:
            journal.warn(f"{source.name} cannot be estimated: {error}")
            continue
        bytes_ += each.bytes
        files += each.files
    return Estimate(bytes_, files)


def expected(full: Estimate, previous: PointState | None, *, real_copy: bool) -> Need:
    """Given what a full copy needs, return what is expected after links to the previous point.

    Dumps count whole, as one changed row makes a new file; growth counts whole; of the rest 5 %. Directories are made
    anew in every point: each needs an inode, and 4 KiB.
    """
    if previous is None or real_copy:
        return Need(full.bytes, full.files + full.files // 10 + 1)
    dumps = sum(asset.bytes for asset in previous.assets if asset.kind == "database")
    rest = max(previous.bytes - dumps, 0)
    bytes_ = min(full.bytes, max(full.bytes - previous.bytes, 0) + dumps + int(rest * CHURN))
    directories = max(previous.entries - previous.files, 0)
    inodes = max(full.files - previous.files, 0) + int(previous.files * CHURN) + directories + 16
    return Need(bytes_ + directories * 4096, inodes)


def check_room(root: Path, need: Need) -> None:
    """Ask for 1.2 x of what is expected, in bytes and in inodes."""
    disk = os.statvfs(root)
    free, wanted = disk.f_bavail * disk.f_frsize, int(need.bytes * ROOM)
    if free < wanted:
        raise DestinationFailed(
            f"{root} has {size(free)} free, this run wants {size(wanted)}: {size(wanted - free)} are missing. Nothing"
            " was written or removed. `homeport backup prune --dry-run` shows what retention would free"
        )
    inodes = int(need.inodes * ROOM)
    if disk.f_files and disk.f_favail < inodes:  # file systems without a table of inodes say 0
        raise DestinationFailed(
            f"{root} has {disk.f_favail} inodes free, this run wants {inodes}. Nothing was written or removed"
        )
