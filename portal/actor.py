"""Who does something: a user, a token, the local administrator, the portal itself, or nobody known.

An `Actor` is made once per request (auth) or per job (scheduler), is passed on by value, and is what the audit writes
down. It is a statement about the past: a user renamed or disabled since then is still the actor of what was done.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

Kind = Literal["user", "token", "local", "system", "anonymous"]


class Role(enum.StrEnum):
    """What somebody may do; each role includes those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether whoever has this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Actor:
    """
    id          of the user or token; the uid of the local administrator; the job's name
    name        what a human reads; may have been chosen by somebody hostile
    role        None for whoever has none: the anonymous
    source      the client's address, "admin.sock" or "scheduler"
    request_id  as in the log; for a job, the id of its run
    """

    kind: Kind
    id: str
    name: str
    role: Role | None
    source: str
    request_id: str

    def tag(self, act: str) -> str:
        """The audit's name of an act that this actor does: `containers:restart` -> `ui:containers:restart`."""
        return f"{_SOURCES[self.kind]}:{act}"

    @classmethod
    def system(cls, job: str, *, request_id: str = "") -> Actor:
        """The portal itself, doing a job that nobody asked for just now."""
        return cls("system", job, job, Role.ADMIN, "scheduler", request_id)

    @classmethod
    def anonymous(cls, source: str, *, request_id: str = "") -> Actor:
        return cls("anonymous", "", "anonymous", None, source, request_id)


_SOURCES: dict[Kind, str] = {"user": "ui", "token": "api", "local": "cli", "system": "system", "anonymous": "ui"}
