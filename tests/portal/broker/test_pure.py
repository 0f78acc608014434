"""What needs no engine: closed schemas, the tables of protection and of `wp`, the reading of the engine's words."""

from __future__ import annotations

import itertools
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from portal.broker import protection, reading, schemas, site_files, web_config, wp
from portal.broker.failures import NotAllowed

ID = "0123456789abcdef" * 4


# -- schemas ----------------------------------------------------------------------------------------------------------


def test_verbs_are_these_and_no_others() -> None:
    verbs = {cls.model_fields["verb"].default for cls in schemas.Request.__subclasses__()}
    assert verbs == {
        *("list", "inspect", "start", "stop", "restart", "logs", "stats", "watch_stats", "events"),
        *("stacks", "images", "disk_usage", "wp_cli", "site_files", "web_config"),
    }


@pytest.mark.parametrize(
    "target",
    [
        "mail-nginx",
        ID[:12],
        ID.upper(),
        ID + "\n",
        f"{ID}/json",
        f"../{ID[3:]}",
        f"{ID[:-2]}%2",
        "",
        " " + ID[1:],
        "-" + ID[1:],
        None,
        7,
        [ID],
    ],
)
@pytest.mark.parametrize("verb", ["inspect", "start", "stop", "restart", "logs", "watch_stats"])
def test_target_that_is_no_full_id_is_malformed(verb: str, target: object) -> None:
    with pytest.raises(ValidationError):
        schemas.REQUEST.validate_json(json.dumps({"verb": verb, "container": target}))


@pytest.mark.parametrize(
    "document",
    [
        {"verb": "create", "image": "busybox"},
        {"verb": "exec", "container": ID, "command": ["sh"]},
        {"verb": "LIST"},
        {"verb": ["list"]},
        {"verb": None},
        {},
        [],
        "list",
        {"verb": "list", "all": True},
        {"verb": "inspect", "container": ID, "path": "/etc"},
        {"verb": "stop", "container": ID, "grace_s": "10"},
        {"verb": "stop", "container": ID, "grace_s": 10.5},
        {"verb": "stop", "container": ID, "grace_s": -1},
        {"verb": "stop", "container": ID, "grace_s": 121},
        {"verb": "stop", "container": ID, "override": True},
        {"verb": "stop", "container": ID, "override": {"reason": ""}},
        {"verb": "stop", "container": ID, "override": {"reason": "    "}},
        {"verb": "start", "container": ID, "override": {"reason": "because"}},
        {"verb": "logs", "container": ID, "tail": -1},
        {"verb": "logs", "container": ID, "tail": "all"},
        {"verb": "logs", "container": ID, "since": -1},
        {"verb": "logs", "container": ID, "since": 1e300},
        {"verb": "logs", "container": ID, "follow": "yes"},
        {"verb": "stats", "containers": []},
        {"verb": "stats", "containers": [ID] * 513},
        {"verb": "wp_cli", "site": "../etc", "url": "https://a.test", "command": ["core", "version"]},
        {"verb": "wp_cli", "site": "a", "url": "file:///etc", "command": ["core", "version"]},
        {"verb": "wp_cli", "site": "homeport", "url": "https://a.test", "command": ["core", "version"]},
        {"verb": "wp_cli", "site": "global", "url": "https://a.test", "command": ["core", "version"]},
        {"verb": "wp_cli", "site": "a", "url": "https://a.test", "command": ["core", "version"], "stdin": "x" * 4097},
        {"verb": "site_files", "action": "measure", "site": "a"},
        {"verb": "site_files", "action": "measure", "site": "a", "uid": 0},
        {"verb": "site_files", "action": "measure", "site": "a", "uid": 33},
        {"verb": "site_files", "action": "measure", "site": "a", "uid": 30000},
        {"verb": "site_files", "action": "measure", "site": "a", "uid": 20000.0},
        {"verb": "site_files", "action": "measure", "site": "default", "uid": 20000},
        {"verb": "site_files", "action": "measure", "site": "a", "uid": 20000, "archive": "a.tar"},
        {"verb": "site_files", "action": "delete", "site": "a", "uid": 20000},
        {"verb": "site_files", "action": "create", "site": "a", "uid": 20000},
        {"verb": "site_files", "action": "create", "site": "a", "uid": 20000, "secrets": {"url": "https://a.test"}},
        {"verb": "site_files", "action": "keep", "site": "a", "uid": 20000, "kind": "plugin", "slug": "x"},
        {"verb": "site_files", "action": "keep", "site": "a", "uid": 20000, "kind": "mu", "slug": "x", "id": "y"},
        {"verb": "site_files", "action": "keep", "site": "a", "uid": 20000, "kind": "theme", "slug": "..", "id": "y"},
        {"verb": "site_files", "action": "keep", "site": "a", "uid": 20000, "kind": "theme", "slug": "x/y", "id": "y"},
        {"verb": "site_files", "action": "keep", "site": "a", "uid": 20000, "kind": "theme", "slug": "x", "id": "../y"},
        {"verb": "web_config", "part": "mysql", "action": "test"},
        {"verb": "web_config", "part": "nginx", "action": "stop"},
        {"verb": "web_config", "part": "nginx", "action": "test", "config": "/tmp/x"},
        {"verb": "web_config", "part": "redis", "action": "served"},
        {"verb": "list", "caller": "x" * 201},
    ],
    ids=str,
)
def test_request_that_is_not_exactly_a_verb_is_malformed(document: object) -> None:
    with pytest.raises(ValidationError):
        schemas.REQUEST.validate_json(json.dumps(document))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_time_that_is_no_number_is_malformed(text: str) -> None:
    with pytest.raises(ValidationError):
        schemas.REQUEST.validate_json(f'{{"verb":"events","since":{text}}}')


# -- protection -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "label", "role"),
    [
        ("mail-dovecot", None, "mailboxes"),
        ("blog-cloudflared", None, "tunnel"),
        ("mail-db", None, "database"),
        ("portal", None, "portal"),
        ("mail-nginx", None, None),
        ("mail-nginx", "database", "database"),
        ("mail-nginx", "nonsense", "tunnel"),
        ("mail-nginx", "", "tunnel"),
        ("mail-dovecot", "none", "mailboxes"),
        ("MAIL-DOVECOT", None, None),
    ],
)
def test_protection_comes_from_the_table_and_no_label_takes_it_away(
    service: str, label: str | None, role: str | None
) -> None:
    found = protection.protection_of(service, label)
    assert (found.role if found else None) == role
    assert found is None or found.goes_dark


# -- wp ---------------------------------------------------------------------------------------------------------------


URL = "https://a.test"
GENERATED = "Kx7vQm2Rt9Lp4Wz8Yb3N"
START = [
    *("env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/srv/sites/a/tmp", "TMPDIR=/srv/sites/a/tmp"),
    *("LC_ALL=C.UTF-8", *wp.NOTHING_OF_THE_SITES, "timeout", "-s", "KILL", "60"),
    *("/usr/local/bin/wp", "--path=/srv/sites/a/public", f"--url={URL}", "--no-color"),
]


def _line(command: str, *arguments: str, stdin: str | None = None, **options: str) -> wp.CommandLine:
    return _asked(command, arguments, {name.replace("_", "-"): value for name, value in options.items()}, stdin)


def _asked(
    command: str, arguments: tuple[str, ...], options: dict[str, str], stdin: str | None = None
) -> wp.CommandLine:
    request = schemas.WpCli(
        site="a", url=URL, command=tuple(command.split()), arguments=arguments, options=options, stdin=stdin
    )
    return wp.command_line(request, tree="/srv/sites/a")


@pytest.mark.parametrize(
    ("label", "services"),
    [
        (None, ()),
        ("", ()),
        ("db:service_healthy:false,cache:service_started:true", ("cache", "db")),
        ("db", ("db",)),
        (" db :x, ,:y,db:z", ("db",)),
        (",".join(f"s{number:03}" for number in range(500)), tuple(f"s{number:03}" for number in range(100))),
    ],
)
def test_services_that_are_needed_come_from_the_label_of_compose(label: str | None, services: tuple[str, ...]) -> None:
    assert reading.depends_on({} if label is None else {reading.DEPENDS_ON: label}) == services


def test_wp_command_line_is_put_together_in_one_order() -> None:
    line = _line("plugin list", format="json", fields="name,status", skip_plugins="")
    assert line.argv == [*START, "plugin", "list", "--format=json", "--fields=name,status", "--skip-plugins"]
    assert (line.stdin, line.output_bytes) == (None, wp.OUTPUT_BYTES)
    assert _line("option update", "blogname", "日本語; rm -rf /").argv[-2:] == ["blogname", "日本語; rm -rf /"]


def test_wp_takes_a_password_by_standard_input_alone() -> None:
    line = _line("user update", "7", stdin=GENERATED)
    assert line.argv == [*START, "user", "update", "--skip-email", "--prompt=user_pass", "7"]
    assert line.stdin == f"{GENERATED}\n".encode()
    options = {"title": "A <b>", "admin_user": "anna", "admin_email": "anna@a.test"}
    install = _asked("core install", (), options, GENERATED)
    assert "--prompt=admin_password" in install.argv
    assert not any(GENERATED in each for each in install.argv)


def test_wp_takes_nothing_from_where_the_site_can_write() -> None:
    """Code in HOME/.wp-cli would run in each command, also in those that look whether a site was broken into."""
    variables = dict(each.split("=", 1) for each in _line("core version").argv if each[0].isupper() and "=" in each)
    for name in ("WP_CLI_CONFIG_PATH", "WP_CLI_PACKAGES_DIR", "WP_CLI_CACHE_DIR"):
        assert not variables[name].startswith(variables["HOME"])


def test_wp_loads_our_own_subcommand_from_one_file() -> None:
    line = _line("homeport inventory")
    assert line.argv == [*START, f"--require={wp.COMMAND_FILE}", "homeport", "inventory"]
    assert line.output_bytes == 4 * 1024**2


def test_wp_installs_what_wordpress_org_has_or_the_operator_has_laid_there() -> None:
    assert _line("plugin install", "akismet", version="5.3.1", force="").argv[-3:] == [
        *("--version=5.3.1", "--force", "akismet")
    ]
    assert _line("theme install", "Divi.4.zip").argv[-1] == "/srv/import/packages/Divi.4.zip"
    assert _line("plugin delete", "akismet.zip").argv[-1] == "akismet.zip", "installed ones are named, not placed"


@pytest.mark.parametrize(
    ("command", "arguments", "options"),
    [
        ("plugin update", ("a", "B.c", "d_e"), {"version": "1.2-rc.1"}),
        ("plugin verify-checksums", (), {"all": ""}),
        ("core update", (), {"version": "6.8.3", "force": ""}),
        ("core update-db", (), {}),
        ("core verify-checksums", (), {}),
        ("core check-update", (), {"format": "json"}),
        ("search-replace", ("http://old.test", "https://a.test"), {"dry-run": "", "skip-columns": "guid"}),
        ("search-replace", ("http://old.test", ""), {"all-tables-with-prefix": ""}),
        ("maintenance-mode activate", (), {}),
        ("cron event list", (), {"format": "json"}),
        ("rewrite flush", (), {}),
        ("language plugin update", (), {"all": ""}),
        ("user list", (), {"fields": "ID,user_login,roles"}),
    ],
    ids=str,
)
def test_wp_on_the_list_is_run_as_it_was_asked(
    command: str, arguments: tuple[str, ...], options: dict[str, str]
) -> None:
    argv = _asked(command, arguments, options).argv[len(START) :]
    asked = [f"--{name}={value}" if value else f"--{name}" for name, value in options.items()]
    assert argv == [*command.split(), *asked, *arguments]
    assert _line("cron event run").argv[-1] == "--due-now"


@pytest.mark.parametrize(
    ("command", "arguments", "options"),
    [
        ("db export", (), {}),
        ("db query", ("SELECT 1",), {}),
        ("eval", ("phpinfo();",), {}),
        ("eval-file", ("/tmp/x.php",), {}),
        ("shell", (), {}),
        ("config get", ("DB_PASSWORD",), {}),
        ("core download", (), {}),
        ("package install", ("x",), {}),
        ("plugin", (), {}),
        ("plugin path", ("x",), {}),
        ("--exec=x plugin list", (), {}),
        ("plugin list --exec=x", (), {}),
        ("plugin list", (), {"all": ""}),
        ("plugin activate", (), {}),
        ("plugin activate", ("a", "b"), {}),
        ("plugin activate", ("--exec=system('id');",), {}),
        ("plugin activate", ("-h",), {}),
        ("plugin activate", ("--",), {}),
        ("plugin activate", ("../x",), {}),
        ("plugin activate", ("a\n--x",), {}),
        ("plugin activate", ("a\n",), {}),
        ("plugin install", ("https://evil.test/x.zip",), {}),
        ("plugin install", ("/etc/x.zip",), {}),
        ("plugin install", ("../x.zip",), {}),
        ("plugin install", (".zip",), {}),
        ("plugin install", ("x.ZIP",), {}),
        ("plugin install", ("x.php",), {}),
        ("plugin install", ("x",), {"activate": ""}),
        ("plugin install", ("x",), {"version": "1.0 --exec=x"}),
        ("plugin install", ("x",), {"version": "trunk"}),
        ("plugin install", ("x",), {"force": "1"}),
        ("plugin update", (), {"all": ""}),
        ("plugin update", (*tuple("abcdefghijklmnop"), "--all"), {}),
        ("plugin list", (), {"exec": "x"}),
        ("plugin list", (), {"require": "/tmp/x.php"}),
        ("plugin list", (), {"path": "/"}),
        ("plugin list", (), {"ssh": "host"}),
        ("plugin list", (), {"prompt": ""}),
        ("plugin list", (), {"format=json --exec": "x"}),
        ("plugin list", (), {"skip-plugins": "x"}),
        ("plugin list", (), {"format": "json --exec=x"}),
        ("plugin list", (), {"format": "json\n"}),
        ("homeport inventory", (), {"require": "/tmp/x.php"}),
        ("homeport other", (), {}),
        ("search-replace", ("a",), {}),
        ("search-replace", ("a", "b", "wp_users"), {}),
        ("search-replace", ("a", "b"), {"regex": ""}),
        ("search-replace", ("a", "b"), {"export": "/tmp/x.sql"}),
        ("search-replace", ("--export=/tmp/x", "b"), {}),
        ("user list", (), {"fields": "user_login,user_pass"}),
        ("user update", ("anna",), {}),
        ("user update", ("7",), {"user_pass": GENERATED}),
        ("user update", ("7",), {"role": "administrator"}),
        ("core install", (), {"admin_password": GENERATED}),
        ("core install", (), {"admin_user": "anna; x"}),
        ("option get", ("auth_key",), {}),
        ("option get", ("mailserver_pass",), {}),
        ("option update", ("active_plugins", "x"), {}),
        ("option update", ("blogname", "--format=json"), {}),
        ("option update", ("blogname", "a\x00b"), {}),
        ("option update", ("blogname", "a\u2028b"), {}),
    ],
    ids=str,
)
def test_wp_beyond_the_list_is_refused(command: str, arguments: tuple[str, ...], options: dict[str, str]) -> None:
    stdin = GENERATED if command in ("user update", "core install") else None
    with pytest.raises((NotAllowed, ValidationError)) as refused:
        _asked(command, arguments, options, stdin)
    if isinstance(refused.value, NotAllowed):
        assert not any(each in str(refused.value) for each in (*arguments, *options) if len(each) > 3)


@pytest.mark.parametrize(
    "stdin", [None, "", "short", "with space in it", "two\nlines here ok", "日本語日本語日本語日本語", "x" * 129]
)
def test_secret_that_is_missing_or_no_secret_is_refused(stdin: str | None) -> None:
    with pytest.raises(NotAllowed):
        _line("user update", "7", stdin=stdin)


def test_secret_where_none_is_taken_is_refused() -> None:
    with pytest.raises(NotAllowed):
        _line("plugin list", stdin=GENERATED)


_NAMES = sorted({name for form in wp.ALLOWED.values() for name in form.options})
_HOSTILE = st.sampled_from(
    ["--", "-", "--exec=x", "a\n--exec=x", "../../x", "x\0", "\u202e", "$(id)", "a b", "@x", "*"]
)


@given(
    st.sampled_from(list(wp.ALLOWED)),
    st.lists(_HOSTILE | st.from_regex(wp.INSTALLED, fullmatch=True) | st.text(max_size=20), max_size=3),
    st.dictionaries(
        st.sampled_from([*_NAMES, "exec", "path", "require", "ssh", "http", "user", "prompt", "debug"]),
        st.just("") | _HOSTILE | st.text(max_size=12) | st.sampled_from(["json", "1.2"]),
        max_size=3,
    ),
    st.none() | st.just(GENERATED),
)
def test_no_argument_of_a_caller_becomes_an_option(
    command: tuple[str, ...], arguments: list[str], options: dict[str, str], stdin: str | None
) -> None:
    form = wp.ALLOWED[command]
    try:
        line = _asked(" ".join(command), tuple(arguments), options, stdin)
    except (NotAllowed, ValidationError):
        return
    start = [*START, *form.global_, *command, *form.fixed]
    assert line.argv[: len(start)] == start
    dashed = [each for each in line.argv[len(start) :] if each.startswith("-")]
    names = {each.removeprefix("--").partition("=")[0] for each in dashed}
    assert len(dashed) == len(options) + (form.secret is not None)
    assert names <= {*form.options, "skip-plugins", "skip-themes", "prompt"}
    assert not any(character in "".join(line.argv) for character in "\0\n\r")


# -- site-files and web-config ----------------------------------------------------------------------------------------

PASSWORD = "canary_7f3a91c2-Password"
DATABASE = {"host": "blog-db", "name": "wp_a", "user": "wp_a", "password": PASSWORD}
MAIL = {"host": "mail", "user": "site-a", "password": PASSWORD, "sender": "a@a.test", "sender_name": "A <b> 日本"}
REQUESTS: dict[str, dict[str, Any]] = {
    "create": {"secrets": {"url": URL, "database": DATABASE}, "hostnames": ["a.test", "www.a.test"]},
    "import": {"secrets": {"url": URL, "database": DATABASE, "mail": MAIL}, "archive": "old-site.tar.zst"},
    "remove": {"id": "01abc"},
    "bring-back": {"id": "01abc"},
    "keep": {"kind": "plugin", "slug": "akismet", "id": "01abc"},
    "put-back": {"kind": "theme", "slug": "Divi", "id": "01abc"},
    "forget": {"id": "01abc"},
    "secrets": {"secrets": {"url": URL, "mail": MAIL}, "renew_salts": True},
    "measure": {},
}


def _site_files(action: str, **more: Any) -> schemas.SiteFiles:
    document = {"verb": "site_files", "action": action, "site": "a", "uid": 20_000, **REQUESTS[action], **more}
    request = schemas.REQUEST.validate_json(json.dumps(document))
    assert isinstance(request, schemas.SiteFiles)
    return request


@pytest.mark.parametrize("action", list(schemas.SITE_FILES_FIELDS))
def test_program_for_trees_is_told_what_its_action_takes_and_nothing_else(action: str) -> None:
    request = _site_files(action, caller="anna", timeout_s=90)
    told = json.loads(site_files.document(request))
    must, may = schemas.SITE_FILES_FIELDS[action]
    assert set(told) == {"action", "site", "uid"} | must | may
    assert site_files.argv(request) == ["timeout", "-s", "KILL", "90", "/usr/local/bin/site-files"]
    assert PASSWORD not in repr(request)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("database", {"host": "db'; x"}),
        ("database", {"host": "-db"}),
        ("database", {"name": "wp_a`"}),
        ("database", {"password": "has'quote_and_more_of_it"}),
        ("database", {"password": "has\\backslash_in_the_middle"}),
        ("database", {"password": "has\nnewline_in_the_middle"}),
        ("database", {"password": "short"}),
        ("database", {"port": 0}),
        ("database", {"more": "x"}),
        ("mail", {"sender": "a@a.test\r\nBcc: b@b.test"}),
        ("mail", {"sender_name": "A\nBcc: b@b.test"}),
        ("mail", {"sender_name": "\u2028"}),
        ("mail", {"user": "-x"}),
    ],
    ids=str,
)
def test_secret_that_could_mean_something_in_a_file_is_malformed(part: str, change: dict[str, Any]) -> None:
    known = {"database": DATABASE, "mail": MAIL}
    secrets = {"url": URL, **known, part: {**known[part], **change}}
    with pytest.raises(ValidationError):
        _site_files("secrets", secrets=secrets)


def test_longest_name_of_a_site_makes_an_account_that_is_no_more_than_a_name() -> None:
    name = f"wp_{'a' * 31}"
    login = {**DATABASE, "name": name, "user": name}
    assert _site_files("secrets", secrets={"url": URL, "database": login}).secrets is not None
    with pytest.raises(ValidationError):
        _site_files("secrets", secrets={"url": URL, "database": {**login, "user": "a" * 65}})


def test_mail_cannot_be_given_and_dropped_at_once() -> None:
    assert _site_files("secrets", secrets={"url": URL, "drop_mail": True}).secrets is not None
    with pytest.raises(ValidationError):
        _site_files("secrets", secrets={"url": URL, "mail": MAIL, "drop_mail": True})


_VALUES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(["../x", "--", "a\nb", "x.tar"])
)


@given(
    st.sampled_from([*REQUESTS, "delete", "", "create\n"]),
    st.dictionaries(st.sampled_from(["site", "uid", "kind", "slug", "id", "archive", "path", "action"]), _VALUES),
)
def test_what_the_program_for_trees_is_told_is_always_of_the_same_form(action: str, changes: dict[str, Any]) -> None:
    document = {
        "verb": "site_files",
        "action": action,
        "site": "a",
        "uid": 20_000,
        **REQUESTS.get(action, {}),
        **changes,
    }
    try:
        request = schemas.REQUEST.validate_json(json.dumps(document))
    except ValidationError:
        return
    assert isinstance(request, schemas.SiteFiles)
    told = json.loads(site_files.document(request))
    must, may = schemas.SITE_FILES_FIELDS[request.action]
    assert set(told) == {"action", "site", "uid"} | must | may
    paths = [str(told[name]) for name in ("site", "slug", "id", "archive") if name in told]
    assert not any("/" in each or each == ".." or "\n" in each for each in paths)


@pytest.mark.parametrize("part", ["nginx", "php", "redis"])
def test_web_config_has_one_command_line_for_each_action(part: str) -> None:
    request = schemas.REQUEST.validate_json(json.dumps({"verb": "web_config", "part": part, "action": "test"}))
    assert isinstance(request, schemas.WebConfig)
    assert web_config.argv(request) == ["timeout", "-s", "KILL", "20", "/usr/local/bin/web-config", "test"]
    assert web_config.SERVICES[request.part] == f"blog-{part}"


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T06:13:17.179684364Z", 1795327997.179684364),
        ("2026-11-22T06:13:17Z", 1795327997.0),
        ("2026-11-22T15:13:17.5+09:00", 1795327997.5),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
    ],
)
def test_moment(text: str | None, seconds: float | None) -> None:
    assert reading.moment(text) == seconds


def _frame(kind: int, text: bytes) -> bytes:
    return struct.pack(">BxxxL", kind, len(text)) + text


ENTRIES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8)


@given(ENTRIES, st.lists(st.integers(0, 400), max_size=6))
def test_log_cut_anywhere_reads_the_same(entries: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(_frame(kind, b"2026-11-22T06:13:17.1Z " + text) for kind, text in entries)
    whole = list(reading.LogReader(is_terminal=False).feed(data))
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = reading.LogReader(is_terminal=False)
    pieces = [line for start, end in itertools.pairwise(places) for line in reader.feed(data[start:end])]
    assert pieces == whole
    assert [line.stream for line in whole] == ["stderr" if kind == 2 else "stdout" for kind, _ in entries]


def test_log_line_keeps_what_a_program_wrote() -> None:
    entry = b"2026-11-22T06:13:17.179684364Z \x1b[31m<img onerror=x>\xe2\x80\xae \xff\r\n"
    (line,) = reading.LogReader(is_terminal=False).feed(_frame(2, entry))
    assert line.at == "2026-11-22T06:13:17.179684364Z"
    assert line.text == "\x1b[31m<img onerror=x>\u202e \ufffd"
    assert (line.stream, line.is_partial) == ("stderr", False)


def test_log_line_without_an_end_is_partial_and_a_monster_is_cut() -> None:
    reader = reading.LogReader(is_terminal=False)
    (partial,) = reader.feed(_frame(1, b"T abc"))
    (monster,) = reader.feed(_frame(1, b"T " + b"x" * 100_000 + b"\n"))
    assert partial.is_partial
    assert (len(monster.text), monster.is_partial) == (reading.LINE_BYTES, True)


def test_terminal_is_one_stream_of_lines() -> None:
    reader = reading.LogReader(is_terminal=True)
    lines = [*reader.feed(b"T one\r\nT tw"), *reader.feed(b"o\r\nT three"), *reader.end()]
    assert [line.text for line in lines] == ["one", "two", "three"]
    assert {line.stream for line in lines} == {"stdout"}


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=5)
)
def test_event_of_another_kind_is_nobodys_business(document: Any) -> None:
    assert reading.event(document if isinstance(document, dict) else {}) is None
