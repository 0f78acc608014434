"""A stack as it lies on disk: its compose file's variables, its .env, and where its secrets are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from portal.stacks import dotenv

STACKS = {"mailserver": "MAIL", "blog": "BLOG"}  # stack -> how the names of its own settings begin
CHECKOUT = Path(__file__).parents[2]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?-([^}]*))?\}")
_PUBLISHED = re.compile(r"\$\{TAILSCALE_IP[^}]*\}:\$\{([A-Z0-9_]+)[^}]*\}:\d+")
_COMPOSE_OWN = ("COMPOSE_", "DOCKER_", "BUILDKIT_", "BUILDX_")


class StackNotFound(Exception):
    """There is no such stack here. The text says where it was looked for."""


@dataclass(frozen=True)
class Stack:
    """
    directory  holds compose.yaml
    environ    the process's environment, which Compose prefers to .env
    """

    name: str
    directory: Path
    environ: Mapping[str, str]

    @classmethod
    def find(cls, name: str, directory: Path | None, environ: Mapping[str, str] = os.environ) -> Stack:
        """Given --dir, or None, return the stack: there, or here, above here, or in this program's own checkout."""
        if directory is not None:
            places = [directory]
        else:
            here = Path.cwd()
            around = [place / "stacks" / name for place in (here, *here.parents, CHECKOUT)]
            places = [here, *around] if here.name == name else around
        for place in places:
            if (place / "compose.yaml").is_file():
                return cls(name, place.resolve(), environ)
        if directory is not None:
            raise StackNotFound(f"there is no compose.yaml in {directory}")
        raise StackNotFound(f"stacks/{name}/compose.yaml is neither here nor above; --dir says where it is")

    @cached_property
    def compose_text(self) -> str:
        return (self.directory / "compose.yaml").read_text(encoding="utf-8")

    @cached_property
    def dotenv(self) -> dotenv.Read | None:
        """None: there is no .env. Raise OSError or UnicodeDecodeError."""
        try:
            return dotenv.read((self.directory / ".env").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    @cached_property
    def defaults(self) -> dict[str, str]:
        """Every variable of compose.yaml -> what it is when nobody sets it."""
        found: dict[str, str] = {}
        for name, default in _VARIABLE.findall(self.compose_text):
            found[name] = found.get(name) or default
        return found

    @cached_property
    def published(self) -> tuple[str, ...]:
        """The variables that name a port on TAILSCALE_IP."""
        return tuple(dict.fromkeys(_PUBLISHED.findall(self.compose_text)))

    def is_known(self, name: str) -> bool:
        return name in self.known or name.startswith(_COMPOSE_OWN)

    @cached_property
    def known(self) -> frozenset[str]:
        """Names that may stand in .env: what the compose file, the repository's own and the example speak of."""
        names = set(self.defaults)
        for path in (self.directory / ".env.example", self.directory.parent.parent / "compose.yaml"):
            if path.is_file():
                text = path.read_text(encoding="utf-8")
                names |= {name for name, _ in _VARIABLE.findall(text)}
                names |= set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))
        return frozenset(names)

    def given(self, name: str) -> str:
        """What somebody set, "" for nothing: the environment's, else .env's."""
        from_file = self.dotenv.values if self.dotenv else {}
        return self.environ.get(name, from_file.get(name, ""))

    def value(self, name: str) -> str:
        """As containers get it: `${NAME:-default}`."""
        return self.given(name) or self.defaults.get(name, "")

    def path(self, name: str, default: str) -> Path:
        """A path that may be relative to the stack's directory, as in compose.yaml."""
        return self.directory / (self.value(name) or default)

    @property
    def secrets_dir(self) -> Path:
        return self.path(f"{STACKS[self.name]}_SECRETS_DIR", "./secrets")

    @property
    def has_certificate(self) -> bool:
        """Whether programs connect to it by TLS. The sites' ends at Cloudflare."""
        return self.name == "mailserver"

    @property
    def tls_dir(self) -> Path:
        return self.path("MAIL_TLS_DIR", "./secrets/tls")

    @property
    def profiles(self) -> frozenset[str]:
        return frozenset(filter(None, self.given("COMPOSE_PROFILES").split(",")))

    def shown(self, path: Path) -> str:
        """A path as somebody in the stack's directory would type it."""
        return os.path.normpath(path.relative_to(self.directory) if path.is_relative_to(self.directory) else path)
