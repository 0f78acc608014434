"""Requests of the portal: files in `<root>/portal/requests/`, which is the only place it may write to.

A request is untrusted input. It names an act and things of the catalog, never a path, a retention rule or the vault's
settings; any other word in it refuses it. Its name is `<run id>.json`, written beside as `.something` and renamed.

Taken by rename into `requests/taken/`, which only we may change, then read: what the portal does to it afterwards
changes nothing. Removed when its run has ended. What lies in `taken/` while nobody holds the unit's lock was cut off by
a crash; the next start ends its run as interrupted. Nothing is ever run twice.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from backup import catalog
from backup.exit_codes import DestinationFailed, ExitCode
from backup.layout import Layout
from backup.points import PointId

MAX_BYTES = 16 * 1024
AT_ONCE = 100  # looked at per pass: a flood is worked off in the order of its names

Unit = Literal["run", "restore"]
# What comes from the vault needs the restorer's keys, which only the unit `restore` has.
ACTS: dict[Unit, tuple[str, ...]] = {"run": ("run", "verify", "drill"), "restore": ("preview", "restore", "vaultdrill")}
RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-([a-z]+)-[0-9a-f]{8}")
_ASSET = re.compile(r"(database|mailbox|site|files|zone):[^\x00-\x1f\x7f]{1,300}")


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Asset(Record):
    kind: Literal["database", "mailbox", "site", "files", "zone", "everything"]
    name: Annotated[str, Field(max_length=300)]

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class _Request(Record):
    schema_version: Literal[1]
    id: str
    by: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
    at: catalog.Time


class Run(_Request):
    """`scope` is "all" or "<asset kind>:<asset name>"."""

    act: Literal["run"]
    scope: Annotated[str, Field(max_length=320)]


class Verify(_Request):
    act: Literal["verify"]
    point: str


class Drill(_Request):
    """From the local disk. Without an asset: whatever is due."""

    act: Literal["drill"]
    asset: Asset | None
    origin: Literal["local"]


class VaultDrill(_Request):
    """The same from the vault."""

    act: Literal["vaultdrill"]
    asset: Asset | None


class _Restore(_Request):
    point: str
    asset: Asset
    folder: str | None
    origin: Literal["local", "repository", "vault"]
    where: Literal["beside", "in-place"]


class Preview(_Restore):
    act: Literal["preview"]


class Restore(_Restore):
    """`plan` is the preview's; `confirm` the point's id, typed again, for a restore in place."""

    act: Literal["restore"]
    plan: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    confirm: str | None


Request = Run | Verify | Drill | VaultDrill | Preview | Restore
_READER: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="act")])


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that cannot be one. `code` is USAGE, or RESTORE_REFUSED for a restore."""

    id: str
    act: str
    reason: str
    code: ExitCode


def refusal(act: str) -> ExitCode:
    """With which a request of an act is refused."""
    return ExitCode.RESTORE_REFUSED if act in ("preview", "restore") else ExitCode.USAGE


class NotOne(Exception):
    """The text says why this is no request."""


# -- the directory


class Inbox:
    """The requests of one unit. The caller holds the unit's lock."""

    def __init__(self, layout: Layout, unit: Unit) -> None:
        self._acts = ACTS[unit]
        self._requests = _open_dir(layout.requests)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir("taken", 0o700, dir_fd=self._requests)
            self._taken = _open_dir("taken", dir_fd=self._requests)
        except BaseException:
            os.close(self._requests)
            raise

    def close(self) -> None:
        os.close(self._taken)
        os.close(self._requests)

    def left_over(self) -> list[str]:
        """The ids of what a run before us took and did not finish."""
        return sorted(name.removesuffix(".json") for name in _names(self._taken) if self._is_ours(name))

    def take(self) -> Iterator[Request | Refused]:
        """Take what is there, oldest first; between two the caller works. What is no request of anybody is removed."""
        for name in heapq.nsmallest(AT_ONCE, filter(self._is_ours, _names(self._requests))):
            try:
                os.rename(name, name, src_dir_fd=self._requests, dst_dir_fd=self._taken)
            except FileNotFoundError:
                continue  # withdrawn
            except OSError:
                self._remove(name, self._requests)
                continue
            run = name.removesuffix(".json")
            act = RUN_ID.fullmatch(run)[1]  # type: ignore[index]  # `_is_ours` has matched it
            try:
                request = parse(self._read(name), run)
                if request.act != act:
                    raise NotOne(f"its name says {act}, its content {request.act}")
                yield request
            except NotOne as error:
                yield Refused(run, act, str(error), refusal(act))

    def done(self, run: str) -> None:
        self._remove(f"{run}.json", self._taken)

    def sweep(self) -> list[str]:
        """Remove what has no name of a request and is not being written; return the names. Each unit does it: a name
        that only resembles a request of its own would start it again and again.
        """
        swept = []
        for name in list(_names(self._requests)):
            if name == "taken" or name.startswith(".") or _act(name) in {*ACTS["run"], *ACTS["restore"]}:
                continue
            self._remove(name, self._requests)
            swept.append(name)
        return sorted(swept)

    def _is_ours(self, name: str) -> bool:
        return _act(name) in self._acts

    def _read(self, name: str) -> bytes:
        """Raise NotOne for whatever is no small, plain file of one name."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._taken)
        except OSError as error:
            raise NotOne(f"it cannot be opened: {error.strerror}") from error
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise NotOne("it is no plain file")
            if about.st_nlink != 1:
                raise NotOne("it has a second name")
            group = os.fstat(self._requests).st_gid
            if about.st_uid != os.geteuid() and about.st_gid != group:
                raise NotOne("it belongs to somebody else")
            if about.st_size > MAX_BYTES:
                raise NotOne(f"it has {about.st_size} bytes; {MAX_BYTES} are allowed")
            return os.read(descriptor, MAX_BYTES + 1)
        finally:
            os.close(descriptor)

    def _remove(self, name: str, directory: int) -> None:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            pass
        except OSError:  # a directory: rmtree follows no link
            shutil.rmtree(name, ignore_errors=True, dir_fd=directory)


def _open_dir(path: object, dir_fd: int | None = None) -> int:
    """Raise DestinationFailed for what is no directory of our own."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, dir_fd=dir_fd)  # type: ignore[arg-type]
    except OSError as error:
        raise DestinationFailed(f"the directory of requests cannot be opened: {path}: {error.strerror}") from error
    if os.fstat(descriptor).st_uid != os.geteuid():
        os.close(descriptor)
        raise DestinationFailed(f"the directory of requests {path} belongs to somebody else; nothing was taken from it")
    return descriptor


def _names(directory: int) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            yield entry.name


def _act(name: str) -> str | None:
    match = RUN_ID.fullmatch(name.removesuffix(".json")) if name.endswith(".json") else None
    return None if match is None else match[1]


# -- the content


def parse(data: bytes, run: str) -> Request:
    """Given a file's content and the id in its name, return the request. Raise NotOne."""
    if len(data) > MAX_BYTES:
        raise NotOne(f"it is longer than {MAX_BYTES} bytes")
    try:
        request = _READER.validate_json(data)
    except ValidationError as error:
        each = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in each["loc"][1:]) or "the file"
        raise NotOne(f"{where}: {each['msg']}") from None
    if request.id != run:
        raise NotOne("its id is not the one in its name")
    return request


def check(request: Request, known: catalog.Catalog, folders: Callable[[PointId, Asset], list[str] | None]) -> None:
    """Hold a request against what there is. Raise NotOne.

    folders  given a point and a mailbox, its folders there; None when they cannot be told
    """
    match request:
        case Run():
            if request.scope != "all":
                _known_asset(request.scope, known)
        case Verify():
            _known_point(request.point, known)
        case Drill() | VaultDrill():
            if request.asset is not None:
                _known_asset(str(request.asset), known)
        case Preview() | Restore():
            _check_restore(request, known, folders)


def _check_restore(
    request: Preview | Restore, known: catalog.Catalog, folders: Callable[[PointId, Asset], list[str] | None]
) -> None:
    point = _known_point(request.point, known)
    asset = request.asset
    if asset.kind == "everything":
        if asset.name:
            raise NotOne("everything has no name")
    elif str(asset) not in point.assets:
        raise NotOne(f"{asset} is not in {point.id}")
    if request.folder is not None:
        if asset.kind != "mailbox":
            raise NotOne("only a mailbox has folders")
        if not _is_folder(request.folder):
            raise NotOne("this is no folder's name")
        there = folders(PointId.parse(point.id), asset)
        if there is not None and request.folder not in there:
            raise NotOne(f"{asset} has no such folder in {point.id}")


def _known_point(text: str, known: catalog.Catalog) -> catalog.Point:
    for point in known.points:
        if point.id == text:
            return point
    raise NotOne("there is no such point")


def _known_asset(text: str, known: catalog.Catalog) -> None:
    if not _ASSET.fullmatch(text) or text not in {f"{asset.kind}:{asset.name}" for asset in known.assets}:
        raise NotOne("there is no such asset in the catalog")


def _is_folder(name: str) -> bool:
    """Such as `.Sent`, or `Work/2024` where folders are directories; "" is the inbox."""
    parts = name.split("/") if name else []
    return all(part not in ("", ".", "..") for part in parts) and len(name) <= 1024 and name.isprintable()
