"""`homeport mail ...` as an operator types it: what it prints, for the eye and as JSON, and its exit code."""

from __future__ import annotations

import io
import json
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from kit import cli
from kit.signing import parse_keys
from tests.mail_api.queued import RETAINED_AT, Queued
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.homeport import HOMEPORT, Homeport, eventually, message
from tests.services.lmtp_proxy import LmtpProxy
from tests.services.process import free_port

DONE, REFUSED, WRONG_USAGE, NOT_RUNNING = 0, 1, 2, 3
ABSENT = "0" * 32
HOSTILE = "\x1b]0;owned\x07\u202e\x9b31m\x7f\n@home.test"  # window title, right-to-left, colour, delete, new line
ESCAPED = r"\x1b]0;owned\x07\u202e\x9b31m\x7f\n@home.test"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def table(self) -> list[list[str]]:
        """Its lines, split where at least two blanks stand."""
        return [re.split(r" {2,}", line) for line in self.out.splitlines()]


Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def queued(dovecot: Dovecot, start_homeport: Callable[..., Homeport]) -> Iterator[Queued]:
    with LmtpProxy(dovecot.lmtp_port) as network:
        yield Queued(start_homeport(transport=network.url), dovecot, network)


@pytest.fixture
def homeport(queued: Queued) -> Homeport:
    return queued.homeport


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `homeport mail` in this process. Settings come as environment variables, as in a shell."""

    def run(*arguments: str, stdin: str = "", **settings: object) -> Ended:
        for name, value in settings.items():
            monkeypatch.setenv(f"HOMEPORT_MAIL_{name.upper()}", str(value))
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["mail", *arguments])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        assert "Traceback" not in err
        return Ended(ended.value.code, out, err)

    return run


@pytest.fixture
def queue(run: Run, homeport: Homeport) -> Run:
    """Run `homeport mail queue` against the module's Homeport."""

    def queue(*arguments: str, stdin: str = "") -> Ended:
        return run("queue", *arguments, stdin=stdin, state_dir=homeport.state_dir)

    return queue


def assert_refused(ended: Ended, *parts: str, code: int = REFUSED) -> None:
    """One line on standard error, nothing on standard output."""
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("homeport: error: ")
    assert ended.err.count("\n") == 1
    for part in parts:
        assert part in ended.err


class TestQueue:
    def test_list_says_what_waits_and_why(self, queue: Run, queued: Queued) -> None:
        queue_id, mailbox = queued.full()
        ended = queue("list")
        assert (ended.code, ended.err) == (DONE, "")
        headings, *rows = ended.table
        assert headings == ["queue id", "received", "size", "from", "to", "tries", "next", "reason"]
        [row] = [row for row in rows if row[0] == queue_id]
        assert row[3:6] == ["a@example.org", mailbox.address, "1"]
        assert "5.2.2" in row[7]

    def test_list_as_json_is_what_the_control_socket_says(self, queue: Run, queued: Queued) -> None:
        queue_id, _ = queued.held()
        ended = queue("list", "--place", "hold", "--limit", "1000", "--json")
        assert ended.code == DONE
        assert ended.document["place"] == "hold"
        assert queued.entry(queue_id) in ended.document["entries"]

    def test_list_says_that_there_is_more_or_nothing(self, queue: Run, queued: Queued) -> None:
        assert queue("list", "--place", "active").out == "Nothing is in active.\n"
        for _ in range(2):
            queued.held()
        ended = queue("list", "--place", "hold", "--limit", "1")
        assert len(ended.table) == 3
        assert re.fullmatch(r"1 of \d+; --limit shows more\.", ended.table[-1][0])

    def test_show_tells_an_entry_and_its_history(self, queue: Run, queued: Queued) -> None:
        queue_id, mailbox = queued.full()
        ended = queue("show", queue_id)
        assert ended.code == DONE
        for part in [f"rcpt_to           {mailbox.address}\n", "attempts          1\n", "place             queue\n"]:
            assert part in ended.out
        steps = re.findall(r"^  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d  (\w+)", ended.out, re.MULTILINE)
        assert steps[0] == "received"
        assert steps[-2:] == ["queued", "attempted"]
        document = queue("show", queue_id, "--json").document
        assert [event["step"] for event in document.pop("events")] == steps
        assert document == queued.entry(queue_id)

    def test_held_entry_is_released_by_hand(self, queue: Run, queued: Queued) -> None:
        queue_id, address = queued.held()
        mailbox = queued.dovecot.add_user(address)
        ended = queue("release", queue_id)
        assert (ended.code, ended.out) == (DONE, f"{queue_id} is released and will be tried now.\n")
        eventually(mailbox.files)

    def test_queued_entry_is_retried_and_held_by_hand(self, queue: Run, queued: Queued) -> None:
        queue_id, _ = queued.full()
        ended = queue("retry", queue_id)
        assert (ended.code, ended.out) == (DONE, f"{queue_id} will be tried now.\n")
        eventually(lambda: queued.is_in("queue", queue_id, attempts=2))
        ended = queue("hold", queue_id, "--reason", "ask the owner")
        assert (ended.code, ended.out) == (DONE, f"{queue_id} is held.\n")
        assert queued.entry(queue_id)["reason"] == "ask the owner"
        assert "reason=ask the owner" in queue("show", queue_id).out

    def test_retry_of_everything_says_how_many(self, queue: Run, queued: Queued) -> None:
        queued.full()
        assert re.fullmatch(r"[1-9]\d* entries will be tried now\.\n", queue("retry").out)
        assert queue("retry", "--json").document["count"] >= 1

    @pytest.mark.parametrize(
        ("act", "place"),
        [("retry", "queue"), ("hold", "hold"), ("release", "queue"), ("drop", "hold")],
    )
    def test_act_as_json_is_the_entry(self, queue: Run, queued: Queued, act: str, place: str) -> None:
        queue_id, recipient = queued.held() if act in ("release", "drop") else queued.full()
        more = ["--reason", "old", "--yes"] if act == "drop" else []
        ended = queue(act, queue_id, *more, "--json")
        assert (ended.code, ended.err) == (DONE, "")
        assert (ended.document["queue_id"], ended.document["place"]) == (queue_id, place)
        assert ended.document["rcpt_to"] == getattr(recipient, "address", recipient)

    def test_drop_asks_first_and_takes_no_for_an_answer(self, queue: Run, queued: Queued) -> None:
        queue_id, address = queued.held(mail_from="")
        for answer in ["n\n", "\n", ""]:
            ended = queue("drop", queue_id, "--reason", "old", stdin=answer)
            assert (ended.code, ended.out.strip()) == (REFUSED, "")
            assert f"Drop the message from <> to {address} (" in ended.err
            assert queued.entry(queue_id)["place"] == "hold"
        ended = queue("drop", queue_id, "--reason", "old", stdin="y\n")
        assert (ended.code, ended.out.strip()) == (DONE, f"{queue_id} is dropped.")
        assert queued.entry(queue_id)["status"] == 404

    def test_drop_needs_a_reason(self, queue: Run, queued: Queued) -> None:
        queue_id, _ = queued.held()
        assert queue("drop", queue_id, "--yes").code == WRONG_USAGE
        assert_refused(queue("drop", queue_id, "--yes", "--reason", ""), "reason")
        assert queued.entry(queue_id)["place"] == "hold"

    @pytest.mark.parametrize("act", [["show"], ["retry"], ["hold"], ["release"], ["drop", "--yes", "--reason", "old"]])
    def test_entry_that_is_not_there_is_said(self, queue: Run, act: list[str]) -> None:
        assert_refused(queue(*act, ABSENT), "No such queue entry", ABSENT)
        for impossible in ["", "../hold", ABSENT.upper().replace("0", "A"), ABSENT + "0"]:
            ended = queue(*act, "--", impossible)
            assert (ended.code, ended.out) == (WRONG_USAGE, "")

    def test_entry_that_is_elsewhere_is_said(self, queue: Run, queued: Queued) -> None:
        queue_id, _ = queued.held()
        assert_refused(queue("retry", queue_id), "Queue entry is busy", f"{queue_id} is in hold")

    def test_wrong_usage_is_said(self, queue: Run, run: Run) -> None:
        assert queue("list", "--limit", "0").code == WRONG_USAGE
        assert queue("lost").code == WRONG_USAGE
        assert_refused(queue("list", "--place", "nowhere"), "place")

    @pytest.mark.parametrize("command", [["list", "--json"], ["drop", ABSENT, "--reason", "old"]])
    def test_delivery_that_does_not_run_has_its_own_exit_code(self, command: list[str], tmp_path: Path) -> None:
        # a process of its own: httpx2 2.16 leaves the socket that could not connect to the garbage collector
        ended = subprocess.run(
            [*HOMEPORT, "mail", "queue", *command, "--state-dir", tmp_path], capture_output=True, text=True, timeout=30
        )
        assert_refused(
            Ended(ended.returncode, ended.stdout, ended.stderr),
            "is `homeport mail delivery` running?",
            code=NOT_RUNNING,
        )

    def test_state_directory_must_be_given(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HOMEPORT_MAIL_STATE_DIR", raising=False)
        ended = run("queue", "list")
        assert ended.code == WRONG_USAGE
        assert "--state-dir" in ended.err


class TestHostileText:
    """An address is a stranger's text. On a terminal it must be read, not obeyed."""

    def assert_printable(self, ended: Ended) -> None:
        for text in (ended.out, ended.err):
            assert [char for char in text if not char.isprintable() and char != "\n"] == []
        assert "\n@home.test" not in ended.out + ended.err

    def test_addresses_are_shown_escaped(self, queue: Run, run: Run, queued: Queued) -> None:
        queue_id, _ = queued.held(HOSTILE, mail_from=HOSTILE)
        shown = [
            queue("list", "--place", "hold", "--limit", "1000"),
            queue("show", queue_id),
            run("trace", queue_id),
            queue("drop", queue_id, "--reason", "old", stdin="n\n"),
        ]
        for ended in shown:
            self.assert_printable(ended)
            assert ESCAPED in ended.out + ended.err

    def test_reasons_are_shown_escaped(self, queue: Run, run: Run, queued: Queued) -> None:
        queue_id, _ = queued.full()
        assert queue("hold", queue_id, "--reason", HOSTILE).code == DONE
        for ended in [
            queue("list", "--place", "hold", "--limit", "1000"),
            queue("show", queue_id),
            run("trace", queue_id),
        ]:
            self.assert_printable(ended)
            assert ESCAPED in ended.out

    def test_json_says_it_whole_and_is_as_harmless(self, queue: Run, run: Run, queued: Queued) -> None:
        queue_id, _ = queued.held(HOSTILE)
        for ended in [queue("show", queue_id, "--json"), run("trace", queue_id, "--json")]:
            self.assert_printable(ended)
        assert queue("show", queue_id, "--json").document["rcpt_to"] == HOSTILE
        [traced] = run("trace", queue_id, "--json").document
        assert traced["rcpt_to"] == HOSTILE


class TestTrace:
    def trace(self, run: Run, homeport: Homeport, *arguments: str) -> Ended:
        return run("trace", *arguments, state_dir=homeport.state_dir)

    def test_delivered_message_is_traced_by_id_and_by_both_addresses(
        self, run: Run, homeport: Homeport, mailbox: Mailbox
    ) -> None:
        sender = f"s-{mailbox.address}"
        raw = message()
        answer = homeport.post(raw, rcpt_to=mailbox.address, mail_from=sender)
        message_id = answer.document["message_id"]
        seen = [self.trace(run, homeport, what) for what in (message_id, mailbox.address, sender)]
        assert [ended.code for ended in seen] == [DONE] * 3
        assert seen[0] == seen[1] == seen[2]
        head, *events = seen[0].out.splitlines()
        assert head == f"{message_id}  delivered  {len(raw)} B  {sender} -> {mailbox.address}"
        assert [line.split()[2] for line in events] == ["received", "scanned", "delivered"]
        assert "2.0.0" in events[-1]

        [traced] = self.trace(run, homeport, message_id, "--json").document
        assert {name: traced[name] for name in ("message_id", "state", "rcpt_to", "sha256", "queue_id")} == {
            "message_id": message_id,
            "state": "delivered",
            "rcpt_to": mailbox.address,
            "sha256": answer.document["sha256"],
            "queue_id": None,
        }
        assert [event["step"] for event in traced["events"]] == ["received", "scanned", "delivered"]

    def test_drained_message_is_traced_back_to_the_edge(self, run: Run, homeport: Homeport, mailbox: Mailbox) -> None:
        message_id = homeport.post(message(), rcpt_to=mailbox.address, retained_at=RETAINED_AT).document["message_id"]
        [traced] = self.trace(run, homeport, message_id, "--json").document
        steps = [event["step"] for event in traced["events"]]
        assert steps == ["retained", "drained", "scanned", "delivered"]
        at = [datetime.fromisoformat(event["at"]).timestamp() for event in traced["events"]]
        assert at[0] == RETAINED_AT
        assert at == sorted(at)
        _, *events = self.trace(run, homeport, message_id).out.splitlines()
        assert [line.split()[2] for line in events] == steps

    def test_newest_messages_of_an_address_come_first(self, run: Run, homeport: Homeport, mailbox: Mailbox) -> None:
        posted = [homeport.post(message(), rcpt_to=mailbox.address).document["message_id"] for _ in range(3)]
        traced = self.trace(run, homeport, mailbox.address, "--limit", "2", "--json").document
        assert [each["message_id"] for each in traced] == posted[:0:-1]

    def test_address_is_found_however_its_domain_is_written(
        self, run: Run, homeport: Homeport, dovecot: Dovecot
    ) -> None:
        mailbox = dovecot.add_user("trace@xn--bcher-kva.test")
        assert homeport.post(message(), rcpt_to="trace@bücher.test").status == 200
        for written in [mailbox.address, "trace@bücher.test", "trace@XN--bcher-kva.TEST"]:
            assert self.trace(run, homeport, written).code == DONE, written

    def test_refused_message_is_traced(self, run: Run, homeport: Homeport) -> None:
        answer = homeport.post(message(), rcpt_to="nobody@home.test")
        assert answer.status == 404
        ended = self.trace(run, homeport, answer.document["message_id"])
        assert ended.code == DONE
        assert "refused" in ended.out
        assert "5.1.1" in ended.out

    def test_held_message_is_traced(self, run: Run, homeport: Homeport, queued: Queued) -> None:
        queue_id, address = queued.held()
        head, *events = self.trace(run, homeport, address).out.splitlines()
        assert head.split()[:2] == [queue_id, "held"]
        assert events[-1].split()[2] == "held"

    @pytest.mark.parametrize("what", [ABSENT, "stranger@example.org", "nonsense"])
    def test_unknown_message_is_said(self, run: Run, homeport: Homeport, what: str) -> None:
        assert_refused(self.trace(run, homeport, what), f"nothing is known of {what}")
        ended = self.trace(run, homeport, what, "--json")
        assert (ended.code, ended.document) == (REFUSED, [])

    def test_state_directory_without_a_ledger_is_said(self, run: Run, tmp_path: Path) -> None:
        assert_refused(run("trace", ABSENT, state_dir=tmp_path), "there is no ledger at", str(tmp_path))
        assert list(tmp_path.iterdir()) == []


class TestKeys:
    @pytest.fixture
    def keys(self, run: Run, tmp_path: Path) -> Run:
        return lambda *arguments, **settings: run(
            "keys", *arguments, **{"keys_file": tmp_path / "secrets" / "keys", "state_dir": tmp_path, **settings}
        )

    @pytest.fixture
    def keys_file(self, tmp_path: Path) -> Path:
        return tmp_path / "secrets" / "keys"

    def test_new_key_is_current_and_the_one_before_stays_valid(self, keys: Run, keys_file: Path) -> None:
        for key_id in ["first", "second"]:
            ended = keys("new", "--key-id", key_id)
            assert ended.code == DONE
            assert ended.out.startswith(f"{key_id} is current in {keys_file}.")
        assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
        assert keys("list").table == [
            ["key", "state", "last used"],
            ["second", "current", "never"],
            ["first", "valid", "never"],
        ]
        assert keys("list", "--json").document == [
            {"key_id": "second", "state": "current", "last_used_at": None},
            {"key_id": "first", "state": "valid", "last_used_at": None},
        ]

    @pytest.mark.parametrize(("mode", "kept"), [(0o444, 0o444), (0o640, 0o640), (0o666, 0o644)])
    def test_file_stays_readable_for_whom_it_was(self, keys: Run, keys_file: Path, mode: int, kept: int) -> None:
        """In a container the mail API reads it under a user id that the host does not have."""
        keys("new", "--key-id", "first")
        keys_file.chmod(mode)
        keys("new", "--key-id", "second")
        assert stat.S_IMODE(keys_file.stat().st_mode) == kept
        keys("retire", "first")
        assert stat.S_IMODE(keys_file.stat().st_mode) == kept

    def test_key_is_named_by_the_day_if_not_otherwise(self, keys: Run) -> None:
        assert re.fullmatch(r"k\d{8}", keys("new", "--json").document["key_id"])
        assert_refused(keys("new"))  # one a day: two of a name would be one too many

    def test_retired_key_is_gone_and_the_last_one_stays(self, keys: Run, keys_file: Path) -> None:
        for key_id in ["first", "second"]:
            keys("new", "--key-id", key_id)
        ended = keys("retire", "second")
        assert (ended.code, ended.out) == (DONE, "second is retired.\n")
        assert [key.key_id for key in parse_keys(keys_file.read_text())] == ["first"]
        before = keys_file.read_bytes()
        assert_refused(keys("retire", "first"))
        assert_refused(keys("retire", "second"), "no key 'second'")
        assert keys_file.read_bytes() == before

    def test_comments_of_the_file_are_kept(self, keys: Run, keys_file: Path) -> None:
        keys("new", "--key-id", "first")
        keys_file.write_text("# for the Worker\n" + keys_file.read_text())
        keys("new", "--key-id", "second")
        assert keys("retire", "first", "--json").document == {"key_id": "first"}
        assert keys_file.read_text().startswith("# for the Worker\nsecond:")

    @pytest.mark.parametrize("key_id", ["", "A", "a b", "a:b", "x" * 33, "a\nb"])
    def test_impossible_name_changes_nothing(self, keys: Run, keys_file: Path, key_id: str) -> None:
        keys("new", "--key-id", "first")
        before = keys_file.read_bytes()
        assert_refused(keys("new", "--key-id", key_id or " "))
        assert keys_file.read_bytes() == before

    def test_no_secret_is_ever_shown(self, keys: Run, keys_file: Path) -> None:
        ended = [keys("new", "--key-id", "first"), keys("new", "--key-id", "second", "--json")]
        secrets = [key.secret.hex() for key in parse_keys(keys_file.read_text())]
        ended += [keys("list"), keys("list", "--json"), keys("retire", "first")]
        keys_file.write_text(f"first:{secrets[0]}\nfirst:{secrets[1]}\n")
        ended.append(keys("list"))
        assert ended[-1].code == REFUSED
        assert [secret for secret in secrets for each in ended if secret in each.out + each.err] == []

    def test_missing_file_is_said(self, keys: Run, keys_file: Path) -> None:
        for command in [["list"], ["retire", "first"]]:
            assert_refused(keys(*command), f"there is no keys file at {keys_file}", "keys new")
        assert not keys_file.exists()

    def test_last_use_is_shown(self, run: Run, homeport: Homeport, mailbox: Mailbox) -> None:
        assert homeport.post(message(), rcpt_to=mailbox.address).status == 200
        ended = run("keys", "list", keys_file=homeport.keys_file, state_dir=homeport.state_dir)
        [_, [key_id, state, used]] = ended.table
        assert (key_id, state) == (homeport.key.key_id, "current")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", used)


class TestSendTest:
    @pytest.fixture
    def send(self, run: Run, homeport: Homeport) -> Run:
        url = f"http://127.0.0.1:{homeport.port}"
        return lambda *arguments: run("send-test", "--url", url, *arguments, keys_file=homeport.keys_file)

    def test_sample_is_delivered(self, send: Run, mailbox: Mailbox) -> None:
        ended = send("--to", mailbox.address)
        assert (ended.code, ended.err) == (DONE, "")
        message_id = re.fullmatch(rf"delivered: message (\w{{32}}) to {re.escape(mailbox.address)}\n", ended.out)
        assert message_id
        [stored] = mailbox.files().values()
        assert f"X-Homeport-Id: {message_id[1]}\n".encode() in stored
        assert b"\nSubject: Homeport test message\n" in stored
        assert stored.startswith(b"Return-Path: <test@homeport.invalid>\n")

    def test_file_is_sent_as_it_is_and_the_sender_may_be_null(
        self, send: Run, mailbox: Mailbox, tmp_path: Path
    ) -> None:
        raw = message(b"\0\xff\n.\n")
        (tmp_path / "message").write_bytes(raw)
        ended = send("--to", mailbox.address, "--from", "", "--file", str(tmp_path / "message"), "--json")
        assert ended.code == DONE
        assert ended.document["status"] == "delivered"
        [stored] = mailbox.files().values()
        assert stored.startswith(b"Return-Path: <>\n")
        assert stored.endswith(raw.replace(b"\r\n", b"\n"))
        assert send("--to", mailbox.address, "--file", str(tmp_path / "absent")).code == WRONG_USAGE

    def test_queued_message_is_no_failure(self, send: Run, dovecot: Dovecot) -> None:
        full = dovecot.add_user(quota_bytes=10)
        ended = send("--to", full.address)
        assert ended.code == DONE
        assert ended.out.startswith("queued: message ")

    def test_refusal_is_said_with_its_type(self, send: Run) -> None:
        ended = send("--to", "nobody@home.test")
        assert_refused(ended, "404 /problems/unknown-mailbox: ")
        ended = send("--to", "nobody@home.test", "--json")
        assert (ended.code, ended.document["smtp"]["code"]) == (REFUSED, 550)
        assert_refused(send("--to", "nodomain"), "422 /problems/bad-address")

    def test_wrong_key_is_said(self, run: Run, homeport: Homeport, mailbox: Mailbox, tmp_path: Path) -> None:
        run("keys", "new", keys_file=tmp_path / "keys")
        ended = run("send-test", "--url", f"http://127.0.0.1:{homeport.port}", "--to", mailbox.address)
        assert_refused(ended, "401 /problems/signature-refused")
        assert mailbox.files() == {}

    def test_nobody_there_has_its_own_exit_code(self, run: Run, homeport: Homeport) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        ended = run("send-test", "--to", "anna@home.test", "--url", url, keys_file=homeport.keys_file)
        assert_refused(ended, f"no answer from {url}", code=NOT_RUNNING)

    def test_somebody_else_there_is_said(self, run: Run, homeport: Homeport, dovecot: Dovecot) -> None:
        url = f"http://127.0.0.1:{homeport.port}/elsewhere"
        assert_refused(run("send-test", "--to", "a@home.test", "--url", url, keys_file=homeport.keys_file), "404")


class TestProcesses:
    def test_process_with_unusable_settings_says_which(self, run: Run, homeport: Homeport, tmp_path: Path) -> None:
        good = {
            "transport": "lmtp://127.0.0.1:24",
            "state_dir": tmp_path / "state",
            "keys_file": homeport.keys_file,
            "hostname": "mx.test",
        }
        for bad, part in [
            ({"transport": "smtp://127.0.0.1"}, "HOMEPORT_MAIL_TRANSPORT"),
            ({"colour": "blue"}, "HOMEPORT_MAIL_COLOUR"),
        ]:
            assert_refused(run("delivery", **good | bad), part)

    def test_ingress_on_a_port_in_use_says_so(self, run: Run, homeport: Homeport, tmp_path: Path) -> None:
        settings = {
            "transport": "lmtp://127.0.0.1:24",
            "state_dir": tmp_path / "state",
            "keys_file": homeport.keys_file,
            "hostname": "mx.test",
        }
        ended = run("ingress", "--listen", f"127.0.0.1:{homeport.port}", **settings)
        assert_refused(ended, f"cannot listen on 127.0.0.1:{homeport.port}: Address already in use")

    def test_second_delivery_on_one_spool_says_so(self, run: Run, homeport: Homeport) -> None:
        settings = {name[14:].lower(): value for name, value in homeport.environment.items() if "HOMEPORT_MAIL" in name}
        assert_refused(run("delivery", **settings), "delivery")
