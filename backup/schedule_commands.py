"""`homeport backup schedule`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backup.command_line import DEFAULT_CONFIG, AsJson, Config, house, reported
from backup.exit_codes import WrongUsage
from kit.atomic import write_durably
from kit.terminal import local_time, print_json, print_table


def register(app: typer.Typer) -> None:
    app.command()(schedule)


def schedule(
    systemd: Annotated[
        bool, typer.Option("--systemd", help="Print (or write) systemd services, timers, paths.")
    ] = False,
    cron: Annotated[bool, typer.Option("--cron", help="Print (or write) one file for /etc/cron.d.")] = False,
    docker: Annotated[
        Path | None, typer.Option(help="The directory of compose.yaml: each run is a one-shot container.")
    ] = None,
    host_root: Annotated[
        Path | None, typer.Option(help="With Docker: the backup root as the host sees it, HOMEPORT_BACKUP of .env.")
    ] = None,
    program: Annotated[
        str, typer.Option(help="Without Docker: the absolute path of homeport.")
    ] = "/usr/local/bin/homeport",
    into: Annotated[Path | None, typer.Option(help="Write the files into this directory, which must exist.")] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show when what runs next; or print the files that make it run, for the configured time zone.

    On a host with systemd: `homeport backup schedule --systemd --into /etc/systemd/system`, then `systemctl
    daemon-reload` and `systemctl enable --now` for each timer and path.
    """
    from backup.schedule import render
    from backup.schedule.timetable import TIMETABLE, next_at
    from kit.clock import now_utc

    with reported():
        here = house(config)
        settings = here.settings
        if systemd and cron:
            raise WrongUsage("--systemd or --cron, one of them")
        for path in (docker, host_root, Path(program)):
            if path is not None and (
                not path.is_absolute() or any(char.isspace() or char in "%$'\"\\;&|<>" for char in str(path))
            ):
                raise WrongUsage(f"an absolute path without blanks and quotes is needed: {path}")
        if not systemd and not cron:
            now = now_utc(here.clock)
            next_runs = [
                {"verb": row.verb, "text": row.text, "next_at": next_at(row, now, settings.time_zone).isoformat()}
                for row in TIMETABLE
                if settings.vault is not None or not row.needs_vault
            ]
            if as_json:
                print_json(next_runs)
            else:
                print_table(
                    ("RUN", "NEXT", "WHAT"),
                    [(each["verb"], local_time(each["next_at"]), each["text"]) for each in next_runs],
                )
            return
        root = host_root or settings.root
        place = render.Place(settings.zone, root, config, docker, program, settings.vault is not None)
        files = render.systemd(place) if systemd else {"homeport-backup": render.cron(place)}
        if as_json:
            print_json(files)
        elif into is None:
            typer.echo(
                "\n".join(f"# -- {name}\n{text}" for name, text in files.items()) if systemd else files.popitem()[1]
            )
        else:
            for name, text in files.items():
                try:
                    write_durably(into / name, text.encode(), mode=0o644)
                except OSError as error:
                    raise WrongUsage(
                        f"{into / name} was not written: {error.strerror}. In a container, mount the host's directory"
                        " and name where: docs/runbooks/backup.md, step 5"
                    ) from error
                typer.echo(f"wrote {into / name}")
