"""What a mail domain is checked against: the settings' wishes, and what Cloudflare says that Email Routing needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from portal.dns.posture.look import Look
from portal.dns.posture.policy_file import PolicyFile
from portal.integrations.records import Json, host, is_spf, text_of
from portal.settings import PortalSettings

DKIM_VERSION = "v=dkim1"
_LOCKED = frozenset({"ready", "misconfigured/locked"})


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A key that has to be there. target: the host of a CNAME, or the text of a TXT record."""

    selector: str
    target: str

    @property
    def is_text(self) -> bool:
        return self.target.lower().startswith(DKIM_VERSION)

    def name(self, domain: str) -> str:
        return f"{self.selector}._domainkey.{domain}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """spf: mechanisms that a record must have · rua: the address that gets reports."""

    spf: tuple[str, ...]
    dkim: tuple[DkimKey, ...]
    rua: str | None

    @classmethod
    def of(cls, settings: PortalSettings) -> Self:
        keys = tuple(DkimKey(*part.split("=", 1)) for part in settings.mail_dkim)
        return cls(tuple(settings.mail_spf.split()), keys, settings.mail_dmarc_rua)

    def with_needed(self, needed: Sequence[Json]) -> Wanted:
        """And what Email Routing needs: its SPF include and its DKIM key."""
        spf = [term for record in needed if is_spf(record) for term in text_of(record["content"]).split()[1:]]
        mechanisms = [term for term in spf if not term.lower().endswith("all")]
        keys = [
            DkimKey(record["name"].partition("._domainkey")[0], text_of(record["content"]))
            for record in needed
            if record["type"] == "TXT" and "._domainkey" in record["name"]
        ]
        return Wanted(tuple(dict.fromkeys([*mechanisms, *self.spf])), (*self.dkim, *keys), self.rua)


@dataclass(frozen=True, slots=True)
class Routing:
    """Email Routing of a zone as Cloudflare tells it.

    state   on · off · not-connected · no-zone · unknown
    status  Cloudflare's word for it: ready, misconfigured ...
    needed  the records it needs while it is on, as Cloudflare lists them
    detail  why it could not
    """

    state: str
    status: str = ""
    needed: tuple[Json, ...] = ()
    detail: str = ""

    @property
    def is_locked(self) -> bool:
        """Whether Cloudflare refuses to let MX records be changed (its code 890190)."""
        return self.status in _LOCKED

    @property
    def mx_hosts(self) -> frozenset[str]:
        """The mail servers of Email Routing; empty when it is off, or they aren't known."""
        return frozenset(host(record["content"]) for record in self.needed if record["type"] == "MX")


@dataclass(frozen=True, slots=True)
class Subject:
    """One domain that is being checked.

    wanted         with what Email Routing needs, as far as it is known
    is_spf_locked  Email Routing keeps its SPF record from being changed
    """

    domain: str
    look: Look
    wanted: Wanted
    routing: Routing
    file: PolicyFile
    is_spf_locked: bool = False
