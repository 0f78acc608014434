"""MTA-STS (RFC 8461): a record, the policy it announces, and whether that covers the mail servers."""

from __future__ import annotations

from portal.dns.posture.findings import Found, Result, found, listed
from portal.dns.posture.look import mail_servers
from portal.dns.posture.policy_file import NoHost, PrivateHost, Unfetched
from portal.dns.posture.subject import Subject

_VERSION = "v=stsv1"


async def check(subject: Subject) -> Result:
    name = f"_mta-sts.{subject.domain}"
    texts = await subject.look.texts(name)
    records = tuple(text for text in texts.texts if text.lower().startswith(_VERSION))
    if not records:
        findings, policy = [found("mta-sts-missing", domain=subject.domain)], ""
    elif len(records) > 1:
        findings, policy = [found("mta-sts-multiple", *records, name=name, count=len(records))], ""
    else:
        findings, policy = await _findings(subject, records[0])
    return Result("mta-sts", tuple(findings), (*records, *policy.splitlines()), texts.answer.resolver)


async def _findings(subject: Subject, record: str) -> tuple[list[Found], str]:
    from checkdmarc import mta_sts

    try:
        mta_sts.parse_mta_sts_record(record, syntax_error_marker="»")
    except mta_sts.MTASTSError as error:
        return [found("mta-sts-syntax", detail=str(error))], ""
    host = f"mta-sts.{subject.domain}"
    try:
        text = await subject.file.fetch(host, subject.look)
    except NoHost:
        return [found("mta-sts-no-host", host=host)], ""
    except PrivateHost as error:
        return [found("mta-sts-private", host=host, address=str(error))], ""
    except Unfetched as error:
        return [found("mta-sts-fetch", host=host, detail=str(error))], ""
    try:
        policy = mta_sts.parse_mta_sts_policy(text)["policy"]
    except mta_sts.MTASTSError as error:
        return [found("mta-sts-policy", detail=str(error))], text
    return await _of_policy(subject, str(policy["mode"]), [str(each) for each in policy["mx"]]), text


async def _of_policy(subject: Subject, mode: str, patterns: list[str]) -> list[Found]:
    if mode == "none":
        return [found("mta-sts-testing", mode=mode)]
    answer = await subject.look.known(subject.domain, "MX")
    findings = []
    if uncovered := [host for host in mail_servers(answer.records) if not _covers(patterns, host)]:
        findings.append(found("mta-sts-uncovered", hosts=listed(uncovered)))
    if mode == "testing":
        findings.append(found("mta-sts-testing", mode=mode))
    return findings or [found("mta-sts-ok")]


def _covers(patterns: list[str], host: str) -> bool:
    """RFC 8461 4.1: a star stands for one label, the leftmost."""
    parent = host.partition(".")[2]
    return any(pattern.lower().rstrip(".") in (host, f"*.{parent}") for pattern in patterns)
