"""Which permissions the token needs for the edge, and what reading has shown of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from portal.edge.live import Live, Unknown, missing_permissions
from portal.integrations.cloudflare import CALLS, WRITE, MissingPermission

_OTHERS = ("zero_trust.", "rulesets.")  # what only the tunnel's pages call
EDGE_CALLS = {call: needed for call, needed in CALLS.items() if not call.startswith(_OTHERS)}

# The groups of what the edge calls, each at its highest level.
_LEVELS: dict[str, tuple[str, bool]] = {}
for _group, _level, _scope in EDGE_CALLS.values():
    _is_write = _level == WRITE or _LEVELS.get(_group, ("", False))[1]
    _LEVELS[_group] = ("account" if _scope == "account" else "zone", _is_write)


class Standing(StrEnum):
    GRANTED = "granted"
    MISSING = "missing"
    UNPROVEN = "reads; writing shows at deploy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Needed:
    group: str  # as Cloudflare names it, with Read or Write
    resource: str
    standing: Standing


def needed_for(account: str, zones: tuple[str, ...], live: Live) -> list[Needed]:
    """Every permission that the edge needs, account first."""
    missing = {(error.group, error.resource) for error in missing_permissions(live)}
    unreadable = {name for name, zone in live.zones.items() if isinstance(zone, Unknown)}
    found = []
    for group, (scope, is_write) in sorted(_LEVELS.items(), key=lambda item: (item[1][0], item[0])):
        for resource in [f"account {account}"] if scope == "account" else [f"zone {zone}" for zone in zones]:
            if (group, resource) in missing:
                standing = Standing.MISSING
            elif resource.removeprefix("zone ") in unreadable:
                standing = Standing.UNKNOWN
            else:
                standing = Standing.UNPROVEN if is_write else Standing.GRANTED
            found.append(Needed(f"{group} {'Write' if is_write else 'Read'}", resource, standing))
    return found


def as_needed(error: MissingPermission) -> str:
    """The permission to give: where the edge also writes, the one to write, which includes the one to read."""
    level = "Write" if _LEVELS[error.group][1] else error.level
    return f"{error.group} {level} for {error.resource}"
