"""What may be said to the broker about sites: `wp`, their trees, and the configuration of what serves them. Pure.

A part of schemas.py, which is where everybody takes these from. Forms are narrow: but for the name that mail is sent
under, nothing that passes here has a meaning in a path, in PHP, SQL, Redis or a shell. What `wp` is given is looked at
once more, by the form of each subcommand (wp.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from portal.broker.messages import Message, Request

FIRST_UID, LAST_UID = 20_000, 29_999  # of the sites; below are the system's accounts, and root
# Names of Redis's own users, of files and pools beside the sites', and of PHP-FPM's section that is no pool.
RESERVED = frozenset({"blog-php", "default", "generation", "global", "homeport"})

SITE = r"^[a-z0-9](?:[a-z0-9-]{0,29}[a-z0-9])?$"
# What wp calls a plugin or theme: its directory, or its file without .php. No separator, so it stays where it is.
INSTALLED = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
SECRET = r"^[A-Za-z0-9_-]{16,128}$"  # noqa: S105  # a form
HOST = r"^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$"
URL = r"^https?://[a-z0-9.-]{1,253}(?::[0-9]{1,5})?$"


def _not_reserved(value: str) -> str:
    if value in RESERVED:
        raise ValueError("is reserved")
    return value


SiteName = Annotated[str, Field(pattern=SITE), AfterValidator(_not_reserved)]


class WpCli(Request):
    """One allow-listed `wp` subcommand in blog-php, as the owner of the site's tree (wp.py).

    options   a flag has the value ""
    stdin     the one secret that the subcommand takes; a line, without its end
    """

    verb: Literal["wp_cli"] = "wp_cli"
    site: SiteName
    url: str = Field(pattern=URL)
    command: Annotated[tuple[str, ...], Field(min_length=1, max_length=3, strict=False)]
    arguments: Annotated[tuple[str, ...], Field(max_length=16, strict=False)] = ()
    options: dict[str, str] = Field(default_factory=dict, max_length=16)
    stdin: str | None = Field(default=None, max_length=4096, repr=False)
    timeout_s: int = Field(default=60, ge=1, le=600)


class DatabaseLogin(Message):
    host: str = Field(pattern=HOST)
    port: int = Field(default=3306, ge=1, le=65_535)
    name: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    user: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    password: str = Field(pattern=SECRET, repr=False)


class RedisLogin(Message):
    host: str = Field(pattern=HOST)
    port: int = Field(default=6379, ge=1, le=65_535)
    user: str = Field(pattern=SITE)
    password: str = Field(pattern=SECRET, repr=False)


class MailLogin(Message):
    """Where the site's mail goes. sender: the address it is sent as; sender_name is shown beside it."""

    host: str = Field(pattern=HOST)
    port: int = Field(default=587, ge=1, le=65_535)
    user: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+@-]{0,253}$")
    password: str = Field(pattern=SECRET, repr=False)
    sender: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}@[a-z0-9][a-z0-9.-]{0,251}[a-z0-9]$")
    sender_name: str = Field(default="", pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,100}$")


class Secrets(Message):
    """What lies in the site's `private/`, and its address. A part that is not given stays as it is.

    drop_mail   the site sends no mail through a server any more
    """

    url: str = Field(pattern=URL)
    database: DatabaseLogin | None = None
    redis: RedisLogin | None = None
    mail: MailLogin | None = None
    drop_mail: bool = False

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Secrets:
        if self.drop_mail and self.mail is not None:
            raise ValueError("mail is given and dropped at once")
        return self


SiteAction = Literal["create", "import", "remove", "bring-back", "keep", "put-back", "forget", "secrets", "measure"]

# What each action is told beside the site: what it must be, and what it may be.
SITE_FILES_FIELDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "create": (frozenset({"secrets"}), frozenset({"hostnames"})),
    "import": (frozenset({"archive", "secrets"}), frozenset()),
    "remove": (frozenset({"id"}), frozenset()),
    "bring-back": (frozenset({"id"}), frozenset()),
    "keep": (frozenset({"kind", "slug", "id"}), frozenset()),
    "put-back": (frozenset({"kind", "slug", "id"}), frozenset()),
    "forget": (frozenset({"id"}), frozenset()),
    "secrets": (frozenset({"secrets"}), frozenset({"renew_salts"})),
    "measure": (frozenset(), frozenset()),
}
_SAID_BESIDE = frozenset({"secrets", "hostnames", "archive", "kind", "slug", "id", "renew_salts"})


class SiteFiles(Request):
    """One act of the fixed program of blog-site-files on one site's tree (site_files.py).

    create     a new tree with its secrets; refused when there is one. hostnames: further names of the site
    import     likewise, with what an archive of the import directory holds
    remove     puts the tree aside, under an id; nothing is deleted. bring-back returns it
    keep       copies a plugin or theme to `kept/<id>`, put-back returns it from there, forget drops what `id` kept
    secrets    writes parts of `private/` anew; renew_salts ends every login
    measure    counts files and bytes
    """

    verb: Literal["site_files"] = "site_files"
    action: SiteAction
    site: SiteName
    uid: int = Field(ge=FIRST_UID, le=LAST_UID)
    secrets: Secrets | None = None
    renew_salts: bool = False
    hostnames: Annotated[tuple[Annotated[str, Field(pattern=HOST)], ...], Field(max_length=50, strict=False)] = ()
    archive: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.tar(?:\.gz|\.zst)?$")
    kind: Literal["plugin", "theme"] | None = None
    slug: str | None = Field(default=None, pattern=INSTALLED)
    id: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,40}$")
    timeout_s: int = Field(default=120, ge=1, le=3600)

    @model_validator(mode="after")
    def _says_what_the_action_takes(self) -> SiteFiles:
        must, may = SITE_FILES_FIELDS[self.action]
        said = {name for name in _SAID_BESIDE if getattr(self, name) not in (None, False, ())}
        if not must <= said <= must | may:
            raise ValueError("says more or less than the action takes")
        if self.action in ("create", "import") and (self.secrets is None or self.secrets.database is None):
            raise ValueError("a tree without a database")
        return self


class WebConfig(Request):
    """Have one part of the web stack test the candidate, use the current generation, or say which one it serves."""

    verb: Literal["web_config"] = "web_config"
    part: Literal["nginx", "php", "redis"]
    action: Literal["test", "reload", "served"]

    @model_validator(mode="after")
    def _is_served(self) -> WebConfig:
        if (self.part, self.action) == ("redis", "served"):
            raise ValueError("redis serves no generation")
        return self
