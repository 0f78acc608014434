"""Fetching the policy file of MTA-STS (RFC 8461 3.3): the one thing here that is asked of a host somebody else names.

So its address comes from the configured resolvers, has to be a public one, and is connected to as it is: no second
look-up that could say something else. HTTPS with a certificate of that host, no proxy, no redirect, MAX_BYTES, LIMIT_S.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from portal.dns.posture.look import Look

if TYPE_CHECKING:
    import httpx2

LIMIT_S = 5.0
MAX_BYTES = 64 * 1024
PATH = "/.well-known/mta-sts.txt"

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Unfetched(Exception):
    """The file could not be fetched; the message says why, in one line."""


class NoHost(Exception):
    """The host has no address."""


class PrivateHost(Exception):
    """The host leads to addresses that are not public; the message is one of them."""


def is_public(address: str) -> bool:
    """Whether an address is one of the whole Internet, also where it hides another one inside."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        hidden = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if hidden is not None or found in _NAT64:
            return False
    return found.is_global and not found.is_multicast


class PolicyFile:
    """trust, port and is_allowed are for tests, whose web server is on this machine."""

    def __init__(
        self, *, trust: ssl.SSLContext | None = None, port: int = 443, is_allowed: Callable[[str], bool] = is_public
    ) -> None:
        self._trust = trust
        self._port = port
        self._is_allowed = is_allowed

    async def fetch(self, host: str, look: Look) -> str:
        """Return the file. Raise NoHost, PrivateHost, Unfetched, NoAnswer."""
        addresses = await look.addresses(host)
        if not addresses:
            raise NoHost
        allowed = [address for address in addresses if self._is_allowed(address)]
        if not allowed:
            raise PrivateHost(addresses[0])
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._fetched(host, allowed[0])
        except TimeoutError:
            raise Unfetched(f"no answer within {LIMIT_S:g} s") from None

    async def _fetched(self, host: str, address: str) -> str:
        import httpx2

        place = f"[{address}]" if ":" in address else address
        trust = self._trust
        if trust is None:
            trust = await asyncio.to_thread(ssl.create_default_context)  # reads the system's certificates
        try:
            async with (
                httpx2.AsyncClient(verify=trust, trust_env=False, follow_redirects=False, timeout=LIMIT_S) as client,
                client.stream(
                    "GET",
                    f"https://{place}:{self._port}{PATH}",
                    headers={"Host": host, "Accept-Encoding": "identity"},
                    extensions={"sni_hostname": host},
                ) as response,
            ):
                return await _content(response)
        except httpx2.TimeoutException:
            raise Unfetched(f"no answer within {LIMIT_S:g} s") from None
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise Unfetched(_why(error)) from None


async def _content(response: httpx2.Response) -> str:
    if response.status_code != 200:
        raise Unfetched(f"it answers with status {response.status_code}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/plain":
        raise Unfetched(f"it is no text/plain but “{kind[:100]}”")
    found = bytearray()
    async for piece in response.aiter_raw():
        found += piece
        if len(found) > MAX_BYTES:
            raise Unfetched(f"it is longer than {MAX_BYTES // 1024} KiB")
    return found.decode("utf-8", "backslashreplace")


def _why(error: Exception) -> str:
    """The cause of a failed connection; a certificate's is told apart."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return "there is no connection" if not str(error) else " ".join(str(error).split())[:200]
