"""What `homeport site` and the page about sites send and take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from portal.broker.wp import ADDRESS, LOCALE, LOGIN
from portal.integrations.php_settings import PhpSettings
from portal.wordpress.names import MAX_HOSTNAMES

ARCHIVE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.tar(?:\.gz|\.zst)?$"
DUMP = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.sql(?:\.gz|\.zst)?$"
# What begins with - is an option to wp.
TITLE = r"^[^-\x00-\x1f\x7f-\x9f\u2028\u2029][^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,199}$"
OLD_URL = r"^https?://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]{0,200})?$"

SiteText = Annotated[str, Field(min_length=1, max_length=31)]
HostnameText = Annotated[str, Field(min_length=1, max_length=255)]
Recipe = Literal["add", "remove", "import"]
StepState = Literal["todo", "begun", "done", "undoing", "undone"]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Made(_Asked):
    """What a new site is made of, wherever its content comes from.

    hostnames   the primary one first; as A-labels or as people write them
    server      of its database, as the databases room names it; null: the only one, or the blog stack's
    ring        1 is updated first
    is_public   whether the tunnel leads its host names there, with a DNS record for each
    """

    site: SiteText
    hostnames: Annotated[list[HostnameText], Field(min_length=1, max_length=MAX_HOSTNAMES)]
    server: str | None = Field(default=None, max_length=32)
    ring: Literal[1, 2] = 2
    php: PhpSettings = PhpSettings()
    is_public: bool = True


class AddSite(_Made):
    """A new, empty WordPress. The administrator's password is drawn and forgotten: whoever wants to log in sets one by
    the WordPress room, which shows it once."""

    act: Literal["add"] = "add"
    title: str = Field(min_length=1, max_length=200, pattern=TITLE)
    admin_login: str = Field(min_length=1, max_length=60, pattern=rf"^(?:{LOGIN})$")
    admin_email: str = Field(min_length=3, max_length=254, pattern=rf"^(?:{ADDRESS})$")
    locale: str | None = Field(default=None, pattern=rf"^(?:{LOCALE})$")


class ImportSite(_Made):
    """A WordPress out of an archive of its files and a dump of its database; both lie in the import directory.

    old_url   its address until now; null: nothing in its content is replaced
    """

    act: Literal["import"]
    archive: str = Field(pattern=ARCHIVE)
    dump: str = Field(pattern=DUMP)
    old_url: str | None = Field(default=None, pattern=OLD_URL)


class RemoveSite(_Asked):
    """without_restore_point: remove it although no final restore point can be made; its tree and a dump of its database
    are kept all the same."""

    act: Literal["remove"]
    site: SiteText
    without_restore_point: bool = False


NewSiteRecipe = Annotated[AddSite | ImportSite | RemoveSite, Field(discriminator="act")]


class SiteRecipeStep(BaseModel):
    """One step, in the order in which they are done. name: row, database, load, tree, install, address, web, backup,
    route, probe, public, activate; of a removal mark, point, route, web, database, tree, backup, row.

    detail   one line, which may quote others
    """

    name: str
    state: StepState
    detail: str


class SiteRecipeChange(BaseModel):
    """name: "site garden", "database blog/wp_garden", "route garden.example", "record garden.example"; before, after:
    null where it is not there."""

    name: str
    step: str
    before: Any
    after: Any


class SiteConflictView(BaseModel):
    what: str
    way_out: str


class SiteRecipePlan(BaseModel):
    """conflicts: while there is one, it can't be applied. needs_step_up: a fresh factor is given, since something that
    is there goes, or DNS changes. needs_typed_name: the site goes; then its name is typed too.

    run   of the run that applying it began; null before
    """

    id: str
    act: str
    target: str
    site: str
    wanted: Recipe
    steps: list[SiteRecipeStep]
    changes: list[SiteRecipeChange]
    unchanged: list[str]
    conflicts: list[SiteConflictView]
    notes: list[str]
    silent_rooms: list[str]
    needs_step_up: bool
    needs_typed_name: bool
    created_at: AwareDatetime
    expires_at: AwareDatetime
    undoes: str | None
    operation_id: str | None
    run: str | None


class ApplySiteRecipe(BaseModel):
    model_config = ConfigDict(extra="forbid")

    typed_names: list[SiteText] = Field(default=[], max_length=10)
    reason: str | None = Field(default=None, max_length=200)


class UnfinishedRun(BaseModel):
    """A run that neither ended nor was taken back, and on which nothing is at work.

    trouble         what kept it from its end; "" when the portal was stopped, or somebody cancelled
    """

    run: str
    site: str
    wanted: Recipe
    steps: list[SiteRecipeStep]
    trouble: str
    began_at: AwareDatetime


class UnfinishedRuns(BaseModel):
    runs: list[UnfinishedRun]


class ImportFile(BaseModel):
    name: str
    kind: Literal["archive", "dump"]
    bytes: int
    changed_at: AwareDatetime


class ImportFiles(BaseModel):
    """What lies in the import directory. detail: why nothing can be listed; "" otherwise."""

    files: list[ImportFile]
    detail: str
