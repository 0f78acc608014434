"""SPF (RFC 7208): exactly one record, which can be evaluated and names who sends for the domain."""

from __future__ import annotations

import re

from portal.dns.posture.checks.spf_tree import Tree, evaluate
from portal.dns.posture.findings import Found, Result, found
from portal.dns.posture.subject import Subject

LOOKUPS_NEAR = 9

_SPF = re.compile(r"v=spf1(?: |$)", re.IGNORECASE)
_ALL = re.compile(r"([-~?+]?)all", re.IGNORECASE)
_PTR = re.compile(r"[-~?+]?ptr(?:[:/].*)?", re.IGNORECASE)
_BY_QUALIFIER = {"": "spf-all-pass", "+": "spf-all-pass", "?": "spf-all-neutral"}


async def check(subject: Subject) -> Result:
    texts = await subject.look.texts(subject.domain)
    records = tuple(text for text in texts.texts if _SPF.match(text))
    if len(records) == 1:
        record = _SPF.sub("v=spf1 ", records[0])  # checkdmarc knows the version in small letters alone
        tree = await evaluate(record, subject.domain, subject.look)
        lookups = tree.lookups if tree.code in ("", "spf-lookups") else None
        findings = _findings(subject, record, tree)
    else:
        lookups = None
        many = found("spf-multiple", *records, domain=subject.domain, count=len(records))
        findings = [many if records else found("spf-missing", domain=subject.domain)]
    return Result("spf", tuple(findings), records, texts.answer.resolver, lookups)


def _findings(subject: Subject, record: str, tree: Tree) -> list[Found]:
    domain, terms = subject.domain, record.split()[1:]
    findings = []
    if tree.code:
        findings.append(found(tree.code, domain=domain, detail=tree.detail, count=tree.count))
    elif tree.lookups >= LOOKUPS_NEAR:
        findings.append(found("spf-lookups-near", count=tree.lookups))
    there = tree.terms | {term.lower().lstrip("+") for term in terms}
    if lacking := [term for term in subject.wanted.spf if term.lower().lstrip("+") not in there]:
        code = "spf-lacks-locked" if subject.is_spf_locked else "spf-lacks"
        findings.append(found(code, terms=" ".join(lacking), domain=domain))
    end = next((match for term in terms if (match := _ALL.fullmatch(term))), None)
    if end is None and not any(term.lower().startswith("redirect=") for term in terms):
        findings.append(found("spf-all-missing"))
    elif end is not None and end[1] in _BY_QUALIFIER:
        findings.append(found(_BY_QUALIFIER[end[1]], domain=domain, term=end[0]))
    if any(_PTR.fullmatch(term) for term in terms):
        findings.append(found("spf-ptr"))

    return findings or [found("spf-ok", domain=domain, lookups=tree.lookups)]
