"""Reads `wire_vectors/*.json` for the tests of this side. README.md describes the files."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "wire_vectors"
Case = dict[str, Any]


@dataclass(frozen=True)
class Requests:
    """requests.json: `now` in epoch seconds, `keys_file` as its text, first key current."""

    now: int
    keys_file: str
    cases: Sequence[Case]


def requests() -> Requests:
    content = _load("requests")
    keys = "".join(f"{key['id']}:{key['secret']}\n" for key in content["keys"])
    return Requests(content["now"], keys, content["cases"])


def cases(name: str) -> list[Case]:
    """The cases of another file, `addresses` or `fingerprints`."""
    found: list[Case] = _load(name)["cases"]
    return found


def raw_headers(case: Case) -> list[tuple[bytes, bytes]]:
    """A request's header fields as ASGI hands them over: names in lower case, values as bytes."""
    return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in case["headers"]]


def body(case: Case) -> bytes:
    return base64.b64decode(case["body"], validate=True)


def _load(name: str) -> Any:
    return json.loads((DIRECTORY / f"{name}.json").read_text(encoding="ascii"))
