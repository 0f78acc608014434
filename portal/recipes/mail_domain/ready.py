"""What must be set before a domain can be added, and what of it is not."""

from __future__ import annotations

from portal.edge.desired import NotReady, signing_key, worker_module
from portal.settings import EdgeSettings, PortalSettings

NEEDED = ("cloudflare_token", "cloudflare_account", "edge_mail_api_url", "edge_keys_file")


def edge_settings(settings: PortalSettings) -> EdgeSettings | None:
    """The same settings as the edge's commands have them; None while one that they need is not set."""
    if any(getattr(settings, name) is None for name in NEEDED):
        return None
    return EdgeSettings.model_construct(**dict(settings))  # checked when they were loaded


def missing(settings: PortalSettings, mail_database: list[str]) -> list[str]:
    """One line for each thing that is missing; reads the keys file and the Worker. `mail_database`: its mistakes."""
    lines = [
        f"{settings.variable(name)} is not set: {settings.__class__.model_fields[name].description}"
        for name in NEEDED
        if getattr(settings, name) is None
    ]
    if (edge := edge_settings(settings)) is not None:
        for read in (signing_key, worker_module):
            try:
                read(edge)
            except NotReady as error:
                lines.append(str(error))
    elif settings.edge_keys_file is not None and not settings.edge_keys_file.is_file():
        lines.append(f"{settings.variable('edge_keys_file')} names no file: `homeport mail keys new` makes one")
    return [*lines, *mail_database]
