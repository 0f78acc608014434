"""What a site may be called, and what is called after it. Pure; the broker refuses the same names by itself."""

from __future__ import annotations

import re

from kit.problem import Problem
from portal.broker import schemas
from portal.broker.wp import INSTALLED, OPTION_WRITTEN, PACKAGE, SLUG, VERSION

__all__ = ["HOSTNAME", "INSTALLED", "OPTION_WRITTEN", "PACKAGE", "SITE", "SLUG", "VERSION"]

SITE = schemas.SITE
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOSTNAME = rf"^(?:{_LABEL}\.){{1,8}}[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?$"  # A-labels; no address, no single label
MAX_HOSTNAMES = 20

_HOSTNAME = re.compile(HOSTNAME)
_SITE = re.compile(SITE)


class SiteNameInvalid(Problem):
    """A site is called by 1 to 31 of a-z, 0-9 and -, not at its ends; a few names belong to the stack itself. Host
    names are A-labels in lower case, each once. Choose another one."""

    status, type, title = 422, "site-name-invalid", "No name for a site"


def check_name(name: str) -> str:
    """Return the name. Raise SiteNameInvalid."""
    if not _SITE.fullmatch(name):
        raise SiteNameInvalid("a site is called by 1 to 31 of a-z, 0-9 and -, which is not at its ends")
    if name in schemas.RESERVED:
        raise SiteNameInvalid(f"{name} belongs to the stack itself")
    return name


def check_hostnames(hostnames: tuple[str, ...]) -> tuple[str, ...]:
    """Return the host names, the primary one first. Raise SiteNameInvalid."""
    if not 1 <= len(hostnames) <= MAX_HOSTNAMES or len(set(hostnames)) != len(hostnames):
        raise SiteNameInvalid(f"a site has 1 to {MAX_HOSTNAMES} host names, each once")
    for number, hostname in enumerate(hostnames, 1):
        if len(hostname) > 253 or not _HOSTNAME.fullmatch(hostname):
            raise SiteNameInvalid(f"host name {number} is no name in A-labels, lower case")
    return hostnames


def database_of(name: str) -> str:
    """The site's database, and the account that may use it. No two sites share one: a name has no underscore."""
    return f"wp_{check_name(name).replace('-', '_')}"


def redis_user_of(name: str) -> str:
    return check_name(name)
