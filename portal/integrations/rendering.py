"""All files of a generation, out of all sites that are to be served. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from portal.integrations.pool import generation_pool, pool
from portal.integrations.redis_acl import acl
from portal.integrations.site_spec import SiteSpec, SpecInvalid
from portal.integrations.vhost import shared, vhost


def files_of(sites: Sequence[SiteSpec], generation: int) -> Mapping[str, str]:
    """Given the sites, return path below the generation -> text.

    A site that is switched off has no pool. Every site has its Redis user, so that `wp` goes on working.

    raises   SpecInvalid when two sites have a name, a host name or a user id in common
    """
    _check(sites)
    files = {
        "nginx/generation.conf": shared(generation),
        "php/generation.conf": generation_pool(generation),
    }
    for site in sites:
        files[f"nginx/{site.name}.conf"] = vhost(site, generation)
        if site.is_enabled:
            files[f"php/{site.name}.conf"] = pool(site, generation)
    files["redis/users.acl"] = acl(sites)
    return files


def _check(sites: Sequence[SiteSpec]) -> None:
    _once("name", (site.name for site in sites))
    _once("user id", (site.uid for site in sites))
    _once("host name", (hostname for site in sites for hostname in site.hostnames))


def _once(what: str, values: Iterable[str | int]) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise SpecInvalid(f"two sites have the {what} {value}")
