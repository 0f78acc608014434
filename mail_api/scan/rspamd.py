"""Rspamd over HTTP: `POST /checkv2` with the raw message, its envelope, and the client that Cloudflare saw.

Without the client's address SPF, RBL and HELO rules would judge Cloudflare. Address and HELO come from the trusted
trace block (trace_headers.py); where it is missing, or names a client that cannot be one, they are left out. Each
message has a connection of its own, which is what Rspamd's workers want; the body streams, at most one chunk of it is
here twice.

The answer is a stranger's: it is bounded before it is parsed, held to its form, and whatever of it goes on, into a
header, a log or the spool, is made printable first (symbols quote the message).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from collections.abc import Iterator
from typing import Annotated, Any

import httpx2
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from mail_api.content import Content, Outgoing
from mail_api.envelope import Envelope
from mail_api.scan.verdict import Finding, Opinion, one_line
from mail_api.trace_headers import Trace

MAX_ANSWER_BYTES = 1024 * 1024  # of a message with every rule hit: some 50 kB
MAX_SYMBOLS = 100  # of a report, those with the greatest weight
MAX_OPTIONS = 8  # of a symbol

FINDINGS = {  # Rspamd's actions, docs "Actions"; mail.md 6.3
    "no action": Finding.CLEAN,
    "add header": Finding.SPAM,
    "rewrite subject": Finding.SPAM,
    "greylist": Finding.PATIENCE,
    "soft reject": Finding.PATIENCE,
    "reject": Finding.REFUSED,
    "quarantine": Finding.SET_ASIDE,
    "discard": Finding.SET_ASIDE,  # it would vanish without a word: an operator shall see it
}


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Symbol(_Loose):
    score: FiniteFloat = 0.0
    options: list[str] = Field(default_factory=list)


class _Messages(_Loose):
    smtp_message: str = ""


class _Milter(_Loose):
    add_headers: dict[str, Any] = Field(default_factory=dict)


class _Answer(_Loose):
    """What we read of a reply to /checkv2 (Rspamd docs, "Protocol")."""

    action: Annotated[str, Field(strict=True)]
    score: FiniteFloat
    required_score: FiniteFloat
    symbols: dict[str, _Symbol] = Field(default_factory=dict)
    messages: _Messages = Field(default_factory=_Messages)
    milter: _Milter = Field(default_factory=_Milter)


class Rspamd:
    """One Rspamd worker.

    url        such as http://mail-rspamd:11333
    hostname   our own name, which Rspamd gets as that of the mail server
    """

    def __init__(self, url: str, *, hostname: str) -> None:
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it has a line for every request
        self._url = url.rstrip("/")
        self._hostname = hostname
        self._client = httpx2.AsyncClient(
            trust_env=False,  # no proxy from the environment gets to see mail
            follow_redirects=False,
            timeout=None,  # httpx2's is for each read, which a slow drip meets: the whole exchange has one, below
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
            headers={"Connection": "close", "Accept-Encoding": "identity", "User-Agent": "homeport"},
        )

    async def scan(self, envelope: Envelope, content: Content, trace: Trace, *, timeout_s: float) -> Opinion:
        """Return what Rspamd finds. Raises nothing that Rspamd or the network does."""
        headers = [
            ("Content-Length", str(content.size_bytes)),
            ("Content-Type", "message/rfc822"),
            *_about(envelope, trace, self._hostname),
        ]
        body = content.source if isinstance(content.source, bytes) else Outgoing(b"", content).chunks()
        try:
            async with asyncio.timeout(timeout_s):
                status, answer = await self._exchange("POST", "/checkv2", headers, body)
        except TimeoutError:
            return Opinion(Finding.FAILED, f"no answer within {timeout_s:.1f} s")
        except httpx2.ConnectError as error:
            return Opinion(Finding.FAILED, f"cannot be reached: {one_line(str(error))}", is_unreachable=True)
        except (httpx2.HTTPError, OSError, ValueError) as error:
            return Opinion(Finding.FAILED, one_line(str(error)) or type(error).__name__)
        return read_answer(status, answer)

    async def check(self, *, timeout_s: float) -> str:
        """For /readyz: return one line, or raise OSError."""
        try:
            async with asyncio.timeout(timeout_s):
                status, answer = await self._exchange("GET", "/ping", [], None)
        except httpx2.HTTPError as error:
            raise OSError(f"{self._url}: {error}") from error
        if status != 200 or answer.strip() != b"pong":
            raise OSError(f"{self._url} is no Rspamd: it answered {status}")
        return self._url

    async def close(self) -> None:
        await self._client.aclose()

    async def _exchange(self, method: str, path: str, headers: list[tuple[str, str]], body: Any) -> tuple[int, bytes]:
        """Return status and body of the answer. Raise httpx2.HTTPError, or ValueError for an answer out of bounds."""
        sent = [(name.encode("ascii"), value.encode()) for name, value in headers]
        async with self._client.stream(method, self._url + path, headers=sent, content=body) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("the answer is compressed, which was not asked for")
            answer = bytearray()
            async for block in response.aiter_raw():
                answer += block
                if len(answer) > MAX_ANSWER_BYTES:
                    raise ValueError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
            return response.status_code, bytes(answer)


# What Rspamd takes for its own network (options.inc, `local_addrs`), whose mail it asks neither SPF nor DMARC nor block
# lists about. Cloudflare sees no such client, so only a trace block that the sender wrote names one.
_LOCAL = tuple(
    map(
        ipaddress.ip_network,
        (
            *("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
            *("::1", "fc00::/7", "fe80::/10"),
        ),
    )
)


def _about(envelope: Envelope, trace: Trace, hostname: str) -> Iterator[tuple[str, str]]:
    yield "From", _header_value(envelope.mail_from) or "<>"
    yield "Rcpt", _header_value(envelope.rcpt_to)
    yield "Queue-Id", envelope.message_id
    yield "MTA-Name", hostname
    if trace.client_ip is not None and not _is_local(trace.client_ip):
        yield "IP", trace.client_ip
    if trace.helo is not None:
        yield "Helo", trace.helo


def _is_local(client_ip: str) -> bool:
    ip = ipaddress.ip_address(client_ip)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in network for network in _LOCAL)


def _header_value(address: str) -> str:
    """An address as an HTTP header can carry it: one that was held for its control characters may be released."""
    return "".join(char if char.isprintable() else "?" for char in address)


def read_answer(status: int, answer: bytes) -> Opinion:
    """Given Rspamd's answer to /checkv2, return what it says; FAILED for everything that is not surely an opinion."""
    if status == 413:
        return Opinion(Finding.OVER_LIMIT, "larger than Rspamd's limit")
    if status != 200:
        return Opinion(Finding.FAILED, f"HTTP {status} {one_line(answer.decode('utf-8', 'replace'))}".rstrip())
    try:
        parsed = _Answer.model_validate_json(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        return Opinion(Finding.FAILED, one_line(f"its answer makes no sense: {where} {first['type']}"))
    finding = FINDINGS.get(parsed.action)
    if finding is None:
        return Opinion(Finding.FAILED, f"unknown action {one_line(parsed.action, 40)!r}")
    weighty = sorted(parsed.symbols.items(), key=lambda item: -abs(item[1].score))[:MAX_SYMBOLS]
    report: dict[str, Any] = {
        "action": parsed.action,
        "score": parsed.score,
        "required_score": parsed.required_score,
        "symbols": {
            one_line(name, 80): {
                "score": symbol.score,
                "options": [one_line(option, 120) for option in symbol.options[:MAX_OPTIONS]],
            }
            for name, symbol in weighty
        },
    }
    if parsed.messages.smtp_message:
        report["message"] = one_line(parsed.messages.smtp_message)
    said = f"{parsed.action}, score {parsed.score:.2f} of {parsed.required_score:.2f}"
    return Opinion(finding, said, report, headers=_headers(finding, parsed))


# -- Rspamd's header fields -------------------------------------------------------------------------------------------

# Fields that describe its opinion, and no others: it must not be able to write Received, From or X-Homeport-Id.
# X-Spam alone is ours, since Sieve files by it: it says what the action says, whatever Rspamd's configuration is.
_TAKEN = re.compile(r"X-Spam-[a-z-]{1,40}|X-Spamd-[a-z-]{1,40}|X-Rspamd-[a-z-]{1,40}|Authentication-Results", re.I)
MAX_FIELDS = 20
MAX_FIELD_CHARS = 4000
_FOLD_AT = 78  # RFC 5322 2.1.1
_MAX_WORD = 900  # so that no line passes 998


def _headers(finding: Finding, answer: _Answer) -> str:
    """The fields to prepend to a message that is delivered."""
    if finding not in (Finding.CLEAN, Finding.SPAM):
        return ""  # nothing that an operator releases shall be filed as spam
    taken = [
        header_field(name, value)
        for name, given in sorted(answer.milter.add_headers.items())  # it has them in any order
        if _TAKEN.fullmatch(name)
        for value in _values(given)
        if value.split()
    ][:MAX_FIELDS]
    if finding is Finding.SPAM:
        if not taken:
            said = f"Yes, score={answer.score:.2f} required={answer.required_score:.2f}"
            taken = [header_field("X-Spam-Status", said)]
        taken.insert(0, header_field("X-Spam", "Yes"))
    return "".join(taken)


def _values(given: Any) -> Iterator[str]:
    """The values of one name: text, `{"value": text, "order": n}`, or a list of these."""
    for each in given if isinstance(given, list) else [given]:
        value = each.get("value") if isinstance(each, dict) else each
        if isinstance(value, str):
            yield value


def header_field(name: str, value: str) -> str:
    """Return `Name: value CRLF`, whatever `value` is: ASCII, folded, one field, no empty line."""
    lines = [f"{name}:"]
    for word in _words(value[:MAX_FIELD_CHARS]):
        if len(lines[-1]) + 1 + len(word) > _FOLD_AT and len(lines[-1]) > len(name) + 1:
            lines.append("\t" + word)
        else:
            lines[-1] += " " + word
    return "\r\n".join(lines) + "\r\n"


def _words(value: str) -> Iterator[str]:
    for word in value.split():  # at every kind of space and line end, Unicode's too
        printable = "".join(char if "!" <= char <= "~" else "?" for char in word)
        yield from (printable[at : at + _MAX_WORD] for at in range(0, len(printable), _MAX_WORD))
