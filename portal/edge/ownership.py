"""What Homeport made at Cloudflare: `edge.json` in the state directory, the ground on which things are removed.

A thing is written down before it is made (`is_made` false, with what was there before) and again when it is made, so
that a crash in between leaves either nothing at Cloudflare or a thing that is still known. The file holds no secret:
of each one only a salted digest, to notice that it changed. Written durably, mode 0600, by one at a time: `homeport
edge` and the portal, which both take the lock. "zones" are the domains that `homeport domain add` has added to those
of the settings; every run of `homeport edge` takes them for its own.

    {"v": 1, "installation": "1f0c9a3e", "salt": "...", "digests": {"MAIL_API_KEY": "..."},
     "generations": {"home.example": 7}, "zones": ["two.example"],
     "things": [{"kind": "bucket", "zone": null, "name": "homeport-mail-retained", "id": null, "at": 1800000000,
                 "is_made": true, "is_adopted": false, "ours": null, "former": null}, ...]}

The installation id stands in comments, names and tags of what can carry them. It tells two Homeports in one account
apart, and finds our own things when the file and Cloudflare disagree after a crash.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from kit.atomic import write_durably
from kit.logging import get_logger

log = get_logger()

VERSION = 1
FILE_NAME = "edge.json"
LOCK_NAME = "edge.lock"
MARKER = "homeport-edge-"  # of every Homeport
RECIPIENTS_KEY_NAME = "edge-recipients.key"
RECIPIENTS_KEY_BYTES = 32  # wire.md


class OwnershipError(Exception):
    """edge.json or a file beside it cannot be used; the text says which and why."""


class EdgeBusy(OwnershipError):
    """Somebody else holds the lock."""


class Kind(StrEnum):
    """What can be made, in the order in which it is made. Lists, route and cron go with another thing: not owned."""

    BUCKET = "bucket"
    LISTS = "lists"  # of recipients, all that lie in the namespace
    NAMESPACE = "namespace"
    SUBDOMAIN = "subdomain"
    WORKER = "worker"
    ROUTE = "route"  # the Worker's address under workers.dev
    CRON = "cron"
    RULE = "rule"  # of Email Routing, for one address
    CATCH_ALL = "catch-all"
    RECORD = "record"  # that we made
    FORMER_RECORD = "former-record"  # that we took away
    MERGED_RECORD = "merged-record"  # that we changed: an SPF record with Cloudflare's include
    ROUTING = "routing"  # Email Routing, switched on


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing at Cloudflare.

    zone        its domain; None for what belongs to the account
    name        what makes it one of its kind in its zone: a bucket's name, an address, a record's label
    id          Cloudflare's, where it has one
    at          epoch seconds when it was to be made
    is_made     false between the writing down and the answer
    is_adopted  it was there before: used, never removed
    ours        what we wrote, for what can be changed by others without losing its id
    former      what was there before, to be put back
    """

    kind: Kind
    zone: str | None
    name: str
    at: int
    id: str | None = None
    is_made: bool = False
    is_adopted: bool = False
    ours: Any = None
    former: Any = None

    @property
    def key(self) -> tuple[Kind, str | None, str]:
        return self.kind, self.zone, self.name


class Ownership:
    """The content of edge.json. Every change is on disk when its method returns."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self._path = path
        self.installation: str = document["installation"]
        self._salt: str = document["salt"]
        self._digests: dict[str, str] = document["digests"]
        self._generations: dict[str, int] = document["generations"]
        self._zones: list[str] = list(document.get("zones", []))  # files of earlier versions have none
        things = [Thing(**each | {"kind": Kind(each["kind"])}) for each in document["things"]]
        self._things = {thing.key: thing for thing in things}

    @classmethod
    def load(cls, state_dir: Path) -> Ownership:
        """Read edge.json, or begin an empty one, which is written when something is owned. Raise OwnershipError."""
        recorded = cls.recorded(state_dir)
        if recorded is not None:
            return recorded
        empty: dict[str, Any] = {"digests": {}, "generations": {}, "things": []}
        drawn = {"installation": secrets.token_hex(4), "salt": secrets.token_hex(16)}
        return cls(state_dir / FILE_NAME, empty | drawn)

    @classmethod
    def recorded(cls, state_dir: Path) -> Ownership | None:
        """Read edge.json; None where there is none yet, and so no installation id. Raise OwnershipError."""
        path = state_dir / FILE_NAME
        try:
            document = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise OwnershipError(f"{path} cannot be read: {error}") from error
        if not isinstance(document, dict) or document.get("v") != VERSION:
            raise OwnershipError(f"{path} is not version {VERSION} of this file; it was written by another Homeport")
        try:
            return cls(path, document)
        except (KeyError, TypeError, ValueError) as error:
            raise OwnershipError(f"{path} is damaged ({type(error).__name__}); restore it from a backup") from error

    @property
    def zones(self) -> tuple[str, ...]:
        """The domains that were added beside the settings' own."""
        return tuple(self._zones)

    def add_zone(self, domain: str) -> None:
        if domain not in self._zones:
            self._zones = sorted([*self._zones, domain])
            self._write()

    def forget_zone(self, domain: str) -> None:
        """Its things are forgotten one by one, as they go; the generation of its list stays: it must never fall."""
        if domain in self._zones:
            self._zones.remove(domain)
            self._write()

    @property
    def marker(self) -> str:
        """What stands in a comment, a rule's name or a tag of what is ours."""
        return f"{MARKER}{self.installation}"

    def __iter__(self) -> Iterator[Thing]:
        return iter(list(self._things.values()))

    def find(self, kind: Kind, zone: str | None, name: str) -> Thing | None:
        return self._things.get((kind, zone, name))

    def intend(self, *things: Thing) -> None:
        """Write down what is about to be made, or to be changed."""
        self._things |= {thing.key: thing for thing in things}
        self._write()

    def made(self, kind: Kind, zone: str | None, name: str, **changes: Any) -> None:
        """Write down that it was made; `changes` are fields of Thing."""
        thing = self._things[kind, zone, name]
        self._things[thing.key] = dataclasses.replace(thing, is_made=True, **changes)
        self._write()

    def forget(self, *things: Thing) -> None:
        for thing in things:
            self._things.pop(thing.key, None)
        self._write()

    def changed_secrets(self, values: Mapping[str, str]) -> list[str]:
        """Given secrets by name, return the names of those that differ from what was remembered, gone ones included."""
        names = self._digests.keys() | values.keys()
        return sorted(name for name in names if self._digests.get(name) != self._digest(name, values.get(name)))

    def has_uploaded(self, secret: str) -> bool:
        """Whether a Worker of ours has a secret of this name."""
        return secret in self._digests

    def digests_of(self, values: Mapping[str, str]) -> dict[str, str]:
        """What is remembered of secrets. Takes its time: not for an event loop."""
        return {name: self._digest(name, value) or "" for name, value in values.items()}

    def remember_digests(self, digests: Mapping[str, str]) -> None:
        """Those of `digests_of`; every other secret is forgotten."""
        self._digests = dict(digests)
        self._write()

    def _digest(self, name: str, value: str | None) -> str | None:
        """Slow on purpose: a webhook's address may be guessable."""
        if value is None:
            return None
        salt = bytes.fromhex(self._salt) + name.encode()
        return hashlib.pbkdf2_hmac("sha256", value.encode(), salt, 100_000).hex()

    def generation(self, domain: str) -> int:
        """Of the recipients' list last pushed; 0 before the first."""
        return self._generations.get(domain, 0)

    @property
    def pushed_domains(self) -> list[str]:
        """The domains whose list was ever pushed."""
        return sorted(self._generations)

    def remember_generation(self, domain: str, generation: int) -> None:
        self._generations[domain] = generation
        self._write()

    def _write(self) -> None:
        document = {
            "v": VERSION,
            "installation": self.installation,
            "salt": self._salt,
            "digests": self._digests,
            "generations": self._generations,
            "zones": self._zones,
            "things": [dataclasses.asdict(thing) for thing in self._things.values()],
        }
        write_durably(self._path, json.dumps(document, indent=1).encode() + b"\n", mode=0o600)


def marker_of(state_dir: Path) -> Callable[[], str | None]:
    """Return what gives the comment of the records that this installation's edge has written: None while nothing is
    recorded, or the record cannot be read. The latter is logged, once until it can be read again."""
    told = ""

    def marker() -> str | None:
        nonlocal told
        try:
            recorded = Ownership.recorded(state_dir)
        except OwnershipError as error:
            if str(error) != told:
                told = str(error)
                log.warning("edge_record_unreadable", error=told)
            return None
        told = ""
        return recorded.marker if recorded is not None else None

    return marker


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Keep everybody else who changes something at the edge out. Raise EdgeBusy if somebody is at work."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OwnershipError(f"{state_dir} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EdgeBusy(
                "another `homeport edge`, or the portal, is changing things; wait until it has ended"
            ) from None
        yield
    finally:
        os.close(descriptor)


def recipients_key(state_dir: Path, *, make: bool) -> bytes | None:
    """Return RECIPIENTS_KEY, from its own file (0600); made once, when `make` says so. Raise OwnershipError.

    It must never be replaced while lists lie at the edge: under another key no address would be on them.
    """
    path = state_dir / RECIPIENTS_KEY_NAME
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if not make:
            return None
        key = secrets.token_bytes(RECIPIENTS_KEY_BYTES)
        write_durably(path, key.hex().encode() + b"\n", mode=0o600)
        return key
    except (OSError, ValueError) as error:
        raise OwnershipError(f"{path} cannot be read: {type(error).__name__}") from error
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != RECIPIENTS_KEY_BYTES:
        raise OwnershipError(f"{path} does not hold {RECIPIENTS_KEY_BYTES} bytes in hex")
    return key


def forget_recipients_key(state_dir: Path) -> None:
    """Only when neither a Worker nor a list knows it any more."""
    (state_dir / RECIPIENTS_KEY_NAME).unlink(missing_ok=True)
