"""The same point out of the repository and out of the vault, the latter trampled on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from backup import drill, lock
from backup.exit_codes import LockBusy, RepositoryFailed, RestoreRefused, VerificationFailed, WrongUsage
from backup.journal import Silent
from backup.points import PointId
from backup.restore import apply, plan
from tests.backup.restore.house import ANNA, MAILBOX, House, mailbox, request, site, tree
from tests.backup.restore.vaulted import Vaulted, store

pytestmark = pytest.mark.slow

FILES = {
    f"{MAILBOX}/cur/1.M1.h:2,S": b"one" * 1000,
    f"{MAILBOX}/.Sent/cur/4.M4.h:2,RS": b"four",
    "sites/blog/files/[a]*?\\.php": b"odd",
    "sites/blog/files/b.php": b"b",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(tmp_path_factory.mktemp("house"))
    house.point(FILES, [mailbox(counts={"messages": 2, "folders": 2}), site(counts={"files": 2})])
    store(house)
    return house


@pytest.fixture
def house(whole: House, tmp_path: Path) -> House:
    """With the repository of another: no local point, nothing live."""
    house = House(tmp_path)
    shutil.copytree(whole.settings.layout.repository, house.settings.layout.repository)
    house.signer = whole.signer
    return house


def scratch_of(house: House) -> list[Path]:
    return list((house.settings.layout.state / "scratch").glob("*"))


def test_a_point_that_is_gone_here_comes_out_of_the_repository(house: House) -> None:
    with pytest.raises(RestoreRefused, match="repository or the vault"):
        plan(request("mailbox", ANNA), house.context())
    planned, report = house.restore(request("mailbox", ANNA, origin="repository"))
    assert tree(Path(report.target)) == {name: data for name, data in FILES.items() if name.startswith("mail/")}
    assert (planned.adds, planned.verified, planned.egress_usd) == (2, True, None)
    house.restore(request("site", "blog", origin="repository", where="in-place"), "in-place")
    assert tree(house.live / "blog") == {"[a]*?\\.php": b"odd", "b.php": b"b"}
    assert scratch_of(house) == []


def test_a_point_that_retention_removes_meanwhile_is_no_damage(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.point(FILES, [mailbox(counts={"messages": 2, "folders": 2}), site(counts={"files": 2})])

    class Retention(Silent):
        def step(self, name: str, **detail: object) -> None:
            if name == "restore":
                shutil.rmtree(house.settings.layout.point(house.settings.layout.sealed()[0]))

    context = replace(house.context(), journal=Retention())
    with pytest.raises(RestoreRefused, match="removed meanwhile"):
        apply(plan(request("everything"), context), context)


def test_a_point_that_the_repository_does_not_hold_is_refused(house: House) -> None:
    other = PointId.parse("daily/2026-11-20")
    with pytest.raises(RestoreRefused, match="no snapshot"):
        plan(request("mailbox", ANNA, point=other, origin="repository"), house.context())


def test_a_restore_out_of_the_repository_waits_for_a_prune(house: House) -> None:
    with (
        lock.hold(house.settings.layout.locks, "repository", who="prune", wait_s=0),
        pytest.raises(LockBusy, match="prune"),
    ):
        plan(request("mailbox", ANNA, origin="repository"), house.context())


def test_a_damaged_repository_is_restics_to_say(house: House) -> None:
    for pack in house.settings.layout.repository.glob("data/*/*"):
        pack.chmod(0o600)
        data = bytearray(pack.read_bytes())
        data[len(data) // 3] ^= 1
        pack.write_bytes(data)
    with pytest.raises((RepositoryFailed, VerificationFailed)):
        house.restore(request("everything", origin="repository"))
    assert scratch_of(house) == []
    assert not (house.root / "restored" / "run-1").exists()


def test_without_a_vault_in_the_settings_there_is_no_such_origin(house: House) -> None:
    with pytest.raises(WrongUsage, match="vault"):
        plan(request("mailbox", ANNA, origin="vault"), house.context())


@pytest.mark.services
def test_out_of_a_trampled_vault_comes_what_was_sealed(vaulted: Vaulted, tmp_path: Path) -> None:
    settings = vaulted.empty_machine(tmp_path)
    settings.layout.create()
    context = replace(vaulted.house.context(store=vaulted.restorer), settings=settings)
    planned = plan(request("mailbox", ANNA, origin="vault"), context)
    assert planned.egress_usd is not None
    fetched = settings.layout.state / "fetched-repository"
    assert fetched.is_dir()  # the restore uses it, and pays nothing
    report = apply(planned, context)
    assert not fetched.exists()
    mail = {name: data for name, data in vaulted.files.items() if name.startswith("mail/")}
    assert tree(Path(report.target)) == mail

    (result,) = drill.run(("mailbox", ANNA), "vault", context)
    assert (result.ok, result.detail, result.origin) == (True, "2 folders, 3 messages", "vault")
    assert list((settings.layout.state / "scratch").iterdir()) == []

    with pytest.raises(RestoreRefused, match="no valid seal"):
        plan(request("mailbox", ANNA, point=PointId.parse("daily/2026-11-20"), origin="vault"), context)
