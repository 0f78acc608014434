"""What WordPress asks api.wordpress.org and downloads.wordpress.org, answered from what a test has put there.

    with UpdateServer() as updates:
        updates.add("plugin", "quay-forms", "1.1.0", files)   # every site is offered it from now on
        updates.offer("plugin", "quay-forms", "1.0.0")        # and now another one; all that were added can be had

Sites reach it through the must-use plugin `UpdateServer.must_use`, which leads WordPress's own requests here; nothing
else of WordPress is changed. Forms of the answers after wp-includes/update.php, wp-admin/includes/update.php and what
plugins_api() reads (WordPress 6.8): plugin and theme update checks, core version check, information on one plugin or
theme, checksums, packages. Not covered: signatures of packages, translations, everything a search needs.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import urllib.parse
import zipfile
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tests.services.process import Service, free_port

Kind = Literal["plugin", "theme", "core"]
Json = dict[str, Any]

CORE = "wordpress"  # the slug under which core's packages are kept
EPOCH = (2026, 1, 1, 0, 0, 0)

MUST_USE = """\
<?php
// Plugin Name: Updates of the tests
// What WordPress asks wordpress.org goes to the tests' own server; no other host is asked anything.
add_filter( 'pre_http_request', function ( $answer, $arguments, $url ) {
    $parts = wp_parse_url( $url );
    if ( ! preg_match( '/(^|\\.)wordpress\\.org$/', $parts['host'] ?? '' ) ) {
        return $answer;
    }
    $path = $parts['host'] . ( $parts['path'] ?? '/' ) . ( isset( $parts['query'] ) ? "?{$parts['query']}" : '' );
    $arguments['reject_unsafe_urls'] = false;
    return _wp_http_get_object()->request( 'URL/' . $path, $arguments );
}, 10, 3 );
"""


class UpdateServer(Service):
    """One server; its state may be changed while it serves."""

    def __init__(self) -> None:
        self.port = free_port()
        self.requests: list[str] = []  # paths, in the order they came
        self._packages: dict[tuple[Kind, str, str], Mapping[str, bytes]] = {}
        self._offered: dict[tuple[Kind, str], str] = {}
        self._checksums: dict[str, Callable[[], Mapping[str, str]]] = {}
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def must_use(self) -> str:
        return MUST_USE.replace("URL", f"http://127.0.0.1:{self.port}")

    def add(self, kind: Kind, slug: str, version: str, files: Mapping[str, bytes], *, offered: bool = True) -> None:
        """Have a package: names relative to its directory -> contents."""
        self._packages[kind, slug, version] = dict(files)
        if offered:
            self.offer(kind, slug, version)

    def offer(self, kind: Kind, slug: str, version: str) -> None:
        """Say from now on that this is the newest version."""
        self._offered[kind, slug] = version

    def add_checksums(self, version: str, md5_by_file: Callable[[], Mapping[str, str]]) -> None:
        """Of a version of core: names relative to its root -> MD5 in hexadecimal. Called when they are asked for."""
        self._checksums[version] = md5_by_file

    def package(self, kind: Kind, slug: str, version: str) -> bytes:
        """The zip as it is downloaded. Raise KeyError when there is none."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            for name, content in sorted(self._packages[kind, slug, version].items()):
                target.writestr(zipfile.ZipInfo(f"{slug}/{name}", EPOCH), content)
        return archive.getvalue()

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

            def _answer(self, body: bytes) -> None:
                outer.requests.append(self.path)
                status, kind, content = outer.answer(self.path, body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="update-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
        self._server = None

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Given a path that begins with the host that was meant, return status, type and content."""
        target = urllib.parse.urlsplit(path)
        host, _, rest = target.path.lstrip("/").partition("/")
        asked = dict(urllib.parse.parse_qsl(target.query)) | dict(
            urllib.parse.parse_qsl(body.decode("utf-8", "replace"))
        )
        if host == "downloads.wordpress.org":
            return self._download(rest)
        document = self._told(rest, asked)
        if document is None:
            return 404, "application/json", b'{"error":"not found"}'
        return 200, "application/json", json.dumps(document).encode()

    def _download(self, rest: str) -> tuple[int, str, bytes]:
        for kind, pattern in (
            ("plugin", r"plugin/(?P<slug>[a-z0-9-]+?)\.(?P<version>[0-9][0-9.]*)\.zip"),
            ("theme", r"theme/(?P<slug>[a-z0-9-]+?)\.(?P<version>[0-9][0-9.]*)\.zip"),
            ("core", r"release/(?P<slug>wordpress)-(?P<version>[0-9][0-9.]*)\.zip"),
        ):
            found = re.fullmatch(pattern, rest)
            if found and (kind, found["slug"], found["version"]) in self._packages:
                return 200, "application/zip", self.package(kind, found["slug"], found["version"])  # type: ignore[arg-type]
        if found := re.fullmatch(r"plugin-checksums/([a-z0-9-]+)/([0-9.]+)\.json", rest):
            files = self._packages.get(("plugin", found[1], found[2]))
            if files is not None:
                sums = {name: {"md5": _md5(content)} for name, content in files.items()}
                return 200, "application/json", json.dumps({"files": sums}).encode()
        return 404, "text/plain", b"not found"

    def _told(self, rest: str, asked: Mapping[str, str]) -> Json | None:
        if rest.startswith("plugins/update-check/"):
            return self._plugin_updates(json.loads(asked.get("plugins", "{}")).get("plugins", {}))
        if rest.startswith("themes/update-check/"):
            return self._theme_updates(json.loads(asked.get("themes", "{}")).get("themes", {}))
        if rest.startswith("core/version-check/"):
            return self._core_offers(asked.get("version", "0"))
        if rest.startswith("core/checksums/"):
            md5_by_file = self._checksums.get(asked.get("version", ""))
            return {"checksums": dict(md5_by_file()) if md5_by_file else False}
        if found := re.match(r"(plugin|theme)s/info/", rest):
            return self._information(found[1], asked.get("request[slug]", ""))  # type: ignore[arg-type]
        return None

    def _plugin_updates(self, installed: Mapping[str, Json]) -> Json:
        updates: Json = {}
        for file, data in installed.items():
            slug = file.partition("/")[0].removesuffix(".php")
            version = self._offered.get(("plugin", slug))
            if version is not None and _newer(version, str(data.get("Version", "0"))):
                updates[file] = {
                    "id": f"w.org/plugins/{slug}",
                    "slug": slug,
                    "plugin": file,
                    "new_version": version,
                    "url": f"https://wordpress.org/plugins/{slug}/",
                    "package": _link("plugin", slug, version),
                }
        return {"plugins": updates, "no_update": {}, "translations": []}

    def _theme_updates(self, installed: Mapping[str, Json]) -> Json:
        updates: Json = {}
        for slug, data in installed.items():
            version = self._offered.get(("theme", slug))
            if version is not None and _newer(version, str(data.get("Version", "0"))):
                updates[slug] = {
                    "theme": slug,
                    "new_version": version,
                    "url": f"https://wordpress.org/themes/{slug}/",
                    "package": _link("theme", slug, version),
                }
        return {"themes": updates, "no_update": {}, "translations": []}

    def _core_offers(self, version: str) -> Json:
        newest = self._offered.get(("core", CORE), version)
        is_newer = _newer(newest, version)
        link = _link("core", CORE, newest)
        packages = {"full": link, "no_content": link, "new_bundled": link, "partial": False, "rollback": False}
        offer = {
            "response": "upgrade" if is_newer else "latest",
            "download": link,
            "locale": "en_US",
            "packages": packages,
            "current": newest,
            "version": newest,
            "php_version": "7.2.24",
            "mysql_version": "5.5.5",
            "new_bundled": "6.7",
            "partial_version": False,
        }
        return {"offers": [offer], "translations": []}

    def _information(self, kind: Kind, slug: str) -> Json | None:
        version = self._offered.get((kind, slug))
        if version is None:
            return None
        versions = [each for known, name, each in self._packages if (known, name) == (kind, slug)]
        return {
            "name": slug,
            "slug": slug,
            "version": version,
            "download_link": _link(kind, slug, version),
            "versions": {each: _link(kind, slug, each) for each in versions},
        }


def _link(kind: Kind, slug: str, version: str) -> str:
    if kind == "core":
        return f"https://downloads.wordpress.org/release/wordpress-{version}.zip"
    return f"https://downloads.wordpress.org/{kind}/{slug}.{version}.zip"


def _newer(one: str, other: str) -> bool:
    return _parts(one) > _parts(other)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()  # wordpress.org's checksums are that
