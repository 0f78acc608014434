"""What can be planned for a site: names, values, what a wish may be, and what suffers. Pure.

plugin:cache-it          {"state": "active" | "inactive" | "absent" | ..., "version": "1.2.3" | null}
plugin:cache-it@any      the same, whatever its version: for what is only switched, or is to be the newest
theme:garden             likewise; one that another one builds on has the state "parent"
core                     {"version": "6.8.3"}
option:blogname          its value
maintenance              true or false: whether the web server answers in the site's place
search-replace:[...]     {"replacements": 12, "tables": {"wp_posts.post_content": 12}}: how much there is to replace
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from kit.problem import Problem
from portal.operations.plans import Change
from portal.wordpress.packages import Package
from portal.wordpress.reading import Extension, Inventory
from portal.wordpress.schemas import CoreChange, ExtensionChange, MaintenanceChange, OptionChange, SiteChange

NameKind = Literal["plugin", "theme", "core", "option", "maintenance", "search-replace"]
LATEST = "latest"
ANY = "@any"
NOTHING_LEFT: Mapping[str, Any] = {"replacements": 0, "tables": {}}
_CHANGEABLE = frozenset({"active", "inactive", "parent"})  # must-use plugins and drop-ins are files, not switches


class ChangeRefused(Problem):
    """The site cannot be brought to what was asked for: `detail` names what stands against it."""

    status, type, title = 409, "site-change-refused", "The site cannot be changed so"


class NoSuchExtension(Problem):
    """The site has no plugin or theme of this name, and the change is none that would install it."""

    status, type, title = 404, "no-such-extension", "No such plugin or theme"


@dataclass(frozen=True, slots=True)
class Name:
    """subject: slug or option. is_any: the version does not matter."""

    kind: NameKind
    subject: str = ""
    is_any: bool = False

    @classmethod
    def parse(cls, text: str) -> Name:
        kind, _, subject = text.partition(":")
        if kind == "search-replace":
            return cls("search-replace", subject)
        return cls(cast(NameKind, kind), subject.removesuffix(ANY), subject.endswith(ANY))

    def __str__(self) -> str:
        return f"{self.kind}:{self.subject}{ANY if self.is_any else ''}" if self.subject else self.kind


@dataclass(frozen=True, slots=True)
class Replacement:
    """What search-replace is told. columns: those that stay as they are, such as guid."""

    old: str
    new: str
    skip_columns: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"search-replace:{json.dumps([self.old, self.new, list(self.skip_columns)], ensure_ascii=False)}"

    @classmethod
    def parse(cls, name: Name) -> Replacement:
        old, new, columns = json.loads(name.subject)
        return cls(old, new, tuple(columns))


def value_of(name: Name, inventory: Inventory) -> Any:
    """The present value of a plugin, a theme or core."""
    if name.kind == "core":
        return {"version": inventory.core.version}
    found = inventory.plugin(name.subject) if name.kind == "plugin" else inventory.theme(name.subject)
    if found is None:
        return _value("absent", None)
    if name.is_any:  # whether another theme builds on it is no switch either
        return _value("inactive" if found.state == "parent" else found.state, None)
    return _value(found.state, found.version)


def counted(tables: Mapping[str, int]) -> dict[str, Any]:
    return {"replacements": sum(tables.values()), "tables": dict(sorted(tables.items()))}


def wish_of(changes: Sequence[SiteChange], inventory: Inventory, packages: Mapping[str, Package]) -> dict[str, Any]:
    """Return name -> wished value.

    packages   the files that changes name, as they were read
    raises     ChangeRefused, NoSuchExtension
    """
    wish: dict[str, Any] = {}
    for change in changes:
        for name, value in _wishes(change, inventory, packages):
            subject = (name.kind, name.subject)
            if any(subject == (each.kind, each.subject) for each in map(Name.parse, wish)):
                raise ChangeRefused(f"{name.kind} {name.subject} is asked for twice".replace("  ", " "))
            wish[str(name)] = value
    return wish


def _wishes(change: SiteChange, inventory: Inventory, packages: Mapping[str, Package]) -> list[tuple[Name, Any]]:
    if isinstance(change, CoreChange):
        present = inventory.core.version
        version = (inventory.core.update_version or present) if change.version == LATEST else change.version
        if is_older(version, present):
            raise ChangeRefused(f"WordPress {version} cannot read what {present} has made of the database")
        return [(Name("core"), {"version": version})]
    if isinstance(change, OptionChange):
        return [(Name("option", change.name), change.value)]
    if isinstance(change, MaintenanceChange):
        return [(Name("maintenance"), change.is_on)]
    return _extension_wishes(change, inventory, packages)


def _extension_wishes(
    change: ExtensionChange, inventory: Inventory, packages: Mapping[str, Package]
) -> list[tuple[Name, Any]]:
    slug, version = change.slug or "", change.version
    if change.package is not None:
        package = packages[change.package]
        if package.kind != change.kind or (change.slug and change.slug != package.slug):
            raise ChangeRefused(f"{package.file} holds the {package.kind} {package.slug}")
        slug, version = package.slug, package.version
    found = inventory.plugin(slug) if change.kind == "plugin" else inventory.theme(slug)
    _require_changeable(change, slug, found)
    if change.state == "absent":
        return [(Name(change.kind, slug), _value("absent", None))]
    if version == LATEST:
        version = None if found is None else found.update_version or found.version
    name = Name(change.kind, slug, is_any=version is None)
    state = change.state or ("inactive" if found is None else value_of(name, inventory)["state"])
    wish = name, _value(state, version)
    return [wish, *(_replaced_theme(change, slug, inventory) if change.state == "active" else [])]


def _replaced_theme(change: ExtensionChange, slug: str, inventory: Inventory) -> list[tuple[Name, Any]]:
    """One theme is always active: whoever activates one takes it from another, and the way back gives it to that."""
    others = [each for each in inventory.themes if each.state == "active" and each.name != slug]
    if change.kind != "theme":
        return []
    return [(Name("theme", each.name, is_any=True), _value("inactive", None)) for each in others]


def _require_changeable(change: ExtensionChange, slug: str, found: Extension | None) -> None:
    if found is None:
        if change.state == "absent" or (change.version is None and change.package is None):
            raise NoSuchExtension(f"the site has no {change.kind} {slug}")
        return
    if found.state not in _CHANGEABLE:
        raise ChangeRefused(f"{slug} is a {found.state} file of the site: it is switched by putting it there")
    if change.kind == "theme" and found.state != "inactive" and change.state in ("inactive", "absent"):
        how = "another theme builds on it" if found.state == "parent" else "it is the active theme"
        raise ChangeRefused(f"{slug} cannot go: {how}. Activate another one first")


def _value(state: str, version: str | None) -> dict[str, Any]:
    return {"state": state, "version": version}


# -- what is said of a planned change ---------------------------------------------------------------------------------


def has_way_back(change: Change) -> bool:
    """Whether a plan can take it back. What core and a replacement wrote into the database goes back by a restore."""
    return Name.parse(change.name).kind not in ("core", "search-replace")


def is_of_the_site(name: Name) -> bool:
    """Whether its value is what the site itself says; maintenance is the web server's, and settings are read alone."""
    return name.kind in ("plugin", "theme", "core")


def needs_restore_point(changes: Sequence[Change]) -> bool:
    return not all(has_way_back(change) for change in changes)


_SUFFERS: Mapping[str, re.Pattern[str]] = {
    "pages-slower": re.compile(r"redis-cache|w3-total-cache|wp-super-cache|wp-fastest-cache|litespeed-cache|wp-rocket"),
    "mail-of-the-site": re.compile(r"wp-mail-smtp|post-smtp|easy-wp-smtp|fluent-smtp|mailpoet"),
    "protection": re.compile(
        r"wordfence|better-wp-security|sucuri-scanner|all-in-one-wp-security-and-firewall|akismet"
    ),
    "second-factor": re.compile(r"two-factor.*|wp-2fa|google-authenticator"),
    "forms": re.compile(r"contact-form-7|wpforms.*|ninja-forms|gravityforms|formidable"),
    "shop": re.compile(r"woocommerce.*|easy-digital-downloads"),
    "search-engines": re.compile(r"wordpress-seo|seo-by-rank-math|all-in-one-seo-pack"),
    "page-layout": re.compile(r"elementor.*|js_composer|beaver-builder.*|divi-builder"),
}


def suffers(change: Change) -> list[str]:
    """Codes of what is lost or at risk by a change, which the reader's language names."""
    name = Name.parse(change.name)
    if name.kind == "core":
        return ["no-way-back"]
    if name.kind == "search-replace":
        return ["no-way-back", "database-rewritten"]
    if name.kind == "maintenance":
        return ["visitors-see-maintenance"] if change.after else []
    if name.kind == "option":
        return ["address-of-the-site"] if name.subject in ("siteurl", "home") else []
    return _of_extension(name, change.before or {}, change.after or {})


def _of_extension(name: Name, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    found = []
    if before.get("state") == "active" and after.get("state") != "active":
        found.append("stops-working" if name.kind == "plugin" else "look-of-the-site")
        found += [
            code for code, pattern in _SUFFERS.items() if name.kind == "plugin" and pattern.fullmatch(name.subject)
        ]
    if before.get("version") and after.get("version") and is_older(after["version"], before["version"]):
        found.append("database-of-a-newer-version")
    return found


def _stopping(slug: str) -> list[str]:
    return ["stops-working", *(code for code, pattern in _SUFFERS.items() if pattern.fullmatch(slug))]


def is_older(one: str, other: str) -> bool:
    """Whether a version comes before another one, as WordPress counts: numbers by value, a suffix before none."""
    return _key(one) < _key(other)


def _key(version: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|[a-z]+", version.lower())
    return [(1, int(part), "") if part.isdecimal() else (-1, 0, part) for part in parts] + [(0, 0, "")]
