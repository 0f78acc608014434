"""What would change, and why: desired and live state and what we own -> steps. Pure; apply.py does what stands here.

Order: what the Worker stands on, the Worker, its route and cron, then for each zone its rules, its DNS records in one
transaction, and Email Routing. So mail turns to the Worker by the last act, when everything is there: where another
server has the mail it is the MX records that turn it, and the rules wait for it; where Email Routing already runs, the
rules turn it, and there is nothing behind them.

What was there before us is never lost: what a step replaces stands in the step, is written into edge.json before the
act, and is put back by `homeport edge destroy`. What serves somebody else's mail is not touched unless the operator
says so; without that word the plan has a conflict, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from portal.edge import dns, recipients, rules
from portal.edge.desired import COMPATIBILITY_DATE, CRON, RECIPIENTS_KEY, Desired, version_tag
from portal.edge.live import Live, LiveWorker, LiveZone, Unknown
from portal.edge.ownership import MARKER, Kind, Ownership, Thing
from portal.edge.steps import Act, Conflict, Plan, Step
from portal.integrations.records import exact_label, is_not_older, label, shown

Json = dict[str, Any]
SPF_MERGED = "who sends for this domain must be among its senders; what stands there is kept"


def plan(
    desired: Desired,
    live: Live,
    owned: Ownership,
    *,
    changed_secrets: Iterable[str],
    may_adopt: bool = False,
    may_replace_mail: bool = False,
    extra: Mapping[str, dns.Extra] | None = None,
) -> Plan:
    """
    live             without an Unknown in it; a zone that it doesn't show is left as it is
    changed_secrets  names of those that differ from what was uploaded last
    extra            what else a zone's records shall be, by its name
    """
    planner = _Planner(desired, live, owned, may_adopt, may_replace_mail, extra or {})
    planner.account(sorted(changed_secrets))
    for name in desired.zones:
        if name not in live.zones:
            continue
        zone = live.zones[name]
        assert isinstance(zone, LiveZone)
        planner.zone(zone)
    planner.leftovers()
    return Plan(tuple(planner.steps), tuple(planner.conflicts), tuple(planner.notes))


class _Planner:
    def __init__(
        self,
        desired: Desired,
        live: Live,
        owned: Ownership,
        may_adopt: bool,
        may_replace_mail: bool,
        extra: Mapping[str, dns.Extra],
    ) -> None:
        self.desired, self.live, self.owned, self.extra = desired, live, owned, extra
        self.may_adopt, self.may_replace_mail = may_adopt, may_replace_mail
        self.steps: list[Step] = []
        self.conflicts: list[Conflict] = []
        self.notes: list[str] = []

    # -- the account ------------------------------------------------------------------------------------------------

    def account(self, changed_secrets: list[str]) -> None:
        desired, live = self.desired, self.live
        assert not isinstance(live.bucket, Unknown)
        assert not isinstance(live.namespace, Unknown)
        assert not isinstance(live.worker, Unknown)
        self._named(Kind.BUCKET, desired.bucket, live.bucket, "keeps mail while the mail API cannot take it")
        if live.namespace is not None:
            self._lists(live.namespace, changed_secrets)
        self._named(Kind.NAMESPACE, desired.namespace, live.namespace, "holds the lists of recipients, hashed")
        if desired.is_routed and live.subdomain is None:
            name = f"homeport-{self.owned.installation}"
            why = "the account has no workers.dev subdomain yet, and the Worker's own routes need one"
            self._add(Kind.SUBDOMAIN, Act.CREATE, None, name, None, f"{name}.workers.dev", why)
        self._worker(live.worker, changed_secrets)
        if desired.is_routed and not (live.worker and live.worker.is_routed):
            why = "`homeport edge status` and `drain` ask the Worker there"
            self._add(Kind.ROUTE, Act.CREATE, None, desired.script, None, "address under workers.dev", why)
        if not live.worker or live.worker.crons != (CRON,):
            before = list(live.worker.crons) if live.worker and live.worker.crons else None
            act = Act.CHANGE if before else Act.CREATE
            self._add(Kind.CRON, act, None, desired.script, before, [CRON], "drains, counts and watches every minute")

    def _named(self, kind: Kind, name: str, found: Json | None, why: str) -> None:
        if found is None:
            self._add(kind, Act.CREATE, None, name, None, name, why)
        elif not _is_owned(self.owned.find(kind, None, name), found):
            self._foreign(kind, name, found.get("id"), "it is used as it is, and never removed")

    def _lists(self, namespace: Json, changed_secrets: list[str]) -> None:
        """Lists that lie under another key go before the Worker has ours: it would take every address for unknown.

        That is so in a namespace of others, and in our own until the Worker is known to have our key.
        """
        name = self.desired.namespace
        if not _is_owned(self.owned.find(Kind.NAMESPACE, None, name), namespace):
            if not self.may_adopt:
                return
        elif RECIPIENTS_KEY not in changed_secrets:
            return
        keys = [recipients.key_of(zone) for zone in self.desired.zones]
        why = "made with another RECIPIENTS_KEY, or may be; `homeport edge sync` pushes them again"
        self._add(Kind.LISTS, Act.REMOVE, None, name, "lists of recipients", None, why, content=keys)

    def _foreign(self, kind: Kind, name: str, id_: str | None, what_adopting_means: str) -> bool:
        """A thing of our name that is not ours: adopted, or a conflict. Return whether it may be used."""
        if self.may_adopt:
            self._add(kind, Act.ADOPT, None, name, name, name, f"--adopt: {what_adopting_means}", id=id_)
        else:
            what = f"the {kind} {name} exists, and this Homeport did not make it"
            way_out = f"HOMEPORT_PORTAL_EDGE_NAME chooses another name; --adopt: {what_adopting_means}"
            self.conflicts.append(Conflict(what, way_out))
        return self.may_adopt

    def _worker(self, worker: LiveWorker | None, changed_secrets: list[str]) -> None:
        desired = self.desired
        after = {"version": desired.version, "bindings": {name: _shown(b) for name, b in desired.bindings.items()}}
        if worker is None:
            why = "takes the mail at Cloudflare's edge"
            self._add(Kind.WORKER, Act.CREATE, None, desired.script, None, after, why)
            return
        is_ours = self.owned.marker in worker.tags
        thing = self.owned.find(Kind.WORKER, None, desired.script)
        is_known = is_ours or (thing is not None and thing.is_made)
        meaning = "its code is overwritten; it is never removed"
        if any(tag.startswith(MARKER) for tag in worker.tags):
            meaning += ". It bears the tag of another Homeport: with that one's HOMEPORT_PORTAL_STATE_DIR it is ours"
        if not (is_known or self._foreign(Kind.WORKER, desired.script, None, meaning)):
            return
        differences = self._worker_differences(worker)
        if not is_ours:
            differences.append("it does not bear our tag")
        differences += [f"{name} is new or was changed" for name in changed_secrets]
        if differences:
            before = {
                "version": next((tag[8:] for tag in worker.tags if tag.startswith("version-")), None),
                "bindings": {name: _shown(binding) for name, binding in worker.bindings.items()},
            }
            self._add(Kind.WORKER, Act.CHANGE, None, desired.script, before, after, "; ".join(differences))

    def _worker_differences(self, worker: LiveWorker) -> list[str]:
        differences = []
        if version_tag(self.desired.version) not in worker.tags:
            differences.append("the built Worker is another one")
        if (at := worker.settings.get("compatibility_date")) != COMPATIBILITY_DATE:
            differences.append(f"its compatibility date is {at}")
        live_bindings = worker.bindings
        for name in sorted(self.desired.bindings.keys() | live_bindings.keys()):
            wish, has = self.desired.bindings.get(name), live_bindings.get(name)
            if wish is None or has is None:
                differences.append(f"{name} is {'too much' if wish is None else 'missing'}")
            elif not self._is_bound(dict(wish), has):
                differences.append(f"{name} is another")
        return differences

    def _is_bound(self, wish: Json, has: Json) -> bool:
        if (title := wish.pop("title", None)) is not None:
            namespace = self.live.namespace
            wish["namespace_id"] = namespace["id"] if isinstance(namespace, dict) else f"of {title}"
        return all(has.get(name) == value for name, value in wish.items())

    # -- a zone -----------------------------------------------------------------------------------------------------

    def zone(self, zone: LiveZone) -> None:
        assert not isinstance(zone.rules, Unknown)
        assert not isinstance(zone.catch_all, Unknown)
        assert not isinstance(zone.routing, Unknown)
        name = zone.zone.name
        addresses = self.desired.addresses_in(name)
        if addresses is None:
            self._catch_all(name, zone.catch_all)
            self._other_rules(name, zone.rules)
        else:
            for address in addresses:
                self._rule(name, address, zone.rules)
            if not addresses:
                self.notes.append(f"{name}: none of the configured addresses is in it, so it gets no rule")
        is_on, status = bool(zone.routing.get("enabled")), zone.routing.get("status") or "off"
        lacks_mx = self._records(zone, is_on)
        if not is_on:
            why = "Cloudflare takes no mail for a zone without it"
            self._add(Kind.ROUTING, Act.CREATE, name, name, status, "on", why, former=zone.routing)
        elif lacks_mx:
            why = f"it is on, and lacks MX records: {lacks_mx}"
            self._add(Kind.ROUTING, Act.CHANGE, name, name, status, "ready", why)

    def _catch_all(self, zone: str, rule: Json) -> None:
        wish = rules.worker_action(self.desired.script)
        if rule.get("enabled") and rule.get("actions") == wish:
            return
        before, after = rules.shown(rule), f"every address -> Worker {self.desired.script}"
        if rule.get("enabled") and not self.may_replace_mail:
            self._mail_conflict(zone, f"mail to {zone} goes elsewhere: {before}")
            return
        why = "--replace-mail: the former rule comes back with `homeport edge destroy`" if rule.get("enabled") else ""
        why = why or "no mail reaches the Worker without it"
        former = self._former(Kind.CATCH_ALL, zone, "*", rule)
        self._add(Kind.CATCH_ALL, Act.REPLACE, zone, "*", before, after, why, id=rule.get("id"), former=former)

    def _other_rules(self, zone: str, present: list[Json]) -> None:
        """With a catch-all, rules for single addresses go first: the operator's own decision, or what is in the way."""
        for rule in present:
            address = rules.literal(rule)
            if (
                address is None
                or not rule.get("enabled")
                or rule.get("actions") == rules.worker_action(self.desired.script)
            ):
                continue
            if self.may_replace_mail:
                self._replace_rule(zone, address, rule)
            else:
                self.notes.append(
                    f"{zone}: stays as it is, and goes before the catch-all: {rules.shown(rule)} "
                    "(--replace-mail turns it to the Worker)"
                )

    def _rule(self, zone: str, address: str, present: list[Json]) -> None:
        wish = rules.worker_action(self.desired.script)
        found = [rule for rule in present if (rules.literal(rule) or "").lower() == address]
        if any(rule.get("enabled") and rule.get("actions") == wish for rule in found):
            return
        if not found:
            after = f"{address} -> Worker {self.desired.script}"
            self._add(Kind.RULE, Act.CREATE, zone, address, None, after, "no mail to it reaches the Worker without it")
        elif found[0].get("enabled") and not self.may_replace_mail:
            self._mail_conflict(zone, f"mail to {address} goes elsewhere: {rules.shown(found[0])}")
        else:
            self._replace_rule(zone, address, found[0])

    def _replace_rule(self, zone: str, address: str, rule: Json) -> None:
        after = f"{address} -> Worker {self.desired.script}"
        why = "--replace-mail: the former rule comes back with `homeport edge destroy`"
        why = why if rule.get("enabled") else "it is switched off"
        former = self._former(Kind.RULE, zone, address, rule)
        self._add(Kind.RULE, Act.REPLACE, zone, address, rules.shown(rule), after, why, id=rule["id"], former=former)

    def _former(self, kind: Kind, zone: str, name: str, rule: Json) -> Json | None:
        """What to put back one day: the rule, unless it is our own, which somebody switched off."""
        if rule.get("actions") != rules.worker_action(self.desired.script):
            return rule
        thing = self.owned.find(kind, zone, name)
        return thing.former if thing else None

    def _mail_conflict(self, zone: str, what: str) -> None:
        self.conflicts.append(
            Conflict(what, "--replace-mail turns it to the Worker; `homeport edge destroy` turns it back")
        )

    def _records(self, zone: LiveZone, is_routing_on: bool) -> str:
        """Plan the records; return the MX records that only Email Routing itself may add, since it is on."""
        assert not isinstance(zone.records, Unknown)
        assert not isinstance(zone.needed, Unknown)
        name = zone.zone.name
        extra = self.extra.get(name, dns.Extra())
        wanted = dns.compare(name, zone.records, zone.needed, is_ready=zone.is_ready, extra=extra)
        if wanted.unseen_spf:
            self.notes.append(
                f"{name}: Email Routing's own SPF record is not shown by Cloudflare's API, so it is not changed; "
                f"add to it by hand: {' '.join(extra.spf)}"
            )
        for problem in wanted.problems:
            self.conflicts.append(Conflict(problem, "put it right by hand: Homeport does not choose between them"))
        if wanted.foreign_mx and not self.may_replace_mail:
            servers = ", ".join(shown(record) for record in wanted.foreign_mx)
            self._mail_conflict(name, f"mail to {name} goes to another server: {servers}")
            return ""
        for record in wanted.foreign_mx:
            why = "--replace-mail: it comes back with `homeport edge destroy`"
            self._add(
                Kind.FORMER_RECORD, Act.REMOVE, name, exact_label(record), shown(record), None, why,
                id=record["id"], former=record,
            )  # fmt: skip
        for record, content in wanted.merges:
            why = extra.reasons.get(record["id"], SPF_MERGED)
            self._add(
                Kind.MERGED_RECORD, Act.CHANGE, name, label(record), record["content"], content, why,
                id=record["id"], former=record, content=content,
            )  # fmt: skip
        lacking_mx = [record for record in wanted.missing if is_routing_on and record["type"] == "MX"]
        for record in wanted.missing:
            if record in lacking_mx:
                continue
            why = extra.reasons.get(label(record), "Email Routing needs it")
            self._add(Kind.RECORD, Act.CREATE, name, label(record), None, shown(record), why, content=record)
        return ", ".join(map(shown, lacking_mx))

    # -- what is recorded and no longer wanted ------------------------------------------------------------------------

    def leftovers(self) -> None:
        """Rules that the settings no longer name are taken back; everything else stays until `edge destroy`."""
        named = {
            Kind.BUCKET: self.desired.bucket,
            Kind.NAMESPACE: self.desired.namespace,
            Kind.WORKER: self.desired.script,
        }
        other_zones = set()
        for thing in self.owned:
            if thing.kind in named and thing.name != named[thing.kind]:
                what = f"edge.json records the {thing.kind} {thing.name}, and HOMEPORT_PORTAL_EDGE_NAME is another now"
                self.conflicts.append(Conflict(what, "give back the former name, or run `homeport edge destroy` first"))
            elif thing.zone is not None and thing.zone not in self.desired.zones:
                other_zones.add(thing.zone)
            elif thing.kind in (Kind.RULE, Kind.CATCH_ALL) and thing.zone in self.live.zones:
                self._unwanted_rule(thing)
        for zone in sorted(other_zones):
            self.notes.append(
                f"{zone} is no longer configured; what Homeport made there stays until `homeport edge destroy`"
            )

    def _unwanted_rule(self, thing: Thing) -> None:
        addresses = self.desired.addresses_in(thing.zone or "")
        is_wanted = {
            Kind.CATCH_ALL: addresses is None,
            # Beside a catch-all, a rule of ours is wanted where it stands in the place of somebody else's.
            Kind.RULE: thing.former is not None if addresses is None else thing.name in addresses,
        }[thing.kind]
        if is_wanted:
            return
        zone = self.live.zones[thing.zone or ""]
        assert isinstance(zone, LiveZone)
        step = rules.removal(thing, zone, self.desired.script, "the settings no longer name it")
        if step is not None:
            self.steps.append(step)

    def _add(
        self, kind: Kind, act: Act, zone: str | None, name: str, before: Any, after: Any, reason: str, **more: Any
    ) -> None:
        self.steps.append(Step(kind, act, zone, name, before, after, reason, **more))


def _shown(binding: Any) -> str:
    values = [str(value) for name, value in binding.items() if name not in ("type", "name")]
    return " ".join([binding["type"], *values])


def _is_owned(thing: Thing | None, found: Json) -> bool:
    """Whether what was found is the thing we made. One that we only meant to make counts unless it is clearly older."""
    if thing is None:
        return False
    if thing.is_made:
        return thing.id is None or thing.id == found.get("id")
    return is_not_older(found.get("creation_date"), thing.at)
