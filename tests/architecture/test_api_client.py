"""The front end's client is what the portal's OpenAPI document says now: generated again, it comes out the same."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRONT_END = ROOT / "frontend"
NODE = ROOT / ".node" / "bin"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (FRONT_END / "node_modules").exists(), reason="make front-end has not run"),
]


def files_of(directory: Path) -> set[Path]:
    return {path.relative_to(directory) for path in directory.rglob("*") if path.is_file()}


def test_api_client_is_the_one_of_this_portal(tmp_path: Path) -> None:
    (tmp_path / "src" / "lib").mkdir(parents=True)
    for name in ("package.json", "tsconfig.json", "openapi-ts.config.ts", "src/lib/transport.ts"):
        shutil.copy(FRONT_END / name, tmp_path / name)
    (tmp_path / "node_modules").symlink_to(FRONT_END / "node_modules")
    homeport = Path(sys.executable).with_name("homeport")
    with (tmp_path / "openapi.json").open("wb") as document:
        subprocess.run([homeport, "portal", "openapi"], stdout=document, check=True, timeout=60)
    command = [str(NODE / "npm"), "run", "--silent", "client"]
    environment = {**os.environ, "PATH": f"{NODE}:{os.environ['PATH']}"}
    subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, check=True, timeout=100)

    made, kept = tmp_path / "src" / "api", FRONT_END / "src" / "api"
    assert files_of(made) == files_of(kept)
    _, differ, errors = filecmp.cmpfiles(made, kept, [str(name) for name in files_of(kept)], shallow=False)
    assert (differ, errors) == ([], []), "run `make client` and commit what changed"
