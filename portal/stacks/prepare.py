"""`homeport stack init`: .env, secrets and, if asked, a certificate. What is there already stays as it is.

Each file appears complete or not at all: it is written under another name and linked to its own, which fails where
somebody was faster. So two at once make one set, and a killed run is simply repeated; it may leave a
`.NAME.XXXXXXXX.tmp`, which nobody reads.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kit import atomic
from portal.stacks import certificates, values
from portal.stacks.secret_files import DIRECTORY_MODE, FILE_MODE, INNER_DIRECTORY_MODE, SECRETS
from portal.stacks.stack import Stack


class CannotPrepare(Exception):
    """Something that only the operator knows is missing. What was made before stays."""


@dataclass(slots=True)
class Prepared:
    """What was done, by paths as somebody in the stack's directory types them."""

    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    tightened: list[str] = field(default_factory=list)  # directories that were open to others
    left: dict[str, str] = field(default_factory=dict)  # what only the operator can get -> from where


def prepare(stack: Stack, now: datetime, *, self_signed: bool = False) -> Prepared:
    """Make what is missing. Raise CannotPrepare, or OSError from the disk."""
    if self_signed and not stack.has_certificate:
        raise CannotPrepare("this stack has no certificate: what comes to it comes by the tunnel, where TLS ends")
    done = Prepared()
    _settings(stack, done)
    stack = Stack(stack.name, stack.directory, stack.environ)  # which reads the new .env
    directory = stack.secrets_dir
    directory.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
    if directory.stat().st_mode & 0o077:
        directory.chmod(DIRECTORY_MODE)
        done.tightened.append(stack.shown(directory))
    for secret in SECRETS[stack.name]:
        path = directory / secret.path
        if path.parent != directory:
            _make_open(path.parent)
        if secret.draw is None:
            if not secret.profile and not path.exists():
                done.left[stack.shown(path)] = secret.source
            continue
        is_new = _write_new(path, secret.draw(now).encode(), FILE_MODE)
        (done.made if is_new else done.kept).append(stack.shown(path))
    if self_signed:
        _certificate(stack, now, done)
    elif stack.has_certificate and not (stack.tls_dir / certificates.CHAIN).exists():
        done.left[stack.shown(stack.tls_dir)] = (
            f"{certificates.CHAIN} and {certificates.KEY}: `tailscale cert`, or for a first try --self-signed"
        )
    return done


def _settings(stack: Stack, done: Prepared) -> None:
    example = stack.directory / ".env.example"
    if not example.is_file():
        raise CannotPrepare(f"there is no .env.example in {stack.directory}")
    (done.made if _write_new(stack.directory / ".env", example.read_bytes(), 0o644) else done.kept).append(".env")


def _certificate(stack: Stack, now: datetime, done: Prepared) -> None:
    """Both files at once, by one rename of their directory: never one's chain with another's key."""
    shown = stack.shown(stack.tls_dir)
    if stack.tls_dir.is_dir() and any(stack.tls_dir.iterdir()):
        done.kept.append(shown)
        return
    if any(values.hostname(stack)):
        raise CannotPrepare("the certificate needs a name: set MAIL_HOSTNAME in .env, then run this again")
    chain, key = certificates.self_signed(stack.given("MAIL_HOSTNAME"), now)
    temporary = stack.tls_dir.with_name(f".{stack.tls_dir.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir(parents=True)
    try:
        temporary.chmod(INNER_DIRECTORY_MODE)
        _write_new(temporary / certificates.CHAIN, chain, FILE_MODE)
        _write_new(temporary / certificates.KEY, key, FILE_MODE)
        atomic.publish_dir(temporary, stack.tls_dir)
    except OSError:
        if not (stack.tls_dir / certificates.KEY).exists():
            raise
        done.kept.append(shown)  # somebody was faster
        return
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already, if it has its name now
    done.made.append(shown)


def _make_open(directory: Path) -> None:
    """A directory that a container's user enters; the one above it keeps everybody else out."""
    try:
        directory.mkdir()
    except FileExistsError:
        return
    directory.chmod(INNER_DIRECTORY_MODE)


def _write_new(path: Path, content: bytes, mode: int) -> bool:
    """Write a file that is not there yet; return False where one is."""
    if path.exists():
        return False
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        atomic.write_durably(temporary, content, mode=mode)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    atomic.fsync_dir(path.parent)
    return True
