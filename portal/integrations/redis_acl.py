"""Redis's users, one a site, each limited to keys that begin with its name. Pure.

Key patterns do not bind the commands that name no key: SCAN, KEYS, RANDOMKEY and DBSIZE would tell one site the names
of another one's keys, in which WordPress puts e-mail addresses, and FLUSHDB would empty everybody's. So a site's cache
is emptied by changing a word in its own keys. CLIENT TRACKING names every key of everybody as it is written, to whoever
asks for that by BCAST. Passwords are here as SHA-256 only (redis.io/docs/.../security/acl).
The user that loads this file is the container's own business and not in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from portal.integrations.filling import fill
from portal.integrations.site_spec import SiteSpec

# INFO is dangerous only for what it tells of the server; clients for WordPress ask it for the version.
COMMANDS = (
    "-@all +@read +@write +@connection +@transaction -@dangerous -@blocking -@scripting "
    "-scan -randomkey -dbsize -client|tracking +info"
)


def acl(sites: Iterable[SiteSpec]) -> str:
    """Return the file of users, a line each, sorted by name."""
    ordered = sorted(sites, key=lambda site: site.name)
    return "".join(_user(site) for site in ordered)


def _user(site: SiteSpec) -> str:
    line = f"user <<name>> on sanitize-payload resetchannels #<<sha256>> ~<<name>>:* {COMMANDS}\n"
    return fill(line, {"name": site.name, "sha256": site.redis_password_sha256})
