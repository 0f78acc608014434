"""Records compared by what they say: the text of a TXT record in every way of writing it. Tables; nothing is asked."""

from __future__ import annotations

import pytest

from portal.dns.records.text import spelled
from portal.integrations.records import is_spf, meaning, text_of


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("v=spf1 -all", "v=spf1 -all"),
        ('"v=spf1 " "-all"', "v=spf1 -all"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        (r'"v\061spf1 \045all"', "v=spf1 -all"),
        (r'"\227\129\130"', "\u3042"),
        (r'"\227\129" "\130"', "\u3042"),  # one character across a split
        ('"\u3042"', "\u3042"),
        (r'"\255x"', r"\255x"),  # no UTF-8
        (r'"\256\1x"', "2561x"),  # no byte, and no three digits
        (r"as it \065 stands", r"as it \065 stands"),
        ("", ""),
        ('""', ""),
    ],
)
def test_text_is_the_same_however_it_is_written(content: str, text: str) -> None:
    assert text_of(content) == text


@pytest.mark.parametrize("text", ["plain", 'with "quotes" and \\ them', "\u3042" * 200, "x" * 600, "\u00e9 \n"])
def test_what_the_dns_room_writes_is_read_back(text: str) -> None:
    assert text_of(spelled(text)) == text


def test_same_record_written_with_numbers_is_the_same() -> None:
    plain = {"type": "TXT", "name": "home.example", "content": '"v=spf1 mx -all"'}
    numbered = plain | {"content": r'"v\061spf1 m\120 -all"'}
    assert is_spf(numbered)
    assert meaning(numbered) == meaning(plain)
