"""A fleet of real WordPress sites: MariaDB, PHP-FPM with a pool and a user per site, nginx, Redis, `wp`, a broker.

    with Fleet(sites=3) as fleet:
        fleet.page("alder")                                   # (200, "<!doctype html>...") through nginx
        broker = Broker(fleet.broker_socket)                  # asks a real broker; `wp` runs as the site's user
        fleet.add_plugin_update("quay-forms", "1.1.0", "fatal")
        portal = Portal(tmp_path, fleet.portal_settings())

Everything that serves sites stands in namespaces of its own, at the paths, names and ports of stacks/blog (/srv/sites,
/etc/homeport/web, blog-db:3306, nginx on 8080), with the virtual hosts and pools of the portal's own renderer. So what
runs above the broker is what runs in production. Not there: Docker itself (host_engine.py), cloudflared, wp-cli's own
code (wp/), wordpress.org (update_server.py).

Every site runs `quay-forms` 1.0.0 (active), has `quay-gallery` 1.0.0 and Akismet (not active), and one user, `warden`.
Needs root, and scripts/wordpress-files.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from portal.integrations.rendering import files_of
from tests.services import extensions, wordpress
from tests.services.blog_stack import WORDPRESS, Contained, contained, lay_out
from tests.services.extensions import How
from tests.services.fleet_accounts import make_database, make_portal_accounts
from tests.services.fleet_site import DATABASE_PORT, REDIS_PORT, SITES, SUBMISSION_PORT, FleetSite, new_site
from tests.services.host_engine import write_state
from tests.services.mariadb import MariaDB
from tests.services.namespaces import Forward, Namespaces, contained_pid
from tests.services.process import Daemon, Service, ServiceFailed, free_port
from tests.services.update_server import CORE, UpdateServer

REPOSITORY = Path(__file__).resolve().parents[2]
ADMIN = "warden"
FORMS, GALLERY = "quay-forms", "quay-gallery"
STARTED_WITH = "1.0.0"
INSTALLERS = 2  # the machine's cores are shared
ANSWER_S = 30.0
COMMAND_S = 120.0
ORIGIN_PORT = 8080
MEMORY = "/dev/shm"
PREFIX = "fleet-"  # and the process that made it
ROOM_BYTES, ROOM_FILES = 2 * 1024**3, 200_000
PROGRAMS = ("php", "nginx", "redis-server", "cgi-fcgi", "curl")


def place_for_trees() -> str:
    """In memory where there is room: seventeen trees have 54,000 directory entries, to be made and removed."""
    try:
        free = os.statvfs(MEMORY)
    except OSError:
        return tempfile.gettempdir()
    is_roomy = free.f_bavail * free.f_frsize > ROOM_BYTES and free.f_favail > ROOM_FILES
    is_plain = not free.f_flag & os.ST_NOEXEC  # programs lie there too
    return MEMORY if is_roomy and is_plain else tempfile.gettempdir()


def sweep(place: Path) -> None:
    """Remove what fleets of test processes have left that were killed: in memory it would stay until the next boot."""
    for left in place.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            wordpress.remove(left)


class Fleet(Service):
    """sites: how many, at most seventeen; 0: the machinery without a site."""

    def __init__(self, sites: int = 3) -> None:
        if os.geteuid() != 0:
            raise ServiceFailed("a fleet needs root")
        if sites > len(SITES):
            raise ServiceFailed(f"there are names for {len(SITES)} sites")
        if missing := [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]:
            raise ServiceFailed(f"{', '.join(missing)} not installed: scripts/debian-packages")
        wordpress.files()
        self._names = SITES[:sites]
        place = Path(place_for_trees())
        sweep(place)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
        self.directory.chmod(0o711)
        self.sites: dict[str, FleetSite] = {}
        self.updates = UpdateServer()
        self.mariadb: MariaDB
        self.namespaces: Namespaces
        self._daemons: dict[str, Daemon] = {}
        self._containers: dict[str, Contained] = {}
        self._origin_port = free_port()
        self.redis_port = free_port()
        self._open = contextlib.ExitStack()

    # -- where things are ---------------------------------------------------------------------------------------------

    @property
    def sites_root(self) -> Path:
        """/srv/sites, as this process sees it."""
        return self.directory / "sites"

    @property
    def web_dir(self) -> Path:
        """/etc/homeport/web, likewise."""
        return self.directory / "web"

    @property
    def import_dir(self) -> Path:
        """/srv/import, likewise; packages of plugins and themes go to packages/."""
        return self.directory / "import"

    @property
    def broker_socket(self) -> Path:
        return self.directory / "broker.sock"

    @property
    def origin_url(self) -> str:
        return f"http://127.0.0.1:{self._origin_port}"

    @property
    def database_servers_file(self) -> Path:
        return self.directory / "databases.toml"

    def site(self, name: str) -> FleetSite:
        return self.sites[name]

    def portal_settings(self) -> dict[str, str]:
        """HOMEPORT_PORTAL_*, by the name behind the prefix."""
        return {
            "BROKER_SOCKET": str(self.broker_socket),
            "DATABASES_FILE": str(self.database_servers_file),
            "WEB_DIR": str(self.web_dir),
            "IMPORT_DIR": str(self.import_dir),
            "SITES_ORIGIN_URL": self.origin_url,
        }

    # -- starting and ending ------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._open.enter_context(self.updates)
        self.updates.add_checksums(wordpress.core_version(), wordpress.core_checksums)
        with ThreadPoolExecutor(INSTALLERS + 1) as pool:
            database = pool.submit(lambda: self._open.enter_context(MariaDB()))
            self._lay_out()
            self.mariadb = database.result()
            make_portal_accounts(self.mariadb, self.database_servers_file)
            self._lead_out()
            list(pool.map(self._add_site, self._names))
            self._render()
            broker = pool.submit(self._start_broker)
            list(pool.map(self._install_site, self._names))
            broker.result()
        self._start_daemons()

    def close(self) -> None:
        for daemon in self._daemons.values():
            daemon.kill()
        self._open.close()
        wordpress.remove(self.directory)

    def start_daemon(self, service: str) -> None:
        container = self._containers[service]
        if service not in self._daemons:
            uid, _, gid = container.user.partition(":")
            groups = "--clear-groups" if uid != "0" else "--groups=0"
            become = f"setpriv --reuid={uid} --regid={gid} {groups} -- {container.command}"
            log = self.directory / f"{service}.log"
            log.touch()
            log.chmod(0o666)  # it is opened again inside, as /dev/stderr and by another user
            self._daemons[service] = Daemon(
                self.namespaces.contain(container.script, become), ready=lambda: self._answers(service), log=log
            )
        if not self._daemons[service].is_running:
            self._daemons[service].start()
        self._tell_broker()

    def kill_daemon(self, service: str) -> None:
        """End a service as a container that was killed; the broker finds it gone."""
        self._daemons[service].kill()
        self._tell_broker()

    def daemon(self, service: str) -> Daemon:
        return self._daemons[service]

    def log_of(self, service: str) -> str:
        """What a service has written since the fleet began: PHP's errors of all sites are blog-php's."""
        return (self.directory / f"{service}.log").read_text(errors="replace")

    def lead_submission(self, port: int) -> None:
        """Let sites reach a submission server of this process's network as mail-postfix:587."""
        log = self.directory / "submission.log"
        self._open.enter_context(Forward(self.namespaces, log, out={SUBMISSION_PORT: port}))

    # -- looking ------------------------------------------------------------------------------------------------------

    def page(self, site: str, path: str = "/", *, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Ask a site through nginx, as the tunnel does; return status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self._origin_port, timeout=ANSWER_S)
        with contextlib.closing(connection):
            said = {"Host": self.sites[site].hostname, "X-Forwarded-Proto": "https"} | dict(headers or {})
            connection.request("GET", path, headers=said)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")

    def wp(
        self, site: str, *words: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `wp` as the site's user, past the broker: to set a scene, and to look at what became of it."""
        known = self.sites[site]
        home = f"/srv/sites/{site}/tmp"
        command = ["wp", f"--path=/srv/sites/{site}/public", f"--url={known.url}", "--no-color", *words]
        done = subprocess.run(
            [*self.namespaces.enter, *wordpress.run_as(known.uid, ["env", f"HOME={home}", f"TMPDIR={home}", *command])],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
            cwd="/",
        )
        if check and done.returncode != 0:
            raise ServiceFailed(f"wp {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def query(self, site: str, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Run a statement in a site's database as root."""
        import pymysql  # type: ignore[import-untyped]

        with (
            pymysql.connect(
                unix_socket=str(self.mariadb.unix_socket), user="root", database=self.sites[site].database
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values or None)
            rows = list(cursor.fetchall())
            connection.commit()
            return rows

    def checksum(self, site: str) -> str:
        """One digest of all tables' contents, without what changes by itself (transients and cron)."""
        digest = hashlib.sha256()
        for (table,) in sorted(self.query(site, "SHOW TABLES")):
            digest.update(f"{table}\n".encode())
            left_out = r"WHERE option_name NOT LIKE '\_%transient\_%' AND option_name <> 'cron'"
            where = left_out if str(table).endswith("_options") else ""
            for row in sorted(self.query(site, f"SELECT * FROM `{table}` {where}"), key=repr):
                digest.update(repr(row).encode())
        return digest.hexdigest()

    # -- breaking and updating ----------------------------------------------------------------------------------------

    def add_plugin_update(self, slug: str, version: str, how: How = "good") -> None:
        """Offer a version of a plugin to all sites; they see it at their next look."""
        self.updates.add("plugin", slug, version, extensions.plugin(slug, version, how))
        self.forget_update_checks()

    def add_theme_update(self, slug: str, version: str, how: How = "good") -> None:
        self.updates.add("theme", slug, version, extensions.theme(slug, version, how))
        self.forget_update_checks()

    def add_core_update(self, version: str, *, is_fatal: bool = False) -> None:
        """Offer a newer WordPress: the files of this one, another number, and a PHP error where asked for."""
        files = {name: (wordpress.files() / name).read_bytes() for name in wordpress.CORE_PACKAGE}
        number = files["wp-includes/version.php"].replace(
            f"$wp_version = '{wordpress.core_version()}'".encode(), f"$wp_version = '{version}'".encode()
        )
        broken = b"\nif ( function_exists( 'add_action' ) ) { nobody_defined_this(); }\n" if is_fatal else b""
        files["wp-includes/version.php"] = number + broken
        self.updates.add("core", CORE, version, files)
        self.forget_update_checks()

    def add_plugin(self, site: str, slug: str, version: str = STARTED_WITH, how: How = "good") -> None:
        """Put a plugin, not active, into a site's tree."""
        self._put(self.sites[site], f"plugins/{slug}", extensions.plugin(slug, version, how))

    def add_theme(self, site: str, slug: str, version: str = STARTED_WITH, how: How = "good") -> None:
        self._put(self.sites[site], f"themes/{slug}", extensions.theme(slug, version, how))

    def break_plugin(self, site: str, slug: str = FORMS, how: How = "fatal") -> None:
        """Overwrite an installed plugin's files in place by ones that break the site; its version stays."""
        (place,) = self.sites[site].public.glob(f"wp-content/plugins/{slug}/{slug}.php")
        version = place.read_text().partition("Version: ")[2].partition("\n")[0]
        self._put(self.sites[site], f"plugins/{slug}", extensions.plugin(slug, version, how))

    def put_package(self, slug: str, version: str, how: How = "good") -> str:
        """Lay a plugin's zip where the operator lays such; return its file name."""
        name = f"{slug}-{version}.zip"
        self.updates.add("plugin", slug, version, extensions.plugin(slug, version, how), offered=False)
        (self.import_dir / "packages" / name).write_bytes(self.updates.package("plugin", slug, version))
        return name

    def forget_update_checks(self) -> None:
        """WordPress keeps what it was told for hours: it asks again at its next look."""
        for name in self.sites:
            self.query(name, r"DELETE FROM wp_options WHERE option_name LIKE '\_site\_transient\_update\_%'")
            self.flush_cache(name)

    def flush_cache(self, site: str) -> None:
        """Empty a site's object cache, as `wp cache flush` does: due after its database was changed by hand."""
        known = self.sites[site]
        with socket.create_connection(("127.0.0.1", self.redis_port), timeout=ANSWER_S) as connection:
            for words in (["AUTH", site, known.redis_password], ["SET", f"{site}:generation", os.urandom(6).hex()]):
                said = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
                connection.sendall(said.encode())
                answer = connection.recv(512)
                if not answer.startswith((b"+", b":")):
                    raise ServiceFailed(f"Redis: {answer!r}")

    # -- the parts ----------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        for name in ("sites", "web", "import/packages"):
            (self.directory / name).mkdir(parents=True)
        for path in (self.sites_root, self.web_dir, self.import_dir):
            path.chmod(0o755)
        root, programs = self.directory / "root", self.directory / "programs"
        lay_out(root, programs)
        names = "127.0.0.1 blog-db blog-redis blog-nginx mail-postfix mail-postfix.submission"
        (root / "etc" / "hosts").write_text(f"{Path('/etc/hosts').read_text()}\n{names}\n")
        wordpress.make_template(root / WORDPRESS, self.updates.must_use)
        wordpress.make_skeleton(self._skeleton, root / WORDPRESS)
        self.namespaces = self._open.enter_context(
            Namespaces(
                self.directory,
                overlays=["/etc", "/usr/local"],
                prepare=[
                    *(
                        "mount -t tmpfs -o mode=755 tmpfs /run",
                        "mkdir /run/php && chown 0:33 /run/php && chmod 2750 /run/php",
                    ),
                    *("mount -t tmpfs -o mode=755 tmpfs /srv", "mkdir /srv/sites /srv/import"),
                ],
                binds={
                    "/srv/sites": self.sites_root,
                    "/srv/import": self.import_dir,
                    "/etc/homeport/web": self.web_dir,
                },
            )
        )
        self._containers = {each.service: each for each in contained(programs)}

    def _lead_out(self) -> None:
        """Let the sites reach the database, also where this process does, and the update server."""
        database = {DATABASE_PORT: self.mariadb.port, self.mariadb.port: self.mariadb.port}
        out = {**database, self.updates.port: self.updates.port}
        self._open.enter_context(Forward(self.namespaces, self.directory / "out.log", out=out))

    def _add_site(self, name: str) -> None:
        site = new_site(name, self.sites_root)
        make_database(self.mariadb, site)
        wordpress.make_tree(
            self.sites_root,
            self.directory / "root" / WORDPRESS,
            name,
            site.uid,
            site.secrets(),
            skeleton=self._skeleton,
        )
        self.sites[name] = site
        for slug in (FORMS, GALLERY):
            self.add_plugin(name, slug)

    def _install_site(self, name: str) -> None:
        site = self.sites[name]
        words = (f"--title=Site {name}", f"--admin_user={ADMIN}", f"--admin_email={ADMIN}@{site.hostname}")
        self.wp(name, "core", "install", *words, "--skip-email", "--prompt=admin_password", stdin=site.admin_password)
        file = f"{FORMS}/{FORMS}.php"
        active = f'a:1:{{i:0;s:{len(file)}:"{file}";}}'
        self.query(name, "UPDATE wp_options SET option_value = %s WHERE option_name = 'active_plugins'", active)

    def _render(self) -> None:
        generation = self.web_dir / "generations" / "1"
        for name, text in files_of([site.spec() for site in self.sites.values()], 1).items():
            (generation / name).parent.mkdir(parents=True, exist_ok=True)
            (generation / name).write_text(text)
        (self.web_dir / "current").symlink_to("generations/1")

    def _start_broker(self) -> None:
        self._tell_broker()
        daemon = Daemon(
            [sys.executable, "-m", "tests.services.host_engine", str(self._state), str(self.broker_socket)],
            ready=self._broker_answers,
            log=self.directory / "broker.log",
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        self._daemons["broker"] = daemon
        daemon.start()

    def _start_daemons(self) -> None:
        """Start what is not running, one after the other as Compose would."""
        for service in self._containers:
            self.start_daemon(service)
        self._forward()

    def _forward(self) -> None:
        log = self.directory / "into.log"
        into = {self._origin_port: ORIGIN_PORT, self.redis_port: REDIS_PORT}
        self._open.enter_context(Forward(self.namespaces, log, into=into))

    @property
    def _skeleton(self) -> Path:
        return self.directory / "skeleton"

    @property
    def _state(self) -> Path:
        return self.directory / "containers.json"

    def _tell_broker(self) -> None:
        running = {
            name: (contained_pid(self._daemons[name]), container.user)
            for name, container in self._containers.items()
            if name in self._daemons and self._daemons[name].is_running
        }
        write_state(self._state, running)

    def _broker_answers(self) -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.broker_socket))

    def _answers(self, service: str) -> None:
        """Raise OSError unless the container's own health check is content."""
        pid = contained_pid(self._daemons[service])
        inside = ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--"]
        done = subprocess.run(
            [*inside, self._containers[service].health], capture_output=True, text=True, check=False, cwd="/"
        )
        if done.returncode != 0:
            raise ConnectionError(f"{service}: {done.stdout}{done.stderr}")

    def _put(self, site: FleetSite, place: str, files: Mapping[str, bytes]) -> None:
        directory = site.public / "wp-content" / place
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (directory / name).write_bytes(content)
            (directory / name).chmod(0o644)
            os.chown(directory / name, site.uid, site.uid)
        for made in (directory, directory.parent):
            os.chown(made, site.uid, site.uid)
