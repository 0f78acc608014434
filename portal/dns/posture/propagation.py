"""Whether the world already sees a record as Cloudflare has it: each resolver asked, and compared by meaning.

By meaning: as the data of the record's type, so that quotes, splits, final dots, letter case, the order of records and
of parameters make no difference; the TTL is not compared. Pure but for `ask`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dns.exception
import dns.rdata
import dns.rdataclass
from dns.rdtypes.txtbase import TXTBase

from kit.clock import Clock, now_utc
from portal.dns.posture.findings import quotable
from portal.dns.posture.resolving import Answer, Outcome, Resolvers
from portal.dns.records.names import canonical
from portal.dns.records.rdata import line_of
from portal.dns.records.values import key_of, value_of
from portal.dns.schemas import Propagation, ResolverAnswer
from portal.integrations.records import Json

ANSWERS_SHOWN = 50


async def ask(resolvers: Resolvers, clock: Clock, zone: str, record: Json, same: Sequence[Json]) -> Propagation:
    """Ask every resolver for a record's name and type.

    same     the zone's records of that name and type, this one included
    """
    type_ = str(record["type"])
    is_comparable = _is_comparable(zone, same)
    asked_for = "A" if type_ == "CNAME" and not is_comparable else type_  # which is what the world gets for it
    answers = await resolvers.ask_each(canonical(record["name"]), asked_for)
    return Propagation(
        key=key_of(record),
        expected=[quotable(written(each)) for each in same[:ANSWERS_SHOWN]],
        is_comparable=is_comparable,
        resolvers=[_view(answer, clock, same, is_comparable=is_comparable) for answer in answers],
    )


def compare(expected: Sequence[Json], records: Sequence[dns.rdata.Rdata]) -> bool:
    """Whether a resolver's records mean what Cloudflare's do."""
    held = {_held(written(record), str(record["type"])) for record in expected}
    return held == {_meaning(each) for each in records}


def written(record: Mapping[str, Any]) -> str:
    """A record's data as it stands in a zone file."""
    try:
        return line_of(value_of(record))
    except (KeyError, ValueError):  # a type that we don't know
        return str(record.get("content") or "")


def _held(text: str, type_: str) -> bytes:
    """What is no data of its type is equal to nothing that a resolver says."""
    try:
        return _meaning(dns.rdata.from_text(dns.rdataclass.IN, type_, text))
    except (dns.exception.DNSException, ValueError):
        return b"unreadable " + text.encode("utf-8", "surrogateescape")


def _meaning(data: dns.rdata.Rdata) -> bytes:
    """The data in canonical form (RFC 4034 6.2); of a TXT record the bytes of all its strings."""
    return b"".join(data.strings) if isinstance(data, TXTBase) else data.to_digestable()


def _is_comparable(zone: str, same: Sequence[Json]) -> bool:
    """Proxied records answer with Cloudflare's addresses, and an alias at the zone's apex with those of its target."""
    return not any(
        each.get("proxied")
        or (each["type"] == "CNAME" and canonical(each["name"]) == zone)
        or (each.get("settings") or {}).get("flatten_cname")
        for each in same
    )


def _view(answer: Answer, clock: Clock, same: Sequence[Json], *, is_comparable: bool) -> ResolverAnswer:
    texts = sorted(quotable(record.to_text()) for record in answer.records)
    agrees = compare(same, answer.records) if answer.is_known and is_comparable else None
    return ResolverAnswer(
        resolver=answer.resolver,
        agrees=agrees,
        answers=texts[:ANSWERS_SHOWN],
        ttl=answer.ttl,
        detail=_detail(answer),
        asked_at=now_utc(clock),
    )


def _detail(answer: Answer) -> str:
    said = {Outcome.NO_NAME: "there is no such name", Outcome.NO_DATA: "the name has no such record"}
    return quotable(said.get(answer.outcome, answer.detail))
