"""The secret set: what goes into the encrypted repository alone, read straight from its place.

    configured     sources.secrets.paths: files, or directories with all that is in them
    found          .env files in the trees of the file sets and sites, wp-config.php in the sites
    our own        the password files of the servers, the signing key, credentials of the vault, monitor addresses;
                   not the repository's password, which would lie in the very safe that it opens, and not what only
                   restores work with: the nightly run does not see it
    of sites       `private/` of those that the portal lists
    accounts       of each server, with their grants, as statements

File sets and sites leave out whatever is in this set. The plain tree holds the names, in `stacks/secret-names.json`.
Before a point is sealed, each known value is searched in `stacks/`: `known_values`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backup.exit_codes import SourceFailed
from backup.journal import Journal
from backup.layout import RESTORING
from backup.settings import BackupSettings, Server
from backup.sources import client
from backup.sources.client import identifier
from backup.sources.listing import shown
from backup.sources.source import Estimate, Staged
from backup.state import AssetState, PointState

if TYPE_CHECKING:
    from backup.stage import Stage

NAMES = "stacks/secret-names.json"
SHORTEST_BYTES = 8  # a value below this is found everywhere
LARGEST_BYTES = 1024**2  # of a file whose values are known

_SECRET_FILE = re.compile(r"\.env(\..+)?|wp-config\.php([.~].*)?")
_BEGINNINGS = (".env", "wp-config.php")
_NO_SECRET = re.compile(r".*[.-](example|sample|template|dist)(\..*)?")
_SECRET_KEY = re.compile(r"passw|passphrase|secret|token|credential|(^|_)(pass|pwd|key|salt)($|_)", re.IGNORECASE)
_POINTS_ELSEWHERE = re.compile(r".*_(FILE|PATH|DIR|ID|NAME|URL)", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_DEFINE = re.compile(r"""define\(\s*['"](\w+)['"]\s*,\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*\)""")
_IN_URL = re.compile(r"://[^\s/:@]*:([^\s/@]+)@")
_LONG_WORD = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[^\s:=\"',]{16,}")
_HOST_ACCOUNT = "ERROR 1133 "  # of a host name, on a server that resolves none: such an account is in no use


@dataclass(frozen=True, slots=True)
class SecretSet:
    settings: BackupSettings

    def paths(self) -> list[Path]:
        """Files and directories, sorted. Raise SourceFailed when one that was configured is not there."""
        configured = self.settings.sources.secrets.paths
        for path in configured:
            if not os.path.lexists(path):
                raise SourceFailed(f"the secret {path} of backup.toml is not there")
        own = [path for path in (*_own(self.settings), *_of_sites(self.settings)) if path.exists()]
        return sorted({*configured, *own, *self._found()})

    def names(self) -> list[str]:
        """What the plain tree and the coverage call them."""
        return [shown(os.fsencode(path)) for path in self.paths()] + [
            accounts_name(server) for server in self.settings.sources.mariadb
        ]

    def holds(self, path: Path) -> bool:
        """Whether a file or directory that an operator has named elsewhere belongs to this set instead."""
        return is_secret_file(path) or any(path == secret or secret in path.parents for secret in self._kept_out())

    def skip(self, top: Path, *also: Path) -> Callable[[bytes, bool], bool]:
        """What a walk below `top` leaves out (Stage.copy_tree): this set, what a restore stages there, `also`."""
        paths = {os.fsencode(path.relative_to(top)) for path in (*self._kept_out(), *also) if top in path.parents}

        def leave_out(path: bytes, is_dir: bool) -> bool:
            if path in paths:
                return True
            name = os.fsdecode(path.rpartition(b"/")[2])
            if name.startswith(RESTORING):
                return True
            return name.startswith(_BEGINNINGS) and not is_dir and is_secret_file(Path(name))

        return leave_out

    def gather(self, directory: Path) -> None:
        """Write `<server>.accounts.sql` of each server into a private directory. Raise SourceFailed."""
        for server in self.settings.sources.mariadb:
            path = directory / f"{server.name}.accounts.sql"
            with contextlib.closing(_Private(path)) as file:
                file.write("".join(f"{statement};\n" for statement in accounts(server)))

    def known_values(self) -> list[bytes]:
        """Each value of 8 bytes and more, none twice. Raise SourceFailed when a file cannot be read.

        A file of one line is one value. In .env and wp-config.php, and in JSON, what stands under a name such as
        *_PASSWORD, *_KEY, token; passwords within URLs. Of a PEM file its lines; of others their long words.
        """
        paths = [*self.paths(), *(path for path in _elsewhere(self.settings) if path.exists())]
        return sorted({value.encode() for path in paths for file in _files(path) for value in values(file)})

    def _kept_out(self) -> list[Path]:
        """What no file set and no site takes, wherever it lies."""
        own = (*_own(self.settings), *_of_sites(self.settings))
        return [*self.settings.sources.secrets.paths, *own, *_elsewhere(self.settings)]

    def _found(self) -> Iterator[Path]:
        sources = self.settings.sources
        tops = [path for files in sources.files for path in files.paths]
        tops += [path for site in sources.site for path in (site.path, *site.extra)]
        for top in tops:
            yield from (file for file in _files(top, _BEGINNINGS) if is_secret_file(file))


@dataclass(frozen=True, slots=True)
class SecretNames:
    """The source that puts the names into the plain tree, so that whoever restores knows what to fetch besides."""

    secrets: SecretSet
    name = "secrets:names"

    @property
    def paths(self) -> Sequence[Path]:
        return ()

    def estimate(self) -> Estimate:
        return Estimate(0, 1)

    def stage(self, stage: Stage, previous: PointState | None, journal: Journal) -> Staged:
        names = self.secrets.names()
        with stage.stream(NAMES.encode()) as writer:
            writer.write(json.dumps({"secrets": names}, indent=1).encode() + b"\n")
        return Staged(
            [AssetState(kind="secret", name=name, source=self.name, paths=[NAMES], bytes=0) for name in names]
        )


def is_secret_file(path: Path) -> bool:
    """By its name: .env and wp-config.php with their copies (.env.local, wp-config.php.bak), no examples."""
    return bool(_SECRET_FILE.fullmatch(path.name)) and not _NO_SECRET.fullmatch(path.name)


def accounts_name(server: Server) -> str:
    return f"accounts of {server.name}"


def accounts(server: Server) -> list[str]:
    """Statements that make the accounts and roles of a server again. Raise SourceFailed."""
    rows = client.query(server, "SELECT user, host, is_role FROM mysql.user ORDER BY is_role DESC, user, host")
    statements, grants = [], []
    for user, host, is_role in rows:
        if user == "mariadb.sys":
            continue
        account = identifier(user) if is_role == "Y" else f"{identifier(user)}@{identifier(host)}"
        try:
            if is_role == "Y":
                statements.append(f"CREATE ROLE IF NOT EXISTS {account}")
            else:
                ((made,),) = client.query(server, f"SHOW CREATE USER {account}")
                statements.append(made.replace("CREATE USER", "CREATE USER IF NOT EXISTS", 1))
            grants += [grant for (grant,) in client.query(server, f"SHOW GRANTS FOR {account}")]
        except SourceFailed as error:
            if _HOST_ACCOUNT not in str(error):
                raise
    return statements + grants


def values(path: Path) -> Iterator[str]:
    """The secret values in one file, as they would stand in another. Raise SourceFailed."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            return
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        return
    except OSError as error:
        raise SourceFailed(f"the secret {shown(os.fsencode(path))} cannot be read: {error.strerror}") from error
    for value in _values(path, text):
        if len(value.encode()) >= SHORTEST_BYTES:
            yield value


def _values(path: Path, text: str) -> Iterator[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    yield from _IN_URL.findall(text)
    if path.name.startswith("wp-config"):
        yield from (single or double for key, single, double in _DEFINE.findall(text) if _is_secret(key))
    elif is_secret_file(path):
        for key, value in _ASSIGNMENT.findall(text):
            if _is_secret(key) and not value.startswith("${"):
                yield value.strip("'\"")
    elif "-----BEGIN" in text:
        yield from (line for line in lines if not line.startswith("-----") and len(line) >= 2 * SHORTEST_BYTES)
    elif text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            yield from _in_json(json.loads(text))
    elif len(lines) == 1:
        yield lines[0]
        yield from _LONG_WORD.findall(text)
    else:
        yield from _LONG_WORD.findall(text)


def _in_json(document: Any, key: str = "") -> Iterator[str]:
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _in_json(value, name)
    elif isinstance(document, list):
        for value in document:
            yield from _in_json(value, key)
    elif isinstance(document, str) and _is_secret(re.sub(r"(?<=[a-z])(?=[A-Z])|-", "_", key)):
        yield document


def _is_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key)) and not _POINTS_ELSEWHERE.fullmatch(key)


def _own(settings: BackupSettings) -> list[Path]:
    vault, monitor = settings.vault, settings.monitor
    found = [settings.signing_key_file, *(server.password_file for server in settings.sources.mariadb)]
    if vault:
        found += filter(None, (vault.uploader_file, vault.verifier_file))
    found += filter(None, (monitor.webhook_url_file, monitor.webhook_secret_file, monitor.ping_url_file))
    if monitor.mail and monitor.mail.password_file:
        found.append(monitor.mail.password_file)
    return found


def _of_sites(settings: BackupSettings) -> list[Path]:
    return [path for site in settings.sources.site for path in site.secrets]


def _elsewhere(settings: BackupSettings) -> list[Path]:
    """Our own that the encrypted repository does not hold either: what opens it, and what only restores work with."""
    repository, vault = settings.repository, settings.vault
    found = [repository.password_file if repository else None]
    found += [server.restore_password_file for server in settings.sources.mariadb]
    found += [vault.restorer_file, vault.collector_file] if vault else []
    return [path for path in found if path is not None]


def _files(path: Path, beginnings: tuple[str, ...] = ("",)) -> Iterator[Path]:
    """The regular files at or below a path whose names begin so; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        if path.is_file():
            yield path
        return
    for directory, _, names in os.walk(path, onerror=_unreadable):
        for name in names:
            if name.startswith(beginnings):
                file = Path(directory, name)
                if file.is_file() and not file.is_symlink():
                    yield file


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise SourceFailed(f"{shown(os.fsencode(error.filename))}: {error.strerror}") from error


class _Private:
    """A new file that nobody else may read."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def write(self, text: str) -> None:
        with open(self._descriptor, "w", encoding="utf-8", closefd=False) as file:
            file.write(text)

    def close(self) -> None:
        os.close(self._descriptor)
