"""Seventeen sites on the booted blog stack, made by the broker: each answers, none reaches another one's.

What a site could do is tried from its own PHP, as a page that somebody smuggled in would.
"""

from __future__ import annotations

import http.client
import json
import time
from functools import partial
from pathlib import Path

import pytest

from tests.services.homeport import eventually
from tests.services.portal import Browser
from tests.stacks.blog import Site, ask, in_portal, make_sites
from tests.stacks.deployment import DOMAIN, Deployment, run
from tests.stacks.operations import begun, ended

SITES = 17
BOOT_S = 1500.0


@pytest.fixture(scope="module")
def sites(stack: Deployment) -> dict[str, Site]:
    began = time.monotonic()
    made = make_sites(stack, 1, SITES)
    stack.figures[f"{SITES} sites made and served"] = f"{time.monotonic() - began:.0f} s"
    return made


@pytest.fixture(scope="module")
def anna(sites: dict[str, Site]) -> Site:
    return sites["site-01"]


@pytest.fixture(scope="module")
def bob(sites: dict[str, Site]) -> Site:
    return sites["site-02"]


@pytest.mark.timeout(BOOT_S)
def test_every_site_answers_by_its_name_with_its_own_page(sites: dict[str, Site]) -> None:
    assert len(sites) == SITES
    for site in sites.values():
        answer = site.get()
        assert answer.status == 200, (site.name, answer)
        assert f"Marker of {site.name}" in answer.body
        assert f"https://{site.hostname}/" in answer.body  # it knows that the visitor came by HTTPS
        assert "http://" + site.hostname not in answer.body


def test_image_says_that_it_has_no_wp_cli(stack: Deployment) -> None:
    image = run(["docker", "inspect", "--format", '{{index .Config.Labels "homeport.wp-cli"}}', _image(stack)]).strip()
    assert image == "none"


def is_served(site: Site) -> bool:
    return f"Marker of {site.name}" in site.get().body


def _image(stack: Deployment) -> str:
    return str(stack.state("blog-php")["Image"])


def test_static_files_are_served_and_private_ones_are_not(anna: Site) -> None:
    assert anna.get("/wp-includes/css/dashicons.min.css").status == 200
    for path in ("/wp-config.php", "/.htaccess", "/../private/wp-database.php", "/xmlrpc.php", "/wp-content/debug.log"):
        assert anna.get(path).status in (400, 404), path
    (anna.tree / "public" / "wp-content" / "uploads").mkdir(exist_ok=True)
    shell = anna.tree / "public" / "wp-content" / "uploads" / "shell.php"
    shell.write_text("<?php echo 'ran';")
    try:
        assert anna.get("/wp-content/uploads/shell.php").status == 404
    finally:
        shell.unlink()


def test_name_that_no_site_has_is_not_answered(stack: Deployment, sites: dict[str, Site]) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        ask(stack, "nobody.blog.test", "/", {})


def test_visitor_is_who_cloudflare_says_and_came_by_https(anna: Site) -> None:
    seen = anna.get  # what the page is asked with
    name = "who.php"
    page = anna.tree / "public" / name
    page.write_text("<?php echo json_encode([$_SERVER['REMOTE_ADDR'], $_SERVER['HTTPS'] ?? '']);")
    page.chmod(0o644)
    try:
        assert json.loads(seen(f"/{name}", **{"CF-Connecting-IP": "203.0.113.7"}).body) == ["203.0.113.7", "on"]
        plain = ask(anna.stack, anna.hostname, f"/{name}", {"CF-Connecting-IP": "203.0.113.7"})
        assert json.loads(plain.body) == ["203.0.113.7", ""]
    finally:
        page.unlink()


def test_only_the_tunnel_says_who_a_visitor_is(anna: Site) -> None:
    """The portal asks nginx over another network; what it says of an address counts nothing."""
    name = "who.php"
    page = anna.tree / "public" / name
    page.write_text("<?php echo $_SERVER['REMOTE_ADDR'];")
    page.chmod(0o644)
    program = (
        "import urllib.request as u; print(u.urlopen(u.Request('http://blog-nginx:8080/who.php', headers="
        f"{{'Host': '{anna.hostname}', 'CF-Connecting-IP': '203.0.113.7'}}), timeout=20).read().decode())"
    )
    try:
        said = anna.stack.execute("portal", "python3", "-c", program).strip()
    finally:
        page.unlink()
    assert said == anna.stack.address("portal", "blog_probe")


def test_pool_runs_as_the_sites_user_and_as_nobody_else(anna: Site) -> None:
    made = anna.run(f"$file = tempnam('/srv/sites/{anna.name}/tmp', 'x'); return [fileowner($file), filegroup($file)];")
    assert made == [anna.uid, anna.uid]
    top = run(["docker", "top", anna.stack.state("blog-php")["Id"], "-eo", "pid,uid,gid,args"]).splitlines()[1:]
    workers = [line.split(None, 3) for line in top if f"pool {anna.name}" in line]
    assert workers
    for pid, uid, gid, _ in workers:
        assert (uid, gid) == (str(anna.uid), str(anna.uid))
        kernel = (Path("/proc") / pid / "status").read_text()
        assert f"Groups:\t{anna.uid} \n" in kernel
        assert "CapEff:\t0000000000000000" in kernel


# -- one site and another ---------------------------------------------------------------------------------------------


def test_php_of_a_site_reads_no_file_of_another_nor_of_the_system(anna: Site, bob: Site) -> None:
    paths = [
        f"/srv/sites/{bob.name}/public/wp-config.php",
        f"/srv/sites/{bob.name}/private/wp-database.php",
        f"/srv/sites/{anna.name}/../{bob.name}/public/index.php",
        "/etc/passwd",
        "/etc/homeport/web/current/redis/users.acl",
        "/proc/1/environ",
        "/run/php",
        "/srv/sites",
    ]
    code = "return array_map(fn ($path) => [@file_get_contents($path), @scandir($path), @file_exists($path)], %s);"
    found = anna.run(code % json.dumps(paths).replace("\\/", "/"))
    assert found == [[False, False, False]] * len(paths)
    assert "DB_PASSWORD" in anna.run(f"return file_get_contents('/srv/sites/{anna.name}/private/wp-database.php');")


def test_user_of_a_site_reads_no_file_of_another_whatever_php_allows(anna: Site, bob: Site) -> None:
    """By the kernel: a shell of the site's user, for whom open_basedir is nothing."""
    tries = f"""
        cat /srv/sites/{bob.name}/public/index.php /srv/sites/{bob.name}/private/wp-database.php
        ls /srv/sites /srv/sites/{bob.name} /srv/sites/{bob.name}/public /srv/sites/{bob.name}/tmp /run/php
        ln /srv/sites/{bob.name}/public/index.php /srv/sites/{anna.name}/tmp/x
        touch /srv/sites/{anna.name}/x /etc/homeport/web/x /usr/local/share/homeport/x
        mv /srv/sites/{anna.name}/private /srv/sites/{anna.name}/elsewhere
        cat /run/homeport/php-fpm.pid
        kill -TERM 1
        true
    """
    said = anna.stack.compose(
        "exec", "-T", "--user", f"{anna.uid}:{anna.uid}", "blog-php", "sh", "-c", f"({tries}) 2>/dev/null | wc -c"
    )
    assert said.strip() == "0"


def test_site_cannot_speak_to_another_ones_pool(anna: Site, bob: Site) -> None:
    """Who can open the socket can have any file run as that site."""
    code = f"""
        return array_map(
            fn ($name) => (bool) @stream_socket_client("unix:///run/php/$name.sock", $error, $text, 3),
            ['{bob.name}', '{anna.name}', 'homeport'],
        );
    """
    assert anna.run(code) == [False, False, False]
    tried = (
        "foreach (['%s', 'homeport'] as $name) "
        'echo json_encode((bool) @stream_socket_client("unix:///run/php/$name.sock", $error, $text, 3));'
    )
    argv = ["exec", "-T", "--user", f"{anna.uid}:{anna.uid}", "blog-php", "php", "-r", tried % bob.name]
    assert anna.stack.compose(*argv) == "falsefalse"


def test_site_reads_its_own_database_and_no_other(anna: Site, bob: Site) -> None:
    code = """
        mysqli_report(MYSQLI_REPORT_OFF);
        $mine = mysqli_connect('blog-db', '{0.database}', '{0.database_password}');
        $titles = [];
        foreach (['{0.database}', '{1.database}', 'mysql'] as $database) {{
            $table = $database === 'mysql' ? 'user' : 'wp_options';
            $rows = mysqli_query($mine, "SELECT COUNT(*) FROM `$database`.`$table`");
            $titles[] = $rows ? (int) mysqli_fetch_row($rows)[0] > 0 : mysqli_errno($mine);
        }}
        $seen = array_column(mysqli_fetch_all(mysqli_query($mine, 'SHOW DATABASES')), 0);
        $theirs = mysqli_connect('blog-db', '{1.database}', '{0.database_password}');
        $file = mysqli_query($mine, "SELECT LOAD_FILE('/etc/passwd')");
        return [$titles, $seen, $theirs, $file ? mysqli_fetch_row($file)[0] : null];
    """
    (own, others, system), seen, theirs, file = anna.run(code.format(anna, bob))
    assert own is True
    assert others == 1142 or others == 1044  # ER_TABLEACCESS_DENIED_ERROR, ER_DBACCESS_DENIED_ERROR
    assert system == 1142 or system == 1044
    assert sorted(seen) == ["information_schema", anna.database]
    assert theirs is False
    assert file is None


def test_site_has_its_own_keys_of_the_cache_and_no_others(anna: Site, bob: Site) -> None:
    code = """
        $redis = new Redis();
        $redis->connect('blog-redis', 6379, 3);
        $try = function (...$words) use ($redis) {{
            try {{
                return $redis->rawCommand(...$words);
            }} catch (RedisException $error) {{
                return substr($error->getMessage(), 0, 6);
            }}
        }};
        $unknown = $try('GET', '{0.name}:generation');
        $redis->auth(['{0.name}', '{0.redis_password}']);
        return [
            $unknown, $try('SET', '{0.name}:mine', 'x'), $try('GET', '{0.name}:mine'),
            $try('GET', '{1.name}:generation'), $try('SET', '{1.name}:theirs', 'x'), $try('KEYS', '*'),
            $try('SCAN', '0'), $try('FLUSHALL'), $try('CONFIG', 'GET', '*'), $try('ACL', 'LIST'),
            $try('EVAL', 'return 1', '0'), $try('AUTH', '{1.name}', '{0.redis_password}'),
        ];
    """
    said = anna.run(code.format(anna, bob))
    assert said[1:3] == [True, "x"]
    for answer in (said[0], *said[3:]):
        assert answer is False or str(answer).startswith(("NOAUTH", "NOPERM", "WRONGP")), said


def test_object_cache_lasts_from_one_request_to_the_next(anna: Site) -> None:
    load = "define('SHORTINIT', false); require_once __DIR__ . '/wp-load.php';"
    anna.run(f"{load} wp_cache_set('of-a-test', ['x' => 1], 'tests'); return true;")
    assert anna.run(f"{load} return [wp_using_ext_object_cache(), wp_cache_get('of-a-test', 'tests')];") == [
        True,
        {"x": 1},
    ]
    anna.run(f"{load} wp_cache_flush(); return true;")
    assert anna.run(f"{load} return wp_cache_get('of-a-test', 'tests');") is False


def test_site_is_served_while_the_cache_is_away(stack: Deployment, anna: Site) -> None:
    with stack.stopped("blog-redis"):
        assert f"Marker of {anna.name}" in anna.get().body
    assert f"Marker of {anna.name}" in anna.get().body


def test_compiled_code_of_another_site_is_not_to_be_had_from_the_shared_memory(anna: Site, bob: Site) -> None:
    assert bob.get().status == 200  # its wp-config.php is compiled now
    code = f"$got = @include '/srv/sites/{bob.name}/public/wp-config.php'; return [$got, defined('DB_PASSWORD')];"
    assert anna.run(code) == [False, False]


# -- configurations ---------------------------------------------------------------------------------------------------


def test_what_a_part_cannot_read_is_refused_and_the_old_configuration_serves_on(stack: Deployment, anna: Site) -> None:
    found = in_portal(stack, "refused.py")
    assert [part for part, said in found["told"].items() if said["exit_code"] == 0] == []
    assert "unknown directive" in found["told"]["nginx"]["stderr"]
    assert found["after"] == found["before"]
    assert None not in found["after"]
    assert f"Marker of {anna.name}" in anna.get().body


def test_sites_come_back_with_new_containers(stack: Deployment, anna: Site, bob: Site) -> None:
    """The current generation is what a new container begins with."""
    stack.compose("up", "--detach", "--force-recreate", "--no-deps", "blog-redis", "blog-php", "blog-nginx")
    stack.wait_until_healthy("blog-redis", "blog-php", "blog-nginx")
    for site in (anna, bob):
        assert eventually(partial(is_served, site))


# -- mail -------------------------------------------------------------------------------------------------------------


def test_mail_of_a_site_leaves_by_its_own_account_and_is_seen_to_arrive(
    stack: Deployment, sites: dict[str, Site], anna: Site, operator: Browser
) -> None:
    """Through Postfix and the smarthost; what comes back is brought by the test in the place of Cloudflare."""
    known = [
        {"name": each.name, "hostname": each.hostname, "redis_password": each.redis_password} for each in sites.values()
    ]
    in_portal(stack, "adopt_sites.py", json.dumps(known))
    wanted = {"act": "configure", "sites": [anna.name], "domain": DOMAIN}
    plan = operator.post("/api/wordpress/mail/plans", json=wanted).json()
    assert [each["before"] for each in plan["changes"]] == [None], plan
    sender = plan["changes"][0]["after"]["sender"]
    applied = ended(operator, begun(operator, f"/api/wordpress/mail/plans/{plan['id']}/apply"))
    assert applied["state"] == "done", applied

    test = begun(operator, f"/api/wordpress/sites/{anna.name}/mail-test")
    (relayed,) = eventually(
        lambda: [each for each in stack.smarthost.relayed() if each.mail_from == sender], within_s=120.0
    )
    (recipient,) = relayed.rcpt_to
    assert stack.poster.post(relayed.content, rcpt_to=recipient, mail_from=sender).status == 200
    tested = ended(operator, test)
    assert tested["state"] == "done", tested
    assert tested["result"]["to"] == recipient
