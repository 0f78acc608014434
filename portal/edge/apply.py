"""Do the steps of a plan, one after the other, each so that a crash anywhere leaves a state from which to go on.

Before an act, edge.json says what is meant and what was there; the act is made once; then edge.json says that it is
made. When Cloudflare does not say whether it was carried out, the live state is asked, and counts. A step that fails
ends the run with its error: what was done stays, is recorded, and the next run plans the rest.

The MX records of a zone are changed in one transaction: senders see the former ones or Cloudflare's. Between that and
Email Routing (which Cloudflare switches on only when the former ones are gone) and the rules (which it may take only
then) mail would be refused there. So the rules are tried and the right to switch Email Routing is proven before; and
whatever fails behind the transaction, Ctrl-C included, is followed by the former MX records, put back. Only the end of
this process itself in that moment is not: then another run goes on, or `homeport edge destroy` puts them back.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from portal.edge.account_acts import AccountActs
from portal.edge.ownership import Kind
from portal.edge.steps import Act, Step
from portal.edge.zone_acts import ZoneActs
from portal.integrations.cloudflare import CloudflareError, Upstream

RECORD_KINDS = frozenset({Kind.RECORD, Kind.FORMER_RECORD, Kind.MERGED_RECORD})
RULE_KINDS = frozenset({Kind.RULE, Kind.CATCH_ALL})
ROUTING_ON = frozenset({Act.CREATE, Act.CHANGE})


class Applier:
    def __init__(self, account: AccountActs, zone: ZoneActs) -> None:
        self._zone = zone
        self._say = account.say
        self._acts = {**account.table(), **zone.table()}

    async def run(self, steps: Sequence[Step]) -> None:
        """Raise CloudflareError, after saying which step it was."""
        for zone, group in groupby(steps, key=lambda step: step.zone):
            if zone is None:
                for step in group:
                    await self._do([step])
            else:
                await self._run_in_zone(zone, list(group))

    async def _run_in_zone(self, zone: str, steps: Sequence[Step]) -> None:
        routing = next((step for step in steps if step.kind is Kind.ROUTING and step.act in ROUTING_ON), None)
        switching_on = routing if routing and routing.act is Act.CREATE else None
        waiting: list[Step] = []
        turned: list[Step] = []  # steps by which mail turns to Cloudflare's servers
        try:
            for batch in _batches(steps):
                if turning := [step for step in batch if _turns_mail(step)]:
                    if routing is not None:
                        await self._zone.prove_routing(self._zone.zones[zone])
                    turned = turning
                may_wait = batch[0].kind in RULE_KINDS and switching_on is not None
                if not await self._do(batch, may_wait=may_wait):
                    waiting.append(batch[0])
            for late in waiting:
                await self._do([late])
        except BaseException:
            if turned:
                await self._turn_back(zone, turned, switching_on)
            elif switching_on is not None and self._zone.has_turned(zone):
                self._say(f"mail to {zone} may be refused now; `homeport edge destroy` puts its former MX records back")
            raise

    async def _turn_back(self, zone: str, turned: Sequence[Step], switching_on: Step | None) -> None:
        former = ", ".join(str(step.before) for step in turned if step.kind is Kind.FORMER_RECORD) or "none"
        try:
            await self._zone.put_mx_back(turned, switching_on)
        except CloudflareError as error:
            self._say(
                f"MAIL TO {zone} MAY BE REFUSED NOW: its former MX records ({former}) could not be put back: {error}"
            )
            self._say("run the same command again as soon as Cloudflare answers, or put them back by hand")
        else:
            self._say(f"mail to {zone} goes where it went before; its MX records are the former ones again ({former})")

    async def _do(self, batch: Sequence[Step], *, may_wait: bool = False) -> bool:
        """Return whether it is done: with `may_wait`, a plain refusal is no failure yet."""
        step, what = batch[0], "; ".join(map(said, batch))
        try:
            if step.kind in RECORD_KINDS:
                await self._zone.change_records(self._zone.zones[step.zone or ""], batch)
            else:
                await self._acts[step.kind, step.act](step)
        except CloudflareError as error:
            if may_wait and isinstance(error, Upstream) and not error.is_in_doubt:
                self._say(f"later, when Email Routing is on: {what}")
                return False
            self._say(f"not done: {what}")
            raise
        self._say(f"done: {what}")
        return True


def _batches(steps: Sequence[Step]) -> list[list[Step]]:
    """Each step for itself, the records of a zone together."""
    found = []
    for (is_record, _), group in groupby(steps, key=lambda step: (step.kind in RECORD_KINDS, step.zone)):
        batch = list(group)
        found += [batch] if is_record else [[step] for step in batch]
    return found


def _turns_mail(step: Step) -> bool:
    """Whether it takes an MX record away that led elsewhere, or makes one of Cloudflare's."""
    if step.kind is Kind.FORMER_RECORD:
        return step.act is Act.REMOVE
    return step.kind is Kind.RECORD and step.act is Act.CREATE and step.content["type"] == "MX"


def said(step: Step) -> str:
    """A step as one line: act, what, where, and from what to what."""
    where = f" in {step.zone}" if step.zone and step.name != step.zone else ""
    if step.before is None or step.after is None or step.before == step.after:
        return f"{step.act} {step.kind} {step.name}{where}"
    return f"{step.act} {step.kind} {step.name}{where}: {_short(step.before)} -> {_short(step.after)}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"version {value.get('version') or 'unknown'}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
