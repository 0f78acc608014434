"""What a record can't be, because of what else the zone has. Pure.

Cloudflare refuses only part of this, and DNS allows none of it: a CNAME with others at its name (RFC 1034 3.6.2), MX
and NS to a CNAME (RFC 2181 10.3), a second SPF or DMARC record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from portal.dns.records.findings import Finding, error, warning
from portal.dns.records.names import canonical
from portal.dns.records.text import chunks
from portal.dns.records.values import Value, is_locked, key_of

_ADDRESSES = ("A", "AAAA")
_BESIDE_CNAME = (*_ADDRESSES, "CNAME", "NS")  # Cloudflare refuses these; others it keeps
_NO_CNAME_TARGET = ("MX", "NS", "SRV")


class Neighbours:
    """A zone's records by name: of the zone as it is, or as it will be. Holds records and values alike."""

    def __init__(self, records: Iterable[Mapping[str, Any]]) -> None:
        self._by_name: dict[str, list[Mapping[str, Any]]] = {}
        for record in records:
            self._by_name.setdefault(canonical(record["name"]), []).append(record)

    def at(self, name: str) -> Sequence[Mapping[str, Any]]:
        return self._by_name.get(name, ())

    def check(self, zone: str, value: Value, *, own: str | None, before: Value | None) -> list[Finding]:
        """Given a value as it will be, say what the others have against it.

        own      the value's key, when it is one of the records held here
        before   what it was; what was so already is only warned of
        """
        there = self.at(value["name"])
        same = [each for each in there if own is None or (each is not value and key_of(each) != own)]
        found = _against(zone, value, same, before) if same else []
        found += self._target(zone, value)
        if value["type"] == "MX" and any(each["type"] == "MX" and is_locked(each) for each in same):
            found.append(error("", "mx-email-routing", name=value["name"]))
        if value["type"] == "DS" and not any(each["type"] == "NS" for each in same):
            found.append(warning("", "ds-without-ns"))
        return found

    def _target(self, zone: str, value: Value) -> list[Finding]:
        """Of a record that points into the zone: whether there is something, and something it may point to."""
        target = _target_of(value)
        if target is None or not self._by_name or not (target == zone or target.endswith(f".{zone}")):
            return []
        there = self.at(target)
        is_cname = any(each["type"] == "CNAME" for each in there)
        # one that is proxied, or of the zone itself, is answered with addresses
        is_followed = target == zone or any(each.get("proxied") for each in there)
        if is_cname and not is_followed and value["type"] in _NO_CNAME_TARGET:
            return [warning("content", "target-is-cname", host=target, type=value["type"])]
        parents = target.split(".")
        wildcards = (".".join(["*", *parents[start:]]) for start in range(1, len(parents)))
        if not there and not any(self.at(each) for each in wildcards):
            return [warning("content", "target-missing", host=target)]
        return []


ALONE = Neighbours(())


def _target_of(value: Value) -> str | None:
    """The host that a record leads to, for the types that need one to be there."""
    if value["type"] == "SRV":
        return str(value["data"].get("target"))
    return str(value["content"]) if value["type"] in ("MX", "NS", "CNAME") else None


def _against(zone: str, value: Value, same: Sequence[Mapping[str, Any]], before: Value | None) -> list[Finding]:
    """What the others of its name have against a value."""
    key = key_of(value)
    found = [error("content", "duplicate")] if any(key_of(each) == key for each in same) else []
    return found + _beside_cname(zone, value, same) + _second(value, same, before)


def _beside_cname(zone: str, value: Value, same: Sequence[Mapping[str, Any]]) -> list[Finding]:
    name = value["name"]
    if value["type"] != "CNAME":
        cnames = [each for each in same if each["type"] == "CNAME"]
        if not cnames:
            return []
        if value["type"] in _BESIDE_CNAME and not (value["type"] == "NS" and name == zone):
            return [error("name", "cname-there", name=name)]
        if name == zone or any(each.get("proxied") for each in cnames):
            return []
        return [warning("name", "cname-beside", name=name, types=value["type"])]
    refused = sorted({each["type"] for each in same if each["type"] in _BESIDE_CNAME})
    if name == zone:
        refused = [type_ for type_ in refused if type_ != "NS"]
    if refused:
        return [error("name", "cname-conflict", name=name, types=", ".join(refused))]
    beside = sorted({each["type"] for each in same})
    if beside and name != zone and not value["proxied"]:
        return [warning("name", "cname-beside", name=name, types=", ".join(beside))]
    return []


def _second(value: Value, same: Sequence[Mapping[str, Any]], before: Value | None) -> list[Finding]:
    found = []
    for is_one, code in ((is_spf, "spf-second"), (is_dmarc, "dmarc-second")):
        if is_one(value) and any(map(is_one, same)):
            was_so = before is not None and before["name"] == value["name"] and is_one(before)
            found.append((warning if was_so else error)("content", code, name=value["name"]))
    return found


def is_spf(record: Mapping[str, Any]) -> bool:
    """RFC 7208 4.5: the version, then a space or the end."""
    return _says(record, b"v=spf1", (b" ", b""))


def is_dmarc(record: Mapping[str, Any]) -> bool:
    """RFC 7489 6.6.3, at a name where one is looked for."""
    return record["name"].startswith("_dmarc.") and _says(record, b"v=dmarc1", (b" ", b";", b""))


def _says(record: Mapping[str, Any], version: bytes, ends: Sequence[bytes]) -> bool:
    if record["type"] != "TXT":
        return False
    text = b"".join(chunks(str(record.get("content") or ""))).lower()
    return text.startswith(version) and text[len(version) : len(version) + 1] in ends
