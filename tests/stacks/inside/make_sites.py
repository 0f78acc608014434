"""Runs in the portal's container, on standard input of its Python: make WordPress sites, by its broker.

`python3 - FIRST LAST` makes site-01 and so on: database and account, tree, virtual host, pool, account of the cache,
WordPress. Prints a JSON object: site -> what a test has to know of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import pymysql  # type: ignore[import-untyped]

from portal.broker import schemas
from portal.broker.client import Broker
from portal.integrations.php_settings import PhpSettings
from portal.integrations.site_files import SiteFiles
from portal.integrations.site_spec import SiteSpec
from portal.integrations.web_config import WebConfig

AT_ONCE = 4
ADMIN = Path("/run/secrets/blog_db_admin_password")


@dataclass(frozen=True)
class Made:
    name: str
    uid: int
    hostname: str
    database: str
    database_password: str
    redis_password: str
    admin_password: str


def drawn() -> str:
    return secrets.token_urlsafe(24)


def site(number: int) -> Made:
    name = f"site-{number:02}"
    database = "wp_" + name.replace("-", "_")
    return Made(name, 20_000 + number, f"{name}.blog.test", database, drawn(), drawn(), drawn())


def make_databases(sites: list[Made]) -> None:
    password = ADMIN.read_text().strip()
    with pymysql.connect(host="blog-db", user="homeport_admin", password=password) as admin, admin.cursor() as cursor:
        for each in sites:
            pattern = each.database.replace("_", r"\_")
            cursor.execute(f"CREATE DATABASE `{each.database}` CHARACTER SET utf8mb4")
            cursor.execute(f"CREATE USER `{each.database}`@'%%' IDENTIFIED BY %s", (each.database_password,))
            cursor.execute(f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO `{each.database}`@'%'")


async def main(first: int, last: int) -> None:
    broker = Broker(Path("/run/homeport-broker/broker.sock"))
    files, web = SiteFiles(broker), WebConfig.of(Path("/var/lib/homeport-web"), broker)
    sites = [site(number) for number in range(first, last + 1)]
    make_databases(sites)
    gate = asyncio.Semaphore(AT_ONCE)

    async def make(each: Made) -> None:
        async with gate:
            login = schemas.DatabaseLogin(
                host="blog-db", name=each.database, user=each.database, password=each.database_password
            )
            cache = schemas.RedisLogin(host="blog-redis", user=each.name, password=each.redis_password)
            given = schemas.Secrets(url=f"https://{each.hostname}", database=login, redis=cache)
            await files.create(each.name, each.uid, given, hostnames=(each.hostname,))
            installed = await broker.ask(
                schemas.WpCli(
                    site=each.name,
                    url=f"https://{each.hostname}",
                    command=("core", "install"),
                    options={"title": f"Marker of {each.name}", "admin_user": "anna", "admin_email": "anna@blog.test"},
                    stdin=each.admin_password,
                    timeout_s=300,
                )
            )
            assert installed.exit_code == 0, installed

    async with asyncio.TaskGroup() as group:
        for each in sites:
            group.create_task(make(each))
    specs = [
        SiteSpec(
            name=each.name,
            hostnames=(each.hostname,),
            uid=each.uid,
            php=PhpSettings(),
            redis_password_sha256=hashlib.sha256(each.redis_password.encode()).hexdigest(),
        )
        for each in sites
    ]
    await web.render(specs)
    print(json.dumps({each.name: vars(each) for each in sites}))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
