"""The front end's forms know the record types by a copy of the table: it is the same one."""

from __future__ import annotations

import json
from pathlib import Path

from portal.dns.records.types import type_table

COPY = Path(__file__).parents[4] / "frontend/src/features/dns/types.json"


def test_the_forms_know_the_types_as_they_are() -> None:
    assert json.loads(COPY.read_text()) == json.loads(json.dumps(type_table()))
