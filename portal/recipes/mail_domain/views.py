"""A mail domain's plan as it is shown, before and after it is applied. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portal.operations.records import Operation, State
from portal.recipes.mail_domain.accounts import CANARY
from portal.recipes.mail_domain.schemas import StepView
from portal.recipes.mail_domain.survey import (
    ADD_STEPS,
    CANARY_STEP,
    RECORDS,
    REMOVE_STEPS,
    ROUTING,
    RULE,
    WORKER,
    ZONE,
    Item,
    Survey,
)
from portal.recipes.models import MailDomainRow

IN_ZONE = frozenset({RULE, RECORDS, ROUTING})
TOUCHES = frozenset({"change", "adopt", "replace", "remove"})  # what was there before


def is_finished(row: MailDomainRow | None) -> bool:
    return row is not None and row.wanted == "add" and row.canary_at is not None and row.canary_at >= row.changed_at


def shown_plan(survey: Survey, act: str, row: MailDomainRow | None, *, waits: bool) -> dict[str, Any]:
    """What is kept of a plan for its readers."""
    documents = [item.document() for item in survey.items]
    takes_away = bool(documents) and (act == "remove" or survey.replaces)
    steps = []
    for name in ADD_STEPS if act == "add" else REMOVE_STEPS:
        changes = [document for document in documents if document["step"] == name]
        state, detail = "todo" if changes else "unchanged", f"{len(changes)} to do" if changes else "in order"
        if name == ZONE:
            state = "unchanged" if survey.zone.startswith("active") else "waiting"
            detail = survey.zone
        elif name == CANARY_STEP:
            is_proven = is_finished(row) and not documents
            state = "unchanged" if is_proven else ("waiting" if waits else "todo")
            detail = {
                "unchanged": "a mail from outside has come in",
                "waiting": "nothing is sent while something is in the way"
                if survey.conflicts
                else f"no relay is set, so it waits for the first mail to {CANARY}@ of the domain",
                "todo": "a mail is sent from outside, and looked for",
            }[state]
        steps.append({"name": name, "state": state, "detail": detail, "changes": changes})
    if act == "add" and not survey.conflicts and steps[-1]["state"] == "todo":
        why = "finished only when a mail from outside has come in"
        documents.append(
            {"name": CANARY_STEP, "step": CANARY_STEP, "act": "send", "before": None, "after": "seen", "reason": why}
        )
    return {
        "steps": steps,
        "changes": documents,
        "conflicts": [{"what": each.what, "way_out": each.way_out} for each in survey.conflicts],
        "notes": list(survey.notes),
        "needs_step_up": takes_away or _is_grave(survey.items),
        "needs_typed_name": takes_away,
    }


def _is_grave(items: Sequence[Item]) -> bool:
    """Whether a fresh factor is asked for, as for records: more than one thing in the zone, or one that was there."""
    in_zone = [item for item in items if item.step in IN_ZONE]
    return len(in_zone) > 1 or any(item.act in TOUCHES for item in items if item.step in IN_ZONE | {WORKER})


def as_ended(steps: list[StepView], operation: Operation) -> list[StepView]:
    """The steps of a plan that is, or was, applied: those that were done, the one that failed, those still to do."""
    if operation.state is State.RUNNING:
        return steps
    is_done = operation.state is State.DONE
    done = set((operation.result or {}).get("steps", []))
    found: list[StepView] = []
    has_failed = is_done
    for step in steps:
        if step.state == "todo" and (is_done or step.name in done):
            step = step.model_copy(update={"state": "done", "detail": "done"})
        elif step.state == "todo" and not has_failed:
            has_failed = True
            detail = (operation.error or {}).get("detail") or operation.outcome_detail or str(operation.state)
            step = step.model_copy(update={"state": "failed", "detail": detail})
        found.append(step)
    return found
