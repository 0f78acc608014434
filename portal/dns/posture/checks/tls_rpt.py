"""TLS-RPT (RFC 8460): whether senders are asked to report failed encryption, and to whom."""

from __future__ import annotations

from portal.dns.posture.findings import Found, Result, found, listed
from portal.dns.posture.subject import Subject

_VERSION = "v=tlsrptv1"


async def check(subject: Subject) -> Result:
    name = f"_smtp._tls.{subject.domain}"
    texts = await subject.look.texts(name)
    records = tuple(text for text in texts.texts if is_tls_rpt(text))
    if not records:
        finding = found("tls-rpt-missing" if subject.wanted.rua else "tls-rpt-no-address", domain=subject.domain)
    elif len(records) > 1:
        finding = found("tls-rpt-multiple", *records, name=name, count=len(records))
    else:
        finding = _of_record(records[0])
    return Result("tls-rpt", (finding,), records, texts.answer.resolver)


def is_tls_rpt(text: str) -> bool:
    return text.lower().startswith(_VERSION)


def _of_record(record: str) -> Found:
    from checkdmarc import smtp_tls_reporting

    try:
        parsed = smtp_tls_reporting.parse_smtp_tls_reporting_record(record)
    except smtp_tls_reporting.SMTPTLSReportingError as error:
        return found("tls-rpt-syntax", detail=str(error))
    return found("tls-rpt-ok", addresses=listed([str(uri) for uri in parsed["tags"]["rua"]["value"]]))
