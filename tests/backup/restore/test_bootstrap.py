"""An empty machine, the recovery sheet and a vault on which somebody has trampled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backup import bootstrap
from backup.exit_codes import DestinationFailed, RestoreRefused, VaultUnreachable
from backup.journal import Silent
from backup.signing import Signer, Verifier
from backup.vault.s3_object_lock import S3ObjectLock
from backup.verify import verify_point
from tests.backup.restore.house import POINT
from tests.backup.restore.vaulted import Vaulted

pytestmark = [pytest.mark.services, pytest.mark.slow]


class CutOff(S3ObjectLock):
    """Ends like a power cut after so many files."""

    left = 3

    def fetch(self, key: str, version_id: str, target: Path, *, sha256: str) -> int:
        if self.left <= 0:
            raise VaultUnreachable("cut off")
        self.left -= 1
        return super().fetch(key, version_id, target, sha256=sha256)


def test_the_local_side_is_rebuilt_and_what_was_cut_off_goes_on(vaulted: Vaulted, tmp_path: Path) -> None:
    settings = vaulted.empty_machine(tmp_path)
    sheet = Verifier.parse(vaulted.house.signer.verifier.text)
    offers: list[bootstrap.Offer] = []

    def confirm(offer: bootstrap.Offer) -> bool:
        offers.append(offer)
        return True

    with pytest.raises(VaultUnreachable):
        bootstrap.from_vault(CutOff(vaulted.vault, "restorer"), sheet, settings, confirm=confirm, journal=Silent())
    (settings.root / "daily" / f".partial-{POINT.name}").mkdir()  # of an attempt that was cut off later
    fetched = {path for path in settings.layout.repository.rglob("*") if path.is_file()}
    assert fetched
    assert settings.layout.sealed() == []

    class KilledAtTheSecrets(Silent):
        def step(self, name: str, **detail: Any) -> None:
            if name == "unpack the secrets":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bootstrap.from_vault(vaulted.restorer(), sheet, settings, confirm=confirm, journal=KilledAtTheSecrets())
    assert settings.layout.sealed() == [POINT]

    rebuilt = bootstrap.from_vault(vaulted.restorer(), sheet, settings, confirm=confirm, journal=Silent())
    assert rebuilt.points == (POINT,)
    point = settings.layout.point(POINT)
    assert {name: (point / name).read_bytes() for name in vaulted.files} == dict(vaulted.files)
    assert verify_point(point, sheet) == []
    secret, content = vaulted.secrets
    assert rebuilt.secrets is not None
    assert (rebuilt.secrets / str(secret).lstrip("/")).read_bytes() == content
    assert rebuilt.secrets.stat().st_mode & 0o077 == 0
    assert offers[0].bytes > 0
    assert "$" in offers[0].text
    with pytest.raises(RestoreRefused, match="empty disk"):
        bootstrap.from_vault(vaulted.restorer(), sheet, settings, confirm=confirm, journal=Silent())


def test_who_says_no_to_the_price_gets_nothing(vaulted: Vaulted, tmp_path: Path) -> None:
    settings = vaulted.empty_machine(tmp_path)
    verifier = vaulted.house.signer.verifier
    with pytest.raises(RestoreRefused, match="not confirmed"):
        bootstrap.from_vault(vaulted.restorer(), verifier, settings, confirm=lambda _: False, journal=Silent())
    assert list(settings.root.iterdir()) == []


def test_another_key_than_that_of_the_sheet_finds_no_seal(vaulted: Vaulted, tmp_path: Path) -> None:
    settings = vaulted.empty_machine(tmp_path)
    other = Signer(Ed25519PrivateKey.generate()).verifier
    with pytest.raises(RestoreRefused, match="recovery sheet"):
        bootstrap.from_vault(vaulted.restorer(), other, settings, confirm=lambda _: True, journal=Silent())


def test_a_disk_that_is_not_mounted_is_not_filled(vaulted: Vaulted, tmp_path: Path) -> None:
    settings = vaulted.empty_machine(tmp_path).model_copy(update={"root": tmp_path / "not-there"})
    with pytest.raises(DestinationFailed, match="mount"):
        bootstrap.from_vault(
            vaulted.restorer(), vaulted.house.signer.verifier, settings, confirm=lambda _: True, journal=Silent()
        )
