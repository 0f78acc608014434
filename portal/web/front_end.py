"""The built front end: one directory of files, read once into memory, served below `/`.

`assets/` has hashed names, so a file there never changes: it is kept for a year. Everything else is asked for again
each time (ETag). A path that is no file is a page of the application's own (`/containers/blog-nginx`): it gets
index.html, which needs no login, so that a link in a mail works. What looks like a file is 404 unless a browser goes
there as to a page, and so is everything under /api and /assets.

Only what was found at the start is served: no request names a file on disk.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from kit.problem import NotFound, Problem

INDEX = "index.html"
ASSETS = "assets/"
NO_PAGES = ("api", "assets", "problems", "livez")
IMMUTABLE = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
MIN_GZIP_BYTES = 1024
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json"}  # no guess


class FrontEndMissing(Problem):
    """The front end was not built; the API works. `make front-end` builds it."""

    status, type, title = 503, "front-end-missing", "Front end is not built"


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    compressed: bytes | None  # where that is smaller
    media_type: str
    etag: str
    cache_control: str


class FrontEnd:
    def __init__(self, directory: Path) -> None:
        """Read the directory; one that does not exist is an empty one."""
        self._files = {
            path.relative_to(directory).as_posix(): _read(path, path.relative_to(directory).as_posix())
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }

    def find(self, path: str, *, is_navigation: bool) -> File:
        """Given a URL's path without its first slash, return what to answer. Raise NotFound or FrontEndMissing.

        is_navigation   the browser goes there, instead of loading something for the page it shows
        """
        if found := self._files.get(path or INDEX):
            return found
        is_like_file = "." in path.rpartition("/")[2]  # a container's name may have a dot too
        if path.partition("/")[0] in NO_PAGES or (is_like_file and not is_navigation):
            raise NotFound
        if INDEX not in self._files:
            raise FrontEndMissing
        return self._files[INDEX]

    def router(self) -> APIRouter:
        """The route for whatever no other route has taken: include it last."""
        router = APIRouter(include_in_schema=False)

        @router.api_route("/{path:path}", methods=["GET", "HEAD"])
        async def front_end(request: Request, path: str) -> Response:
            is_navigation = "text/html" in request.headers.get("accept", "")
            return _response(self.find(path, is_navigation=is_navigation), request)

        return router


def _read(path: Path, name: str) -> File:
    content = path.read_bytes()
    media_type = TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    compressed = gzip.compress(content, mtime=0) if len(content) >= MIN_GZIP_BYTES else content
    return File(
        content,
        compressed if len(compressed) < len(content) else None,
        media_type,
        f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        IMMUTABLE if name.startswith(ASSETS) else ASK_AGAIN,
    )


def _response(file: File, request: Request) -> Response:
    headers = {"ETag": file.etag, "Cache-Control": file.cache_control, "Vary": "Accept-Encoding"}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if file.compressed is None or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.content, headers=headers, media_type=file.media_type)
    return Response(file.compressed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.media_type)
