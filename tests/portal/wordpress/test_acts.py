"""The further acts on a site: PHP settings, passwords, the cache, the line of wp; on real sites."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from portal.broker.failures import NotAllowed
from portal.integrations.php_settings import PhpSettings
from portal.operations.runner import TargetBusy
from portal.wordpress.schemas import ConfigureSite, WpLine
from portal.wordpress.service import NoSuchUser, WpLineRefused
from portal.wordpress.sites import NoSuchSite
from tests.portal.wordpress.conftest import ANNA, Room
from tests.services.fleet import Fleet


async def test_php_settings_are_taken_and_the_row_says_so(room: Room, fleet: Fleet) -> None:
    wanted = ConfigureSite(php=PhpSettings(memory_limit_mib=96, max_children=3), xmlrpc=True, ring=1)
    operation = await room.runner.wait((await room.service.configure(ANNA, "alder", wanted)).id)
    assert operation.state == "done", operation.error
    site = await room.service.sites.get("alder")
    assert (site.php, site.xmlrpc, site.ring) == (wanted.php, True, 1)
    assert "96M" in (fleet.web_dir / "current/php/alder.conf").read_text()
    assert fleet.page("alder")[0] == 200


async def test_php_settings_that_are_not_taken_leave_everything(room: Room, fleet: Fleet) -> None:
    before, generation = await room.service.sites.get("birch"), (fleet.web_dir / "current").readlink()
    fleet.kill_daemon("blog-nginx")
    try:
        wanted = ConfigureSite(php=PhpSettings(memory_limit_mib=512))
        operation = await room.runner.wait((await room.service.configure(ANNA, "birch", wanted)).id)
    finally:
        fleet.start_daemon("blog-nginx")
    assert operation.state == "failed"
    assert await room.service.sites.get("birch") == before
    assert (fleet.web_dir / "current").readlink() == generation
    assert fleet.page("birch")[0] == 200


async def test_a_site_that_is_dropped_is_not_served_and_comes_back(room: Room, fleet: Fleet) -> None:
    await room.service.serving.drop("cedar")
    assert await room.service.serving.names() == {"alder", "birch"}
    assert fleet.page("alder")[0] == 200
    await room.service.serving.serve("cedar")
    assert fleet.page("cedar")[0] == 200
    with pytest.raises(NoSuchSite):
        await room.service.serving.serve("nobody")


async def test_a_table_that_is_ahead_of_the_web_server_is_rendered(room: Room, fleet: Fleet) -> None:
    serving = room.service.serving
    await serving.recheck()
    generation = (fleet.web_dir / "current").readlink()
    await serving.recheck()
    assert (fleet.web_dir / "current").readlink() == generation, "nothing has to be rendered twice"
    for is_maintained in (True, False):
        await room.service.sites.change("cedar", is_maintained=is_maintained)
        await serving.recheck()
        status, _ = fleet.page("cedar", headers={"CF-Connecting-IP": "192.0.2.1"})
        assert status == (503 if is_maintained else 200)


async def test_a_password_is_set_shown_once_and_kept_nowhere(room: Room, fleet: Fleet) -> None:
    made = await room.service.reset_password(ANNA, "alder", "warden")
    assert (made.login, len(made.password)) == ("warden", 20)
    (stored,) = fleet.query("alder", "SELECT user_pass FROM wp_users WHERE user_login = 'warden'")
    assert made.password not in str(stored)
    probe = fleet.wp("alder", "user", "list", "--format=json").stdout
    assert made.password not in probe

    def everything(session: Any) -> str:
        tables = [row[0] for row in session.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))]
        return "".join(str(session.execute(text(f'SELECT * FROM "{table}"')).all()) for table in tables)

    assert made.password not in await room.database.read(everything)
    for login in ("nobody", "1", "warden "):
        with pytest.raises(NoSuchUser):
            await room.service.reset_password(ANNA, "alder", login)


async def test_new_salts_end_every_login(room: Room, fleet: Fleet) -> None:
    file = fleet.site("birch").public.parent / "private" / "wp-salts.php"
    before, about = file.read_text(), file.stat()
    operation = await room.runner.wait((await room.service.renew_salts(ANNA, "birch")).id)
    assert (operation.state, operation.act) == ("done", "wordpress:password"), operation.error
    assert file.read_text() != before
    assert (file.stat().st_mode, file.stat().st_uid) == (about.st_mode, about.st_uid)
    assert "define" not in json.dumps([operation.detail, operation.result])
    assert fleet.page("birch")[0] == 200


async def test_the_cache_is_emptied_as_an_operation(room: Room) -> None:
    operation = await room.runner.wait((await room.service.flush_cache(ANNA, "birch")).id)
    assert (operation.state, operation.act, operation.target) == ("done", "wordpress:cache", "birch")


async def test_a_line_of_wp_runs_as_the_sites_user_and_is_recorded(room: Room) -> None:
    answer = await room.service.run_line(
        ANNA, "alder", WpLine(command=["plugin", "list"], options={"format": "json", "fields": "name,status"})
    )
    assert answer.exit_code == 0
    assert {"name": "quay-forms", "status": "active"} in json.loads(answer.stdout)
    failed = await room.service.run_line(ANNA, "alder", WpLine(command=["plugin", "activate"], arguments=["nobody"]))
    assert failed.exit_code == 1
    assert "nobody" in failed.stderr


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ({"command": ["eval"], "arguments": ["phpinfo();"]}, WpLineRefused),
        ({"command": ["db", "export"]}, WpLineRefused),
        ({"command": ["core", "update"]}, WpLineRefused),
        ({"command": ["user", "update"], "arguments": ["1"]}, WpLineRefused),
        ({"command": ["homeport", "mail-test"], "options": {"to": "a@b.example"}}, WpLineRefused),
        ({"command": ["search-replace"], "arguments": ["old", "new"]}, WpLineRefused),
        ({"command": ["plugin", "list"], "options": {"require": "/etc/passwd"}}, NotAllowed),
        ({"command": ["plugin", "install"], "arguments": ["https://evil.example/x.zip"]}, NotAllowed),
        ({"command": ["option", "get"], "arguments": ["mailserver_pass"]}, NotAllowed),
    ],
)
async def test_a_line_that_is_not_allowed_is_refused(
    room: Room, line: dict[str, Any], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await room.service.run_line(ANNA, "alder", WpLine.model_validate(line))


async def test_two_acts_on_one_site_exclude_each_other(room: Room) -> None:
    first = await room.service.flush_cache(ANNA, "cedar")
    with pytest.raises(TargetBusy):
        await room.service.flush_cache(ANNA, "cedar")
    await room.runner.wait(first.id)


async def test_a_crash_between_table_and_web_server_is_rendered_after_all(
    new_room: Callable[..., Any], fleet: Fleet
) -> None:
    wanted = ConfigureSite(php=PhpSettings(memory_limit_mib=112, max_children=2))
    async with new_room(fleet=fleet) as first:
        operation = await first.service.configure(ANNA, "birch", wanted)
        await first.runner.close(within_s=0)
    async with new_room(fleet=fleet) as second:
        await second.runner.recovered()
        found = await second.runner.get(operation.id)
        site = await second.service.sites.get("birch")
        is_new = site.php == wanted.php
        assert (found.state, found.outcome) == ("interrupted", "done" if is_new else "not_done")
        assert ("112M" in (fleet.web_dir / "current/php/birch.conf").read_text()) is is_new
