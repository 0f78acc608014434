"""What the world's resolvers say: those of the setting `dns_resolvers`, and never this machine's own.

All of them are asked at once. Each answers with one Answer; that a name isn't there (NXDOMAIN), that it has no such
record (NODATA), that a resolver failed (SERVFAIL, REFUSED, a referral) and that it gave no answer are four things.

A resolver may be a plain authoritative server too: then aliases that it doesn't follow are followed here, and a name
that it isn't responsible for is a failure, not an absence. Answers are matched to questions by dnspython (id, question,
address); what is too long for UDP is asked again over TCP.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from portal.settings import resolver_address

TIMEOUT_S = 2.0  # for one answer
LIFETIME_S = 5.0  # for a question, with its second try, its aliases and TCP
TRIES = 2
GRACE_S = 1.0
ALIASES_MAX = 8
PAYLOAD = 1232  # of UDP, dnsflagday.net/2020: it is never split into fragments


class Outcome(enum.StrEnum):
    FOUND = "found"
    NO_NAME = "nxdomain"
    NO_DATA = "nodata"
    FAILED = "failed"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one resolver said.

    name     the question's, as it was asked
    aliases  where its CNAMEs lead, in order; the last one holds the records
    ttl      seconds, the least of those that take part
    detail   one line on a failure, "" else
    """

    resolver: str
    name: str
    outcome: Outcome
    records: tuple[dns.rdata.Rdata, ...] = ()
    aliases: tuple[str, ...] = ()
    ttl: int | None = None
    detail: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it says something about the name."""
        return self.outcome in (Outcome.FOUND, Outcome.NO_NAME, Outcome.NO_DATA)


class Resolvers:
    """names: ADDRESS, ADDRESS:PORT or [IPv6]:PORT."""

    def __init__(self, names: Sequence[str]) -> None:
        if not names:
            raise ValueError("no resolver is named")
        self.names = tuple(names)
        self._places = {name: resolver_address(name) for name in self.names}

    async def ask(self, name: str, rdtype: str) -> Answer:
        """Ask all of them, and return the first answer with records; else one that says something; else why none did.

        After an answer that there is nothing the others have GRACE_S more: a name that was just made isn't reported as
        missing because one resolver still remembers its absence.
        """
        pending = {asyncio.ensure_future(self.ask_one(resolver, name, rdtype)) for resolver in self.names}
        best: Answer | None = None
        try:
            while pending:
                wait_s = GRACE_S if best is not None and best.is_known else None
                done, pending = await asyncio.wait(pending, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                for answer in (task.result() for task in done):
                    if answer.outcome is Outcome.FOUND:
                        return answer
                    if best is None or (answer.is_known and not best.is_known):
                        best = answer
                if not done:
                    break
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        assert best is not None
        return best

    async def ask_each(self, name: str, rdtype: str) -> list[Answer]:
        """Ask all of them, and return each one's answer, in the order of `names`."""
        return list(await asyncio.gather(*(self.ask_one(resolver, name, rdtype) for resolver in self.names)))

    async def ask_one(self, resolver: str, name: str, rdtype: str) -> Answer:
        """Ask one of them. Raises nothing that the network does."""
        kind = dns.rdatatype.from_text(rdtype)
        try:
            wanted = dns.name.from_text(name, idna_codec=dns.name.IDNA_2008)
        except (dns.exception.DNSException, UnicodeError, ValueError):
            return Answer(resolver, name, Outcome.NO_NAME, detail="it is no name that the DNS could hold")
        limit = asyncio.timeout(LIFETIME_S)
        try:
            async with limit:
                return await self._followed(resolver, name, wanted, kind)
        except (TimeoutError, dns.exception.Timeout):
            return Answer(resolver, name, Outcome.SILENT, detail=f"no answer within {LIFETIME_S:g} s")
        except (dns.exception.DNSException, OSError, EOFError) as error:
            return Answer(resolver, name, Outcome.FAILED, detail=_one_line(error))

    async def _followed(self, resolver: str, asked: str, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Answer:
        """Ask, and ask again where an alias leads out of what the resolver answered."""
        aliases: list[str] = []
        ttl: int | None = None
        for _ in range(ALIASES_MAX):
            message = await self._tried(resolver, name, kind)
            at, found, chain, chain_ttl = _chased(message, name, kind)
            aliases += chain
            ttl = _least(ttl, chain_ttl)
            if len(set(aliases)) != len(aliases):
                return Answer(resolver, asked, Outcome.FAILED, aliases=tuple(aliases), detail="its aliases form a ring")
            base = Answer(resolver, asked, Outcome.FOUND, aliases=tuple(aliases), ttl=ttl)
            if found is not None:
                return replace(base, records=tuple(found), ttl=_least(ttl, found.ttl))
            if message.rcode() == dns.rcode.NXDOMAIN:
                return replace(base, outcome=Outcome.NO_NAME)
            if message.rcode() != dns.rcode.NOERROR:
                return replace(base, outcome=Outcome.FAILED, detail=dns.rcode.to_text(message.rcode()))
            if not chain:
                is_referral = not message.flags & (dns.flags.AA | dns.flags.RA) and _has_referral(message)
                detail = "it only names other servers for this name" if is_referral else ""
                return replace(base, outcome=Outcome.FAILED if is_referral else Outcome.NO_DATA, detail=detail)
            if message.flags & dns.flags.RA:  # a resolver that recurses has followed the alias already
                return replace(base, outcome=Outcome.NO_DATA)
            name = at
        return Answer(resolver, asked, Outcome.FAILED, aliases=tuple(aliases), detail="too many aliases")

    async def _tried(self, resolver: str, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.message.Message:
        address, port = self._places[resolver]
        for number in range(1, TRIES + 1):
            query = dns.message.make_query(name, kind, use_edns=0, payload=PAYLOAD)
            try:
                message, _ = await dns.asyncquery.udp_with_fallback(
                    query, address, TIMEOUT_S, port, ignore_unexpected=True, ignore_errors=True
                )
            except dns.exception.Timeout:
                if number == TRIES:
                    raise
                continue
            return message
        raise AssertionError("unreachable")


def _chased(
    message: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> tuple[dns.name.Name, dns.rrset.RRset | None, list[str], int | None]:
    """Follow the aliases within an answer: where they end, the records there, the way, and its least TTL."""
    chain: list[str] = []
    ttl: int | None = None
    while len(chain) <= ALIASES_MAX:
        found = message.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, kind)
        if found is not None:
            return name, found, chain, ttl
        alias = message.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, dns.rdatatype.CNAME)
        if alias is None:
            break
        name = alias[0].target
        chain.append(name.to_text(omit_final_dot=True).lower())
        ttl = _least(ttl, alias.ttl)
    return name, None, chain, ttl


def _has_referral(message: dns.message.Message) -> bool:
    kinds = {rrset.rdtype for rrset in message.authority}
    return dns.rdatatype.NS in kinds and dns.rdatatype.SOA not in kinds


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
