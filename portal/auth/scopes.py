"""What an API token may do: pairs of an act and a resource. `containers:restart` on `blog-nginx`, or on `*`.

The resource is compared with what the request's path names: that itself, or what it belongs to, so that a scope on a
zone holds for a plan of this zone. There are no patterns but `*`. A route that names nothing, such as a list or a bulk
act, needs `*`.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict

from portal.auth.plain_text import Label
from portal.auth.policy import POLICY

EVERYTHING = "*"


def _token_act(name: str) -> str:
    act = POLICY.get(name)
    if act is None:
        raise ValueError("is no act of the policy")
    if not act.is_token_allowed:
        raise ValueError("is never done by a token")
    return name


class Scope(BaseModel):
    """One act on one resource, or on everything (`*`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    act: Annotated[str, AfterValidator(_token_act)]
    resource: Label = EVERYTHING


class Granted(NamedTuple):
    """A scope as it is stored: its act may have left the policy since."""

    act: str
    resource: str


def covers(scopes: Iterable[Granted], act: str, resource: str) -> bool:
    """Whether one of the scopes allows this act on this resource; `resource` is "" where the path names none."""
    parts = resource.split("/")
    named = {EVERYTHING, *("/".join(parts[:end]) for end in range(1, len(parts) + 1) if resource)}
    return any(scope.act == act and scope.resource in named for scope in scopes)
