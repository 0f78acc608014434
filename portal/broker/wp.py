"""Which `wp` subcommands the broker runs, with which arguments and options. Pure: one table.

Never `db`, `eval`, `shell` or `config`; never the options by which any subcommand runs code or leaves the site
(--exec, --require, --ssh, --http, --path, --prompt and the like), because only what is listed passes. A new subcommand
enters this table, the tests' stand-in for `wp` and their contract suite together (test-runtimes.md 7). `core install`
is not here yet: its password must not be an argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portal.broker.failures import NotAllowed

SERVICE = "blog-php"
FIRST_SITE_UID = 1000  # below are the system's accounts, and root
OUTPUT_BYTES = 1024**2  # each of standard output and error

SLUG = r"[a-z0-9][a-z0-9_-]{0,99}"
FIELDS = r"[a-z_]{1,32}(?:,[a-z_]{1,32}){0,15}"
_USER_FIELD = "(?:ID|user_login|display_name|user_email|user_registered|roles)"  # never user_pass
USER_FIELDS = rf"{_USER_FIELD}(?:,{_USER_FIELD}){{0,5}}"
# Options hold the passwords of mail plugins too, so these are named one by one.
OPTION_READ = r"blogname|blogdescription|siteurl|home|admin_email|timezone_string|WPLANG|blog_public|db_version"
OPTION_READ += r"|permalink_structure|stylesheet|template|active_plugins"
OPTION_WRITTEN = r"blogname|blogdescription|siteurl|home|admin_email|timezone_string|WPLANG|blog_public"
# One line of text that can be taken for nothing but a value: wp reads whatever begins with - as an option.
VALUE = r"(?!-)[^\x00-\x1f\x7f-\x9f]{0,2000}"
_LIST = {"format": r"json|csv|count", "fields": FIELDS}


@dataclass(frozen=True, slots=True)
class Form:
    """arguments: a pattern for each, all required; options: name -> pattern of its value."""

    arguments: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


ALLOWED: Mapping[tuple[str, ...], Form] = {
    ("core", "version"): Form(),
    ("core", "is-installed"): Form(),
    ("plugin", "list"): Form(options=_LIST),
    ("plugin", "activate"): Form((SLUG,)),
    ("theme", "list"): Form(options=_LIST),
    ("option", "get"): Form((OPTION_READ,), {"format": "json"}),
    ("option", "update"): Form((OPTION_WRITTEN, VALUE)),
    ("user", "list"): Form(options={"format": r"json|csv|count", "fields": USER_FIELDS}),
    ("cron", "event", "list"): Form(options=_LIST),
    ("cache", "flush"): Form(),
}


def argv(
    path: str,
    url: str,
    command: Sequence[str],
    arguments: Sequence[str],
    options: Mapping[str, str],
    *,
    timeout_s: int,
) -> list[str]:
    """Return the whole command line. Raise NotAllowed, which names what is on no list and repeats nothing else."""
    form = ALLOWED.get(tuple(command))
    if form is None:
        raise NotAllowed("this subcommand is not on the list")
    if len(arguments) != len(form.arguments):
        raise NotAllowed(f"wp {' '.join(command)} takes {len(form.arguments)} arguments")
    for number, (pattern, value) in enumerate(zip(form.arguments, arguments, strict=True), 1):
        if not re.fullmatch(pattern, value):
            raise NotAllowed(f"argument {number} has a form that is not allowed")
    for name, value in options.items():
        if name not in form.options or not re.fullmatch(form.options[name], value):
            raise NotAllowed("an option, or the form of its value, is not on the list")
    end = ["timeout", "-s", "KILL", str(timeout_s)]  # an exec cannot be ended from outside
    fixed = ["wp", f"--path={path}", f"--url={url}", "--no-color"]
    return [*end, *fixed, *command, *(f"--{name}={value}" for name, value in options.items()), *arguments]
