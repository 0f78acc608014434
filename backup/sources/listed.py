"""`<root>/portal/told/sites.json`: the sites that the portal has made, so that a new one is kept without an edit here.

    {"version": 1, "sites": [{"name": "garden", "server": "blog", "database": "wp_garden"}]}

The portal writes it, and the portal is less trusted than we are: the file names sites, never paths. Where they lie and
which server they have is said by backup.toml, `[sources.sites]`. A site that backup.toml names itself stays as it is
there.

A list that cannot be used, or that leaves a site out, takes nothing from the rest of the night, and does not pass in
silence: the coverage has a red line for the list, and one for each directory below the root that no source names.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backup.settings import BackupSettings, ListedSite

NAME = "sites.json"
MAX_BYTES = 1024**2
MAX_SITES = 1000


class Unusable(Exception):
    """The list says nothing that could be used; the text says why, and repeats nothing that could be hostile."""


class _Listed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,29}[a-z0-9])?$")]
    server: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    database: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$")]


class _List(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1]
    sites: Annotated[list[_Listed], Field(max_length=MAX_SITES)]


def merged(settings: BackupSettings) -> BackupSettings:
    """Return settings whose `sources.site` are those of backup.toml and those that the list has now.

    Of a list that cannot be used, only the former; `trouble` says why.
    """
    own = [site for site in settings.sources.site if not isinstance(site, ListedSite)]
    named = {site.name for site in own}
    listed, _ = _look(settings)
    every = [*own, *(site for site in listed if site.name not in named)]
    return settings.model_copy(update={"sources": settings.sources.model_copy(update={"site": every})})


def trouble(settings: BackupSettings) -> str:
    """Why the list cannot be used; "" when it can, or is not there yet."""
    return _look(settings)[1]


def _look(settings: BackupSettings) -> tuple[list[ListedSite], str]:
    place = settings.sources.sites
    if place is None:
        return [], ""
    try:
        document = _List.model_validate_json(_read(settings.layout.told / NAME))
        _require_once(document.sites)
        return [_site(each, place.root, place.server, settings.layout.told) for each in document.sites], ""
    except FileNotFoundError:
        return [], ""  # the portal has made no site yet
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) if first["type"] != "extra_forbidden" else "a key"
        return [], f"{where or 'the text'}: {first['msg']}"
    except Unusable as error:
        return [], str(error)
    except OSError as error:
        return [], str(error.strerror)


def _require_once(sites: list[_Listed]) -> None:
    for what, named in (("name", {site.name for site in sites}), ("database", {site.database for site in sites})):
        if len(named) != len(sites):
            raise Unusable(f"two sites have one {what}")


def _site(listed: _Listed, root: Path, server: str, told: Path) -> ListedSite:
    if listed.server != server:
        raise Unusable(f"{listed.name} has another server than {server}, which [sources.sites] names")
    return ListedSite(name=listed.name, path=root / listed.name, server=server, database=listed.database, told=told)


def _read(path: Path) -> bytes:
    """The bytes of a small, plain file of one name. Raise FileNotFoundError, OSError or Unusable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
            raise Unusable("it is no plain file of one name")
        if about.st_size > MAX_BYTES:
            raise Unusable(f"it has {about.st_size} bytes; {MAX_BYTES} are allowed")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES)
    finally:
        os.close(descriptor)
