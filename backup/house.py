"""From settings to the things that a run works with. The only place that wires them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from backup import catalog_build, coverage, lock
from backup.exit_codes import VerificationFailed, WrongUsage
from backup.facts import Facts
from backup.file_journal import RunJournal
from backup.journal import Journal, Silent
from backup.layout import Layout
from backup.manifest import read_state
from backup.points import PointId
from backup.repository import Repository
from backup.runs import Conductor
from backup.settings import BackupSettings, RepositorySettings, VaultSettings
from backup.signing import Signer, Verifier
from backup.sources import build as sources_build
from backup.sources import listed
from backup.sources.secrets import SecretSet
from backup.sources.source import Source
from backup.vault.known import Known
from backup.vault.s3_object_lock import Role, S3ObjectLock
from kit.clock import Clock, SystemClock, now_utc

NIGHT, POINTS, REPOSITORY, VAULT = "night", "points", "repository", "vault"  # locks, in the order they are taken


@dataclass(frozen=True, slots=True)
class House:
    """
    journal         makes the journal for the person who looks; None: nobody does
    accept_smaller  databases whose dump may be much smaller than the last, as an operator has said for this run
    """

    settings: BackupSettings
    clock: Clock = field(default_factory=SystemClock)
    journal: Callable[[], RunJournal | None] = lambda: None
    accept_smaller: frozenset[str] = frozenset()

    @property
    def layout(self) -> Layout:
        return self.settings.layout

    @property
    def wait_s(self) -> float:
        return self.settings.lock_wait_hours * 3600

    @property
    def conductor(self) -> Conductor:
        return Conductor(self.settings, self.clock, self.journal, self.write_catalog)

    def hold(
        self, name: str, who: str, journal: Journal, *, shared: bool = False, wait_s: float | None = None
    ) -> AbstractContextManager[None]:
        wait = self.wait_s if wait_s is None else wait_s
        return lock.hold(self.layout.locks, name, who=who, shared=shared, wait_s=wait, waiting=journal.note)

    def facts(self) -> Facts:
        self.layout.require()
        return Facts(self.layout.state / "facts.sqlite3")

    def signer(self) -> Signer:
        return Signer.read(self.settings.signing_key_file)

    def verifier(self) -> Verifier:
        return Verifier.read(self.settings.public_key_file)

    # -- sources

    def with_listed_sites(self) -> House:
        """The same house with the sites that the portal's list names now, which may change while we work."""
        return replace(self, settings=listed.merged(self.settings))

    def sources(self, scope: str = "all") -> list[Source]:
        """Given "all" or "<asset kind>:<asset name>", return the sources that cover it. Raise WrongUsage."""
        every = sources_build.build(self.settings, accept_smaller=self.accept_smaller)
        if not any(getattr(self.settings.sources, kind) for kind in ("mariadb", "maildir", "site", "files")):
            raise WrongUsage("the settings name no source: there is nothing to keep")
        if scope == "all":
            return every
        names = _site_of(scope, self.settings) or _source_names(scope)
        found = [source for source in every if source.name in names or source.name.partition(":")[0] in names]
        if not found:
            raise WrongUsage(
                f"no source of the settings covers {scope!r}; `homeport backup coverage` lists what there is"
            )
        return found

    def secrets(self) -> SecretSet:
        return SecretSet(self.settings)

    # -- the two other formats

    def has_repository(self) -> bool:
        return self.settings.repository is not None and self.settings.repository.enabled

    def repository(self, journal: Journal | None = None) -> Repository:
        return Repository(self.layout, self._repository_settings(), self.settings.host, journal or Silent())

    def store(self, role: Role) -> S3ObjectLock:
        return S3ObjectLock(self.vault_settings(), role)

    def known(self) -> Known:
        return Known(self.layout.state / "vault.sqlite3")

    def vault_settings(self) -> VaultSettings:
        if self.settings.vault is None:
            raise WrongUsage("the settings name no [vault]")
        return self.settings.vault

    def _repository_settings(self) -> RepositorySettings:
        if self.settings.repository is None:
            raise WrongUsage("the settings name no [repository]")
        return self.settings.repository

    # -- the catalog

    def coverage(self) -> Sequence[coverage.Coverage]:
        return coverage.survey(self.settings, catalog_build.newest_whole(self.layout))

    def write_catalog(self, facts: Facts) -> None:
        catalog_build.write(self.settings, facts, self.coverage(), now_utc(self.clock))

    def folders(self, point: PointId, kind: str, name: str) -> list[str] | None:
        """Of a mailbox in a point that lies here; None when it does not, or cannot be read."""
        try:
            state = read_state(self.layout.point(point))
        except VerificationFailed:  # whoever restores it will say so
            return None
        return next((each.folders for each in state.assets if (each.kind, each.name) == (kind, name)), [])


def _site_of(scope: str, settings: BackupSettings) -> frozenset[str]:
    """A site's database is its site's: no other source dumps it."""
    return frozenset(
        f"site:{site.name}" for site in settings.sources.site if scope == f"database:{site.server}/{site.database}"
    )


def _source_names(scope: str) -> frozenset[str]:
    """Names of sources, or their kinds where an asset does not say which one has it."""
    kind, _, name = scope.partition(":")
    names = {
        "database": {f"mariadb:{name.partition('/')[0]}"},
        "mailbox": {"maildir"},
        "site": {f"site:{name}"},
        "files": {f"files:{name}"},
        "zone": {"files"},
    }
    return frozenset(names.get(kind, ()))
