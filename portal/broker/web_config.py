"""How the parts of the web stack are told to look at a rendered configuration. Pure.

Each of the three containers has one program for that, with three actions and nothing else: `test` looks at what
`candidate` points at, `reload` takes what `current` points at, `served` prints the number of the generation that
answers. What that takes in each of them (a signal, ACL LOAD, a password) is the container's business.
"""

from __future__ import annotations

from collections.abc import Mapping

from portal.broker import schemas

PROGRAM = "/usr/local/bin/web-config"
OUTPUT_BYTES = 64 * 1024
TIMEOUT_S = 20
SERVICES: Mapping[str, str] = {"nginx": "blog-nginx", "php": "blog-php", "redis": "blog-redis"}


def argv(request: schemas.WebConfig) -> list[str]:
    return ["timeout", "-s", "KILL", str(TIMEOUT_S), PROGRAM, request.action]
