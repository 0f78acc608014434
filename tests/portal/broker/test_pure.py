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

from portal.broker import protection, reading, schemas, wp
from portal.broker.failures import NotAllowed

ID = "0123456789abcdef" * 4


# -- schemas ----------------------------------------------------------------------------------------------------------


def test_verbs_are_these_and_no_others() -> None:
    verbs = {cls.model_fields["verb"].default for cls in schemas.Request.__subclasses__()}
    assert verbs == {
        *("list", "inspect", "start", "stop", "restart", "logs", "stats", "watch_stats", "events"),
        *("stacks", "images", "disk_usage", "wp_cli"),
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


def _argv(command: str, *arguments: str, **options: str) -> list[str]:
    return wp.argv("/srv/sites/a", "https://a.test", command.split(), arguments, options, timeout_s=60)


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
    assert _argv("plugin list", format="json", fields="name,status") == [
        *("timeout", "-s", "KILL", "60", "wp", "--path=/srv/sites/a", "--url=https://a.test", "--no-color"),
        *("plugin", "list", "--format=json", "--fields=name,status"),
    ]
    assert _argv("option update", "blogname", "日本語; rm -rf /")[-2:] == ["blogname", "日本語; rm -rf /"]


@pytest.mark.parametrize(
    ("command", "arguments", "options"),
    [
        ("db export", (), {}),
        ("db query", ("SELECT 1",), {}),
        ("eval", ("phpinfo();",), {}),
        ("shell", (), {}),
        ("plugin install", ("hello",), {}),
        ("plugin", (), {}),
        ("--exec=x plugin list", (), {}),
        ("plugin list --exec=x", (), {}),
        ("plugin activate", (), {}),
        ("plugin activate", ("a", "b"), {}),
        ("plugin activate", ("--exec=system('id');",), {}),
        ("plugin activate", ("-h",), {}),
        ("plugin activate", ("../x",), {}),
        ("plugin activate", ("a\n--x",), {}),
        ("plugin list", (), {"exec": "x"}),
        ("plugin list", (), {"require": "/tmp/x.php"}),
        ("plugin list", (), {"path": "/"}),
        ("plugin list", (), {"ssh": "host"}),
        ("plugin list", (), {"format": "json --exec=x"}),
        ("plugin list", (), {"format": "json\n"}),
        ("user list", (), {"fields": "user_login,user_pass"}),
        ("option get", ("auth_key",), {}),
        ("option get", ("mailserver_pass",), {}),
        ("option update", ("active_plugins", "x"), {}),
        ("option update", ("blogname", "--format=json"), {}),
        ("option update", ("blogname", "a\x00b"), {}),
    ],
    ids=str,
)
def test_wp_beyond_the_list_is_refused(command: str, arguments: tuple[str, ...], options: dict[str, str]) -> None:
    with pytest.raises(NotAllowed):
        _argv(command, *arguments, **options)


@given(
    st.sampled_from(list(wp.ALLOWED)),
    st.lists(st.text(max_size=20), max_size=3),
    st.dictionaries(st.sampled_from(["format", "fields", "exec", "path", "require"]), st.text(max_size=12)),
)
def test_no_argument_of_a_caller_becomes_an_option(
    command: tuple[str, ...], arguments: list[str], options: dict[str, str]
) -> None:
    try:
        argv = wp.argv("/srv/sites/a", "https://a.test", command, arguments, options, timeout_s=1)
    except NotAllowed:
        return
    given_by_caller = argv[8 + len(command) :]
    dashed = [each for each in given_by_caller if each.startswith("-")]
    assert all(each.startswith(("--format=", "--fields=")) for each in dashed)
    assert not any(character in "".join(argv) for character in "\0\n\r")


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
