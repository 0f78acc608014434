"""One vault for all tests that only read it."""

from __future__ import annotations

import pytest

from tests.backup.restore.house import MAILBOX, mailbox, site
from tests.backup.restore.vaulted import Vaulted, make
from tests.services.seaweedfs import SeaweedFS

DUMP = b"""/*M!999999\\- enable the sandbox mode */
CREATE TABLE posts (id INT PRIMARY KEY, text TEXT);
INSERT INTO posts VALUES (1,'one'),(2,'two');
-- Dump completed
"""
FILES = {
    f"{MAILBOX}/cur/1.M1.h:2,S": b"one\n" * 1000,
    f"{MAILBOX}/new/2.M2.h": b"two",
    f"{MAILBOX}/.Sent/cur/4.M4.h:2,RS": b"four",
    f"{MAILBOX}/subscriptions": b"Sent\n",
    "databases/mail/mailserver.sql": DUMP,
    "sites/blog/files/index.php": b"<?php",
    "sites/blog/db.sql": DUMP,
}


@pytest.fixture(scope="session")
def vaulted(seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Vaulted:
    """A point, its repository and secrets in a vault that was trampled on (10 s). Shared: nobody changes it."""
    assets = [mailbox(counts={"messages": 3, "folders": 2}), site(counts={"files": 1})]
    return make(tmp_path_factory.mktemp("vaulted"), seaweedfs, FILES, assets)
