"""Character strings of DNS (RFC 1035 5.1) and their bytes; text of strangers made visible. Pure.

A TXT record's content is one or more strings in double quotes. Inside, `\\DDD` is the byte of that decimal number and
`\\X` is X. Cloudflare also keeps content without quotes and serves it as one string.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

CHUNK_BYTES = 255  # of one character string
SHOWN_CHARACTERS = 100

_STRING = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_STRINGS = re.compile(rf"\s*(?:{_STRING}\s*)+", re.DOTALL)
_EACH = re.compile(_STRING, re.DOTALL)
_PLAIN = re.compile(r"[ !#-\[\]-~]*")  # printable ASCII without quote and backslash
_SPELLED = re.compile(r'"[ !#-\[\]-~]{0,255}"')  # what is spelled already, and most of all content is
_ESCAPE = re.compile(rb"\\(\d{3}|.)", re.DOTALL)
# control, format (bidi, zero-width), surrogate, private use, unassigned, line and paragraph separator
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def is_well_quoted(content: str) -> bool:
    """Whether content is strings in quotes that are all closed, or text without quotes around."""
    return not content.lstrip().startswith('"') or _STRINGS.fullmatch(content) is not None


def chunks(content: str) -> list[bytes]:
    """Return the strings of a TXT record's content as bytes, none over CHUNK_BYTES.

    Content that isn't well quoted is one text, as it stands.
    """
    if content.lstrip().startswith('"') and _STRINGS.fullmatch(content):
        strings = [unescaped(each) for each in _EACH.findall(content)]
    else:
        strings = [content.encode("utf-8", "surrogatepass")]
    return [part for string in strings for part in _split(string)]


def unescaped(inside: str) -> bytes:
    """The bytes of what stands between two quotes."""
    raw = inside.encode("utf-8", "surrogatepass")
    return _ESCAPE.sub(_byte, raw) if b"\\" in raw else raw


def quoted(string: bytes) -> str:
    """A character string as it is written, with its quotes: what isn't printable as \\DDD, byte by byte."""
    text = string.decode("utf-8", "surrogateescape")
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    return '"' + "".join(map(_written, text)) + '"'


def as_ascii(written: str) -> str:
    """A quoted string with what isn't ASCII as \\DDD too, for files that others read."""
    if written.isascii():
        return written
    return "".join(each if each.isascii() else _decimal(each) for each in written)


def spelled(content: str) -> str:
    """A TXT record's content in the one spelling in which it is planned and compared; the splits stay.

    Content with a quote that is not closed stays as it is: nobody knows what it was to be.
    """
    if _SPELLED.fullmatch(content) or not is_well_quoted(content):
        return content
    return " ".join(map(quoted, chunks(content)))


def text_of(string: bytes) -> str:
    """What people read of a string; bytes that are no UTF-8 as \\DDD."""
    return "".join(
        f"\\{ord(each) - 0xDC00:03d}" if "\udc80" <= each <= "\udcff" else each
        for each in string.decode("utf-8", "surrogateescape")
    )


def shown(text: object) -> str:
    """Text of a stranger inside a sentence of ours: in quotes, on one line, cut, and nothing in it invisible."""
    given = str(text)
    cut = given[:SHOWN_CHARACTERS]
    visible = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in cut)
    return f'"{visible}{"…" if len(given) > len(cut) else ""}"'


def has_invisible(text: str) -> bool:
    """Whether any character breaks a line, is invisible or turns the direction of writing."""
    return not text.isprintable() and any(unicodedata.category(each) in _INVISIBLE for each in text)


def _split(string: bytes) -> Iterator[bytes]:
    """Split where Cloudflare does, after CHUNK_BYTES; an empty string is one."""
    for start in range(0, len(string) or 1, CHUNK_BYTES):
        yield string[start : start + CHUNK_BYTES]


def _byte(escape: re.Match[bytes]) -> bytes:
    given = escape[1]
    return bytes([int(given)]) if len(given) == 3 and given.isdigit() and int(given) < 256 else given


def _written(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else _decimal(character)


def _decimal(character: str) -> str:
    return "".join(f"\\{byte:03d}" for byte in character.encode("utf-8", "surrogateescape"))
