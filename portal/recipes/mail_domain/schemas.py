"""What `homeport domain` and the page about mail domains send and take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

DomainText = Annotated[str, Field(min_length=1, max_length=255)]
StepState = Literal["todo", "done", "unchanged", "failed", "waiting"]


class StepView(BaseModel):
    """One step. name: zone, mail-domain, worker, rule, records, routing, recipients, canary; in this order for an add.
    detail: one line, which may quote others. changes: those of the plan that belong to it."""

    name: str
    state: StepState
    detail: str
    changes: list[dict[str, Any]]


class MailDomainView(BaseModel):
    """A domain that Homeport receives mail for. is_finished: a canary mail has come in since the last change.

    managed_by: settings (EDGE_ZONES) · homeport (`homeport domain add`).
    """

    domain: str
    unicode_domain: str
    managed_by: Literal["settings", "homeport"]
    is_finished: bool
    added_at: AwareDatetime | None
    canary_at: AwareDatetime | None
    canary_seconds: float | None
    detail: str


class MailDomainList(BaseModel):
    """not_ready: what is missing before a domain can be added, one line each; empty when nothing is."""

    domains: list[MailDomainView]
    not_ready: list[str]


class NewDomainPlan(BaseModel):
    """act add: `domain` becomes a mail domain · remove: what was made for it is taken away, and only that.

    replace_mail: MX records and rules that lead elsewhere give way. adopt: a Worker, bucket or namespace of our name
    that others made is used. mailbox: local part of the domain's first mailbox, which is made if there is none;
    canaries have one of their own, homeport-canary.
    """

    model_config = ConfigDict(extra="forbid")

    act: Literal["add", "remove"] = "add"
    domain: DomainText
    replace_mail: bool = False
    adopt: bool = False
    mailbox: str = Field(default="postmaster", max_length=64)


class DomainConflict(BaseModel):
    what: str
    way_out: str


class DomainPlan(BaseModel):
    """changes: each {name, step, act, before, after, reason}, over all steps. conflicts: while there is one, it can't
    be applied. needs_step_up: a fresh factor is given, since it changes what is at Cloudflare, or makes more than one
    thing in the zone. needs_typed_name: it takes something away; then the domain is typed too."""

    id: str
    act: str
    target: str
    domain: str
    unicode_domain: str
    wanted: Literal["add", "remove"]
    steps: list[StepView]
    changes: list[dict[str, Any]]
    unchanged: list[str]
    conflicts: list[DomainConflict]
    notes: list[str]
    silent_rooms: list[str]
    needs_step_up: bool
    needs_typed_name: bool
    created_at: AwareDatetime
    expires_at: AwareDatetime
    undoes: str | None
    operation_id: str | None


class ApplyDomainPlan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    typed_names: list[DomainText] = Field(default=[], max_length=10)
    reason: str | None = Field(default=None, max_length=200)
