"""Where things lie in the vault: the one key function, used by upload, seals, restore, collector and tests.

<prefix>repository/<file of the repository>     data/ab/<hash>, index/<hash>, keys/<hash>, snapshots/<hash>, config
<prefix>seals/<instant>-<point>.json            and .txt beside it: the same list for people with a shell
<prefix>audit/<instant>.json                    heads of the portal's audit chain
<prefix>canary/<name>                           what `vault verify --attack` and the doctor try their hands on
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from backup.points import PointId

INSTANT: Final = "%Y%m%dT%H%M%SZ"

# Only what restic names by the SHA-256 of its content, and `config`; in the order in which it may appear in the vault:
# never an index before its packs, never a snapshot before its index.
KINDS: Final = ("data", "index", "keys", "config", "snapshots")
_FILE = re.compile(
    r"data/([0-9a-f]{2})/(?P<data>\1[0-9a-f]{62})|(?:index|keys|snapshots)/(?P<flat>[0-9a-f]{64})|config"
)
_SEAL = re.compile(r"(\d{8}T\d{6}Z)-(.+)\.json")


def is_repository_file(name: str) -> bool:
    """Whether a path below the repository is one that the vault keeps: no lock, no temporary file, nothing foreign."""
    return _FILE.fullmatch(name) is not None


def sha256_in(name: str) -> str | None:
    """The SHA-256 (hex) that a repository file carries in its name; None for `config`. Raise ValueError."""
    match = _FILE.fullmatch(name)
    if match is None:
        raise ValueError(f"not a file of a repository: {name!r}")
    return match["data"] or match["flat"]


@dataclass(frozen=True, slots=True)
class Keys:
    """
    prefix   of everything in the bucket, "" or "some/path/"
    """

    prefix: str = ""

    @property
    def repository(self) -> str:
        return f"{self.prefix}repository/"

    @property
    def seals(self) -> str:
        return f"{self.prefix}seals/"

    @property
    def audit(self) -> str:
        return f"{self.prefix}audit/"

    @property
    def canaries(self) -> str:
        return f"{self.prefix}canary/"

    def file(self, name: str) -> str:
        """Given a path below the repository, such as `data/ab/abcd...`, return its key. Raise ValueError."""
        if not is_repository_file(name):
            raise ValueError(f"not a file of a repository: {name!r}")
        return self.repository + name

    def name(self, key: str) -> str:
        """The other way round. Raise ValueError for a key of anything else: what it returns is safe as a path."""
        if not self.is_file(key):
            raise ValueError(f"not the key of a repository file: {key!r}")
        return key.removeprefix(self.repository)

    def is_file(self, key: str) -> bool:
        return key.startswith(self.repository) and is_repository_file(key.removeprefix(self.repository))

    def seal(self, at: datetime, point: PointId) -> str:
        return f"{self.seals}{instant(at)}-{point.flat}.json"

    def seal_table(self, at: datetime, point: PointId) -> str:
        return f"{self.seals}{instant(at)}-{point.flat}.txt"

    def parse_seal(self, key: str) -> tuple[datetime, PointId]:
        """When and of which point a seal says to be, by its key alone. Raise ValueError."""
        match = _SEAL.fullmatch(key.removeprefix(self.seals))
        if match is None or not key.startswith(self.seals):
            raise ValueError(f"not the key of a seal: {key!r}")
        return datetime.strptime(match[1], INSTANT).replace(tzinfo=UTC), PointId.parse(match[2])

    def audit_head(self, at: datetime) -> str:
        return f"{self.audit}{instant(at)}.json"

    def canary(self, name: str) -> str:
        return f"{self.canaries}{name}"


def instant(at: datetime) -> str:
    """As it stands in keys: UTC, whole seconds, sortable."""
    return at.astimezone(UTC).strftime(INSTANT)
