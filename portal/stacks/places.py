"""The directories that hold the data: there, on a file system that can hold them, with room."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from portal.stacks.findings import Finding, problem, warning

GIB = 1024**3
NO_OWNERS = frozenset({"vfat", "exfat", "msdos", "ntfs", "ntfs3", "fuseblk", "hfsplus"})
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs", "fuse.rclone"})
MEMORY = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True, slots=True)
class Place:
    """
    variable         names the directory
    default          of compose.yaml
    least_bytes      below it the stack fails soon
    advised_bytes    below it somebody should know
    """

    variable: str
    holds: str
    least_bytes: int
    advised_bytes: int


PLACES = {
    "mailserver": (
        Place("HOMEPORT_SSD", "databases, queues and virus signatures", 2 * GIB, 10 * GIB),  # signatures alone take 0.5
        Place("HOMEPORT_HDD", "all mail", 1 * GIB, 20 * GIB),
    ),
    "blog": (
        Place("HOMEPORT_SSD", "the sites' databases", 1 * GIB, 10 * GIB),
        Place("HOMEPORT_HDD", "the sites' files", 1 * GIB, 20 * GIB),
    ),
}


def look(place: Place, given: str, mountinfo: str) -> Iterator[Finding]:
    """Given a place's directory and the text of /proc/self/mountinfo, yield what is wrong with it."""
    path = Path(given)
    if not path.is_absolute():
        yield problem(place.variable, "is no absolute path", "set it in .env to a directory such as /srv/homeport/ssd")
        return
    if not path.is_dir():
        yield problem(
            place.variable,
            f"names {given}, which is no directory",
            f"mount the disk, then: mkdir -p {given} (it holds {place.holds})",
        )
        return
    kind = file_system(path, mountinfo)
    if kind in NO_OWNERS:
        yield problem(place.variable, f"lies on {kind}, which knows no owners of files", "use ext4 or XFS")
    elif kind in MEMORY:
        yield warning(place.variable, f"lies on {kind}: it is gone at the next start of the machine", "use a disk")
    elif kind in NETWORK:
        yield warning(place.variable, f"lies on {kind}: when the network fails, so does this stack", "use a disk")
    free = shutil.disk_usage(path).free
    if free < place.least_bytes:
        yield problem(place.variable, f"has {_gib(free)} free, too little to begin", f"{given} holds {place.holds}")
    elif free < place.advised_bytes:
        yield warning(place.variable, f"has {_gib(free)} free", f"{given} holds {place.holds}; make room in time")


def file_system(path: Path, mountinfo: str) -> str:
    """The type of file system that a path lies on, proc_pid_mountinfo(5); "" if the text does not say."""
    real, found, length = os.path.realpath(path), "", -1
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        if os.path.commonpath((real, point)) == point and len(point) >= length:  # a later mount hides an earlier one
            found, length = after.split()[0], len(point)
    return found


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB"
