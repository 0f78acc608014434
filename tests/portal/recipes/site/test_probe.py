"""What counts as an answer of a site."""

from __future__ import annotations

import pytest

from portal.recipes.site.probe import judged

HOSTS = ("garden.example", "www.garden.example")
PAGE = b"<html><title>Garden</title></html>"


@pytest.mark.parametrize(
    ("status", "location", "body", "trouble"),
    [
        (200, "", PAGE, None),
        (301, "https://www.garden.example/", b"", None),
        (301, "https://garden.example/", b"", "redirects to"),
        (302, "https://evil.example/\x1b[2J", b"", "redirects to"),
        (302, "http://[", b"", "redirects to"),
        (200, "", b"<html><title>Garden</title>", "not whole"),
        (200, "", b"<b>Fatal error</b>: Uncaught Error</html>", "has died"),
        (500, "", b"<p>There has been a critical error on this website.</p>", "HTTP 500: 'There has been"),
        (503, "", b"", "HTTP 503"),
    ],
)
def test_answer_is_judged(status: int, location: str, body: bytes, trouble: str | None) -> None:
    found = judged(HOSTS, status, location, body)
    assert (found is None) == (trouble is None)
    assert trouble is None or trouble in (found or "")
    assert (found or "").isprintable()
