"""What the WordPress room sends and takes. Titles, names and errors are other people's text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from portal.integrations.php_settings import PhpSettings
from portal.wordpress.names import INSTALLED, OPTION_WRITTEN, PACKAGE, VERSION
from portal.wordpress.reading import Checksums, Cron, Extension, Inventory, SiteReading, Trouble, User
from portal.wordpress.sites import Site

MAX_CHANGES = 50
MAX_VALUE = 2000
Slug = Annotated[str, Field(pattern=f"^{INSTALLED}$")]
Version = Annotated[str, Field(pattern=f"^(?:latest|{VERSION})$", description="A version, or latest")]
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
# One line that can be taken for nothing but a value: wp reads whatever begins with - as an option.
Line = Annotated[str, Field(pattern=rf"^(?:[^-{_CONTROL}][^{_CONTROL}]*)?$", max_length=MAX_VALUE)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


# -- what is shown ----------------------------------------------------------------------------------------------------


class SiteReadingView(BaseModel):
    """How the last look at a site ended.

    trouble    "" · timed-out · failed · fatal (read without its plugins, whose PHP fails) · unreachable
    read_at    when what is shown was true; null: the site was never read
    is_stale   that is longer ago than a day
    """

    read_at: AwareDatetime | None
    tried_at: AwareDatetime | None
    took_s: float | None
    is_stale: bool
    is_reading: bool
    trouble: Trouble
    error: str

    @classmethod
    def of(cls, reading: SiteReading | None, now: datetime, *, is_reading: bool) -> SiteReadingView:
        if reading is None:
            return cls(
                read_at=None, tried_at=None, took_s=None, is_stale=False, is_reading=is_reading, trouble="", error=""
            )
        return cls(
            read_at=reading.read_at,
            tried_at=reading.tried_at,
            took_s=reading.took_s,
            is_stale=reading.is_stale(now),
            is_reading=is_reading,
            trouble=reading.trouble,
            error=reading.error,
        )


class SiteRowView(BaseModel):
    """A site in the list. Counts and versions are null as long as the site was never read."""

    name: str
    hostnames: list[str]
    url: str
    state: Literal["creating", "active", "removing", "removed"]
    ring: Literal[1, 2]
    server: str
    database: str
    is_served: bool
    is_maintained: bool
    adopted: bool
    created_at: AwareDatetime
    title: str | None
    core_version: str | None
    core_update: str | None
    php_version: str | None
    plugins: int | None
    plugin_updates: int | None
    themes: int | None
    theme_updates: int | None
    database_bytes: int | None
    site_bytes: int | None
    cron_overdue: int | None
    is_debugging: bool | None
    is_verified: bool | None = Field(description="Whether core's and plugins' files are wordpress.org's; null: unknown")
    reading: SiteReadingView
    running_operation: str | None


class WordPressOverview(BaseModel):
    """is_connected: false without a broker, and nothing can be done then. can_render: the web server can be told."""

    is_connected: bool
    can_render: bool
    sites: list[SiteRowView]


class KeptView(BaseModel):
    """A version of a plugin or theme that was put aside, and can be put back."""

    kind: Literal["plugin", "theme"]
    slug: str
    version: str
    kept_at: AwareDatetime
    operation_id: str


class SiteView(SiteRowView):
    """A site with all that is known of it. What is empty beside a reading that never was is unknown, not nothing."""

    uid: int
    account: str
    php: PhpSettings
    xmlrpc: bool
    mail: dict[str, Any] | None
    locale: str | None
    db_version: int | None
    needs_db_update: bool | None
    memory_limit: str | None
    object_cache: bool | None
    wordpress_maintenance: bool | None = Field(description="WordPress's own notice, as the site says")
    autoload_bytes: int | None
    plugin_list: list[Extension]
    theme_list: list[Extension]
    users: list[User]
    users_total: int | None
    cron: Cron | None
    debug: dict[str, bool]
    errors: list[str] = Field(description="What the site could not tell of itself")
    checksums: Checksums | None
    kept: list[KeptView]
    made_by: str | None


class PackageView(BaseModel):
    file: str
    kind: Literal["plugin", "theme"]
    slug: str
    version: str


class PackageList(BaseModel):
    packages: list[PackageView]


# -- plans ------------------------------------------------------------------------------------------------------------


class ExtensionChange(Body):
    """A plugin or theme: switched, installed, brought to a version, deleted.

    state     null: as it is; a new one is inactive
    version   null: as it is; a new one needs one, or latest, or a package
    package   a file of the directory of packages, which says slug and version
    """

    kind: Literal["plugin", "theme"]
    slug: Slug | None = None
    state: Literal["active", "inactive", "absent"] | None = None
    version: Version | None = None
    package: Annotated[str, Field(pattern=f"^{PACKAGE}$")] | None = None

    @model_validator(mode="after")
    def _says_what(self) -> ExtensionChange:
        if self.slug is None and self.package is None:
            raise ValueError("says neither slug nor package")
        if self.state is None and self.version is None and self.package is None:
            raise ValueError("says nothing to change")
        if self.package is not None and (self.version is not None or self.state == "absent"):
            raise ValueError("a package says its version itself, and is there to be installed")
        if self.state == "absent" and self.version is not None:
            raise ValueError("what is absent has no version")
        return self


class CoreChange(Body):
    kind: Literal["core"]
    version: Version


class OptionChange(Body):
    kind: Literal["option"]
    name: Annotated[str, Field(pattern=f"^(?:{OPTION_WRITTEN})$")]
    value: Line


class MaintenanceChange(Body):
    kind: Literal["maintenance"]
    is_on: bool


SiteChange = ExtensionChange | CoreChange | OptionChange | MaintenanceChange


class NewSitePlan(Body):
    changes: list[Annotated[SiteChange, Field(discriminator="kind")]] = Field(min_length=1, max_length=MAX_CHANGES)


class NewReplacement(Body):
    """Text to be replaced in every table of a site, also inside serialized values."""

    old: Line
    new: Line
    skip_columns: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$")]] = Field(
        default=["guid"], max_length=32, description="guid names a post for ever, in feeds too"
    )

    @field_validator("old")
    @classmethod
    def _is_some(cls, value: str) -> str:
        if len(value.strip()) < 3:
            raise ValueError("is too short to be looked for in every table")
        return value


class PlannedSiteChange(BaseModel):
    """
    name          as the plan has it; kind and subject (slug, option) are its parts
    source        where a version comes from: kept, package:<file>, wordpress.org; null: nothing is fetched
    has_way_back  false: only a restore brings back what was
    suffers       codes: stops-working, pages-slower, mail-of-the-site, no-way-back ...
    """

    name: str
    kind: Literal["plugin", "theme", "core", "option", "maintenance", "search-replace"]
    subject: str
    before: Any
    after: Any
    source: str | None
    has_way_back: bool
    suffers: list[str]


class SitePlan(BaseModel):
    """restore_point: first (one is made before) · none (there is no backup; say so to apply it) · not-needed."""

    id: str
    act: str
    target: str
    changes: list[PlannedSiteChange]
    unchanged: list[str]
    restore_point: Literal["first", "none", "not-needed"]
    created_at: AwareDatetime
    expires_at: AwareDatetime
    undoes: str | None
    operation_id: str | None


class ApplySitePlan(Body):
    without_restore_point: bool = Field(
        default=False, description="Do what has no way back although no restore point can be made"
    )


# -- further acts -----------------------------------------------------------------------------------------------------


class ConfigureSite(Body):
    """How the site's PHP runs, and whether it answers XML-RPC.

    ring   in which it is updated, 1 before 2; null leaves it where it is
    """

    php: PhpSettings
    xmlrpc: bool = False
    ring: Literal[1, 2] | None = None


class NewPassword(BaseModel):
    """Shown this once; nobody keeps it."""

    login: str
    password: str = Field(repr=False)


class WpLine(Body):
    """One allowed subcommand of wp. A flag is an option with the value ""."""

    command: list[Annotated[str, Field(pattern=r"^[a-z-]{1,40}$")]] = Field(min_length=1, max_length=3)
    arguments: list[Line] = Field(default=[], max_length=16)
    options: dict[Annotated[str, Field(pattern=r"^[a-z_-]{1,40}$")], Line] = Field(default={}, max_length=16)


class WpAnswer(BaseModel):
    """How wp ended. is_cut: there was more output than is kept."""

    exit_code: int
    stdout: str
    stderr: str
    is_cut: bool


# -- from what is known -----------------------------------------------------------------------------------------------


def site_row(
    site: Site, reading: SiteReading | None, now: datetime, *, is_reading: bool, operation: str | None
) -> dict[str, Any]:
    """The members of a SiteRowView."""
    inventory = reading.inventory if reading is not None else None
    sums = reading.checksums if reading is not None else None
    return {
        **{name: getattr(site, name) for name in _OF_SITE},
        **(_of_inventory(inventory) if inventory is not None else dict.fromkeys(_READ)),
        "is_verified": None if sums is None else sums.is_core_verified and sums.are_plugins_verified,
        "reading": SiteReadingView.of(reading, now, is_reading=is_reading),
        "running_operation": operation,
    }


_OF_SITE = (
    *("name", "hostnames", "url", "state", "ring", "server", "database"),
    *("is_served", "is_maintained", "adopted", "created_at"),
)
_READ = (
    *("title", "core_version", "core_update", "php_version", "plugins", "plugin_updates", "themes", "theme_updates"),
    *("database_bytes", "site_bytes", "cron_overdue", "is_debugging"),
)


_ONLY_WITH_DEBUG = {"WP_DEBUG_DISPLAY", "WP_DEBUG_LOG"}  # they do nothing without WP_DEBUG, and one is on by itself


def _is_debugging(debug: Mapping[str, bool]) -> bool | None:
    return any(is_on for name, is_on in debug.items() if name not in _ONLY_WITH_DEBUG) if debug else None


def _of_inventory(inventory: Inventory) -> dict[str, Any]:
    plugins = [each for each in inventory.plugins if each.state in ("active", "inactive")]
    return {
        "title": inventory.title,
        "core_version": inventory.core.version or None,
        "core_update": inventory.core.update_version,
        "php_version": inventory.php.version or None,
        "plugins": len(plugins),
        "plugin_updates": sum(1 for each in plugins if each.update_version),
        "themes": len(inventory.themes),
        "theme_updates": sum(1 for each in inventory.themes if each.update_version),
        "database_bytes": inventory.database_bytes,
        "site_bytes": inventory.site_bytes,
        "cron_overdue": inventory.cron.overdue,
        "is_debugging": _is_debugging(inventory.debug),
    }


def site_view(row: Mapping[str, Any], site: Site, reading: SiteReading | None, kept: list[KeptView]) -> SiteView:
    inventory = reading.inventory if reading is not None and reading.inventory is not None else Inventory()
    is_known = reading is not None and reading.inventory is not None
    return SiteView(
        **row,
        uid=site.uid,
        account=site.account,
        php=site.php,
        xmlrpc=site.xmlrpc,
        mail=None if site.mail is None else dict(site.mail),
        locale=inventory.locale or None,
        db_version=inventory.core.db_version,
        needs_db_update=inventory.core.needs_db_update,
        memory_limit=inventory.php.memory_limit or None,
        object_cache=inventory.object_cache,
        wordpress_maintenance=inventory.maintenance,
        autoload_bytes=inventory.autoload_bytes,
        plugin_list=list(inventory.plugins),
        theme_list=list(inventory.themes),
        users=list(inventory.users),
        users_total=inventory.users_total,
        cron=inventory.cron if is_known else None,
        debug=inventory.debug,
        errors=list(inventory.errors),
        checksums=None if reading is None else reading.checksums,
        kept=kept,
        made_by=site.made_by,
    )
