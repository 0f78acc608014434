"""Names in a Maildir: what a message is, and which of a mailbox's messages are the same one.

A message keeps its base name, the part before ":2,", for life: flags change what follows, and Dovecot moves it from
folder to folder under that name. So a base name that stands anywhere in a mailbox is a message that is there.
"""

from __future__ import annotations

import os
import stat

from backup.restore.tree import Below
from backup.state import AssetState

MESSAGE_DIRECTORIES = (b"cur", b"new")


def is_message(path: bytes) -> bool:
    """Whether a path below a mailbox is one of a message."""
    parent = path.rpartition(b"/")[0].rpartition(b"/")[2]
    return parent in MESSAGE_DIRECTORIES


def base_name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2].partition(b":2,")[0]


def message_names(live: Below, mailbox: bytes) -> set[bytes]:
    """The base names of all messages of a mailbox; empty when it is not there."""
    return {base_name(path) for path, found in live.walk(mailbox) if is_message(path) and stat.S_ISREG(found.st_mode)}


def folder_paths(asset: AssetState, folder: str) -> list[bytes]:
    """Where the messages of one folder lie in the point, with what names their keywords."""
    parts = (asset.paths[0], asset.facts.get("maildir", ""), folder)
    directory = os.fsencode("/".join(part for part in parts if part))
    return [directory + b"/" + name for name in (*MESSAGE_DIRECTORIES, b"tmp", b"dovecot-keywords")]
