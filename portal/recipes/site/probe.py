"""Whether a site answers: at its own web server, and by its public name. No redirect is followed.

    trouble = await prober.origin(site)         # None: it answers as it should; else what it does instead
    trouble = await prober.public(site)

As it should: at the web server, the name leads to this site, as its virtual host says; status 200, or a redirect that
stays on the site's own names; a whole page; none of the sentences by which PHP and WordPress say that they died. What a
page says is quoted, never believed.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from kit.clock import Clock
from portal.integrations.web_config import quoted
from portal.wordpress.sites import Site

ANSWER_S = 30.0  # a first page warms PHP's cache
POLL_S = 2.0
PUBLIC_S = 180.0  # a new record is known to Cloudflare's own servers within seconds, elsewhere later
MAX_BYTES = 2 * 1024**2
MARKER = "/.homeport/marker"  # answered by the virtual host itself, to neighbours alone
ENDS = (b"</html>", b"</HTML>")
DEAD = (  # PHP's and WordPress's own words
    b"Fatal error</b>:",
    b"Parse error</b>:",
    b"wp-die-message",
    b"Error establishing a database connection",
)
_SAID = re.compile(rb"<(?:title|p)[^>]*>([^<]{3,200})<")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    location: str
    body: bytes


class Prober:
    """
    origin_url   of the sites' web server; None: it cannot be asked
    edge_url     where public names are asked; None: where DNS says
    """

    def __init__(
        self, origin_url: str | None, edge_url: str | None, clock: Clock, *, public_s: float = PUBLIC_S
    ) -> None:
        self._origin_url, self._edge_url, self._clock, self._public_s = origin_url, edge_url, clock, public_s

    @property
    def has_origin(self) -> bool:
        return self._origin_url is not None

    async def origin(self, site: Site) -> str | None:
        """What is wrong with the site at its web server; None when nothing is."""
        assert self._origin_url is not None
        marked = await self._ask(site, f"{self._origin_url}{MARKER}")
        if isinstance(marked, str):
            return marked
        if marked.status != 200 or f'"site":"{site.name}"'.encode() not in marked.body:
            return f"{site.hostnames[0]} leads to another site, or to none (HTTP {marked.status})"
        return self._judged(site, await self._ask(site, f"{self._origin_url}/"))

    async def public(self, site: Site) -> str | None:
        """Likewise by its public name; waits for as long as a name needs to become known."""
        until = self._clock.monotonic() + self._public_s
        url = f"{self._edge_url or site.url}/"
        while True:
            trouble = self._judged(site, await self._ask(site, url))
            if trouble is None or self._clock.monotonic() >= until:
                return trouble
            await asyncio.sleep(POLL_S)

    @staticmethod
    def _judged(site: Site, answer: Answer | str) -> str | None:
        if isinstance(answer, str):
            return answer
        return judged(site.hostnames, answer.status, answer.location, answer.body)

    async def _ask(self, site: Site, url: str) -> Answer | str:
        """What it answers, or why it does not."""
        host = site.hostnames[0]
        # As the tunnel says it; and nothing that unpacks to more than was sent.
        headers = {"Host": host, "X-Forwarded-Proto": "https", "Accept-Encoding": "identity"}
        try:
            async with (
                httpx2.AsyncClient(follow_redirects=False, timeout=ANSWER_S, trust_env=False) as client,
                client.stream("GET", url, headers=headers) as answer,
            ):
                body = b""
                async for part in answer.aiter_raw():
                    body += part
                    if len(body) > MAX_BYTES:
                        break
        except httpx2.TimeoutException:
            return f"{host} does not answer within {ANSWER_S:g} s"
        except httpx2.HTTPError as error:
            return f"{host} cannot be reached ({type(error).__name__})"
        return Answer(answer.status_code, answer.headers.get("location", ""), body)


def judged(hostnames: tuple[str, ...], status: int, location: str, body: bytes) -> str | None:
    """What is wrong with an answer; None when nothing is. Pure."""
    if status in (301, 302, 307, 308):
        is_elsewhere = _host(location) not in hostnames or location.rstrip("/") == f"https://{hostnames[0]}"
        return f"it redirects to {quoted(location)[:200]!r}" if is_elsewhere else None
    said = _SAID.search(body)
    text = f": {quoted(said[1].decode('utf-8', 'replace'))!r}" if said else ""
    if status != 200:
        return f"it answers HTTP {status}{text}"
    if any(sentence in body for sentence in DEAD):
        return f"its page says that PHP or WordPress has died{text}"
    if len(body) <= MAX_BYTES and not any(end in body for end in ENDS):
        return f"its page is not whole{text}"
    return None


def _host(location: str) -> str:
    """Of a redirect; "" for one that cannot be read."""
    try:
        return (urlsplit(location).hostname or "").lower()
    except ValueError:
        return ""
