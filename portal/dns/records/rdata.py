"""What a record says, as text: as in a zone file, and as Cloudflare writes it. Read and written by the table of types.

    SRV, zone file          10 5 5060 sip.example.com.
    SRV, Cloudflare         5 5060 sip.example.com          with priority 10 beside it
    parts                   {"priority": 10, "weight": 5, "port": 5060, "target": "sip.example.com"}

Reading takes what can be read and leaves ranges to checks.py; what can't be read raises Unreadable, in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from portal.dns.records.text import as_ascii, chunks, quoted, shown, unescaped
from portal.dns.records.types import TYPES, Part, RecordType

Host = Callable[[str], str]  # makes a name of a zone file a full one

_TOKEN = re.compile(r'(?:"[^"\\]*(?:\\.[^"\\]*)*"|\\.|[^\s"\\])+|"', re.DOTALL)
_WHOLE = re.compile(r"-?\d+")
_PARAMETER = re.compile(r'([^=\s"]+)(?:=(?:"([^"\\]*(?:\\.[^"\\]*)*)"|(\S*)))?', re.DOTALL)
_REST = ("hex", "base64", "parameters")


class Unreadable(ValueError):
    """The text is no record of its type; the message says why. part: of `data`, or "" for the whole."""

    def __init__(self, message: str, part: str = "") -> None:
        super().__init__(message)
        self.part = part


def tokens(text: str) -> list[str]:
    """The words of a line, quoted strings with their quotes. Raise Unreadable when a quote is not closed."""
    found = _TOKEN.findall(text)
    if '"' in found:
        raise Unreadable("a quote is not closed")
    return found


def read_line(type_: RecordType, words: Sequence[str], host: Host = str) -> dict[str, Any]:
    """Given what stands behind the type in a zone file, return it as members of a record: content or data, priority."""
    found: dict[str, Any] = {}
    words = list(words)
    if type_.priority:
        if not words:
            raise Unreadable("nothing is there")
        found["priority"] = _number(words.pop(0), "priority")
    if type_.parts:
        return found | {"data": complete(type_, _data(type_, words, host))}
    if not words:
        raise Unreadable("nothing is there")
    if type_.content == "text":
        return found | {"content": " ".join(quoted(part) for word in words for part in chunks(_in_quotes(word)))}
    if type_.content == "base64":
        return found | {"content": "".join(words)}
    if len(words) > 1:
        raise Unreadable(f"{shown(words[1])} is too much")
    return found | {"content": host(words[0]) if type_.content == "host" else words[0]}


def read(type_: RecordType, text: str, *, priority: object = None) -> tuple[dict[str, Any] | None, str | None]:
    """Given content of a type with parts, return them; or None and why it can't be read. Cloudflare's form too."""
    try:
        words = tokens(text)
        if type_.parts[0].name == "priority" and priority is not None and len(words) == len(type_.parts) - 1:
            words.insert(0, f"{priority:g}" if isinstance(priority, int | float) else str(priority))
        return complete(type_, _data(type_, words, str)), None
    except Unreadable as error:
        return None, str(error)


def complete(type_: RecordType, data: Mapping[str, Any]) -> dict[str, Any]:
    """Parts with the defaults of those left out: a text says all of a record, also by what it lacks."""
    return {part.name: part.default for part in type_.parts if part.default is not None} | dict(data)


def line_of(value: Mapping[str, Any]) -> str:
    """A value as it stands behind its type in a zone file: hosts with their final dot, ASCII only."""
    type_ = TYPES[value["type"]]
    if "data" in value:
        written = _parts_written(type_, value["data"], final_dot=True)
    elif type_.content == "text":
        written = " ".join(as_ascii(quoted(each)) for each in chunks(value["content"]))
    elif type_.content == "host":
        written = _dotted(value["content"])
    else:
        written = value["content"]
    return f"{value.get('priority', 0):g} {written}" if type_.priority else written


def content_of(value: Mapping[str, Any]) -> str:
    """A value's content as Cloudflare shows it."""
    type_, data = TYPES.get(value["type"]), value.get("data")
    if data is None:
        return str(value.get("content", ""))
    if type_ is None:
        return " ".join(map(str, data.values()))
    if type_.name == "SRV":
        data = {name: each for name, each in data.items() if name != "priority"}
    return _parts_written(type_, data, final_dot=False)


def spelled_parameters(text: str) -> str:
    """Parameters of HTTPS and SVCB, each as key="value"; text that isn't such stays as it is."""
    found, end = [], 0
    for match in _PARAMETER.finditer(text):
        if text[end : match.start()].strip():
            return text
        end = match.end()
        key, inside, bare = match.groups()
        has_value = inside is not None or bare is not None
        found.append(f'{key.lower()}="{inside if inside is not None else bare}"' if has_value else key.lower())
    return text if text[end:].strip() else " ".join(found)


def _data(type_: RecordType, words: list[str], host: Host) -> dict[str, Any]:
    if type_.name == "LOC":
        return _location(words)
    found: dict[str, Any] = {}
    for at, part in enumerate(type_.parts):
        is_rest = part.kind in _REST and at == len(type_.parts) - 1
        if not words:
            if part.default is None or not is_rest:
                raise Unreadable(f"{part.name} is not there", part.name)
            break
        if is_rest:
            found[part.name] = (" " if part.kind == "parameters" else "").join(words)
            return found
        found[part.name] = _read_part(part, words.pop(0), host)
    if words:
        raise Unreadable(f"{shown(words[0])} is too much")
    return found


def _read_part(part: Part, word: str, host: Host) -> Any:
    match part.kind:
        case "integer" | "number":
            return _number(word, part.name)
        case "host":
            return host(word)
        case "text":
            try:
                return unescaped(_inside(word)).decode()
            except UnicodeDecodeError as error:
                raise Unreadable(f"{part.name} is no UTF-8", part.name) from error
        case _:
            return word


def _location(words: list[str]) -> dict[str, Any]:
    """RFC 1876 3: degrees, then minutes and seconds if given, a direction; the same again; then up to four lengths."""
    found: dict[str, Any] = {}
    for side, directions in (("lat", "NS"), ("long", "EW")):
        for name in ("degrees", "minutes", "seconds"):
            if words and words[0].upper() not in directions:
                found[f"{side}_{name}"] = _number(words.pop(0), f"{side}_{name}")
        if not words or words[0].upper() not in directions:
            raise Unreadable(f"{' or '.join(directions)} is not there", f"{side}_direction")
        found[f"{side}_direction"] = words.pop(0).upper()
    names = ("altitude", "size", "precision_horz", "precision_vert")
    if not words or len(words) > len(names):
        raise Unreadable("an altitude and up to three more lengths are needed", "altitude")
    return found | {name: _number(word.removesuffix("m"), name) for name, word in zip(names, words, strict=False)}


def _parts_written(type_: RecordType, data: Mapping[str, Any], *, final_dot: bool) -> str:
    return " ".join(_written(type_, data, final_dot=final_dot))


def _written(type_: RecordType, data: Mapping[str, Any], *, final_dot: bool) -> Iterator[str]:
    for part in type_.parts:
        given = data.get(part.name, part.default)
        if given is None or (given == "" and part.kind == "parameters"):
            continue
        if part.quoted:
            text = quoted(str(given).encode("utf-8", "surrogatepass"))
            yield as_ascii(text) if final_dot else text
        elif part.kind == "host" and final_dot:
            yield _dotted(str(given))
        elif type_.name == "LOC" and part.name in ("altitude", "size", "precision_horz", "precision_vert"):
            yield f"{_decimal(given)}m"
        else:
            yield _decimal(given) if isinstance(given, int | float) else str(given)


def _decimal(number: float) -> str:
    """Without an exponent, which no zone file knows."""
    return str(number) if isinstance(number, int) else f"{number:.3f}".rstrip("0").rstrip(".")


def _dotted(host: str) -> str:
    return host if host.endswith(".") else f"{host}."


def _number(word: str, part: str) -> int | float:
    if _WHOLE.fullmatch(word):
        return int(word[:20])
    try:
        number = float(word)
    except ValueError:
        raise Unreadable(f"{shown(word)} is no number", part) from None
    if number != number or number in (float("inf"), float("-inf")):
        raise Unreadable(f"{shown(word)} is no number", part)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _inside(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word.startswith('"') and word.endswith('"') else word


def _in_quotes(word: str) -> str:
    """A string of a zone file that has no quotes means the same with them."""
    return word if word.startswith('"') else f'"{word}"'
