"""The front door: `POST /v1/messages` in, a receipt or a problem out (wire.md). The only process the internet reaches.

    signature -> envelope -> body -> ledger -> admission -> scan -> transport -> settle -> receipt

What is promised: 200 only after the transport's 250, 202 only after the spool's fsync, `smtp` only where the refusal
is final. Anything unknown, a bug of ours included, is an answer without `smtp`: the edge keeps the message and comes
again. A claim in the ledger is released on every way out that accepted nothing, and expires when this process dies.

The ledger is asked after the body, not before: an answer to a half-read request is lost on its way through proxies,
so the body would have to be drained anyway, and a repeat is held to the same digest (docs/adr/0006).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kit import health, problem
from kit.clock import Clock
from kit.logging import get_logger, mask_address, mask_addresses
from kit.problem import ContentTooLarge, Problem
from mail_api import admission, metrics, openapi, settle, trace_headers
from mail_api.admission import Disk, InsufficientStorage, Slots
from mail_api.content import Content
from mail_api.envelope import Envelope, read_envelope, read_unchecked_envelope
from mail_api.history import Event, Step
from mail_api.keys import KeyRing
from mail_api.ledger import SETTLED, Busy, Claim, Conflict, Ledger, Seen, State
from mail_api.observe import Observer
from mail_api.recipients import REMEMBERED, Recipients
from mail_api.refusal import BadAddress, FinalRefusal, TooLarge
from mail_api.reply import Meaning, Reply, Stage, not_sent
from mail_api.scan.verdict import Scanner, Verdict
from mail_api.settings import (
    DRAIN_DEADLINE_S,
    DRAIN_UPLOAD_S,
    LEASE_MARGIN_S,
    LIVE_DEADLINE_S,
    LIVE_UPLOAD_S,
    MAX_MESSAGE_BYTES,
    MAX_SCAN_S,
    MailSettings,
)
from mail_api.settle import Decision, Mode, Outcome, Policy
from mail_api.signature import MESSAGE_HEADERS, SignatureRefused, SignedRequest, homeport_headers, verify
from mail_api.spool import Entry, Place, Spool
from mail_api.threads import if_large, to_the_end
from mail_api.trace_headers import HEAD_BYTES, Inspection
from mail_api.transport import Transport
from mail_api.upload import Body, Upload, UploadTimeout

log = get_logger()

PATH = "/v1/messages"
HEALTH_PATH = "/v1/health"
PROBE_S = 5.0  # of the deadline may go to asking whether the mailbox exists
LEAST_DELIVERY_S = 1.0  # with less left than this, delivery is not begun
BUSY_POLL_S = 0.05
BUSY_RETRY_AFTER_S = 5


class IdConflict(Problem):
    """The message id was used before with another envelope or another body."""

    status, type, title = 409, "message-id-conflict", "Message id was used for another message"


class StillInFlight(Problem):
    """The same message is being delivered by another request."""

    status, type, title = 503, "still-in-flight", "The same message is being delivered"


class LedgerUnavailable(Problem):
    """The ledger cannot be written, so nothing can be promised."""

    status, type, title = 503, "ledger-unavailable", "Ledger is not available"


@dataclass(slots=True)
class Parts:
    """What one ingress worker is made of; built by `create_app`, or by a test."""

    settings: MailSettings
    keys: KeyRing
    spool: Spool
    ledger: Ledger
    transport: Transport
    scanner: Scanner
    observer: Observer
    clock: Clock

    @property
    def policy(self) -> Policy:
        return Policy(self.settings.sentinel is not None, self.settings.mailbox_full_is_final)


@dataclass(frozen=True, slots=True)
class Received:
    """A message whose bytes are here and match their signed headers."""

    envelope: Envelope
    body: Body
    inspection: Inspection
    key_id: str
    at: float
    deadline: float  # monotonic
    mode: Mode

    @property
    def content(self) -> Content:
        return self.body.content


@dataclass(slots=True)
class Passage:
    """What a message has met so far on its way through the pipe."""

    events: list[Event] = field(default_factory=list)
    verdict: Verdict | None = None


class Ingress:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._slots = Slots(parts.settings.max_concurrent)
        self._disk = Disk(parts.spool, clock=parts.clock)
        self._recipients = Recipients(parts.transport, clock=parts.clock)
        self._policy = parts.policy

    async def post_message(self, request: Request) -> Response:
        """Answer `POST /v1/messages`."""
        began = self._clock.monotonic()
        signed = self._verify(request, PATH)
        upload = Upload(request.receive)
        try:
            with self._slots:
                response = await self._receive(upload, signed)
        except Problem as refused:
            metrics.REFUSED.labels(refused.type).inc()
            refused.extensions["message_id"] = signed.message_id
            log.warning(
                "message_refused",
                message_id=signed.message_id,
                type=refused.type,
                detail=mask_addresses(refused.detail),
            )
            if not isinstance(refused, UploadTimeout):  # that body has been waited for long enough
                await upload.drain()
            raise
        except Exception:
            metrics.REFUSED.labels("internal-error").inc()
            raise
        metrics.STAGES["total"].observe(self._clock.monotonic() - began)
        return response

    async def get_health(self, request: Request) -> Response:
        """Answer `GET /v1/health`."""
        self._verify(request, HEALTH_PATH)
        census = await self._parts.observer.census()
        queue = {"length": census.waiting, "oldest_s": round(census.oldest_s(self._clock.now()))}
        return JSONResponse({"status": "ok", "queue": queue})

    def _verify(self, request: Request, path: str) -> SignedRequest:
        try:
            headers = homeport_headers(request.scope["headers"])
            return verify(headers, method=request.method, path=path, keys=self._parts.keys, now=self._clock.now())
        except SignatureRefused as refused:
            metrics.REFUSED.labels(refused.type).inc()
            log.warning("signature_refused", reason=refused.reason.value, path=path)
            raise

    async def _receive(self, upload: Upload, signed: SignedRequest) -> Response:
        values = {name: getattr(signed, name) for name in MESSAGE_HEADERS}
        try:
            envelope = read_envelope(**values)
            bad_address = None
        except BadAddress as error:
            if not signed.retained_at:
                raise
            envelope, bad_address = read_unchecked_envelope(**values), error
        mode = Mode.LIVE if envelope.retained_at is None else Mode.DRAIN
        if envelope.size_bytes > MAX_MESSAGE_BYTES:
            # on a drain nothing is final, and what Cloudflare took is never this large
            raise TooLarge() if mode is Mode.LIVE else ContentTooLarge(f"over {MAX_MESSAGE_BYTES} bytes")
        metrics.RECEIVED.inc()
        received = await self._read(upload, envelope, signed.key_id, mode)
        try:
            return await self._answer(received, bad_address)
        finally:
            received.body.close()

    # -- the body -------------------------------------------------------------------------------------------------

    async def _read(self, upload: Upload, envelope: Envelope, key_id: str, mode: Mode) -> Received:
        """Read the body and look into its header. Raise what `Upload.read` raises."""
        live = mode is Mode.LIVE
        upload_s, deadline_s = (LIVE_UPLOAD_S, LIVE_DEADLINE_S) if live else (DRAIN_UPLOAD_S, DRAIN_DEADLINE_S)
        body = await upload.read(envelope, self._parts.spool, timeout_s=upload_s, clock=self._clock)
        content = body.content
        try:
            inspection = await if_large(
                content.size_bytes,
                lambda: trace_headers.inspect(content.read(0, HEAD_BYTES), self._parts.settings.hostname),
            )
        except BaseException:
            body.close()
            raise
        metrics.STAGES["upload"].observe(self._clock.monotonic() - body.began)
        return Received(envelope, body, inspection, key_id, self._clock.now(), body.began + deadline_s, mode)

    # -- from here on the bytes are known -------------------------------------------------------------------------

    async def _answer(self, received: Received, bad_address: BadAddress | None) -> Response:
        envelope = received.envelope
        passage = Passage([_received_event(received)])
        claim = await self._claim(received, passage)
        if isinstance(claim, Seen):
            metrics.DUPLICATES.inc()
            return self._receipt_of(claim, envelope)
        try:
            decision = await self._decide(received, bad_address, passage)
            return await self._settle(received, claim, decision, passage)
        except BaseException as error:
            await self._release(claim, error, passage.events)
            raise

    async def _claim(self, received: Received, passage: Passage) -> Claim | Seen:
        """Return the right to deliver, or what became of the message earlier. Waits for a delivery in flight."""
        envelope, content = received.envelope, received.content
        fingerprint = await if_large(
            content.size_bytes,
            trace_headers.fingerprint,
            envelope.mail_from,
            envelope.rcpt_to,
            content,
            received.inspection,
        )
        while True:
            now = self._clock.monotonic()
            lease_s = max(received.deadline - now, 0.0) + LEASE_MARGIN_S
            try:
                answer = await self._parts.ledger.claim(
                    envelope, fingerprint, lease_s=lease_s, key_id=received.key_id, events=passage.events
                )
            except (sqlite3.Error, OSError) as error:
                log.error("ledger_failed", message_id=envelope.message_id, error=str(error))
                full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
                raise (InsufficientStorage if full else LedgerUnavailable)("the ledger cannot be written") from error
            if isinstance(answer, Conflict):
                raise IdConflict("the message id was used before with another envelope or body")
            if not isinstance(answer, Busy):
                break
            if now >= received.deadline:
                raise StillInFlight("ask again later", headers={"Retry-After": str(BUSY_RETRY_AFTER_S)})
            await asyncio.sleep(BUSY_POLL_S)
        if isinstance(answer, Claim) and answer.is_repeat:
            # Its earlier holder died. If it had spooled the message before that, the promise stands already.
            place = await asyncio.to_thread(self._parts.spool.find, envelope.message_id)
            if place is not None:
                state = State.HELD if place in (Place.HOLD, Place.CORRUPT) else State.QUEUED
                await self._mark(answer, state, envelope.message_id, [])
                return Seen(state, envelope.message_id, envelope.message_id)
            known = None
            # not there any more? Delivery may have settled it between our claim and our look
            with contextlib.suppress(sqlite3.Error, OSError):
                known = await self._parts.ledger.state_of(envelope.message_id)
            if known in SETTLED:
                return Seen(known, None if known is State.DELIVERED else envelope.message_id, envelope.message_id)
        return answer

    async def _decide(self, received: Received, bad_address: BadAddress | None, passage: Passage) -> Decision:
        """Take the message through admission, scanners and transport; return what becomes of it."""
        envelope, mode = received.envelope, received.mode
        if bad_address is not None:
            return settle.refuse(BadAddress, mode, bad_address.detail)
        loop = admission.loop_refusal(received.inspection)
        if loop is not None:
            return settle.refuse(loop, mode, f"{received.inspection.received_count} Received fields")
        self._disk.check()
        admission.check_domain(envelope, self._parts.settings.domains)

        known = await self._ask_recipient(received, passage)
        refusal = settle.final_refusal(known, self._policy)
        if refusal is not None:
            return settle.refuse(refusal, mode, str(known))

        verdict = await self._scan(received, passage)
        forced = settle.judge_verdict(verdict, mode)
        if forced is not None:
            return forced
        left_s = received.deadline - self._clock.monotonic()
        if not known.is_positive:
            return Decision(Outcome.QUEUE, str(known))
        if left_s < LEAST_DELIVERY_S:
            return Decision(Outcome.QUEUE, "no time was left to deliver at once")
        reply = await self._deliver(received, verdict, left_s, passage)
        if reply.meaning is not Meaning.DELIVERED:
            self._recipients.forget(envelope.rcpt_to)
        return settle.judge_reply(reply, mode, self._policy)

    async def _ask_recipient(self, received: Received, passage: Passage) -> Reply:
        began = self._clock.monotonic()
        left_s = received.deadline - began
        if left_s < LEAST_DELIVERY_S:
            return not_sent(Stage.RCPT, "no time was left to ask for the mailbox")
        reply = await self._recipients.ask(received.envelope.rcpt_to, timeout_s=min(PROBE_S, left_s))
        if reply is not REMEMBERED:
            metrics.STAGES["recipient"].observe(self._clock.monotonic() - began)
        if not reply.is_positive:
            passage.events.append(Event(Step.RECIPIENT, self._clock.now(), {"reply": str(reply)}))
        return reply

    async def _scan(self, received: Received, passage: Passage) -> Verdict:
        began = self._clock.monotonic()
        verdict = await self._parts.scanner.scan(
            received.envelope,
            received.content,
            received.inspection.trace,
            timeout_s=max(min(MAX_SCAN_S, received.deadline - began), 0.0),
        )
        if verdict.report:
            metrics.STAGES["scan"].observe(self._clock.monotonic() - began)
        passage.verdict = verdict
        passage.events.append(verdict.event(self._clock.now()))
        return verdict

    async def _deliver(self, received: Received, verdict: Verdict, left_s: float, passage: Passage) -> Reply:
        began = self._clock.monotonic()
        outgoing = trace_headers.compose(
            received.content,
            received.inspection,
            message_id=received.envelope.message_id,
            rcpt_to=received.envelope.rcpt_to,
            hostname=self._parts.settings.hostname,
            received_at=received.at,
            verdict_headers=verdict.headers,
        )
        [reply] = await self._parts.transport.deliver(
            received.envelope.mail_from,
            [received.envelope.rcpt_to],
            outgoing,
            message_id=received.envelope.message_id,
            timeout_s=left_s,
        )
        metrics.STAGES["transport"].observe(self._clock.monotonic() - began)
        step = Step.DELIVERED if reply.meaning is Meaning.DELIVERED else Step.ATTEMPTED
        passage.events.append(Event(step, self._clock.now(), {"reply": str(reply)}))
        return reply

    # -- the answer -----------------------------------------------------------------------------------------------

    async def _settle(self, received: Received, claim: Claim, decision: Decision, passage: Passage) -> Response:
        envelope, events = received.envelope, passage.events
        match decision.outcome:
            case Outcome.DELIVERED:
                await self._mark(claim, State.DELIVERED, None, events)
                metrics.DELIVERED.inc()
                return _receipt(envelope, State.DELIVERED, None)
            case Outcome.REFUSE:
                assert decision.refusal is not None
                events.append(Event(Step.REFUSED, self._clock.now(), {"reason": decision.reason}))
                raise decision.refusal(decision.reason)
            case Outcome.QUEUE:
                place, state, step, counter = Place.QUEUE, State.QUEUED, Step.QUEUED, metrics.QUEUED
            case Outcome.HOLD:
                place, state, step, counter = Place.HOLD, State.HELD, Step.HELD, metrics.HELD
        await self._spool(received, place, decision.reason, passage)
        events.append(Event(step, self._clock.now(), {"reason": decision.reason}))
        await self._mark(claim, state, envelope.message_id, events)
        counter.inc()
        say = log.error if state is State.HELD else log.info  # an operator has to decide
        say(
            f"message_{state}",
            message_id=envelope.message_id,
            rcpt=mask_address(envelope.rcpt_to),
            reason=mask_addresses(decision.reason),
        )
        return _receipt(envelope, state, envelope.message_id)

    async def _spool(self, received: Received, place: Place, reason: str, passage: Passage) -> None:
        """Make the message durable, or raise the problem that says it is not."""
        envelope = received.envelope
        entry = Entry(
            queue_id=envelope.message_id,
            mail_from=envelope.mail_from,
            rcpt_to=envelope.rcpt_to,
            size_bytes=received.content.size_bytes,
            sha256=received.content.sha256,
            received_at=received.at,
            retained_at=envelope.retained_at,
            verdict=dataclasses.asdict(passage.verdict) if passage.verdict and passage.verdict.report else None,
            reason=reason,
        )
        began = self._clock.monotonic()
        try:
            await to_the_end(self._parts.spool.accept, entry, received.content, place)
        except OSError as error:
            log.error("spool_failed", message_id=envelope.message_id, error=str(error))
            raise admission.storage_problem(error) from error
        metrics.STAGES["spool"].observe(self._clock.monotonic() - began)

    async def _mark(self, claim: Claim, state: State, queue_id: str | None, events: list[Event]) -> None:
        """Record the outcome. A failure costs at worst a duplicate, so it does not undo what was promised."""
        try:
            await self._parts.ledger.settle(claim, state, queue_id, events)
        except (sqlite3.Error, OSError) as error:
            log.error("ledger_mark_lost", message_id=claim.message_id, state=state.value, error=str(error))

    async def _release(self, claim: Claim, error: BaseException, events: list[Event]) -> None:
        if not isinstance(error, FinalRefusal):
            said = error.type if isinstance(error, Problem) else type(error).__name__
            events.append(Event(Step.FAILED, self._clock.now(), {"reason": said}))
        await asyncio.shield(self._mark(claim, State.RELEASED, None, events))

    def _receipt_of(self, seen: Seen, envelope: Envelope) -> Response:
        # What an operator dropped stays ours: its repeat is not delivered, and its sender has long heard "accepted".
        state = State.HELD if seen.state is State.DROPPED else seen.state
        log.info("message_repeated", message_id=envelope.message_id, of=seen.original, state=state.value)
        return _receipt(envelope, state, seen.queue_id if state is not State.DELIVERED else None)


def _received_event(received: Received) -> Event:
    envelope = received.envelope
    return Event(
        Step.RECEIVED if envelope.retained_at is None else Step.DRAINED,
        received.at,
        {
            "mail_from": envelope.mail_from,
            "rcpt_to": envelope.rcpt_to,
            "size_bytes": envelope.size_bytes,
            "retained_at": envelope.retained_at,
            "client_ip": received.inspection.trace.client_ip,
            "key_id": received.key_id,
        },
    )


def _receipt(envelope: Envelope, state: State, queue_id: str | None) -> Response:
    return JSONResponse(
        {"status": state.value, "message_id": envelope.message_id, "sha256": envelope.sha256, "queue_id": queue_id},
        status_code=200 if state is State.DELIVERED else 202,
    )


class _ShortWay:
    """`POST /v1/messages` past the framework's routing, which takes as long as all of ours (docs/adr/0009).

    The route stands in the router too, so that other methods get their 405 and openapi.py describes what is there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        ingress: Ingress = scope["app"].state.ingress
        try:
            response = await ingress.post_message(Request(scope, receive))
        except Problem as refused:
            response = refused.response()
        await response(scope, receive, send)


# -- the application --------------------------------------------------------------------------------------------------


def create_app(parts: Callable[[], AbstractAsyncContextManager[Parts]]) -> FastAPI:
    """The public application: `/v1/*` and `/livez`, nothing else.

    parts   opened when the application starts, closed when it stops
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with parts() as opened:
            app.state.ingress = Ingress(opened)
            yield

    app = FastAPI(
        title="Homeport mail API",
        version=version("homeport"),
        description="Takes signed mail from the Email Worker. Every problem is explained in docs/problems.md.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    problem.install(app, short_way=_ShortWay)
    app.include_router(health.routes())

    async def post_message(request: Request) -> Response:
        ingress: Ingress = request.app.state.ingress
        return await ingress.post_message(request)

    async def get_health(request: Request) -> Response:
        ingress: Ingress = request.app.state.ingress
        return await ingress.get_health(request)

    app.router.add_route(PATH, post_message, methods=["POST"])
    app.router.add_route(HEALTH_PATH, get_health, methods=["GET"])
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return app
