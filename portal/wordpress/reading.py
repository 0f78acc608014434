"""What a site tells of itself, once it is read. Pure.

The document comes out of the site's own PHP, among plugins that may be hostile: whatever is too long is cut, whatever
is of another form is taken as unknown, and the rest is still shown. No text of it is ever anything but text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from portal.broker.schemas import INSTALLED

STALE_AFTER = timedelta(days=1)
MAX_ITEMS = 1000  # plugins, themes, users: of each
MAX_TEXT = 300

_INSTALLED = re.compile(INSTALLED)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# timed-out: ended by its limit · failed: wp said so · fatal: PHP fails as soon as plugins or theme are loaded, so what
# is known was read without them · unreachable: nobody could be asked
Trouble = Literal["", "timed-out", "failed", "fatal", "unreachable"]


def clipped(value: object) -> object:
    """Text on one line, cut; what is no text stays for the model to judge."""
    return _CONTROL.sub(" ", value)[:MAX_TEXT].strip() if isinstance(value, str) else value


def _count(value: object) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
    return int(value) if is_number else None  # type: ignore[call-overload]


def _moment(value: object) -> object:
    try:
        at = datetime.fromisoformat(str(value))
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


Text = Annotated[str, BeforeValidator(clipped)]
Count = Annotated[int | None, BeforeValidator(_count)]
Moment = Annotated[AwareDatetime | None, BeforeValidator(_moment)]
Truth = Annotated[bool | None, BeforeValidator(_truth)]


class Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Extension(Part):
    """A plugin or a theme.

    name            what wp calls it; it can be acted on only where that has the form of a name
    state           of a plugin: active, inactive, must-use, dropin; of a theme: active, parent, inactive
    update_version  what it can be updated to; null when there is nothing newer, or nothing is known
    is_broken       of a theme: files of it are missing
    """

    name: Text
    title: Text = ""
    version: Text = ""
    state: Literal["active", "inactive", "must-use", "dropin", "parent"]
    update_version: Text | None = None
    auto_update: Truth = None
    is_broken: Truth = None

    @property
    def is_named(self) -> bool:
        return _INSTALLED.fullmatch(self.name) is not None


class Core(Part):
    version: Text = ""
    db_version: Count = None
    update_version: Text | None = None
    needs_db_update: Truth = None


class Php(Part):
    version: Text = ""
    memory_limit: Text = ""


class User(Part):
    """last_login_at: where a plugin notes it, else null."""

    id: int = Field(ge=1, le=2**53)
    login: Text
    name: Text = ""
    roles: tuple[Text, ...] = Field(default=(), max_length=50)
    registered_at: Moment = None
    last_login_at: Moment = None


class Cron(Part):
    """overdue: events whose time has come. is_disabled: WordPress does not run them by itself."""

    events: Count = None
    overdue: Count = None
    oldest_overdue_s: Count = None
    is_disabled: Truth = None


class Inventory(Part):
    """What is there, as the site says. Members that could not be read are null, or empty; `errors` says why."""

    title: Text = ""
    url: Text = ""
    locale: Text = ""
    core: Core = Core()
    php: Php = Php()
    plugins: tuple[Extension, ...] = ()
    themes: tuple[Extension, ...] = ()
    users: tuple[User, ...] = ()
    users_total: Count = None
    cron: Cron = Cron()
    debug: dict[str, bool] = Field(default_factory=dict)
    object_cache: Truth = None
    database_bytes: Count = None
    autoload_bytes: Count = None
    site_bytes: Count = None
    maintenance: Truth = None
    errors: tuple[Text, ...] = ()

    def plugin(self, slug: str) -> Extension | None:
        return next((each for each in self.plugins if each.name == slug), None)

    def theme(self, slug: str) -> Extension | None:
        return next((each for each in self.themes if each.name == slug), None)


class FileProblem(Part):
    """A file of a plugin that is not as wordpress.org has it."""

    plugin: Text
    file: Text
    message: Text


class Checksums(Part):
    """How the files compare with wordpress.org's sums.

    is_core_verified      and are_plugins_verified: false when a file differs, or when the sums could not be had; the
                          text beside says which
    """

    checked_at: AwareDatetime
    is_core_verified: bool
    core_detail: str
    are_plugins_verified: bool
    plugins_detail: str
    problems: tuple[FileProblem, ...]


@dataclass(frozen=True, slots=True)
class SiteReading:
    """
    inventory   as of read_at; None: the site was never read
    tried_at    of the last look, which took took_s
    trouble     how that one ended; then `error` quotes why
    """

    inventory: Inventory | None
    read_at: datetime | None
    tried_at: datetime
    took_s: float
    trouble: Trouble
    error: str
    checksums: Checksums | None

    def is_stale(self, now: datetime) -> bool:
        """Whether what is shown is older than a day; what was never read is not stale, but unknown."""
        return self.read_at is not None and now - self.read_at > STALE_AFTER


_LISTS: Mapping[str, type[Part]] = {"plugins": Extension, "themes": Extension, "users": User}


def inventory_of(document: Mapping[str, Any]) -> Inventory:
    """Read a document as it came. Members of another form are left out, each with a line in `errors`."""
    errors = [str(clipped(each)) for each in _list(document.get("errors"))[:50] if isinstance(each, str)]
    members: dict[str, Any] = {}
    for name in Inventory.model_fields.keys() - {"errors", "debug", *_LISTS}:
        if document.get(name) is None:
            continue
        try:
            members[name] = getattr(Inventory.model_validate({name: document[name]}), name)
        except ValidationError:
            errors.append(f"{name}: of another form")
    for name, part in _LISTS.items():
        members[name], bad = _parts(document.get(name), part)
        if bad:
            errors.append(f"{name}: {bad} left out, of another form")
    debug = document.get("debug")
    flags = debug.items() if isinstance(debug, dict) else ()
    members["debug"] = {str(name)[:60]: value for name, value in list(flags)[:50] if isinstance(value, bool)}
    return Inventory(**members, errors=tuple(errors))


def _parts(found: object, part: type[Part]) -> tuple[tuple[Part, ...], int]:
    """The entries that can be read, and how many cannot."""
    entries = _list(found)
    parts: list[Part] = []
    for entry in entries[:MAX_ITEMS]:
        try:
            parts.append(part.model_validate(entry))
        except ValidationError:
            continue
    return tuple(parts), len(entries) - len(parts)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
