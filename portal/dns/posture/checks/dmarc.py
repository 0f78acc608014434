"""DMARC (RFC 7489, RFC 9989): one record that is enforced, for subdomains too, with reports that can be delivered.

A domain without a record of its own has that of its organisational domain, with `sp` for a policy.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import unquote

from portal.dns.posture.findings import Found, Result, found
from portal.dns.posture.look import Look, Texts
from portal.dns.posture.subject import Subject
from portal.dns.posture.suffixes import registrable

DESTINATIONS_MAX = 5  # whose consent is asked for

_DMARC = re.compile(r"v\s*=\s*DMARC1\s*(?:;|$)", re.IGNORECASE)
_MAILTO = re.compile(r"mailto:[^@\s,;]+@([A-Za-z0-9_.-]+?)(?:![0-9]+[kmgt]?)?", re.IGNORECASE)


async def check(subject: Subject) -> Result:
    domain = subject.domain
    texts, records, is_inherited = await _records(subject.look, domain)
    if len(records) == 1:
        findings = await _findings(subject, records[0], is_inherited=is_inherited)
    elif records:
        findings = [found("dmarc-multiple", *records, name=texts.answer.name, count=len(records))]
    else:
        findings = [found("dmarc-missing", domain=domain)]
    return Result("dmarc", tuple(findings), records, texts.answer.resolver)


def is_dmarc(text: str) -> bool:
    return _DMARC.match(text) is not None


def tags_of(text: str) -> dict[str, str]:
    """The tags of a record in their order, names in lower case; of one that stands twice the first."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    return tags


async def _records(look: Look, domain: str) -> tuple[Texts, tuple[str, ...], bool]:
    texts = await look.texts(f"_dmarc.{domain}")
    records = tuple(text for text in texts.texts if is_dmarc(text))
    organisation = registrable(domain)
    if records or organisation in (None, domain):
        return texts, records, False
    texts = await look.texts(f"_dmarc.{organisation}")
    return texts, tuple(text for text in texts.texts if is_dmarc(text)), True


async def _findings(subject: Subject, record: str, *, is_inherited: bool) -> list[Found]:
    domain, tags = subject.domain, tags_of(record)
    if (trouble := _syntax(record, domain)) is not None:
        return [found("dmarc-syntax", detail=trouble)]
    policy = tags.get("p", "none").lower()
    if is_inherited:
        policy = tags.get("sp", policy).lower()
    findings = _weaknesses(domain, policy, tags)
    if "rua" in tags:
        findings += await _reports(subject, [uri.strip() for uri in tags["rua"].split(",")])
    else:
        findings.append(found("dmarc-no-reports" if subject.wanted.rua else "dmarc-no-address"))
    return findings or [found("dmarc-ok", policy=policy)]


def _weaknesses(domain: str, policy: str, tags: Mapping[str, str]) -> list[Found]:
    findings = []
    if policy == "none":
        findings.append(found("dmarc-none", domain=domain))
    elif tags.get("sp", policy).lower() == "none":
        findings.append(found("dmarc-subdomains-none"))
    if tags.get("pct", "100").isdecimal() and int(tags.get("pct", "100")[:9]) < 100:
        findings.append(found("dmarc-partial", percent=int(tags["pct"][:9])))
    if tags.get("t", "n").lower() == "y":
        findings.append(found("dmarc-testing"))
    return findings


async def _reports(subject: Subject, uris: list[str]) -> list[Found]:
    """Whether reports can be delivered: a host outside the organisation has to agree (RFC 7489 7.1)."""
    findings, hosts = [], []
    for uri in uris:
        match = _MAILTO.fullmatch(unquote(uri))
        if match is None:
            findings.append(found("dmarc-reports-syntax", uri=uri, domain=subject.domain, subject=uri))
        else:
            hosts.append(match[1].lower())
    ours = registrable(subject.domain) or subject.domain
    foreign = [host for host in dict.fromkeys(hosts) if (registrable(host) or host) != ours][:DESTINATIONS_MAX]
    each = await asyncio.gather(*(_consent(subject, host) for host in foreign))
    return findings + [finding for finding in each if finding is not None]


async def _consent(subject: Subject, host: str) -> Found | None:
    name = f"{subject.domain}._report._dmarc.{host}"
    texts = await subject.look.texts(name)
    if any(is_dmarc(text) for text in texts.texts):
        return None
    return found("dmarc-reports-refused", host=host, name=name, subject=host)


def _syntax(record: str, domain: str) -> str | None:
    """What checkdmarc says against a record; without its addresses, since it would look those up itself."""
    from checkdmarc import dmarc

    parts = [part for part in record.split(";") if part.partition("=")[0].strip().lower() not in ("rua", "ruf")]
    try:
        dmarc.parse_dmarc_record(";".join(parts), domain, nameservers=[], syntax_error_marker="»")
    except dmarc.DMARCError as error:
        return str(error)
    return None
