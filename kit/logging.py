"""Logs: one line per event on standard error, a constant event name, data in keys.

    log = get_logger()
    log.info("message_deferred", queue_id=queue_id, reply_code=452, attempt=3, delay_s=300)

JSON in production, aligned text on a terminal. The standard library's loggers (uvicorn, httpx2) come out in the same
form. Whatever is logged, two rules hold:

- a value whose key contains one of the words in `SECRET_WORDS` is never written, at any depth;
- control, format and line-breaking characters in values are written as escapes (`\\x1b`, `\\u202e`), so that hostile
  text can neither forge a line nor drive a terminal. Only a traceback keeps its line breaks, on a terminal.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

SECRET_WORDS = frozenset(
    {"password", "passwd", "passphrase", "secret", "secrets", "token", "signature", "authorization", "cookie"}
    | {"credential", "credentials", "apikey"}
)
REDACTED = "[redacted]"

# C0, DEL, C1, Arabic letter mark, zero-width and bidi marks, line separators, byte order mark, lone surrogates
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def configure(*, json: bool, level: str = "info", stream: TextIO | None = None) -> None:
    """Set up logging for this process; a later call replaces an earlier one.

    level   debug, info, warning, error or critical; raises ValueError for anything else
    stream  where the lines go; standard error by default, since standard output belongs to `--json` commands
    """
    if level not in _LEVELS:
        raise ValueError(f"log level must be one of {', '.join(_LEVELS)}")
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
        make_visible,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)
        if json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_logger],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shared, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(_LEVELS[level], logging.INFO))  # other people's debug lines may hold anything


_LEVELS = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error", "critical")}


def get_logger() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def mask_address(address: str) -> str:
    """Given a mail address, return it with all but the first character of its local part hidden: `a***@example.com`.

    Enough to find one's own mail in a log, too little to harvest addresses from one. The null sender is `<>`.
    """
    local, at, domain = address.rpartition("@")
    if not at:
        local, domain = address, ""
    return f"{local[:1]}***{at}{domain}" if address else "<>"


def mask_addresses(text: str) -> str:
    """Given text of others, such as a mail server's reply, return it with every mail address in it masked."""
    return _ADDRESS.sub(lambda match: mask_address(match.group()), text)


_ADDRESS = re.compile(r"[^\s<>(),;:]+@[^\s<>(),;:]+")


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Processor: replace the values of secret keys, at any depth."""
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: object, value: object) -> object:
    if value is not None and not isinstance(value, bool) and SECRET_WORDS & set(_words(str(key))):
        return REDACTED
    if isinstance(value, Mapping):
        return {name: _redacted(name, inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", inner) for inner in value]
    return value


def _words(key: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower())


def make_visible(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Processor: escape what a reader would not see or a terminal would obey, at any depth."""
    return {key: _trace(value) if key == "exception" else _visible(value) for key, value in event.items()}


def _visible(value: object) -> object:
    if isinstance(value, str):
        return _INVISIBLE.sub(_escape, value)
    if isinstance(value, Mapping):
        return {_visible(name): _visible(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_visible(inner) for inner in value]
    return value if isinstance(value, bool | int | float | None) else _visible(str(value))


def _trace(value: object) -> str:
    return "\n".join(_INVISIBLE.sub(_escape, line) for line in str(value).split("\n"))


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")


def _name_logger(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = event["_record"].name
    return event
