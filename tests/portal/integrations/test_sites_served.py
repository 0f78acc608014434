"""What nginx, PHP-FPM and Redis make of a rendered site: what is served, what is not, and what a site cannot reach."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
from collections.abc import Iterator

import pytest

from portal.integrations.php_settings import PhpSettings
from tests.portal.integrations.conftest import WebStack
from tests.portal.integrations.specs import password_of, site

pytestmark = pytest.mark.services

SHOP = site("shop", 1, "shop.test", "www.shop.test")
OTHER = site("other", 2)
FILES = {
    "wp-config.php": "<?php // secret",
    "wp-config.php.bak": "secret",
    "xmlrpc.php": "<?php echo 'rpc';",
    ".env": "secret",
    ".git/config": "secret",
    ".well-known/security.txt": "Contact: x",
    "readme.html": "6.8",
    "dump.sql": "secret",
    "dump.sql.gz": "secret",
    "style.css": "b{}",
    "old/page.PHP": "<?php echo 'source';",
    "wp-content/debug.log": "secret",
    "wp-content/uploads/evil.php": "<?php echo 'ran';",
    "wp-content/uploads/evil.php5": "<?php echo 'ran';",
    "wp-content/uploads/2026/evil.PhP": "<?php echo 'ran';",
    "wp-content/uploads/photo.jpg": "jpeg",
    "wp-content/uploads/sitemap.xml.gz": "gz",
    "wp-content/plugins/a/a.php": "<?php echo 'plugin';",
    "index.php": """<?php
        header('X-Powered-By: secret');
        if (isset($_GET['frame'])) header('X-Frame-Options: DENY');
        echo 'index of ', $_SERVER['SERVER_NAME'], ' ', $_SERVER['REQUEST_URI'], ' ', $_SERVER['HTTPS'] ?? 'plain';""",
    "code.php": "<?php error_reporting(E_ALL); echo eval(file_get_contents('php://input'));",
}


@pytest.fixture(scope="module")
def served(stack: WebStack) -> WebStack:
    public = stack.make_tree(SHOP, FILES)
    other = stack.make_tree(OTHER, {"notes.txt": "of the other site"})
    (public / "stolen.txt").symlink_to("/srv/sites/other/public/notes.txt")
    (public / "own.txt").symlink_to("/srv/sites/shop/public/style.css")
    for link in ("stolen.txt", "own.txt"):
        os.lchown(public / link, SHOP.uid, 33)
    (other.parent / "private" / "wp-secrets.php").write_text("secret")
    asyncio.run(stack.config().render([SHOP, OTHER]))
    return stack


def _php(stack: WebStack, code: str, **headers: str) -> str:
    return stack.request("POST", "shop.test", "/code.php", headers=headers, body=code.encode()).body


# -- what is served ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", "index of shop.test / plain"),
        ("/a/nice/page/?x=1", "index of shop.test /a/nice/page/?x=1 plain"),
        ("/wp-content/plugins/a/a.php", "plugin"),
        ("/wp-content/uploads/photo.jpg", "jpeg"),
        ("/wp-content/uploads/sitemap.xml.gz", "gz"),
        ("/missing.png", "index of shop.test /missing.png plain"),
        ("/.well-known/security.txt", "Contact: x"),
        ("/own.txt", "b{}"),
    ],
)
def test_what_belongs_to_the_site_is_served(served: WebStack, path: str, body: str) -> None:
    answer = served.get("shop.test", path)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(
    "path",
    [
        "/wp-config.php",
        "/wp-config.php.bak",
        "/xmlrpc.php",
        "/.env",
        "/.git/config",
        "/readme.html",
        "/dump.sql",
        "/dump.sql.gz",
        "/old/page.PHP",
        "/wp-content/debug.log",
        "/wp-content/uploads/evil.php",
        "/wp-content/uploads/evil.php5",
        "/wp-content/uploads/2026/evil.PhP",
        "/wp-content/uploads/evil.php/x.jpg",
        "/wp-content/uploads//evil.php",
        "/wp-content/x/../uploads/evil.php",
        "/wp-content/uploads/evil%2ephp",
        "/style.css/x.php",
        "/missing.php",
    ],
)
def test_what_is_nobodys_business_is_not_there(served: WebStack, path: str) -> None:
    answer = served.get("shop.test", path)
    assert answer.status == 404
    assert not any(word in answer.body for word in ("secret", "ran", "source", "rpc"))


def test_link_to_another_sites_file_is_not_followed(served: WebStack) -> None:
    answer = served.get("shop.test", "/stolen.txt")
    assert answer.status in (403, 404) or answer.body.startswith("index of")
    assert "other site" not in answer.body


def test_answers_carry_what_a_browser_needs_to_know_once(served: WebStack) -> None:
    answer = served.get("shop.test", "/")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert "x-powered-by" not in answer.headers
    assert answer.headers["server"] == "nginx"
    assert served.get("shop.test", "/?frame").headers["x-frame-options"] == "DENY", "what the site says stands"
    static = served.get("shop.test", "/style.css")
    assert static.headers["cache-control"] == "max-age=604800"
    assert static.headers["x-content-type-options"] == "nosniff"


def test_site_knows_that_visitors_come_by_https(served: WebStack) -> None:
    assert served.get("www.shop.test", "/", x_forwarded_proto="https").body == "index of www.shop.test / on"


@pytest.mark.parametrize("host", ["nobody.test", "shop.test.evil", "127.0.0.1", "shop_test", "generation"])
def test_name_that_no_site_has_is_hung_up_on(served: WebStack, host: str) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        served.get(host)


@pytest.mark.parametrize(
    "headers", [{"cf_connecting_ip": "192.0.2.1"}, {"cf_ray": "8f0"}, {"cf_connecting_ip": "127.0.0.1"}]
)
def test_marker_is_told_to_neighbours_and_not_through_the_tunnel(served: WebStack, headers: dict[str, str]) -> None:
    assert '"site":"shop"' in served.get("shop.test", "/.homeport/marker").body
    assert served.get("shop.test", "/.homeport/marker", **headers).status == 404


# -- what a site cannot reach -----------------------------------------------------------------------------------------


def test_sites_php_is_its_own_user_in_its_own_directory(served: WebStack) -> None:
    assert _php(served, "return posix_geteuid().':'.posix_getegid().' '.json_encode(posix_getgroups());") in (
        "20001:20001 []",
        "20001:20001 [20001]",
    )
    assert _php(served, "return sys_get_temp_dir();") == "/srv/sites/shop/tmp"
    assert _php(served, "return file_put_contents(tempnam('', 'x'), 'abc');") == "3"


@pytest.mark.parametrize(
    "code",
    [
        "return file_get_contents('/srv/sites/other/public/index.php');",
        "return file_get_contents('/srv/sites/other/private/wp-secrets.php');",
        "return file_get_contents('/etc/passwd');",
        "return file_get_contents('/proc/self/environ');",
        "return json_encode(scandir('/srv/sites'));",
        "return file_get_contents('/etc/homeport/web/current/redis/users.acl');",
        "ini_set('open_basedir', '/'); return file_get_contents('/etc/passwd');",
        "return symlink('/srv/sites/other/public', '/srv/sites/shop/public/x');",
        "return link('/srv/sites/other/public/index.php', '/srv/sites/shop/public/y');",
        "return shell_exec('id');",
        "return proc_open('id', [], $pipes);",
        "mail('a@b.test', 's', 't', '', '-OQueueDirectory=/tmp'); return 'no';",
        "$s = fsockopen('unix:///run/php/other.sock'); return $s ? 'connected' : 'no';",
    ],
)
def test_sites_php_reaches_nothing_of_anybody_else(served: WebStack, code: str) -> None:
    said = _php(served, code)
    assert not any(word in said for word in ("root:", "uid=", "secret", "<?php", "other", "connected", "user ", "PATH"))


def test_error_is_logged_and_never_shown(served: WebStack) -> None:
    answer = served.request("POST", "shop.test", "/code.php", headers={}, body=b"no_such_function_here();")
    assert (answer.status, answer.body) == (500, "")
    assert "no_such_function_here" in served.fleet.log_of("blog-php")


def test_upload_over_the_limit_is_refused_by_nginx(served: WebStack) -> None:
    limit = (SHOP.php.upload_max_mib + 8) * 1024**2
    headers = {"Content-Length": str(limit + 1)}
    assert served.request("POST", "shop.test", "/code.php", headers=headers, body=b"").status == 413


# -- states of a site -------------------------------------------------------------------------------------------------


async def test_site_answers_as_its_state_says(served: WebStack) -> None:
    config = served.config()
    try:
        await config.render([site("shop", 1, is_maintained=True), site("other", 2, is_enabled=False)])
        answer = served.get("shop.test", "/style.css", cf_connecting_ip="192.0.2.1")
        assert (answer.status, answer.headers["retry-after"], answer.headers["cache-control"]) == (
            503,
            "300",
            "no-store",
        )
        assert served.get("shop.test", "/", cf_ray="8f0").status == 503
        assert served.get("shop.test", "/").body.startswith("index of"), "whoever works on it sees it"
        assert '"site":"shop"' in served.get("shop.test", "/.homeport/marker").body
        assert served.get("other.test", "/notes.txt").status == 404
        await config.render([site("shop", 1, allows_xmlrpc=True, php=PhpSettings(memory_limit_mib=77))])
        assert served.get("shop.test", "/xmlrpc.php").body == "rpc"
        assert _php(served, "return ini_get('memory_limit');") == "77M"
    finally:
        await config.render([SHOP, OTHER])
    assert served.get("shop.test", "/style.css").status == 200


# -- Redis ------------------------------------------------------------------------------------------------------------


class _Redis:
    """One connection that says a command and reads the first line of what comes back, or the bulk behind it."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self._socket.makefile("rwb")
        self.said = self("AUTH", user, password)

    def __call__(self, *words: str) -> str:
        self._file.write(f"*{len(words)}\r\n".encode())
        for word in words:
            self._file.write(f"${len(word.encode())}\r\n{word}\r\n".encode())
        self._file.flush()
        line = self._file.readline().decode().strip()
        if line.startswith("$") and line != "$-1":
            return self._file.read(int(line[1:]) + 2).decode().strip()
        return line

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def redis(served: WebStack) -> Iterator[_Redis]:
    connection = _Redis(served.fleet.redis_port, "shop", password_of("shop"))
    yield connection
    connection.close()


def test_site_has_its_keys_in_redis(redis: _Redis) -> None:
    assert redis.said == "+OK"
    assert redis("SET", "shop:a", "1", "EX", "60") == "+OK"
    assert (redis("GET", "shop:a"), redis("INCR", "shop:a"), redis("DEL", "shop:a")) == ("1", ":2", ":1")
    assert (redis("MULTI"), redis("SET", "shop:b", "1"), redis("EXEC")) == ("+OK", "+QUEUED", "*1")
    redis._file.readline()
    assert "redis_version" in redis("INFO", "server")


@pytest.mark.parametrize(
    "command",
    [
        "GET other:a",
        "SET other:a 1",
        "MGET shop:a other:a",
        "RENAME shop:a other:a",
        "COPY shop:a other:a",
        "KEYS *",
        "SCAN 0",
        "DBSIZE",
        "RANDOMKEY",
        "FLUSHDB",
        "FLUSHALL",
        "SWAPDB 0 1",
        "EVAL return(1) 0",
        "CONFIG GET *",
        "ACL LIST",
        "ACL WHOAMI",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "CLIENT TRACKING ON BCAST",
        "MONITOR",
        "LATENCY DOCTOR",
        "SHUTDOWN",
        "SUBSCRIBE x",
        "PUBLISH x y",
        "BLPOP shop:a 0",
        "MODULE LIST",
        "SAVE",
        "REPLICAOF 127.0.0.1 1",
    ],
)
def test_site_has_nothing_else_in_redis(redis: _Redis, command: str) -> None:
    assert redis(*command.split()).startswith("-NOPERM")


@pytest.mark.parametrize("user", ["default", "other", "shop2"])
def test_site_is_nobody_else_in_redis(served: WebStack, user: str) -> None:
    connection = _Redis(served.fleet.redis_port, user, password_of("shop"))
    assert connection.said.startswith("-WRONGPASS")
    assert connection("GET", "shop:a").startswith("-NOAUTH")
    connection.close()
