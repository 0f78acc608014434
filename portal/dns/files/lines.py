"""What a reader of a file returns: drafts, and where each stood."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

RECORDS_MAX = 20_000  # of one file; a zone of Cloudflare's paid plans has at most 3,500, others by agreement


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a file. draft: see checks.check; what the file does not say is left out."""

    number: int
    draft: dict[str, Any]


def read_json(text: str) -> Any:
    """Read JSON of a stranger. Raise ValueError also for what our own answers could not hold."""
    try:
        given = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        json.dumps(given, ensure_ascii=False).encode()  # half a surrogate pair is no character
    except RecursionError as wrong:
        raise ValueError("it is nested too deep") from wrong
    return given


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):  # 1e999, which no JSON could hold again
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")
