"""A changing request that is repeated is done once: `keys.py`. Below auth and operations, whose routes all use it."""

from portal.idempotency.keys import (
    Idempotency,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    IdempotentAnswerGone,
    Once,
    OnceDep,
    once,
    purge,
)

__all__ = [
    "Idempotency",
    "IdempotencyKeyInUse",
    "IdempotencyKeyReused",
    "IdempotentAnswerGone",
    "Once",
    "OnceDep",
    "once",
    "purge",
]
