"""What the posture of mail domains looks like."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from portal.dns.schemas import Connection

Verdict = Literal["ok", "warning", "error", "unknown"]
Check = Literal["mx", "spf", "dkim", "dmarc", "mta-sts", "tls-rpt", "email-routing"]


class FindingView(BaseModel):
    """One thing found. code and params: the front end's text; `text` the same in English. quoted: what the DNS said.

    is_fixable: POST .../plans/fix with this id gives a plan of the fix.
    """

    id: str
    check: Check
    verdict: Verdict
    code: str
    params: dict[str, Any]
    text: str
    quoted: list[str]
    is_fixable: bool


class CheckView(BaseModel):
    """One check of a domain, with at least one finding; `summary` is the text of the worst.

    unknown: no resolver could say anything, or there is nothing to ask for. resolver: which one answered.
    """

    check: Check
    verdict: Verdict
    summary: str
    quoted: list[str]
    resolver: str | None
    findings: list[FindingView]


class DomainPosture(BaseModel):
    """checked_at null: never. spf_lookups of at most 10 (RFC 7208 4.6.4)."""

    domain: str
    unicode_domain: str
    zone: str | None
    verdict: Verdict
    checked_at: AwareDatetime | None
    is_stale: bool
    spf_lookups: int | None
    checks: list[CheckView]


class PostureOverview(BaseModel):
    connection: Connection
    resolvers: list[str]
    domains: list[DomainPosture]


class FixFindings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    findings: list[Annotated[str, Field(max_length=200)]] = Field(min_length=1, max_length=50)
