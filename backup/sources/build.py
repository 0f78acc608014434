"""From backup.toml to sources."""

from __future__ import annotations

from collections.abc import Iterable

from backup.settings import BackupSettings
from backup.sources.files import FileSet
from backup.sources.maildir import MaildirTree
from backup.sources.mariadb import MariaDB
from backup.sources.secrets import SecretNames, SecretSet
from backup.sources.source import Source
from backup.sources.wordpress import WordPressSite


def build(settings: BackupSettings, *, accept_smaller: Iterable[str] = ()) -> list[Source]:
    """All sources, in the order of the manifest: a stage finds the previous point's lines fastest that way.

    accept_smaller  what an operator knows to have shrunk: databases, as "<server>/<database>", to less than half; names
                    of sources, such as "maildir:mail", to nothing
    """
    sources = settings.sources
    accepted = frozenset(accept_smaller)
    secrets = SecretSet(settings)
    servers = {server.name: server for server in sources.mariadb}
    built: list[Source] = [MariaDB(server, elsewhere(settings, server.name), accepted) for server in sources.mariadb]
    built += [MaildirTree(tree, excluded(settings, "mailbox"), accepted) for tree in sources.maildir]
    built += [
        WordPressSite(
            site,
            servers[site.server] if site.server else None,
            secrets,
            settings.layout.locks,
            settings.lock_wait_hours * 3600,
            accepted,
        )
        for site in sorted(sources.site, key=lambda site: site.name)
    ]
    built += [FileSet(files, secrets, accepted) for files in sorted(sources.files, key=lambda files: files.name)]
    return [*built, SecretNames(secrets)] if built or sources.secrets.paths else []


def elsewhere(settings: BackupSettings, server: str) -> frozenset[str]:
    """Databases that a server's dumps leave out: a site brings them along, or they are excluded."""
    of_sites = {site.database for site in settings.sources.site if site.server == server and site.database}
    prefix = f"{server}/"
    return frozenset(of_sites) | {
        name.removeprefix(prefix) for name in excluded(settings, "database") if name.startswith(prefix)
    }


def excluded(settings: BackupSettings, kind: str) -> frozenset[str]:
    """Names that coverage.exclude gives a reason for."""
    return frozenset(each.name for each in settings.coverage.exclude if each.kind == kind)
