"""Where a point is read from: the local tree, the repository, or the vault. What comes out is a directory of one form.

What a plan needs (manifest, signature, state) is there at once; contents are brought by `bring`, the chosen assets
only. What was brought lies below the run's scratch and is gone when the restore ends.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backup import lock
from backup.exit_codes import RestoreRefused, VerificationFailed, WrongUsage
from backup.layout import INCOMPLETE, MANIFEST, SIGNATURE, STATE
from backup.points import PointId
from backup.repository import Reader, Repository, Snapshot
from backup.restore import scratch
from backup.restore.model import Context, Origin, RestoreRequest
from backup.vault import cost
from backup.vault import fetch as vault_fetch
from backup.vault.seal import newest
from backup.vault.vault import NotThere

METADATA = (MANIFEST, SIGNATURE, STATE)


@dataclass(frozen=True, slots=True)
class OpenedPoint:
    """
    directory   holds manifest, signature and state; after `bring` the chosen contents too
    is_sealed   False for one that was never sealed, taken because that was allowed
    egress_usd  what getting its repository out of the vault costs at most
    bring       given paths of assets, get their files into the directory
    """

    directory: Path
    is_sealed: bool
    bring: Callable[[Sequence[str]], None]
    egress_usd: float | None = None


@contextlib.contextmanager
def opened(request: RestoreRequest, context: Context) -> Iterator[OpenedPoint]:
    """Open the point that a request names.

    raises  RestoreRefused when there is none there; RepositoryFailed, VaultUnsafe, VaultUnreachable, LockBusy
    """
    if request.origin == "local":
        point = _local(request, context)
        try:
            yield point
        except (VerificationFailed, FileNotFoundError):
            if point.directory.is_dir():
                raise
            raise RestoreRefused(
                f"{request.point} was removed meanwhile, by retention or because it was made anew. No live data was"
                " touched; take another point, or the repository"
            ) from None
        return
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(scratch.held(context.settings.layout, context.run_id))
        if request.origin == "repository":
            yield _from_repository(request, context, directory, stack)
        else:
            yield _from_vault(request, context, directory, stack)


def _local(request: RestoreRequest, context: Context) -> OpenedPoint:
    layout = context.settings.layout
    sealed, incomplete = layout.point(request.point), layout.staging(request.point, INCOMPLETE)
    if sealed.is_dir():
        return OpenedPoint(sealed, True, lambda _: None)
    if not incomplete.is_dir():
        raise RestoreRefused(f"there is no point {request.point} on this disk; the repository or the vault may hold it")
    if not request.allow_unverified:
        raise RestoreRefused(f"{request.point} was never sealed: a source failed. Allow unverified data to restore it")
    return OpenedPoint(incomplete, False, lambda _: None)


def _from_repository(
    request: RestoreRequest, context: Context, directory: Path, stack: contextlib.ExitStack
) -> OpenedPoint:
    settings = context.settings
    if settings.repository is None:
        raise WrongUsage("there is no [repository] in backup.toml")
    stack.enter_context(_locked("repository", context, shared=True))
    repository = Repository(settings.layout, settings.repository, settings.host, context.journal)
    return _through_restic(repository, request, context, directory)


def _from_vault(request: RestoreRequest, context: Context, directory: Path, stack: contextlib.ExitStack) -> OpenedPoint:
    """What was fetched stays until a restore or a drill has used it: a preview and its restore pay for it once."""
    settings = context.settings
    if settings.vault is None or settings.repository is None:
        raise WrongUsage("there is no [vault] in backup.toml")
    store = context.store()
    try:
        seal = newest(store, context.verifier, point=request.point)
    except NotThere as error:
        raise RestoreRefused(str(error)) from None
    stack.enter_context(_locked("vault-fetch", context))
    egress = cost.egress_usd(vault_fetch.size_bytes(seal), settings.vault)
    context.journal.note(f"the repository is fetched from the vault: about ${egress:.2f} of egress, less what is here")
    fetched = settings.layout.state / "fetched-repository"
    vault_fetch.fetch(store, seal, fetched, context.journal)
    password_file, program = settings.repository.password_file, settings.repository.program
    repository = Repository.at(fetched, password_file, program=program, journal=context.journal)
    point = _through_restic(repository, request, context, directory, egress)

    def bring(paths: Sequence[str]) -> None:
        point.bring(paths)
        shutil.rmtree(fetched, ignore_errors=True)

    return replace(point, bring=bring)


def _locked(name: str, context: Context, *, shared: bool = False) -> contextlib.AbstractContextManager[None]:
    who, note = f"restore {context.run_id}", context.journal.note
    locks = context.settings.layout.locks
    return lock.hold(locks, name, who=who, shared=shared, wait_s=context.lock_wait_s, waiting=note)


def _through_restic(
    repository: Reader, request: RestoreRequest, context: Context, directory: Path, egress_usd: float | None = None
) -> OpenedPoint:
    snapshot = snapshot_of(repository, request)
    target = directory / "point"
    repository.restore(snapshot.id, target, METADATA)

    def bring(paths: Sequence[str]) -> None:
        context.journal.step("extract", snapshot=snapshot.id[:8])
        repository.restore(snapshot.id, target, list(paths))

    return OpenedPoint(target, True, bring, egress_usd)


def snapshot_of(repository: Reader, request: RestoreRequest) -> Snapshot:
    """The newest snapshot of a point. Raise RestoreRefused when there is none."""
    found = [each for each in repository.snapshots() if each.point == request.point and not each.is_secrets]
    if not found:
        raise RestoreRefused(f"the {request.origin} holds no snapshot of {request.point}")
    return max(found, key=lambda each: each.time)


def newest_point(origin: Origin, context: Context) -> PointId:
    """The newest point that an origin other than the local tree holds. Raise RestoreRefused when it holds none."""
    if origin == "vault":
        try:
            return newest(context.store(), context.verifier).point
        except NotThere as error:
            raise RestoreRefused(str(error)) from None
    settings = context.settings
    if settings.repository is None:
        raise WrongUsage("there is no [repository] in backup.toml")
    repository = Repository(settings.layout, settings.repository, settings.host, context.journal)
    found = [each.point for each in reversed(repository.snapshots()) if each.point is not None and not each.is_secrets]
    if not found:
        raise RestoreRefused("the repository holds no snapshot of a point")
    return found[0]
