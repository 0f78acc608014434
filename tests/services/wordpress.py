"""WordPress for the fleet: the files of scripts/wordpress-files, and a site's tree.

A tree is made by the blog stack's own program (stacks/blog/site-files), but for wp-admin and wp-includes: those are
hard links to the fleet's template and belong to root, so that seventeen sites cost no copies, and no site can write
into another one's. Whoever does so by root's hand makes a copy of the file first (`own`). What a core update replaces
is copied already.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from portal.broker import schemas, site_files
from tests.services.blog_stack import STACK
from tests.services.process import ServiceFailed

FILES = Path(__file__).resolve().parents[2] / "var" / "wordpress" / "core"
LINKED = ("wp-admin", "wp-includes")
# Of core, what every package has and the updater looks at: a test's newer core is these files alone.
CORE_PACKAGE = ("wp-includes/version.php", "wp-admin/includes/update-core.php", "readme.html")
FRESH = ".fresh"  # says that an import may still replace this WordPress


def files() -> Path:
    """Where WordPress lies. Raise ServiceFailed when it was not unpacked."""
    if not (FILES / "wp-load.php").exists():
        raise ServiceFailed("there is no WordPress: run scripts/wordpress-files")
    return FILES


@functools.cache
def core_version() -> str:
    text = (files() / "wp-includes/version.php").read_text()
    return text.split("$wp_version = '")[1].partition("'")[0]


@functools.cache
def core_checksums() -> Mapping[str, str]:
    """MD5 of every file of core, as wordpress.org tells them."""
    sums = {}
    for path in sorted(files().rglob("*")):
        name = path.relative_to(files()).as_posix()
        if path.is_file() and not name.startswith("wp-content/"):
            sums[name] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return sums


def make_template(place: Path, must_use: str) -> None:
    """The WordPress that new sites are copied from: core, and the must-use plugin given."""
    _link(files(), place)
    directory = place / "wp-content" / "mu-plugins"
    directory.mkdir()
    (directory / "tests-updates.php").write_text(must_use)
    directory.chmod(0o755)


def make_skeleton(place: Path, template: Path) -> None:
    """The template without what is linked, for the program that copies."""
    place.mkdir()
    _run("cp", "-al", *(str(path) for path in template.iterdir() if path.name not in LINKED), str(place))


def make_tree(
    sites_root: Path, template: Path, site: str, uid: int, secrets: schemas.Secrets, *, skeleton: Path
) -> None:
    """Make a site's tree.

    template   of make_template
    skeleton   of make_skeleton
    """
    request = schemas.SiteFiles(action="create", site=site, uid=uid, secrets=secrets)
    done = subprocess.run(
        ["python3", "-I", "-B", str(STACK / "site-files/program")],
        input=site_files.document(request),
        capture_output=True,
        check=False,
        env={
            **os.environ,
            "HOMEPORT_SITES_ROOT": str(sites_root),
            "HOMEPORT_WORDPRESS": str(skeleton),
        },
    )
    if done.returncode != 0:
        raise ServiceFailed(f"site-files: {done.stdout.decode()}{done.stderr.decode()}")
    (sites_root / site / FRESH).unlink()
    public = sites_root / site / "public"
    for name in LINKED:
        _link(template / name, public / name)
    _run("find", *(str(public / name) for name in LINKED), "-type", "d", "-exec", "chown", f"{uid}:{uid}", "{}", "+")
    for name in CORE_PACKAGE:
        own(public / name)
        os.chown(public / name, uid, uid)


def own(path: Path) -> None:
    """Make a file a file of its own where it was a link to everybody's."""
    if path.stat().st_nlink > 1:
        copy = path.with_name(f"{path.name}.own")
        shutil.copy2(path, copy)
        copy.replace(path)


def run_as(uid: int, argv: Iterable[str]) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *argv]


def remove(tree: Path) -> None:
    """Remove a tree of many files; Python takes its time over it."""
    _run("rm", "-rf", "--one-file-system", str(tree))


def _link(source: Path, target: Path) -> None:
    """Copy a tree by links, or file by file where the two lie on different file systems."""
    if subprocess.run(["cp", "-al", str(source), str(target)], capture_output=True, check=False).returncode != 0:
        remove(target)
        _run("cp", "-a", str(source), str(target))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)
