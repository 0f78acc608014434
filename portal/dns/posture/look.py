"""The questions of one check of one domain: each is asked once, whoever needs the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dns.rdata import Rdata
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.txtbase import TXTBase

from portal.dns.posture.resolving import Answer, Resolvers


class NoAnswer(Exception):
    """No resolver said anything about a name: what was to be checked is not known."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"no answer about {answer.name}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Texts:
    """The TXT records of a name, each joined from its strings. Bytes that are no UTF-8 appear as \\xNN."""

    texts: tuple[str, ...]
    answer: Answer


class Look:
    def __init__(self, resolvers: Resolvers) -> None:
        self.resolvers = resolvers
        self._answers: dict[tuple[str, str], asyncio.Task[Answer]] = {}

    async def ask(self, name: str, rdtype: str) -> Answer:
        """Return what is said of a name, whatever it is."""
        key = name.lower().rstrip("."), rdtype
        if key not in self._answers:
            self._answers[key] = asyncio.create_task(self.resolvers.ask(key[0], rdtype))
        return await asyncio.shield(self._answers[key])

    async def known(self, name: str, rdtype: str) -> Answer:
        """Return an answer that says something. Raise NoAnswer."""
        answer = await self.ask(name, rdtype)
        if not answer.is_known:
            raise NoAnswer(answer)
        return answer

    async def texts(self, name: str) -> Texts:
        """The TXT records of a name; none when there is no such name. Raise NoAnswer."""
        answer = await self.known(name, "TXT")
        return Texts(texts_of(answer.records), answer)

    async def addresses(self, name: str) -> list[str]:
        """The addresses of a host, IPv4 first. Raise NoAnswer when neither kind is known and none was found."""
        answers = await asyncio.gather(self.ask(name, "A"), self.ask(name, "AAAA"))
        found = [record.to_text() for answer in answers for record in answer.records]
        for answer in answers:
            if not found and not answer.is_known:
                raise NoAnswer(answer)
        return found

    async def close(self) -> None:
        """End what is still being asked."""
        for task in self._answers.values():
            task.cancel()
        await asyncio.gather(*self._answers.values(), return_exceptions=True)


def texts_of(records: Sequence[Rdata]) -> tuple[str, ...]:
    """TXT records as texts, sorted: resolvers turn them round."""
    strings = (b"".join(record.strings) for record in records if isinstance(record, TXTBase))
    return tuple(sorted(string.decode("utf-8", "backslashreplace") for string in strings))


def mail_servers(records: Sequence[Rdata]) -> list[str]:
    """The hosts of MX records, sorted, without final dots; "" is the null MX (RFC 7505)."""
    hosts = (record.exchange for record in records if isinstance(record, MX))
    return sorted({host.to_text(omit_final_dot=True).rstrip(".").lower() for host in hosts})
