"""All checks of a domain, together; each ends on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from portal.dns.posture.checks import dkim, dmarc, email_routing, mta_sts, mx, spf, tls_rpt
from portal.dns.posture.findings import Result, found
from portal.dns.posture.look import NoAnswer
from portal.dns.posture.schemas import Check
from portal.dns.posture.subject import Subject

LIMIT_S = 20.0  # for one check: somebody waits for it

_ASKED: dict[Check, Callable[[Subject], Awaitable[Result]]] = {
    "mx": mx.check,
    "spf": spf.check,
    "dkim": dkim.check,
    "dmarc": dmarc.check,
    "mta-sts": mta_sts.check,
    "tls-rpt": tls_rpt.check,
}


async def run(subject: Subject) -> list[Result]:
    """In the order in which they are shown. Raises nothing that the network does, and only when all have ended."""
    checked = await asyncio.gather(*(_known(subject, check) for check in _ASKED), return_exceptions=True)
    results = [email_routing.check(subject)]
    for each in checked:
        if isinstance(each, BaseException):
            raise each
        results.append(each)
    return results


async def _known(subject: Subject, check: Check) -> Result:
    limit = asyncio.timeout(LIMIT_S)
    try:
        async with limit:
            return await _ASKED[check](subject)
    except NoAnswer as error:
        name, detail = error.answer.name, error.answer.detail
    except TimeoutError:
        if not limit.expired():
            raise
        name, detail = subject.domain, f"no answer within {LIMIT_S:g} s"
    return Result(check, (found(f"{check}-no-answer", name=name, detail=detail),))
