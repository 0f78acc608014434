"""Cloudflare's API for every room: the official SDK behind one door that retries, judges and explains alike.

A call is named by its path in the SDK (`dns.records.batch`) and must stand in CALLS, which says the token permission
it needs. Answers are plain data, as Cloudflare sent them: nothing that a room reads and writes back can get lost in
between. What the SDK would do by itself and we do not want (libraries.md, test-runtimes.md 9):

- it repeats changes. Here a read is repeated, a change never: when its outcome is not known, `settled` looks whether it
  happened. A 429 was not carried out, so both wait as long as Cloudflare asks, within bounds, and say so;
- it takes HTTP 200 with `success: false` for an answer. Here that is an error, and so is a missing result;
- its page iterators run to an empty page, endlessly where `page` is ignored. Here pages are counted, and capped;
- it prefers CLOUDFLARE_API_KEY and CLOUDFLARE_EMAIL in the environment to the token it is given, and follows redirects;
- importing it takes seconds on a small machine, so that happens at the first use, in a thread: the event loop of a
  portal that serves others goes on.

One instance serves a whole process, for months: at most CONCURRENCY of its requests are under way at once, and what a
wait has to tell goes to whoever waits (`telling`).

    CloudflareError         one line, safe to show; quotes Cloudflare with our secrets cut out
     ├── TokenRefused       the token is unknown, expired, disabled or not allowed from this address
     ├── MissingPermission  the token is good and lacks a permission group for a resource, both named
     ├── NotFound
     ├── Conflict           it exists, is in use, or was changed by others
     ├── RateLimited        for longer than we wait
     ├── Unreachable        no answer; a change may have happened
     └── Upstream           whatever else Cloudflare said; after 5xx a change may have happened
"""

from __future__ import annotations

import asyncio
import logging
import operator
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from kit.clock import Clock, SystemClock
from kit.logging import get_logger
from portal.integrations.records import Json
from portal.settings import PortalSettings

if TYPE_CHECKING:
    from types import TracebackType

    from cloudflare import AsyncCloudflare

log = get_logger()

TIMEOUT_S = 30.0  # for one answer; uploading a Worker is the longest
READ_TRIES = 3
READ_PAUSE_S = 0.5  # before the second try, doubled before each later one
RATE_TRIES = 4  # requests that are made in all when Cloudflare limits the rate
RATE_WAIT_S = 60.0  # longest single wait
RATE_WAIT_TOLD_S = 330.0  # the same where somebody is told: 1,200 requests in 5 minutes, then none for 5 (API "Limits")
TOKEN_KNOWN_S = 60.0  # then the token is asked again whether it is valid: it may have been renewed, or revoked
CONCURRENCY = 8  # requests at once
RECORDS_PER_PAGE = 5_000  # of DNS records; Cloudflare takes up to 5,000,000
STEADY_TRIES = 3  # readings of a list that others change meanwhile
PER_PAGE = 50  # KV namespaces and Workers allow 100, zones 50
PAGES_MAX = 200
QUOTED_CHARACTERS = 300  # of what Cloudflare said

READ, WRITE = "Read", "Write"

# The SDK's path of a call -> permission group without its " Read" or " Write", which of the two, and for what it is
# granted, which also says whether the call wants `zone_id` or `account_id`.
# Sources: the "Accepted Permissions" of each page of Cloudflare's API reference, checked 2026-11; of rulesets, those of
# their zone-level phases http_request_firewall_custom and http_ratelimit ("WAF custom rules: via API").
CALLS: dict[str, tuple[str, str, str]] = {
    "zones.list": ("Zone", READ, "zones"),
    "dns.records.list": ("DNS", READ, "zone"),
    "dns.records.batch": ("DNS", WRITE, "zone"),
    "zero_trust.tunnels.cloudflared.list": ("Cloudflare Tunnel", READ, "account"),
    "zero_trust.tunnels.cloudflared.configurations.get": ("Cloudflare Tunnel", READ, "account"),
    "zero_trust.tunnels.cloudflared.configurations.update": ("Cloudflare Tunnel", WRITE, "account"),
    "rulesets.phases.get": ("Zone WAF", READ, "zone"),
    "rulesets.create": ("Zone WAF", WRITE, "zone"),
    "rulesets.rules.create": ("Zone WAF", WRITE, "zone"),
    "rulesets.rules.edit": ("Zone WAF", WRITE, "zone"),
    "rulesets.rules.delete": ("Zone WAF", WRITE, "zone"),
    "email_routing.get": ("Zone Settings", READ, "zone"),
    "email_routing.edit": ("Zone Settings", WRITE, "zone"),
    "email_routing.dns.get": ("Zone Settings", READ, "zone"),
    "email_routing.dns.create": ("Zone Settings", WRITE, "zone"),
    "email_routing.dns.delete": ("Zone Settings", WRITE, "zone"),
    "email_routing.dns.edit": ("Zone Settings", WRITE, "zone"),
    "email_routing.rules.list": ("Email Routing Rules", READ, "zone"),
    "email_routing.rules.create": ("Email Routing Rules", WRITE, "zone"),
    "email_routing.rules.update": ("Email Routing Rules", WRITE, "zone"),
    "email_routing.rules.delete": ("Email Routing Rules", WRITE, "zone"),
    "email_routing.rules.catch_alls.get": ("Email Routing Rules", READ, "zone"),
    "email_routing.rules.catch_alls.update": ("Email Routing Rules", WRITE, "zone"),
    "workers.scripts.list": ("Workers Scripts", READ, "account"),
    "workers.scripts.update": ("Workers Scripts", WRITE, "account"),
    "workers.scripts.delete": ("Workers Scripts", WRITE, "account"),
    "workers.scripts.script_and_version_settings.get": ("Workers Scripts", READ, "account"),
    "workers.scripts.schedules.get": ("Workers Scripts", READ, "account"),
    "workers.scripts.schedules.update": ("Workers Scripts", WRITE, "account"),
    "workers.scripts.subdomain.get": ("Workers Scripts", READ, "account"),
    "workers.scripts.subdomain.create": ("Workers Scripts", WRITE, "account"),
    "workers.subdomains.get": ("Workers Scripts", READ, "account"),
    "workers.subdomains.update": ("Workers Scripts", WRITE, "account"),
    "kv.namespaces.list": ("Workers KV Storage", READ, "account"),
    "kv.namespaces.create": ("Workers KV Storage", WRITE, "account"),
    "kv.namespaces.delete": ("Workers KV Storage", WRITE, "account"),
    "kv.namespaces.keys.list": ("Workers KV Storage", READ, "account"),
    "kv.namespaces.values.get": ("Workers KV Storage", READ, "account"),
    "kv.namespaces.values.update": ("Workers KV Storage", WRITE, "account"),
    "kv.namespaces.values.delete": ("Workers KV Storage", WRITE, "account"),
    "r2.buckets.get": ("Workers R2 Storage", READ, "account"),
    "r2.buckets.create": ("Workers R2 Storage", WRITE, "account"),
    "r2.buckets.delete": ("Workers R2 Storage", WRITE, "account"),
    "r2.buckets.objects.list": ("Workers R2 Storage", READ, "account"),
    "r2.buckets.objects.delete": ("Workers R2 Storage", WRITE, "account"),
}

# How the lists among them come: in numbered pages, in pages chained by a cursor (of which some call the size of a page
# `limit`), or whole.
LISTS: dict[str, str] = {
    "zones.list": "numbered",
    "dns.records.list": "numbered",
    "zero_trust.tunnels.cloudflared.list": "numbered",
    "email_routing.rules.list": "numbered",
    "kv.namespaces.list": "numbered",
    "workers.scripts.list": "whole",
    "kv.namespaces.keys.list": "chained, limit",
    "r2.buckets.objects.list": "chained",
}

# Bodies that go out as they are given. The SDK would look every field of every record up in its types: half a
# millisecond each in which nothing else runs, for names that are the same on the wire.
PLAIN_BODIES = frozenset({"dns.records.batch"})

_VERIFY = {"user.tokens.verify": "user", "accounts.tokens.verify": "account"}  # these need no permission

# Cloudflare's error codes that mean one thing whatever the HTTP status beside them.
_REFUSED_CODES = frozenset({1000, 6003, 6111, 9103, 9106, 9107, 9109})  # of a token; 9109 also of a permission
_NOT_ENABLED_CODES = frozenset({10042})  # the account has not opened R2 in the dashboard: 403, but no permission helps
_EXISTS_CODES = frozenset({10004, 10014, 10026, 20217, 81053, 81057, 81058})  # bucket, namespace, ruleset, DNS records
_ABSENT_CODES = frozenset({10006, 10007, 10009, 10013, 81044})  # bucket, Worker, KV key, namespace, DNS record


class CloudflareError(Exception):
    """Cloudflare did not do what was asked. The text is one line and safe to show."""


class TokenRefused(CloudflareError):
    pass


class MissingPermission(CloudflareError):
    """The token lacks `group` (with " Read" or " Write") for `resource`, such as "zone home.example"."""

    def __init__(self, group: str, level: str, resource: str) -> None:
        super().__init__(f"the token lacks the permission {group} {level} for {resource}")
        self.group, self.level, self.resource = group, level, resource


class NotFound(CloudflareError):
    pass


class Conflict(CloudflareError):
    pass


class RateLimited(CloudflareError):
    """`retry_in_s`: what Cloudflare asked to wait, None when it did not say."""

    def __init__(self, text: str, *, retry_in_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_in_s = retry_in_s


class Unreachable(CloudflareError):
    pass


class Upstream(CloudflareError):
    """`is_in_doubt`: a change may have happened all the same."""

    def __init__(self, text: str, *, is_in_doubt: bool = False) -> None:
        super().__init__(text)
        self.is_in_doubt = is_in_doubt


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    document: dict[str, Any] | None  # None: the body is not a JSON object
    content: bytes
    retry_after_s: float | None

    @property
    def errors(self) -> list[tuple[int, str]]:
        found = (self.document or {}).get("errors")
        errors = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        return [(each.get("code") or 0, str(each.get("message") or "")) for each in errors]


Say = Callable[[str], None]

_listener: ContextVar[Say | None] = ContextVar("cloudflare_listener", default=None)


@contextmanager
def telling(say: Say) -> Iterator[None]:
    """While this lasts, `say` hears what the calls made within have to wait for, one line each time.

        with telling(progress.note):
            await cf.change(...)

    A rate limit is then waited out, however long Cloudflare's own takes.
    """
    before = _listener.set(say)
    try:
        yield
    finally:
        _listener.reset(before)


@dataclass(frozen=True, slots=True)
class Zone:
    id: str
    name: str


class Cloudflare:
    """One token's view of one account. An async context manager; nothing is sent before the first call.

    secrets   texts that no error may quote, besides the token
    say       told, in one line, when a call has to wait, where nobody else listens (`telling`)
    """

    def __init__(
        self,
        token: SecretStr,
        *,
        account: str,
        url: str,
        secrets: Sequence[str] = (),
        say: Say,
        clock: Clock | None = None,
    ) -> None:
        self.account = account
        self._token = token
        self._url = url
        self._secrets = [secret for secret in (token.get_secret_value(), *secrets) if secret]
        self._usual_say = say
        self._clock = clock or SystemClock()
        self._sdk: AsyncCloudflare | None = None
        self._sends: dict[str, Callable[..., Awaitable[Any]]] = {}  # by call, as the SDK has them
        self._importing = asyncio.Lock()
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._token_state: tuple[float, bool] | None = None  # when it was asked, and what it said

    @classmethod
    def of(cls, settings: PortalSettings) -> Cloudflare | None:
        """The settings' account; None where its token or its id is not set. Its waits go to the log."""
        if settings.cloudflare_token is None or settings.cloudflare_account is None:
            return None

        def say(line: str) -> None:
            log.info("cloudflare_waits", why=line)

        secrets = [settings.edge_alert_webhook, settings.edge_access_client_secret, settings.mail_relay_password]
        return cls(
            settings.cloudflare_token,
            account=settings.cloudflare_account,
            url=settings.cloudflare_url,
            secrets=[secret.get_secret_value() for secret in secrets if secret is not None],
            say=say,
        )

    async def __aenter__(self) -> Cloudflare:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._sdk is not None:
            await self._sdk.close()

    def conceal(self, secret: str) -> None:
        """From now on no error may quote this either: a secret that was made after the start."""
        if secret not in self._secrets:
            self._secrets.append(secret)

    async def zones(self) -> list[Json]:
        """The account's zones that the token may see, as Cloudflare sent them: id, name, status, name_servers, plan."""
        return await self.read_pages("zones.list", extra_query={"account.id": self.account})

    async def records(self, zone: Zone) -> list[Json]:
        """All DNS records of a zone, as Cloudflare sent them.

        Pages are no snapshot: when a record comes or goes between two of them, another one is listed twice, or not at
        all. So what does not add up is read again.
        raises   CloudflareError; Upstream when the zone does not hold still for STEADY_TRIES readings
        """
        for _ in range(STEADY_TRIES):
            pages = await self._pages("dns.records.list", zone=zone, per_page=RECORDS_PER_PAGE)
            found: list[Json] = [record for page in pages for record in page["result"]]
            totals = {(page.get("result_info") or {}).get("total_count", len(found)) for page in pages}
            if totals == {len({record["id"] for record in found})} and len(found) in totals:
                return found
        raise Upstream(f"the records of the zone {zone.name} change faster than they can be listed")

    async def zone(self, name: str) -> Zone:
        """Find a zone of the account. Raise NotFound when there is none, or none that the token may see."""
        found = await self.read_pages("zones.list", name=name, extra_query={"account.id": self.account})
        for zone in found:
            if zone["name"] == name:
                return Zone(zone["id"], name)
        raise NotFound(f"account {self.account} has no zone {name}, or the token lacks the permission Zone Read for it")

    async def read(self, call: str, *arguments: object, zone: Zone | None = None, **named: object) -> Any:
        """Ask for one thing and return Cloudflare's `result`.

        call     a key of CALLS
        zone     for the calls that are about one
        raises   CloudflareError
        """
        answer = await self._patiently(_Request(call, arguments, named, zone))
        result = (answer.document or {}).get("result")
        if result is None:
            raise Upstream(f"Cloudflare's answer to {call} has no result")
        return result

    async def read_bytes(self, call: str, *arguments: object, zone: Zone | None = None, **named: object) -> bytes:
        """Ask for content that has no envelope: the value of a KV key."""
        return (await self._patiently(_Request(call, arguments, named, zone))).content

    async def read_pages(
        self,
        call: str,
        *arguments: object,
        zone: Zone | None = None,
        per_page: int = PER_PAGE,
        extra_query: Mapping[str, object] | None = None,
        **named: object,
    ) -> list[Any]:
        """Ask for a list, a key of LISTS, and return all pages of it. Raise Upstream over PAGES_MAX."""
        pages = await self._pages(call, *arguments, zone=zone, per_page=per_page, extra_query=extra_query, **named)
        return [item for page in pages for item in page["result"]]

    async def _pages(
        self,
        call: str,
        *arguments: object,
        zone: Zone | None,
        per_page: int,
        extra_query: Mapping[str, object] | None = None,
        **named: object,
    ) -> list[Json]:
        """The documents of all pages; each has a list for a `result`."""
        found: list[Json] = []
        form = LISTS[call]
        size = "limit" if form == "chained, limit" else "per_page"
        where: dict[str, object] = {} if form == "whole" else {size: per_page}
        for number in range(1, PAGES_MAX + 1):
            where |= {"page": number} if form == "numbered" else {}
            query = {**(extra_query or {}), **where}
            answer = await self._patiently(_Request(call, arguments, named | {"extra_query": query}, zone))
            document = answer.document or {}
            items, info = document.get("result"), document.get("result_info") or {}
            if not isinstance(items, list):
                raise Upstream(f"Cloudflare's answer to {call} is not a list")
            found.append(document)
            if form.startswith("chained") and info.get("cursor"):
                where["cursor"] = info["cursor"]
            elif form != "numbered" or not items or number >= info.get("total_pages", PAGES_MAX + 1):
                return found
        raise Upstream(f"Cloudflare's list {call} does not end within {PAGES_MAX} pages")

    async def change(
        self,
        call: str,
        *arguments: object,
        settled: Callable[[], Awaitable[Any]],
        zone: Zone | None = None,
        **named: object,
    ) -> Any:
        """Do something once and return Cloudflare's `result`, which may be None.

        settled  asked when nobody can say whether it happened: returns what stands for the result if it did, else None
        raises   CloudflareError; Upstream: it has not happened, as far as `settled` could see; Unreachable: the same,
                 or `settled` could not see
        """
        try:
            answer = await self._unless_limited(_Request(call, arguments, named, zone))
        except CloudflareError as error:
            if not is_in_doubt(error):
                raise
            self._say(f"no clear answer from Cloudflare to {call}; looking whether it was carried out")
            try:
                found = await settled()
            except CloudflareError as blind:  # a refusal to look is no refusal of the change
                raise Unreachable(f"{error}; whether it was carried out could not be seen: {blind}") from error
            if found is None:
                raise
            return found
        return (answer.document or {}).get("result")

    async def _patiently(self, request: _Request) -> _Answer:
        for number in range(1, READ_TRIES):
            try:
                return await self._unless_limited(request)
            except CloudflareError as error:
                if not is_in_doubt(error):
                    raise
            await asyncio.sleep(READ_PAUSE_S * 2 ** (number - 1))
        return await self._unless_limited(request)

    async def _unless_limited(self, request: _Request) -> _Answer:
        """One request, repeated only while Cloudflare says that there were too many."""
        for number in range(1, RATE_TRIES):
            answer = await self._once(request)
            if answer.status != 429:
                return await self._judged(request, answer)
            wait_s = 2.0**number if answer.retry_after_s is None else answer.retry_after_s
            if wait_s > (RATE_WAIT_S if _listener.get() is None else RATE_WAIT_TOLD_S):
                break
            self._say(f"Cloudflare limits the rate of requests; waiting {wait_s:g} s")
            await asyncio.sleep(wait_s)
        else:
            answer = await self._once(request)
            if answer.status != 429:
                return await self._judged(request, answer)
        raise RateLimited(
            f"Cloudflare limits the rate of requests; try again in {wait_s:g} s or later", retry_in_s=wait_s
        )

    async def _once(self, request: _Request) -> _Answer:
        send = await self._send_of(request.call)
        import cloudflare  # at hand, now

        try:
            async with self._slots:
                response = (await send(*request.arguments, **request.all_named(self.account))).http_response
        except cloudflare.APIStatusError as error:
            response = error.response
        except cloudflare.APIConnectionError as error:
            what = "does not answer in time" if isinstance(error, cloudflare.APITimeoutError) else "cannot be reached"
            raise Unreachable(f"Cloudflare {what} ({request.call} at {self._url})") from None
        try:
            document = response.json()
        except ValueError:
            document = None
        return _Answer(
            response.status_code,
            document if isinstance(document, dict) else None,
            response.content,
            _seconds(response.headers.get("retry-after")),
        )

    def _say(self, line: str) -> None:
        (_listener.get() or self._usual_say)(line)

    async def _send_of(self, call: str) -> Callable[..., Awaitable[Any]]:
        """What sends a call. Looking it up is what imports the SDK, part by part."""
        if call not in self._sends:
            async with self._importing:
                self._sends[call] = await asyncio.to_thread(self._find_send, call)
        return self._sends[call]

    def _find_send(self, call: str) -> Callable[..., Awaitable[Any]]:
        resource, _, method = call.rpartition(".")
        send: Callable[..., Awaitable[Any]] = getattr(
            operator.attrgetter(resource)(self._client()).with_raw_response, method
        )
        return send

    def _client(self) -> AsyncCloudflare:
        if self._sdk is None:
            from cloudflare import AsyncCloudflare, DefaultAsyncHttpxClient

            logging.getLogger("cloudflare").setLevel(logging.WARNING)  # its debug log has whole requests, secrets too
            sdk = AsyncCloudflare(
                api_token=self._token.get_secret_value(),
                base_url=self._url,
                max_retries=0,
                timeout=TIMEOUT_S,
                http_client=DefaultAsyncHttpxClient(follow_redirects=False, timeout=TIMEOUT_S),
            )
            sdk.api_key = sdk.api_email = sdk.user_service_key = None  # from the environment
            self._sdk = sdk
        return self._sdk

    async def _judged(self, request: _Request, answer: _Answer) -> _Answer:
        """Return an answer that says yes; raise what any other means."""
        if 200 <= answer.status < 300 and (answer.document or {}).get("success", True) is True:
            return answer
        said, codes = self._quoted(answer), {code for code, _ in answer.errors}
        on = request.on(self.account)
        if (answer.status in (401, 403) or codes & _REFUSED_CODES) and not codes & _NOT_ENABLED_CODES:
            if await self._token_is_good():
                group, level, _ = CALLS[request.call]
                raise MissingPermission(group, level, on)
            raise TokenRefused(f"Cloudflare refuses the token: {said}")
        if codes & _EXISTS_CODES or answer.status == 409:
            raise Conflict(f"{on}: {said}")
        if codes & _ABSENT_CODES or answer.status == 404:
            raise NotFound(f"{on}: {said}")
        raise Upstream(f"Cloudflare does not do {request.call} for {on}: {said}", is_in_doubt=answer.status >= 500)

    async def _token_is_good(self) -> bool:
        """Whether the token is valid, so that a refusal is one of permission. Asked once a minute; needs no permission.

        The tokens of users and of accounts are verified at different addresses. Raise Upstream when none of them says.
        """
        now = self._clock.monotonic()
        if self._token_state is None or now - self._token_state[0] > TOKEN_KNOWN_S:
            answers = [await self._once(_Request(call)) for call in ("user.tokens.verify", "accounts.tokens.verify")]
            results = [(answer.document or {}).get("result") for answer in answers if answer.status == 200]
            is_good = any(isinstance(each, dict) and each.get("status") == "active" for each in results)
            if not is_good and any(answer.status == 429 or answer.status >= 500 for answer in answers):
                raise Upstream("Cloudflare refuses, and cannot say just now whether the token is valid")
            self._token_state = (now, is_good)
        return self._token_state[1]

    def _quoted(self, answer: _Answer) -> str:
        said = "; ".join(f"{message} (code {code})" if code else message for code, message in answer.errors)
        for secret in self._secrets:
            said = said.replace(secret, "[redacted]")
        said = "".join(character if character.isprintable() else " " for character in said)  # it may name hostile names
        return " ".join(said.split())[:QUOTED_CHARACTERS] or f"HTTP {answer.status}"


@dataclass(frozen=True, slots=True)
class _Request:
    call: str
    arguments: Sequence[object] = ()
    named: Mapping[str, object] = field(default_factory=dict)
    zone: Zone | None = None

    def all_named(self, account: str) -> dict[str, object]:
        scope = _VERIFY.get(self.call) or CALLS[self.call][2]
        named = {"extra_body": self.named} if self.call in PLAIN_BODIES else self.named
        if scope == "account":
            return {**named, "account_id": account}
        return {**named, "zone_id": self.zone.id} if self.zone else dict(named)

    def on(self, account: str) -> str:
        """The resource as its permission names it."""
        if CALLS[self.call][2] == "account":
            return f"account {account}"
        name = self.zone.name if self.zone else self.named.get("name")
        return f"zone {name}" if name else "all zones"


def is_in_doubt(error: CloudflareError) -> bool:
    """Whether nobody knows if it happened, or would if it were asked again."""
    return isinstance(error, Unreachable) or (isinstance(error, Upstream) and error.is_in_doubt)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; Cloudflare sends no dates there."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None
