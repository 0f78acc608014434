"""The portal: run it and its broker, bring its database up to date, print its API.

Settings: HOMEPORT_PORTAL_* and HOMEPORT_BROKER_* (docs/settings.md). Exit codes: 0 done · 1 refused or failed, said on
standard error · 2 wrong usage.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # imported where it is used, so that --help stays quick
    from portal.settings import PortalSettings

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command()
def serve(
    listen: Annotated[str, typer.Option(help="HOST:PORT, such as 127.0.0.1:8080: loopback or a Tailscale address.")],
    in_container: Annotated[
        bool, typer.Option("--in-container", help="Any address: what is published is the compose file's matter.")
    ] = False,
) -> None:
    """Serve the portal, and admin.sock for this machine's administrator. One per state directory."""
    from portal import serving

    serving.serve(_settings(), listen, is_in_container=in_container)


@app.command()
def broker(socket: Annotated[Path, typer.Option(help="Unix socket to listen on, in a directory of its own.")]) -> None:
    """Serve the portal's verbs on the Docker engine. A process of its own: the portal itself never sees the engine."""
    from portal.broker import server
    from portal.broker.settings import BrokerSettings

    server.run(BrokerSettings.load(), socket)


@app.command()
def migrate() -> None:
    """Bring the database's schema to this version. Safe to repeat; `serve` refuses a schema that is another one."""
    from portal.db import Database
    from portal.serving import prepare_state_dir

    settings = _settings()
    prepare_state_dir(settings.state_dir)
    database = Database(settings.database)
    try:
        is_done = database.is_current()
        if not is_done:
            database.migrate()
    finally:
        database.close()
    print("The schema is up to date." if is_done else "The schema was brought up to date.")


@app.command()
def openapi() -> None:
    """Print the OpenAPI document, without starting anything."""
    from portal.app import Adapters, create_app
    from portal.settings import PortalSettings

    settings = PortalSettings(state_dir=Path("/nonexistent"))  # the document is the same for every portal
    print(json.dumps(create_app(settings, Adapters.of(settings)).openapi(), indent=2))


def _settings() -> PortalSettings:
    from kit import logging
    from portal.settings import PortalSettings

    settings = PortalSettings.load()
    logging.configure(json=settings.log_format == "json", level=settings.log_level)
    return settings
