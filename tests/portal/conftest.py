"""What the edge's tests stand on: Cloudflare's fake, a built Worker, keys and settings, the CLI in this process."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from kit import cli
from kit.clock import SystemClock
from portal.db import Database
from portal.edge.service import EdgeService
from portal.integrations.cloudflare import Cloudflare
from portal.settings import EdgeSettings
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Zone
from tests.portal import database as databases

HOME, TWO = "home.example", "two.example"
WORKER = b"export default { async fetch() { return new Response('') }, async email() {}, async scheduled() {} };\n"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The last line of standard error, which must be one that tells an error."""
        last = self.err.splitlines()[-1]
        assert last.startswith("homeport: error: "), self.err
        return last


@dataclass
class Edge:
    """An operator's desk: files, settings as environment variables, and `homeport edge` in this process."""

    cf: CloudflareFake
    directory: Path
    run_cli: Callable[..., Ended]
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.new_key()
        self.worker_file.write_bytes(WORKER)
        self.settings |= {
            "state_dir": str(self.state_dir),
            "cloudflare_token": self.cf.token(),
            "cloudflare_account": self.cf.account_id,
            "cloudflare_url": self.cf.url,
            "edge_zones": HOME,
            "edge_mail_api_url": "https://mail-api.home.example",
            "edge_keys_file": str(self.keys_file),
            "edge_worker_file": str(self.worker_file),
        }

    @property
    def state_dir(self) -> Path:
        return self.directory / "state"

    @property
    def keys_file(self) -> Path:
        return self.directory / "keys"

    @property
    def worker_file(self) -> Path:
        return self.directory / "worker.js"

    @property
    def environment(self) -> dict[str, str]:
        return {EdgeSettings.variable(name): value for name, value in self.settings.items()}

    @property
    def record(self) -> Json:
        """edge.json"""
        document: Json = json.loads((self.state_dir / "edge.json").read_bytes())
        return document

    @property
    def zone(self) -> Zone:
        return self.cf.state.zones[HOME]

    def new_key(self) -> str:
        """Put a new key in front of the keys file; return its secret."""
        secret = secrets.token_hex(32)
        self.keys_file.write_text(f"k-{secret[:6]}:{secret}\n")
        return secret

    @asynccontextmanager
    async def service(self, say: Callable[[str], None] = lambda _: None) -> AsyncIterator[EdgeService]:
        """The same, below the command line."""
        settings = EdgeSettings.load(self.environment)
        token, account, url = settings.cloudflare_token, settings.cloudflare_account, settings.cloudflare_url
        async with Cloudflare(token, account=account, url=url, say=say) as cf:
            yield EdgeService(settings, cf, clock=SystemClock(), say=say, pause_s=0.01)

    def run(self, *arguments: str, stdin: str = "") -> Ended:
        return self.run_cli("edge", *arguments, stdin=stdin, environment=self.environment)

    def deploy(self, *arguments: str) -> Ended:
        """Deploy, and be sure that it worked."""
        ended = self.run("deploy", "--yes", *arguments)
        assert ended.code == 0, ended.err
        return ended

    def destroy(self) -> Ended:
        ended = self.run("destroy", "--yes")
        assert ended.code == 0, ended.err
        return ended

    def sync(self, *lines: str, allow_shrink: bool = False) -> Ended:
        more = ["--allow-shrink"] if allow_shrink else []
        return self.run("sync", "--from", "-", *more, stdin="".join(f"{line}\n" for line in lines))

    def list_of(self, domain: str = HOME) -> Json:
        """The recipients' list in KV."""
        namespace = self.cf.state.namespace("homeport-mail-recipients")
        document: Json = json.loads(namespace.values[f"recipients/{domain}"].data)
        return document


def seen(cf: CloudflareFake) -> Json:
    """Everything that is at Cloudflare, without ids, times and what is drawn at random."""
    state = cf.state
    return {
        "buckets": sorted(state.buckets),
        "namespaces": [namespace.title for namespace in state.namespaces],
        "scripts": {
            name: {
                "modules": {part: module.data for part, module in script.modules.items()},
                "bindings": sorted(_comparable(binding) for binding in script.bindings),
                "secrets": sorted(script.secrets),
                "crons": script.crons,
                "routed": script.subdomain_enabled,
                "date": script.compatibility_date,
            }
            for name, script in state.scripts.items()
        },
        "zones": {
            name: {
                "records": sorted(
                    str((r.type, r.name, r.content, r.priority, r.ttl, bool(r.comment), r.tags)) for r in zone.records
                ),
                "enabled": zone.routing.enabled,
                "rules": sorted(str((r.matchers, r.actions, r.enabled, r.priority)) for r in zone.routing.rules),
                "catch_all": (zone.routing.catch_all.actions, zone.routing.catch_all.enabled),
            }
            for name, zone in state.zones.items()
        },
    }


def _comparable(binding: Json) -> str:
    drawn = ("namespace_id", *(["text"] if binding["name"] == "MAIL_API_KEY_ID" else []))
    return str(sorted((name, value) for name, value in binding.items() if name not in drawn))


@pytest.fixture
def cf() -> Iterator[CloudflareFake]:
    with CloudflareFake(zones=[HOME, TWO]) as fake:
        yield fake


@pytest.fixture
def edge(cf: CloudflareFake, tmp_path: Path, run_cli: Callable[..., Ended]) -> Edge:
    return Edge(cf, tmp_path, run_cli)


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run `homeport` in this process, without a terminal. Settings come as environment variables, as in a shell."""

    def run(*arguments: str, environment: dict[str, str], stdin: str = "") -> Ended:
        logging_of_the_test = structlog.get_config()
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                cli.main(arguments)
        out, err = capsys.readouterr()
        structlog.configure(**logging_of_the_test)  # the command's goes to a stream that ends before the test does
        assert isinstance(ended.value.code, int)
        assert "Traceback" not in err
        return Ended(ended.value.code, out, err)

    return run


@pytest.fixture(scope="session")
def database_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return databases.make_template(tmp_path_factory.mktemp("database"))


@pytest.fixture
def database_url(database_template: Path, tmp_path: Path) -> str:
    """A migrated, empty SQLite database of this test's own."""
    return databases.copy_of(database_template, tmp_path)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with databases.opened(database_url) as opened:
        yield opened


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.services)])
def any_database_url(request: pytest.FixtureRequest) -> str:
    """As `database_url`, once on SQLite and once on a real MariaDB."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("database_url"))
    url: str = request.getfixturevalue("mariadb").new_database()
    with databases.opened(url) as database:
        database.migrate()
    return url


@pytest.fixture
def any_database(any_database_url: str) -> Iterator[Database]:
    with databases.opened(any_database_url) as opened:
        yield opened
