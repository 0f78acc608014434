"""Templates with `<<name>>` for a value: nginx uses $ and braces, so Python's own forms would be in the way. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACE = re.compile(r"<<([a-z0-9_]*)>>")
# No white space but the space between host names, nothing that ends, opens or quotes in any of the three languages.
_SAFE = re.compile(r"[A-Za-z0-9 ._:/-]*")


def fill(template: str, values: Mapping[str, str | int]) -> str:
    """Return the template with each place taken by its value.

    raises   ValueError for a value that could be more than one word; KeyError for a place without a value
    """

    def value(place: re.Match[str]) -> str:
        text = str(values[place[1]])
        if not _SAFE.fullmatch(text):
            raise ValueError(f"{place[1]} cannot stand in a configuration")
        return text

    return _PLACE.sub(value, template)
