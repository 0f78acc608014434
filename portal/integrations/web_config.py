"""The configuration of nginx, PHP-FPM and Redis for all sites: rendered whole, tested, taken, or put back.

    web = WebConfig.of(settings.web_dir, broker)
    generation = await web.render(sites)        # all sites that are to be served, never one alone
    await web.recheck()                         # at start

`render` writes a new generation, has each daemon test it, makes it the current one, has them take it, and returns when
nginx and PHP-FPM answer with its number. Whatever goes wrong on the way, what was served before is served again: as
long as `candidate` is tested nothing has changed, and after that `current` is put back and taken again.

Killed on the way, the pointer `current` is what counts: `recheck` forgets a candidate, and has the daemons take a
current generation that they do not serve; if they refuse it, the last one that was served comes back.

A rendering that has begun goes on to its end, also when whoever asked for it does not wait any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from kit.clock import Clock, SystemClock
from kit.logging import get_logger
from kit.problem import Problem
from portal.broker import schemas
from portal.broker.client import Broker
from portal.broker.failures import BrokerProblem
from portal.integrations.generations import Generations
from portal.integrations.rendering import files_of
from portal.integrations.site_spec import SiteSpec

log = get_logger()
T = TypeVar("T")

Part = Literal["nginx", "php", "redis"]
Answering = Literal["nginx", "php"]  # those that tell which generation they serve
PARTS: tuple[Part, ...] = ("redis", "php", "nginx")  # nobody is sent to a pool that is not there yet
SERVED_S = 45.0  # PHP-FPM lets requests end before it takes a new configuration
POLL_S = 0.05
# nginx starts new workers before it ends the old ones, and for some tenths of a second both take connections.
IN_A_ROW: Mapping[Answering, int] = {"php": 1, "nginx": 6}
QUOTED_CHARACTERS = 2000
_CONTROL = re.compile(r"[^\S\n]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class WebConfigRefused(Problem):
    """A daemon would not take the rendered configuration, or did not come to serve it. `part` says which, `detail`
    quotes it. What was served before is served on; change what it names and try again."""

    status, type, title = 502, "web-config-refused", "The web server refused the configuration"


class WebConfigUnwritable(Problem):
    """The rendered configuration could not be written; nothing has changed. Look at the room and the rights there."""

    status, type, title = 503, "web-config-unwritable", "The configuration could not be written"


class WebConfigUnavailable(Problem):
    """This portal renders no configuration: HOMEPORT_PORTAL_WEB_DIR is not set."""

    status, type, title = 503, "web-config-unavailable", "No web server is connected"


@dataclass(frozen=True, slots=True)
class Generation:
    """A configuration that is the current one. sites: the names it has, also those that are switched off."""

    number: int
    sites: frozenset[str]


class WebConfig:
    def __init__(self, directory: Path | None, broker: Broker, clock: Clock, *, served_s: float) -> None:
        self._directory = directory
        self._broker = broker
        self._clock = clock
        self._served_s = served_s
        self._lock = asyncio.Lock()

    @classmethod
    def of(
        cls,
        web_dir: Path | None,
        broker: Broker,
        *,
        clock: Clock | None = None,
        served_s: float = SERVED_S,
    ) -> WebConfig:
        """web_dir: None: this portal has no web server, and every call says so. served_s: how long daemons may take."""
        return cls(web_dir, broker, clock or SystemClock(), served_s=served_s)

    @property
    def is_configured(self) -> bool:
        return self._directory is not None

    async def render(self, sites: Sequence[SiteSpec]) -> Generation:
        """Make these sites the ones that are served, and return when they are.

        raises   SpecInvalid, WebConfigUnavailable, WebConfigUnwritable, WebConfigRefused; a BrokerProblem. After each
                 of them what was served before is the current generation.
        """
        return await _to_the_end(self._render(tuple(sites)))

    async def recheck(self) -> Generation | None:
        """Have the current generation served, after a start or a doubt. None: there has never been one.

        raises   WebConfigUnavailable, WebConfigUnwritable, WebConfigRefused; a BrokerProblem: ask again later
        """
        return await _to_the_end(self._recheck())

    async def current(self) -> Generation | None:
        """Return the current generation, served or not. Raise WebConfigUnavailable."""
        return await asyncio.to_thread(_current, self._generations())

    async def names(self) -> frozenset[str]:
        """Return the names of the sites that the current generation has."""
        current = await self.current()
        return current.sites if current else frozenset()

    async def has(self, sites: Sequence[SiteSpec]) -> bool:
        """Whether the current generation is what these sites are rendered to. Raise as `render` before it begins."""
        return await asyncio.to_thread(_has, self._generations(), tuple(sites))

    async def served(self, part: Answering) -> int | None:
        """Return the number of the generation that answers now; None when nothing does. Raise a BrokerProblem."""
        ended = await self._broker.ask(schemas.WebConfig(part=part, action="served"))
        said = ended.stdout.strip()
        return int(said) if ended.exit_code == 0 and said.isdecimal() and said.isascii() and len(said) < 19 else None

    # -- one writer at a time -----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[Generations]:
        """One at a time in this process, and against another one that is just ending or starting."""
        generations = self._generations()
        assert self._directory is not None
        async with self._lock:
            try:
                descriptor = await asyncio.to_thread(_locked, self._directory)
            except OSError as error:
                raise WebConfigUnwritable(error.strerror or "") from error
            try:
                yield generations
            except OSError as error:
                raise WebConfigUnwritable(error.strerror or "") from error
            finally:
                os.close(descriptor)

    def _generations(self) -> Generations:
        if self._directory is None:
            raise WebConfigUnavailable()
        return Generations(self._directory)

    # -- the way there and back ---------------------------------------------------------------------------------------

    async def _render(self, sites: tuple[SiteSpec, ...]) -> Generation:
        async with self._alone() as generations:
            before = await asyncio.to_thread(generations.pointed, "current")
            number = await asyncio.to_thread(generations.write, lambda number: files_of(sites, number))
            await self._tested(generations, number)
            await self._taken(generations, number, before)
            with contextlib.suppress(OSError):  # the next one removes them too
                await asyncio.to_thread(generations.prune)
            log.info("web_config_served", generation=number, sites=len(sites))
            return Generation(number, frozenset(site.name for site in sites))

    async def _recheck(self) -> Generation | None:
        async with self._alone() as generations:
            await asyncio.to_thread(generations.sweep)
            current = await asyncio.to_thread(generations.pointed, "current")
            if current is None:
                return None
            if not await self._serve(current):
                log.warning("web_config_not_served", generation=current)
                await self._served_again(generations, current)
            return await asyncio.to_thread(_current, generations)

    async def _served_again(self, generations: Generations, current: int) -> None:
        """Have the current generation taken; else the last one that was served before it."""
        older = [number for number in await asyncio.to_thread(generations.served) if number < current]
        last = older[-1] if older else current
        try:
            await self._tested(generations, current)
        except WebConfigRefused:
            await self._taken(generations, last, current)
            raise
        await self._taken(generations, current, last)

    async def _tested(self, generations: Generations, number: int) -> None:
        """Let each part look at a generation. Raise WebConfigRefused, or a BrokerProblem; nothing has changed then."""
        await asyncio.to_thread(generations.point, "candidate", number)
        try:
            for part in PARTS:
                await self._told(part, "test")
        finally:
            await asyncio.to_thread(generations.point, "candidate", None)

    async def _taken(self, generations: Generations, number: int, before: int | None) -> None:
        """Make a generation the current one and have it served; on any failure the one before, and raise."""
        try:
            await asyncio.to_thread(generations.point, "current", number)
            await self._reloaded(number)
        except BaseException:
            try:
                await asyncio.to_thread(generations.point, "current", before)
                await self._reloaded(before)
            except (WebConfigRefused, BrokerProblem, OSError):  # `recheck` finds it
                log.exception("web_config_not_put_back", generation=before, refused=number)
            raise
        with contextlib.suppress(OSError):  # only `recheck` asks for it, and it is served all the same
            await asyncio.to_thread(generations.mark_served, number)

    async def _reloaded(self, number: int | None) -> None:
        for part in PARTS:
            await self._told(part, "reload")
            if part != "redis" and number is not None:
                await self._await_served(part, number)

    async def _told(self, part: Part, action: Literal["test", "reload"]) -> None:
        ended = await self._broker.ask(schemas.WebConfig(part=part, action=action))
        if ended.exit_code != 0:
            said = quoted(ended.stderr or ended.stdout) or f"exit code {ended.exit_code}"
            raise WebConfigRefused(f"{part}: {said}", part=part)

    async def _await_served(self, part: Answering, number: int) -> None:
        give_up = self._clock.monotonic() + self._served_s
        in_a_row = 0
        while True:
            answered = await self.served(part)
            in_a_row = in_a_row + 1 if answered == number else 0
            if in_a_row == IN_A_ROW[part]:
                return
            if self._clock.monotonic() > give_up:
                has = "nothing" if answered is None else f"generation {answered}"
                raise WebConfigRefused(f"{part} serves {has}, not generation {number}", part=part)
            await asyncio.sleep(POLL_S)

    async def _serve(self, number: int) -> bool:
        return await self.served("php") == number and await self.served("nginx") == number


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; cancelled meanwhile, wait until it has come to its end all the same: each of its steps has one."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at: whoever asked does not hear of it
        raise


def _locked(directory: Path) -> int:
    """Return a descriptor that holds the lock until it is closed. Blocks while another process has it."""
    directory.mkdir(exist_ok=True)
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _current(generations: Generations) -> Generation | None:
    number = generations.pointed("current")
    return None if number is None else Generation(number, generations.sites(number))


def _has(generations: Generations, sites: tuple[SiteSpec, ...]) -> bool:
    number = generations.pointed("current")
    return number is not None and generations.holds(number, files_of(sites, number))


def quoted(text: str) -> str:
    """What a daemon says, as it may be shown: bounded, without control characters."""
    lines = (_CONTROL.sub(" ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)[:QUOTED_CHARACTERS]
