"""Runs in the portal's container, on standard input of its Python: the portal gets to know make_sites.py's sites.

`python3 - SITES` takes a JSON list of objects (name, hostname, redis_password), in the order of their user ids, which
are given here in that order too. Prints the last one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys

from kit.clock import SystemClock
from portal.db import Database
from portal.wordpress.sites import NewSite, Sites


async def main(made: list[dict[str, str]]) -> None:
    sites = Sites(Database("sqlite:////var/lib/homeport/portal.sqlite3"), SystemClock())
    uid = (await sites.add(NewSite("before-all", ("before.example",), "blog", "0" * 64), operation_id=None)).uid
    await sites.remove("before-all")
    for each in made:
        secret = hashlib.sha256(each["redis_password"].encode()).hexdigest()
        uid = (await sites.add(NewSite(each["name"], (each["hostname"],), "blog", secret), operation_id=None)).uid
        await sites.change(each["name"], state="active", is_served=True)
    print(uid)


asyncio.run(main(json.loads(sys.argv[1])))
