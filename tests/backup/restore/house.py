"""A small house to restore: settings, keys, a sealed point made by hand, and what the restore is given.

house = House(tmp_path)
point = house.point({"mail/home.test/anna/cur/1.M1.h:2,S": b"..."}, [asset(...)])
plan = restore.plan(house.request("mailbox", "anna@home.test"), house.context())
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backup import manifest
from backup.journal import Silent
from backup.layout import MANIFEST, STATE
from backup.manifest import Entry
from backup.points import PointId
from backup.restore import Context, RestorePlan, RestoreReport, RestoreRequest, apply, plan
from backup.settings import BackupSettings
from backup.signing import Signer, generate
from backup.state import AssetState, PointState
from backup.vault.vault import VaultStore
from tests.clock import FakeClock

POINT = PointId.parse("daily/2026-11-22")
SAFETY = PointId.parse("manual/20261122T040000Z-before-restore")
AT = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
ANNA = "anna@home.test"
MAILBOX = "mail/home.test/anna"


class House:
    """A backup root and live data beside it, below one directory.

    tables   of backup.toml's [sources], beside the mailboxes, the site "blog" and the files "etc"
    """

    def __init__(self, directory: Path, **tables: Any) -> None:
        self.directory = directory
        self.root, self.live = directory / "backup", directory / "live"
        for path in (self.root, self.live / "mail", self.live / "blog", self.live / "etc"):
            path.mkdir(parents=True)
        generate(directory / "key.pem", directory / "key.pub")
        (directory / "password").write_text("geheim\n")
        document: dict[str, Any] = {
            "root": str(self.root),
            "signing_key_file": str(directory / "key.pem"),
            "public_key_file": str(directory / "key.pub"),
            "repository": {"password_file": str(directory / "password")},
            "sources": {
                "maildir": [{"path": str(self.live / "mail")}],
                "site": [{"name": "blog", "path": str(self.live / "blog"), "services": ["blog-php"]}],
                "files": [{"name": "etc", "paths": [str(self.live / "etc")]}],
                "secrets": {"paths": [str(self.live / "blog" / "keys.php")]},
            },
        }
        document["sources"] |= tables.pop("sources", {})
        self.settings = BackupSettings.model_validate(document | tables)
        self.settings.layout.create()
        self.signer = Signer.read(directory / "key.pem")
        self.safety_copies: list[tuple[str, str]] = []
        self.on_safety_copy: Callable[[], object] = lambda: None

    def point(
        self,
        files: Mapping[str, bytes] | Mapping[bytes, bytes],
        assets: Sequence[AssetState],
        *,
        point: PointId = POINT,
        links: Mapping[str, str] | None = None,
    ) -> Path:
        """Write a sealed point with these files, each of mode 0640 and with an mtime of its own."""
        directory = self.settings.layout.point(point)
        directory.mkdir()
        for path, content in files.items():
            target = os.fsencode(directory) + b"/" + os.fsencode(path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(content)
            os.chmod(target, 0o640)
            os.utime(target, ns=(1, 1_700_000_000_123_456_789))
        for path, target_text in (links or {}).items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).symlink_to(target_text)
        self.seal(directory, assets, point)
        return directory

    def seal(
        self, directory: Path, assets: Sequence[AssetState], point: PointId = POINT, extra: Sequence[Entry] = ()
    ) -> None:
        """Write manifest, state and signature over what lies in a directory."""
        found = sorted([*entries_of(directory), *extra], key=lambda entry: entry.path)
        (directory / MANIFEST).unlink(missing_ok=True)
        digest = manifest.write(directory / MANIFEST, found)
        files = [entry for entry in found if entry.type == "file"]
        state = PointState(
            point=str(point),
            started_at=AT,
            sealed_at=AT,
            host="homeport",
            homeport="0.1.0",
            verified=True,
            sources=[],
            assets=list(assets),
            entries=len(found),
            files=len(files),
            bytes=sum(entry.size for entry in files),
            linked_files=0,
            linked_bytes=0,
            manifest_sha256=digest,
        )
        (directory / STATE).write_text(state.model_dump_json())
        manifest.sign(directory, self.signer)

    def context(self, run_id: str = "run-1", store: Callable[[], VaultStore] | None = None) -> Context:
        def safety_copy(kind: str, name: str) -> PointId:
            self.safety_copies.append((kind, name))
            self.on_safety_copy()
            return SAFETY

        def no_store() -> VaultStore:
            raise AssertionError("the vault was asked for")

        return Context(
            settings=self.settings,
            verifier=self.signer.verifier,
            journal=Silent(),
            clock=FakeClock(),
            run_id=run_id,
            safety_copy=safety_copy,
            store=store or no_store,
            lock_wait_s=0.1,
        )

    def restore(self, request: RestoreRequest, run_id: str = "run-1") -> tuple[RestorePlan, RestoreReport]:
        planned = plan(request, self.context(run_id))
        return planned, apply(planned, self.context(run_id))


def request(kind: str, name: str = "", **fields: Any) -> RestoreRequest:
    return RestoreRequest(fields.pop("point", POINT), kind, name, **fields)  # type: ignore[arg-type]


def mailbox(name: str = ANNA, folders: Sequence[str] = ("", ".Sent"), **fields: Any) -> AssetState:
    local, _, domain = name.partition("@")
    return asset("mailbox", name, "maildir:mail", [f"mail/{domain}/{local}"], folders=list(folders), **fields)


def site(**fields: Any) -> AssetState:
    return asset("site", "blog", "site:blog", fields.pop("paths", ["sites/blog/files"]), **fields)


def files() -> AssetState:
    return asset("files", "etc", "files:etc", ["stacks/etc"])


def asset(kind: str, name: str, source: str, paths: list[str], **fields: Any) -> AssetState:
    return AssetState.model_validate(
        {"kind": kind, "name": name, "source": source, "paths": paths, "bytes": 1} | fields
    )


def entries_of(directory: Path) -> list[Entry]:
    found = []
    base = os.fsencode(directory)
    for above, directories, names in os.walk(base):
        for name in [*directories, *names]:
            full = os.path.join(above, name)
            path = full[len(base) + 1 :]
            if path.startswith((b"MANIFEST", b"STATE")):
                continue
            about = os.lstat(full)
            if os.path.islink(full):
                found.append(Entry.of(path, about, target=os.readlink(full)))
            elif os.path.isdir(full):
                found.append(Entry.of(path, about))
            else:
                with open(full, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                found.append(
                    Entry(
                        *(path, "file", about.st_size, about.st_mode & 0o7777),
                        *(about.st_uid, about.st_gid, about.st_mtime_ns, digest),
                    )
                )
    return found


def tree(directory: Path) -> dict[str, bytes | str]:
    """Every file below a directory with its content, every link with where it points."""
    found: dict[str, bytes | str] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
