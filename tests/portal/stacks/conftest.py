"""A copy of the mail server's stack in a directory of its own, `homeport stack` on it, and a `docker` that answers.

The `docker` here is a shell script: what it says is what the engine's and Compose's command line says. The real ones
are asked by the tests marked `stacks`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from portal.stacks.checks import check
from portal.stacks.prepare import prepare
from portal.stacks.stack import Stack
from tests.portal.conftest import Ended
from tests.services.process import free_port

MAILSERVER = Path(__file__).parents[3] / "stacks" / "mailserver"
HOST = "mail.home-of-tests.dev"
EXAMPLE = """\
# Settings of the mail server.
TAILSCALE_IP=
MAIL_HOSTNAME=mail.example.org
MAIL_DOMAINS=example.org   # separated by commas
# MAIL_IMAPS_PORT=993
"""
DOCKER = """#!/bin/sh
# Answers from files beside it: an empty one is a program that fails, ANSWER.err what it says on standard error.
case "$1 $2" in
    "version --format") answer=engine ;;
    "compose version") answer=compose ;;
    "compose config") answer=config ;;
    "compose ps") answer=ps ;;
    *) echo "docker: unexpected: $*" >&2; exit 64 ;;
esac
cd "$(dirname "$0")" || exit 64
[ -e "$answer.err" ] && cat "$answer.err" >&2
[ -e "$answer" ] || exit 1
cat "$answer"
"""


@dataclass
class Workplace:
    """A stack's directory that a test may spoil."""

    directory: Path
    docker: Path
    run_stack: Callable[..., Ended]
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def stack(self) -> Stack:
        return Stack("mailserver", self.directory, self.environ)

    @property
    def secrets(self) -> Path:
        return self.directory / "secrets"

    def set(self, **values: str) -> None:
        """Set values in .env as an editor would: the line of that name, or a new one."""
        path = self.directory / ".env"
        lines = [line for line in path.read_text().splitlines() if line.partition("=")[0].strip("# ") not in values]
        path.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items())]) + "\n")

    def secret(self, name: str, content: str | bytes, mode: int = 0o444) -> Path:
        path = self.secrets / name
        path.unlink(missing_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def answer(self, name: str, said: str | None, *, error: str = "") -> None:
        """What `docker` says from now on; None: it fails."""
        if said is None:
            (self.docker / name).unlink(missing_ok=True)
        else:
            (self.docker / name).write_text(said)
        (self.docker / f"{name}.err").write_text(error)

    def found(self, *, problems: bool = True, now: datetime | None = None) -> list[tuple[str, str]]:
        """What the checks found, as (check, its sentence): problems, or warnings."""
        return [
            (name, f"{each.subject} {each.text}")
            for name, findings in check(self.stack, now or datetime.now(UTC)).items()
            for each in findings
            if each.is_problem == problems
        ]

    def warnings(self) -> list[tuple[str, str]]:
        return self.found(problems=False)

    def run(self, *arguments: str) -> Ended:
        return self.run_stack(*arguments, "--dir", str(self.directory), environ=self.environ)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_stack: Callable[..., Ended]) -> Workplace:
    """As a checkout has it: compose.yaml, .env.example, an empty directory for secrets."""
    directory = tmp_path / "stacks" / "mailserver"
    (directory / "secrets").mkdir(parents=True, mode=0o755)
    shutil.copy(MAILSERVER / "compose.yaml", directory)
    (directory / ".env.example").write_text(EXAMPLE)
    docker = tmp_path / "bin"
    docker.mkdir()
    (docker / "docker").write_text(DOCKER)
    (docker / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker}:/usr/bin:/bin")
    work = Workplace(directory, docker, run_stack)
    for name, said in {"engine": "20.10.24\n", "compose": "2.26.1-4\n", "config": "", "ps": ""}.items():
        work.answer(name, said)
    return work


@pytest.fixture
def ready(bare: Workplace, tmp_path: Path) -> Workplace:
    """Everything in order, but for what a test cannot have: a known issuer, Tailscale. Those are warnings."""
    bare.environ |= {"MAIL_HOSTNAME": HOST}
    prepare(bare.stack, datetime.now(UTC), self_signed=True)
    bare.environ.clear()
    bare.secret("sendgrid_api_key", "SG.canary-0123456789abcdef\n")
    for variable, name in (("HOMEPORT_SSD", "ssd"), ("HOMEPORT_HDD", "hdd")):
        (tmp_path / name).mkdir()
        bare.set(**{variable: str(tmp_path / name)})
    bare.set(MAIL_HOSTNAME=HOST, MAIL_DOMAINS="home-of-tests.dev", TAILSCALE_IP="127.0.0.1")
    bare.set(**{name: str(free_port()) for name in bare.stack.published})
    return bare


@pytest.fixture
def run_stack(run_cli: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """`homeport stack` in this process, without what this machine's environment says of a stack."""

    def run(*arguments: str, environ: dict[str, Any] | None = None) -> Ended:
        with monkeypatch.context() as patch:
            for name in [each for each in os.environ if each.startswith(("MAIL_", "HOMEPORT_", "TAILSCALE_"))]:
                patch.delenv(name)
            return run_cli("stack", *arguments, environment=environ or {})

    return run
