"""An SPF record with everything it includes, evaluated by checkdmarc (RFC 7208), asking only through a Look.

checkdmarc is synchronous, so it runs in a thread, with a resolver object that hands each question to the event loop.
Three habits of it are dealt with here: it keeps answers of all callers for half an hour, it also asks for SPF and CNAME
records of every name, and the text of `exp=` it asks for without that object, so it is given our resolvers there too.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from typing import Any

import dns.nameserver
import dns.rdatatype
import dns.resolver

from portal.dns.posture.look import Look, NoAnswer
from portal.dns.posture.resolving import TIMEOUT_S, Answer, Outcome
from portal.settings import resolver_address

QUESTION_S = 30.0  # a question's own limits end it long before


@dataclass(frozen=True, slots=True)
class Tree:
    """What an SPF record comes to.

    lookups  of at most 10, nested ones counted; where `code` is spf-lookups, where counting ended
    terms    mechanisms that let somebody pass, at any depth, lower case: include:sendgrid.net, ip4:192.0.2.1
    code     a finding's, when evaluation is a permanent error; "" else
    count    of lookups or void lookups, where the code is about them
    """

    lookups: int
    terms: frozenset[str] = frozenset()
    code: str = ""
    detail: str = ""
    count: int = 0


async def evaluate(record: str, domain: str, look: Look) -> Tree:
    """Raise NoAnswer when one of its names can't be asked."""
    return await asyncio.to_thread(_evaluate, record, domain, look, asyncio.get_running_loop())


def _evaluate(record: str, domain: str, look: Look, loop: asyncio.AbstractEventLoop) -> Tree:
    from checkdmarc import spf

    _keep_no_answers()
    asked = [dns.nameserver.Do53Nameserver(*resolver_address(name)) for name in look.resolvers.names]
    try:
        result: dict[str, Any] = spf.parse_spf_record(
            record, domain, resolver=_Bridge(look, loop), nameservers=asked, timeout=TIMEOUT_S, retries=0,
            syntax_error_marker="»",
        )  # fmt: skip
    except spf.SPFTooManyDNSLookups as error:
        count = int(error.data["dns_lookups"])
        return Tree(count, code="spf-lookups", count=count)
    except spf.SPFTooManyVoidDNSLookups as error:
        return Tree(0, code="spf-void", count=int(error.data["void_dns_lookups"]))
    except (spf.SPFIncludeLoop, spf.SPFRedirectLoop) as error:
        return Tree(0, code="spf-loop", detail=str(error))
    except (spf.SPFRecordNotFound, spf.MultipleSPFRTXTRecords) as error:
        return Tree(0, code="spf-include-missing", detail=str(error))
    except spf.SPFError as error:
        return Tree(0, code="spf-syntax", detail=str(error))
    return Tree(int(result["dns_lookups"]), frozenset(_terms(result["parsed"])))


class _Bridge(dns.resolver.Resolver):
    """A resolver object whose every question goes through a Look, in the event loop's thread."""

    def __init__(self, look: Look, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(configure=False)  # nothing of this machine's configuration
        self._look, self._loop = look, loop

    def resolve(self, qname: Any, rdtype: Any = dns.rdatatype.A, **_: Any) -> Any:  # type: ignore[override]
        kind = dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rdtype))
        if kind in ("SPF", "CNAME"):
            raise dns.resolver.NoAnswer
        answer = self._answer(str(qname), kind)
        if answer.outcome is Outcome.NO_NAME:
            raise dns.resolver.NXDOMAIN
        if answer.outcome is Outcome.NO_DATA:
            raise dns.resolver.NoAnswer
        if answer.outcome is not Outcome.FOUND:
            raise NoAnswer(answer)  # none of checkdmarc's own errors: it would be taken for a missing record
        return answer.records

    def _answer(self, name: str, kind: str) -> Answer:
        asked = asyncio.run_coroutine_threadsafe(self._look.ask(name, kind), self._loop)
        try:
            return asked.result(QUESTION_S)
        finally:
            asked.cancel()


@functools.cache
def _keep_no_answers() -> None:
    from checkdmarc import utils

    utils.DNS_CACHE.max_age = 0


def _terms(parsed: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for mechanism in parsed["mechanisms"]:
        if mechanism["action"] == "pass":
            found.add(f"{mechanism['mechanism']}:{mechanism['value']}".lower().rstrip(":"))
        if mechanism.get("parsed"):
            found |= _terms(mechanism["parsed"])
    redirect = parsed.get("redirect")
    return found | (_terms(redirect["parsed"]) if redirect and redirect.get("parsed") else set())
