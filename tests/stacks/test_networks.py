"""Who may talk to whom on the real stack: every pair of containers is tried at every port; one table says what answers.

A try comes from the network of the client's container. Ports are those that the server's kernel says are listened on,
so none is forgotten here; addresses are all that the server has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.stacks.deployment import Deployment, run

# client, server, port. Whatever is not here must not get a connection.
CONVERSATIONS = {
    ("test-tunnel", "mail-ingress", 8025),
    *((client, "mail-dovecot", 2424) for client in ("mail-ingress", "mail-delivery")),
    *((client, "mail-rspamd", 11333) for client in ("mail-ingress", "mail-delivery")),
    *((client, "mail-clamav", 3310) for client in ("mail-ingress", "mail-delivery")),
    *((client, "mail-db", 3306) for client in ("mail-dovecot", "mail-postfix", "mail-roundcube")),
    ("mail-postfix", "mail-dovecot", 12345),
    ("mail-postfix", "mail-rspamd", 11332),
    ("mail-postfix", "test-smarthost", 2525),
    ("mail-dovecot", "mail-rspamd", 11334),
    ("mail-rspamd", "mail-valkey", 6379),
    ("mail-webmail", "mail-roundcube", 9000),
    ("mail-roundcube", "mail-dovecot", 10993),
    ("mail-roundcube", "mail-dovecot", 14190),
    ("mail-roundcube", "mail-postfix", 10587),
    ("test-web-tunnel", "blog-nginx", 8080),
    ("portal", "blog-nginx", 8080),
    ("portal", "mail-db", 3306),
    ("portal", "mail-dovecot", 10993),
    *((client, "blog-db", 3306) for client in ("blog-php", "portal")),
    ("blog-php", "blog-redis", 6379),
    ("blog-php", "mail-postfix", 10587),
}
# Each pair shares a network that is there for a third. None gets more by it than it could have anyway: ports of Dovecot
# and Postfix that are published and want a login, a scanner's answer, and what both tunnels bring in from everywhere.
NEIGHBOURS = {
    *(("mail-postfix", "mail-dovecot", port) for port in (10993, 14190)),  # mail_webmail
    *(("mail-dovecot", "mail-postfix", port) for port in (10587, 10465)),
    ("mail-roundcube", "mail-postfix", 10465),
    ("portal", "mail-dovecot", 14190),
    *(("portal", "mail-postfix", port) for port in (10587, 10465)),
    ("mail-rspamd", "mail-clamav", 3310),  # mail_scan
    ("mail-clamav", "mail-rspamd", 11333),
    ("blog-php", "mail-postfix", 10465),  # blog_submission
    *((client, "blog-nginx", 8080) for client in ("mail-ingress", "test-tunnel")),  # edge
    *((client, "mail-ingress", 8025) for client in ("blog-nginx", "test-web-tunnel")),
}
WAY_OUT = {"mail-dovecot", "mail-postfix", "mail-rspamd", "mail-freshclam", "mail-webmail", "portal", "test-tunnel"}
WAY_OUT |= {"blog-php", "test-web-tunnel"}
PUBLISHED = {
    "mail-dovecot": {"10993/tcp": "imaps", "10995/tcp": "pop3s", "14190/tcp": "sieve"},
    "mail-postfix": {"10587/tcp": "submission", "10465/tcp": "submissions"},
    "mail-webmail": {"8443/tcp": "webmail"},
    "portal": {"8080/tcp": "portal"},
}

# Prints those of the given [address, port] that accept a connection.
KNOCK = """
import asyncio, json, sys

async def answers(address, port):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 3.0)
    except OSError:
        return False
    writer.close()
    return True

async def main():
    doors = json.loads(sys.argv[1])
    found = await asyncio.gather(*(answers(*door) for door in doors))
    print(json.dumps([door for door, is_open in zip(doors, found) if is_open]))

asyncio.run(main())
"""
LISTEN = "0A"  # proc_net_tcp(5)


@dataclass(frozen=True, slots=True)
class Host:
    """A running container as the network sees it."""

    service: str
    addresses: frozenset[str]
    gateways: frozenset[str]
    ports: frozenset[int]


def listeners(table: Path) -> Iterator[tuple[str, int]]:
    """Yield address, in the kernel's hexadecimal, and port of every listener in a /proc/PID/net/tcp."""
    for line in table.read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == LISTEN:
            address, _, port = local.partition(":")
            yield address, int(port, 16)


def is_loopback(address: str) -> bool:
    return address.endswith("7F") if len(address) == 8 else address == "00000000000000000000000001000000"


def host(service: str, inspected: dict[str, Any]) -> Host:
    net = Path("/proc") / str(inspected["State"]["Pid"]) / "net"
    networks = inspected["NetworkSettings"]["Networks"].values()
    assert all(not each["GlobalIPv6Address"] for each in networks)
    open_ports = {
        port for table in ("tcp", "tcp6") for address, port in listeners(net / table) if not is_loopback(address)
    }
    return Host(
        service,
        frozenset(each["IPAddress"] for each in networks),
        frozenset(each["Gateway"] for each in networks if each["Gateway"]),
        frozenset(open_ports),
    )


@pytest.fixture
def hosts(stack: Deployment) -> list[Host]:
    return [host(service, state) for service, state in stack.states().items() if state["State"]["Running"]]


def reached(stack: Deployment, client: str, doors: list[tuple[str, int]]) -> set[tuple[str, int]]:
    return {(address, port) for address, port in json.loads(stack.inside(client, KNOCK, json.dumps(doors)))}


def test_every_conversation_of_the_table_is_possible_and_no_other(stack: Deployment, hosts: list[Host]) -> None:
    found = set()
    for client in hosts:
        doors = {
            (address, port): server.service
            for server in hosts
            if server is not client
            for address in server.addresses
            for port in server.ports
        }
        found |= {(client.service, doors[door], door[1]) for door in reached(stack, client.service, sorted(doors))}
    assert found - NEIGHBOURS == CONVERSATIONS


def test_no_container_reaches_what_this_machine_publishes(stack: Deployment, hosts: list[Host]) -> None:
    doors = sorted(
        {
            (gateway, port)
            for each in hosts
            for gateway in each.gateways
            for port in (*stack.ports.values(), stack.tunnel_port, stack.web_tunnel_port)
        }
    )
    assert {each.service: reached(stack, each.service, doors) for each in hosts} == {
        each.service: set() for each in hosts
    }


def test_only_who_needs_it_is_on_a_network_with_a_way_out(stack: Deployment) -> None:
    """Of an internal network the engine forwards nothing."""
    found = set()
    for service, state in stack.states().items():
        names = [name for name in state["NetworkSettings"]["Networks"] if name != "none"]
        networks = json.loads(run(["docker", "network", "inspect", *names])) if names else []
        if not all(network["Internal"] for network in networks):
            found.add(service)
    assert found == WAY_OUT


def test_ports_are_published_on_the_given_address_alone(stack: Deployment) -> None:
    published = {
        service: {inside: binding for inside, binding in state["NetworkSettings"]["Ports"].items() if binding}
        for service, state in stack.states().items()
        if not service.startswith("test-")
    }
    assert {service: ports for service, ports in published.items() if ports} == {
        service: {
            inside: [{"HostIp": "127.0.0.1", "HostPort": str(stack.ports[name])}] for inside, name in ports.items()
        }
        for service, ports in PUBLISHED.items()
    }


def test_this_machine_listens_on_the_given_address_alone(stack: Deployment) -> None:
    ours = {*stack.ports.values(), stack.tunnel_port, stack.web_tunnel_port}
    found = {
        (address, port)
        for table in ("tcp", "tcp6")
        for address, port in listeners(Path("/proc/net") / table)
        if port in ours
    }
    assert found == {("0100007F", port) for port in ours}
