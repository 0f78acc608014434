"""Who may receive mail, as a file says it, and as the edge's lists carry it (wire.md, "Recipients").

The file has one address a line; `@domain` says that every address of the domain is taken (catch-all); blank lines and
lines that begin with # say nothing. Addresses must lie in the configured zones.

Pure. Nothing here writes; an address appears in an error only if it came from the file.
"""

from __future__ import annotations

import functools
import hmac
import json
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import idna

DELIMITER = "+"  # what Dovecot and Postfix take by default, and the Worker where a list says nothing else
KEY_PREFIX = "recipients/"
SMALL_LIST = 3  # up to this many, losing more than half of a list is an ordinary day

_DOMAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_LOCAL = re.compile(r'[^\s"<>@\\]+')
_MAX_DOMAIN_CHARS = 253


class RecipientsError(Exception):
    """The file, or what it would do, is refused. One line per reason."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = tuple(reasons)


@dataclass(frozen=True, slots=True)
class DomainList:
    """The recipients of one domain: normal forms, lower case and without a detail such as +shop."""

    domain: str
    addresses: frozenset[str]
    is_catch_all: bool = False


def normal_form(address: str, delimiter: str = DELIMITER) -> str | None:
    """Return the form in which an address is hashed, or None where no list may judge it.

    None: a quoted local part, no local part, or a domain that cannot be one, such as an address literal.
    """
    local, at, domain = address.rpartition("@")
    if not at or not local or '"' in local:
        return None
    ascii_domain = _a_labels(domain)
    if ascii_domain is None:
        return None
    local = unicodedata.normalize("NFC", local.lower())
    cut = local.find(delimiter, 1) if delimiter else -1
    return f"{local if cut < 0 else local[:cut]}@{ascii_domain}"


def hash_of(key: bytes, normal: str) -> str:
    return hmac.digest(key, normal.encode(), "sha256").hex()


def parse(text: str, zones: Collection[str], delimiter: str = DELIMITER) -> dict[str, DomainList]:
    """Given a file's text, return the lists of the domains that occur in it. Raise RecipientsError, by line number."""
    addresses: dict[str, set[str]] = {}
    catch_all: set[str] = set()
    reasons = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        local, _, domain_text = line.rpartition("@")
        domain = _a_labels(domain_text)
        normal = normal_form(line, delimiter) if local else None
        shown = _visible(line)
        if "@" not in line or domain is None or not line.isprintable() or (local and not _LOCAL.fullmatch(local)):
            quoted = " (a quoted local part is never refused by a list, so leave it out)" if '"' in local else ""
            reasons.append(f"line {number}: {shown} is no address{quoted}")
        elif domain not in zones:
            reasons.append(f"line {number}: {shown} is in none of the configured zones ({', '.join(sorted(zones))})")
        elif normal is None:
            catch_all.add(domain)
        else:
            addresses.setdefault(domain, set()).add(normal)
    if reasons:
        raise RecipientsError(reasons)
    domains = sorted(addresses.keys() | catch_all)
    return {each: DomainList(each, frozenset(addresses.get(each, ())), each in catch_all) for each in domains}


@dataclass(frozen=True, slots=True)
class Pushed:
    """A list as it lies at the edge. Raises nothing: what is no list is None."""

    generation: int
    at: int
    is_catch_all: bool
    is_complete: bool
    hashes: frozenset[str]
    delimiter: str = DELIMITER

    @classmethod
    def read(cls, value: bytes) -> Pushed | None:
        try:
            document = json.loads(value)
            hashes = frozenset(document["hashes"])
            if document["v"] != 1 or not all(isinstance(each, str) for each in hashes):
                return None
            return cls(
                int(document["generation"]),
                int(document["at"]),
                document["catch_all"] is True,
                document["complete"] is True,
                hashes,
                str(document["delimiter"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


def shrinks(before: Pushed | None, after: DomainList, key: bytes) -> str | None:
    """Say what a new list would take away that looks like an accident, or None."""
    if before is None or after.is_catch_all or not (before.hashes or before.is_catch_all):
        return None
    hashes = {hash_of(key, address) for address in after.addresses}
    lost, had = len(before.hashes - hashes), len(before.hashes)
    if not hashes:
        return f"{after.domain}: would lose all of its {had} addresses" + " and its catch-all" * before.is_catch_all
    if had > SMALL_LIST and lost * 2 > had:
        return f"{after.domain}: would lose {lost} of {had} addresses"
    return None


def value_of(
    after: DomainList,
    before: Pushed | None,
    *,
    key: bytes,
    now: int,
    last_generation: int,
    delimiter: str = DELIMITER,
) -> tuple[dict[str, Any], bool]:
    """Return the document to push for a domain, and whether its content differs from what lies there.

    The generation rises with every change of content, never otherwise, also where KV shows an older list than the
    last one pushed; `at` is always new: it says until when the list may refuse.
    """
    hashes = sorted(hash_of(key, address) for address in after.addresses)
    is_changed = (
        before is None
        or before.hashes != frozenset(hashes)
        or before.is_catch_all != after.is_catch_all
        or before.delimiter != delimiter
        or not before.is_complete
    )
    generation = max(before.generation if before else 0, last_generation) + is_changed
    content = {"complete": True, "catch_all": after.is_catch_all, "delimiter": delimiter, "hashes": hashes}
    return {"v": 1, "generation": generation, "at": now, **content}, is_changed


def encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def key_of(domain: str) -> str:
    """The key of a domain's list in KV."""
    return f"{KEY_PREFIX}{domain}"


@functools.lru_cache(64)
def _a_labels(domain: str) -> str | None:
    """The domain as the mail API compares it: mapped as UTS 46 does, without IDNA's validity rules."""
    if len(domain) > _MAX_DOMAIN_CHARS:
        return None
    if domain.isascii():
        name = domain.lower()
    else:
        try:
            labels = idna.uts46_remap(domain, std3_rules=False).split(".")
        except idna.IDNAError:
            return None
        name = ".".join(
            label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in labels
        )
    return name if _DOMAIN.fullmatch(name) else None


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
