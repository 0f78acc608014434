"""Mail: run its two processes, look at and move the queue, keys, traces, test messages.

Exit codes: 0 done · 1 refused or failed, said on standard error · 2 wrong usage · 3 the process that must answer is
not running. With --json, standard output is one JSON document.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from kit.terminal import epoch_time, print_json, print_pairs, print_table, visible

if TYPE_CHECKING:  # imported where they are used, so that --help stays quick
    import httpx2

    from mail_api.history import Event
    from mail_api.ledger import LedgerReader, Row

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)
queue = typer.Typer(no_args_is_help=True, help="The queue: what waits, why, and what an operator can do about it.")
keys = typer.Typer(
    no_args_is_help=True, help="The keys that sign requests: two may be valid at once, so none is ever missing."
)
app.add_typer(queue, name="queue")
app.add_typer(keys, name="keys")

NOT_RUNNING = 3
CONTROL_S = 30.0  # for one answer of the delivery process
SEND_S = 30.0  # the API answers within 15 s of the last byte

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
StateDir = Annotated[
    Path, typer.Option(envvar="HOMEPORT_MAIL_STATE_DIR", help="Directory of spool/, ledger.sqlite3 and control.sock.")
]
KeysFile = Annotated[Path, typer.Option(envvar="HOMEPORT_MAIL_KEYS_FILE", help="File of the request-signing keys.")]
QueueId = Annotated[str, typer.Argument(help="Queue id (= message id), 32 hex digits.")]


# -- the processes ----------------------------------------------------------------------------------------------------


@app.command()
def ingress(
    listen: Annotated[str, typer.Option(help="HOST:PORT of the public listener, such as 127.0.0.1:8025.")],
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes.")] = 1,
) -> None:
    """Take signed mail over HTTP and deliver it, or keep it durably. Settings: HOMEPORT_MAIL_* (docs/settings.md)."""
    from mail_api import processes

    processes.run_ingress(_settings(), listen, workers)


@app.command()
def delivery() -> None:
    """Deliver what is queued, for as long as it takes, and serve the control socket. One per state directory."""
    from mail_api import processes

    processes.run_delivery(_settings())


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the public listener, without starting anything."""
    from mail_api.ingress import create_app

    def closed() -> NoReturn:
        raise RuntimeError("this application is only described")

    print(json.dumps(create_app(closed).openapi(), indent=2))


def _settings() -> Any:
    from kit import logging
    from mail_api.settings import MailSettings

    settings = MailSettings.load()
    logging.configure(json=settings.log_format == "json", level=settings.log_level)
    return settings


# -- the queue --------------------------------------------------------------------------------------------------------


@queue.command("list")
def queue_list(
    state_dir: StateDir,
    place: Annotated[str, typer.Option(help="queue, active, hold or corrupt.")] = "queue",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List the entries of one place, soonest due first."""
    page = _control(state_dir, "GET", "/v1/queue", params={"place": place, "limit": limit})
    if as_json:
        print_json(page)
        return
    if not page["entries"]:
        print(f"Nothing is in {place}.")
        return
    rows = [
        (
            entry["queue_id"],
            epoch_time(entry.get("received_at")),
            _size(entry.get("size_bytes")),
            entry.get("mail_from") or "<>",
            entry.get("rcpt_to", ""),
            str(entry.get("attempts", "")),
            epoch_time(entry.get("next_attempt_at")),
            entry.get("reason", ""),
        )
        for entry in page["entries"]
    ]
    print_table(("queue id", "received", "size", "from", "to", "tries", "next", "reason"), rows)
    if page["total"] > len(rows):
        print(f"{len(rows)} of {page['total']}; --limit shows more.")


@queue.command("show")
def queue_show(queue_id: QueueId, state_dir: StateDir, as_json: AsJson = False) -> None:
    """Show one entry, and what has happened to it so far."""
    entry = _control(state_dir, "GET", f"/v1/queue/{_id(queue_id)}")
    events = _read_ledger(state_dir, lambda ledger: ledger.events(queue_id))
    if as_json:
        print_json(entry | {"events": [_event_document(event) for event in events]})
        return
    shown = ((name, epoch_time(value) if name.endswith("_at") else value) for name, value in entry.items())
    pairs = [(name, str(value)) for name, value in shown if value not in (None, "") and name != "verdict"]
    print_pairs([*pairs, *_verdict_lines(entry.get("verdict") or {})])
    _print_events(events)


def _verdict_lines(verdict: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the scanners said of an entry, one fact a line, the weightiest symbol first."""
    if not verdict:
        return
    yield "verdict", f"{verdict.get('action')}: {verdict.get('reason')}"
    for scanner, said in verdict.get("report", {}).items():
        for name, value in said.items():
            if isinstance(value, dict):
                for symbol, about in value.items():
                    options = ", ".join(about.get("options", []))
                    yield scanner, f"{symbol} {about.get('score', 0):+.2f} {options}".rstrip()
            else:
                yield scanner, f"{name}: {value}"


@queue.command("retry")
def queue_retry(
    state_dir: StateDir,
    queue_id: Annotated[str | None, typer.Argument(help="Queue id; without it, everything that is queued.")] = None,
    as_json: AsJson = False,
) -> None:
    """Try one entry, or all of them, now."""
    path = f"/v1/queue/{_id(queue_id)}/retry" if queue_id is not None else "/v1/queue/retry"
    answer = _control(state_dir, "POST", path)
    what = "will be tried now" if queue_id is not None else f"{answer['count']} entries will be tried now"
    _say(answer, as_json, what)


@queue.command("hold")
def queue_hold(
    queue_id: QueueId,
    state_dir: StateDir,
    reason: Annotated[str, typer.Option(help="Why; kept in the message's history.")] = "held by an operator",
    as_json: AsJson = False,
) -> None:
    """Take an entry out of delivery until it is released."""
    _say(_control(state_dir, "POST", f"/v1/queue/{_id(queue_id)}/hold", {"reason": reason}), as_json, "is held")


@queue.command("release")
def queue_release(queue_id: QueueId, state_dir: StateDir, as_json: AsJson = False) -> None:
    """Deliver a held entry after all, whatever scanners said of it; what none has looked at is scanned first."""
    _say(
        _control(state_dir, "POST", f"/v1/queue/{_id(queue_id)}/release"), as_json, "is released and will be tried now"
    )


@queue.command("drop")
def queue_drop(
    queue_id: QueueId,
    state_dir: StateDir,
    reason: Annotated[str, typer.Option(help="Why; kept in the message's history. Required: nobody else is told.")],
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove an entry for good. The sender has long heard "accepted" and is not told."""
    if not is_sure:
        entry = _control(state_dir, "GET", f"/v1/queue/{_id(queue_id)}")
        sender, recipient = visible(entry["mail_from"] or "<>"), visible(entry["rcpt_to"])
        typer.confirm(
            f"Drop the message from {sender} to {recipient} ({_size(entry['size_bytes'])})?", abort=True, err=True
        )
    _say(_control(state_dir, "POST", f"/v1/queue/{_id(queue_id)}/drop", {"reason": reason}), as_json, "is dropped")


def _say(answer: dict[str, Any], as_json: bool, what: str) -> None:
    if as_json:
        print_json(answer)
    else:
        print(f"{answer['queue_id']} {what}." if "queue_id" in answer else f"{what}.")


# -- traces -----------------------------------------------------------------------------------------------------------


@app.command()
def trace(
    what: Annotated[str, typer.Argument(metavar="ID|ADDR", help="Message id, or an address as sender or recipient.")],
    state_dir: StateDir,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Newest messages of an address.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Tell what happened to a message: every step with its time, verdict and reply. Kept for 90 days."""

    def find(ledger: LedgerReader) -> list[tuple[Row | None, list[Event]]]:
        if "@" in what:
            return [(row, ledger.events(row.message_id)) for row in ledger.rows_of(_normal(what), limit=limit)]
        return [(ledger.row(what), ledger.events(what))]

    found = [(row, events) for row, events in _read_ledger(state_dir, find) if row is not None or events]
    if as_json:
        print_json(
            [_row_document(row) | {"events": [_event_document(event) for event in events]} for row, events in found]
        )
    for row, events in () if as_json else found:
        if row is not None:
            sender, recipient = visible(row.mail_from or "<>"), visible(row.rcpt_to)
            print(f"{row.message_id}  {row.state}  {_size(row.size_bytes)}  {sender} -> {recipient}")
        _print_events(events)
    if not found:
        _fail(f"nothing is known of {what}; traces are kept for 90 days")


def _normal(address: str) -> str:
    """The form in which the ledger has an address; as it is, if it has none: a bad address may be held."""
    from mail_api.envelope import parse_sender
    from mail_api.refusal import BadAddress

    try:
        return parse_sender(address)
    except BadAddress:
        return address


def _read_ledger(state_dir: Path, ask: Callable[[LedgerReader], Any]) -> Any:
    from mail_api.ledger import LedgerReader

    try:
        ledger = LedgerReader(state_dir / "ledger.sqlite3")
    except FileNotFoundError as error:
        _fail(str(error))
    try:
        return ask(ledger)
    finally:
        ledger.close()


def _row_document(row: Row | None) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(row) if row is not None else {}


def _event_document(event: Event) -> dict[str, Any]:
    return {"at": epoch_time(event.at), "step": event.step.value} | event.data


def _print_events(events: Iterable[Event]) -> None:
    for event in events:
        data = "  ".join(
            f"{name}={visible(str(value))}" for name, value in event.data.items() if value not in (None, "")
        )
        print(f"  {epoch_time(event.at)}  {event.step.value:<10} {data}".rstrip())


# -- keys -------------------------------------------------------------------------------------------------------------


@keys.command("new")
def keys_new(
    keys_file: KeysFile,
    key_id: Annotated[str | None, typer.Option(help="1 to 32 of a-z, 0-9 and -; by default today's date.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key and make it current. The one before stays valid until it is retired; running processes follow."""
    from kit.atomic import write_durably
    from kit.signing import Key
    from mail_api.keys import add_key

    key = Key.generate(key_id or f"k{datetime.now(UTC):%Y%m%d}")
    text = keys_file.read_text(encoding="utf-8") if keys_file.exists() else ""
    keys_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(keys_file, add_key(text, key).encode(), mode=_mode(keys_file))
    _say_key(as_json, key.key_id, f"{key.key_id} is current in {keys_file}. Give its line to the Email Worker.")


@keys.command("list")
def keys_list(
    keys_file: KeysFile,
    state_dir: Annotated[
        Path | None, typer.Option(envvar="HOMEPORT_MAIL_STATE_DIR", help="To show each key's last use.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the keys, the current one first, with their last use. Never shows a secret."""
    from kit.signing import parse_keys

    used: dict[str, float] = {}
    if state_dir is not None and (state_dir / "ledger.sqlite3").exists():
        used = _read_ledger(state_dir, lambda ledger: ledger.key_use())
    found = parse_keys(_read_keys(keys_file))
    rows = [
        (key.key_id, "current" if number == 0 else "valid", used.get(key.key_id)) for number, key in enumerate(found)
    ]
    if as_json:
        print_json([{"key_id": key_id, "state": state, "last_used_at": at} for key_id, state, at in rows])
    else:
        print_table(
            ("key", "state", "last used"), [(key_id, state, epoch_time(at) or "never") for key_id, state, at in rows]
        )


@keys.command("retire")
def keys_retire(
    key_id: Annotated[str, typer.Argument(help="The key that shall no longer be valid.")],
    keys_file: KeysFile,
    as_json: AsJson = False,
) -> None:
    """Remove a key: requests that it signs are refused from now on. The last key cannot be retired."""
    from kit.atomic import write_durably
    from mail_api.keys import retire_key

    write_durably(keys_file, retire_key(_read_keys(keys_file), key_id).encode(), mode=_mode(keys_file))
    _say_key(as_json, key_id, f"{key_id} is retired.")


def _mode(keys_file: Path) -> int:
    """0600 for a new file. One that is there stays readable for whom it was: a container reads it as somebody else."""
    return stat.S_IMODE(keys_file.stat().st_mode) & ~0o022 if keys_file.exists() else 0o600


def _read_keys(keys_file: Path) -> str:
    try:
        return keys_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        _fail(f"there is no keys file at {keys_file}; `homeport mail keys new` makes one")


def _say_key(as_json: bool, key_id: str, text: str) -> None:
    if as_json:
        print_json({"key_id": key_id})
    else:
        print(text)


# -- a test message ---------------------------------------------------------------------------------------------------

SAMPLE = """From: Homeport <{sender}>
To: <{recipient}>
Date: {date}
Message-ID: <{message_id}@send-test.homeport>
Subject: Homeport test message
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

This message was posted by `homeport mail send-test`.
It took the way that every message takes: signed, received, delivered.
このメールは Homeport のテストです。
"""


@app.command("send-test")
def send_test(
    to: Annotated[str, typer.Option(help="Recipient.")],
    keys_file: KeysFile,
    sender: Annotated[
        str, typer.Option("--from", help="Envelope sender; empty for the null sender.")
    ] = "test@homeport.invalid",
    url: Annotated[str, typer.Option(help="The ingress.")] = "http://127.0.0.1:8025",
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Send this raw message instead of the sample.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Post a signed message to the ingress, as the Email Worker does, and say what became of it."""
    import hashlib
    import secrets
    import time
    from email.utils import formatdate

    import httpx2

    from kit.signing import parse_keys
    from mail_api.envelope import Envelope
    from mail_api.signature import signed_headers

    key = parse_keys(_read_keys(keys_file))[0]
    message_id = secrets.token_hex(16)
    fields = {"sender": sender, "recipient": to, "date": formatdate(localtime=True), "message_id": message_id}
    body = file.read_bytes() if file else SAMPLE.format(**fields).replace("\n", "\r\n").encode()
    envelope = Envelope(message_id, sender, to, len(body), hashlib.sha256(body).hexdigest())
    headers = signed_headers(key, now=int(time.time()), method="POST", path="/v1/messages", message=envelope)
    try:
        answer = httpx2.post(
            f"{url.rstrip('/')}/v1/messages",
            content=body,
            headers=headers | {"Content-Type": "message/rfc822"},
            timeout=SEND_S,
            follow_redirects=False,
        )
    except httpx2.HTTPError as error:
        _fail(f"no answer from {url}: {error}", code=NOT_RUNNING)
    document = _document(answer)
    if as_json:
        print_json(document)
    elif answer.status_code in (200, 202):
        print(f"{document['status']}: message {message_id} to {visible(to)}")
    if answer.status_code not in (200, 202):
        said = " ".join(filter(None, (document.get("title"), document.get("detail"))))
        _fail(f"{answer.status_code} {document.get('type', '')}: {said}")


# -- what the commands share ------------------------------------------------------------------------------------------


def _control(
    state_dir: Path, method: str, path: str, body: dict[str, Any] | None = None, params: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Ask the delivery process; end the command when it cannot be asked, or refuses."""
    import httpx2

    control_socket = state_dir / "control.sock"
    try:
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(control_socket)), timeout=CONTROL_S) as client:
            answer = client.request(method, f"http://control{path}", json=body, params=params)
    except httpx2.HTTPError as error:
        _fail(
            f"the delivery process does not answer on {control_socket} ({error}); is `homeport mail delivery` running?",
            code=NOT_RUNNING,
        )
    document = _document(answer)
    if answer.status_code >= 400:
        errors = [f"{each['where']}: {each['message']}" for each in document.get("errors", [])]
        _fail("; ".join(filter(None, (document.get("title"), document.get("detail"), *errors))))
    return document


def _document(answer: httpx2.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"title": f"the answer is not ours: HTTP {answer.status_code}"}


def _id(queue_id: str) -> str:
    if len(queue_id) != 32 or not all(digit in "0123456789abcdef" for digit in queue_id):
        raise typer.BadParameter(f"{queue_id!r} is not a queue id of 32 hex digits")
    return queue_id


def _fail(text: str, *, code: int = 1) -> NoReturn:
    typer.echo(f"homeport: error: {text}", err=True)
    raise SystemExit(code)


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return ""
    return (
        f"{size_bytes} B"
        if size_bytes < 10_000
        else f"{size_bytes / 1024:.0f} KiB"
        if size_bytes < 10_000_000
        else f"{size_bytes / 1024**2:.1f} MiB"
    )
