"""What a zone's records lack for Email Routing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portal.integrations.records import SPF, Json, full_name, host, is_spf, meaning, merge_spf, text_of


@dataclass(frozen=True, slots=True)
class Extra:
    """What a zone's records shall be besides what Email Routing needs.

    needed    records that shall be there, with full names
    spf       mechanisms that the zone's one SPF record shall have, such as "include:sendgrid.net"
    changes   (record, its new content)
    problems  what only a person can decide
    reasons   why, by a new record's label or a changed one's id
    """

    needed: tuple[Json, ...] = ()
    spf: tuple[str, ...] = ()
    changes: tuple[tuple[Json, str], ...] = ()
    problems: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a zone lacks for Email Routing.

    missing      records to be made, as Cloudflare listed them, with full names
    foreign_mx   MX records of the zone itself that lead elsewhere
    merges       (SPF record, or another that is to be changed; its new content)
    problems     what only a person can decide
    unseen_spf   Email Routing made an SPF record that Cloudflare does not show: what it lacks of ours cannot be added
    """

    missing: tuple[Json, ...]
    foreign_mx: tuple[Json, ...]
    merges: tuple[tuple[Json, str], ...]
    problems: tuple[str, ...]
    unseen_spf: bool = False


def compare(
    zone: str, records: list[Json], needed: list[Json], *, is_ready: bool, extra: Extra | None = None
) -> Comparison:
    """Given a zone's records and those that Email Routing needs, return what to do.

    is_ready   Email Routing says that it has all of them: some zones do not show those that it made itself
    """
    extra = extra or Extra()
    own = [record | {"name": full_name(record.get("name") or "@", zone)} for record in needed]
    wanted = [*_with_senders(zone, own, extra.spf), *extra.needed]
    present = {meaning(record) for record in records}
    mx = {meaning(record)[2] for record in wanted if record["type"] == "MX"}
    foreign_mx = [
        record
        for record in records
        if record["type"] == "MX" and host(record["name"]) == zone and meaning(record)[2] not in mx
    ]
    missing, merges, problems = [], list(extra.changes), list(extra.problems)
    for record in wanted:
        if meaning(record) in present:
            continue
        if not is_spf(record):
            missing.append(record)
            continue
        found = [each for each in records if is_spf(each) and host(each["name"]) == record["name"]]
        if not found:
            missing.append(record)
        elif len(found) > 1:
            problems.append(f"{record['name']} has {len(found)} SPF records, and only one is allowed (RFC 7208 3.2)")
        elif merged := merge_spf(text_of(found[0]["content"]), text_of(record["content"] or "")):
            merges.append((found[0], merged))
    unseen_spf = is_ready and bool(extra.spf) and any(is_spf(record) for record in missing)
    if is_ready:
        missing = [record for record in missing if record in extra.needed]
    return Comparison(tuple(missing), tuple(foreign_mx), tuple(merges), tuple(problems), unseen_spf)


def _with_senders(zone: str, wanted: list[Json], spf: Sequence[str]) -> list[Json]:
    """The wanted records with those senders in the zone's one SPF record, which is added if it isn't among them."""
    if not spf:
        return wanted
    ours = " ".join([SPF, *spf, "~all"])
    others = [record for record in wanted if not (is_spf(record) and record["name"] == zone)]
    found = [text_of(record["content"]) for record in wanted if record not in others]
    text = (merge_spf(found[0], ours) or found[0]) if found else ours
    return [*others, {"type": "TXT", "name": zone, "content": f'"{text}"', "ttl": 1}]
