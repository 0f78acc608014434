"""`python -m tests.bench.backup`: a night of 200,000 small files against the programs that people use instead.

    first, second   a point by `take` (staged, made durable, read back, sealed) against `rsync -a` and `rsync -a
                    --link-dest`, which wait for no disk; second: SHARE of the files new, as many renamed. In turns
    restic          `restic backup` of the same tree alone: first, second
    restore         the whole point beside, by the product's restore, against `rsync -a` of the point's tree; both from
                    a dropped page cache, when we may drop it
    upload          bytes that the second night sends: repository and vault into a real S3 server with Object Lock,
                    against `aws s3 sync` of dated trees; on a smaller tree, as the latter sends a request for each file
    memory          peak RSS of a process that takes a second point of a million files, and of one that verifies it

Everything runs on one file system, in a temporary directory: give one on a disk by TMPDIR. Exits with 1 when a target
is missed. docs/benchmarks.md has the results.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from backup import removal, restore
from backup.journal import Journal, Silent
from backup.layout import Layout
from backup.points import PointId, PointKind
from backup.repository import Repository
from backup.settings import BackupSettings, RepositorySettings, VaultSettings
from backup.signing import Signer, generate
from backup.snapshot import Outcome, take
from backup.sources.source import Estimate, Staged
from backup.stage import Stage
from backup.state import AssetState, PointState
from backup.vault.known import Known
from backup.vault.s3_object_lock import S3ObjectLock
from backup.vault.seal import SealedPoint
from backup.vault.sync import sync
from backup.vault.vault import VaultStore
from backup.verify import verify_point
from kit.clock import SystemClock
from tests.bench.measure import pair_ratio, status_field
from tests.services.seaweedfs import SeaweedFS

MIB = 1024**2
TARGET_SECOND = 1.5  # times rsync; issue 6
TARGET_RESTORE = 0.8  # of rsync's speed
TARGET_MEMORY_MIB = 300.0
SHARE = 0.001
FIRST_DAY = date(2026, 11, 1)
PER_DIRECTORY = 200


class Tree:
    """The source: small files of random content, in directories as of mailboxes."""

    name = "files:bench"
    paths: tuple[Path, ...] = ()

    def __init__(self, directory: Path, files: int, mean_bytes: int) -> None:
        self.directory, self.files = directory, files
        if directory.exists():
            return
        draw = random.Random(1)
        for number in range(files):
            path = self.path(number)
            if number % PER_DIRECTORY == 0:
                path.parent.mkdir(parents=True)
            path.write_bytes(draw.randbytes(draw.randrange(2 * mean_bytes) + 1))

    def path(self, number: int) -> Path:
        box = number // PER_DIRECTORY
        return self.directory / f"box{box // 10:05}/{box % 10}/1700000000.M{number:07}P1.host,S=1000:2,"

    def change(self, seed: int) -> None:
        """Rewrite a share of the files, and rename as many: a mail that was read."""
        draw = random.Random(seed)
        count = max(int(self.files * SHARE / 2), 1)
        chosen = draw.sample(range(self.files), 2 * count)
        for number in chosen[:count]:
            for path in self.path(number).parent.glob(f"{self.path(number).name}*"):
                path.write_bytes(draw.randbytes(5000))
        for number in chosen[count:]:
            for path in self.path(number).parent.glob(f"{self.path(number).name}*"):
                path.rename(path.with_name(f"{self.path(number).name}{'' if path.name.endswith('S') else 'S'}"))

    def estimate(self) -> Estimate:
        return Estimate(0, self.files)

    def stage(self, stage: Stage, previous: PointState | None, journal: Journal) -> Staged:
        counts = stage.copy_tree(self.directory, b"stacks/bench")
        asset = AssetState(
            kind="files",
            name="bench",
            source=self.name,
            paths=["stacks/bench"],
            bytes=counts.bytes,
            counts={"files": counts.files},
        )
        return Staged([asset])


class House:
    """A backup root and what one needs to work on it."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory / "root")
        if not directory.exists():
            self.layout.root.mkdir(parents=True)
            self.layout.create()
            generate(directory / "key.pem", directory / "key.pub")
            (directory / "password").write_text("bench\n")
        self.signer = Signer.read(directory / "key.pem")
        self.verifier = self.signer.verifier
        self.settings = BackupSettings(
            root=self.layout.root,
            signing_key_file=directory / "key.pem",
            public_key_file=directory / "key.pub",
            repository=RepositorySettings(password_file=directory / "password"),
        )

    def take(self, tree: Tree, day: int) -> Outcome:
        outcome = take(
            PointId.scheduled(PointKind.DAILY, FIRST_DAY + timedelta(days=day)),
            [tree],
            layout=self.layout,
            host="bench",
            signer=self.signer,
            clock=SystemClock(),
            journal=Silent(),
        )
        assert outcome.is_sealed
        return outcome


def remove(directory: Path) -> None:
    """Also what has no write bits."""
    removal.delete(directory)


def run(*argv: str | Path, env: dict[str, str] | None = None) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=os.environ | (env or {}))


def seconds(act: Callable[[], object]) -> float:
    os.sync()
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def drop_caches() -> bool:
    os.sync()
    with suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        return True
    return False


# -- speed ------------------------------------------------------------------------------------------------------------


def nights(directory: Path, tree: Tree, rounds: int) -> dict[str, Any]:
    """First and second run against rsync, in turns."""
    ours: dict[str, list[float]] = {"first": [], "second": []}
    theirs: dict[str, list[float]] = {"first": [], "second": []}
    for number in range(rounds):
        house, copies = House(directory / f"house{number}"), directory / f"rsync{number}"
        copies.mkdir()
        runs: list[tuple[dict[str, list[float]], Callable[[int], object]]] = [
            (ours, partial(house.take, tree)),
            (theirs, partial(rsync_night, tree, copies)),
        ]
        for day, night in enumerate(("first", "second")):
            for figures, act in runs if number % 2 else runs[::-1]:
                figures[night].append(seconds(partial(act, day)))
            tree.change(number)
        if number < rounds - 1:
            remove(house.layout.root)
            shutil.rmtree(copies)
    return {
        night: {
            "ours_s": statistics.median(ours[night]),
            "rsync_s": statistics.median(theirs[night]),
            "ratio": pair_ratio(ours[night], theirs[night])._asdict(),
        }
        for night in ours
    }


def rsync_night(tree: Tree, copies: Path, day: int) -> None:
    links = ["--link-dest=../0"] if day else []
    run("rsync", "-a", *links, f"{tree.directory}/", f"{copies / str(day)}/")


def restic(directory: Path, tree: Tree) -> dict[str, float]:
    env = {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(directory / "restic"), "HOME": str(directory)}
    run("restic", "init", "--quiet", env=env)
    first = seconds(lambda: run("restic", "backup", "--quiet", tree.directory, env=env))
    tree.change(1001)
    second = seconds(lambda: run("restic", "backup", "--quiet", tree.directory, env=env))
    shutil.rmtree(directory / "restic")
    return {"first_s": first, "second_s": second}


def restores(directory: Path, house: House, rounds: int) -> dict[str, Any]:
    """The newest point, whole and beside, against rsync of its tree."""
    point = house.layout.sealed()[-1]
    ours, theirs = [], []
    is_cold = drop_caches()
    for number in range(rounds):
        context = restore.Context(
            settings=house.settings,
            verifier=house.verifier,
            journal=Silent(),
            clock=SystemClock(),
            run_id=f"20261101T00000{number}Z-restore-00000000",
            safety_copy=_no_copy,
            store=_no_store,
        )
        request = restore.RestoreRequest(point, "everything")
        drop_caches()
        ours.append(seconds(partial(restored, request, context)))
        shutil.rmtree(house.layout.root / "restored")
        drop_caches()
        target = directory / "restored"
        theirs.append(seconds(partial(run, "rsync", "-a", f"{house.layout.point(point)}/stacks", target)))
        remove(target)
    ratio = pair_ratio(theirs, ours)  # of speeds
    return {
        "ours_s": statistics.median(ours),
        "rsync_s": statistics.median(theirs),
        "speed_ratio": ratio._asdict(),
        "cold": is_cold,
    }


def restored(request: restore.RestoreRequest, context: restore.Context) -> None:
    restore.apply(restore.plan(request, context), context)


def _no_copy(_kind: str, _name: str) -> PointId:
    raise AssertionError("nothing is restored in place")


def _no_store() -> VaultStore:
    raise AssertionError("nothing is restored from the vault")


# -- bytes ------------------------------------------------------------------------------------------------------------


def uploads(directory: Path, files: int, mean_bytes: int) -> dict[str, Any]:
    """What the second night sends to S3, by us and by `aws s3 sync` into a directory of the date."""
    tree = Tree(directory / "upload-source", files, mean_bytes)
    house = House(directory / "upload-house")
    assert house.settings.repository is not None
    repository = Repository(house.layout, house.settings.repository, "bench")
    repository.create()
    sent, requests, dated = [], [], []
    with SeaweedFS() as server:
        settings = server.vault_settings(server.new_bucket(), directory)
        bucket = server.new_bucket(locked=False, default_days=None)
        points: list[SealedPoint] = []
        for day in range(2):
            outcome = house.take(tree, day)
            snapshot = repository.backup(outcome.point)
            points.insert(0, SealedPoint(outcome.point, outcome.state.started_at, snapshot))
            report = _sync(settings, house, repository, points)
            sent.append(report.uploaded_bytes)
            requests.append(report.uploaded + report.extended)
            key, secret = server.credentials["admin"]
            env = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "us-east-1"}
            target = f"s3://{bucket}/{outcome.point.name}"
            run("aws", "s3", "sync", "--quiet", "--endpoint-url", server.url, tree.directory, target, env=env)
            dated.append(_stored(server, bucket, outcome.point.name))
            tree.change(2000 + day)
    return {
        "files": files,
        "ours_first_bytes": sent[0],
        "ours_second_bytes": sent[1],
        "ours_second_requests": requests[1],
        "aws_first_bytes": dated[0],
        "aws_second_bytes": dated[1],
        "aws_second_requests": files,
        "ratio": sent[1] / dated[1],
    }


def _sync(settings: VaultSettings, house: House, repository: Repository, points: list[SealedPoint]) -> Any:
    known = Known(house.layout.state / "vault.sqlite3")
    return sync(
        S3ObjectLock(settings, "uploader"),
        house.layout.repository,
        known,
        house.signer,
        points=points,
        point=points[0].point,
        settings=settings,
        host="bench",
        config_sha256=repository.config_sha256(),
    )


def _stored(server: SeaweedFS, bucket: str, prefix: str) -> int:
    pages = server.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return sum(each["Size"] for page in pages for each in page.get("Contents", ()))


# -- memory -----------------------------------------------------------------------------------------------------------


def memory(directory: Path, files: int) -> dict[str, float]:
    """Peak RSS in MiB of a second `take` and of a verification, each in a process of its own."""
    argv = [sys.executable, "-m", "tests.bench.backup", f"--memory-in={directory / 'memory'}", f"--memory={files}"]
    return {
        step: json.loads(subprocess.run([*argv, f"--step={step}"], check=True, capture_output=True, text=True).stdout)
        for step in ("first", "second", "verify")
    }


def memory_step(directory: Path, files: int, step: str) -> float:
    tree, house = Tree(directory / "source", files, 8), House(directory / "house")
    match step:
        case "first":
            house.take(tree, 0)
        case "second":
            tree.change(1)
            assert house.take(tree, 1).state.linked_files >= files * (1 - SHARE)
        case _:
            assert (
                verify_point(house.layout.point(house.layout.sealed()[-1]), house.signer.verifier, part=(0, 28)) == []
            )
    return status_field(os.getpid(), "VmHWM") * 1024 / MIB


# -- figures ----------------------------------------------------------------------------------------------------------


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory whose trees may have no write bits."""
    directory = Path(tempfile.mkdtemp(prefix="homeport-bench-"))
    try:
        yield directory
    finally:
        remove(directory)


def show(figures: dict[str, Any]) -> list[str]:
    """Print a table; return the targets that were missed."""
    missed = []

    def line(name: str, text: str, *, is_met: bool = True) -> None:
        print(f"{name:<10} {text}{'' if is_met else '   MISSED'}", flush=True)
        if not is_met:
            missed.append(name)

    for night in ("first", "second"):
        if (each := figures.get(night)) is not None:
            ratio = each["ratio"]
            text = "{:.2f} x rsync [{:.2f}, {:.2f}]".format(*ratio.values())
            is_met = night == "first" or ratio["median"] <= TARGET_SECOND
            line(night, f"{each['ours_s']:8.1f} s   rsync {each['rsync_s']:8.1f} s   {text}", is_met=is_met)
    if (each := figures.get("restic")) is not None:
        line("restic", f"first {each['first_s']:.1f} s   second {each['second_s']:.1f} s")
    if (each := figures.get("restore")) is not None:
        ratio = each["speed_ratio"]
        text = "{:.2f} x rsync's speed [{:.2f}, {:.2f}]".format(*ratio.values())
        is_met = ratio["median"] >= TARGET_RESTORE
        line("restore", f"{each['ours_s']:8.1f} s   rsync {each['rsync_s']:8.1f} s   {text}", is_met=is_met)
    if (each := figures.get("upload")) is not None:
        ours, theirs = each["ours_second_bytes"], each["aws_second_bytes"]
        text = f"second night {ours / MIB:.2f} MiB in {each['ours_second_requests']} requests"
        line("upload", f"{text}   aws s3 sync {theirs / MIB:.2f} MiB in {each['aws_second_requests']}")
    if (each := figures.get("memory")) is not None:
        text = "   ".join(f"{step} {mib:.0f} MiB" for step, mib in each.items())
        line("memory", text, is_met=max(each.values()) <= TARGET_MEMORY_MIB)
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.backup", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--mean-bytes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--upload-files", type=int, default=5_000)
    parser.add_argument("--memory", type=int, default=1_000_000, metavar="ENTRIES")
    parser.add_argument("--only", choices=("speed", "upload", "memory"), action="append")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--memory-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_in is not None:
        print(memory_step(options.memory_in, options.memory, options.step))
        return 0
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {platform.release()}"
    print(f"# {machine}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}", flush=True)
    parts = options.only or ("speed", "upload", "memory")
    figures: dict[str, Any] = {}
    with ExitStack() as stack:
        directory = stack.enter_context(scratch())
        if "speed" in parts:
            tree = Tree(directory / "source", options.files, options.mean_bytes)
            print(f"# {options.files} files of {options.mean_bytes} bytes in the mean", flush=True)
            figures |= nights(directory, tree, options.rounds)
            figures["restic"] = restic(directory, tree)
            remove(directory / "source")
            shutil.rmtree(directory / f"rsync{options.rounds - 1}")
            figures["restore"] = restores(directory, House(directory / f"house{options.rounds - 1}"), options.rounds)
        if "upload" in parts:
            figures["upload"] = uploads(directory, options.upload_files, options.mean_bytes)
        if "memory" in parts:
            figures["memory"] = memory(directory, options.memory)
        missed = show(figures)
        if options.json is not None:
            options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
