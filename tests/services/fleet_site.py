"""One site of the fleet: its names, logins and places. Names are SITES, hosts <name>.example, users 20001 and up."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from portal.broker import schemas
from portal.integrations.php_settings import PhpSettings
from portal.integrations.site_spec import SiteSpec

SITES: tuple[str, ...] = ("alder", "birch", "cedar", "dogwood", "elm", "fir", "ginkgo", "hazel", "ironwood", "juniper")
SITES += ("katsura", "larch", "maple", "nutmeg", "oak", "pine", "quince")
FIRST_UID = 20_001
DATABASE_PORT, REDIS_PORT, SUBMISSION_PORT = 3306, 6379, 587  # as the sites see them


@dataclass(frozen=True, slots=True)
class FleetSite:
    """A site that the fleet has made.

    tree   its directory, as this process sees it: public/, private/, tmp/, kept/
    """

    name: str
    hostname: str
    uid: int
    tree: Path
    database: str
    password: str
    admin_password: str
    redis_password: str

    @property
    def url(self) -> str:
        return f"https://{self.hostname}"

    @property
    def public(self) -> Path:
        return self.tree / "public"

    @property
    def account(self) -> str:
        return self.database

    def secrets(self) -> schemas.Secrets:
        """As its tree has them."""
        return schemas.Secrets(
            url=self.url,
            database=schemas.DatabaseLogin(
                host="blog-db", port=DATABASE_PORT, name=self.database, user=self.account, password=self.password
            ),
            redis=schemas.RedisLogin(host="blog-redis", port=REDIS_PORT, user=self.name, password=self.redis_password),
        )

    def spec(self) -> SiteSpec:
        digest = hashlib.sha256(self.redis_password.encode()).hexdigest()
        php = PhpSettings(memory_limit_mib=128, max_children=2)
        return SiteSpec(self.name, (self.hostname,), self.uid, php, digest)


def new_site(name: str, sites_root: Path) -> FleetSite:
    """A site with logins drawn at random, of which nothing exists yet."""
    password, admin, redis = (secrets.token_urlsafe(18) for _ in range(3))
    uid, database = FIRST_UID + SITES.index(name), f"wp_{name.replace('-', '_')}"
    return FleetSite(name, f"{name}.example", uid, sites_root / name, database, password, admin, redis)
