"""The broker's socket: who may speak, what is understood, what a hostile peer gets. No engine behind it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.broker import frames, schemas
from portal.broker.client import Broker
from portal.broker.failures import BrokerBusy, BrokerUnavailable, EngineUnavailable, RequestMalformed
from portal.broker.server import bind
from tests.portal.brokers import RunningBroker, connect, read_to_end
from tests.services.process import Daemon, ServiceFailed

NO_ENGINE = "unix:///nonexistent/docker.sock"
ID = "0123456789abcdef" * 4
Start = Callable[..., RunningBroker]

MALFORMED = {"error": {"type": "broker-request-malformed", "detail": "", "protection": None}}


@pytest.fixture
def lonely(start_broker: Start) -> RunningBroker:
    return start_broker(NO_ENGINE)


# -- who may speak ----------------------------------------------------------------------------------------------------

_ASK_AS = """
import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
try:
    connection.sendall(b'\\0\\0\\0\\x0f{"verb":"list"}')
    answer = connection.recv(65536)
except OSError:
    answer = b""
print(len(answer))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else needs root")
def test_only_the_portals_uid_is_answered_whatever_the_sockets_mode(start_broker: Start) -> None:
    broker = start_broker(NO_ENGINE, portal_uid=4711)
    broker.path.chmod(0o666)
    for parent in broker.path.parents:
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(0o711)

    def answered(uid: int) -> int:
        asked = [sys.executable, "-I", "-c", _ASK_AS, str(broker.path), str(uid)]
        return int(subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout)

    assert answered(4711) > 0
    assert answered(4712) == 0
    assert answered(0) == 0, "not even root's"


def test_peer_of_another_uid_is_hung_up_on_unread(start_broker: Start) -> None:
    broker = start_broker(NO_ENGINE, portal_uid=os.geteuid() + 1)
    assert broker.document(b'{"verb":"list"}') == b""


def test_socket_is_open_to_owner_and_group_alone(lonely: RunningBroker) -> None:
    assert stat.S_IMODE(lonely.path.stat().st_mode) == 0o660


# -- what is understood -----------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
_VERBS = st.sampled_from([cls.model_fields["verb"].default for cls in schemas.Request.__subclasses__()])
_FIELDS = st.sampled_from(sorted({name for cls in schemas.Request.__subclasses__() for name in cls.model_fields}))
# Values that some field takes, so that many of the documents are requests.
_LIKELY = st.sampled_from(
    [
        *(
            ID,
            "shop",
            20_000,
            "https://a.test",
            "nginx",
            "redis",
            "test",
            "reload",
            "served",
            "measure",
            "keep",
            "plugin",
        ),
        *("akismet", "old.tar.zst", "01abc", ["core", "version"], ["user", "update"], ["search-replace"], ["--", "-x"]),
        *("Kx7vQm2Rt9Lp4Wz8Yb3N", {"dry-run": ""}, {"require": "/tmp/x.php"}, {"url": "https://a.test"}, "a\n--exec=x"),
    ]
)
_fuzzed = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def _is_answer(answer: bytes) -> bool:
    """One whole frame with an error in it, since there is no engine."""
    length = frames.length_of(answer[:4], limit=frames.MAX_ANSWER_BYTES)
    document = json.loads(answer[4:])
    return len(answer) == 4 + length and set(document) == {"error"} and document["error"]["type"] != "broker-failed"


@_fuzzed
@given(sent=st.binary(max_size=300))
def test_raw_bytes_never_get_more_than_a_refusal(lonely: RunningBroker, sent: bytes) -> None:
    assert _is_answer(lonely.raw(sent))


@_fuzzed
@given(document=st.binary(min_size=1, max_size=300))
def test_bytes_in_a_frame_never_get_more_than_a_refusal(lonely: RunningBroker, document: bytes) -> None:
    assert json.loads(lonely.document(document)) == MALFORMED


@_fuzzed
@given(verb=_VERBS, fields=st.dictionaries(_FIELDS, _JSON | _LIKELY, max_size=6))
def test_verbs_with_odd_fields_never_get_more_than_a_refusal(
    lonely: RunningBroker, verb: str, fields: dict[str, object]
) -> None:
    document = json.dumps(fields | {"verb": verb}).encode()
    assert _is_answer(lonely.raw(struct.pack(">I", len(document)) + document, and_end=False))


@pytest.mark.parametrize(
    "document",
    [
        b'{"verb":"list"}{"verb":"list"}',
        b'{"verb":"list"} x',
        b'{"verb":"list","verb":"create"}',
        b"[" * 60_000,
        b'{"verb":"list","caller":"\xff"}',
        b'{"verb":"list","caller":"\\ud800"}',
        b"null",
    ],
)
def test_document_that_is_nearly_a_request_is_malformed(lonely: RunningBroker, document: bytes) -> None:
    assert json.loads(lonely.document(document)) == MALFORMED


def test_refusal_repeats_nothing_of_the_request(lonely: RunningBroker) -> None:
    answer = lonely.document(b'{"verb":"inspect","container":"<img onerror=1>"}')
    assert b"img" not in answer


def test_second_request_on_a_connection_is_not_read(lonely: RunningBroker) -> None:
    frame = frames.encode(b'{"verb":"list"}', limit=100)
    answer = lonely.raw(frame + frame)
    assert answer == b"" or _is_answer(answer)


def test_frame_over_the_limit_is_refused_at_its_length(lonely: RunningBroker) -> None:
    answer = lonely.raw(struct.pack(">I", frames.MAX_REQUEST_BYTES + 1), and_end=False)
    assert json.loads(answer[4:]) == MALFORMED


# -- how much ---------------------------------------------------------------------------------------------------------


async def test_connections_beyond_the_limit_are_told_so(start_broker: Start) -> None:
    broker = start_broker(NO_ENGINE, max_connections=2)
    with connect(broker.path), connect(broker.path):  # they say nothing, and hold a place
        await _ask_until(broker, BrokerBusy)
    await _ask_until(broker, EngineUnavailable)  # both places are free again


async def _ask_until(broker: RunningBroker, wanted: type[Exception]) -> None:
    """Ask until the answer is this one; pytest's timeout ends what never comes."""
    while True:
        try:
            await broker.client.ask(schemas.List())
        except (BrokerBusy, EngineUnavailable) as answer:
            if isinstance(answer, wanted):
                return


async def test_hundred_hangups_leave_the_broker_whole(lonely: RunningBroker) -> None:
    for number in range(100):
        connection = connect(lonely.path)
        connection.sendall(b"\0\0\0\x0f{"[: number % 6])
        connection.close()
    with pytest.raises(EngineUnavailable):
        await lonely.client.ask(schemas.List())


# -- the client -------------------------------------------------------------------------------------------------------


async def test_without_a_broker_every_call_says_so(tmp_path: Path) -> None:
    for path in (None, tmp_path / "nobody.sock"):
        with pytest.raises(BrokerUnavailable):
            await Broker(path).ask(schemas.List())
        with pytest.raises(BrokerUnavailable):
            async with Broker(path).follow(schemas.Events()):
                pass


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x04null",
        b"\0\0\0\x02{}",
        b"\0\0\0\x0c" + b'{"error":{}}',
        b"\0\0\0\x0d" + b'{"result":{}}',
        b"\0\0\0\x1a" + b'{"error":{"type":"who-me"}}'[:26],
    ],
)
async def test_answer_that_is_none_is_a_problem_and_no_crash(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)

        async def serve() -> None:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            with connection:
                connection.sendall(answer)

        serving = asyncio.create_task(serve())
        with pytest.raises((BrokerUnavailable, RequestMalformed)):
            await Broker(path).ask(schemas.List())
        await serving


# -- the process ------------------------------------------------------------------------------------------------------


def test_process_ends_on_sigterm_and_takes_its_socket_along(
    tmp_path: Path, broker_process: Callable[..., Daemon]
) -> None:
    path = tmp_path / "b.sock"
    daemon = broker_process(path, docker_host=NO_ENGINE)
    with connect(path) as waiting:
        daemon.stop()
        assert read_to_end(waiting) == b""
    assert not path.exists()


def test_process_killed_leaves_a_socket_that_the_next_one_replaces(
    tmp_path: Path, broker_process: Callable[..., Daemon]
) -> None:
    path = tmp_path / "b.sock"
    daemon = broker_process(path, docker_host=NO_ENGINE)
    daemon.kill()
    assert path.exists()
    daemon.start()
    connect(path).close()


def test_second_broker_and_a_file_in_the_way_are_named(tmp_path: Path, broker_process: Callable[..., Daemon]) -> None:
    path = tmp_path / "b.sock"
    broker_process(path, docker_host=NO_ENGINE)
    with pytest.raises(OSError, match="another broker"):
        bind(path)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OSError, match="something else"):
        bind(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"


def test_settings_that_cannot_be_meant_stop_the_start(tmp_path: Path, broker_process: Callable[..., Daemon]) -> None:
    with pytest.raises(ServiceFailed, match="HOMEPORT_BROKER_DOCKER_HOST is not a unix socket"):
        broker_process(tmp_path / "b.sock", docker_host="tcp://127.0.0.1:2375")


def test_log_names_who_asked_for_what(tmp_path: Path, broker_process: Callable[..., Daemon]) -> None:
    path = tmp_path / "b.sock"
    daemon = broker_process(path, docker_host=NO_ENGINE)
    document = json.dumps({"verb": "stop", "container": ID, "caller": "anna", "request_id": "r1"}).encode()
    with connect(path) as connection:
        connection.sendall(frames.encode(document, limit=1000))
        read_to_end(connection)
    daemon.stop()
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    (line,) = [line for line in lines if line["event"] == "broker_verb"]
    assert (line["verb"], line["target"], line["caller"], line["request_id"]) == ("stop", ID, "anna", "r1")
    assert line["result"] == "engine-unavailable"


def test_log_says_what_was_done_to_which_site_and_holds_no_secret(
    tmp_path: Path, broker_process: Callable[..., Daemon]
) -> None:
    path = tmp_path / "b.sock"
    daemon = broker_process(path, docker_host=NO_ENGINE, log_level="debug")
    password = "canary_7f3a91c2-password"
    database = {"host": "blog-db", "name": "wp_a", "user": "wp_a", "password": password}
    site = {"site": "shop", "caller": "anna"}
    sent = (
        {
            "verb": "wp_cli",
            "url": "https://a.test",
            "command": ["user", "update"],
            "arguments": ["7"],
            "stdin": password,
        },
        {
            "verb": "wp_cli",
            "url": "https://a.test",
            "command": ["option", "update"],
            "arguments": ["blogname", password],
        },
        {"verb": "site_files", "action": "create", "uid": 20000, "secrets": {"url": "https://a", "database": database}},
        {"verb": "site_files", "action": "create", "uid": 1, "secrets": {"url": "https://a", "database": database}},
    )
    for each in sent:
        with connect(path) as connection:
            connection.sendall(frames.encode(json.dumps(site | each).encode(), limit=4000))
            assert password.encode() not in read_to_end(connection)
    daemon.stop()
    said = daemon.log.read_text()
    assert password not in said
    lines = [json.loads(line) for line in said.splitlines() if '"broker_verb"' in line]
    assert [(line["verb"], line["target"], line["command"]) for line in lines] == [
        ("wp_cli", "shop", ["user", "update"]),
        ("wp_cli", "shop", ["option", "update"]),
        ("site_files", "shop", "create"),
    ]
