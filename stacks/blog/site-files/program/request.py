"""What is asked for, checked field by field. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from failures import Failure

FIRST_UID, LAST_UID = 20_000, 29_999
RESERVED = frozenset({"blog-php", "default", "generation", "global", "homeport"})

SITE = r"[a-z0-9](?:[a-z0-9-]{0,29}[a-z0-9])?"
_INSTALLED = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_HOST = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_SECRET = r"[A-Za-z0-9_-]{16,128}"  # noqa: S105  # a form
_PORT = range(1, 65_536)

# The forms of secrets: part -> field -> pattern of its text, or range of its number.
_SECRETS: Mapping[str, Mapping[str, str | range]] = {
    "database": {
        "host": _HOST,
        "port": _PORT,
        "name": r"[a-z0-9_]{1,64}",
        "user": r"[a-z0-9_]{1,64}",
        "password": _SECRET,
    },
    "redis": {"host": _HOST, "port": _PORT, "user": SITE, "password": _SECRET},
    "mail": {
        "host": _HOST,
        "port": _PORT,
        "user": r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,253}",
        "password": _SECRET,
        "sender": r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}@[a-z0-9][a-z0-9.-]{0,251}[a-z0-9]",
        "sender_name": r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,100}",
    },
}
_TEXTS: Mapping[str, str] = {
    "archive": r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.tar(?:\.gz|\.zst)?",
    "kind": "plugin|theme",
    "slug": _INSTALLED,
    "id": r"[a-z0-9-]{1,40}",
}
# What each action is told beside the site, no more and no less; hostnames and secrets' url make no difference to files.
_FIELDS: Mapping[str, frozenset[str]] = {
    "create": frozenset({"secrets", "hostnames"}),
    "import": frozenset({"archive", "secrets"}),
    "remove": frozenset({"id"}),
    "bring-back": frozenset({"id"}),
    "keep": frozenset({"kind", "slug", "id"}),
    "put-back": frozenset({"kind", "slug", "id"}),
    "forget": frozenset({"id"}),
    "secrets": frozenset({"secrets", "renew_salts"}),
    "measure": frozenset(),
}

Part = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """
    texts        archive, kind, slug and id, as far as the action takes them
    secrets      the parts that are to be written
    drop_mail    mail.json goes
    renew_salts  new salts: every login to the site ends
    """

    action: str
    site: str
    uid: int
    texts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Part] = field(default_factory=dict, repr=False)
    drop_mail: bool = False
    renew_salts: bool = False


def parse(raw: bytes, limit: int) -> Request:
    """Raise Failure, which names a field and never its value."""
    if len(raw) > limit:
        raise Failure("failed", "the request is too long")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise Failure("failed", "the request is not JSON") from None
    if not isinstance(document, dict) or document.get("action") not in _FIELDS:
        raise Failure("failed", "the request names no action")
    wanted = _FIELDS[document["action"]]
    if document.keys() != {"action", "site", "uid", *wanted}:
        raise Failure("failed", "the request says more or less than the action takes")
    site = _text(document, "site", SITE)
    if site in RESERVED:
        raise Failure("failed", "this name is reserved")
    asked = Request(
        action=document["action"],
        site=site,
        uid=_number(document, "uid", range(FIRST_UID, LAST_UID + 1)),
        texts={name: _text(document, name, pattern) for name, pattern in _TEXTS.items() if name in wanted},
        secrets=_secrets(document["secrets"]) if "secrets" in wanted else {},
        drop_mail="secrets" in wanted and document["secrets"].get("drop_mail") is True,
        renew_salts=document.get("renew_salts") is True,
    )
    if asked.action in ("create", "import") and "database" not in asked.secrets:
        raise Failure("failed", "a tree needs a database")
    return asked


def _secrets(given: Any) -> dict[str, Part]:
    if not isinstance(given, dict) or not given.keys() <= {*_SECRETS, "url", "drop_mail"}:
        raise Failure("failed", "secrets has other parts than there are")
    parts: dict[str, Part] = {}
    for part, forms in _SECRETS.items():
        if (fields := given.get(part)) is None:
            continue
        if not isinstance(fields, dict) or fields.keys() != forms.keys():
            raise Failure("failed", f"{part} has other fields than there are")
        parts[part] = {
            name: _text(fields, name, form) if isinstance(form, str) else _number(fields, name, form)
            for name, form in forms.items()
        }
    return parts


def _text(fields: Mapping[str, Any], name: str, pattern: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise Failure("failed", f"{name} has a form that is not allowed")
    return value


def _number(fields: Mapping[str, Any], name: str, allowed: range) -> int:
    value = fields[name]
    if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
        raise Failure("failed", f"{name} is out of its range")
    return value
