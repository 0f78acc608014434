"""What of the mail's way through Cloudflare hangs on a DNS record or on a whole zone.

Known by the settings and by edge.json, without asking Cloudflare. A record is told by its type and name alone, so
this is what may suffer: of the TXT records of a mail domain itself, one is SPF.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from portal.edge.ownership import Ownership
from portal.integrations.records import host
from portal.probes import Use
from portal.settings import PortalSettings

ROOM = "edge"
RECEIVES, PROVES, FINDS_API = "receives-mail", "proves-mail", "finds-mail-api"

_ADDRESSES = frozenset({"A", "AAAA", "CNAME"})
_TEXTS = frozenset({"TXT", "CNAME"})
# The first labels of a name below a mail domain -> the types that do something for its mail there.
_PROOFS = {"_dmarc": _TEXTS, "_mta-sts": _TEXTS, "_smtp._tls": _TEXTS, "mta-sts": _ADDRESSES}
_DKIM = "._domainkey"


class EdgeUses:
    """The edge, asked what depends on a record ("TYPE name"), a zone or the Worker."""

    def __init__(self, settings: PortalSettings) -> None:
        self._settings = settings

    async def used_by(self, kind: str, name: str) -> Sequence[Use]:
        """Raise OwnershipError when edge.json cannot be read."""
        owned = await asyncio.to_thread(Ownership.load, self._settings.state_dir)
        zones = dict.fromkeys((*self._settings.edge_zones, *owned.zones))
        api = host(urlsplit(self._settings.edge_mail_api_url or "").hostname or "")
        return uses_of(kind, name, zones=tuple(zones), worker=self._settings.edge_name, mail_api=api)


def uses_of(kind: str, name: str, *, zones: Collection[str], worker: str, mail_api: str) -> list[Use]:
    """What suffers without a thing.

    kind      "record", "zone" or "worker"; nothing is known of others
    zones     the mail domains
    mail_api  the host name at which the Worker finds the mail API; "" when it is not set
    """
    if not zones:
        return []
    if kind == "worker":
        return [Use(ROOM, "mail-domain", zone, RECEIVES) for zone in zones] if name == worker else []
    if kind == "zone":
        zone = host(name)
        uses = [Use(ROOM, "mail-domain", zone, RECEIVES)] if zone in zones else []
        return uses + ([Use(ROOM, "worker", worker, FINDS_API)] if _is_below(mail_api, zone) else [])
    if kind != "record":
        return []
    type_, _, rest = name.partition(" ")
    owner = host(rest.partition(" ")[0])
    found = [Use(ROOM, "mail-domain", zone, why) for zone in zones if (why := _role(type_, owner, zone))]
    if type_ == "MX" and owner in zones:
        found.append(Use(ROOM, "worker", worker, RECEIVES))
    if type_ in _ADDRESSES and owner == mail_api:
        found.append(Use(ROOM, "worker", worker, FINDS_API))
    return found


def _role(type_: str, owner: str, zone: str) -> str | None:
    """What a record does for the mail of a domain."""
    if owner == zone:
        return {"MX": RECEIVES, "TXT": PROVES}.get(type_)
    if not _is_below(owner, zone):
        return None
    labels = owner.removesuffix(f".{zone}")
    if labels.endswith(_DKIM) and type_ in _TEXTS:
        return PROVES
    return PROVES if type_ in _PROOFS.get(labels, ()) else None


def _is_below(name: str, zone: str) -> bool:
    return name == zone or name.endswith(f".{zone}")
