"""The smarthost stand-in as tests see it: what it was given, and what it shall answer. It is stand_ins/smarthost.py."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import ClassVar

from tests.services.homeport import eventually
from tests.stacks.authority import Authority

USER = 10001  # the mail API's image runs it


@dataclass(frozen=True, slots=True)
class Relayed:
    """A message that the smarthost has acknowledged."""

    tls: str
    login: tuple[str, str]
    helo: str
    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        parsed = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@dataclass(frozen=True, slots=True)
class Smarthost:
    """`directory` has tls/ and record/, which the container binds."""

    NAME: ClassVar[str] = "smarthost.test"
    PORT: ClassVar[int] = 2525
    directory: Path

    @property
    def record(self) -> Path:
        return self.directory / "record"

    def prepare(self, authority: Authority) -> None:
        authority.issue(self.directory / "tls", self.NAME)
        self.record.mkdir()
        self.record.chmod(0o777)

    def relayed(self) -> list[Relayed]:
        """Everything so far, in no order."""
        found = []
        for path in self.record.glob("*.json"):
            document = json.loads(path.read_text())
            found.append(
                Relayed(
                    document["tls"],
                    tuple(document["login"]),
                    document["helo"],
                    document["mail_from"],
                    tuple(document["rcpt_to"]),
                    base64.b64decode(document["content"]),
                )
            )
        return found

    def of(self, subject: str) -> list[Relayed]:
        return [each for each in self.relayed() if each.message["Subject"] == subject]

    def wait_for(self, subject: str, *, within_s: float = 60.0) -> Relayed:
        """Return the message with this subject, of which there is one."""
        (found,) = eventually(lambda: self.of(subject), within_s=within_s)
        assert isinstance(found, Relayed)
        return found

    @contextlib.contextmanager
    def answering(self, reply: str) -> Iterator[None]:
        """Let it answer every message with this for a while, such as `451 4.3.0 later`."""
        file = self.record / "reply"
        file.write_text(reply)
        try:
            yield
        finally:
            file.unlink()
