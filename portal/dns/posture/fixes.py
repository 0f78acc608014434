"""What mending a finding changes in a zone, as a wish for a plan. Pure.

It is made from what Cloudflare holds now, not from what was found: mending what is mended already is an empty wish.
Records that exist keep whatever the fix is not about: TTL, comment, tags, and the rest of their text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portal.dns.posture.checks.dmarc import is_dmarc, tags_of
from portal.dns.posture.checks.tls_rpt import is_tls_rpt
from portal.dns.posture.subject import Routing, Wanted
from portal.dns.records.text import chunks, quoted, spelled
from portal.dns.records.values import Value, key_of, value_of
from portal.integrations.records import SPF, Json, full_name, host, is_spf, merge_spf

Wish = dict[str, Value | None]

POLICY = "quarantine"
_ALL = re.compile(r"[-~?+]?all", re.IGNORECASE)
_STRICTEST_FIRST = ("-", "~", "?", "+", "")
_END = re.compile(r"[-~?+]?all|redirect=.*", re.IGNORECASE)


@dataclass
class Mending:
    """A zone's records on their way from what they are to what they are to be: each fix sees what the last one did."""

    domain: str
    wanted: Wanted
    routing: Routing
    before: Mapping[str, Json]
    records: dict[str, Json] = field(init=False)

    def __post_init__(self) -> None:
        self.records = dict(self.before)

    def wish(self) -> Wish:
        """What differs now from what there was."""
        gone: Wish = {key: None for key in self.before if key not in self.records}
        return gone | {key: value_of(record) for key, record in self.records.items() if self.before.get(key) != record}

    def texts(self, name: str, is_it: Callable[[str], bool]) -> list[tuple[str, Json]]:
        """The TXT records of a name whose text is of a kind, as (key, record), sorted by their text."""
        found = [
            (key, record)
            for key, record in self.records.items()
            if record["type"] == "TXT" and host(record["name"]) == name and is_it(_text(record))
        ]
        return sorted(found, key=lambda each: (_text(each[1]), each[0]))

    def add(self, type_: str, name: str, content: str, **more: Any) -> None:
        """Make a record, unless there is one that says the same."""
        record = {"type": type_, "name": name, "content": content, "ttl": 1, **more}
        self.records.setdefault(key_of(record), record)

    def add_text(self, name: str, text: str) -> None:
        self.add("TXT", name, _content(text))

    def rewrite(self, key: str, text: str) -> None:
        """Give a TXT record another text; the rest of it stays."""
        record = self.records[key]
        if text == _text(record):
            return
        del self.records[key]
        changed = record | {"content": _content(text)}
        self.records.setdefault(key_of(changed), changed)

    def remove(self, key: str) -> None:
        del self.records[key]


def mended(mending: Mending, findings: list[tuple[str, str]]) -> Wish:
    """Given (code, subject) of findings, return what brings them to an end; codes without a fix are left out."""
    for code in _FIXES:
        for each, subject in findings:
            if each == code:
                _FIXES[code](mending, subject)
    return mending.wish()


def _mx(mending: Mending, _: str) -> None:
    if mending.routing.is_locked:
        return
    there = {host(each["content"]) for each in mending.records.values() if _is_mx(each, mending.domain)}
    for record in mending.routing.needed:
        if record["type"] == "MX" and host(record["content"]) not in there:
            name = full_name(record.get("name") or "@", mending.domain)
            mending.add("MX", name, host(record["content"]), priority=int(record.get("priority") or 0))


def _join_spf(mending: Mending, _: str) -> None:
    """All records become the first one, with what it lacks of the others; the strictest `all` stays."""
    found = mending.texts(mending.domain, _is_spf_text)
    if len(found) < 2:
        return
    texts = [_text(record) for _, record in found]
    joined = texts[0]
    for text in texts[1:]:
        joined = merge_spf(joined, text) or joined
    ends = [term for text in texts for term in text.split() if _ALL.fullmatch(term)]
    if ends:
        joined = _with_all(joined, min(ends, key=lambda term: _STRICTEST_FIRST.index(term.lower().removesuffix("all"))))
    for key, _record in found[1:]:
        mending.remove(key)
    mending.rewrite(found[0][0], joined)


def _complete_spf(mending: Mending, _: str) -> None:
    """One record with every mechanism that is wanted; made when there is none."""
    needed = " ".join([SPF, *mending.wanted.spf])
    found = mending.texts(mending.domain, _is_spf_text)
    if not found:
        mending.add_text(mending.domain, f"{needed} ~all")
    elif len(found) == 1:
        key, record = found[0]
        text = _text(record)
        mending.rewrite(key, merge_spf(text, needed) or text)


def _soften_spf(mending: Mending, _: str) -> None:
    """`~all` where the record lets everybody pass, or says nothing of them."""
    found = mending.texts(mending.domain, _is_spf_text)
    if len(found) != 1:
        return
    key, record = found[0]
    text = _text(record)
    end = next((term for term in text.split()[1:] if _END.fullmatch(term)), None)
    if end is None or end.lower() in ("all", "+all", "?all"):
        mending.rewrite(key, _with_all(text, "~all"))


def _dkim(mending: Mending, selector: str) -> None:
    """The record that was set for this selector, instead of whatever stands at its name."""
    key = next((each for each in mending.wanted.dkim if each.selector == selector), None)
    if key is None:
        return
    name = key.name(mending.domain)
    wanted = {"type": "TXT", "name": name, "content": _content(key.target), "ttl": 1}
    if not key.is_text:
        wanted |= {"type": "CNAME", "content": host(key.target), "proxied": False}
    at_name = {each: record for each, record in mending.records.items() if host(record["name"]) == name}
    for each, record in at_name.items():
        if record["type"] in ("TXT", "CNAME") and each != key_of(wanted):
            mending.remove(each)
    mending.records.setdefault(key_of(wanted), wanted)


def _dmarc(change: Callable[[dict[str, str], Mending], None]) -> Callable[[Mending, str], None]:
    """A fix that changes tags of the one DMARC record, and makes it when there is none."""

    def fix(mending: Mending, _: str) -> None:
        name = f"_dmarc.{mending.domain}"
        found = mending.texts(name, is_dmarc)
        if not found:
            reports = {"rua": f"mailto:{mending.wanted.rua}"} if mending.wanted.rua else {}
            mending.add_text(name, _dmarc_text({"v": "DMARC1", "p": POLICY} | reports))
        elif len(found) == 1:
            key, record = found[0]
            before = tags_of(_text(record))
            after = dict(before)
            change(after, mending)
            if after != before:
                mending.rewrite(key, _dmarc_text(after))

    return fix


def _raise_policy(tags: dict[str, str], _: Mending) -> None:
    if tags.get("p", "none").lower() == "none":
        rest = {name: value for name, value in tags.items() if name not in ("v", "p")}
        version = tags.get("v", "DMARC1")
        tags.clear()
        tags.update({"v": version, "p": POLICY} | rest)  # p directly behind v: older readers want it there


def _raise_subdomains(tags: dict[str, str], _: Mending) -> None:
    if tags.get("sp", "").lower() == "none":
        tags["sp"] = POLICY


def _apply_to_all(tags: dict[str, str], _: Mending) -> None:
    tags.pop("pct", None)


def _end_test(tags: dict[str, str], _: Mending) -> None:
    tags.pop("t", None)


def _report(tags: dict[str, str], mending: Mending) -> None:
    if mending.wanted.rua:
        tags.setdefault("rua", f"mailto:{mending.wanted.rua}")


def _tls_rpt(mending: Mending, _: str) -> None:
    name = f"_smtp._tls.{mending.domain}"
    if mending.wanted.rua and not mending.texts(name, is_tls_rpt):
        mending.add_text(name, f"v=TLSRPTv1; rua=mailto:{mending.wanted.rua}")


# In the order in which they are done: records are joined before they are completed.
_FIXES: dict[str, Callable[[Mending, str], None]] = {
    "mx-missing": _mx,
    "mx-incomplete": _mx,
    "spf-multiple": _join_spf,
    "spf-missing": _complete_spf,
    "spf-lacks": _complete_spf,
    "spf-all-pass": _soften_spf,
    "spf-all-neutral": _soften_spf,
    "spf-all-missing": _soften_spf,
    "dkim-missing": _dkim,
    "dkim-other": _dkim,
    "dmarc-missing": _dmarc(lambda _tags, _mending: None),
    "dmarc-none": _dmarc(_raise_policy),
    "dmarc-subdomains-none": _dmarc(_raise_subdomains),
    "dmarc-partial": _dmarc(_apply_to_all),
    "dmarc-testing": _dmarc(_end_test),
    "dmarc-no-reports": _dmarc(_report),
    "tls-rpt-missing": _tls_rpt,
}


def is_fixable(code: str) -> bool:
    """Whether there is a fix for findings of this code."""
    return code in _FIXES


def is_spf_of(record: Json, domain: str) -> bool:
    return is_spf(record) and host(record["name"]) == domain


def _is_mx(record: Json, domain: str) -> bool:
    return record["type"] == "MX" and host(record["name"]) == domain


def _is_spf_text(text: str) -> bool:
    return is_spf({"type": "TXT", "content": text})


def _with_all(text: str, end: str) -> str:
    """The record with this `all` in the place of its own, or at its end."""
    return " ".join([*(term for term in text.split() if not _ALL.fullmatch(term)), end])


def _dmarc_text(tags: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in tags.items())


def _text(record: Json) -> str:
    return b"".join(chunks(str(record.get("content") or ""))).decode("utf-8", "surrogateescape")


def _content(text: str) -> str:
    """A TXT record's content as Cloudflare keeps it."""
    return spelled(quoted(text.encode("utf-8", "surrogateescape")))
