"""Where the portal stands, as the browser sees it: origins, the session cookie's name and flags, the passkeys' RP ID.

All of it follows from one setting, `public_url`, and never from a request's Host header (phpBB CVE-2026-29199). There
are two modes:

- HTTPS: cookie `__Host-sid` with Secure.
- embedded: plain HTTP, and only on this machine's loopback names. There the cookie is `sid` without Secure, since
  browsers differ on `__Host-` over plain HTTP; both `localhost` and `127.0.0.1` are its origins.

Plain HTTP under any other name is refused. Passkeys need a name: not possible where the URL has an address, and in
embedded mode under `localhost` alone.

Pure.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from http.cookies import Morsel
from typing import Self
from urllib.parse import urlsplit

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class SiteRefused(ValueError):
    """The portal cannot stand at this URL."""


@dataclass(frozen=True, slots=True)
class Site:
    """
    base_url     without a slash at its end; every link begins with it
    origins      as browsers send them
    rp_id        the passkeys' domain; None where passkeys are impossible
    rp_origin    the only origin that passkeys are used under
    is_embedded  plain HTTP on loopback
    """

    base_url: str
    origins: frozenset[str]
    rp_id: str | None
    rp_origin: str | None
    is_embedded: bool

    @classmethod
    def from_public_url(cls, url: str) -> Self:
        """Given `public_url`, return the site. Raise SiteRefused."""
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else (parts.hostname or "")
        if (
            parts.scheme not in _DEFAULT_PORTS
            or not host
            or parts.username is not None
            or parts.query
            or parts.fragment
        ):
            raise SiteRefused("the public URL is not an address such as https://portal.example.com")
        if parts.path not in ("", "/"):
            raise SiteRefused("the public URL has a path; the portal needs a name of its own")
        suffix = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
        base_url = f"{parts.scheme}://{host}{suffix}"
        if parts.scheme == "https":
            rp_id = None if _is_address(host) else host
            return cls(base_url, frozenset({base_url}), rp_id, base_url if rp_id else None, is_embedded=False)
        if host not in LOOPBACK_HOSTS:
            raise SiteRefused("the public URL is plain HTTP, which is for localhost only: use https://")
        origins = frozenset(f"http://{name}{suffix}" for name in LOOPBACK_HOSTS)
        return cls(base_url, origins, "localhost", f"http://localhost{suffix}", is_embedded=True)

    @property
    def cookie_name(self) -> str:
        return "sid" if self.is_embedded else "__Host-sid"

    def cookie(self, value: str) -> str:
        """Return the Set-Cookie value that gives the browser a session id; "" takes it away.

        It has no lifetime of its own: it ends with the browser, or with the session, whichever comes first.
        """
        morsel: Morsel[str] = Morsel()
        morsel.set(self.cookie_name, value, value)
        morsel["path"], morsel["samesite"], morsel["httponly"] = "/", "Strict", True
        if not self.is_embedded:
            morsel["secure"] = True
        if not value:
            morsel["max-age"] = 0
        return morsel.OutputString()

    def session_id(self, cookie_header: str) -> str | None:
        """Given a Cookie header, return the session id in it. None also when it is given twice: nobody knows which."""
        found = [
            value
            for name, _, value in (part.strip().partition("=") for part in cookie_header.split(";"))
            if name == self.cookie_name
        ]
        return found[0] if len(found) == 1 else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
