"""The one policy table: act -> role, step-up, typed name. Routes, front end and commands read it; nothing repeats it.

An act is named `subject:verb`. `step_up` is True where a fresh factor is always needed (security.md 3.3, whose list is
complete), "protected" where only protected targets need one; `typed_name` likewise says when the target's name has to
be typed. A token never does an act with `step_up=True`, nor a "protected" one on a protected target.

To add an act: one line here, its name in the route's signature, and the test that compares both is green again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from portal.actor import Role

Kind = Literal["read", "write", "execute"]
When = bool | Literal["protected"]

VIEWER, OPERATOR, ADMIN = Role


@dataclass(frozen=True, slots=True)
class Act:
    """
    role        the least role that may do it
    kind        read changes nothing; write changes the portal's own records; execute reaches out of the portal
    step_up     whether a factor must have been proved within the last five minutes
    typed_name  whether the target's name must be typed
    is_own      about whoever asks, so it makes no sense for a token
    """

    name: str
    role: Role
    kind: Kind
    step_up: When = False
    typed_name: When = False
    is_own: bool = False

    @property
    def is_token_allowed(self) -> bool:
        return self.step_up is not True and not self.is_own


_ACTS = (
    # one's own login and account
    Act("session:delete", VIEWER, "write", is_own=True),
    Act("session:step-up", VIEWER, "write", is_own=True),
    Act("account:read", VIEWER, "read", is_own=True),
    Act("account:change", VIEWER, "write", step_up=True, is_own=True),
    # what everybody who is logged in needs to find the way
    Act("policy:read", VIEWER, "read"),
    Act("dashboard:read", VIEWER, "read"),
    Act("uses:read", VIEWER, "read"),
    Act("events:stream", VIEWER, "read"),
    # users and tokens
    Act("users:list", ADMIN, "read"),
    Act("users:create", ADMIN, "write", step_up=True),
    Act("users:change", ADMIN, "write", step_up=True),
    Act("users:delete", ADMIN, "write", step_up=True, typed_name=True),
    Act("tokens:list", ADMIN, "read"),
    Act("tokens:create", ADMIN, "write", step_up=True),
    Act("tokens:delete", ADMIN, "write", step_up=True),
    # the portal itself
    Act("audit:read", OPERATOR, "read"),
    Act("audit:export", ADMIN, "read"),
    Act("operations:list", VIEWER, "read"),
    Act("operations:read", VIEWER, "read"),
    Act("operations:cancel", OPERATOR, "execute"),
    Act("settings:read", ADMIN, "read"),
    # containers
    Act("containers:list", VIEWER, "read"),
    Act("containers:read", VIEWER, "read"),
    Act("containers:logs", VIEWER, "read"),
    Act("containers:stats", VIEWER, "read"),
    Act("containers:events", VIEWER, "read"),
    Act("containers:start", OPERATOR, "execute"),
    Act("containers:stop", OPERATOR, "execute", step_up="protected", typed_name="protected"),
    Act("containers:restart", OPERATOR, "execute", step_up="protected", typed_name="protected"),
    Act("containers:plan", OPERATOR, "write"),
    Act("containers:apply", OPERATOR, "execute", step_up="protected", typed_name="protected"),
    # backups; a restore in place is what is protected here, and the name to type is the point's id
    Act("backups:read", VIEWER, "read"),
    Act("backups:run", OPERATOR, "execute"),
    Act("backups:verify", OPERATOR, "execute"),
    Act("backups:drill", OPERATOR, "execute"),
    Act("backups:preview", OPERATOR, "execute"),
    Act("backups:restore", OPERATOR, "execute", step_up="protected", typed_name="protected"),
    # dns; a deletion, and more than one change at once, is what is protected here
    Act("dns:list", VIEWER, "read"),
    Act("dns:read", VIEWER, "read"),
    Act("dns:export", VIEWER, "read"),
    Act("dns:refresh", VIEWER, "execute"),
    Act("dns:plan", OPERATOR, "write"),
    Act("dns:apply", OPERATOR, "execute", step_up="protected"),
    Act("dns:accept", OPERATOR, "write"),
    Act("dns:route", OPERATOR, "execute", step_up="protected"),
    # mail domains; removing one is what is protected here
    Act("mail-domains:read", VIEWER, "read"),
    Act("mail-domains:plan", ADMIN, "write"),
    Act("mail-domains:apply", ADMIN, "execute", step_up="protected"),
    Act("mail-domains:canary", OPERATOR, "execute"),
    # databases; loading a dump over what is there is what is protected here, and its name is typed
    Act("databases:list", VIEWER, "read"),
    Act("databases:read", VIEWER, "read"),
    Act("databases:browse", OPERATOR, "read"),
    Act("databases:processes", OPERATOR, "read"),
    Act("databases:accounts", OPERATOR, "read"),
    Act("databases:dump", OPERATOR, "read"),
    Act("databases:kill", OPERATOR, "execute"),
    Act("databases:create", ADMIN, "execute"),
    Act("databases:grant", ADMIN, "execute"),
    Act("databases:rotate", ADMIN, "execute"),
    Act("databases:load", ADMIN, "execute", step_up="protected", typed_name="protected"),
    Act("databases:drop", ADMIN, "execute", step_up=True, typed_name=True),
    # the SQL console
    Act("console:read", OPERATOR, "read"),
    Act("console:query", OPERATOR, "execute"),
    Act("console:export", OPERATOR, "execute"),
    Act("console:write", ADMIN, "execute", step_up=True, typed_name=True),
    # WordPress
    Act("wordpress:list", VIEWER, "read"),
    Act("wordpress:read", VIEWER, "read"),
    Act("wordpress:refresh", VIEWER, "execute"),
    Act("wordpress:plan", OPERATOR, "write"),
    Act("wordpress:apply", OPERATOR, "execute"),
    Act("wordpress:cache", OPERATOR, "execute"),
    Act("wordpress:wp", OPERATOR, "execute"),
    Act("wordpress:update", OPERATOR, "execute"),
    Act("wordpress:mail-test", OPERATOR, "execute"),
    Act("wordpress:password", ADMIN, "execute"),
    Act("wordpress:configure", ADMIN, "execute"),
    # a site as a whole; removing one is what is protected here
    Act("sites:read", VIEWER, "read"),
    Act("sites:plan", ADMIN, "write"),
    Act("sites:apply", ADMIN, "execute", step_up="protected", typed_name="protected"),
)

POLICY: Mapping[str, Act] = MappingProxyType({act.name: act for act in _ACTS})
