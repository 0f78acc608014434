"""Acts on a zone: its rules, its DNS records in one transaction, Email Routing, and the way back when that fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.edge import live, rules
from portal.edge.acts import Acts, Table
from portal.edge.ownership import Kind
from portal.edge.steps import Act, Step
from portal.integrations.cloudflare import Conflict, NotFound, Upstream, Zone
from portal.integrations.records import exact_label, label, text_of, writable

Json = dict[str, Any]
RULE_TRIES = 6  # Email Routing hears of a Worker some seconds after its upload
RULE_PAUSE_S = 2.0
UNLOCKED = frozenset({"unlocked", "misconfigured"})  # states of Email Routing in which its MX records can be changed


@dataclass(frozen=True, slots=True)
class ZoneActs(Acts):
    """script    the Worker that rules turn mail to
    pause_s      between the tries of a rule whose Worker is not known yet
    """

    zones: Mapping[str, Zone]
    script: str
    pause_s: float = RULE_PAUSE_S

    def table(self) -> Table:
        return {
            (Kind.RULE, Act.CREATE): self._write_rule,
            (Kind.RULE, Act.REPLACE): self._write_rule,
            (Kind.RULE, Act.RESTORE): self._restore_rule,
            (Kind.RULE, Act.REMOVE): self._remove_rule,
            (Kind.CATCH_ALL, Act.REPLACE): self._write_catch_all,
            (Kind.CATCH_ALL, Act.RESTORE): self._restore_catch_all,
            (Kind.CATCH_ALL, Act.REMOVE): self._switch_catch_all_off,
            (Kind.ROUTING, Act.CREATE): self._enable_routing,
            (Kind.ROUTING, Act.CHANGE): self._repair_routing,
            (Kind.ROUTING, Act.REMOVE): self._disable_routing,
        }

    # -- rules ------------------------------------------------------------------------------------------------------

    async def _write_rule(self, step: Step) -> None:
        """Create the rule for an address, or turn one to the Worker, keeping what else it says."""
        zone = self.zones[step.zone or ""]
        self.intend(step)
        content = {
            "matchers": [{"type": "literal", "field": "to", "value": step.name}],
            "actions": rules.worker_action(self.script),
            "enabled": True,
            "name": self.owned.marker,
        }

        async def settled() -> Json | None:
            for rule in await self.cf.read_pages("email_routing.rules.list", zone=zone):
                is_it = rule["id"] == step.id if step.id else rules.literal(rule) == step.name
                if is_it and rule.get("actions") == content["actions"] and rule.get("enabled"):
                    found: Json = rule
                    return found
            return None

        if step.id:
            content |= {"priority": step.former["priority"]} if (step.former or {}).get("priority") is not None else {}
            call = self._patient("email_routing.rules.update", step.id, zone=zone, settled=settled, **content)
        else:
            call = self._patient("email_routing.rules.create", zone=zone, settled=settled, **content)
        rule = await call
        self.made(step, id=rule["id"])

    async def _write_catch_all(self, step: Step) -> None:
        zone = self.zones[step.zone or ""]
        self.intend(step)
        actions = rules.worker_action(self.script)
        await self._patient(
            "email_routing.rules.catch_alls.update",
            zone=zone,
            settled=lambda: self._catch_all_is(zone, actions),
            matchers=[{"type": "all"}],
            actions=actions,
            enabled=True,
            name=self.owned.marker,
        )
        self.made(step)

    async def _restore_catch_all(self, step: Step) -> None:
        zone = self.zones[step.zone or ""]
        former = step.former
        await self.cf.change(
            "email_routing.rules.catch_alls.update",
            zone=zone,
            settled=lambda: self._catch_all_is(zone, former["actions"]),
            **{
                name: former[name]
                for name in ("matchers", "actions", "enabled", "name")
                if former.get(name) is not None
            },
        )
        self.forget(step)

    async def _switch_catch_all_off(self, step: Step) -> None:
        """As it is in a zone where nobody has set it: every zone has one, and it cannot be removed."""
        zone = self.zones[step.zone or ""]
        actions = [{"type": "drop"}]
        await self.cf.change(
            "email_routing.rules.catch_alls.update",
            zone=zone,
            settled=lambda: self._catch_all_is(zone, actions),
            matchers=[{"type": "all"}],
            actions=actions,
            enabled=False,
        )
        self.forget(step)

    async def _catch_all_is(self, zone: Zone, actions: list[Json]) -> Json | None:
        found: Json = await self.cf.read("email_routing.rules.catch_alls.get", zone=zone)
        return found if found.get("actions") == actions else None

    async def _restore_rule(self, step: Step) -> None:
        zone = self.zones[step.zone or ""]
        former = step.former
        fields = ("matchers", "actions", "enabled", "name", "priority")

        async def settled() -> Json | None:
            found: Json = await self._rule(zone, step.id)
            return found if found.get("actions") == former["actions"] else None

        content = {name: former[name] for name in fields if former.get(name) is not None}
        await self.gone(self.cf.change("email_routing.rules.update", step.id, zone=zone, settled=settled, **content))
        self.forget(step)

    async def _remove_rule(self, step: Step) -> None:
        zone = self.zones[step.zone or ""]

        async def settled() -> bool | None:
            return True if not await self._rule(zone, step.id) else None

        await self.gone(self.cf.change("email_routing.rules.delete", step.id, zone=zone, settled=settled))
        self.forget(step)

    async def _rule(self, zone: Zone, id_: str | None) -> Json:
        found = await self.cf.read_pages("email_routing.rules.list", zone=zone)
        return next((rule for rule in found if rule["id"] == id_), {})

    async def _patient(self, call: str, *arguments: object, **named: Any) -> Any:
        """A rule that names a Worker uploaded a moment ago may be refused until Email Routing has heard of it."""
        for _ in range(RULE_TRIES - 1):
            try:
                return await self.cf.change(call, *arguments, **named)
            except NotFound as error:
                self.say(f"Email Routing does not know the Worker yet ({error}); trying again in {self.pause_s:g} s")
            await asyncio.sleep(self.pause_s)
        return await self.cf.change(call, *arguments, **named)

    # -- Email Routing and DNS --------------------------------------------------------------------------------------

    async def _enable_routing(self, step: Step) -> None:
        zone = self.zones[step.zone or ""]
        self.intend(step)
        await self.cf.change("email_routing.dns.create", zone=zone, settled=lambda: self._routing_is(zone, True))
        self.made(step)

    async def _repair_routing(self, step: Step) -> None:
        """Switched on again where it is on, it puts back the records that it lacks. It was not ours, and stays so."""
        zone = self.zones[step.zone or ""]

        async def settled() -> Json | None:
            found: Json = await self.cf.read("email_routing.get", zone=zone)
            return found if found.get("status") == "ready" else None

        await self.cf.change("email_routing.dns.create", zone=zone, settled=settled)

    async def _disable_routing(self, step: Step) -> None:
        zone = self.zones[step.zone or ""]
        await self.cf.change("email_routing.dns.delete", zone=zone, settled=lambda: self._routing_is(zone, False))
        self.forget(step)

    async def _routing_is(self, zone: Zone, is_enabled: bool) -> Json | None:
        found: Json = await self.cf.read("email_routing.get", zone=zone)
        return found if bool(found.get("enabled")) is is_enabled else None

    async def change_records(self, zone: Zone, steps: Sequence[Step]) -> None:
        """One transaction. Ids are then read from the zone, which also settles what had no clear answer.

        Records that Email Routing keeps locked are unlocked first; it goes on as before.
        """
        present = {record["id"]: record for record in await live.records_of(self.cf, zone)}
        posts, patches, deletes = [], [], []
        for step in steps:
            match step.kind, step.act:
                case Kind.RECORD, Act.CREATE:
                    posts.append(writable(step.content) | {"comment": self.owned.marker})
                case Kind.FORMER_RECORD, Act.RESTORE:
                    posts.append(writable(step.former))
                case Kind.MERGED_RECORD, _ if step.id in present:
                    content = step.content if step.act is Act.CHANGE else step.former["content"]
                    # Only the content is ours to change: its TTL, comment and tags are as they are now.
                    patches.append({"id": step.id, **writable(present[step.id]), "content": content})
                case _ if step.id in present:  # Email Routing takes its own away when it is switched off
                    deletes.append({"id": step.id})
        for step in steps:
            if step.act in (Act.CREATE, Act.CHANGE) or (step.kind is Kind.FORMER_RECORD and step.act is Act.REMOVE):
                self.intend(step, ours=step.content if step.kind is Kind.MERGED_RECORD else None)

        async def settled() -> bool | None:
            records = await live.records_of(self.cf, zone)
            labels, ids = {exact_label(record) for record in records}, {record["id"] for record in records}
            is_done = all(exact_label(post) in labels for post in posts) and not any(
                each["id"] in ids for each in deletes
            )
            contents = {record["id"]: text_of(record["content"]) for record in records}
            is_done = is_done and all(contents.get(each["id"]) == text_of(each["content"]) for each in patches)
            return True if is_done else None

        if any(step.kind is Kind.MERGED_RECORD and (step.former.get("meta") or {}).get("read_only") for step in steps):
            await self._unlock(zone, await self.cf.read("email_routing.get", zone=zone))
        if posts or patches or deletes:
            batch = {"deletes": deletes, "patches": patches, "posts": posts}
            given = {name: items for name, items in batch.items() if items}
            await self.cf.change("dns.records.batch", zone=zone, settled=settled, **given)
        ids = {label(record): record["id"] for record in await live.records_of(self.cf, zone)}
        for step in steps:
            if self.owned.find(step.kind, step.zone, step.name) is None:
                continue
            if step.act is Act.CREATE:
                self.made(step, id=ids.get(step.name))
            elif step.act is Act.CHANGE or (step.kind is Kind.FORMER_RECORD and step.act is Act.REMOVE):
                self.made(step)
            else:
                self.forget(step)

    # -- turning mail, and turning it back --------------------------------------------------------------------------

    async def prove_routing(self, zone: Zone) -> None:
        """Learn whether the token may switch Email Routing, by writing its settings back as they are.

        Raise MissingPermission, TokenRefused, RateLimited, Unreachable. Any other refusal says nothing of permissions.
        """
        before = await self.cf.read("email_routing.get", zone=zone)
        same = {name: before[name] for name in ("skip_wizard", "support_subaddress") if before.get(name) is not None}
        with contextlib.suppress(NotFound, Conflict, Upstream):
            await self.cf.change(
                "email_routing.edit", zone=zone, settled=lambda: self.cf.read("email_routing.get", zone=zone), **same
            )

    def has_turned(self, zone: str) -> bool:
        """Whether MX records that led elsewhere were taken away, by this run or an earlier one."""
        return any(thing.kind is Kind.FORMER_RECORD and thing.zone == zone for thing in self.owned)

    async def put_mx_back(self, steps: Sequence[Step], switching_on: Step | None) -> None:
        """Undo what `steps` did to the MX records of a zone, as far as it was done, in one transaction.

        switching_on   the step that switches Email Routing on in the same run, if one does: undone too, but after the
                       records, so that whatever fails here leaves mail with MX records
        """
        zone = self.zones[steps[0].zone or ""]
        routing = await self.cf.read("email_routing.get", zone=zone)
        records = await live.records_of(self.cf, zone)
        made = {step.name for step in steps if step.act is Act.CREATE}
        deletes = [
            {"id": record["id"]}
            for record in records
            if label(record) in made and record.get("comment") == self.owned.marker
        ]
        present = {exact_label(record) for record in records}
        formers = [step.former for step in steps if step.kind is Kind.FORMER_RECORD and step.name not in present]
        if deletes or formers:
            await self._unlock(zone, routing)
            batch = {"deletes": deletes, "posts": [writable(record) for record in formers]}

            async def settled() -> bool | None:
                now = await live.records_of(self.cf, zone)
                labels, ids = {exact_label(record) for record in now}, {record["id"] for record in now}
                is_back = all(exact_label(record) in labels for record in formers)
                return True if is_back and not any(each["id"] in ids for each in deletes) else None

            given = {name: items for name, items in batch.items() if items}
            await self.cf.change("dns.records.batch", zone=zone, settled=settled, **given)
        for step in steps:
            self.forget(step)
        if switching_on is not None and routing.get("enabled"):
            await self._disable_routing(switching_on)

    async def _unlock(self, zone: Zone, routing: Json) -> None:
        if routing.get("enabled") and routing.get("status") not in UNLOCKED:
            await self.cf.change("email_routing.dns.edit", zone=zone, settled=lambda: self._is_unlocked(zone))

    async def _is_unlocked(self, zone: Zone) -> Json | None:
        found: Json = await self.cf.read("email_routing.get", zone=zone)
        return found if found.get("status") in UNLOCKED else None
