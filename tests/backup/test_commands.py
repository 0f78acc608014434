"""`homeport backup ...` as a person and a timer call it: exit codes, --json, --dry-run, --help."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from backup import catalog
from backup.commands import app
from backup.exit_codes import ExitCode
from tests.backup.houses import make_house
from tests.services.portal import HOMEPORT

RUNS = CliRunner()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Settings that `init` has written."""
    (tmp_path / "root").mkdir()
    config = tmp_path / "etc" / "backup.toml"
    ended = call("init", "--root", str(tmp_path / "root"), "--config", str(config), "--no-input")
    assert ended.exit_code == 0, ended.output
    return config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a root without a repository, and one file set."""
    make_house(tmp_path)
    config = tmp_path / "backup.toml"
    config.write_text(
        f'root = "{tmp_path}/root"\n'
        f'signing_key_file = "{tmp_path}/keys/signing.key"\n'
        f'public_key_file = "{tmp_path}/keys/signing.pub"\n'
        "[sources]\nallow_same_device = true\n"
        f'[[sources.files]]\nname = "config"\npaths = ["{tmp_path}/data/config"]\n'
    )
    return config


def call(*words: str, stdin: str = "") -> Result:
    return RUNS.invoke(app, list(words), input=stdin)


def on(config: Path, *words: str) -> Result:
    return call(*words, "--config", str(config))


def said(ended: Result) -> Any:
    return json.loads(ended.stdout)


def every_command(group: Any, *words: str) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, command in group.commands.items():
        found += every_command(command, *words, name) if hasattr(command, "commands") else [((*words, name), command)]
    return found


COMMANDS = every_command(typer.main.get_group(app))


# -- what all have in common


def test_help_of_the_group_has_the_whole_table_of_exit_codes() -> None:
    shown = call("--help").output
    for code in ExitCode:
        assert re.search(rf"^ +{int(code)}  {re.escape(code.meaning[:40])}", shown, re.M), code


@pytest.mark.parametrize("words", [words for words, _ in COMMANDS], ids=" ".join)
def test_help_says_what_a_command_does(words: tuple[str, ...]) -> None:
    shown = call(*words, "--help")
    assert shown.exit_code == 0
    assert len(shown.output.splitlines()[2].strip()) > 20


@pytest.mark.parametrize(
    ("words", "command"), COMMANDS, ids=lambda each: " ".join(each) if isinstance(each, tuple) else ""
)
def test_every_command_has_json_and_what_changes_has_a_dry_run(words: tuple[str, ...], command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    if words != ("init",):
        assert "--json" in options
    if words in {("run",), ("restore",), ("drill",), ("prune",), ("bootstrap",), ("vault", "gc"), ("vault", "sync")}:
        assert "--dry-run" in options


def test_missing_settings_are_wrong_usage_and_name_the_file(tmp_path: Path) -> None:
    ended = on(tmp_path / "nowhere.toml", "run", "daily")
    assert ended.exit_code == 2
    assert "nowhere.toml" in ended.stderr


def test_mistakes_in_the_settings_are_named_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "backup.toml").write_text('root = "relative"\nzone = "Mars/Olympus"\n')
    ended = on(tmp_path / "backup.toml", "list")
    assert ended.exit_code == 2
    assert all(word in ended.stderr for word in ("root", "zone", "signing_key_file"))


@pytest.mark.slow
def test_the_installed_command_ends_with_the_code_and_clean_json(config: Path) -> None:
    argv = [HOMEPORT, "backup", "run", "daily", "--json", "--config", str(config)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, json.loads(ended.stdout)["exit_code"]) == (0, 0)
    (config.parent / "root" / ".homeport-backup-root").unlink()
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, json.loads(ended.stdout)["exit_code"]) == (5, 5)
    assert "not mounted" in ended.stderr


# -- init


def test_init_makes_settings_keys_root_and_repository_and_leaves_what_is_there(made: Path, tmp_path: Path) -> None:
    keys = made.parent / "backup"
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {
        "signing.key": 0o600,
        "signing.pub": 0o644,
        "repository.password": 0o400,
    }
    modes = {
        name: stat.S_IMODE((tmp_path / "root" / "portal" / name).stat().st_mode) for name in ("", "runs", "requests")
    }
    assert modes == {"": 0o2750, "runs": 0o2750, "requests": 0o3770}
    assert (tmp_path / "root" / "repository" / "config").is_file()
    assert catalog.read(tmp_path / "root" / "portal" / "catalog.json").points == []
    before = {path: path.read_bytes() for path in keys.iterdir()} | {made: made.read_bytes()}
    again = call("init", "--root", str(tmp_path / "root"), "--config", str(made), "--no-input")
    assert again.exit_code == 0
    assert {path: path.read_bytes() for path in before} == before


def test_sheets_code_typed_back_confirms_it(made: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.txt"
    init = ("init", "--root", str(tmp_path / "root"), "--config", str(made))
    assert call(*init, "--sheet", str(sheet), "--no-input").exit_code == 0
    text = sheet.read_text()
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    code = text.split()[-1]
    wrong = call(*init, stdin="AAAA-BBBB\n")
    assert (wrong.exit_code, "not the code" in wrong.stderr) == (2, True)
    assert call(*init, "--code", code.lower().replace("-", " ")).exit_code == 0
    assert catalog.read(tmp_path / "root" / "portal" / "catalog.json").recovery_sheet_confirmed_at is not None


def test_init_refuses_another_root_than_the_settings_name(config: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert call("init", "--root", str(tmp_path / "other"), "--config", str(config), "--no-input").exit_code == 2
    assert call("init", "--root", str(tmp_path / "absent"), "--config", str(config), "--no-input").exit_code == 2


# -- daily life


def test_run_list_verify_and_prune(config: Path, tmp_path: Path) -> None:
    ended = on(config, "run", "daily", "--json")
    assert (ended.exit_code, said(ended)["result"]["verified"]) == (0, True)
    point = said(ended)["result"]["point"]
    [listed] = said(on(config, "list", "--json"))
    assert (listed["id"], listed["verified"]) == (point, True)
    assert point in on(config, "list").output
    assert on(config, "verify", point).exit_code == 0
    assert on(config, "verify", "--all").exit_code == 0
    assert on(config, "verify", "daily/1999-01-01").exit_code == 2
    assert on(config, "verify", "yesterday").exit_code == 2
    assert said(on(config, "prune", "--dry-run", "--json"))[0]["keep"] is True
    assert on(config, "prune").exit_code == 0
    file = next((tmp_path / "root" / point).rglob("compose.yaml"))
    file.write_text("services: []\n")
    assert on(config, "verify", point).exit_code == 8


def test_run_that_is_not_due_does_nothing(config: Path) -> None:
    assert on(config, "run", "daily", "--if-due", "--by", "timer").exit_code == 0
    assert on(config, "run", "daily", "--if-due", "--by", "timer").exit_code == 0
    assert len(said(on(config, "list", "--json"))) == 1
    root = Path(re.search(r'root = "(.*?)"', config.read_text())[1])  # type: ignore[index]
    assert len(catalog.read(root / "portal" / "catalog.json").runs) == 1


def test_options_that_do_not_belong_together_are_refused(config: Path) -> None:
    assert on(config, "run", "daily", "--scope", "files:config").exit_code == 2
    assert on(config, "run", "manual", "--label", "Not a Name").exit_code == 2
    assert on(config, "run", "hourly").exit_code == 2
    assert on(config, "restore", "daily/2026-11-22", "planet:mars").exit_code == 2
    assert on(config, "restore", "yesterday", "files:config").exit_code == 2
    assert on(config, "bootstrap", "--public-key", "x").exit_code == 2
    assert on(config, "vault", "sync").exit_code == 2


def test_restore_shows_first_then_brings_back_beside(config: Path, tmp_path: Path) -> None:
    point = said(on(config, "run", "manual", "--label", "before-update", "--json"))["result"]["point"]
    assert point.endswith("-before-update")
    plan = said(on(config, "restore", point, "files:config", "--dry-run", "--json"))
    assert (plan["adds"] >= 1, plan["overwrites"]) == (True, 0)
    assert plan["plan"] in on(config, "restore", point, "files:config", "--dry-run").output
    assert on(config, "restore", point, "files:config", "--plan", "0" * 64).exit_code == 9
    done = on(config, "restore", point, "files:config", "--plan", plan["plan"], "--json")
    assert done.exit_code == 0
    assert list(Path(said(done)["result"]["target"]).rglob("compose.yaml"))


def test_restore_in_place_without_the_points_id_is_refused(config: Path, tmp_path: Path) -> None:
    point = said(on(config, "run", "daily", "--json"))["result"]["point"]
    (tmp_path / "data" / "config" / "compose.yaml").write_text("broken\n")
    refused = on(config, "restore", point, "files:config", "--in-place")
    assert (refused.exit_code, f"--confirm {point}" in refused.stderr) == (9, True)
    done = on(config, "restore", point, "files:config", "--in-place", "--confirm", point, "--json")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "data" / "config" / "compose.yaml").read_text() == "services: {}\n"
    undo = said(done)["result"]["undo"].split()[2:]
    assert on(config, *undo).exit_code == 0
    assert (tmp_path / "data" / "config" / "compose.yaml").read_text() == "broken\n"


def test_coverage_is_red_with_four_when_something_is_missing(config: Path, tmp_path: Path) -> None:
    on(config, "run", "daily")
    text = config.read_text()
    config.write_text(f'{text}\n[coverage]\nvolumes = ["{tmp_path}/volumes"]\n')
    (tmp_path / "volumes" / "forgotten").mkdir(parents=True)
    ended = on(config, "coverage", "--json")
    assert ended.exit_code == 4
    assert {each["name"]: each["covered"] for each in said(ended)}[str(tmp_path / "volumes" / "forgotten")] == "missing"


def test_requests_of_the_portal_are_done_and_told(config: Path) -> None:
    on(config, "run", "daily")
    ended = on(config, "requests", "--unit", "run", "--json")
    assert (ended.exit_code, said(ended)) == (0, [])
