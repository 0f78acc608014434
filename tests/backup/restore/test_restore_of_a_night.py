"""Points as the sources make them, restored and drilled: what one half writes, the other half reads."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup import drill, snapshot
from backup.journal import Silent
from backup.restore import Context, RestoreRequest, apply, plan
from backup.signing import Signer
from backup.sources.build import build
from kit.clock import SystemClock
from tests.backup.houses import deliver, make_house
from tests.backup.restore.house import POINT, SAFETY, tree
from tests.services.mariadb import MariaDB


def night(directory: Path, sources: dict[str, Any]) -> Context:
    """Back up a house's sources; return what a restore works with."""
    directory.mkdir()
    house = make_house(directory, sources=sources)
    settings = house.settings
    signer = Signer.read(settings.signing_key_file)
    outcome = snapshot.take(
        POINT,
        build(settings),
        layout=settings.layout,
        host="homeport",
        signer=signer,
        clock=SystemClock(),
        journal=Silent(),
    )
    assert outcome.is_sealed, outcome.state

    def no_vault() -> None:
        raise AssertionError("the vault was asked for")

    return Context(
        settings=settings,
        verifier=signer.verifier,
        journal=Silent(),
        clock=SystemClock(),
        run_id="run-1",
        safety_copy=lambda kind, name: SAFETY,
        store=no_vault,  # type: ignore[arg-type]
        lock_wait_s=0.1,
    )


def test_a_mailbox_of_the_mail_stack_comes_back_by_folder_and_whole(tmp_path: Path) -> None:
    mailbox = tmp_path / "data" / "mail" / "home.test" / "anna"
    deliver_into = mailbox / "Maildir" / "Sent" / "cur"
    deliver_into.mkdir(parents=True)
    (deliver_into / "2.host:2,S").write_bytes(b"sent")
    (mailbox / "sieve").mkdir()
    (mailbox / "sieve" / "main.sieve").write_bytes(b"keep;")
    deliver(mailbox, "1.host", b"received")
    sources: dict[str, Any] = {"maildir": [{"path": str(tmp_path / "data" / "mail")}], "allow_same_device": True}
    context = night(tmp_path / "house", sources=sources)
    before = tree(mailbox)
    anna = RestoreRequest(POINT, "mailbox", "anna@home.test")
    sent = replace(anna, folder="Sent")
    report = apply(plan(sent, context), context)
    assert [Path(name).name for name in tree(Path(report.target))] == ["2.host:2,S"]

    deliver(mailbox, "9.host", b"arrived since")
    (deliver_into / "2.host:2,S").unlink()
    (mailbox / "sieve" / "main.sieve").unlink()
    live = replace(anna, where="in-place")
    planned = plan(live, context)
    assert planned.adds == 2
    apply(planned, context)
    assert tree(mailbox) == before | {"Maildir/cur/9.host:2,S": b"arrived since"}

    (result,) = drill.run(("mailbox", "anna@home.test"), "local", context)
    assert result.ok, result.detail


@pytest.mark.services
@pytest.mark.slow
def test_a_site_with_its_database_goes_back_to_the_night(tmp_path: Path, mariadb: MariaDB) -> None:
    name = f"blog_{secrets.token_hex(3)}"
    (tmp_path / "password").write_text("geheim\n")
    mariadb.execute(
        f"CREATE DATABASE {name}",
        f"CREATE TABLE {name}.posts (id INT PRIMARY KEY, text TEXT)",
        f"INSERT INTO {name}.posts VALUES (1, 'one'), (2, 'two')",
        f"CREATE USER {name}@localhost IDENTIFIED BY 'geheim'",
        f"GRANT ALL ON *.* TO {name}@localhost WITH GRANT OPTION",
    )
    site = tmp_path / "blog"
    (site / "wp-content").mkdir(parents=True)
    (site / "wp-content" / "a.png").write_bytes(b"a")
    (site / "wp-config.php").write_bytes(b"<?php define('DB_PASSWORD', 'geheim-geheim');")
    account = {"user": name, "password_file": str(tmp_path / "password")}
    restoring = {"restore_user": name, "restore_password_file": str(tmp_path / "password")}
    server = {"name": "main", "socket": str(mariadb.unix_socket), "databases": [name], **account, **restoring}
    sources: dict[str, Any] = {
        "mariadb": [server],
        "site": [{"name": "blog", "path": str(site), "server": "main", "database": name}],
        "allow_same_device": True,
    }
    try:
        context = night(tmp_path / "house", sources=sources)
        mariadb.execute(f"DELETE FROM {name}.posts")
        (site / "wp-content" / "evil.php").write_bytes(b"evil")
        (site / "wp-content" / "a.png").unlink()
        planned = plan(RestoreRequest(POINT, "site", "blog", where="in-place"), context)
        assert {(each.what, each.path) for each in planned.changes} == {
            ("overwrite", "table posts"),
            ("add", "wp-content/a.png"),
            ("delete", "wp-content/evil.php"),
        }
        apply(planned, context)
        assert sorted(tree(site)) == ["wp-config.php", "wp-content/a.png"]
        mariadb.execute(f"SELECT 1 / (COUNT(*) = 2) FROM {name}.posts", f"SELECT text FROM {name}.posts WHERE id = 2")
        (result,) = drill.run(("site", "blog"), "local", context)
        assert result.ok, result.detail
        assert "1 tables" in result.detail
    finally:
        mariadb.execute(f"DROP DATABASE {name}", f"DROP USER {name}@localhost")
