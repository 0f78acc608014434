"""Files are read beside the event loop: a page of mail domains on a slow disk holds nobody else up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kit.clock import SystemClock
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.plans import Plans
from portal.operations.runner import Runner
from portal.recipes.mail_domain.problems import MailDomainsNotReady
from portal.recipes.mail_domain.ready import missing
from portal.recipes.mail_domain.schemas import NewDomainPlan
from portal.recipes.mail_domain.service import MailDomains
from portal.settings import PortalSettings
from tests.portal.recipes.conftest import ANNA, JP

LOOP_S = 10.0  # in which a loop that is not held up answers on any machine
EDGE: dict[str, Any] = {
    "v": 1,
    "installation": "1f0c9a3e",
    "salt": "00",
    "digests": {},
    "generations": {},
    "zones": [JP],
    "things": [],
}
KEYS = f"k-1:{'ab' * 32}\n"


@asynccontextmanager
async def read_slowly(path: Path, content: str) -> AsyncIterator[list[bool]]:
    """Make a file of which the first reader gets nothing before the event loop has answered, or LOOP_S are over. The
    list says which it was."""
    loop, answers = asyncio.get_running_loop(), list[bool]()
    os.mkfifo(path)

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), path.open("w") as pipe:  # opens when somebody reads
            beat = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
            try:
                beat.result(LOOP_S)
            except TimeoutError:
                answers.append(False)
            else:
                answers.append(True)
            path.unlink()
            path.write_text(content)  # for all later readers
            pipe.write(content)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        if not answers:  # nobody has read it
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        await asyncio.to_thread(thread.join)


@pytest.fixture
async def service(database: Database, tmp_path: Path) -> AsyncIterator[MailDomains]:
    """As it is while the portal was started before everything was set."""
    settings = PortalSettings(
        state_dir=tmp_path,
        cloudflare_token=SecretStr("a-token-of-some-length-1234567890"),
        cloudflare_account="0" * 32,
        edge_mail_api_url="https://mail-api.home.example",
        edge_keys_file=tmp_path / "keys",
    )
    clock = SystemClock()
    runner = Runner(database, Hub(), clock)
    plans = Plans(database, runner, clock)
    yield MailDomains(None, lambda: missing(settings, []), database, runner, plans, clock, settings)
    await runner.close()


async def test_names_wait_for_the_edges_record_alone(service: MailDomains, tmp_path: Path) -> None:
    async with read_slowly(tmp_path / "edge.json", json.dumps(EDGE)) as answers:
        assert await service.names() == [JP]
    assert answers == [True]


@pytest.mark.parametrize(
    ("name", "content"), [("edge.json", json.dumps(EDGE)), ("keys", KEYS)], ids=["edge.json", "keys"]
)
async def test_page_waits_for_its_files_alone(service: MailDomains, tmp_path: Path, name: str, content: str) -> None:
    async with read_slowly(tmp_path / name, content) as answers:
        listed = await service.domains()
    assert answers == [True]
    assert [each.domain for each in listed.domains] == ([JP] if name == "edge.json" else [])


async def test_plan_waits_for_its_files_alone(service: MailDomains, tmp_path: Path) -> None:
    async with read_slowly(tmp_path / "keys", KEYS) as answers:
        with pytest.raises(MailDomainsNotReady):
            await service.plan(ANNA, NewDomainPlan(act="add", domain=JP))
    assert answers == [True]
