"""A site as it is rendered, and where things lie in the containers of stacks/blog. Pure.

A `SiteSpec` that exists is valid: every value has been looked at before any of it meets a template, so the templates
need no quoting. Host names are A-labels; text that people write (a title, a path) does not occur.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from portal.broker import schemas
from portal.integrations.php_settings import PhpSettings

SITES_ROOT = "/srv/sites"
SHARED_CODE = "/usr/local/share/homeport"  # WordPress code of ours that every site reads
SOCKETS = "/run/php"  # setgid, of the web server's group
LISTEN = "8080"
STATUS = "127.0.0.1:8081"  # tells the number of the generation
WEB_GROUP = 33  # www-data of Debian

MAX_HOSTNAMES = 50
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)+(?!\d+\Z){_LABEL}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(schemas.SITE.strip("^$"))


class SpecInvalid(ValueError):
    """A site cannot be rendered as given; the text says which value, and repeats none that could be hostile."""


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """
    name                    slug; also of pool, socket, Redis user and files
    hostnames               A-labels in lower case, the primary one first
    uid                     of the site's processes and files, its group too
    redis_password_sha256   64 hexadecimal digits
    is_enabled              False: its names answer 404, and no PHP of it runs for visitors
    is_maintained           True: its names answer 503 with Retry-After, but to neighbours as they always do
    allows_xmlrpc           False: /xmlrpc.php answers 404
    raises                  SpecInvalid
    """

    name: str
    hostnames: tuple[str, ...]
    uid: int
    php: PhpSettings
    redis_password_sha256: str
    is_enabled: bool = True
    is_maintained: bool = False
    allows_xmlrpc: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in schemas.RESERVED:
            raise SpecInvalid("the name is no site's")
        if not 1 <= len(self.hostnames) <= MAX_HOSTNAMES or len(set(self.hostnames)) != len(self.hostnames):
            raise SpecInvalid(f"{self.name} has no host name, too many, or one twice")
        if not all(_HOSTNAME.fullmatch(each) for each in self.hostnames):
            raise SpecInvalid(f"{self.name} has a host name that is no A-label in lower case")
        if type(self.uid) is not int or not schemas.FIRST_UID <= self.uid <= schemas.LAST_UID:
            raise SpecInvalid(f"{self.name} has a user id outside {schemas.FIRST_UID} to {schemas.LAST_UID}")
        if not _SHA256.fullmatch(self.redis_password_sha256):
            raise SpecInvalid(f"{self.name} has no SHA-256 of a Redis password")
