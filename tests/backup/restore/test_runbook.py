"""docs/runbooks/restore-without-homeport.md, run as it stands: Debian's restic and AWS CLI, and nothing of ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.backup.restore.vaulted import PREFIX, Vaulted
from tests.services.mariadb import MariaDB

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[3] / "docs" / "runbooks" / "restore-without-homeport.md"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # no virtual environment, no checkout


def blocks() -> list[str]:
    """What a reader types, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_a_reader_with_restic_and_the_aws_cli_gets_everything_back(
    vaulted: Vaulted, mariadb: MariaDB, tmp_path: Path
) -> None:
    if missing := [name for name in ("aws", "restic", "openssl") if shutil.which(name, path=SYSTEM_PATH) is None]:
        pytest.fail(f"{', '.join(missing)} not installed: apt-get install awscli restic openssl")
    key_id, secret = vaulted.seaweedfs.credentials["restorer"]
    (tmp_path / "vault.env").write_text(
        f"BUCKET={vaulted.bucket}\nPREFIX={PREFIX}\nENDPOINT={vaulted.seaweedfs.url}\n"
        f"PUBLIC_KEY={vaulted.house.signer.verifier.text}\n"
        f"export AWS_ACCESS_KEY_ID={key_id} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION=us-east-1\n"
    )
    assert vaulted.house.settings.repository is not None
    shutil.copy(vaulted.house.settings.repository.password_file, tmp_path / "password")
    (tmp_path / ".my.cnf").write_text(f"[client]\nsocket={mariadb.unix_socket}\nuser=root\n")
    into = f"restored_{os.getpid()}"
    live = tmp_path / "live" / "home.test" / "anna"
    (live / ".Archive" / "cur").mkdir(parents=True)
    (live / ".Archive" / "cur" / "2.M2.h:2,S").write_bytes(b"two, moved and read since")
    env = {"PATH": SYSTEM_PATH, "HOME": str(tmp_path), "DOMAIN": "home.test", "LOCAL": "anna", "INTO": into}

    said = subprocess.run(
        ["/bin/sh", "-eu", "-c", "\n".join(blocks())],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip

    try:
        assert said.returncode == 0, said.stdout + said.stderr
        assert "Signature Verified Successfully" in said.stdout
        assert "every file is what was sealed" in said.stdout
        mail = {name: data for name, data in vaulted.files.items() if name.startswith("mail/home.test/anna/")}
        assert {name: (tmp_path / "restored" / name).read_bytes() for name in mail} == mail
        assert {path.name: path.read_bytes() for path in live.rglob("*") if path.is_file()} == {
            "1.M1.h:2,S": b"one\n" * 1000,
            "4.M4.h:2,RS": b"four",
            "2.M2.h:2,S": b"two, moved and read since",
        }
        assert (tmp_path / "restored" / "sites/blog/files/index.php").read_bytes() == b"<?php"
        path, content = vaulted.secrets
        assert (tmp_path / "secrets" / str(path).lstrip("/")).read_bytes() == content
        rows = subprocess.run(
            ["mariadb", "-Ne", "SELECT text FROM posts", into],
            env=env, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert rows.stdout.split() == ["one", "two"]
    finally:
        mariadb.execute(f"DROP DATABASE IF EXISTS {into}")


def test_no_block_needs_anything_of_ours() -> None:
    text = "\n".join(blocks())
    assert len(blocks()) > 8
    assert not re.search(r"\b(homeport|python3?|jq)\b", text.replace("homeport vault-seal", ""))
