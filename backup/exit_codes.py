"""How a run ends: one table of exit codes, one exception for each, so that a unit and a person read the same thing.

Whatever is no `BackupError` is a bug and exits 1. The text of an error says what happened, what was kept and what to
do; it holds no secret.
"""

from __future__ import annotations

import enum
from typing import ClassVar


class ExitCode(enum.IntEnum):
    """Of `homeport backup`. Success means done *and* verified."""

    DONE = 0
    BUG = 1
    USAGE = 2
    LOCKED = 3
    SOURCE = 4
    DESTINATION = 5
    REPOSITORY = 6
    VAULT_UNSAFE = 7
    VERIFICATION = 8
    RESTORE_REFUSED = 9
    OVER_BUDGET = 10
    VAULT_UNREACHABLE = 11

    @property
    def meaning(self) -> str:
        return MEANINGS[self]


MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done and verified",
    ExitCode.BUG: "a bug in Homeport",
    ExitCode.USAGE: "wrong usage or settings",
    ExitCode.LOCKED: "waited too long for a lock",
    ExitCode.SOURCE: "a source failed or is inconsistent",
    ExitCode.DESTINATION: "the destination: not mounted, same disk as a source, no space, read-only",
    ExitCode.REPOSITORY: "the repository: locked, damaged, or a wrong password",
    ExitCode.VAULT_UNSAFE: "the vault is unsafe: not locked, tampered with, or protected too briefly",
    ExitCode.VERIFICATION: "a verification or a drill failed",
    ExitCode.RESTORE_REFUSED: "the restore was refused: unverified, a path escapes, or the world has changed",
    ExitCode.OVER_BUDGET: "over the budget",
    ExitCode.VAULT_UNREACHABLE: "the vault is unreachable: credentials, network, clock, or a renewal denied",
}


class BackupError(Exception):
    """An end that the operator can act on. Several at once end with the code of the first."""

    code: ClassVar[ExitCode]


class WrongUsage(BackupError):
    code = ExitCode.USAGE


class LockBusy(BackupError):
    code = ExitCode.LOCKED


class SourceFailed(BackupError):
    code = ExitCode.SOURCE


class DestinationFailed(BackupError):
    code = ExitCode.DESTINATION


class RepositoryFailed(BackupError):
    code = ExitCode.REPOSITORY


class VaultUnsafe(BackupError):
    code = ExitCode.VAULT_UNSAFE


class VerificationFailed(BackupError):
    code = ExitCode.VERIFICATION


class RestoreRefused(BackupError):
    code = ExitCode.RESTORE_REFUSED


class OverBudget(BackupError):
    code = ExitCode.OVER_BUDGET


class VaultUnreachable(BackupError):
    code = ExitCode.VAULT_UNREACHABLE
