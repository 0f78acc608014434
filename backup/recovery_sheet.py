"""The recovery sheet: what a restore begins with when this machine is gone, on paper.

Its code is made from what stands on it. Typed back it proves that this very sheet was printed; after a change of
password, key or vault it is that of an old one.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from backup.exit_codes import WrongUsage
from backup.facts import Facts
from backup.settings import BackupSettings, read_secret
from backup.signing import Verifier

FACT = "sheet"
CODE_LETTERS = 8  # 40 bits: nobody guesses it, and it is no secret


def text(settings: BackupSettings) -> str:
    """What to print: it holds the repository's password, so it is as good as the backup itself."""
    lines = [
        "HOMEPORT BACKUP: RECOVERY SHEET",
        "Print this, keep it where this machine is not. Whoever has it can read",
    ]
    lines += ["every backup. docs/runbooks/restore-without-homeport.md says how to restore with it alone.", ""]
    pairs = [("host", settings.host), ("backup root", str(settings.root))]
    pairs += [("public key", Verifier.read(settings.public_key_file).text)]
    pairs += [("key id", Verifier.read(settings.public_key_file).key_id)]
    if settings.repository is not None:
        pairs += [("repository", str(settings.layout.repository))]
        pairs += [("its password", read_secret(settings.repository.password_file))]
    if settings.vault is not None:
        vault = settings.vault
        place = str(vault.endpoint) if vault.endpoint is not None else "AWS"
        pairs += [("vault", f"{vault.bucket}/{vault.prefix} in {vault.region}, {place}")]
        pairs += [("its credentials", "not here: make restorer credentials in the AWS console, or by backup/terraform")]
    lines += [f"{name:<16}{value}" for name, value in pairs]
    return "\n".join([*lines, "", f"{'code':<16}{code(settings)}", ""])


def code(settings: BackupSettings) -> str:
    """Two groups of four, such as `K3QZ-7MPA`."""
    digest = hashlib.sha256(b"homeport recovery sheet v1\n")
    digest.update(Verifier.read(settings.public_key_file).text.encode())
    if settings.repository is not None:
        digest.update(read_secret(settings.repository.password_file).encode())
    if settings.vault is not None:
        digest.update(f"{settings.vault.bucket}/{settings.vault.prefix}".encode())
    letters = base64.b32encode(digest.digest()).decode()[:CODE_LETTERS]
    return f"{letters[:4]}-{letters[4:]}"


def confirmed_at(settings: BackupSettings, facts: Facts) -> datetime | None:
    """When the code of the present sheet was typed back; None: never, or that was an older sheet."""
    thing = facts.get(FACT)
    try:
        return thing.at if thing is not None and thing.document.get("code") == code(settings) else None
    except WrongUsage:  # key or password cannot be read here
        return None
