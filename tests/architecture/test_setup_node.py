"""The JavaScript tool chain: scripts/setup-node, its locks, the Worker's build, and how the local edge says no."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "stacks" / "mailserver" / "email-worker"
NODE = ROOT / ".node" / "bin" / "node"

needs_node = pytest.mark.skipif(not NODE.exists(), reason="make worker has not run")
BUILD = "mkdir -p dist && cat src/*.js > dist/worker.js && node --version >> dist/worker.js"


class Checkout:
    """A small checkout: the real scripts/setup-node, a Worker with one package, and a machine of one's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.worker = path / WORKER.relative_to(ROOT)
        for directory in ("scripts", "requirements", "machine"):
            (path / directory).mkdir(parents=True)
        (self.worker / "src").mkdir(parents=True)
        (self.worker / "near").mkdir()
        shutil.copy(ROOT / "scripts" / "setup-node", path / "scripts")
        shutil.copy(ROOT / "requirements" / "node.txt", path / "requirements")
        shutil.copy(WORKER / ".npmrc", self.worker)
        near = {"name": "near", "version": "1.0.0"}
        package = {"name": "small", "version": "1.0.0", "dependencies": {"near": "file:near"}}
        installed = {"": package, "near": near, "node_modules/near": {"resolved": "near", "link": True}}
        lock = {"name": "small", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": installed}
        self.write("near/package.json", json.dumps(near))
        self.write("package.json", json.dumps(package | {"scripts": {"build": BUILD}}))
        self.write("package-lock.json", json.dumps(lock))
        self.write("src/worker.js", "// one\n")

    def write(self, name: str, text: str) -> None:
        (self.worker / name).write_text(text)

    @property
    def built(self) -> str:
        return (self.worker / "dist" / "worker.js").read_text()

    def has_venv(self) -> None:
        """Give it the Python environment that scripts/setup would make."""
        (self.path / ".venv" / "bin").mkdir(parents=True)
        (self.path / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (self.path / ".venv" / "bin" / "python").chmod(0o755)

    def machine_has(self, name: str, source: str) -> None:
        (self.path / "machine" / name).write_text(f"#!/bin/sh\n{source}\n")
        (self.path / "machine" / name).chmod(0o755)

    def machine_has_node(self) -> None:
        """The machine's own Node is the one of this project: of a version that is new enough."""
        (self.path / "machine" / "node").symlink_to(NODE.resolve())
        self.machine_has("npm", f'exec {NODE.parent}/npm "$@"')
        self.machine_has("npx", f'exec {NODE.parent}/npx "$@"')

    def setup(self, *first_in_path: Path) -> tuple[int, str]:
        """Return exit code and what was said. Neither Node nor npm come from this machine."""
        places = [*first_in_path, self.path / "machine", path_without_node(self.path)]
        ended = subprocess.run(
            [self.path / "scripts" / "setup-node", self.worker.relative_to(self.path)],
            env={**os.environ, "PATH": ":".join(map(str, places))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=110,
        )
        return ended.returncode, ended.stdout

    def version(self, command: str, **environ: str) -> str:
        ended = subprocess.run(
            [self.path / ".node" / "bin" / command, "--version"],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return ended.stdout.strip()


def path_without_node(directory: Path) -> Path:
    """Return a directory of links to every program in PATH but Node's."""
    programs = directory / "programs"
    programs.mkdir(exist_ok=True)
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).glob("*"):
            if program.name not in ("node", "nodejs", "npm", "npx", "corepack"):
                (programs / program.name).unlink(missing_ok=True)
                (programs / program.name).symlink_to(program)
    return programs


@needs_node
def test_setup_node_takes_the_machines_node_and_builds_when_something_changed(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "first")
    checkout.machine_has_node()

    code, said = checkout.setup()
    assert code == 0, said
    assert (checkout.path / ".node" / "bin" / "node").resolve() == NODE.resolve()
    assert checkout.version("npm") == checkout.version("npx")
    assert checkout.built.startswith("// one\n")

    made = (checkout.worker / "dist" / "worker.js").stat().st_mtime_ns
    assert checkout.setup() == (0, "")  # nothing has changed
    assert (checkout.worker / "dist" / "worker.js").stat().st_mtime_ns == made

    checkout.write("src/worker.js", "// two\n")
    assert checkout.setup()[1] == ""  # only built again
    assert checkout.built.startswith("// two\n")

    (checkout.worker / "dist" / "worker.js").write_text("half")  # a build was interrupted, or somebody edited it
    checkout.setup()
    assert checkout.built.startswith("// two\n")
    shutil.rmtree(checkout.worker / "dist")
    checkout.setup()
    assert checkout.built.startswith("// two\n")

    (checkout.worker / "node_modules" / "packages.stamp").unlink()  # an earlier run was interrupted
    leftover = checkout.worker / "node_modules" / "leftover"
    leftover.touch()
    assert "packages" in checkout.setup()[1]
    assert not leftover.exists()

    moved = checkout.path.rename(tmp_path / "second")  # npm in .node/bin may name the old place
    moved_checkout = Checkout.__new__(Checkout)
    moved_checkout.path, moved_checkout.worker = moved, moved / checkout.worker.relative_to(checkout.path)
    assert moved_checkout.setup()[0] == 0
    assert moved_checkout.version("npm")


@needs_node
def test_setup_node_does_not_take_its_own_node_for_the_machines(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    checkout.machine_has_node()
    assert checkout.setup()[0] == 0
    assert checkout.setup(checkout.path / ".node" / "bin") == (0, "")
    (checkout.path / ".node" / "node.stamp").unlink()
    assert checkout.setup(checkout.path / ".node" / "bin")[0] == 0
    assert checkout.version("npm")


@needs_node
def test_setup_node_build_that_fails_is_tried_again(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    checkout.machine_has_node()
    package = json.loads((checkout.worker / "package.json").read_text())
    checkout.write("package.json", json.dumps(package | {"scripts": {"build": "echo syntax error >&2; exit 3"}}))
    for _ in range(2):
        code, said = checkout.setup()
        assert code != 0
        assert "syntax error" in said


OLD = "echo v20.20.2"
NEW = "echo v24.0.0"


@pytest.mark.parametrize("machine", [{}, {"node": OLD, "npm": "exit 1"}, {"node": NEW}, {"node": "exit 1", "npm": ""}])
def test_setup_node_without_a_usable_node_and_without_venv_says_what_to_do(
    tmp_path: Path, machine: Mapping[str, str]
) -> None:
    checkout = Checkout(tmp_path / "checkout")
    for name, source in machine.items():
        checkout.machine_has(name, source)
    code, said = checkout.setup()
    assert code == 1
    assert "no Node >= 22 with npm here, and no .venv to install one with; run scripts/setup first" in said
    assert not (checkout.path / ".node" / "node.stamp").exists()


@pytest.mark.slow
def test_setup_node_with_an_old_node_installs_the_locked_one_as_a_program_of_its_own(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    checkout.has_venv()
    checkout.machine_has("node", OLD)
    checkout.machine_has("npm", "exit 1")

    code, said = checkout.setup()
    assert code == 0, said
    assert "installing the locked Node" in said
    node = (checkout.path / ".node" / "bin" / "node").resolve()
    assert node.is_relative_to(checkout.path)
    assert node.read_bytes()[:4] == b"\x7fELF"  # a wrapper's child would survive a kill
    assert checkout.version("node").startswith("v24.")
    # npm and what it starts find this Node, not the machine's
    assert checkout.version("npm", PATH=f"{checkout.path}/machine:{os.environ['PATH']}").split(".")[0] >= "11"
    assert checkout.built.splitlines()[1].startswith("v24.")
    assert checkout.setup() == (0, "")


@pytest.mark.slow
def test_setup_node_with_a_wrong_hash_installs_nothing_and_tries_again_next_time(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    checkout.has_venv()
    lock = checkout.path / "requirements" / "node.txt"
    lock.write_text(re.sub(r"(--hash=sha256:)[0-9a-f]{64}", rf"\g<1>{'0' * 64}", lock.read_text()))
    for _ in range(2):
        code, said = checkout.setup()
        assert code != 0
        assert "THESE PACKAGES DO NOT MATCH THE HASHES" in said


# -- locks ------------------------------------------------------------------------------------------------------------


def packages() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((WORKER / "package-lock.json").read_text())["packages"]
    return found


def test_npm_lock_pins_every_package_by_digest_and_names_no_place_to_get_it_from() -> None:
    assert [name for name, package in packages().items() if "resolved" in package] == []
    assert [name for name, package in packages().items() if name and "integrity" not in package] == []
    for package in packages().values():
        package.pop("funding", None)  # addresses for gifts to authors
        assert "://" not in json.dumps(package)


def test_npm_is_configured_without_an_address_and_to_keep_the_lock_without_one() -> None:
    lines = (WORKER / ".npmrc").read_text().splitlines()
    options = dict(line.split("=") for line in lines if not line.startswith("#"))
    assert options["omit-lockfile-registry-resolved"] == "true"
    assert not [name for name in options if "registry" in name and name != "omit-lockfile-registry-resolved"]
    assert "://" not in "".join(lines)


def test_worker_has_exact_versions_and_nothing_of_others_in_it() -> None:
    package = json.loads((WORKER / "package.json").read_text())
    assert "dependencies" not in package
    assert [
        version for version in package["devDependencies"].values() if not re.fullmatch(r"[0-9][0-9.]+", version)
    ] == []
    assert {name: packages()[f"node_modules/{name}"]["version"] for name in package["devDependencies"]} == package[
        "devDependencies"
    ]


# -- the Worker -------------------------------------------------------------------------------------------------------


@needs_node
def test_worker_built_in_two_places_is_the_same(tmp_path: Path) -> None:
    built = []
    for name in ("one", "another-place"):
        copy = tmp_path / name
        shutil.copytree(WORKER, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
        (copy / "node_modules").symlink_to(WORKER / "node_modules")
        subprocess.run([NODE.parent / "npm", "run", "--silent", "build"], cwd=copy, check=True, timeout=60)
        built.append((copy / "dist" / "worker.js").read_bytes())
    assert built[0] == built[1]
    assert b"node_modules" not in built[0]
    imported = set(re.findall(rb'^import .* from "([^"]+)";$', built[0], re.MULTILINE))
    assert imported <= {b"cloudflare:email"}  # one module, and what only the runtime has


def test_worker_runs_at_one_compatibility_date_everywhere() -> None:
    configured = re.search(r'"compatibility_date": "([0-9-]+)"', (WORKER / "wrangler.jsonc").read_text())
    local = re.search(r'COMPATIBILITY_DATE = "([0-9-]+)"', (WORKER / "local" / "edge.mjs").read_text())
    assert configured and local  # noqa: PT018 - both or neither is found
    assert configured[1] == local[1]
    assert "compatibility_flags" not in (WORKER / "wrangler.jsonc").read_text()


# -- the local edge; what it does when it runs is in tests/services/test_edge.py ---------------------------------------


def edge(*arguments: str | Path, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [NODE, WORKER / "local" / "edge.mjs", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@needs_node
@pytest.mark.parametrize(
    ("config", "arguments", "expected"),
    [
        (
            '{"worker": "/nonexistent/worker.js"}',
            [],
            "/nonexistent/worker.js is not there; build it first: make worker",
        ),
        ('{"persistent": "x"}', [], 'there is no option "persistent"'),
        ("{", [], "edge.json: "),
        ("{}", ["--port", "65536"], "--port 65536 is no port"),
        ("{}", ["--ports", "1"], "--ports"),
    ],
)
def test_edge_that_cannot_start_says_why_in_one_line(
    tmp_path: Path, config: str, arguments: list[str], expected: str
) -> None:
    (tmp_path / "edge.json").write_text(config)
    with edge("--config", tmp_path / "edge.json", *arguments) as process:
        out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert error.startswith("edge: error: ")
    assert expected in error
    assert error.count("\n") == 1


@needs_node
@pytest.mark.parametrize("ending", ["terminate", "stdin"])
def test_edge_ends_well_when_it_is_told_and_when_its_parent_is_gone(tmp_path: Path, ending: str) -> None:
    (tmp_path / "worker.js").write_text("export default {};")
    (tmp_path / "edge.json").write_text(json.dumps({"worker": str(tmp_path / "worker.js"), "persist": str(tmp_path)}))
    with edge("--config", tmp_path / "edge.json", stdin=subprocess.PIPE) as process:
        assert process.stdout and process.stdin  # noqa: PT018 - for the type checker
        assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        process.terminate() if ending == "terminate" else process.stdin.close()
        assert process.wait(timeout=30) == 0
    assert not (tmp_path / "scratch").exists()
