"""The stacks' secrets: one file each, which Compose hands to those containers that need it.

The directory is 0700 and guards them on this machine. The files are 0444, since each container reads them as a user of
its own, and sees no other file than its own.
"""

from __future__ import annotations

import re
import secrets
import stat
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kit.settings import MIN_SECRET_CHARACTERS, PLACEHOLDERS
from kit.signing import Key, KeysError, parse_keys
from portal.stacks.findings import Finding, problem, warning

DIRECTORY_MODE = 0o700
FILE_MODE = 0o444
INNER_DIRECTORY_MODE = 0o755  # mounted as a whole, and read by the container's user
DRAWN_CHARACTERS = 32  # of 62: 190 bits
DES_KEY_CHARACTERS = 24  # Roundcube's config/defaults.inc.php: des_key is exactly as long

_LETTERS = string.ascii_letters + string.digits  # nothing that a configuration file or SQL would have to quote


@dataclass(frozen=True, slots=True)
class SecretFile:
    """
    path     below the secrets' directory
    draw     makes the content at random; None: somebody else gives it
    weakness given the content, returns what is wrong with it, or None
    source   where it comes from, if it is not drawn
    profile  the Compose profile without which nobody needs it
    """

    path: str
    draw: Callable[[datetime], str] | None
    weakness: Callable[[str], str | None]
    source: str = ""
    profile: str = ""


def _drawn(characters: int = DRAWN_CHARACTERS) -> Callable[[datetime], str]:
    return lambda _: "".join(secrets.choice(_LETTERS) for _ in range(characters)) + "\n"


def _key(now: datetime) -> str:
    return Key.generate(f"k{now:%Y%m%d}").line + "\n"


def _weak(content: str) -> str | None:
    value = content.removesuffix("\n").removesuffix("\r")
    if not value.strip():
        return "is empty"
    if not value.isprintable() or value != value.strip():
        return "holds more than one line, blanks around it or control characters"
    if "".join(filter(str.isalnum, value.lower())) in PLACEHOLDERS:
        return "is a placeholder"
    if len(value) < MIN_SECRET_CHARACTERS:
        return f"is shorter than {MIN_SECRET_CHARACTERS} characters"
    if len(set(value)) < MIN_SECRET_CHARACTERS // 2:
        return "is not random"
    return None


def _weak_plain(content: str) -> str | None:
    if (weakness := _weak(content)) is not None:
        return weakness
    return None if re.fullmatch(r"[A-Za-z0-9_-]+\r?\n?", content) else "has other characters than letters, digits, _, -"


def _weak_des_key(content: str) -> str | None:
    value = content.removesuffix("\n").removesuffix("\r")
    if len(value) != DES_KEY_CHARACTERS:
        return f"is not exactly {DES_KEY_CHARACTERS} characters long"
    return _weak(content)


def _weak_keys(content: str) -> str | None:
    try:
        parse_keys(content)
    except KeysError as error:
        return str(error)
    return None


_DATABASE_ACCOUNTS = ("root", "owner", "dovecot", "postfix", "roundcube", "backup", "restore")
_DATABASE = tuple(f"mail_db_{account}_password" for account in _DATABASE_ACCOUNTS)
MAIL_SECRETS = (
    *(SecretFile(name, _drawn(), _weak) for name in _DATABASE),
    SecretFile("rspamd_controller_password", _drawn(), _weak_plain),
    SecretFile("roundcube_des_key", _drawn(DES_KEY_CHARACTERS), _weak_des_key),
    SecretFile("mail-api/keys", _key, _weak_keys),
    SecretFile("sendgrid_api_key", None, _weak, "SendGrid: Settings, API Keys, with the right Mail Send alone"),
    SecretFile("cloudflared_token", None, _weak, "Cloudflare: the tunnel's page shows it once", profile="tunnel"),
)


_BLOG_ACCOUNTS = ("admin", "console", "write", "backup", "restore")
BLOG_SECRETS = (
    *(SecretFile(f"blog_db_{account}_password", _drawn(), _weak) for account in _BLOG_ACCOUNTS),
    SecretFile("blog_cloudflared_token", None, _weak, "Cloudflare: the tunnel's page shows it once"),
)
SECRETS = {"mailserver": MAIL_SECRETS, "blog": BLOG_SECRETS}


def look(
    stack: str, directory: Path, shown: str, profiles: frozenset[str], owners: frozenset[int]
) -> Iterator[Finding]:
    """Yield what is wrong with the directory and its files.

    stack   its name, as `homeport stack` takes it
    shown   the directory as it is to be named
    owners  the uids that a secret may belong to
    """
    try:
        status = directory.stat()
    except OSError as error:
        yield problem(shown, f"cannot be read: {error.strerror}", f"`homeport stack init {stack}` makes it")
        return
    if status.st_mode & 0o077:
        yield problem(shown, "is open to other users of this machine", f"chmod 0700 {shown}")
    if status.st_uid not in owners:
        yield problem(
            shown, "belongs to another user, who can read it", f"chown it to yourself: chown -R $USER {shown}"
        )
    contents: dict[str, str] = {}
    for secret in SECRETS[stack]:
        if secret.profile and secret.profile not in profiles:
            continue
        yield from _look_at(stack, secret, directory, shown, contents)
    yield from _same(stack, contents)
    yield from _foreign(stack, directory, shown)


def _look_at(
    stack: str, secret: SecretFile, directory: Path, shown: str, contents: dict[str, str]
) -> Iterator[Finding]:
    path, name = directory / secret.path, f"{shown}/{secret.path}"
    anew = secret.source or f"remove it; `homeport stack init {stack}` draws a new one ({secret.path})"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # Docker makes a directory where a mounted file is missing
            yield problem(name, "is not a file", f"rmdir {name}, then `homeport stack init {stack}`")
            return
        content = path.read_bytes().decode()
    except FileNotFoundError:
        yield problem(name, "is missing", secret.source or f"`homeport stack init {stack}` makes it")
        return
    except UnicodeDecodeError:
        yield problem(name, "is not text", anew)
        return
    except OSError as error:
        yield problem(name, f"cannot be read: {error.strerror}", "run this as the user who made it")
        return
    if weakness := secret.weakness(content):
        yield problem(name, weakness, anew)
    if not status.st_mode & stat.S_IROTH:
        yield problem(name, "cannot be read by the container's user", f"chmod 0444 {name}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield problem(name, "may be written by others than its owner", f"chmod 0444 {name}")
    if not path.parent.stat().st_mode & stat.S_IXOTH and path.parent != directory:
        parent = f"{shown}/{Path(secret.path).parent}"
        yield problem(parent, "cannot be entered by the container's user", f"chmod 0755 {parent}")
    contents[name] = content.strip()


def _same(stack: str, contents: dict[str, str]) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for name, content in contents.items():
        if content and (other := first.setdefault(content, name)) != name:
            yield problem(name, f"is the same as {other}", f"remove it; `homeport stack init {stack}` draws a new one")


def _foreign(stack: str, directory: Path, shown: str) -> Iterator[Finding]:
    known = {secret.path.partition("/")[0] for secret in SECRETS[stack]} | {"tls", ".gitignore"}
    try:
        names = sorted(path.name for path in directory.iterdir())
    except OSError:
        return  # said already
    for name in names:
        if name not in known:
            yield warning(f"{shown}/{name}", "is used by nobody", "remove it, or look for a typing error in its name")
