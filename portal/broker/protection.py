"""Which containers are protected, and what goes dark without them. Pure: one table.

The names are those of the stacks' Compose files (architecture.md 6). The label `homeport.protected`, with a role as its
value, protects a container that is called something else; no label takes a protection away.
"""

from __future__ import annotations

from portal.broker.schemas import Protection, Role

LABEL = "homeport.protected"

# Codes, named in words by the front end and the command: what stops for as long as the container is down.
GOES_DARK: dict[Role, tuple[str, ...]] = {
    "tunnel": ("incoming-mail", "websites"),
    "database": ("databases", "mail-login", "websites"),
    "mailboxes": ("mail-delivery", "mail-reading"),
    "portal": ("portal",),
}

PROTECTED: dict[str, Protection] = {
    "mail-cloudflared": Protection(role="tunnel", goes_dark=("incoming-mail",)),
    "blog-cloudflared": Protection(role="tunnel", goes_dark=("incoming-mail", "websites")),
    "mail-db": Protection(role="database", goes_dark=("mail-login", "mail-delivery")),
    "blog-db": Protection(role="database", goes_dark=("websites",)),
    "mail-dovecot": Protection(role="mailboxes", goes_dark=("mail-delivery", "mail-reading")),
    "portal": Protection(role="portal", goes_dark=("portal",)),
    "portal-broker": Protection(role="portal", goes_dark=("containers-page",)),
    "broker": Protection(role="portal", goes_dark=("containers-page",)),
}


def protection_of(service: str, label: str | None) -> Protection | None:
    """Given a container's service name and its label, if it has one, return its protection.

    A label that is no role protects too, as the most careful reading of it: like the tunnel.
    """
    if known := PROTECTED.get(service):
        return known
    if label is None:
        return None
    role: Role = next((role for role in GOES_DARK if role == label), "tunnel")
    return Protection(role=role, goes_dark=GOES_DARK[role])
