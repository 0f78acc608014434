"""The PHP files that tie a tree to its database, its cache and to Homeport. Pure.

Every value has been checked (request.py), and is written as a PHP string all the same.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Iterable, Mapping

from request import Part

DEFAULT_PREFIX = "wp_"
SHARE = "/usr/local/share/homeport"  # in blog-php: what all sites read and none writes

_SALTS = [f"{name}_{kind}" for kind in ("KEY", "SALT") for name in ("AUTH", "SECURE_AUTH", "LOGGED_IN", "NONCE")]
_LETTERS = string.ascii_letters + string.digits
_PREFIX = re.compile(rb"""^[ \t]*\$table_prefix[ \t]*=[ \t]*(['"])([A-Za-z0-9_]{1,32})\1[ \t]*;""", re.MULTILINE)

CONFIG = """\
<?php
// Made by Homeport. Passwords and salts lie in private/, which the web server does not serve.
require dirname(__DIR__) . '/private/wp-secrets.php';

$table_prefix = %s;
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');

define('WP_TEMP_DIR', dirname(__DIR__) . '/tmp');
define('FS_METHOD', 'direct');
define('FS_CHMOD_DIR', 0755);
define('FS_CHMOD_FILE', 0644);
define('DISALLOW_FILE_EDIT', true); // no editor for PHP in the administration
define('AUTOMATIC_UPDATER_DISABLED', true); // Homeport updates, with a restore point before and checks after
define('WP_DEBUG', false);

if (!defined('ABSPATH')) {
    define('ABSPATH', __DIR__ . '/');
}
require_once ABSPATH . 'wp-settings.php';
"""

# A file is there when its part was given; salts always are.
SECRETS = """\
<?php
foreach (['database', 'redis', 'salts'] as $homeport_part) {
    if (is_file(__DIR__ . "/wp-$homeport_part.php")) {
        require __DIR__ . "/wp-$homeport_part.php";
    }
}
unset($homeport_part);
"""

OBJECT_CACHE = f"""\
<?php
// The object cache is Homeport's; without it WordPress uses its own, which lasts for one page.
if (defined('HOMEPORT_REDIS') && is_readable('{SHARE}/object-cache.php')) {{
    require_once '{SHARE}/object-cache.php';
}}
"""

MUST_USE = f"""\
<?php
// Plugin Name: Homeport
// Description: What Homeport gives to every site, such as its way for mail.
foreach (glob('{SHARE}/mu-plugins/*.php') ?: [] as $homeport_file) {{
    require_once $homeport_file;
}}
unset($homeport_file);
"""


def config(prefix: str = DEFAULT_PREFIX) -> bytes:
    return (CONFIG % php(prefix)).encode()


def prefix_of(content: bytes) -> str | None:
    """Given a wp-config.php, return the prefix of its tables, if that is one that ours can have."""
    found = _PREFIX.search(content)
    return found[2].decode() if found else None


def salts() -> bytes:
    return _defined((name, php("".join(secrets.choice(_LETTERS) for _ in range(64)))) for name in _SALTS)


def database(part: Part) -> bytes:
    host = part["host"] if part["port"] == 3306 else f"{part['host']}:{part['port']}"
    values = {"DB_NAME": part["name"], "DB_USER": part["user"], "DB_PASSWORD": part["password"], "DB_HOST": host}
    return _defined((name, php(value)) for name, value in values.items())


def redis(part: Part) -> bytes:
    fields = ", ".join(
        f"'{name}' => {php(value) if isinstance(value, str) else int(value)}" for name, value in sorted(part.items())
    )
    return _defined([("HOMEPORT_REDIS", f"[{fields}]")])


def mail(part: Part) -> bytes:
    return json.dumps(dict(part), sort_keys=True).encode() + b"\n"


def php(text: str) -> str:
    """A single-quoted string, in which only these two characters mean something."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _defined(constants: Iterable[tuple[str, str]]) -> bytes:
    return ("<?php\n" + "".join(f"define('{name}', {value});\n" for name, value in constants)).encode()


# part -> its file in private/, and how that is written
FILES: Mapping[str, str] = {"database": "wp-database.php", "redis": "wp-redis.php", "mail": "mail.json"}
WRITERS = {"database": database, "redis": redis, "mail": mail}
