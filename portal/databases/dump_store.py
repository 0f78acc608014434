"""Files of the room in the portal's state directory: dumps that are kept, and uploads under way.

    dumps/<id>.sql.zst      whole, verified, with a row of `database_dumps`; removed after KEPT_DAYS
    uploads/<id>            as much as has arrived, `<id>.json` beside it says of what; removed after UPLOAD_S

A dump gets its name once it is whole and on the disk, and its row after that: a file without a row is what a killed
portal has left, and goes with the next sweep.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kit.atomic import fsync_dir, write_durably
from kit.clock import Clock, now_utc
from kit.logging import get_logger
from portal.databases.dumps import Sink, compressed
from portal.databases.failures import NoSuchDump, NoSuchUpload, NotEnoughRoom, UploadOutOfOrder
from portal.databases.models import DumpRow
from portal.db import Database
from portal.operations.records import new_id

log = get_logger()

KEPT_DAYS = 30
UPLOAD_S = 24 * 3600.0
LEFT_FREE_BYTES = 256 * 1024**2  # the portal's own database needs room too
MAX_UPLOADS = 20
_ID = re.compile(r"[0-9A-Za-z]{26}")
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Upload:
    """received: bytes that have arrived, in order."""

    id: str
    name: str
    bytes: int
    received: int
    owner: str


class DumpStore:
    """Its methods block, but for those that ask the portal's database."""

    def __init__(self, state_dir: Path, database: Database, clock: Clock) -> None:
        self._dumps, self._uploads = state_dir / "dumps", state_dir / "uploads"
        self._database, self._clock = database, clock

    def begin(self) -> None:
        for directory in (self._dumps, self._uploads):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def scratch(self) -> Path:
        """Where files without a name may lie: on the disk, not in memory."""
        return self._uploads

    # -- dumps --------------------------------------------------------------------------------------------------------

    def write(self, dump_id: str, make: Callable[[Sink], object]) -> tuple[int, str]:
        """Let `make` write a dump's text; return the bytes and the SHA-256 of its file. Raise NotEnoughRoom."""
        path = self.path(dump_id)
        temporary = path.with_suffix(".tmp")
        digest, size = hashlib.sha256(), 0
        try:
            with _room(), temporary.open("xb") as file:
                os.fchmod(file.fileno(), 0o600)

                def sink(chunk: bytes) -> None:
                    nonlocal size
                    size += len(chunk)
                    digest.update(chunk)
                    with _room():
                        file.write(chunk)

                with compressed(sink, "zst") as take:
                    make(take)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
            fsync_dir(self._dumps)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return size, digest.hexdigest()

    async def add(self, row: DumpRow) -> None:
        await self._database.run(lambda session: session.add(row))

    async def all(self) -> list[DumpRow]:
        """Those whose file is there, newest first."""
        newest_first = select(DumpRow).order_by(DumpRow.made_at.desc(), DumpRow.id.desc())
        rows = await self._database.read(lambda session: list(session.scalars(newest_first)))
        return [row for row in rows if self.path(row.id).exists()]

    async def get(self, dump_id: str) -> DumpRow:
        """Raise NoSuchDump."""
        if _ID.fullmatch(dump_id):
            row = await self._database.read(lambda session: session.get(DumpRow, dump_id))
            if row is not None and self.path(row.id).exists():
                return row
        raise NoSuchDump("no dump of this id is kept")

    async def newest(self, server: str) -> dict[str, datetime]:
        """Database -> when its newest kept dump was made."""
        return {row.database: row.made_at for row in reversed(await self.all()) if row.server == server}

    def path(self, dump_id: str) -> Path:
        return self._dumps / f"{dump_id}.sql.zst"

    def new_id(self) -> str:
        return new_id(now_utc(self._clock))

    def kept_until(self, made_at: datetime) -> datetime:
        return made_at + timedelta(days=KEPT_DAYS)

    async def sweep(self) -> None:
        """Remove what is past its time, and what a killed portal has left."""
        now = now_utc(self._clock)

        def forget(session: Session) -> set[str]:
            session.execute(delete(DumpRow).where(DumpRow.kept_until < now))
            return set(session.scalars(select(DumpRow.id)))

        known = await self._database.run(forget)
        for path in self._dumps.iterdir():
            is_old = self._age_s(path) > UPLOAD_S  # one whose row is about to be written is younger
            if path.name.partition(".")[0] not in known and is_old:
                path.unlink(missing_ok=True)
                log.info("dump_removed", name=path.name)
        for path in self._uploads.iterdir():
            if self._age_s(path) > UPLOAD_S:
                path.unlink(missing_ok=True)

    # -- uploads ------------------------------------------------------------------------------------------------------

    def begin_upload(self, owner: str, name: str, size: int) -> Upload:
        """owner: who sends it, and alone may go on. Raise NotEnoughRoom."""
        if shutil.disk_usage(self._uploads).free - size < LEFT_FREE_BYTES:
            raise NotEnoughRoom(f"{size} bytes do not fit on the portal's disk")
        if len([each for each in self._uploads.iterdir() if each.suffix == ".json"]) >= MAX_UPLOADS:
            raise NotEnoughRoom("too many uploads are under way; those of a day ago are removed by themselves")
        upload = Upload(secrets.token_hex(16), name, size, 0, owner)
        with _room():
            (self._uploads / upload.id).touch(mode=0o600, exist_ok=False)
            document = {"name": name, "bytes": size, "owner": owner}
            write_durably(self._uploads / f"{upload.id}.json", json.dumps(document).encode())
        return upload

    def upload(self, owner: str, upload_id: str) -> Upload:
        """Raise NoSuchUpload, also for somebody else's."""
        if not _UPLOAD_ID.fullmatch(upload_id):
            raise NoSuchUpload("no upload of this id")
        try:
            document = json.loads((self._uploads / f"{upload_id}.json").read_bytes())
            received = self.upload_path(upload_id).stat().st_size
        except (OSError, ValueError) as error:
            raise NoSuchUpload("no upload of this id") from error
        if document["owner"] != owner:
            raise NoSuchUpload("no upload of this id")
        return Upload(upload_id, document["name"], document["bytes"], received, owner)

    def add_piece(self, owner: str, upload_id: str, offset: int, data: bytes) -> Upload:
        """Append a piece; what is there already is passed over. Raise NoSuchUpload, UploadOutOfOrder, NotEnoughRoom."""
        upload = self.upload(owner, upload_id)
        end = offset + len(data)
        if offset > upload.received or end > upload.bytes:
            raise UploadOutOfOrder(f"it goes on at {upload.received} of {upload.bytes}", expected=upload.received)
        new = data[upload.received - offset :] if end > upload.received else b""
        with _room(), self.upload_path(upload_id).open("r+b") as file:
            file.seek(upload.received)
            file.write(new)
        return Upload(upload.id, upload.name, upload.bytes, max(upload.received, end), owner)

    def whole_upload(self, owner: str, upload_id: str) -> tuple[Path, str]:
        """Where a complete upload lies, and what it is called. Raise NoSuchUpload, UploadOutOfOrder."""
        upload = self.upload(owner, upload_id)
        if upload.received < upload.bytes:
            raise UploadOutOfOrder(f"{upload.received} of {upload.bytes} bytes have arrived", expected=upload.received)
        return self.upload_path(upload.id), upload.name

    def remove_upload(self, upload_id: str) -> None:
        if _UPLOAD_ID.fullmatch(upload_id):
            self.upload_path(upload_id).unlink(missing_ok=True)
            (self._uploads / f"{upload_id}.json").unlink(missing_ok=True)

    def upload_path(self, upload_id: str) -> Path:
        return self._uploads / upload_id

    def _age_s(self, path: Path) -> float:
        with contextlib.suppress(FileNotFoundError):
            return self._clock.now() - path.stat().st_mtime
        return 0.0


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NotEnoughRoom("the portal's disk is full") from error
        raise
