"""The mail of sites over HTTP. No password goes either way."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from portal.wordpress.names import SITE

SiteName = Annotated[str, StringConstraints(pattern=SITE)]


class NewMailPlan(BaseModel):
    """
    act      configure: each site gets an account and sends through our server; remove: none of them does any more
    sites    null: all that are active
    domain   the mail domain of the accounts; not needed where the operator's one account is used
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    act: Literal["configure", "remove"] = "configure"
    sites: Annotated[list[SiteName], Field(min_length=1, max_length=500)] | None = None
    domain: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = None


class ApplyMailPlan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Annotated[str, StringConstraints(max_length=500)] | None = None


class MailOfSite(BaseModel):
    """Who a site sends as. source: mailbox, an account of its own; shared, the operator's one for all."""

    account: str
    sender: str
    sender_name: str
    source: Literal["mailbox", "shared"]


class MailChange(BaseModel):
    """name: the site. null: it sends nothing through our server."""

    name: str
    before: MailOfSite | None
    after: MailOfSite | None


class MailPlan(BaseModel):
    id: str
    act: str
    target: str
    changes: list[MailChange]
    created_at: datetime
    expires_at: datetime
    undoes: str | None
    operation_id: str | None


class SiteMailView(BaseModel):
    site: str
    sender: str | None
    sender_name: str
    source: Literal["mailbox", "shared"] | None


class SiteMailList(BaseModel):
    """domains: those in which accounts can be made. not_ready: what is missing before sites can send, one line each."""

    sites: list[SiteMailView]
    domains: list[str]
    not_ready: list[str]
