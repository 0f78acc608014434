"""One look at a site as a visitor has it: at its own web server, or through its public name.

    looks = Looks.of(settings, clock)
    look = await looks.origin(site.hostnames[0], "/")       # past DNS, tunnel and edge
    look = await looks.edge(site.hostnames[0], "/")         # as the world does

Nothing is followed, nothing is kept; of a page at most MAX_BYTES are read, and nobody waits longer than TIMEOUT_S. What
comes back is somebody else's text: judged by status and by what we look for in it, never quoted as ours. The origin is
told X-Forwarded-Proto, as the tunnel tells it, so that a site does not send us away to https.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from kit.clock import Clock
from portal.settings import PortalSettings

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 20.0
MAX_BYTES = 4 * 1024**2
AGENT = "Homeport/1 (probe)"
CACHED = frozenset({"HIT", "STALE", "UPDATING", "REVALIDATED"})  # CF-Cache-Status of what the edge has
NOT_CACHED = frozenset({"MISS", "EXPIRED", "BYPASS", "DYNAMIC", "NONE"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

Where = Literal["origin", "edge"]


class NotSet(Exception):
    """There is no way to look: a setting is missing."""


@dataclass(frozen=True, slots=True)
class Look:
    """
    status             None: there was no answer, `error` says why
    seconds            until the whole page was there
    body               what was read of it
    is_cached          whether the edge answered from its cache; None: it does not say
    certificate_until  of the name that was asked; None where there was no TLS
    """

    status: int | None
    seconds: float
    body: str = ""
    error: str = ""
    is_cached: bool | None = None
    certificate_until: datetime | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the page came to its end: PHP that dies in the middle leaves half of one, with a good status."""
        return "</html>" in self.body[-2000:].lower()


class Looks:
    """
    origin_url   the sites' own web server; None: not known
    edge_url     where public names are asked, instead of where DNS says
    """

    def __init__(self, origin_url: str | None, edge_url: str | None, clock: Clock) -> None:
        self._origin_url, self._edge_url, self._clock = origin_url, edge_url, clock
        self._client: httpx2.AsyncClient | None = None

    @classmethod
    def of(cls, settings: PortalSettings, clock: Clock) -> Looks:
        return cls(settings.sites_origin_url, settings.sites_edge_url, clock)

    @property
    def has_origin(self) -> bool:
        return self._origin_url is not None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def at(self, where: Where, hostname: str, path: str = "/") -> Look:
        """Raise NotSet."""
        return await (self.origin if where == "origin" else self.edge)(hostname, path)

    async def origin(self, hostname: str, path: str = "/") -> Look:
        """Raise NotSet when it is not known where the web server is."""
        if self._origin_url is None:
            raise NotSet("HOMEPORT_PORTAL_SITES_ORIGIN_URL is not set")
        return await self._look(self._origin_url, path, {"Host": hostname, "X-Forwarded-Proto": "https"}, {})

    async def edge(self, hostname: str, path: str = "/") -> Look:
        """The certificate has to be good for the name; one that is not is no answer."""
        if self._edge_url is None:
            return await self._look(f"https://{hostname}", path, {}, {})
        return await self._look(self._edge_url, path, {"Host": hostname}, {"sni_hostname": hostname})

    async def _look(self, base: str, path: str, headers: Mapping[str, str], extensions: Mapping[str, Any]) -> Look:
        import httpx2

        began = self._clock.monotonic()
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._http().stream("GET", base + path, headers=dict(headers), extensions=dict(extensions)) as answer,
            ):
                until = _certificate_until(answer)
                body = await _read(answer)
        except TimeoutError:
            return Look(None, self._clock.monotonic() - began, error=f"no answer within {TIMEOUT_S:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
            said = _CONTROL.sub(" ", str(error))[:200] or type(error).__name__
            return Look(None, self._clock.monotonic() - began, error=said)
        seconds = self._clock.monotonic() - began
        return Look(answer.status_code, seconds, body, "", _is_cached(answer.headers), until)

    def _http(self) -> httpx2.AsyncClient:
        """Without what a process's environment says of proxies; its store of certificates counts."""
        import httpx2

        if self._client is None:
            self._client = httpx2.AsyncClient(
                verify=ssl.create_default_context(),
                trust_env=False,
                follow_redirects=False,
                timeout=TIMEOUT_S,
                headers={"User-Agent": AGENT, "Accept": "text/html", "Accept-Encoding": "identity"},
                # one look never rides on the connection of another: it would not see a certificate that was exchanged
                limits=httpx2.Limits(max_keepalive_connections=0, max_connections=32),
            )
        return self._client


async def _read(answer: httpx2.Response) -> str:
    parts, size = [], 0
    async for part in answer.aiter_raw():
        parts.append(part)
        size += len(part)
        if size >= MAX_BYTES:
            break
    return b"".join(parts)[:MAX_BYTES].decode("utf-8", "replace")


def _is_cached(headers: Mapping[str, str]) -> bool | None:
    said = headers.get("cf-cache-status", "").upper()
    if said in CACHED:
        return True
    if said in NOT_CACHED:
        return False
    with contextlib.suppress(ValueError):
        return True if int(headers.get("age", "")) > 0 else None
    return None


def _certificate_until(answer: httpx2.Response) -> datetime | None:
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    until = (tls.getpeercert() or {}).get("notAfter") if tls is not None else None
    if not until:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC)
