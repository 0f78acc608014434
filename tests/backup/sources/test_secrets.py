"""Which secrets are known, what of them the plain tree may hold, and accounts that can be made again."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from backup.exit_codes import SourceFailed
from backup.settings import Server
from backup.sources.secrets import SecretNames, SecretSet, is_secret_file, values
from backup.stage import Stage
from tests.backup.sources.settings_for import settings_for
from tests.backup.sources.staging import Notes
from tests.services.mariadb import MariaDB


def secret_set(directory: Path, *paths: Path, **sources: Any) -> SecretSet:
    return SecretSet(settings_for(directory, sources={"secrets": {"paths": list(paths)}, **sources}))


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        (".env", True), (".env.local", True), ("wp-config.php", True), ("wp-config.php.bak", True),
        ("wp-config.php~", True), (".env.example", False), ("wp-config-sample.php", False), ("x.env", False),
        ("compose.yaml", False), (".env.local.sample", False),
    ],
)  # fmt: skip
def test_files_that_are_secret_by_their_name(name: str, is_secret: bool) -> None:
    assert is_secret_file(Path("/srv", name)) is is_secret


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("password", "correct-horse\n", {"correct-horse"}),
        ("password", "short\n", set()),
        ("password", "two words of it\n", {"two words of it"}),
        (
            ".env",
            "# PASSWORD=commented-out\nMAIL_HOSTNAME=mail.example.org\nexport DB_PASSWORD='hunter22-x'\n"
            "API_TOKEN=${OTHER_TOKEN_X}\nPASSWORD_FILE=/run/secrets/password\nTUNNEL_ID=0123456789abcdef\n"
            "URL=mysql://user:in-the-url@db/mail\nAWS_SECRET_ACCESS_KEY=abc/def+123456\nKEYBOARD=jp106-layout\n",
            {"hunter22-x", "in-the-url", "abc/def+123456"},
        ),
        (
            "wp-config.php",
            "<?php define('DB_NAME', 'wordpress_blog'); define( \"DB_PASSWORD\", \"pass'word\" );\n"
            "define('AUTH_KEY', 'k(ey;=with-all');\ndefine('NONCE_SALT',   'salty-salt');define('WP_DEBUG', false);",
            {"pass'word", "k(ey;=with-all", "salty-salt"},
        ),
        (
            "tunnel.json",
            '{"AccountTag": "0123456789", "TunnelSecret": "c2VjcmV0LW9mLWl0", "TunnelID": "11111111-2222"}',
            {"c2VjcmV0LW9mLWl0"},
        ),
        (
            "key.pem",
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAA\n-----END PRIVATE KEY-----\n",
            {"MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAA"},
        ),
        (
            "keys",
            "edge-2026:0123456789abcdef0123456789abcdef\nedge-2025:fedcba9876543210fedcba9876543210\n",
            {"0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"},
        ),
        ("binary", "\udcff\udcfe", set()),
        ("broken.json", "{not json", set()),
    ],
)
def test_values_that_must_stand_in_no_plain_file(tmp_path: Path, name: str, text: str, found: set[str]) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert set(values(tmp_path / name)) >= found
    assert not {"mail.example.org", "0123456789abcdef", "jp106-layout", "11111111-2222", "wordpress_blog"} & set(
        values(tmp_path / name)
    )


def test_the_set_is_what_was_configured_found_and_our_own(tmp_path: Path) -> None:
    for name in ("site/wp-config.php", "site/sub/.env", "stacks/mail/.env", "secrets/a", "secrets/b", "db"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"value-of-{name}\n")
    (tmp_path / "stacks" / "mail" / "link.env").symlink_to("/etc/passwd")
    known = secret_set(
        tmp_path,
        tmp_path / "secrets",
        site=[{"name": "blog", "path": tmp_path / "site"}],
        files=[{"name": "stacks", "paths": [tmp_path / "stacks"]}],
        mariadb=[{"name": "mail", "socket": tmp_path / "s", "user": "dump", "password_file": tmp_path / "db"}],
    )
    names = ["db", "secrets", "signing.pem", "site/sub/.env", "site/wp-config.php", "stacks/mail/.env"]
    assert known.paths() == [tmp_path / name for name in names]
    assert known.names() == [*(str(tmp_path / name) for name in names), "accounts of mail"]
    assert {b"value-of-db", b"value-of-secrets/a", b"value-of-secrets/b"} <= set(known.known_values())
    assert known.holds(tmp_path / "secrets" / "a")
    assert known.holds(tmp_path / "secrets")
    assert not known.holds(tmp_path / "secrets-2")


def test_the_repository_s_password_is_known_but_not_put_into_the_repository(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("of-the-repository\n")
    known = SecretSet(settings_for(tmp_path, repository={"password_file": tmp_path / "password"}))
    assert b"of-the-repository" in known.known_values()
    assert tmp_path / "password" not in known.paths()


def test_what_only_restores_work_with_is_known_and_in_no_set(tmp_path: Path) -> None:
    """Whichever container writes the catalog sees the same set, whether it has this file or not."""
    (tmp_path / "dump").write_text("of-the-dumps\n")
    (tmp_path / "restore").write_text("of-the-restores\n")
    server = {"name": "mail", "socket": tmp_path / "s", "user": "dump", "restore_user": "restore"}
    files = {"password_file": tmp_path / "dump", "restore_password_file": tmp_path / "restore"}
    known = secret_set(tmp_path, mariadb=[server | files])
    assert known.paths() == [tmp_path / "dump", tmp_path / "signing.pem"]
    assert {b"of-the-dumps", b"of-the-restores"} <= set(known.known_values())


def test_a_configured_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match=f"the secret {tmp_path}/gone of backup.toml is not there"):
        secret_set(tmp_path, tmp_path / "gone").paths()


def test_the_plain_tree_has_names_and_nothing_else(tmp_path: Path, stage: Stage) -> None:
    (tmp_path / "token").write_text("hunter22-hunter22\n")
    source = SecretNames(secret_set(tmp_path, tmp_path / "token"))
    assets = source.stage(stage, None, Notes()).assets
    text = (stage.root / "stacks" / "secret-names.json").read_text()
    assert json.loads(text) == {"secrets": [str(tmp_path / "signing.pem"), str(tmp_path / "token")]}
    assert "hunter22" not in text
    assert [(asset.kind, asset.name) for asset in assets] == [
        ("secret", str(tmp_path / "signing.pem")),
        ("secret", str(tmp_path / "token")),
    ]


def test_accounts_and_grants_can_be_made_again(mariadb: MariaDB, dump_account: Server, tmp_path: Path) -> None:
    """The server resolves no host names (`--skip-name-resolve`), and still has an account of one."""
    mariadb.execute(
        "CREATE OR REPLACE USER 'b app'@'10.%' IDENTIFIED BY 'of-the-app'",
        "CREATE OR REPLACE ROLE b_readers",
        "GRANT SELECT ON test_b.* TO b_readers",
        "GRANT b_readers TO 'b app'@'10.%'",
        "GRANT ALL ON test_b.* TO 'b app'@'10.%' WITH GRANT OPTION",
    )
    known = SecretSet(settings_for(tmp_path, sources={"mariadb": [dump_account.model_dump()]}))
    directory = tmp_path / "gathered"
    directory.mkdir()
    known.gather(directory)
    file = directory / "main.accounts.sql"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    statements = [line for line in file.read_text().splitlines() if "b app" in line or "b_readers" in line]
    before = _grants(mariadb)
    mariadb.execute("DROP USER 'b app'@'10.%'", "DROP ROLE b_readers")
    mariadb.execute(*(statement.rstrip(";") for statement in statements))
    assert _grants(mariadb) == before
    assert any("b_readers" in grant for grant in before)


def _grants(mariadb: MariaDB) -> set[str]:
    import pymysql  # type: ignore[import-untyped]

    with pymysql.connect(unix_socket=str(mariadb.unix_socket), user="root") as connection:
        cursor = connection.cursor()
        found = set()
        for account in ("'b app'@'10.%'", "b_readers"):
            cursor.execute(f"SHOW GRANTS FOR {account}")
            found |= {grant for (grant,) in cursor.fetchall()}
        return found
