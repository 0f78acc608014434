"""The documents say what is: problems, settings and decisions are complete, and nothing in them is gone."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import pytest

import backup
import kit
import mail_api
import portal
from backup.settings import BackupSettings, Environment, Table
from kit.problem import all_problems
from mail_api.settings import MailSettings

ROOT = Path(__file__).parents[1]
ADRS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
ADR_SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]


def import_all() -> None:
    """Problems are known once their modules are imported."""
    for package in (backup, kit, mail_api, portal):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def test_problems_are_documented_with_their_status() -> None:
    import_all()
    rows = re.findall(
        r"^\| `/problems/([a-z0-9-]+)` \| (\d+) \|", (ROOT / "docs" / "problems.md").read_text(), re.MULTILINE
    )
    documented = {slug: int(status) for slug, status in rows}
    assert len(documented) == len(rows)
    ours = [cls for cls in all_problems() if cls.__module__.partition(".")[0] in ("kit", "mail_api", "portal")]
    assert documented == {cls.type: cls.status for cls in ours}


def test_problems_have_unique_types() -> None:
    import_all()
    types = [cls.type for cls in all_problems()]
    assert len(set(types)) == len(types)


def test_settings_of_mail_are_documented() -> None:
    rows = re.findall(r"^\| `(HOMEPORT_MAIL_[A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(MailSettings.variable(field) for field in MailSettings.model_fields)


def test_settings_of_the_backup_are_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text().partition("# Settings of the backup\n")[2]
    assert f"| `{Environment.variable('config')}` |" in text
    assert sorted(documented_keys(text)) == sorted(keys(BackupSettings))


def documented_keys(text: str) -> Iterator[str]:
    """`a.b`, `.c` in one cell are a.b and a.c."""
    for cell in re.findall(r"^\| (`[a-z].*?) \|", text, re.MULTILINE):
        first, *more = (key.strip("`") for key in cell.split(", "))
        yield first
        yield from (first.rpartition(".")[0] + key for key in more)


def keys(table: type[Table], prefix: str = "") -> Iterator[str]:
    """Every key of backup.toml that holds a value; of an exclusion, the table itself."""
    for name, field in table.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Table)), None)
        many = "[]" if inner and get_origin(field.annotation) is list else ""
        if inner is None or inner.__name__ == "Excluded":
            yield f"{prefix}{name}{many}"
        else:
            yield from keys(inner, f"{prefix}{name}{many}.")


@pytest.mark.parametrize("adr", ADRS, ids=lambda path: path.stem)
def test_adr_has_its_parts_and_is_short(adr: Path) -> None:
    lines = adr.read_text().splitlines()
    number = adr.stem.partition("-")[0]
    assert re.fullmatch(rf"# {number} \S.*", lines[0])
    assert re.fullmatch(r"(Accepted|Superseded by \[\d{4}\]\(.*\)), \d{4}-\d\d-\d\d\.", lines[2])
    assert [line[3:] for line in lines if line.startswith("## ")] == ADR_SECTIONS
    assert len(lines) <= 40


def test_adrs_are_numbered_and_indexed() -> None:
    assert [adr.stem[:4] for adr in ADRS] == [f"{number:04}" for number in range(1, len(ADRS) + 1)]
    index = re.findall(r"\[(\d{4}) (.*?)\]\((.*?\.md)\)", (ROOT / "docs" / "adr" / "README.md").read_text())
    assert [(f"# {number} {title}", name) for number, title, name in index] == [
        (adr.read_text().partition("\n")[0], adr.name) for adr in ADRS
    ]


@pytest.mark.parametrize(
    "document", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name
)
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []
