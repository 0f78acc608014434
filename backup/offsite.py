"""The vault's part of a night: sync, verify, attack, and the hourly audit head. Each remembers what it found.

A sync waits for the night's run that is at work, so that tonight's point goes up and not yesterday's; past the wait it
goes on without, because the locks of what is up there must be renewed.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from datetime import datetime
from pathlib import Path

from backup import catalog_build
from backup.catalog import iso
from backup.exit_codes import BackupError, DestinationFailed, LockBusy, RepositoryFailed, SourceFailed
from backup.facts import Facts
from backup.file_journal import size
from backup.house import NIGHT, REPOSITORY, VAULT, House
from backup.points import PointId
from backup.repository import Repository
from backup.runs import Run
from backup.settings import VaultSettings
from backup.vault import attack, audit_heads, cost
from backup.vault import sync as vault_sync
from backup.vault import verify as vault_verify
from backup.vault.seal import SealedPoint
from kit.atomic import write_durably
from kit.clock import now_utc

AUDIT_HEAD = ".audit-head.json"  # in requests/, where alone the portal may write; hidden, so it is no request
MAX_HEAD_BYTES = 4096


def after_the_night(house: House, work: Run) -> None:
    """Wait for a scheduled run that is at work. Raise nothing: a sync that came to renew does not give up."""
    try:
        with house.hold(NIGHT, "vault sync", work.journal, shared=True):
            return
    except LockBusy as error:
        work.journal.warn(f"{error}. The sync goes on with the points that are there")


def sync(house: House, work: Run, *, dry_run: bool = False) -> None:
    """Upload, extend, read back, seal. Raise BackupError; the local side stays as it is.

    dry_run  stop when it is known what would be done and what it would cost
    """
    facts = house.facts()
    settings = house.vault_settings()
    repository = house.repository(work.journal)

    def estimate(planned: vault_sync.Planned) -> None:
        document = _estimated(planned, repository.size_bytes(), settings, now_utc(house.clock))
        work.journal.note(
            f"{planned.uploads} files ({size(planned.upload_bytes)}) to upload, {planned.renewals} locks to renew:"
            f" about {document['month_usd']:.2f} of {settings.budget_usd:.2f} USD a month"
        )
        if dry_run:
            raise _OnlyLooking(dataclasses.asdict(planned) | document)
        facts.put(catalog_build.COST, now_utc(house.clock), **document)
        cost.require_within(_predicted(planned, settings, now_utc(house.clock)), settings)

    try:
        with (
            house.hold(VAULT, "vault sync", work.journal),
            house.hold(REPOSITORY, "vault sync", work.journal, shared=True),
            house.known() as known,
        ):
            points = _stored_points(house, facts)
            if not points:
                work.journal.note("the repository holds no point yet: there is nothing to carry up")
                return
            damage = "" if dry_run else _damage(repository)
            report = vault_sync.sync(
                house.store("uploader"),
                house.layout.repository,
                known,
                house.signer(),
                points=points,
                point=max(points, key=lambda each: each.started_at).point,
                settings=settings,
                host=house.settings.host,
                journal=work.journal,
                estimate=estimate,
                config_sha256=repository.config_sha256(),
                damage=damage,
                clock=house.clock,
            )
    except _OnlyLooking as looked:
        work.result = looked.document
        return
    except BackupError as error:
        _ended(house, facts, catalog_build.VAULT_SYNC, str(error))
        raise
    facts.put(
        catalog_build.SYNC,
        now_utc(house.clock),
        uploaded_bytes=report.uploaded_bytes,
        extended=report.extended,
        objects=report.objects,
        locked_bytes=report.locked_bytes,
        lowest_retain_until=iso(report.lowest_retain_until),
    )
    _ended(house, facts, catalog_build.VAULT_SYNC)
    for each in report.sealed.points:
        facts.set_point(
            str(each.point),
            vault_sealed_at=report.sealed.sealed_at,
            protected_until=report.sealed.lowest_retain_until,
        )
    work.result |= {"sealed": report.sealed.key, "uploaded_bytes": report.uploaded_bytes, "extended": report.extended}
    if not work.summary:
        work.summary = f"{size(report.uploaded_bytes)} uploaded, {report.extended} locks renewed, sealed"


class _OnlyLooking(Exception):
    """A dry run knows what it wanted to know."""

    def __init__(self, document: dict[str, float]) -> None:
        super().__init__()
        self.document = document


def _predicted(planned: vault_sync.Planned, settings: VaultSettings, now: datetime) -> cost.Prediction:
    return cost.predict(
        stored_bytes=planned.stored_bytes,
        objects=planned.objects,
        upload_bytes=planned.upload_bytes,
        uploads=planned.uploads,
        renewals=planned.renewals,
        settings=settings,
        now=now,
    )


def _estimated(
    planned: vault_sync.Planned, repository_bytes: int, settings: VaultSettings, now: datetime
) -> dict[str, float]:
    """As the catalog shows it."""
    return {
        "month_usd": round(_predicted(planned, settings, now).worst_usd, 4),
        "budget_usd": settings.budget_usd,
        "egress_usd": round(cost.egress_usd(repository_bytes, settings), 4),
    }


def verify(house: House, work: Run, *, with_attack: bool = False) -> None:
    """Read back every object that a stored point needs; then, if asked, try to destroy with the uploader's credentials.

    raises  VaultUnsafe, VaultUnreachable
    """
    facts = house.facts()
    settings = house.vault_settings()
    try:
        report = vault_verify.inspect(
            house.store("verifier"), house.verifier(), settings=settings, journal=work.journal
        )
        work.result = document_of(report)
        for each in report.points:
            until = each.protected_until or each.started_at  # not protected at all: no day of it is left
            facts.set_point(str(each.point), vault_sealed_at=each.sealed_at, protected_until=until)
        report.require_safe()
        _ended(house, facts, catalog_build.VAULT_VERIFY)
        work.summary = f"{report.checked} versions are locked, the newest seal's until {report.lowest_retain_until}"
    except BackupError as error:
        _ended(house, facts, catalog_build.VAULT_VERIFY, str(error))
        if not with_attack:
            raise
        work.failed(error)
    if with_attack:
        outcome = attack.attack(house.store("uploader"), settings, work.journal)
        facts.put(catalog_build.ATTACK, outcome.at, ok=outcome.is_safe)
        work.result["attack"] = [
            {"attempt": each.name, "verdict": str(each.verdict), "said": each.said} for each in outcome.attempts
        ]
        outcome.require_safe()


def document_of(report: vault_verify.VaultReport) -> dict[str, object]:
    return {
        "newest": report.newest.key if report.newest else None,
        "objects": report.objects,
        "checked": report.checked,
        "lowest_retain_until": _text(report.lowest_retain_until),
        "margin_s": report.margin.total_seconds() if report.margin is not None else None,
        "points": [
            {
                "point": str(each.point),
                "sealed_at": _text(each.sealed_at),
                "protected_until": _text(each.protected_until),
            }
            for each in report.points
        ],
        "warnings": list(report.warnings),
        "problems": list(report.problems),
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else iso(at)


def audit_head(house: House, work: Run, file: Path) -> None:
    """Sign the head of the portal's audit chain and put it; waits for no sync, as it only adds a key of its own."""
    head = audit_heads.read(_copied(house, file))
    key = audit_heads.put(house.store("uploader"), head, house.signer(), house.vault_settings(), work.journal)
    work.result = {"key": key, "sequence": head.sequence}
    work.summary = f"row {head.sequence} as {key}"


def _copied(house: House, file: Path) -> Path:
    """The portal's file as a plain file of our own: it may put there whatever it likes."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceFailed(
            f"the audit head {file} cannot be read: {error.strerror}. `homeport audit head` writes it"
        ) from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1 or about.st_size > MAX_HEAD_BYTES:
            raise SourceFailed(f"{file} is no audit head: not a small, plain file")
        data = os.read(descriptor, MAX_HEAD_BYTES)
    finally:
        os.close(descriptor)
    copy = house.layout.state / "audit-head.json"
    write_durably(copy, data)
    return copy


def _stored_points(house: House, facts: Facts) -> list[SealedPoint]:
    """The points whose snapshots the repository holds, with the instants that they stand for."""
    started = {str(tree.point): tree.state.started_at for tree in catalog_build.trees(house.layout) if tree.state}
    for name, known in facts.points().items():
        if known.shown is not None:
            started.setdefault(name, known.shown.started_at)
    newest: dict[PointId, SealedPoint] = {}
    for each in sorted(house.repository().snapshots(), key=lambda each: each.time):
        if each.point is not None and not each.is_secrets:
            # A tree that was made anew after its snapshot stands for a later instant than the snapshot does.
            instant = min(started.get(str(each.point), each.time), each.time)
            newest[each.point] = SealedPoint(each.point, instant, each.id)
    return list(newest.values())


def _damage(repository: Repository) -> str:
    """What restic finds wrong with how the files fit together: a pack that is lost here must not be sealed away."""
    try:
        repository.check()
    except (RepositoryFailed, DestinationFailed) as error:
        return str(error)
    return ""


def _ended(house: House, facts: Facts, what: str, error: str = "") -> None:
    """How the last sync, or the last verification, has ended: neither hides the other's failure."""
    facts.put(what, now_utc(house.clock), ok=not error, detail=error)
