"""The DNS records that a mail domain has besides Email Routing's own: senders, keys, policy, reports. Pure.

Present records count by what they say. One that says less than is wanted is changed and keeps the rest of what it
says; one that says something else is a person's decision.
"""

from __future__ import annotations

from collections.abc import Sequence

from portal.dns.posture.checks.dmarc import is_dmarc, tags_of
from portal.dns.posture.checks.tls_rpt import is_tls_rpt
from portal.dns.records.text import spelled
from portal.edge.dns import Extra
from portal.integrations.records import Json, host, label, meaning, shown, text_of
from portal.settings import PortalSettings

STRICT = ("quarantine", "reject")
_WEAKER = ("pct", "t")  # a part of the mail, a test


def extra_of(domain: str, records: Sequence[Json], settings: PortalSettings) -> Extra:
    """Given a zone's records, return what the settings want of them for mail."""
    needed: list[Json] = []
    changes: list[tuple[Json, str]] = []
    problems: list[str] = []
    reasons: dict[str, str] = {}

    def at(name: str, *types: str) -> list[Json]:
        return [record for record in records if host(record["name"]) == name and record["type"] in types]

    def need(record: Json, why: str) -> None:
        needed.append(record)
        reasons[label(record)] = why

    for key in settings.mail_dkim:
        selector, _, value = key.partition("=")
        record = _dkim(f"{selector.lower()}._domainkey.{domain}", value)
        present = at(record["name"], "CNAME", "TXT")
        if not present:
            need(record, "proves that the relay may sign for this domain (DKIM)")
        elif meaning(record) not in map(meaning, present):
            problems.append(f"{record['name']} holds another key already: {present[0]['type']} {shown(present[0])}")

    policy = f"_dmarc.{domain}"
    found = [record for record in at(policy, "TXT") if is_dmarc(_text(record))]
    reports = f"mailto:{settings.mail_dmarc_rua}" if settings.mail_dmarc_rua else None
    if len(found) > 1:
        problems.append(f"{policy} has {len(found)} DMARC records, and only one is allowed (RFC 7489 6.6.3)")
    elif found and (raised := raised_dmarc(text_of(found[0]["content"]))):
        changes.append((found[0], raised))
        reasons[found[0]["id"]] = "forged mail goes to spam; what else the policy says is kept (DMARC)"
    elif not found and not at(policy, "CNAME"):
        text = "v=DMARC1; p=quarantine" + (f"; rua={reports}" if reports else "")
        need(_txt(policy, text), "forged mail from this domain goes to spam (DMARC)")

    tls = f"_smtp._tls.{domain}"
    if reports and not at(tls, "CNAME") and not any(is_tls_rpt(_text(record)) for record in at(tls, "TXT")):
        need(_txt(tls, f"v=TLSRPTv1; rua={reports}"), "other servers report failed encryption there (TLS-RPT)")
    return Extra(tuple(needed), tuple(settings.mail_spf.split()), tuple(changes), tuple(problems), reasons)


def raised_dmarc(text: str) -> str | None:
    """Given a DMARC record, return it with p=quarantine, or None when its policy is that or stricter.

    What would make the policy hold for a part of the mail only goes with it; reports and alignment are kept.
    """
    tags = tags_of(text)
    if tags.get("p", "").lower() in STRICT:
        return None
    kept = {name: value for name, value in tags.items() if name not in ("v", "p", *_WEAKER)}
    if tags.get("sp", "none").lower() == "none":
        kept.pop("sp", None)  # subdomains follow p then (RFC 7489 6.3)
    raised = {"v": tags.get("v", "DMARC1"), "p": STRICT[0]} | kept
    return "; ".join(f"{name}={value}" for name, value in raised.items())


def _dkim(name: str, value: str) -> Json:
    if value.lower().startswith("v=dkim1"):
        return _txt(name, value)
    return {"type": "CNAME", "name": name, "content": host(value), "ttl": 1, "proxied": False}


def _txt(name: str, text: str) -> Json:
    return {"type": "TXT", "name": name, "content": spelled(text), "ttl": 1}


def _text(record: Json) -> str:
    return text_of(record.get("content") or "")
