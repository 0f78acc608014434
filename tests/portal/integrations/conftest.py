"""The web stack as it runs, without WordPress: nginx, PHP-FPM, Redis and a real broker in front of them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from portal.broker.client import Broker
from portal.integrations.site_spec import SiteSpec
from portal.integrations.web_config import WebConfig
from tests.services.fleet import Fleet

WHO = "<?php echo 'site ', basename(dirname(__DIR__)), ' uid ', posix_geteuid(), ' ', $_SERVER['HTTPS'] ?? 'plain';"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class WebStack:
    fleet: Fleet

    @property
    def broker(self) -> Broker:
        return Broker(self.fleet.broker_socket)

    def config(self, **more: Any) -> WebConfig:
        """A WebConfig as a portal that has just started would have it."""
        return WebConfig.of(self.fleet.web_dir, self.broker, **more)

    def make_tree(self, site: SiteSpec, files: Mapping[str, str] | None = None) -> Path:
        """Make a site's directories as site-files does, with these files in `public/`; return that."""
        tree = self.fleet.sites_root / site.name
        tree.mkdir(exist_ok=True)
        for name, mode, group in (("public", 0o2750, 33), ("private", 0o700, site.uid), ("tmp", 0o700, site.uid)):
            (tree / name).mkdir(exist_ok=True)
            os.chown(tree / name, site.uid, group)
            (tree / name).chmod(mode)
        for name, text in {"index.php": WHO, **(files or {})}.items():
            path = tree / "public" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for path in (tree / "public").rglob("*"):
            os.chown(path, site.uid, 33)
        return tree / "public"

    def get(self, host: str, path: str = "/", **headers: str) -> Answer:
        return self.request(
            "GET", host, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    def request(self, method: str, host: str, path: str, *, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Ask nginx as a neighbour does. Raise http.client.RemoteDisconnected when it hangs up without a word."""
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(self.fleet.origin_url).port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body or None, {"Host": host, **headers})
            answer = connection.getresponse()
            said = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, said, answer.read().decode("utf-8", "replace"))

    @contextlib.contextmanager
    def main_file(self, name: str, line: str) -> Iterator[None]:
        """Meanwhile a main file of a daemon has one more line at its end."""
        path = self.fleet.directory / "root/etc/homeport" / name
        before = path.read_text()
        path.write_text(f"{before}\n{line}\n")
        try:
            yield
        finally:
            path.write_text(before)


@pytest.fixture(scope="session")
def stack() -> Iterator[WebStack]:
    if os.geteuid() != 0:
        pytest.skip("daemons in namespaces of their own need root")
    with Fleet(0) as fleet:
        running = WebStack(fleet)
        asyncio.run(running.config().recheck())  # as a portal does first
        yield running


def names(sites: Sequence[SiteSpec]) -> frozenset[str]:
    return frozenset(site.name for site in sites)
