"""Databases and accounts of the fleet: the portal's own, as its file of servers names them, and a pair per site."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services.fleet_site import FleetSite
from tests.services.mariadb import MariaDB

# What the portal's accounts may do; as stacks/blog/mariadb says it.
GRANTS: Mapping[str, Sequence[str]] = {
    "console": (r"GRANT SELECT, SHOW VIEW ON `wp\_%`.*",),
    "write": (r"GRANT SELECT, INSERT, UPDATE, DELETE ON `wp\_%`.*",),
    "admin": (
        r"GRANT ALL ON `wp\_%`.*",
        "GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.*",
        "GRANT SELECT ON mysql.*",
    ),
}


def make_portal_accounts(mariadb: MariaDB, servers_file: Path) -> None:
    """Make an account for each purpose, and the portal's file of servers with the passwords' files beside it."""
    host, port = '"127.0.0.1"', mariadb.port
    tables = [f'[[server]]\nname = "blog"\nhost = {host}\nport = {port}\ntls = false\nowner_of = "blog"\n']
    for purpose, grants in GRANTS.items():
        password, user = secrets.token_urlsafe(24), f"homeport_{purpose}"
        option = " WITH GRANT OPTION" if purpose == "admin" else ""
        mariadb.execute(
            f"CREATE USER {user}@'%' IDENTIFIED BY '{password}'",
            *(f"{grant} TO {user}@'%'{option if 'wp' in grant else ''}" for grant in grants),
        )
        file = servers_file.with_name(f"{user}.password")
        file.touch(mode=0o600)
        file.write_text(f"{password}\n")
        tables.append(f'\n[server.{purpose}]\nuser = "{user}"\npassword_file = "{file}"\n')
    servers_file.touch(mode=0o600)
    servers_file.write_text("".join(tables))


def make_database(mariadb: MariaDB, site: FleetSite) -> None:
    """Make a site's database and the account that may do everything in it, and nothing elsewhere."""
    pattern = site.database.replace("_", r"\_")  # in a GRANT, _ stands for any character
    mariadb.execute(
        f"CREATE DATABASE {site.database} CHARACTER SET utf8mb4",
        f"CREATE USER {site.account}@'%' IDENTIFIED BY '{site.password}'",
        f"GRANT ALL ON `{pattern}`.* TO {site.account}@'%'",
    )
