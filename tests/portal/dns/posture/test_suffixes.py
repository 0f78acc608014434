"""Registered names by the public suffix list."""

from __future__ import annotations

import pytest

from portal.dns.posture.suffixes import registrable
from tests.portal.dns.posture.watching import places_spoken_to


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("example.com", "example.com"),
        ("mail.example.com", "example.com"),
        ("Mail.Example.COM.", "example.com"),
        ("example.co.jp", "example.co.jp"),
        ("a.b.example.co.jp", "example.co.jp"),
        ("co.jp", None),
        ("jp", None),
        ("com", None),
        ("example.jp", "example.jp"),
        ("tokyo.jp", None),
        ("chiyoda.tokyo.jp", None),
        ("example.chiyoda.tokyo.jp", "example.chiyoda.tokyo.jp"),
        ("city.kawasaki.jp", "city.kawasaki.jp"),  # an exception to *.kawasaki.jp
        ("x.kawasaki.jp", None),
        ("xn--eckwd4c7c.xn--zckzah", "xn--eckwd4c7c.xn--zckzah"),  # no such top-level name any more
        ("example.github.io", "example.github.io"),
        ("home.example", "home.example"),
        ("", None),
        (".", None),
        ("a..com", None),
        ("-a.com", None),
        ("日本.jp", None),  # A-labels are asked for
        (f"{'a' * 64}.com", None),
        (f"{'a.' * 130}com", None),
        ("a b.com", None),
    ],
)
def test_what_is_registered_of_a_name(domain: str, expected: str | None) -> None:
    assert registrable(domain) == expected


def test_the_list_is_not_fetched() -> None:
    with places_spoken_to() as places:
        registrable("example.co.jp")
    assert not places
