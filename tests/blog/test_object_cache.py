"""The object cache that every site has, with a real Redis, in PHP without WordPress."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.process import Daemon

CACHE = Path(__file__).parents[2] / "stacks" / "blog" / "php" / "object-cache.php"

# What of WordPress it asks.
REQUEST = """
define('ABSPATH', '/');
define('HOMEPORT_REDIS', ['host' => $argv[1], 'port' => 0, 'user' => 'anna', 'password' => 'of-anna']);
function is_multisite() { return false; }
function wp_suspend_cache_addition() { return false; }
require $argv[2];
wp_cache_init();
echo json_encode((function () { CODE })());
"""

Ask = Callable[[str], Any]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Run code as one request of a site."""
    if not all(map(shutil.which, ("php", "redis-server"))):
        pytest.skip("needs php and redis-server")
    path = tmp_path / "redis"

    def answers() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))

    (tmp_path / "users.acl").write_text("user default on nopass ~* +@all\nuser anna on >of-anna ~anna:* +@all\n")
    argv = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    daemon = Daemon([*argv, "--aclfile", str(tmp_path / "users.acl")], ready=answers, log=tmp_path / "log")
    daemon.start()

    def request(code: str) -> Any:
        argv = ["php", "-r", REQUEST.replace("CODE", code), str(path), str(CACHE)]
        ended = subprocess.run(argv, capture_output=True, timeout=30, check=True)
        assert ended.stderr == b""
        return json.loads(ended.stdout)

    yield request
    daemon.stop()


def test_what_is_kept_lasts_until_the_next_flush(ask: Ask) -> None:
    assert ask("return wp_cache_set('a', ['x' => 1], 'g');")
    assert ask("return wp_cache_get('a', 'g');") == {"x": 1}
    assert ask("wp_cache_flush(); wp_cache_set('b', 2); return wp_cache_get('a', 'g');") is False
    assert ask("return [wp_cache_get('a', 'g'), wp_cache_get('b')];") == [False, 2]


def test_nothing_from_before_a_flush_comes_back_when_redis_forgets_which_generation_it_was(ask: Ask) -> None:
    """It throws out what it likes when it is full; a number that began at 0 again would find the entries of then."""
    for value in (1, 2):
        ask(f"return wp_cache_set('a', {value});")
        ask("return wp_cache_flush();")
        ask("$r = new Redis(); $r->connect($GLOBALS['argv'][1]); return $r->del('anna:generation');")
        assert ask("return wp_cache_get('a');") is False
