"""Every finding of a mail domain's posture, in one table: what it is, why it matters, what to do.

The front end has the same texts in its languages, by `code`; `params` fill them in. What came from the DNS is quoted
there with control and bidi characters shown as escapes, and shortened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.dns.posture.schemas import Check, CheckView, FindingView, Verdict

QUOTED_CHARACTERS = 300  # of one text of the DNS
QUOTED_TEXTS = 10
WORST_FIRST: tuple[Verdict, ...] = ("error", "unknown", "warning", "ok")
CHECKS: tuple[Check, ...] = ("email-routing", "mx", "spf", "dkim", "dmarc", "mta-sts", "tls-rpt")


@dataclass(frozen=True, slots=True)
class Kind:
    """
    text         English, with the names of its params in braces
    is_fixable   POST .../plans/fix makes a plan of it, where the zone is known
    is_optional  what a domain can do without: it is shown, and raises no alarm
    """

    check: Check
    verdict: Verdict
    text: str
    is_fixable: bool = False
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One thing found. subject: tells two findings of one code apart, such as a DKIM selector; "" when there is one."""

    code: str
    params: Mapping[str, Any]
    subject: str = ""
    quoted: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        return KINDS[self.code]

    @property
    def id(self) -> str:
        return f"{self.code}:{self.subject}"[:200] if self.subject else self.code


@dataclass(frozen=True, slots=True)
class Result:
    """A check's end: at least one finding. resolver: which one answered. lookups: of SPF, null elsewhere."""

    check: Check
    found: tuple[Found, ...]
    quoted: tuple[str, ...] = ()
    resolver: str | None = None
    lookups: int | None = None

    @property
    def verdict(self) -> Verdict:
        return worst(found.kind.verdict for found in self.found)

    @property
    def alarm(self) -> Verdict:
        """As `verdict`, without what a domain can do without."""
        return worst(found.kind.verdict for found in self.found if not found.kind.is_optional)

    def view(self, can_fix: Callable[[Found], bool]) -> CheckView:
        views = [_finding_view(found, is_fixable=found.kind.is_fixable and can_fix(found)) for found in self.found]
        summary = min(views, key=lambda each: WORST_FIRST.index(each.verdict)).text
        return CheckView(
            check=self.check,
            verdict=self.verdict,
            summary=summary,
            quoted=[quotable(text) for text in self.quoted[:QUOTED_TEXTS]],
            resolver=self.resolver,
            findings=views,
        )


def found(code: str, *quoted: str, subject: str = "", **params: Any) -> Found:
    """Make a finding; texts among the params become quotable. Raise KeyError when code or params aren't the table's."""
    shown = {name: quotable(value) if isinstance(value, str) else value for name, value in params.items()}
    KINDS[code].text.format(**shown)  # a missing param fails here, at its cause
    return Found(code, shown, quotable(subject), tuple(quotable(text) for text in quoted[:QUOTED_TEXTS]))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most urgent of them; ok when there is none."""
    return min(verdicts, key=WORST_FIRST.index, default="ok")


def quotable(text: str) -> str:
    """Text of strangers, short, with what can't be seen as escapes."""
    cut = text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 1] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)


def listed(names: Sequence[str], limit: int = 5) -> str:
    """Some names for a sentence: those beyond the limit are counted."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _finding_view(found: Found, *, is_fixable: bool) -> FindingView:
    return FindingView(
        id=found.id,
        check=found.kind.check,
        verdict=found.kind.verdict,
        code=found.code,
        params=dict(found.params),
        text=found.kind.text.format(**found.params),
        quoted=list(found.quoted),
        is_fixable=is_fixable,
    )


def _no_answers() -> dict[str, Kind]:
    """Each check that asks the DNS can end without an answer."""
    text = (
        "No resolver could say anything about {name} ({detail}). So this is not known, neither good nor bad. "
        "Check again; if it stays so, look at HOMEPORT_PORTAL_DNS_RESOLVERS and at the domain's name servers."
    )
    return {f"{check}-no-answer": Kind(check, "unknown", text) for check in CHECKS if check != "email-routing"}


KINDS: dict[str, Kind] = {
    **_no_answers(),
    # -- Email Routing --
    "routing-ok": Kind("email-routing", "ok", "Cloudflare Email Routing is on and has the records it needs."),
    "routing-off": Kind(
        "email-routing",
        "error",
        "Cloudflare Email Routing is off for {domain}, so mail to it doesn't reach Homeport. "
        "Turn it on with `homeport domain add {domain}`.",
    ),
    "routing-not-ready": Kind(
        "email-routing",
        "error",
        "Cloudflare Email Routing is on for {domain} and says “{status}”: a record it needs is missing, or mail "
        "also leads elsewhere. Mend the MX and SPF findings below, or run `homeport domain add {domain}`.",
    ),
    "routing-no-zone": Kind(
        "email-routing",
        "error",
        "The Cloudflare account has no zone {domain}, so Homeport can neither route its mail nor mend its records. "
        "Add the domain to Cloudflare, and name Cloudflare's name servers at the registrar.",
    ),
    "routing-not-connected": Kind(
        "email-routing",
        "unknown",
        "No Cloudflare account is connected, so its Email Routing can't be asked. Set "
        "HOMEPORT_PORTAL_CLOUDFLARE_TOKEN and HOMEPORT_PORTAL_CLOUDFLARE_ACCOUNT. "
        "What the DNS says is checked all the same.",
        is_optional=True,
    ),
    "routing-unknown": Kind(
        "email-routing",
        "unknown",
        "Cloudflare could not be asked about Email Routing: {detail}. What the DNS says is checked all the same.",
    ),
    # -- MX --
    "mx-ok": Kind("mx", "ok", "Mail to {domain} comes in through {hosts}."),
    "domain-missing": Kind(
        "mx",
        "error",
        "{domain} does not exist in the DNS, so nobody can send mail to it. "
        "Look whether it is registered, paid for, and leads to Cloudflare's name servers.",
    ),
    "mx-missing": Kind(
        "mx",
        "error",
        "{domain} has no MX record, so no mail comes in. The fix adds those of Cloudflare Email Routing; while that is "
        "off or keeps them locked, `homeport domain add {domain}` does it.",
        is_fixable=True,
    ),
    "mx-incomplete": Kind(
        "mx",
        "error",
        "{domain} lacks the MX record of {hosts}, which Email Routing needs, so part of the mail may be late. "
        "The fix adds it; while Email Routing keeps its records locked, `homeport domain add {domain}` does it.",
        is_fixable=True,
    ),
    "mx-null": Kind(
        "mx",
        "error",
        "{domain} says that it takes no mail at all (a null MX record, RFC 7505), so every sender gives up at once. "
        "Remove that record; then the fix for missing MX records can add the right ones.",
    ),
    "mx-foreign": Kind(
        "mx",
        "error",
        "Mail to {domain} also leads to {hosts}, which is not Cloudflare Email Routing: part of the mail goes there "
        "and never reaches Homeport. Remove those MX records, or run `homeport domain add {domain} --replace-mail`.",
    ),
    "mx-address": Kind(
        "mx",
        "error",
        "An MX record of {domain} holds the address {host} where only a host name is allowed (RFC 5321 5.1), "
        "so senders skip it. Name a host instead.",
    ),
    "mx-alias": Kind(
        "mx",
        "warning",
        "The mail server {host} is an alias (CNAME) of {target}, which RFC 2181 10.3 forbids; some senders refuse it. "
        "Name {target} in the MX record instead.",
    ),
    "mx-dead-host": Kind(
        "mx",
        "error",
        "The mail server {host} has no address, so senders can't reach it. "
        "Remove its MX record, or give the host an address.",
    ),
    # -- SPF --
    "spf-ok": Kind(
        "spf", "ok", "There is one SPF record, with {lookups} of at most 10 lookups, and it names all senders."
    ),
    "spf-missing": Kind(
        "spf",
        "error",
        "{domain} has no SPF record, so receivers can't tell its mail from forged mail, and reject more of it. "
        "The fix adds one.",
        is_fixable=True,
    ),
    "spf-multiple": Kind(
        "spf",
        "error",
        "{domain} has {count} SPF records. Only one is allowed (RFC 7208 3.2), and receivers then ignore all of them. "
        "The fix joins them into one.",
        is_fixable=True,
    ),
    "spf-syntax": Kind(
        "spf",
        "error",
        "The SPF record can't be read: {detail}. Receivers treat it as broken and may reject the domain's mail. "
        "Correct the record.",
    ),
    "spf-lookups": Kind(
        "spf",
        "error",
        "SPF needs more than 10 DNS lookups, those of its includes counted (it was given up at {count}). Receivers "
        "stop at 10 and treat the record as broken (RFC 7208 4.6.4). Remove an include: that is no longer needed.",
    ),
    "spf-lookups-near": Kind(
        "spf",
        "warning",
        "SPF needs {count} of at most 10 DNS lookups. When one of the included services adds an include of its own, "
        "the record breaks. Remove an include: that is no longer needed.",
    ),
    "spf-void": Kind(
        "spf",
        "error",
        "SPF asks for {count} names that do not exist or have no such record; more than 2 break the record (RFC 7208 "
        "4.6.4). Remove the mechanisms that lead nowhere.",
    ),
    "spf-include-missing": Kind(
        "spf",
        "error",
        "SPF includes something that has no usable SPF record: {detail}. That breaks the whole record (RFC 7208 5.2). "
        "Remove that include:, or correct its name.",
    ),
    "spf-loop": Kind(
        "spf",
        "error",
        "SPF includes itself: {detail}. That breaks the whole record. Remove one of the includes in that circle.",
    ),
    "spf-lacks": Kind(
        "spf",
        "error",
        "The SPF record does not name {terms}, so mail sent from there fails SPF. "
        "The fix adds it and leaves the rest of the record as it is.",
        is_fixable=True,
    ),
    "spf-lacks-locked": Kind(
        "spf",
        "error",
        "The SPF record does not name {terms}, so mail sent from there fails SPF. Email Routing keeps that record "
        "locked: `homeport domain add {domain}` unlocks it and adds what is missing.",
    ),
    "spf-all-pass": Kind(
        "spf",
        "error",
        "The SPF record ends with “{term}”: everybody may send as {domain}, so it protects nobody. "
        "The fix makes it “~all”.",
        is_fixable=True,
    ),
    "spf-all-neutral": Kind(
        "spf",
        "warning",
        "The SPF record ends with “?all”: it says nothing about mail from elsewhere. The fix makes it “~all”.",
        is_fixable=True,
    ),
    "spf-all-missing": Kind(
        "spf",
        "warning",
        "The SPF record has no “all” at its end, so it says nothing about mail from elsewhere. The fix adds “~all”.",
        is_fixable=True,
    ),
    "spf-ptr": Kind(
        "spf",
        "warning",
        "The SPF record uses “ptr”, which is slow and should not be used (RFC 7208 5.5); some receivers ignore it. "
        "Name the senders with include:, ip4: or ip6: instead.",
    ),
    # -- DKIM --
    "dkim-ok": Kind("dkim", "ok", "The DKIM key {selector} is there: {algorithm}, {bits} bits."),
    "dkim-no-selector": Kind(
        "dkim",
        "unknown",
        "Nobody can list a domain's DKIM keys; they are found by their selector, and none is set. Name those of "
        "whoever sends for {domain} in the setting HOMEPORT_PORTAL_MAIL_DKIM.",
        is_optional=True,
    ),
    "dkim-missing": Kind(
        "dkim",
        "error",
        "The DKIM key {selector} is not in the DNS ({name}), so receivers can't verify signatures made with it, and "
        "DMARC fails where SPF does. The fix adds its record.",
        is_fixable=True,
    ),
    "dkim-other": Kind(
        "dkim",
        "error",
        "The record of the DKIM key {selector} is “{there}”, and “{wanted}” was set for it. Signatures made with "
        "the right key can't be verified. The fix replaces it.",
        is_fixable=True,
    ),
    "dkim-dead-alias": Kind(
        "dkim",
        "error",
        "The DKIM key {selector} is an alias of {target}, and there is no key. Look at the sending service whether the "
        "domain is set up there.",
    ),
    "dkim-revoked": Kind(
        "dkim",
        "error",
        "The DKIM key {selector} is revoked (its p= is empty), so every signature made with it fails. "
        "Publish a new key under a new selector.",
    ),
    "dkim-syntax": Kind(
        "dkim",
        "error",
        "The DKIM key {selector} can't be read: {detail}. Signatures made with it can't be verified. Correct it.",
    ),
    "dkim-multiple": Kind(
        "dkim",
        "error",
        "There are {count} TXT records for the DKIM key {selector}; with more than one the result is anybody's guess "
        "(RFC 6376 3.6.2.2). Remove all but the right one.",
    ),
    "dkim-too-short": Kind(
        "dkim",
        "error",
        "The DKIM key {selector} has {bits} bits. Receivers must not accept keys under 1024 bits (RFC 8301). "
        "Publish a key of 2048 bits under a new selector.",
    ),
    "dkim-weak": Kind(
        "dkim",
        "warning",
        "The DKIM key {selector} has {bits} bits, which can be broken with money; 2048 is what is used today. "
        "Publish a key of 2048 bits under a new selector.",
    ),
    "dkim-testing": Kind(
        "dkim",
        "warning",
        "The DKIM key {selector} is marked as a test (t=y), so receivers may treat its mail as unsigned. "
        "Remove that flag.",
    ),
    # -- DMARC --
    "dmarc-ok": Kind("dmarc", "ok", "DMARC is enforced: p={policy}."),
    "dmarc-missing": Kind(
        "dmarc",
        "error",
        "{domain} has no DMARC record, so forged mail in its name is delivered, and large receivers mistrust its own. "
        "The fix adds one with p=quarantine.",
        is_fixable=True,
    ),
    "dmarc-multiple": Kind(
        "dmarc",
        "error",
        "{name} has {count} DMARC records; with more than one, receivers use none (RFC 7489 6.6.3). "
        "Remove all but the right one.",
    ),
    "dmarc-syntax": Kind(
        "dmarc",
        "error",
        "The DMARC record can't be read: {detail}. Receivers ignore it. Correct the record.",
    ),
    "dmarc-none": Kind(
        "dmarc",
        "warning",
        "DMARC says p=none: forged mail in the name of {domain} is only counted, not stopped. The fix raises it to "
        "p=quarantine and keeps the rest. Before that, look in the reports whether all senders of yours pass.",
        is_fixable=True,
    ),
    "dmarc-subdomains-none": Kind(
        "dmarc",
        "warning",
        "DMARC says sp=none: mail in the name of any subdomain can be forged. The fix raises it to sp=quarantine.",
        is_fixable=True,
    ),
    "dmarc-partial": Kind(
        "dmarc",
        "warning",
        "DMARC is applied to {percent} of 100 messages only (pct). The fix removes that.",
        is_fixable=True,
    ),
    "dmarc-testing": Kind(
        "dmarc",
        "warning",
        "DMARC is marked as a test (t=y), so receivers apply a weaker policy than p says. The fix removes that.",
        is_fixable=True,
    ),
    "dmarc-no-reports": Kind(
        "dmarc",
        "warning",
        "DMARC names nobody who gets the reports (rua), so you can't see who sends in the domain's name. "
        "The fix adds the address of the setting HOMEPORT_PORTAL_MAIL_DMARC_RUA.",
        is_fixable=True,
        is_optional=True,
    ),
    "dmarc-no-address": Kind(
        "dmarc",
        "warning",
        "DMARC names nobody who gets the reports (rua), so you can't see who sends in the domain's name. "
        "Name an address in the setting HOMEPORT_PORTAL_MAIL_DMARC_RUA; then this can be mended by a plan.",
        is_optional=True,
    ),
    "dmarc-reports-syntax": Kind(
        "dmarc",
        "warning",
        "The address for DMARC reports can't be used: “{uri}”. It must look like mailto:reports@{domain}.",
    ),
    "dmarc-reports-refused": Kind(
        "dmarc",
        "warning",
        "DMARC reports are to go to {host}, which has not agreed to get them: receivers won't send them. "
        "Whoever runs {host} adds a TXT record {name} with v=DMARC1.",
    ),
    # -- MTA-STS --
    "mta-sts-ok": Kind("mta-sts", "ok", "MTA-STS is enforced: senders insist on encryption to the mail servers."),
    "mta-sts-missing": Kind(
        "mta-sts",
        "warning",
        "{domain} has no MTA-STS policy, so somebody between sender and mail server could strip the encryption. "
        "That is optional: it needs a policy file at https://mta-sts.{domain}/.",
        is_optional=True,
    ),
    "mta-sts-multiple": Kind(
        "mta-sts",
        "error",
        "{name} has {count} MTA-STS records; with more than one, senders ignore the policy. Remove all but one.",
    ),
    "mta-sts-syntax": Kind(
        "mta-sts", "error", "The MTA-STS record can't be read: {detail}. Senders ignore the policy. Correct the record."
    ),
    "mta-sts-no-host": Kind(
        "mta-sts",
        "error",
        "The MTA-STS record announces a policy, but its host {host} has no address. Senders can't fetch it. "
        "Give the host its record, or remove the MTA-STS record.",
    ),
    "mta-sts-private": Kind(
        "mta-sts",
        "error",
        "The host of the MTA-STS policy, {host}, leads to {address}, which is no public address; it was not asked. "
        "Senders in the world can't reach it either. Correct its record.",
    ),
    "mta-sts-fetch": Kind(
        "mta-sts",
        "error",
        "The MTA-STS policy of {host} can't be fetched: {detail}. Senders go on without it, or, when they remember it, "
        "until it expires. Mend the web server of that host, or remove the MTA-STS record.",
    ),
    "mta-sts-policy": Kind(
        "mta-sts", "error", "The MTA-STS policy can't be read: {detail}. Senders ignore it. Correct the file."
    ),
    "mta-sts-uncovered": Kind(
        "mta-sts",
        "error",
        "The MTA-STS policy does not name the mail server {hosts}. Senders that honour it refuse to deliver there. "
        "Add it to the policy and change the id of the record.",
    ),
    "mta-sts-testing": Kind(
        "mta-sts",
        "warning",
        "The MTA-STS policy is in mode “{mode}”, so it protects nothing yet. When the TLS reports are clean, make it "
        "“enforce” and change the id of the record.",
        is_optional=True,
    ),
    # -- TLS-RPT --
    "tls-rpt-ok": Kind("tls-rpt", "ok", "Senders report trouble with encryption to {addresses}."),
    "tls-rpt-missing": Kind(
        "tls-rpt",
        "warning",
        "{domain} asks for no TLS reports, so nobody tells you when encrypted delivery fails. "
        "The fix adds a record with the address of the setting HOMEPORT_PORTAL_MAIL_DMARC_RUA.",
        is_fixable=True,
        is_optional=True,
    ),
    "tls-rpt-no-address": Kind(
        "tls-rpt",
        "warning",
        "{domain} asks for no TLS reports, so nobody tells you when encrypted delivery fails. "
        "Name an address in the setting HOMEPORT_PORTAL_MAIL_DMARC_RUA; then this can be mended by a plan.",
        is_optional=True,
    ),
    "tls-rpt-multiple": Kind(
        "tls-rpt",
        "warning",
        "{name} has {count} TLS-RPT records; with more than one, senders use none (RFC 8460 3). Remove all but one.",
    ),
    "tls-rpt-syntax": Kind(
        "tls-rpt", "warning", "The TLS-RPT record can't be read: {detail}. Senders ignore it. Correct the record."
    ),
}
