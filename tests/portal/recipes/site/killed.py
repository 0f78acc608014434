"""A portal's process that applies a site's plan and is killed when a step has come about, before that is noted.

python -m tests.portal.recipes.site.killed SETTINGS_JSON DATABASE_URL PLAN_ID STEP
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from portal.recipes.site.runs import Runs
from portal.recipes.site.schemas import ApplySiteRecipe
from portal.settings import PortalSettings
from tests.portal.recipes.site.conftest import ANNA, Points, wired


async def main(arguments: Sequence[str]) -> None:
    settings, url, plan, last = arguments
    note = Runs.step

    async def die_at_last(self: Runs, run_id: str, number: int, name: str, state: Any) -> None:
        if (name, state) == (last, "done"):
            os.kill(os.getpid(), signal.SIGKILL)
        await note(self, run_id, number, name, state)

    Runs.step = die_at_last  # type: ignore[method-assign]
    async with wired(PortalSettings(**json.loads(settings)), url, Points()) as (recipes, _, _, _, runner, _):
        begun = await recipes.apply(ANNA, plan, ApplySiteRecipe(), lambda: None)
        await runner.wait(begun.id)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
