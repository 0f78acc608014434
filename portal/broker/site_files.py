"""The one program that makes, moves and measures the trees of sites, and what it is told. Pure.

It runs in blog-site-files, a container without a network, which is the only one with the right to give files to another
owner. Its command line never changes; what it is to do comes by standard input, as a JSON document that is written here
from the validated request, field by field. A caller's bytes never reach it.

The document: {"action", "site", "uid"} and what SITE_FILES_FIELDS names for the action. The answer on standard output:
{"ok": true, ...} with exit code 0, or {"error": code, "detail": text} with another one.
"""

from __future__ import annotations

import json

from portal.broker import schemas

SERVICE = "blog-site-files"
PROGRAM = "/usr/local/bin/site-files"
OUTPUT_BYTES = 64 * 1024


def argv(request: schemas.SiteFiles) -> list[str]:
    return ["timeout", "-s", "KILL", str(request.timeout_s), PROGRAM]  # an exec cannot be ended from outside


def document(request: schemas.SiteFiles) -> bytes:
    """Return what the program is told: the same fields for the same action, always."""
    must, may = schemas.SITE_FILES_FIELDS[request.action]
    said = {"action", "site", "uid", *must, *may}
    return json.dumps(request.model_dump(include=said), sort_keys=True).encode()


def secrets_of(request: schemas.SiteFiles) -> tuple[str, ...]:
    """What must not come back in the program's output."""
    if request.secrets is None:
        return ()
    parts = (request.secrets.database, request.secrets.redis, request.secrets.mail)
    return tuple(part.password for part in parts if part is not None)
