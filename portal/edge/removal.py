"""How everything that we made is taken back: edge.json and live state -> steps. Pure; apply.py does what stands here.

Only what edge.json records, and only while it still is the same thing: by id, by name, by comment. What others changed
since stays, with a note. Order: rules first, so that no new mail comes; Email Routing and DNS records; then the Worker,
the KV namespace, which Cloudflare does not remove under a Worker, and the bucket last. Retained mail is never deleted:
while there is some, Worker, namespace and bucket stay, and the Worker goes on draining.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from portal.edge import recipients, rules
from portal.edge.live import Live, LiveZone, Unknown
from portal.edge.ownership import Kind, Ownership, Thing
from portal.edge.steps import Act, Plan, Step
from portal.integrations.records import (
    SPF,
    exact_label,
    full_name,
    is_not_older,
    is_spf,
    label,
    meaning,
    merge_spf,
    shown,
    text_of,
)

Json = dict[str, Any]
REASON = "made by Homeport"

# What the Worker keeps in its bucket besides mail (wire.md); whatever is not named here counts as mail or as foreign.
OWN_PREFIXES = ("state/", "stats/", "attempts/")
MAIL_PREFIXES = ("pending/", "held/")


def plan_zone_removal(live: Live, owned: Ownership, name: str) -> Plan:
    """As `plan_removal`, for one zone alone: what it shares with the others stays."""
    remover = _Remover(live, owned)
    remover.zone(name)
    return Plan(tuple(remover.steps), notes=tuple(remover.notes), forgotten=tuple(remover.forgotten))


def plan_removal(live: Live, owned: Ownership, *, objects: dict[str, int] | None) -> Plan:
    """`live` has no Unknown in it. `objects`: how many lie in the bucket by prefix; None: there is no bucket."""
    remover = _Remover(live, owned)
    for name in live.zones:
        remover.zone(name)
    remover.account(objects)
    return Plan(
        tuple(remover.steps),
        notes=tuple(remover.notes),
        kept=tuple(remover.kept),
        forgotten=tuple(remover.forgotten),
    )


class _Remover:
    def __init__(self, live: Live, owned: Ownership) -> None:
        self.live, self.owned = live, owned
        self.script = next((thing.name for thing in owned if thing.kind is Kind.WORKER), "")
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self.kept: list[str] = []
        self.forgotten: list[Thing] = []

    def zone(self, name: str) -> None:
        zone = self.live.zones[name]
        assert isinstance(zone, LiveZone)
        ours = [thing for thing in self.owned if thing.zone == name]
        for thing in ours:
            if thing.kind in (Kind.RULE, Kind.CATCH_ALL):
                step = rules.removal(thing, zone, self.script, REASON)
                if step is None:
                    self.notes.append(f"{name}: the rule for {thing.name} is no longer ours, and stays")
                    self.forgotten.append(thing)
                else:
                    self.steps.append(step)
        is_used = self._is_routing_used(zone)
        if is_used:
            self.notes.append(f"{name}: Email Routing and its records stay, since other rules use them")
            ours = [thing for thing in ours if not self._serves_routing(thing, zone)]
        for thing in ours:
            if thing.kind is Kind.ROUTING:
                assert not isinstance(zone.routing, Unknown)
                if zone.routing.get("enabled"):
                    self.steps.append(
                        Step(Kind.ROUTING, Act.REMOVE, name, name, "on", "off", "switched on by Homeport")
                    )
                else:
                    self.forgotten.append(thing)
        ours = self._unmerged(ours, zone)
        for thing in ours:
            if thing.kind in (Kind.RECORD, Kind.FORMER_RECORD):
                steps = list(self._record(thing, zone))
                self.steps += steps
                self.forgotten += [] if steps else [thing]

    def _serves_routing(self, thing: Thing, zone: LiveZone) -> bool:
        """Whether Email Routing stands on it: itself, its MX and SPF records, and what they took the place of."""
        assert not isinstance(zone.needed, Unknown)
        named = [each | {"name": full_name(each.get("name") or "@", zone.zone.name)} for each in zone.needed]
        needed = {meaning(each) for each in named}
        if thing.kind is Kind.RECORD:
            spf = f"TXT {zone.zone.name} {SPF}"
            return thing.name.startswith(spf) or thing.name in {" ".join(each) for each in needed}
        if thing.kind is Kind.MERGED_RECORD:  # whether its record would lack something without that change
            senders = [text_of(each["content"]) for each in named if is_spf(each)] if is_spf(thing.former) else []
            return any(merge_spf(text_of(thing.former["content"]), each) for each in senders)
        return thing.kind in (Kind.ROUTING, Kind.FORMER_RECORD)

    def _unmerged(self, things: list[Thing], zone: LiveZone) -> list[Thing]:
        """Plan how records that we changed become what they were; return the things that are left to be planned.

        A record that was changed twice goes back to what it was before the first time, and one that we made in the
        first place is removed. One that others have changed since stays.
        """
        assert not isinstance(zone.records, Unknown)
        records = {record["id"]: record for record in zone.records}
        merged = [thing for thing in things if thing.kind is Kind.MERGED_RECORD]
        removed: set[tuple[Kind, str | None, str]] = set()
        for id_ in dict.fromkeys(thing.id for thing in merged):
            same = [thing for thing in merged if thing.id == id_]
            record = records.get(id_ or "")
            chain = _chain(same, text_of(record["content"])) if record is not None else []
            made = next((thing for thing in things if thing.kind is Kind.RECORD and thing.id == id_), None)
            if record is not None and chain and made is not None:
                self.steps.append(self._step(made, Act.REMOVE, shown(record), None, id=id_))
                removed.add(made.key)
                self.forgotten += same
            elif record is not None and chain:
                first = chain[-1]
                before, after = text_of(record["content"]), first.former["content"]
                self.steps.append(self._step(first, Act.RESTORE, before, after, id=id_, former=first.former))
                self.forgotten += [thing for thing in same if thing is not first]
            else:
                if record is None or label(record) not in {thing.name for thing in same}:
                    what = "SPF" if is_spf(same[0].former) else same[0].former["name"]
                    self.notes.append(f"{same[0].zone}: the {what} record was changed since, and stays as it is")
                self.forgotten += same
        return [thing for thing in things if thing not in merged and thing.key not in removed]

    def _is_routing_used(self, zone: LiveZone) -> bool:
        """Whether somebody else's rules need what we switched on."""
        assert not isinstance(zone.rules, Unknown)
        assert not isinstance(zone.catch_all, Unknown)
        steps = [step for step in self.steps if step.zone == zone.zone.name]
        removed = {step.id for step in steps if step.id}
        others = [rule for rule in zone.rules if rule.get("id") not in removed]
        if any(step.kind is Kind.CATCH_ALL for step in steps):
            others = [rule for rule in others if not rules.is_catch_all(rule)]
        else:
            others.append(zone.catch_all)
        return any(rule.get("enabled") for rule in others)

    def _record(self, thing: Thing, zone: LiveZone) -> Iterator[Step]:
        assert not isinstance(zone.records, Unknown)
        name_of = exact_label if thing.kind is Kind.FORMER_RECORD else label
        same = [record for record in zone.records if name_of(record) == thing.name]
        if thing.kind is Kind.RECORD:
            if not same and thing.id is not None and any(record["id"] == thing.id for record in zone.records):
                self.notes.append(f"{thing.zone}: the record {thing.name} was changed since, and stays as it is")
            for record in same:
                if record["id"] == thing.id or record.get("comment") == self.owned.marker:
                    yield self._step(thing, Act.REMOVE, shown(record), None, id=record["id"])
        elif thing.kind is Kind.FORMER_RECORD and not same:
            yield self._step(thing, Act.RESTORE, None, shown(thing.former), former=thing.former)

    def account(self, objects: dict[str, int] | None) -> None:
        mail = {prefix: count for prefix, count in (objects or {}).items() if prefix not in OWN_PREFIXES and count}
        bucket = next((thing for thing in self.owned if thing.kind is Kind.BUCKET), None)
        if mail and bucket is not None:
            counts = ", ".join(f"{count} under {prefix or 'other names'}" for prefix, count in sorted(mail.items()))
            way_out = "`homeport edge drain` delivers it; then run `homeport edge destroy` again"
            if self.live.worker is None:
                way_out = f"its Worker is gone: `homeport edge deploy` brings it back; {way_out}"
            self.kept.append(
                f"the bucket {bucket.name} holds mail ({counts}): Worker, KV namespace and bucket stay. {way_out}"
            )
            return
        removed = self._remove(Kind.WORKER, self.live.worker)
        if self.script and self.live.worker is not None and not removed:
            self.notes.append("what that Worker is bound to stays with it: KV namespace and bucket")
            return
        self._remove(Kind.NAMESPACE, self.live.namespace)
        self._remove(Kind.BUCKET, self.live.bucket)
        for thing in self.owned:
            if thing.kind is Kind.SUBDOMAIN:
                self.notes.append(f"the account keeps its subdomain {thing.name}.workers.dev: other Workers may use it")
                self.forgotten.append(thing)

    def _remove(self, kind: Kind, found: Any) -> bool:
        """Plan the removal of the account's thing of a kind; return whether it will be gone."""
        for thing in self.owned:
            if thing.kind is not kind:
                continue
            if found is None:
                self.forgotten.append(thing)
            elif self._is_removable(thing, found):
                id_ = found["id"] if kind is Kind.NAMESPACE else None
                self.steps.append(self._step(thing, Act.REMOVE, thing.name, None, id=id_))
                return True
            elif kind is not Kind.WORKER:  # a Worker that stays is remembered, with what it is bound to
                self.forgotten.append(thing)
        return False

    def _is_removable(self, thing: Thing, found: Any) -> bool:
        if thing.is_adopted:
            self.notes.append(f"the {thing.kind} {thing.name} was adopted, not made, and stays")
            if thing.kind is Kind.NAMESPACE:
                keys = [recipients.key_of(domain) for domain in self.owned.pushed_domains]
                why = "their key goes: under another one every address would be unknown"
                self.steps.append(
                    Step(Kind.LISTS, Act.REMOVE, None, thing.name, "lists of recipients", None, why, content=keys)
                )
            return False
        is_same = {
            Kind.WORKER: lambda: self.owned.marker in found.tags,
            Kind.NAMESPACE: lambda: thing.id in (None, found["id"]),
            Kind.BUCKET: lambda: is_not_older(found.get("creation_date"), thing.at),
        }[thing.kind]()
        if not is_same:
            self.notes.append(f"the {thing.kind} {thing.name} is no longer the one that Homeport made, and stays")
        return is_same

    def _step(self, thing: Thing, act: Act, before: Any, after: Any, **more: Any) -> Step:
        return Step(thing.kind, act, thing.zone, thing.name, before, after, REASON, **more)


def _chain(things: list[Thing], text: str) -> list[Thing]:
    """The changes that led to a record's present text, the newest first; the others lie behind somebody else's."""
    chain: list[Thing] = []
    while (last := next((thing for thing in things if thing not in chain and thing.ours == text), None)) is not None:
        chain.append(last)
        text = text_of(last.former["content"])
    return chain
