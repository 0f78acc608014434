"""Rendering on real daemons: tested, taken, served; refused and put back; killed, doubled, without room."""

from __future__ import annotations

import asyncio
import errno
import functools
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from portal.broker.client import Broker
from portal.broker.failures import BrokerUnavailable, NoSuchContainer
from portal.integrations.generations import Generations
from portal.integrations.rendering import files_of
from portal.integrations.site_spec import SiteSpec, SpecInvalid
from portal.integrations.web_config import (
    WebConfig,
    WebConfigRefused,
    WebConfigUnavailable,
    WebConfigUnwritable,
    quoted,
)
from tests.backup.faults import dies_at, every_step, failing_from
from tests.portal.integrations.conftest import WebStack, names
from tests.portal.integrations.specs import site

pytestmark = pytest.mark.services

ONE, TWO, THREE = site("one", 1), site("two", 2), site("three", 3)


async def _served(stack: WebStack) -> int:
    """The number that both daemons answer with, which is the current one."""
    config = stack.config()
    current = await config.current()
    assert current is not None
    assert await config.served("nginx") == await config.served("php") == current.number
    assert Generations(stack.fleet.web_dir).pointed("candidate") is None
    return current.number


async def _have(stack: WebStack, *sites: SiteSpec) -> int:
    for each in sites:
        stack.make_tree(each)
    return (await stack.config().render(sites)).number


def _marker(stack: WebStack, spec: SiteSpec) -> dict[str, object]:
    document: dict[str, object] = json.loads(stack.get(spec.hostnames[0], "/.homeport/marker").body)
    return document


async def test_sites_are_served_when_render_returns(stack: WebStack) -> None:
    before = await _served(stack)
    for each in (ONE, TWO):
        stack.make_tree(each)
    config = stack.config()
    generation = await config.render([ONE, TWO])
    assert (generation.number, generation.sites) == (before + 1, names([ONE, TWO]))
    for each in (ONE, TWO):
        assert _marker(stack, each) == {"site": each.name, "generation": generation.number}
        assert stack.get(each.hostnames[0]).body == f"site {each.name} uid {each.uid} plain"
    assert await config.names() == {"one", "two"}
    assert await _served(stack) == generation.number


async def test_site_that_is_not_rendered_any_more_is_gone(stack: WebStack) -> None:
    await _have(stack, ONE, TWO)
    await stack.config().render([TWO])
    with pytest.raises(ConnectionError):
        stack.get("one.test")
    assert stack.get("two.test").status == 200
    assert await stack.config().names() == {"two"}


@pytest.mark.parametrize(
    ("file", "line", "part"),
    [
        ("nginx.candidate.conf", "no_such_directive <img>;", "nginx"),
        ("php-fpm.candidate.conf", "no_such_directive = <img>", "php"),
    ],
)
async def test_candidate_that_a_daemon_refuses_changes_nothing(
    stack: WebStack, file: str, line: str, part: str
) -> None:
    before = await _have(stack, ONE)
    stack.make_tree(TWO)
    with stack.main_file(file, line), pytest.raises(WebConfigRefused) as refused:
        await stack.config().render([ONE, TWO])
    assert refused.value.extensions["part"] == part
    assert "no_such_directive" in refused.value.detail
    assert await _served(stack) == before
    assert _marker(stack, ONE)["generation"] == before
    after = await stack.config().render([ONE, TWO])
    assert after.number == before + 2, "a number is given once"


async def test_daemon_that_does_not_come_to_serve_it_gets_the_old_one_back(stack: WebStack) -> None:
    before = await _have(stack, ONE)
    stack.make_tree(TWO)
    with stack.main_file("nginx.conf", "no_such_directive;"), pytest.raises(WebConfigRefused) as refused:
        await stack.config(served_s=1.0).render([ONE, TWO])
    assert refused.value.extensions["part"] == "nginx"
    assert await stack.config().names() == {"one"}
    await stack.config().recheck()
    assert await _served(stack) == before
    assert stack.get("one.test").status == 200
    with pytest.raises(ConnectionError):
        stack.get("two.test")


async def test_part_that_is_down_keeps_everything_as_it_was(stack: WebStack) -> None:
    before = await _have(stack, ONE)
    stack.fleet.kill_daemon("blog-redis")
    try:
        with pytest.raises(NoSuchContainer):
            await stack.config().render([ONE, TWO])
    finally:
        stack.fleet.start_daemon("blog-redis")
    assert await _served(stack) == before


async def test_without_a_broker_or_a_directory_every_call_says_so(stack: WebStack, tmp_path: Path) -> None:
    before = await _served(stack)
    with pytest.raises(BrokerUnavailable):
        await WebConfig.of(stack.fleet.web_dir, Broker(tmp_path / "nobody")).render([])
    assert await _served(stack) == before
    unconnected = WebConfig.of(None, stack.broker)
    assert not unconnected.is_configured
    for call in (unconnected.render([]), unconnected.recheck(), unconnected.current(), unconnected.names()):
        with pytest.raises(WebConfigUnavailable):
            await call


async def test_sites_that_cannot_stand_beside_each_other_are_refused_before_anything(stack: WebStack) -> None:
    before = await _served(stack)
    with pytest.raises(SpecInvalid):
        await stack.config().render([ONE, site("other", 1)])
    assert await _served(stack) == before
    assert Generations(stack.fleet.web_dir).numbers()[-1] >= before


# -- twice at once ----------------------------------------------------------------------------------------------------


async def test_renders_at_once_come_one_after_the_other(stack: WebStack) -> None:
    wanted: Sequence[tuple[SiteSpec, ...]] = ((ONE,), (ONE, TWO), (ONE, THREE))
    before = await _have(stack, ONE, TWO, THREE)
    shared = stack.config()
    configs = (shared, shared, stack.config())  # the last one is another process's
    done = await asyncio.gather(*(config.render(sites) for config, sites in zip(configs, wanted, strict=True)))
    assert sorted(each.number for each in done) == [before + 1, before + 2, before + 3]
    assert all(each.sites == names(sites) for each, sites in zip(done, wanted, strict=True))
    last = max(done, key=lambda each: each.number)
    assert await _served(stack) == last.number
    assert await shared.names() == last.sites


async def test_rendering_that_nobody_waits_for_any_more_goes_on_to_its_end(stack: WebStack) -> None:
    before = await _have(stack, ONE)
    stack.make_tree(TWO)
    for turns in (1, 20):
        task = asyncio.create_task(stack.config().render([ONE, TWO]))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await _served(stack) in range(before, before + 3)
    await stack.config().render([ONE])


# -- killed, and without room -----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_portal_killed_anywhere_leaves_one_generation_that_recheck_has_served(stack: WebStack) -> None:
    """The child dies before and after each step that the daemons can see."""
    await _have(stack, ONE, TWO)

    def rendered(*sites: SiteSpec) -> None:
        asyncio.run(stack.config().render(sites))

    with every_step(lambda number, name: None) as steps:
        await stack.config().render([ONE])
    renames = [number for number, name in enumerate(steps) if name == "rename"]
    visible = renames[-4:]  # of the generation, the candidate, the current one, and the mark that it is served
    for step in sorted({*visible, *(number + 1 for number in visible)}):
        before = await _served(stack)
        await asyncio.to_thread(dies_at, step, functools.partial(rendered, ONE, TWO))
        generation = await stack.config().recheck()
        assert generation is not None
        assert await _served(stack) == generation.number >= before
        assert stack.get("one.test").status == 200
        assert _marker(stack, ONE)["generation"] == generation.number


async def test_current_generation_that_is_not_served_is_taken_at_start(stack: WebStack) -> None:
    await _have(stack, ONE)
    stack.make_tree(TWO)
    generations = Generations(stack.fleet.web_dir)
    number = generations.write(lambda number: files_of([ONE, TWO], number))
    generations.point("current", number)  # and here the portal was killed
    with pytest.raises(ConnectionError):
        stack.get("two.test")
    again = await stack.config().recheck()
    assert again is not None
    assert again.number == number == await _served(stack)
    assert stack.get("two.test").status == 200
    assert await stack.config().recheck() == again


async def test_current_generation_that_is_refused_at_start_gives_way_to_the_last_that_was_served(
    stack: WebStack,
) -> None:
    before = await _have(stack, ONE)
    generations = Generations(stack.fleet.web_dir)
    number = generations.write(lambda number: {**files_of([ONE], number), "nginx/broken.conf": "no_such_directive;"})
    generations.point("current", number)
    with pytest.raises(WebConfigRefused, match="no_such_directive"):
        await stack.config(served_s=2.0).recheck()
    assert await _served(stack) == before
    assert stack.get("one.test").status == 200


async def test_without_room_nothing_changes(stack: WebStack) -> None:
    before = await _have(stack, ONE)
    stack.make_tree(TWO)
    for step in range(0, 30, 6):
        with failing_from(step, errno.ENOSPC), pytest.raises(WebConfigUnwritable, match="No space left"):
            await stack.config().render([ONE, TWO])
        assert await _served(stack) == before
    assert stack.get("one.test").status == 200


# -- what is said -----------------------------------------------------------------------------------------------------


def test_what_a_daemon_says_is_shown_bounded_and_without_control_characters() -> None:
    said = "nginx: [emerg] \x1b[31munknown\u202e directive\r\n\n\tin /etc/x:7\0\n" + "x" * 5000
    shown = quoted(said)
    assert shown.startswith("nginx: [emerg]  [31munknown  directive\nin /etc/x:7\nxxx")
    assert len(shown) == 2000


def test_password_of_redis_is_on_disk_as_a_digest_alone(stack: WebStack) -> None:
    digest = hashlib.sha256(b"password-of-one").hexdigest()
    assert ONE.redis_password_sha256 == digest
    for root, _, files in os.walk(stack.fleet.web_dir):
        for name in files:
            assert "password-of-one" not in Path(root, name).read_text()
