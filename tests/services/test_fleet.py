"""The fleet is what other tests take it for: real sites, apart from each other, that can be broken and mended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pymysql  # type: ignore[import-untyped]
import pytest

from portal.broker import schemas
from portal.broker.client import Broker
from portal.broker.failures import EngineRefused, NoSuchContainer
from portal.databases.servers import Servers
from tests.services import extensions, wordpress
from tests.services.extensions import How, marker
from tests.services.fleet import FORMS, GALLERY, STARTED_WITH, Fleet, sweep
from tests.services.fleet_site import SITES
from tests.services.host_engine import container_id
from tests.services.namespaces import contained_pid
from tests.services.process import process_stats
from tests.services.update_server import UpdateServer

# What a site's own PHP tries to reach, and what it must not say.
REACHES = """\
<?php
error_reporting( 0 );
echo file_get_contents( '/srv/sites/birch/private/wp-database.php' ) === false ? '' : 'secrets ';
echo file_get_contents( '/srv/sites/birch/public/wp-config.php' ) === false ? '' : 'files ';
echo fsockopen( 'unix:///run/php/birch.sock' ) === false ? '' : 'pool ';
$redis = new Redis();
$redis->connect( 'blog-redis', 6379 );
require '/srv/sites/alder/private/wp-secrets.php';
$redis->auth( array( HOMEPORT_REDIS['user'], HOMEPORT_REDIS['password'] ) );
try { $redis->get( 'birch:generation' ); echo 'cache '; } catch ( RedisException $error ) {}
mysqli_report( MYSQLI_REPORT_OFF );
$database = new mysqli( DB_HOST, DB_USER, DB_PASSWORD );
echo $database->query( 'SELECT 1 FROM wp_birch.wp_options' ) ? 'database ' : '';
echo 'uid=', posix_getuid(), ' ', $redis->get( 'alder:generation' ) === false ? 'nothing' : 'own';
"""


@pytest.fixture
def broker(fleet: Fleet) -> Broker:
    return Broker(fleet.broker_socket)


@pytest.fixture
def mended(fleet: Fleet) -> Callable[[], None]:
    """Put back what a test has broken in alder."""

    def mend() -> None:
        fleet.add_plugin("alder", FORMS)

    return mend


def wp_version(site: str) -> schemas.WpCli:
    return schemas.WpCli(site=site, url=f"https://{site}.example", command=("core", "version"))


class TestSites:
    def test_each_answers_with_its_own_page(self, fleet: Fleet) -> None:
        for name in fleet.sites:
            status, page = fleet.page(name)
            assert status == 200
            assert f"<title>Site {name}</title>" in page
            assert marker(FORMS, STARTED_WITH) in page

    def test_the_origin_tells_which_site_and_generation_answers(self, fleet: Fleet) -> None:
        assert fleet.page("birch", "/.homeport/marker") == (200, '{"site":"birch","generation":1}')

    def test_the_administrator_logs_in_with_the_password_of_the_site(self, fleet: Fleet) -> None:
        check = fleet.wp("cedar", "user", "list", "--format=json").stdout
        assert '"roles":"administrator"' in check

    def test_a_tree_is_as_the_stack_makes_it(self, fleet: Fleet) -> None:
        site = fleet.site("alder")
        modes = {name: oct((site.tree / name).stat().st_mode & 0o7777) for name in ("public", "private", "tmp", "kept")}
        assert modes == {"public": "0o2750", "private": "0o700", "tmp": "0o700", "kept": "0o700"}
        assert (site.tree.stat().st_uid, site.public.stat().st_uid, site.public.stat().st_gid) == (0, site.uid, 33)

    def test_the_php_of_one_reaches_nothing_of_another(self, fleet: Fleet) -> None:
        for name in ("alder", "birch"):
            fleet.flush_cache(name)  # from then on it has a key
        site = fleet.site("alder")
        script = site.public / "reaches.php"
        script.write_text(REACHES)
        assert fleet.page("alder", "/reaches.php") == (200, f"uid={site.uid} own")
        script.unlink()

    def test_core_is_shared_by_links_that_no_site_can_write(self, fleet: Fleet) -> None:
        site = fleet.site("alder")
        shared = site.public / "wp-includes" / "plugin.php"
        assert (shared.stat().st_uid, shared.stat().st_mode & 0o777) == (0, 0o644)
        argv = ["sh", "-c", f"echo >> /srv/sites/alder/public/wp-includes/{shared.name}"]
        written = subprocess.run(
            [*fleet.namespaces.enter, *wordpress.run_as(site.uid, argv)], capture_output=True, check=False, cwd="/"
        )
        assert written.returncode != 0


class TestBroker:
    async def test_it_lists_the_services_of_the_stack(self, broker: Broker) -> None:
        listed = await broker.ask(schemas.List())
        assert [each.service for each in listed.containers] == [
            "blog-nginx",
            "blog-php",
            "blog-redis",
            "blog-site-files",
        ]
        assert {each.state for each in listed.containers} == {"running"}

    async def test_it_runs_wp_as_the_user_of_the_site(self, fleet: Fleet, broker: Broker) -> None:
        ended = await broker.ask(wp_version("birch"))
        assert (ended.exit_code, ended.stdout.strip()) == (0, wordpress.core_version())
        request = schemas.WpCli(site="birch", url="https://birch.example", command=("maintenance-mode", "activate"))
        await broker.ask(request)
        made = fleet.site("birch").public / ".maintenance"
        assert made.stat().st_uid == fleet.site("birch").uid
        made.unlink()

    async def test_the_parts_of_the_web_test_reload_and_tell_their_generation(self, broker: Broker) -> None:
        for part in ("nginx", "php"):
            assert (await broker.ask(schemas.WebConfig(part=part, action="reload"))).exit_code == 0
            assert (await broker.ask(schemas.WebConfig(part=part, action="served"))).stdout.strip() == "1"
        assert (await broker.ask(schemas.WebConfig(part="redis", action="reload"))).exit_code == 0

    async def test_a_broken_candidate_is_told_in_nginx_s_words(self, fleet: Fleet, broker: Broker) -> None:
        broken = fleet.web_dir / "generations" / "broken" / "nginx"
        broken.mkdir(parents=True)
        (broken / "alder.conf").write_text("server { listen 8080; nobody_knows_this; }\n")
        candidate = fleet.web_dir / "candidate"
        candidate.symlink_to("generations/broken")
        ended = await broker.ask(schemas.WebConfig(part="nginx", action="test"))
        candidate.unlink()
        assert ended.exit_code != 0
        assert "nobody_knows_this" in ended.stderr

    async def test_a_site_s_files_are_measured(self, fleet: Fleet, broker: Broker) -> None:
        ended = await broker.ask(schemas.SiteFiles(action="measure", site="alder", uid=fleet.site("alder").uid))
        assert ended.exit_code == 0
        assert '"ok": true' in ended.stdout

    async def test_the_log_of_php_has_what_a_site_died_of(
        self, fleet: Fleet, broker: Broker, mended: Callable[[], None]
    ) -> None:
        fleet.break_plugin("alder", FORMS, "fatal")
        fleet.page("alder")
        mended()
        lines = []
        async with broker.follow(schemas.Logs(container=container_id("blog-php"))) as flow:
            async for item in flow:
                lines += [line.text for line in item.lines]
        assert any("/srv/sites/alder/public/wp-content/plugins/quay-forms" in line for line in lines)

    async def test_what_is_docker_s_own_is_refused(self, broker: Broker) -> None:
        with pytest.raises(EngineRefused):
            await broker.ask(schemas.Restart(container=container_id("blog-php")))

    async def test_a_service_that_ended_is_no_running_container(self, fleet: Fleet, broker: Broker) -> None:
        fleet.kill_daemon("blog-php")
        try:
            with pytest.raises(NoSuchContainer):
                await broker.ask(wp_version("alder"))
            assert fleet.page("alder")[0] == 502
        finally:
            fleet.start_daemon("blog-php")
        assert fleet.page("alder")[0] == 200
        assert (await broker.ask(wp_version("alder"))).exit_code == 0


class TestBreaking:
    @pytest.mark.parametrize("how", ["fatal", "unparsable"])
    def test_a_plugin_that_dies_takes_its_own_site_down_and_no_other(
        self, fleet: Fleet, mended: Callable[[], None], how: How
    ) -> None:
        fleet.break_plugin("alder", FORMS, how)
        assert (fleet.page("alder")[0], fleet.page("birch")[0]) == (500, 200)
        mended()
        assert fleet.page("alder")[0] == 200

    def test_one_that_migrates_changes_the_database_and_fails(self, fleet: Fleet) -> None:
        before = {name: fleet.checksum(name) for name in ("birch", "cedar")}
        fleet.updates.add("plugin", FORMS, STARTED_WITH, extensions.plugin(FORMS, STARTED_WITH))
        fleet.add_plugin_update(FORMS, "2.0.0", "migrates-then-500")
        fleet.wp("cedar", "plugin", "update", FORMS, "--format=json")
        fleet.updates.offer("plugin", FORMS, STARTED_WITH)
        assert (fleet.page("cedar")[0], fleet.page("birch")[0]) == (500, 200)
        after = {name: fleet.checksum(name) for name in before}
        assert (after["cedar"] == before["cedar"], after["birch"] == before["birch"]) == (False, True)
        fleet.add_plugin("cedar", FORMS)
        assert fleet.page("cedar")[0] == 200

    def test_a_page_changes_nothing_that_the_checksum_counts(self, fleet: Fleet) -> None:
        before = fleet.checksum("birch")
        fleet.page("birch")
        fleet.wp("birch", "plugin", "list", "--format=json")
        assert fleet.checksum("birch") == before

    def test_an_update_is_offered_fetched_and_served(self, fleet: Fleet) -> None:
        fleet.add_plugin_update(GALLERY, "1.5.0")
        fleet.wp("cedar", "plugin", "update", GALLERY, "--format=json")
        assert f"/downloads.wordpress.org/plugin/{GALLERY}.1.5.0.zip" in fleet.updates.requests
        assert (
            "Version: 1.5.0" in (fleet.site("cedar").public / f"wp-content/plugins/{GALLERY}/{GALLERY}.php").read_text()
        )

    def test_accounts_of_the_portal_can_do_what_they_are_for(self, fleet: Fleet) -> None:
        server = Servers.load(fleet.database_servers_file).find("blog")
        with server.connect("console", database="wp_alder") as connection, connection.cursor() as cursor:
            assert cursor.execute("SELECT option_value FROM wp_options WHERE option_name = 'blogname'") == 1
            with pytest.raises(pymysql.err.OperationalError, match="denied"):
                cursor.execute("DELETE FROM wp_options")


class TestUpdateServer:
    def test_only_newer_versions_are_updates(self) -> None:
        updates = UpdateServer()
        updates.add("plugin", "quay-forms", "1.10.0", {"quay-forms.php": b""})
        asked = b"plugins=" + b'{"plugins":{"quay-forms/quay-forms.php":{"Version":"VERSION"}}}'
        for version, is_offered in (("1.9.0", True), ("1.10.0", False), ("2.0", False)):
            path = "/api.wordpress.org/plugins/update-check/1.1/"
            _, _, body = updates.answer(path, asked.replace(b"VERSION", version.encode()))
            assert (b"1.10.0.zip" in body) is is_offered

    def test_what_nobody_put_there_is_not_found(self) -> None:
        updates = UpdateServer()
        for path in ("/downloads.wordpress.org/plugin/none.1.0.zip", "/api.wordpress.org/plugins/info/1.2/", "/x/y"):
            assert updates.answer(path, b"")[0] == 404


def test_a_fleet_leaves_nothing_behind() -> None:
    with Fleet(0) as fleet:
        daemons = [fleet.daemon(name) for name in ("blog-php", "blog-nginx", "blog-redis", "blog-site-files")]
        namespaces = {namespace_of(contained_pid(daemon)) for daemon in daemons}
        begun = {(stat.pid, started(stat.pid)) for stat in process_stats() if namespace_of(stat.pid) in namespaces}
    assert len(begun) > 2 * len(daemons)
    assert not [pid for pid, at in begun if started(pid) == at]
    assert not fleet.directory.exists()


def test_what_a_killed_test_process_has_left_is_swept_away(tmp_path: Path) -> None:
    ended = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    left, live = tmp_path / f"fleet-{ended}-abc", tmp_path / f"fleet-{os.getpid()}-abc"
    for directory in (left, live):
        (directory / "sites").mkdir(parents=True)
    sweep(tmp_path)
    assert (left.exists(), live.exists()) == (False, True)


def namespace_of(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:  # it ended meanwhile
        return None


def started(pid: int) -> str | None:
    """When a process began: numbers of processes are used again. None for one that is gone, or has ended and only waits
    for this machine's process 1 to notice. proc(5), fields 3 and 22."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


@pytest.mark.slow
@pytest.mark.timeout(300)  # the fixture counts
def test_seventeen_sites_answer(fleet17: Fleet) -> None:
    for name in SITES:
        status, page = fleet17.page(name)
        assert (status, f"<title>Site {name}</title>" in page) == (200, True)
