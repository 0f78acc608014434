"""One-time links: to become the first administrator, or to choose one's own password.

A link is `<base URL>/setup#<secret>` or `<base URL>/invitation#<secret>`: what stands behind # is in no server's log.
Stored is its digest. It ends after its time, when a newer one is made, and in the transaction that uses it up: of two
at once, one wins. Every method runs in the caller's transaction.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from portal.auth.models import InvitationRow, UserRow
from portal.auth.secret_ids import digest
from portal.auth.site import Site

SETUP = timedelta(hours=24)
INVITATION = timedelta(hours=72)


class Invitations:
    def __init__(self, clock: Clock, site: Site) -> None:
        self._clock, self._site = clock, site

    def setup_link(self, secret: str) -> str:
        return f"{self._site.base_url}/setup#{secret}"

    def invitation_link(self, secret: str) -> str:
        return f"{self._site.base_url}/invitation#{secret}"

    def make(self, session: Session, secret: str, user_id: str | None) -> None:
        """Store a link for a user, or for the set-up (None). Earlier ones for the same end."""
        session.execute(delete(InvitationRow).where(InvitationRow.user_id == user_id))  # None becomes IS NULL
        expires_at = now_utc(self._clock) + (SETUP if user_id is None else INVITATION)
        session.add(InvitationRow(digest=digest(secret), user_id=user_id, expires_at=expires_at))

    def is_setup(self, session: Session, secret: str) -> bool:
        """Whether this is the set-up link of now; `use_up_setup` decides."""
        found = session.get(InvitationRow, digest(secret))
        return found is not None and found.user_id is None and self._is_in_time(found)

    def invited(self, session: Session, secret: str) -> str | None:
        """Whose invitation this is, by name; None if it does not hold. `use_up` decides."""
        query = select(InvitationRow, UserRow.name).join(UserRow, UserRow.id == InvitationRow.user_id)
        found = session.execute(query.where(InvitationRow.digest == digest(secret))).one_or_none()
        return found.name if found is not None and self._is_in_time(found.InvitationRow) else None

    def use_up_setup(self, session: Session, secret: str) -> bool:
        """Whether this was the set-up link; it is none any more."""
        found = self._taken(session, secret)
        return found is not None and found.user_id is None

    def use_up(self, session: Session, secret: str) -> str | None:
        """Id of the user whose invitation this was, and is no more; None if it does not hold."""
        found = self._taken(session, secret)
        return None if found is None else found.user_id

    def _taken(self, session: Session, secret: str) -> InvitationRow | None:
        query = select(InvitationRow).where(InvitationRow.digest == digest(secret)).with_for_update()
        found = session.scalars(query).one_or_none()
        if found is None or not self._is_in_time(found):
            return None
        session.delete(found)
        session.flush()
        return found

    def _is_in_time(self, row: InvitationRow) -> bool:
        return now_utc(self._clock) < row.expires_at
