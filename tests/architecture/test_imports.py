"""Each contract of .importlinter is kept, and catches what it forbids: shown on a copy with one bad import added."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIPE = "mail_api is a pipe"
VERBS = "The backup is verbs over a format"
REACH = "mail_api has no subprocess, Docker, S3 or database server"


def lint(directory: Path) -> dict[str, bool]:
    """Return for each contract, by name, whether it is kept; raise if import-linter could not judge."""
    program = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run(
        [program, "--no-cache", "--no-logo"], cwd=directory, capture_output=True, text=True, timeout=60
    )
    report = " ".join(ended.stdout.split())  # on one line: long names are wrapped
    verdicts = report.partition("dependencies. ")[2].lstrip("- ").partition(" Contracts: ")[0]
    found = {name: verdict == "KEPT" for name, verdict in re.findall(r"(\S.*?) (KEPT|BROKEN)", verdicts)}
    assert found, ended.stdout
    assert ended.returncode == (0 if all(found.values()) else 1)
    return found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in ("backup", "kit", "mail_api"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_imports_as_they_are_keep_every_contract(copy: Path) -> None:
    assert all(lint(copy).values())


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("kit/clock.py", "import mail_api.reply", "Deployables import kit and never each other"),
        ("kit/clock.py", "from kit import problem", "The modules of kit do not import each other"),
        ("mail_api/reply.py", "import mail_api.content", PIPE),
        ("mail_api/spool.py", "import mail_api.ledger", PIPE),
        ("mail_api/transport/lmtp.py", "import mail_api.spool", PIPE),
        (
            "mail_api/ingress.py",
            "import mail_api.delivery",
            "Ingress and delivery share the spool and the ledger, not code of each other",
        ),
        ("mail_api/ingress.py", "import mail_api.control", "The public process has no control route"),
        ("mail_api/scan/verdict.py", "import subprocess", REACH),
        ("mail_api/delivery.py", "import docker", REACH),
        ("mail_api/commands.py", "from boto3 import client", REACH),
        ("mail_api/ingress.py", "def f() -> None: from kit.command import run", REACH),
        ("backup/retention.py", "import backup.snapshot", VERBS),
        ("backup/sources/maildir.py", "import backup.vault.sync", VERBS),
        ("backup/stage.py", "import backup.sources.maildir", VERBS),
        ("backup/pipeline.py", "import boto3", "Amazon's client is the vault's alone"),
        ("backup/catalog.py", "import portal.db", "Deployables import kit and never each other"),
    ],
)
def test_forbidden_import_breaks_its_contract(copy: Path, module: str, statement: str, contract: str) -> None:
    with (copy / module).open("a") as source:
        source.write(f"\n{statement}\n")
    assert lint(copy)[contract] is False


def test_new_module_without_a_tier_is_refused(copy: Path) -> None:
    (copy / "mail_api" / "misplaced.py").write_text('"""Belongs nowhere."""\n')
    assert lint(copy)[PIPE] is False


@pytest.mark.parametrize(
    "statement",
    [
        "import subprocess",
        "from subprocess import run",
        "import os\n\nos.system('id')",
        "import asyncio\n\nspawn = asyncio.create_subprocess_exec",
    ],
)
@pytest.mark.parametrize(("path", "code"), [("mail_api/new.py", 1), ("kit/new.py", 1), ("kit/command.py", 0)])
def test_starting_a_program_outside_kit_command_is_refused_by_ruff(statement: str, path: str, code: int) -> None:
    ruff = str(Path(sys.executable).with_name("ruff"))
    argv = [ruff, "check", "--select=TID251", "--stdin-filename", str(ROOT / path), "-"]
    ended = subprocess.run(argv, cwd=ROOT, input=f"{statement}\n", capture_output=True, text=True, timeout=60)
    assert ended.returncode == code, ended.stdout
