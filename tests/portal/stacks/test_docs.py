"""Runbook, README, settings and the example name what there is: commands, services, networks, variables."""

from __future__ import annotations

import re
import shlex
import subprocess
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from portal.mailboxes.settings import MailboxesSettings
from portal.stacks import dotenv
from portal.stacks.stack import STACKS, Stack
from tests.portal.stacks.conftest import MAILSERVER

ROOT = Path(__file__).parents[3]
RUNBOOK = (ROOT / "docs" / "runbooks" / "mailserver.md").read_text()
README = (MAILSERVER / "README.md").read_text()
COMPOSE = (MAILSERVER / "compose.yaml").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
STACK = Stack("mailserver", MAILSERVER, {})


def commands(text: str) -> list[str]:
    """Every `homeport ...` that a text tells to type, however it is reached, without its comment."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines = [
        part.strip()
        for line in (*blocks.splitlines(), *spans)
        for part in re.split(r"&&|\||;", line.partition(" #")[0])
    ]
    found = [line for line in lines if re.match(r"homeport \w", line)]
    found += [match[1] for line in lines if (match := re.search(r"docker compose exec \S+ (homeport .+)", line))]
    found += [
        f"homeport {match[1]}" for line in lines if (match := re.search(r"run --rm (?:-T )?mail-migrate (.+)", line))
    ]
    return found


@cache
def group(name: str) -> TyperGroup:
    (entry,) = entry_points(group="homeport.commands", name=name)
    return typer.main.get_group(entry.load())


@pytest.mark.parametrize("line", sorted({*commands(RUNBOOK), *commands(README)}))
def test_command_exists_with_its_options(line: str) -> None:
    _, name, *words = shlex.split(line.replace("...", ""))
    command: Any = group(name)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options | {"--help"}, line


def test_commands_are_found_at_all() -> None:
    found = commands(RUNBOOK)
    assert "homeport stack check mailserver" in found
    assert "homeport mailboxes add bob@example.org" in found
    assert "homeport mail trace bob@example.org" in found
    assert len(found) > 25


def test_script_of_the_certificate_renews_it_and_restarts_only_then(tmp_path: Path) -> None:
    """As it stands in the runbook, with a `tailscale` and a `docker` that note what they are asked for."""
    script, bin_dir, stack = tmp_path / "renew", tmp_path / "bin", tmp_path / "mailserver"
    found = re.search(r"^cat > \S+certificate << 'EOF'\n(.*?)^EOF$", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert found
    script.write_text(found[1])
    bin_dir.mkdir()
    (stack / "secrets").mkdir(parents=True)
    for name, body in (
        ("tailscale", 'cat "$0.chain" > "$5"; echo key > "$7"; echo "$@" > "$0.said"'),
        ("docker", 'echo "$@" >> "$0.said"'),
    ):
        (bin_dir / name).write_text(f"#!/bin/sh\n{body}\n")
        (bin_dir / name).chmod(0o755)
    asked = bin_dir / "docker.said"
    for chain, restarts in (("one", 1), ("one", 1), ("two", 2)):
        (bin_dir / "tailscale.chain").write_text(chain)
        subprocess.run(
            ["sh", str(script), "box.tail1234.ts.net", str(stack)],
            check=True,
            env={"PATH": f"{bin_dir}:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        )
        tls = stack / "secrets" / "tls"
        assert {path.name: path.read_text() for path in tls.iterdir()} == {
            "fullchain.pem": chain,
            "privkey.pem": "key\n",
        }
        assert {oct(path.stat().st_mode)[-3:] for path in (tls, *tls.iterdir())} == {"755", "444"}
        assert asked.read_text().splitlines() == ["compose restart mail-dovecot mail-postfix mail-webmail"] * restarts
    assert (bin_dir / "tailscale.said").read_text().endswith(" box.tail1234.ts.net\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "mailserver", "renew"]  # no key is left in /tmp


def services() -> set[str]:
    return set(
        re.findall(
            r"^  (mail-[a-z]+):", COMPOSE.partition("\nservices:\n")[2].partition("\nnetworks:\n")[0], re.MULTILINE
        )
    )


def networks() -> set[str]:
    return set(
        re.findall(r"^  ([a-z_]+):", COMPOSE.partition("\nnetworks:\n")[2].partition("\nsecrets:")[0], re.MULTILINE)
    )


def test_runbook_names_services_that_exist() -> None:
    assert set(re.findall(r"\bmail-[a-z]+\b", RUNBOOK)) - {"mail-api", "mail-only", "mail-certificate"} <= services()


def test_readme_lists_every_service_with_its_networks() -> None:
    rows = dict(re.findall(r"^\| `(mail-[a-z]+)` \| [^|]+ \| ([^|]*) \|", README, re.MULTILINE))
    assert set(rows) == services()
    told = {name: set(re.findall(r"`(\w+)`", row)) for name, row in rows.items()}
    assert told == {name: attached(name) for name in rows}
    assert set().union(*told.values()) == networks()


def attached(service: str) -> set[str]:
    """The networks of a service, as compose.yaml lists them in either form."""
    body = re.search(rf"^  {service}:.*?(?=^  \S|\Z)", COMPOSE.partition("\nservices:\n")[2], re.MULTILINE | re.DOTALL)
    assert body
    short = re.search(r"^    networks: \[(.*)\]$", body[0], re.MULTILINE)
    if short:
        return {name.strip() for name in short[1].split(",")}
    long = re.search(r"^    networks:\n((?:      .*\n)+)", body[0], re.MULTILINE)
    return set(re.findall(r"^      ([a-z_]+):", long[1], re.MULTILINE)) if long else set()


def test_ports_of_the_readme_are_those_that_are_published() -> None:
    told = {
        port for row in re.findall(r"^\| `mail-.*\| ([0-9, ]+) \|$", README, re.MULTILINE) for port in row.split(", ")
    }
    assert told == {STACK.value(name) for name in STACK.published}


def test_example_is_read_without_mistake_and_has_every_variable() -> None:
    text = (MAILSERVER / ".env.example").read_text()
    assert dotenv.read(text).mistakes == ()
    named = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))
    assert {name for name in named if not name.startswith("COMPOSE_")} == set(STACK.defaults)


def test_settings_of_mailboxes_are_documented_with_their_defaults() -> None:
    rows = re.findall(r"^\| `(HOMEPORT_MAILBOXES_[A-Z_]+)` \| [^|]+ \| ([^|]+) \|", SETTINGS, re.MULTILINE)
    documented = dict(rows)
    assert len(documented) == len(rows)
    assert sorted(documented) == sorted(map(MailboxesSettings.variable, MailboxesSettings.model_fields))
    for name, field in MailboxesSettings.model_fields.items():
        assert documented[MailboxesSettings.variable(name)] == ("required" if field.is_required() else field.default)


def test_every_stack_is_where_it_is_looked_for() -> None:
    assert all((ROOT / "stacks" / name / "compose.yaml").is_file() for name in STACKS)
