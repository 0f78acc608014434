"""Runs in the portal's container: have each part test a candidate that it cannot read.

The candidate is the current generation with one more file, or one more line. Prints a JSON object: what each part said,
and which generation nginx and PHP-FPM served before and afterwards.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any, Literal

from portal.broker import schemas
from portal.broker.client import Broker
from portal.integrations.web_config import WebConfig

WEB = Path("/var/lib/homeport-web")
Part = Literal["nginx", "php", "redis"]
BROKEN: dict[Part, tuple[str, str]] = {
    "nginx": ("nginx/broken.conf", "server { listen 8080; no_such_directive on; }\n"),
    "php": ("php/broken.conf", "[broken]\nlisten = /run/php/broken.sock\npm = no_such_manager\n"),
    "redis": ("redis/users.acl", "user broken on +no-such-command\n"),
}


async def said_by(broker: Broker, part: Part) -> dict[str, Any]:
    current = (WEB / "current").resolve()
    broken = current.with_name("900000001")
    shutil.copytree(current, broken, symlinks=True)
    name, text = BROKEN[part]
    try:
        with (broken / name).open("a") as file:
            file.write(text)
        (broken / name).chmod(0o644)
        (WEB / "candidate").symlink_to(broken.relative_to(WEB))
        ended = await broker.ask(schemas.WebConfig(part=part, action="test"))
    finally:
        (WEB / "candidate").unlink(missing_ok=True)
        shutil.rmtree(broken)
    return {"exit_code": ended.exit_code, "stderr": ended.stderr}


async def main() -> None:
    broker = Broker(Path("/run/homeport-broker/broker.sock"))
    web = WebConfig.of(WEB, broker)

    async def served() -> list[int | None]:
        return [await web.served("nginx"), await web.served("php")]

    before = await served()
    told = {part: await said_by(broker, part) for part in BROKEN}
    print(json.dumps({"told": told, "before": before, "after": await served()}))


asyncio.run(main())
