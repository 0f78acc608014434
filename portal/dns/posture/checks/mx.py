"""MX: where mail to the domain leads (RFC 5321 5), and whether that is Cloudflare Email Routing."""

from __future__ import annotations

import asyncio

import dns.inet

from portal.dns.posture.findings import Found, Result, found, listed
from portal.dns.posture.look import NoAnswer, mail_servers
from portal.dns.posture.resolving import Outcome
from portal.dns.posture.subject import Subject

HOSTS_MAX = 20  # whose addresses are looked up


async def check(subject: Subject) -> Result:
    domain = subject.domain
    answer = await subject.look.known(domain, "MX")
    quoted = tuple(sorted(record.to_text() for record in answer.records))
    hosts = mail_servers(answer.records)
    findings = await _findings(subject, answer.outcome, hosts)
    if not findings:
        findings = [found("mx-ok", domain=domain, hosts=listed(hosts))]
    return Result("mx", tuple(findings), quoted, answer.resolver)


async def _findings(subject: Subject, outcome: Outcome, hosts: list[str]) -> list[Found]:
    domain, needed = subject.domain, subject.routing.mx_hosts
    if outcome is Outcome.NO_NAME:
        return [found("domain-missing", domain=domain)]
    if not hosts:
        return [found("mx-missing", domain=domain)]
    if hosts == [""]:
        return [found("mx-null", domain=domain)]
    findings = []
    if needed and (foreign := [host for host in hosts if host not in needed]):
        findings.append(found("mx-foreign", domain=domain, hosts=listed(foreign)))
    if needed and (lacking := sorted(needed - set(hosts))):
        findings.append(found("mx-incomplete", domain=domain, hosts=listed(lacking)))
    each = await asyncio.gather(*(_of_host(subject, host) for host in hosts[:HOSTS_MAX] if host not in needed))
    return findings + [finding for finding in each if finding is not None]


async def _of_host(subject: Subject, host: str) -> Found | None:
    """What is wrong with one mail server; those of Email Routing are Cloudflare's business."""
    if dns.inet.is_address(host):
        return found("mx-address", domain=subject.domain, host=host, subject=host)
    answers = await asyncio.gather(subject.look.ask(host, "A"), subject.look.ask(host, "AAAA"))
    aliases = [alias for answer in answers for alias in answer.aliases]
    if aliases:
        return found("mx-alias", host=host, target=aliases[-1], subject=host)
    if any(answer.records for answer in answers):
        return None
    for answer in answers:
        if not answer.is_known:
            raise NoAnswer(answer)
    return found("mx-dead-host", host=host, subject=host)
