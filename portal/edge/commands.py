"""The edge at Cloudflare: plan, deploy and remove the Email Worker, push recipients, see and drain what it keeps.

Settings: HOMEPORT_PORTAL_* (docs/settings.md). `plan` lists the permissions that the Cloudflare token needs. Nothing is
ever done without being shown first, everything can be run again, and `destroy` removes only what `deploy` made.

Exit codes: 0 done, or nothing to do · 1 refused or failed, said on standard error · 2 wrong usage. With --json,
standard output is one JSON document. Progress goes to standard error.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from kit import terminal

if TYPE_CHECKING:  # imported where they are used, so that --help stays quick
    from portal.edge.service import EdgeService, Planned
    from portal.edge.steps import Plan
    from portal.settings import EdgeSettings

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)

T = TypeVar("T")
BUSY_WAIT_S = 10.0  # while the Worker's own cron drains
BUSY_TRIES = 30

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask. Needed where there is no terminal to ask on.")]
Adopt = Annotated[
    bool,
    typer.Option("--adopt", help="Use a Worker, bucket or KV namespace of our name that somebody else made."),
]
ReplaceMail = Annotated[
    bool,
    typer.Option(
        "--replace-mail",
        help="Take mail over that goes elsewhere: foreign MX records and routing rules. `destroy` puts them back.",
    ),
]


@app.command()
def plan(adopt: Adopt = False, replace_mail: ReplaceMail = False, as_json: AsJson = False) -> None:
    """Show what `deploy` would change, and why, and which permissions the token needs. Changes nothing."""

    async def work(service: EdgeService) -> None:
        live = await service.look()
        permissions = service.permissions(live)
        from portal.edge.service import Unreadable

        try:
            planned = service.plan(live, may_adopt=adopt, may_replace_mail=replace_mail)
        except Unreadable:
            if as_json:
                terminal.print_json({"permissions": _permission_documents(permissions), "plan": None})
            else:
                _print_permissions(permissions)
            raise
        if as_json:
            terminal.print_json(
                {"permissions": _permission_documents(permissions), "plan": planned.plan.document()},
            )
        else:
            _print_permissions(permissions)
            print()
            _print_plan(planned.plan)
        _refuse_conflicts(planned.plan)

    _run(work)


@app.command()
def deploy(
    is_sure: Yes = False, adopt: Adopt = False, replace_mail: ReplaceMail = False, as_json: AsJson = False
) -> None:
    """Bring the edge to what the settings say. Shows the plan and asks first.

    That is: bucket, KV namespace, Worker with cron, routing rules, MX and SPF records, Email Routing. Run it
    again at any time: what is in order is left alone. It also carries a new Worker, a new signing key and changed
    settings to Cloudflare.
    """

    async def work(service: EdgeService) -> None:
        planned = service.plan(await service.look(), may_adopt=adopt, may_replace_mail=replace_mail)
        _refuse_conflicts(planned.plan, show=not as_json)
        if planned.plan.steps:
            if not is_sure:
                _ask(planned.plan, "Do this at Cloudflare?", as_json=as_json)
                again = service.plan(
                    await service.look(), may_adopt=adopt, may_replace_mail=replace_mail, owned=planned.owned
                )
                planned = _same(planned, again)
            elif not as_json:
                _print_plan(planned.plan)
            await service.deploy(planned)
        _say_done(planned.plan, as_json, "The edge is in order." if planned.plan.steps else "")

    _run(work, is_change=True)


@app.command()
def sync(
    source: Annotated[
        str, typer.Option("--from", metavar="FILE|-", help="One address a line; @domain is a catch-all.")
    ],
    allow_shrink: Annotated[
        bool,
        typer.Option("--allow-shrink", help="Also push a list that loses all, or more than half, of its addresses."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Push the recipients' lists, by which the Worker refuses unknown addresses while the mail API is away.

    FILE has one address a line; `@example.com` says that the domain takes every address; # begins a comment. Run it
    after every change, and at least twice a day: a list that is too old refuses nobody.
    """

    async def work(service: EdgeService) -> None:
        lists = service.parse_recipients(_read(source))
        synced = await service.sync(lists, may_shrink=allow_shrink)
        if as_json:
            terminal.print_json([{name: getattr(each, name) for name in each.__slots__} for each in synced])
            return
        for each in synced:
            what = "changed" if each.is_changed else "unchanged, refreshed"
            before = "no list" if each.before is None else each.before
            catch_all = ", catch-all" * each.is_catch_all
            print(
                f"{each.domain}: {each.addresses} addresses{catch_all} (before: {before}), "
                f"generation {each.generation}, {what}"
            )
        if not synced:
            print("There is no list to push: the file has no address, and no zone has a list.")

    _run(work, is_change=True)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the edge as it is: versions, cron, rules, records, lists, retained mail, watchdog. Never guesses."""

    async def work(service: EdgeService) -> None:
        from kit.clock import SystemClock
        from portal.edge import status as state

        document = await state.status(service, _settings(), clock=SystemClock())
        if as_json:
            terminal.print_json(document)
        else:
            terminal.print_pairs(state.lines(document, terminal.epoch_time))

    _run(work)


@app.command()
def drain(
    once: Annotated[bool, typer.Option("--once", help="One round, as the Worker's cron does each minute.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have the Worker deliver what it retained, now, until nothing is left or the mail API fails again."""

    async def work(service: EdgeService) -> None:
        worker = await service.worker()
        total = {"drained": 0, "failed": 0, "held": 0}
        busy = 0
        while True:
            answer = await worker.drain()
            moved = {name: int(answer.get(name) or 0) for name in total}
            total = {name: total[name] + moved[name] for name in total}
            stopped, more = answer.get("stopped"), answer.get("more") is True
            terminal.progress(", ".join(f"{name} {count}" for name, count in total.items()))
            if stopped == "busy" and not once and busy < BUSY_TRIES:
                busy += 1
                terminal.progress(f"the Worker is draining already; asking again in {BUSY_WAIT_S:g} s")
                await asyncio.sleep(BUSY_WAIT_S)
            elif once or stopped or not more or not (moved["drained"] or moved["held"]):
                break
        if as_json:
            terminal.print_json(total | {"stopped": stopped, "more": more})
        else:
            print(f"{total['drained']} drained, {total['failed']} failed, {total['held']} held.")
        if stopped:
            _fail(f"the drain stopped: {terminal.visible(str(stopped))}")
        if more and not once:
            _fail("mail is left that cannot be delivered now; the Worker goes on trying every minute")

    _run(work)


@app.command()
def destroy(is_sure: Yes = False, as_json: AsJson = False) -> None:
    """Remove what `deploy` made, put back what it replaced. Retained mail is never deleted. Shows and asks first."""

    async def work(service: EdgeService) -> None:
        planned = await service.plan_destroy()
        if planned is None:
            if as_json:
                terminal.print_json({"plan": None})
            else:
                print("Nothing is recorded as made by this Homeport; there is nothing to remove.")
            return
        if planned.plan.steps and not is_sure:
            _ask(planned.plan, "Remove this at Cloudflare?", as_json=as_json)
            planned = _same(planned, await service.plan_destroy())
        elif not as_json:
            _print_plan(planned.plan)
        await service.destroy(planned)
        _say_done(planned.plan, as_json, "" if planned.plan.kept else "Everything that Homeport made is removed.")
        if planned.plan.kept:
            _fail("; ".join(planned.plan.kept))

    _run(work, is_change=True)


# -- what the commands share ------------------------------------------------------------------------------------------


def _run(work: Callable[[EdgeService], Awaitable[None]], *, is_change: bool = False) -> None:
    """Wire the service, run one command with it, and end in one line where it fails."""
    from contextlib import ExitStack

    from kit.clock import SystemClock
    from portal.edge import ownership
    from portal.edge.desired import NotReady
    from portal.edge.ownership import OwnershipError
    from portal.edge.recipients import RecipientsError
    from portal.edge.service import EdgeService, Unreadable, secrets_of, told
    from portal.edge.worker_client import WorkerError
    from portal.integrations.cloudflare import Cloudflare, CloudflareError

    settings = _settings()

    async def main() -> None:
        async with Cloudflare(
            settings.cloudflare_token,
            account=settings.cloudflare_account,
            url=settings.cloudflare_url,
            secrets=secrets_of(settings),
            say=terminal.progress,
        ) as cf:
            await work(EdgeService(settings, cf, clock=SystemClock(), say=terminal.progress))

    try:
        with ExitStack() as held:
            if is_change:
                held.enter_context(ownership.locked(settings.state_dir))
            asyncio.run(main())
    except RecipientsError as error:
        for reason in error.reasons[:-1]:
            terminal.progress(reason)
        _fail(error.reasons[-1])
    except (CloudflareError, NotReady, OwnershipError, Unreadable, WorkerError) as error:
        _fail(told(error))


def _settings() -> EdgeSettings:
    from kit.settings import SettingsError
    from portal.settings import EdgeSettings

    try:
        return EdgeSettings.load()
    except SettingsError as error:
        for mistake in error.mistakes[:-1]:
            terminal.progress(mistake)
        _fail(error.mistakes[-1])


def _read(source: str) -> str:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        _fail(f"{source} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        _fail(f"{source} is not UTF-8")


def _ask(plan: Plan, question: str, *, as_json: bool) -> None:
    """Show the plan and ask on the terminal, or end."""
    _print_plan(plan, to_stderr=as_json)
    if not sys.stdin.isatty():
        _fail("there is no terminal to ask on; --yes does it without asking")
    typer.confirm(question, abort=True, err=True)


def _same(shown: Planned, again: Planned | None) -> Planned:
    """Return the plan to carry out, which is of now: the one that was shown and agreed to, or end."""
    if again is None or again.plan.digest != shown.plan.digest:
        _fail("something has changed since the plan was shown; run the command again to see the new one")
    return again


def _refuse_conflicts(plan: Plan, *, show: bool = False) -> None:
    if not plan.conflicts:
        return
    if show:
        _print_plan(plan)
    said = [f"{each.what} ({each.way_out})" for each in plan.conflicts]
    _fail("; ".join(said))


def _print_plan(plan: Plan, *, to_stderr: bool = False) -> None:
    from portal.edge.apply import said

    lines = []
    for step in plan.steps:
        lines += [f"  {said(step)}", f"      {step.reason}"]
    for note in plan.notes:
        lines.append(f"  note: {note}")
    for each in plan.kept:
        lines.append(f"  stays: {each}")
    for conflict in plan.conflicts:
        lines += [f"  conflict: {conflict.what}", f"      {conflict.way_out}"]
    changes = f"{len(plan.steps)} change{'s' * (len(plan.steps) != 1)}:" if plan.steps else "Nothing to change."
    for line in [changes, *lines]:
        typer.echo(terminal.visible(line), err=to_stderr)


def _print_permissions(permissions: list[Any]) -> None:
    terminal.print_table(
        ("permission", "for", "state"), [(each.group, each.resource, each.standing.value) for each in permissions]
    )


def _permission_documents(permissions: list[Any]) -> list[dict[str, str]]:
    return [{"group": each.group, "resource": each.resource, "state": each.standing.value} for each in permissions]


def _say_done(plan: Plan, as_json: bool, what: str) -> None:
    if as_json:
        terminal.print_json({"plan": plan.document()})
    elif not plan.steps:
        _print_plan(plan)
    elif what:
        print(what)


def _fail(text: str) -> NoReturn:
    terminal.progress(f"homeport: error: {text}")
    raise SystemExit(1)
