"""A portal's process that applies a plan and is killed between two of its transactions. Run by test_apply.py.

    python -m tests.portal.dns.killed DATABASE_URL STATE_DIR CLOUDFLARE_URL ACCOUNT TOKEN ZONE PLAN_ID AFTER

AFTER is the number of transactions after which it dies: at the latest moment before it would be noted, or, with a
minus, at the first moment after that.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from kit.clock import SystemClock
from portal.actor import Actor
from portal.db import Database
from portal.dns.journal import ApplyJournal
from portal.dns.schemas import ApplyDnsPlan
from portal.dns.service import DnsRoom
from portal.integrations.cloudflare import Cloudflare
from portal.operations.hub import Hub
from portal.operations.plans import Plans
from portal.operations.runner import Runner
from portal.probes import Uses
from portal.settings import PortalSettings


async def main(arguments: Sequence[str]) -> None:
    url, state_dir, cf_url, account, token, zone, plan = arguments[:-1]
    after = int(arguments[-1])
    note = ApplyJournal.note

    async def note_and_die(self: ApplyJournal, operation_id: str, *, done: int, **more: Any) -> None:
        if done == abs(after) and after < 0:
            await note(self, operation_id, done=done, **more)
        if done == abs(after):
            os.kill(os.getpid(), signal.SIGKILL)
        await note(self, operation_id, done=done, **more)

    ApplyJournal.note = note_and_die  # type: ignore[method-assign]
    settings = PortalSettings(
        state_dir=Path(state_dir), cloudflare_token=SecretStr(token), cloudflare_account=account, cloudflare_url=cf_url
    )
    database, hub, clock = Database(url), Hub(), SystemClock()
    runner = Runner(database, hub, clock)
    plans = Plans(database, runner, clock)
    room = DnsRoom.of(Cloudflare.of(settings), database, hub, runner, plans, Uses({}), clock, settings)
    room.begin()
    operation = await room.apply(Actor.system("anna"), zone, plan, ApplyDnsPlan(), lambda: None)
    await runner.wait(operation.id)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
