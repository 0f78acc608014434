"""`homeport stack init`: what it makes, with which modes; that nothing is overwritten, by two or after a kill."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kit.signing import parse_keys
from portal.stacks.prepare import CannotPrepare, prepare
from portal.stacks.secret_files import MAIL_SECRETS
from tests.portal.stacks.conftest import EXAMPLE, HOST, Workplace

DRAWN = [secret.path for secret in MAIL_SECRETS if secret.draw]
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def modes(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): oct(stat.S_IMODE(path.stat().st_mode))[2:]
        for path in (directory, *directory.rglob("*"))
    }


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_do_not_depend_on_the_umask(bare: Workplace, umask: int) -> None:
    bare.environ["MAIL_HOSTNAME"] = HOST
    before = os.umask(umask)
    try:
        prepare(bare.stack, NOW, self_signed=True)
    finally:
        os.umask(before)
    assert modes(bare.secrets) == {
        ".": "700",
        "mail-api": "755",
        "tls": "755",
        **dict.fromkeys([*DRAWN, "tls/fullchain.pem", "tls/privkey.pem"], "444"),
    }
    assert (bare.directory / ".env").read_text() == EXAMPLE


def test_secrets_are_of_their_form_and_each_is_another(bare: Workplace) -> None:
    done = prepare(bare.stack, NOW)
    made = {name: (bare.secrets / name).read_text() for name in DRAWN}
    assert len(set(made.values())) == len(made)
    assert all(secret.weakness(made[secret.path]) is None for secret in MAIL_SECRETS if secret.draw)
    assert [key.key_id for key in parse_keys(made["mail-api/keys"])] == ["k20261122"]
    assert len(made["roundcube_des_key"].strip()) == 24
    assert done.made == [".env", *(f"secrets/{name}" for name in DRAWN)]
    assert done.tightened == ["secrets"]
    assert list(done.left) == ["secrets/sendgrid_api_key", "secrets/tls"]


def test_second_run_changes_nothing(bare: Workplace) -> None:
    prepare(bare.stack, NOW)
    bare.secret("sendgrid_api_key", "given")
    before = contents(bare.directory)
    done = prepare(bare.stack, NOW)
    assert contents(bare.directory) == before
    assert (done.made, done.tightened, list(done.left)) == ([], [], ["secrets/tls"])
    assert done.kept == [".env", *(f"secrets/{name}" for name in DRAWN)]


def test_empty_file_of_the_operators_is_not_overwritten_either(bare: Workplace) -> None:
    bare.secret("roundcube_des_key", "")
    (bare.directory / ".env").write_text("MAIL_HOSTNAME=mine\n")
    prepare(bare.stack, NOW)
    assert (bare.secrets / "roundcube_des_key").read_bytes() == b""
    assert (bare.directory / ".env").read_text() == "MAIL_HOSTNAME=mine\n"


def test_many_at_once_make_one_set(bare: Workplace) -> None:
    bare.environ["MAIL_HOSTNAME"] = HOST
    with ThreadPoolExecutor(8) as threads:
        runs = list(threads.map(lambda _: prepare(bare.stack, NOW, self_signed=True), range(8)))
    made = list(itertools.chain.from_iterable(run.made for run in runs))
    assert sorted(made) == sorted([".env", "secrets/tls", *(f"secrets/{name}" for name in DRAWN)])
    assert sorted(contents(bare.secrets)) == sorted([*DRAWN, "tls/fullchain.pem", "tls/privkey.pem"])
    key = load_pem_private_key((bare.secrets / "tls/privkey.pem").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate((bare.secrets / "tls/fullchain.pem").read_bytes())
    assert key.public_key() == certificate.public_key()


def test_secrets_go_where_the_settings_say(bare: Workplace, tmp_path: Path) -> None:
    bare.environ |= {"MAIL_SECRETS_DIR": str(tmp_path / "far" / "away"), "MAIL_HOSTNAME": HOST}
    bare.environ["MAIL_TLS_DIR"] = str(tmp_path / "tls")
    prepare(bare.stack, NOW, self_signed=True)
    assert sorted(contents(tmp_path / "far" / "away")) == sorted(DRAWN)
    assert sorted(contents(tmp_path / "tls")) == ["fullchain.pem", "privkey.pem"]
    assert contents(bare.secrets) == {}


def test_certificate_needs_a_name_of_its_own(bare: Workplace) -> None:
    with pytest.raises(CannotPrepare, match="set MAIL_HOSTNAME"):
        prepare(bare.stack, NOW, self_signed=True)
    ended = bare.run("init", "mailserver", "--self-signed")
    assert (ended.code, ended.out) == (1, "")
    assert "set MAIL_HOSTNAME in .env" in ended.error
    bare.set(MAIL_HOSTNAME=HOST)
    assert bare.run("init", "mailserver", "--self-signed", "--json").document["made"] == ["secrets/tls"]


def test_certificate_that_is_there_stays(bare: Workplace) -> None:
    bare.environ["MAIL_HOSTNAME"] = HOST
    (bare.secrets / "tls").mkdir()
    (bare.secrets / "tls" / "fullchain.pem").write_text("mine")
    assert "secrets/tls" in prepare(bare.stack, NOW, self_signed=True).kept
    assert contents(bare.secrets / "tls") == {"fullchain.pem": b"mine"}


def test_stack_without_an_example_is_refused(bare: Workplace) -> None:
    (bare.directory / ".env.example").unlink()
    ended = bare.run("init", "mailserver")
    assert (ended.code, ended.out) == (1, "")
    assert "there is no .env.example" in ended.error


def test_what_is_printed_names_files_and_no_secret(bare: Workplace) -> None:
    ended = bare.run("init", "mailserver")
    assert ended.code == 0
    for name in DRAWN:
        assert f"secrets/{name}" in ended.out
        assert (bare.secrets / name).read_text().strip() not in ended.out + ended.err
    assert "left to you" in ended.out
    assert "SendGrid: Settings, API Keys" in ended.out


# -- a disk that fails, a run that is killed --------------------------------------------------------------------------

STEPS = ("mkdir", "open", "fchmod", "chmod", "write", "fsync", "link", "rename")


@contextlib.contextmanager
def at_step(number: int, act: Callable[[str], None]) -> Iterator[list[str]]:
    """Call `act` instead of the call of that number, of those that change the disk; yield the names of all."""
    seen: list[str] = []

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            seen.append(name)
            if len(seen) == number:
                act(name)
            return call(*arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        yield seen


def is_whole(work: Workplace) -> None:
    """What has its own name is complete, and closed to others."""
    for name, content in contents(work.secrets).items():
        if not name.endswith(".tmp") and ".tmp/" not in name and not name.startswith("tls/"):
            (secret,) = (each for each in MAIL_SECRETS if each.path == name)
            assert secret.weakness(content.decode()) is None
    assert sorted(contents(work.secrets / "tls")) in ([], ["fullchain.pem", "privkey.pem"])


def test_error_of_the_disk_at_any_step_leaves_whole_files_and_no_others(bare: Workplace) -> None:
    bare.environ["MAIL_HOSTNAME"] = HOST

    def fail(_: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for number in itertools.count(1):
        with at_step(number, fail) as seen, contextlib.suppress(OSError):
            prepare(bare.stack, NOW, self_signed=True)
        assert not [name for name in contents(bare.directory) if ".tmp" in name], seen
        is_whole(bare)
        if len(seen) < number:
            break
    assert len(seen) < number
    assert sorted(contents(bare.secrets)) == sorted([*DRAWN, "tls/fullchain.pem", "tls/privkey.pem"])


def test_run_that_is_killed_at_any_step_is_finished_by_the_next(bare: Workplace, tmp_path: Path) -> None:
    bare.environ |= {"MAIL_HOSTNAME": HOST}
    for number in itertools.count(1):
        bare.environ["MAIL_SECRETS_DIR"] = str(tmp_path / f"secrets-{number}")
        bare.environ["MAIL_TLS_DIR"] = str(tmp_path / f"secrets-{number}" / "tls")
        child = os.fork()
        if child == 0:
            with at_step(number, lambda _: os.kill(os.getpid(), signal.SIGKILL)):
                prepare(bare.stack, NOW, self_signed=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        directory = bare.stack.secrets_dir
        before = {name: content for name, content in contents(directory).items() if ".tmp" not in name}
        prepare(bare.stack, NOW, self_signed=True)
        after = {name: content for name, content in contents(directory).items() if ".tmp" not in name}
        assert before.items() <= after.items()
        assert sorted(after) == sorted([*DRAWN, "tls/fullchain.pem", "tls/privkey.pem"])
        assert modes(directory)["."] == "700"
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            break
