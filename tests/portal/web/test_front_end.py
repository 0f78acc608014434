"""The front end: files with their types and caching, pages of the application, and nothing beside them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from kit import problem
from portal.web.front_end import FrontEnd
from tests.kit.server import serve

INDEX = "<!doctype html><title>Homeport</title>" + " " * 2000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("root")
    (root / "outside.txt").write_text("canary-secret")
    dist = root / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text(INDEX)
    (dist / "assets" / "app-0a1b2c.js").write_text("export {}")
    (dist / "favicon.svg").write_text("<svg/>")
    with serve(application(dist)) as address:
        yield address


def application(directory: Path) -> FastAPI:
    app = FastAPI(openapi_url=None)
    problem.install(app)
    app.include_router(FrontEnd(directory).router())
    return app


def get(url: str, **headers: str) -> httpx2.Response:
    return httpx2.get(url, headers={"Accept-Encoding": "identity", **headers}, timeout=10)


@pytest.mark.parametrize(
    ("path", "media_type", "cache_control"),
    [
        ("/assets/app-0a1b2c.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/favicon.svg", "image/svg+xml", "no-cache"),
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/index.html", "text/html; charset=utf-8", "no-cache"),
        ("/containers/blog-nginx", "text/html; charset=utf-8", "no-cache"),
        ("/setup", "text/html; charset=utf-8", "no-cache"),
    ],
)
def test_path_has_its_type_and_caching(url: str, path: str, media_type: str, cache_control: str) -> None:
    answer = get(url + path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == cache_control
    head = httpx2.head(url + path, headers={"Accept-Encoding": "identity"}, timeout=10)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(answer.content)))


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/assets/gone-ffffff.js",
            "/assets/",
            "/gone.png",
            "/api",
            "/api/",
            "/api/nothing",
            "/api/a/b",
            "//outside.txt",
        ),
        *("/index.html.bak", "/../outside.txt", "/%2e%2e/outside.txt", "/assets/..%2f..%2foutside.txt"),
        "/outside.txt%00",
    ],
)
def test_other_path_is_not_found(url: str, path: str) -> None:
    answer = get(url + path)
    assert "canary" not in answer.text
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_page_whose_name_has_a_dot_is_a_page_to_who_goes_there(url: str) -> None:
    assert get(url + "/containers/blog.example", Accept="text/html,*/*;q=0.8").text == INDEX
    assert get(url + "/api/blog.example", Accept="text/html,*/*;q=0.8").status_code == 404


def test_browser_that_has_it_gets_only_that_it_did_not_change(url: str) -> None:
    etag = get(url + "/").headers["etag"]
    assert get(url + "/", **{"If-None-Match": etag}).status_code == 304
    assert get(url + "/", **{"If-None-Match": '"other"'}).status_code == 200


def test_large_file_travels_compressed_to_who_can_read_it(url: str) -> None:
    with httpx2.stream("GET", url + "/", headers={"Accept-Encoding": "br, gzip"}, timeout=10) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(raw).decode() == INDEX
    assert "content-encoding" not in get(url + "/").headers


def test_portal_without_front_end_says_so(tmp_path: Path) -> None:
    with serve(application(tmp_path / "nothing")) as address:
        answer = get(address + "/")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/front-end-missing")
        assert get(address + "/api/nothing").status_code == 404
