"""Which of a point's files a request means, and where they live: by the settings alone, never by what a point says.

A mailbox goes below its source's directory, a site into its own, a file to the path that its set names. What
backup.toml does not name any more can be restored beside, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from backup.exit_codes import RestoreRefused
from backup.restore.files import Place, Rule
from backup.restore.mail import folder_paths
from backup.restore.model import RestoreRequest
from backup.settings import BackupSettings, Files, Maildir, Server, Site
from backup.sources.secrets import SecretSet
from backup.state import AssetState

_Named = TypeVar("_Named", Maildir, Site, Files)


def selected(assets: Sequence[AssetState], request: RestoreRequest) -> Callable[[bytes], bool]:
    """Return what says of a path in the point whether it is meant; the directories above count, for their owners."""
    if request.asset_kind == "everything":
        return lambda _: True
    wanted = frozenset(path for asset in assets for path in _wanted(asset, request))
    above = frozenset(path[:end] for path in wanted for end in range(len(path)) if path[end : end + 1] == b"/")

    last: tuple[bytes, bool] = b"", False  # the directory that was asked for last: entries come sorted

    def is_selected(path: bytes) -> bool:
        nonlocal last
        directory = path[: max(path.rfind(b"/"), 0)]
        if directory != last[0]:
            last = directory, _is_at_or_below(directory, wanted)
        return last[1] or path in wanted or path in above

    return is_selected


def _is_at_or_below(path: bytes, wanted: frozenset[bytes]) -> bool:
    while path:
        if path in wanted:
            return True
        path = path[: max(path.rfind(b"/"), 0)]
    return False


def _wanted(asset: AssetState, request: RestoreRequest) -> list[bytes]:
    if request.folder is not None:
        return folder_paths(asset, request.folder)
    if request.path is None or asset.kind == "database":
        return [os.fsencode(path) for path in asset.paths]
    below = os.fsencode(request.path).strip(b"/")
    if asset.kind == "site":
        return [os.fsencode(f"sites/{asset.name}/files/") + below]
    return [os.fsencode(path) + b"/" + below for path in asset.paths]


def beside(root: Path, only: Callable[[bytes], bool]) -> Place:
    return Place(b"", root, b"", "new", only)


def in_place(
    asset: AssetState, request: RestoreRequest, settings: BackupSettings, only: Callable[[bytes], bool]
) -> list[Place]:
    """Where the files of an asset live. Raise RestoreRefused when backup.toml does not say."""
    match asset.kind:
        case "mailbox":
            return [_mailbox(asset, _source(asset, settings.sources.maildir), only)]
        case "site":
            return _site(asset, _source(asset, settings.sources.site), settings, request, only)
        case "files":
            return _files(_source(asset, settings.sources.files), only)
        case "database":
            return []
        case "secret" if request.asset_kind == "everything":
            return []  # the tree holds their names only: docs/runbooks/backup.md says how secrets come back
        case _:
            raise RestoreRefused(f"a {asset.kind} is not restored in place: {asset.name}")


def services(asset: AssetState, settings: BackupSettings) -> list[str]:
    """Containers to stop while an asset is restored in place."""
    found = [name for site in settings.sources.site if f"site:{site.name}" == asset.source for name in site.services]
    server = server_of(asset, settings)
    return found + (server.services if server is not None else [])


def server_of(asset: AssetState, settings: BackupSettings) -> Server | None:
    """The server that the database of an asset lives on, as backup.toml has it; None when it has none."""
    name = asset.facts.get("server")
    return next((server for server in settings.sources.mariadb if server.name == name), None)


def dump_of(asset: AssetState) -> str | None:
    """The path of an asset's dump in the point; None when it has no database."""
    return next((path for path in asset.paths if path.endswith(".sql")), None) if "database" in asset.facts else None


def _source(asset: AssetState, known: Sequence[_Named]) -> _Named:
    name = asset.source.partition(":")[2]
    for each in known:
        if each.name == name:
            return each
    raise RestoreRefused(
        f"backup.toml has no source {asset.source} any more, so {asset.kind} {asset.name} has no place to go back to."
        " Restore it beside"
    )


def _mailbox(asset: AssetState, source: Maildir, only: Callable[[bytes], bool]) -> Place:
    path = asset.paths[0]
    root, into = _rooted(source.path)
    below = os.fsencode(path.removeprefix("mail/"))
    return Place(os.fsencode(path), root, into + b"/" + below if into else below, "missing", only)


def _site(
    asset: AssetState, site: Site, settings: BackupSettings, request: RestoreRequest, only: Callable[[bytes], bool]
) -> list[Place]:
    root, into = _rooted(site.path)
    rule: Rule = "replace" if request.is_partial else "mirror"
    kept = SecretSet(settings).skip(root, *site.left_out)
    places = [Place(f"sites/{asset.name}/files".encode(), root, into, rule, only, kept)]
    for extra in site.extra:
        root, into = _rooted(extra)
        places.append(Place(os.fsencode(f"sites/{asset.name}/extra{extra}"), root, into, "replace", only))
    return places


def _files(source: Files, only: Callable[[bytes], bool]) -> list[Place]:
    places = []
    for path in {*source.paths, *source.sqlite}:
        root, into = _rooted(path)
        point_path = os.fsencode(f"stacks/{source.name}{path}")
        is_database = path in source.sqlite and only(point_path)
        places.append(
            Place(point_path, root, into, "replace", only, sqlite=frozenset([into]) if is_database else frozenset())
        )
    return places


def _rooted(path: Path) -> tuple[Path, bytes]:
    """The nearest directory that is there, and the path below it."""
    for root in (path, *path.parents):
        if root.is_dir():
            return root, b"" if root == path else os.fsencode(path.relative_to(root))
    raise RestoreRefused(f"{path} has no directory above it")


def _is_below(path: Path, root: Path) -> bool:
    return path != root and path.is_relative_to(root)
