"""WordPress: sites, their plugins and themes, safe updates, probes, their mail."""

from __future__ import annotations

from portal.recipes.fleet_update.commands import probes, update
from portal.recipes.site_mail.commands import app as mail
from portal.wordpress.commands import app

__all__ = ["app"]

app.command()(update)
app.command()(probes)
app.add_typer(mail, name="mail")
