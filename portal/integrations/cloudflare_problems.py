"""What Cloudflare's refusals become for whoever asked us, and how the connection to it is shown.

Cloudflare's 401, 403 and 404 are about our token and its things, never about the session or the address of whoever
asked: none of them leaves the portal as one of these.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from kit.problem import Problem
from portal.integrations.cloudflare import (
    CloudflareError,
    Conflict,
    MissingPermission,
    RateLimited,
    TokenRefused,
    Unreachable,
)

PERMISSION_SHOWN_FOR = timedelta(minutes=15)  # since it was last missing: three polls


class CloudflareNotConfigured(Problem):
    """No Cloudflare account is connected. `settings` names what is not set; docs/runbooks/dns.md says how."""

    status, type, title = 409, "cloudflare-not-configured", "Cloudflare is not connected"


class CloudflareTokenRefused(Problem):
    """Cloudflare does not take the portal's API token: it is unknown, expired or disabled. Give the portal another."""

    status, type, title = 502, "cloudflare-token-refused", "Cloudflare refuses the token"


class CloudflarePermissionMissing(Problem):
    """The API token lacks the permission `group` at `level` for `resource`. Add it in Cloudflare's dashboard."""

    status, type, title = 502, "cloudflare-permission-missing", "The Cloudflare token lacks a permission"


class CloudflareRateLimited(Problem):
    """Cloudflare takes no more requests for a while, and nothing was done. Try again after `Retry-After`."""

    status, type, title = 503, "cloudflare-rate-limited", "Cloudflare limits the rate"


class CloudflareSilent(Problem):
    """Cloudflare did not answer. After a change, look whether it came about before you try it again."""

    status, type, title = 504, "cloudflare-silent", "Cloudflare does not answer"


class CloudflareConflict(Problem):
    """Cloudflare has something that this collides with, or it was changed meanwhile; `detail` quotes it. Look again."""

    status, type, title = 409, "cloudflare-conflict", "Cloudflare sees a conflict"


class CloudflareRefused(Problem):
    """Cloudflare did not do it; `detail` quotes its reason."""

    status, type, title = 502, "cloudflare-refused", "Cloudflare refuses"


def as_problem(error: CloudflareError) -> Problem:
    """What to answer for an error of Cloudflare's."""
    match error:
        case MissingPermission():
            return CloudflarePermissionMissing(
                str(error), group=error.group, level=error.level, resource=error.resource
            )
        case RateLimited(retry_in_s=None):
            return CloudflareRateLimited(str(error), retry_in_s=None)
        case RateLimited(retry_in_s=float(wait_s)):
            return CloudflareRateLimited(str(error), headers={"Retry-After": str(math.ceil(wait_s))}, retry_in_s=wait_s)
        case TokenRefused():
            return CloudflareTokenRefused(str(error))
        case Unreachable():
            return CloudflareSilent(str(error))
        case Conflict():
            return CloudflareConflict(str(error))
        case _:
            return CloudflareRefused(str(error))


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Errors of Cloudflare's that leave the block are problems. Raise what `as_problem` returns."""
    try:
        yield
    except CloudflareError as error:
        raise as_problem(error) from error


class ConnectionWatch:
    """How Cloudflare was found when it was last asked: told by whoever asks it, shown to people.

    A permission that is missing for one resource says nothing of the others: it stays shown until that resource is
    read well, or until it has not been missed for PERMISSION_SHOWN_FOR, and the connection is good for all else.

    missing_settings   names of the settings without which Cloudflare is never asked
    """

    def __init__(self, missing_settings: Sequence[str] = ()) -> None:
        self._missing_settings = tuple(missing_settings)
        self._last: CloudflareError | None = None  # of the newest failure that concerns everything
        self._since: datetime | None = None  # since when it is as it is
        self._retry_at: datetime | None = None
        self._good_at: datetime | None = None
        self._lacking: dict[tuple[str, str], tuple[datetime, MissingPermission]] = {}

    def ok(self, at: datetime, *, on: str | None = None) -> None:
        """It answered. on: for which resource, as MissingPermission names it: "zone home.example"."""
        if self._last is not None or self._good_at is None:
            self._since = at
        self._last = self._retry_at = None
        self._good_at = at
        self._lacking = {
            key: (seen_at, error)
            for key, (seen_at, error) in self._lacking.items()
            if error.resource != on and at - seen_at < PERMISSION_SHOWN_FOR
        }

    def failed(self, error: CloudflareError, at: datetime) -> None:
        """It did not do what was asked. What it refuses for reasons of the request still means that it answers."""
        if isinstance(error, MissingPermission):
            self.ok(at)
            self._lacking[error.group, error.resource] = (at, error)
        elif isinstance(error, TokenRefused | RateLimited | Unreachable) or getattr(error, "is_in_doubt", False):
            if type(error) is not type(self._last):
                self._since = at
            self._last = error
            wait_s = error.retry_in_s if isinstance(error, RateLimited) else None
            self._retry_at = None if wait_s is None else at + timedelta(seconds=wait_s)
        else:
            self.ok(at)

    def view(self) -> dict[str, Any]:
        """The members of `dns.schemas.Connection`."""
        shown: dict[str, Any] = {
            "state": "connected",
            "since": self._since,
            "detail": "Cloudflare answers",
            "permission": None,
            "settings": [],
            "retry_at": None,
        }
        if self._missing_settings:
            what = ", ".join(self._missing_settings)
            return shown | {
                "state": "not-configured",
                "since": None,
                "detail": f"not set: {what}",
                "settings": list(self._missing_settings),
            }
        if self._last is not None:
            state = _STATES.get(type(self._last), "silent")
            return shown | {"state": state, "detail": str(self._last), "retry_at": self._retry_at}
        if self._good_at is None:
            return shown | {"state": "silent", "detail": "Cloudflare has not been asked yet"}
        if self._lacking:
            seen_at, error = next(iter(self._lacking.values()))
            more = f", and {len(self._lacking) - 1} more" if len(self._lacking) > 1 else ""
            return shown | {
                "state": "refused",
                "since": seen_at,
                "detail": f"{error}{more}",
                "permission": f"{error.group} {error.level}",
            }
        return shown


_STATES: dict[type[CloudflareError], str] = {TokenRefused: "refused", RateLimited: "limited"}
