"""What a bucket must be before anything is sent to it, and whenever it is verified. What cannot be read back fails."""

from __future__ import annotations

from backup.exit_codes import VaultUnsafe
from backup.vault.vault import BucketState, VaultStore

LEAST_DEFAULT_DAYS = 30  # backup/terraform sets it; the second belt under the lock that each object is given


def problems(state: BucketState) -> list[str]:
    """What is wrong with it, a sentence each. A store that knows no public access need not have it blocked."""
    checks = (
        (state.lock_enabled, "it has no Object Lock, and cannot be given one: make a new bucket with backup/terraform"),
        (
            state.default_mode == "COMPLIANCE" and state.default_days >= LEAST_DEFAULT_DAYS,
            f"its default retention is {state.default_mode or 'none'} of {state.default_days} days, not COMPLIANCE of"
            f" {LEAST_DEFAULT_DAYS} at least",
        ),
        (state.versioning, "its versioning is not enabled"),
        (bool(state.encryption), "it has no default encryption"),
        (state.public_access_blocked is not False, "its public access is not blocked entirely"),
    )
    return [text for is_met, text in checks if not is_met]


def require_safe(store: VaultStore) -> None:
    """Raise VaultUnsafe, which names everything that is wrong."""
    if found := problems(store.bucket()):
        raise VaultUnsafe(f"{store.name} is no vault: {'; '.join(found)}. Nothing was sent to it")
