"""Everything that `homeport stack check` looks at, as one table for each stack. Nothing is changed.

A check that cannot be made for a reason of its own is a problem like any other, so the rest is still looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from portal.stacks import certificates, engine, places, secret_files, values
from portal.stacks.findings import Finding, problem
from portal.stacks.stack import Stack

MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Looked:
    """What checks share: the stack, the time, and the engine, which is asked once."""

    stack: Stack
    now: datetime

    @cached_property
    def engine(self) -> engine.Engine:
        return engine.look(self.stack)

    @property
    def host(self) -> str:
        """MAIL_HOSTNAME, "" while it is not one."""
        return "" if any(values.hostname(self.stack)) else self.stack.given("MAIL_HOSTNAME")


def _secrets(looked: Looked) -> Iterable[Finding]:
    stack = looked.stack
    owners = frozenset({0, os.geteuid(), stack.directory.stat().st_uid})
    return secret_files.look(stack.name, stack.secrets_dir, stack.shown(stack.secrets_dir), stack.profiles, owners)


def _certificates(looked: Looked) -> Iterable[Finding]:
    stack = looked.stack
    return certificates.look(stack.tls_dir, stack.shown(stack.tls_dir), looked.host, looked.now)


def _places(looked: Looked) -> Iterator[Finding]:
    mountinfo = MOUNTINFO.read_text(encoding="utf-8", errors="replace")
    for place in places.PLACES[looked.stack.name]:
        yield from places.look(place, looked.stack.value(place.variable), mountinfo)


def _address(looked: Looked) -> Iterable[Finding]:
    return values.address(looked.stack.given("TAILSCALE_IP"), engine.is_of_this_machine)


def _ports(looked: Looked) -> Iterable[Finding]:
    if any(each.is_problem for each in _address(looked)):
        return ()  # there is no address to look at
    address = (looked.stack.given("TAILSCALE_IP") or "127.0.0.1").strip("[]")
    return engine.ports(looked.stack, address, looked.engine.published)


Check = Callable[[Looked], Iterable[Finding]]

_ALL: dict[str, Check] = {
    "names": lambda looked: values.names(looked.stack),
    "values": lambda looked: values.forms(looked.stack),
    "secrets": _secrets,
    "places": _places,
    "engine": lambda looked: looked.engine.findings,
}
MAIL_CHECKS: dict[str, Check] = {
    "names": _ALL["names"],
    "hostname": lambda looked: values.hostname(looked.stack),
    "domains": lambda looked: values.domains(looked.stack),
    "address": _address,
    "values": _ALL["values"],
    "relay": lambda looked: values.relay(looked.stack),
    "secrets": _secrets,
    "certificate": _certificates,
    "places": _places,
    "engine": _ALL["engine"],
    "ports": _ports,
}
CHECKS = {
    "mailserver": MAIL_CHECKS,
    "blog": {**_ALL, "memory": lambda looked: values.memory(looked.stack)},
}


def check(stack: Stack, now: datetime) -> dict[str, list[Finding]]:
    """Make every check; return what each found, none left out."""
    looked = Looked(stack, now)
    return {name: list(_made(name, make, looked)) for name, make in CHECKS[stack.name].items()}


def _made(name: str, make: Callable[[Looked], Iterable[Finding]], looked: Looked) -> Iterator[Finding]:
    try:
        yield from make(looked)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a file is not UTF-8"
        yield problem(name, f"could not be looked at: {reason}", "run this as the user who runs the stack")
