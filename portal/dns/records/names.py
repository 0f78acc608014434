"""Names of records: full, as A-labels, and as people write them. Pure.

IDNA 2008 (RFC 5891) with the mapping of UTS 46, so that upper case and full-width letters are what they look like.
"""

from __future__ import annotations

import re
from functools import lru_cache

import idna

LABEL_MAX, NAME_MAX = 63, 253

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")


def canonical(name: str) -> str:
    """A name as it is compared: lower case, without the final dot, as A-labels where it can be."""
    if name.isascii():
        return name.rstrip(".").lower() or name
    try:
        return a_labels(name)
    except ValueError:
        return name.rstrip(".").lower()


def full_name(name: str, zone: str) -> str:
    """Given a name as somebody wrote it, return it in full: below the zone, unless it is already, or ends with a dot.

    Raise ValueError when it has letters that no name can have.
    """
    given = name.strip()
    if given in ("@", ""):
        return zone
    is_absolute = given.endswith(".")
    full = a_labels(given)
    if is_absolute or full == zone or full.endswith(f".{zone}"):
        return full
    return f"{full}.{zone}"


def a_labels(name: str) -> str:
    """Given a name in Unicode or as A-labels, return the latter, lower case, no final dot. Raise ValueError."""
    return name.rstrip(".").lower() if name.isascii() else _a_labels(name)


@lru_cache(maxsize=4096)
def _a_labels(name: str) -> str:
    try:
        mapped = idna.uts46_remap(name, std3_rules=False).rstrip(".")
        return ".".join(
            each.lower() if each.isascii() else idna.encode(each).decode("ascii") for each in mapped.split(".")
        )
    except UnicodeError as error:  # idna.IDNAError is one
        raise ValueError(str(error)) from error


def unicode_name(name: str) -> str:
    """A name as people write it; labels that are no valid IDN stay as they are."""
    return _unicode_name(name) if "xn--" in name else name


@lru_cache(maxsize=4096)
def _unicode_name(name: str) -> str:
    return ".".join(map(_unicode_label, name.split(".")))


def faults(name: str) -> list[tuple[str, str]]:
    """What is wrong with a full name as A-labels: (code, label), in the order of the name."""
    found = [("name-too-long", name)] if len(name) > NAME_MAX else []
    for place, label in enumerate(name.split(".")):
        if not label:
            found.append(("name-empty-label", name))
        elif len(label) > LABEL_MAX:
            found.append(("name-label-too-long", label))
        elif "*" in label and (label != "*" or place):
            found.append(("name-wildcard", label))
        elif label != "*" and not _LABEL.fullmatch(label):
            found.append(("name-characters", label))
        elif label.startswith("xn--") and _unicode_label(label) == label:
            found.append(("name-idn", label))
    return found


def host_faults(host: str) -> list[tuple[str, str]]:
    """As `faults`, for a name that a record points to: no wildcard."""
    return [("host-wildcard", "*")] if "*" in host else faults(host)


def _unicode_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        text = idna.decode(label)
        return text if idna.encode(text).decode("ascii") == label else label
    except UnicodeError:
        return label
