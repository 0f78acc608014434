"""The Docker engine and Compose as this machine has them, asked through their command line."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from kit import command
from portal.stacks.findings import Finding, problem, warning
from portal.stacks.stack import Stack

ENGINE_FLOOR, COMPOSE_FLOOR = (20, 10), (2, 20)  # the oldest tried, and the first with `include:`
ANSWER_S = 20.0
CONNECT_S = 1.0
MAX_FINDINGS = 10  # of what Compose says about the file
_PASSED_ON = ("DOCKER_", "COMPOSE_")
_INSTALL = "docs/runbooks/mailserver.md, Docker"


@dataclass(frozen=True, slots=True)
class Engine:
    """What was found out about it.

    findings   what is wrong
    published  ports of this machine that the stack's own containers hold already
    """

    findings: tuple[Finding, ...] = ()
    published: frozenset[int] = frozenset()


def look(stack: Stack) -> Engine:
    try:
        engine = _said(stack, "version", "--format", "{{.Server.Version}}")
    except command.CommandNotStarted:
        return Engine((problem("docker", "is not installed, or not to be found", _INSTALL),))
    except command.CommandError as error:
        remedy = "start it (systemctl start docker), or use an account that may use it"
        return Engine((problem("docker", f"does not answer: {_last_line(error)}", remedy),))
    found = list(_too_old("docker", engine, ENGINE_FLOOR))
    try:
        compose = _said(stack, "compose", "version", "--short")
    except command.CommandError:
        return Engine((*found, problem("docker compose", "is not installed", _INSTALL)))
    found += _too_old("docker compose", compose, COMPOSE_FLOOR)
    try:
        completed = _run(stack, "compose", "config", "--quiet")
    except command.CommandError as error:
        remedy = "put it right: `docker compose config` shows it in full"
        return Engine((*found, problem("compose.yaml", f"is refused by Compose: {_last_line(error)}", remedy)))
    for line in completed.stderr.decode("utf-8", "replace").splitlines()[:MAX_FINDINGS]:
        if line.strip():
            found.append(warning("compose.yaml", f"makes Compose say: {line.strip()}", "`docker compose config`"))
    return Engine(tuple(found), _published(stack))


def ports(stack: Stack, address: str, own: frozenset[int]) -> Iterator[Finding]:
    """Yield the ports of the stack that somebody else listens on."""
    for name in stack.published:
        port = stack.value(name)
        if not port.isdecimal() or not 0 < int(port) < 65536 or int(port) in own:
            continue
        if _answers(address, int(port)):
            yield problem(
                name,
                f"is {port}, where another program listens on {address}",
                f"stop it (ss -ltnp 'sport = :{port}' names it), or set {name} in .env",
            )


def is_of_this_machine(address: str) -> bool:
    """Whether a socket can be bound to an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=CONNECT_S):
            return True
    except OSError:
        return False


def _published(stack: Stack) -> frozenset[int]:
    try:
        lines = _said(stack, "compose", "ps", "--format", "json").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
    except (command.CommandError, ValueError):
        return frozenset()
    flat = [row for each in rows for row in (each if isinstance(each, list) else [each])]  # older ones print one list
    return frozenset(int(each.get("PublishedPort") or 0) for row in flat for each in row.get("Publishers") or ())


def _too_old(name: str, said: str, floor: tuple[int, int]) -> Iterator[Finding]:
    match = re.match(r"v?(\d+)\.(\d+)", said)
    if match is None:
        yield problem(name, "does not say its version", _INSTALL)
    elif (int(match[1]), int(match[2])) < floor:
        yield problem(name, f"is {match[1]}.{match[2]}, older than {floor[0]}.{floor[1]}", _INSTALL)


def _said(stack: Stack, *arguments: str) -> str:
    return _run(stack, *arguments).stdout.decode("utf-8", "replace").strip()


def _run(stack: Stack, *arguments: str) -> command.Completed:
    passed_on = {
        name: value
        for name, value in stack.environ.items()
        if name in stack.known or name.startswith(_PASSED_ON) or name == "XDG_CONFIG_HOME"
    }
    return command.run(["docker", *arguments], timeout_s=ANSWER_S, cwd=stack.directory, env=passed_on)


def _last_line(error: command.CommandError) -> str:
    return str(error).strip().splitlines()[-1]
