"""Addresses as a mailbox or an alias may have them. Pure.

Narrower than what a sender may be called (mail_api.envelope): an address here becomes a login, a directory's name and
an argument of programs, so it consists of letters, digits and `.`, `_`, `-`. There is no `+`, which begins a detail
(bob+shop@ goes to bob@), and nothing outside ASCII: neither Cloudflare nor Dovecot's LMTP offers SMTPUTF8. Domains may
be written as people write them; they are kept as lower-case A-labels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from portal.settings import domain_name

MAX_LOCAL_CHARACTERS = 64  # RFC 5321 4.5.3.1.1
MAX_ADDRESS_CHARACTERS = 254  # RFC 5321 4.5.3.1.3: a path of 256 with its < and >
SENTINEL_DOMAIN = "homeport.invalid"  # RFC 2606: no mail can ever come for it
SENTINEL = f"sentinel@{SENTINEL_DOMAIN}"

_ATOM = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_SHOWN_CHARACTERS = 80


class BadAddress(ValueError):
    """No mailbox can have this address, or no mail can come for this domain. The text says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """local    lower case, ASCII
    domain   lower-case A-labels
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Given an address as somebody types it, return it in the one form that is stored. Raise BadAddress."""
        shown = repr(text[:_SHOWN_CHARACTERS])
        local, at, domain = text.rpartition("@")
        if not at or not local or not domain:
            raise BadAddress(f"{shown} is no address such as bob@example.org")
        if not local.isascii():
            raise BadAddress(f"{shown}: before the @ only ASCII can receive mail here (no SMTPUTF8)")
        local = local.lower()
        if "+" in local:
            raise BadAddress(f"{shown}: + begins a detail; mail for bob+detail@ goes to bob@ without being set up")
        if not _LOCAL.fullmatch(local):
            raise BadAddress(
                f"{shown}: before the @ stand letters, digits, and between them single dots, - and _; nothing else"
            )
        address = cls(local, parse_domain(domain))
        if len(local) > MAX_LOCAL_CHARACTERS:
            raise BadAddress(f"{shown}: before the @ are more than {MAX_LOCAL_CHARACTERS} characters")
        if len(str(address)) > MAX_ADDRESS_CHARACTERS:
            raise BadAddress(f"{shown}... is longer than {MAX_ADDRESS_CHARACTERS} characters")
        return address

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def parse_domain(text: str) -> str:
    """Given a domain as somebody types it, return its lower-case A-labels. Raise BadAddress."""
    try:
        name = domain_name(text[: MAX_ADDRESS_CHARACTERS + 1])
    except ValueError:
        raise BadAddress(f"{text[:_SHOWN_CHARACTERS]!r} is no domain") from None
    if name == SENTINEL_DOMAIN:
        raise BadAddress(f"{SENTINEL_DOMAIN} belongs to Homeport: by {SENTINEL} the mail API knows Dovecot is whole")
    return name
