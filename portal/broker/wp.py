"""Which `wp` subcommands the broker runs, with which arguments and options. Pure: one table.

Never `db`, `eval`, `shell` or `config`; never the options by which any subcommand runs code or leaves the site
(--exec, --require, --ssh, --http, --path and the like), because only what is listed passes. What is fixed here is no
choice of a caller: our own subcommand is loaded from one file, and the one secret that a subcommand takes is asked for
by --prompt, so that it comes by standard input and never stands in an argument. A new subcommand enters this table, the
tests' stand-in for `wp` and their contract suite together (test-runtimes.md 7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from portal.broker import schemas
from portal.broker.failures import NotAllowed

SERVICE = "blog-php"
PROGRAM = "/usr/local/bin/wp"
OUTPUT_BYTES = 1024**2  # of standard output, and of standard error
INVENTORY_BYTES = 4 * 1024**2  # of a site with some hundred plugins and users
COMMAND_FILE = "/usr/local/share/homeport/homeport-command.php"
PACKAGES = "/srv/import/packages"  # zips of plugins and themes that the operator has laid there

SLUG = r"[a-z0-9][a-z0-9_-]{0,99}"  # as wordpress.org gives them out
INSTALLED = schemas.INSTALLED.strip("^$")
PACKAGE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\.zip"
VERSION = r"[0-9][0-9.]{0,15}(?:-[a-z0-9.]{1,16})?"
FIELDS = r"[a-z_]{1,32}(?:,[a-z_]{1,32}){0,15}"
LOCALE = r"[a-z]{2,3}(?:_[A-Za-z]{2,9}){0,2}"
_USER_FIELD = "(?:ID|user_login|display_name|user_email|user_registered|roles)"  # never user_pass
USER_FIELDS = rf"{_USER_FIELD}(?:,{_USER_FIELD}){{0,5}}"
USER_ID = r"[1-9][0-9]{0,9}"  # never a login: wp takes one that is a number for an id
LOGIN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}"
ADDRESS = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}@[a-z0-9](?:[a-z0-9.-]{0,189}[a-z0-9])"
# Options hold the passwords of mail plugins too, so these are named one by one.
OPTION_READ = r"blogname|blogdescription|siteurl|home|admin_email|timezone_string|WPLANG|blog_public|db_version"
OPTION_READ += r"|permalink_structure|stylesheet|template|active_plugins"
OPTION_WRITTEN = r"blogname|blogdescription|siteurl|home|admin_email|timezone_string|WPLANG|blog_public"
# One line of text that can be taken for nothing but a value: wp reads whatever begins with - as an option.
VALUE = r"(?!-)[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{0,2000}"
COLUMNS = r"[A-Za-z0-9_]{1,64}(?:,[A-Za-z0-9_]{1,64}){0,31}"
SECRET = r"[A-Za-z0-9!@#%^*_+=.:,~-]{12,128}"  # noqa: S105  # a form; nothing that quoting would change
FLAG = ""  # the pattern of an option that has no value

# A site can write into its HOME. What wp would find there of its own (code that each command loads, and downloads that
# it believes without a sum) would blind those very commands by which a site that was broken into is looked at.
NOTHING_OF_THE_SITES = (
    "WP_CLI_CONFIG_PATH=/dev/null",
    "WP_CLI_PACKAGES_DIR=/nonexistent",
    "WP_CLI_CACHE_DIR=/dev/null",  # wp knows that name: no cache
)

_OURS = (f"--require={COMMAND_FILE}",)
_FORMAT = {"format": r"json|csv|count"}
_LIST = _FORMAT | {"fields": FIELDS}
_ANYWHERE = {"skip-plugins": FLAG, "skip-themes": FLAG}  # the only way into a site whose plugin fails
_UPDATE = _FORMAT | {"version": VERSION}


@dataclass(frozen=True, slots=True)
class Form:
    """
    arguments      a pattern for each
    repeats        how often the last of them may come: at least, at most
    options        name -> pattern of its value; FLAG: it has none
    secret         the option whose value comes by standard input, and must
    fixed          stands in every command line of this form, after the subcommand
    global_        likewise, before it
    output_bytes   what is kept of standard output
    """

    arguments: tuple[str, ...] = ()
    repeats: tuple[int, int] = (1, 1)
    options: Mapping[str, str] = field(default_factory=dict)
    secret: str | None = None
    fixed: tuple[str, ...] = ()
    global_: tuple[str, ...] = ()
    output_bytes: int = OUTPUT_BYTES

    def pattern(self, number: int) -> str:
        """Return the pattern of the argument of this number, counted from 0."""
        return self.arguments[min(number, len(self.arguments) - 1)]

    def takes(self, count: int) -> bool:
        before = len(self.arguments) - 1
        if before < 0:
            return count == 0
        least, most = self.repeats
        return before + least <= count <= before + most


_MANY = (1, 16)


def _of_extensions(kind: str) -> dict[tuple[str, ...], Form]:
    """The forms that plugins and themes have alike."""
    return {
        (kind, "list"): Form(options=_LIST),
        (kind, "activate"): Form((INSTALLED,)),
        (kind, "install"): Form((rf"{SLUG}|{PACKAGE}",), options={"version": VERSION, "force": FLAG}),
        (kind, "update"): Form((INSTALLED,), _MANY, options=_UPDATE),
        (kind, "delete"): Form((INSTALLED,), options={"force": FLAG}),
    }


ALLOWED: Mapping[tuple[str, ...], Form] = {
    ("core", "version"): Form(),
    ("core", "is-installed"): Form(),
    ("core", "install"): Form(
        options={"title": VALUE, "admin_user": LOGIN, "admin_email": ADDRESS, "locale": LOCALE},
        secret="admin_password",  # noqa: S106  # its name
        fixed=("--skip-email",),
    ),
    ("core", "check-update"): Form(options=_LIST),
    ("core", "update"): Form(options={"version": VERSION, "minor": FLAG, "force": FLAG, "locale": LOCALE}),
    ("core", "update-db"): Form(options={"dry-run": FLAG}),
    ("core", "verify-checksums"): Form(options={"version": VERSION, "locale": LOCALE, "include-root": FLAG}),
    **_of_extensions("plugin"),
    **_of_extensions("theme"),
    ("plugin", "deactivate"): Form((INSTALLED,), _MANY),
    ("plugin", "verify-checksums"): Form((INSTALLED,), (0, 16), options={"all": FLAG, "strict": FLAG, **_FORMAT}),
    ("option", "get"): Form((OPTION_READ,), options={"format": "json"}),
    ("option", "update"): Form((OPTION_WRITTEN, VALUE)),
    ("user", "list"): Form(options={**_FORMAT, "fields": USER_FIELDS}),
    ("user", "update"): Form((USER_ID,), secret="user_pass", fixed=("--skip-email",)),  # noqa: S106  # its name
    ("search-replace",): Form(
        (VALUE, VALUE),
        options={
            "dry-run": FLAG,
            "all-tables-with-prefix": FLAG,
            "precise": FLAG,
            "report-changed-only": FLAG,
            "skip-columns": COLUMNS,
            "skip-tables": COLUMNS,
            "format": r"table|count",
        },
    ),
    ("maintenance-mode", "activate"): Form(),
    ("maintenance-mode", "deactivate"): Form(),
    ("maintenance-mode", "status"): Form(),
    ("cron", "event", "list"): Form(options=_LIST),
    ("cron", "event", "run"): Form(fixed=("--due-now",)),
    ("rewrite", "flush"): Form(),
    ("language", "core", "update"): Form(),
    ("language", "plugin", "update"): Form((INSTALLED,), (0, 16), options={"all": FLAG}),
    ("cache", "flush"): Form(),
    ("homeport", "inventory"): Form(global_=_OURS, output_bytes=INVENTORY_BYTES),
    ("homeport", "mail-test"): Form(options={"to": ADDRESS, "id": r"[0-9a-f]{32}"}, global_=_OURS),
}


@dataclass(frozen=True, slots=True)
class CommandLine:
    """
    argv           whole; holds no secret
    stdin          None: the program gets none
    output_bytes   what is kept of its output
    """

    argv: list[str]
    stdin: bytes | None
    output_bytes: int


def command_line(request: schemas.WpCli, *, tree: str) -> CommandLine:
    """Given a request and the site's directory, return what is run.

    raises   NotAllowed, which names what is on no list and repeats nothing else
    """
    form = ALLOWED.get(request.command)
    if form is None:
        raise NotAllowed("this subcommand is not on the list")
    _check(form, request)
    home = f"{tree}/tmp"  # noqa: S108  # the site's own
    # A clean environment: plugins' code runs in this process. An exec cannot be ended from outside, hence timeout.
    start = ["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", f"HOME={home}", f"TMPDIR={home}", "LC_ALL=C.UTF-8"]
    start += [*NOTHING_OF_THE_SITES, "timeout", "-s", "KILL", str(request.timeout_s)]
    start += [PROGRAM, f"--path={tree}/public", f"--url={request.url}", "--no-color", *form.global_]
    options = [f"--{name}={value}" if value else f"--{name}" for name, value in request.options.items()]
    asked = [f"--prompt={form.secret}"] if form.secret else []
    stdin = f"{request.stdin}\n".encode() if request.stdin is not None else None
    arguments = [_placed(form, value) for value in request.arguments]
    argv = [*start, *request.command, *form.fixed, *options, *asked, *arguments]
    return CommandLine(argv, stdin, form.output_bytes)


def _check(form: Form, request: schemas.WpCli) -> None:
    if not form.takes(len(request.arguments)):
        raise NotAllowed(f"wp {' '.join(request.command)} takes another number of arguments")
    for number, value in enumerate(request.arguments):
        if not re.fullmatch(form.pattern(number), value):
            raise NotAllowed(f"argument {number + 1} has a form that is not allowed")
    allowed = {**form.options, **_ANYWHERE}
    for name, value in request.options.items():
        if name not in allowed or not re.fullmatch(allowed[name], value):
            raise NotAllowed("an option, or the form of its value, is not on the list")
    if (request.stdin is None) is not (form.secret is None):
        raise NotAllowed("a secret where none is taken, or none where one is")
    if request.stdin is not None and not re.fullmatch(SECRET, request.stdin):
        raise NotAllowed("the secret has a form that is not allowed")


def _placed(form: Form, value: str) -> str:
    """A package is named by the file alone; where it lies is not the caller's business."""
    is_package = PACKAGE in form.arguments[0] and re.fullmatch(PACKAGE, value)
    return f"{PACKAGES}/{value}" if is_package else value
