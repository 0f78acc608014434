"""Proving a factor: the same for a login and for a step-up. Every function runs in the caller's transaction.

Whatever is good once (a TOTP step, a recovery code, a signature counter) is used up in that transaction, on a locked
row: two requests with the same code cannot both hold.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from portal.auth import recovery, totp
from portal.auth.models import PasskeyRow, RecoveryCodeRow, UserRow
from portal.auth.passkeys import PasskeyRefused, Passkeys, credential_id, is_for_user
from portal.auth.sealing import Seal
from portal.auth.secret_ids import digest


class Proofs:
    def __init__(self, clock: Clock, seal: Seal, passkeys: Passkeys) -> None:
        self._clock, self._seal, self._passkeys = clock, seal, passkeys

    def totp(self, session: Session, user_id: str, code: str) -> bool:
        user = locked_user(session, user_id)
        if user is None or user.is_disabled or user.totp_sealed is None:
            return False
        secret = self._seal.open(user.totp_sealed, totp_context(user_id))
        step = totp.verify(secret, code, now=self._clock.now(), last_step=user.totp_last_step)
        if step is not None:
            user.totp_last_step = step
        return step is not None

    def recovery_code(self, session: Session, user_id: str, code: str) -> bool:
        used = delete(RecoveryCodeRow).where(
            RecoveryCodeRow.user_id == user_id, RecoveryCodeRow.digest == recovery.digest(code)
        )
        return bool(session.execute(used).rowcount)  # type: ignore[attr-defined]

    def passkey(self, session: Session, credential: dict[str, Any], challenge: bytes) -> UserRow:
        """Return whose passkey answered. Raise PasskeyRefused."""
        row = session.scalars(
            select(PasskeyRow).where(PasskeyRow.digest == digest(credential_id(credential))).with_for_update()
        ).one_or_none()
        user = None if row is None else locked_user(session, row.user_id)
        if row is None or user is None or user.is_disabled or not is_for_user(credential, user.id):
            raise PasskeyRefused
        row.sign_count = self._passkeys.prove(
            credential, challenge, public_key=row.public_key, sign_count=row.sign_count
        )
        row.last_used_at = now_utc(self._clock)
        return user


def locked_user(session: Session, user_id: str) -> UserRow | None:
    return session.scalars(select(UserRow).where(UserRow.id == user_id).with_for_update()).one_or_none()


def totp_context(user_id: str) -> str:
    """What a user's TOTP secret is sealed for."""
    return f"totp of {user_id}"
