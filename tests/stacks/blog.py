"""Sites on the booted blog stack: asked as a visitor asks, looked at from their own PHP."""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stacks.deployment import Deployment

INSIDE = Path(__file__).with_name("inside")
MAKE_S = 600.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Site:
    """One site; fields as inside/make_sites.py prints them."""

    stack: Deployment
    name: str
    uid: int
    hostname: str
    database: str
    database_password: str
    redis_password: str
    admin_password: str

    @property
    def tree(self) -> Path:
        """As this machine has it."""
        return self.stack.hdd / "blog" / "sites" / self.name

    def get(self, path: str = "/", **headers: str) -> Answer:
        """Ask through the tunnel, as Cloudflare passes on what came to it by HTTPS."""
        return ask(self.stack, self.hostname, path, {"X-Forwarded-Proto": "https"} | headers)

    def run(self, php: str) -> Any:
        """Run PHP as the site's own, in its pool, as a page that somebody smuggled in; return what it gives back.

        php   the body of a function; what it returns has to be JSON
        """
        name = f"test-{secrets.token_hex(6)}.php"
        page = self.tree / "public" / name
        source = "<?php header('Content-Type: application/json'); ini_set('html_errors', '0');\n"
        page.write_text(source + "echo json_encode((function () {\n" + php + "\n})(), JSON_PARTIAL_OUTPUT_ON_ERROR);\n")
        page.chmod(0o644)
        try:
            answer = self.get(f"/{name}")
        finally:
            page.unlink()
        assert answer.status == 200, answer
        return json.loads(answer.body)


def ask(stack: Deployment, hostname: str, path: str, headers: Mapping[str, str]) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", stack.web_tunnel_port, timeout=60)
    try:
        connection.request("GET", path, headers={"Host": hostname, **headers})
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read().decode("utf-8", "replace"))
    finally:
        connection.close()


def in_portal(stack: Deployment, program: str, *arguments: str, timeout_s: float = MAKE_S) -> Any:
    """Run a program of inside/ in the portal's container, as the portal's user; return what it prints, as JSON."""
    source = (INSIDE / program).read_text()
    said = stack.compose("exec", "-T", "portal", "python3", "-", *arguments, given=source, timeout_s=timeout_s)
    return json.loads(said.strip().splitlines()[-1])


def make_sites(stack: Deployment, first: int, last: int) -> dict[str, Site]:
    made = in_portal(stack, "make_sites.py", str(first), str(last))
    return {name: Site(stack, **fields) for name, fields in made.items()}
