"""The collector: what it may remove, and above all what it may not. In a vault with a clock that is told the time."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup.exit_codes import ExitCode, VaultUnreachable, VaultUnsafe
from backup.journal import Silent
from backup.points import PointId, PointKind
from backup.settings import VaultSettings
from backup.signing import Signer
from backup.vault import seal as seals
from backup.vault.collector import Collection, collect
from backup.vault.cost import GB
from backup.vault.s3_object_lock import S3ObjectLock
from backup.vault.seal import Seal
from backup.vault.vault import Stored
from tests.backup.vault.directory import DirectoryVault
from tests.clock import FakeClock
from tests.services.seaweedfs import SeaweedFS

SETTINGS = VaultSettings(bucket="vault", prefix="home/")
NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)
W = timedelta(days=SETTINGS.window_days)
DAY = 86_400.0


class Vault(DirectoryVault):
    """With a host that fills it by hand."""

    def __init__(self, directory: Path, signer: Signer) -> None:
        self.clock, self.signer = FakeClock(NOW.timestamp()), signer
        self._content = itertools.count()
        directory.mkdir(exist_ok=True)
        super().__init__(directory, self.clock, prefix=SETTINGS.prefix)

    def add(self, name: str, *, size: int = 100, lock: timedelta = W) -> Stored:
        """Given "data", "index" or the like, put a new file of that kind; return it as it is stored."""
        body = f"{name} {next(self._content)} ".encode().ljust(size, b".")
        sha256 = hashlib.sha256(body).hexdigest()
        file = {"data": f"data/{sha256[:2]}/{sha256}", "config": "config"}.get(name, f"{name}/{sha256}")
        return self.put(self.keys.file(file), body, sha256=sha256, retain_until=self.now() + lock)

    def seal(self, objects: Iterable[Stored]) -> Seal:
        point = PointId.scheduled(PointKind.DAILY, self.now().date())
        sealed = Seal(point, self.now(), "home", self.keys.prefix, (), seals.sealed_objects(objects))
        return seals.write(self, sealed, self.signer, retain_until=self.now() + W)

    def pass_days(self, days: float) -> None:
        self.clock.advance(days * DAY)

    def collect(self, *, dry_run: bool = False, signer: Signer | None = None) -> Collection:
        return collect(self, (signer or self.signer).verifier, SETTINGS, Silent(), dry_run=dry_run)

    def there(self) -> set[str]:
        return {version.key for version in self.versions("") if not version.is_delete_marker}


@pytest.fixture
def vault(tmp_path: Path, signer: Signer) -> Vault:
    return Vault(tmp_path / "vault", signer)


def unneeded(vault: Vault, *kinds: str) -> list[Stored]:
    """Files that a seal named once and that no seal names any more, expired long ago; a host that syncs on."""
    old = [vault.add(kind) for kind in kinds]
    vault.seal(old)
    vault.pass_days(37 + 7 + 45 + 1)
    vault.seal([vault.add("data")])
    return old


def test_what_nobody_names_and_nothing_locks_is_shown_and_only_shown(vault: Vault) -> None:
    old = unneeded(vault, "data", "index", "snapshots")
    before = vault.there()
    found = vault.collect(dry_run=True)
    assert {each.key for each in old} <= {each.key for each in found.expired}
    assert found.size_bytes == sum(each.size for each in found.expired)
    assert found.month_usd == pytest.approx(found.size_bytes / GB * SETTINGS.usd_per_gb_month)
    assert found.deleted == 0
    assert vault.there() == before
    assert vault.calls["delete"] == 0


def test_it_is_removed_when_told_and_once(vault: Vault) -> None:
    old = unneeded(vault, "data", "index", "snapshots")
    found = vault.collect()
    assert found.deleted == len(found.expired)
    assert not {each.key for each in old} & vault.there()
    again = vault.collect()
    assert (again.expired, again.deleted) == ((), 0)


def test_the_order_is_seals_snapshots_index_data(vault: Vault) -> None:
    """Whatever ends this early, no list of things that are gone stays behind."""
    unneeded(vault, "data", "keys", "index", "snapshots", "config", "data")
    kinds = [
        each.key.removeprefix("home/").removeprefix("repository/").split("/")[0] for each in vault.collect().expired
    ]
    assert kinds == ["seals", "seals", "snapshots", "index", "data", "data", "keys", "config"]


def test_a_canary_goes_and_an_audit_head_stays(vault: Vault) -> None:
    body = b"{}"
    sha256 = hashlib.sha256(body).hexdigest()
    canary, head = vault.keys.canary("20261122T040000Z-1"), vault.keys.audit_head(NOW)
    for key in (canary, head, "elsewhere/file"):
        vault.put(key, body, sha256=sha256, retain_until=vault.now() + W)
    unneeded(vault, "data")
    vault.collect()
    assert canary not in vault.there()
    assert {head, "elsewhere/file"} <= vault.there()


@pytest.mark.parametrize(("days", "is_there"), [(6.9, True), (7.1, False)])
def test_a_lock_that_ended_less_than_7_days_ago_keeps_its_object(vault: Vault, days: float, is_there: bool) -> None:
    old = vault.add("data", lock=timedelta(days=60))  # never named by a seal
    vault.pass_days(60 + days)
    vault.seal([vault.add("data")])
    vault.collect()
    assert (old.key in vault.there()) is is_there


@pytest.mark.parametrize(("days", "is_there"), [(44.9, True), (45.1, False)])
def test_a_seal_of_the_last_45_days_keeps_what_it_names(vault: Vault, days: float, is_there: bool) -> None:
    old = vault.add("data", lock=timedelta(days=31))
    vault.seal([old])
    vault.pass_days(days)
    vault.seal([vault.add("data")])
    vault.collect()
    assert (old.key in vault.there()) is is_there


def test_what_the_newest_seal_names_stays_though_its_lock_has_ended(vault: Vault) -> None:
    """A renewal that was missed is no reason to remove anything."""
    needed = vault.add("data")
    vault.pass_days(100)
    vault.seal([needed])
    assert vault.collect().expired == ()
    assert needed.key in vault.there()


def test_another_version_of_a_needed_key_goes_and_the_needed_one_stays(vault: Vault) -> None:
    """Seals name versions. A shadow that somebody put above one, under a lock, is nobody's."""
    needed = vault.add("data")
    vault.hide(needed.key)
    body = b"shadow"
    shadow = vault.put(needed.key, body, sha256=hashlib.sha256(body).hexdigest(), retain_until=vault.now() + W)
    vault.pass_days(50)
    vault.seal([needed])
    vault.collect()
    assert [v.version_id for v in vault.versions(needed.key) if not v.is_delete_marker] == [needed.version_id]
    assert shadow.version_id != needed.version_id


def test_a_host_that_syncs_no_more_loses_nothing(vault: Vault) -> None:
    """Expired does not mean unneeded: it may be all there is."""
    old = unneeded(vault, "data", "index", "snapshots")
    vault.pass_days(7.1)
    before = vault.there()
    with pytest.raises(VaultUnsafe, match="no seal is younger than 7 days") as raised:
        vault.collect()
    assert raised.value.code is ExitCode.VAULT_UNSAFE
    assert "Nothing was removed" in str(raised.value)
    assert vault.there() == before >= {each.key for each in old}


def test_a_vault_without_a_seal_loses_nothing(vault: Vault) -> None:
    vault.add("data")
    vault.pass_days(100)
    with pytest.raises(VaultUnsafe, match="there is none of the last weeks"):
        vault.collect()
    assert vault.calls["delete"] == 0


def test_a_seal_of_another_key_stops_it(vault: Vault) -> None:
    """Whoever can write could else make everything look unneeded, or needed for ever."""
    unneeded(vault, "data")
    stranger = Signer(Ed25519PrivateKey.generate())
    with pytest.raises(VaultUnsafe, match="is signed by the key") as raised:
        vault.collect(signer=stranger)
    assert "nothing was removed" in str(raised.value)
    assert vault.calls["delete"] == 0


def test_one_damaged_seal_among_good_ones_stops_it(vault: Vault) -> None:
    unneeded(vault, "data")
    sealed = vault.seal([vault.add("data")])
    vault.hide(sealed.key)
    data = vault.read(sealed.key, next(v.version_id for v in vault.versions(sealed.key) if not v.is_delete_marker))
    vault.overwrite(sealed.key, data.replace(b'"host":"home"', b'"host":"hom3"'))
    with pytest.raises(VaultUnsafe, match="nothing was removed"):
        vault.collect()
    assert vault.calls["delete"] == 0


def test_a_delete_marker_over_a_seal_hides_it_from_nobody(vault: Vault) -> None:
    needed = vault.add("data")
    sealed = vault.seal([needed])
    vault.hide(sealed.key)
    vault.pass_days(44.5)
    vault.seal([vault.add("data")])
    vault.collect()
    assert needed.key in vault.there()


def test_a_seal_from_the_future_stops_it(vault: Vault) -> None:
    """It would look fresh for as long as its maker likes."""
    unneeded(vault, "data")
    vault.pass_days(3)
    vault.seal([vault.add("data")])
    vault.pass_days(-1)
    with pytest.raises(VaultUnsafe, match="dated in the future"):
        vault.collect()


def test_what_has_no_lock_and_delete_markers_are_counted_and_stay(vault: Vault) -> None:
    old = unneeded(vault, "data")
    vault.overwrite(old[0].key, b"without a lock")
    hidden = vault.add("index")
    vault.hide(hidden.key)
    vault.pass_days(50)
    vault.seal([hidden])
    found = vault.collect()
    assert found.unlocked == (old[0].key,)
    assert found.markers == (hidden.key,)
    assert vault.there() >= {old[0].key, hidden.key}


def test_what_a_sync_renews_meanwhile_stays_and_is_no_error(vault: Vault) -> None:
    old = unneeded(vault, "data", "index")
    renewed = old[0]

    def renew(act: str, key: str) -> None:
        if act == "delete" and key == renewed.key:
            vault.before = lambda act, key: None
            vault.extend(renewed.key, renewed.version_id, vault.now() + W)

    vault.before = renew
    found = vault.collect()
    assert found.renewed == (renewed.key,)
    assert found.deleted == len(found.expired) - 1
    assert renewed.key in vault.there()


def test_it_goes_on_where_it_was_cut_off(vault: Vault) -> None:
    old = unneeded(vault, "data", "data", "index", "snapshots")
    count = 0

    def cut(act: str, key: str) -> None:
        nonlocal count
        count += act == "delete"
        if count == 3:
            raise VaultUnreachable("no answer")

    vault.before = cut
    with pytest.raises(VaultUnreachable):
        vault.collect()
    vault.before = lambda act, key: None
    vault.collect()
    assert not {each.key for each in old} & vault.there()


def test_two_at_once_remove_everything_once(vault: Vault) -> None:
    old = unneeded(vault, "data", "index")

    def other(act: str, key: str) -> None:
        if act == "delete":
            vault.before = lambda act, key: None
            vault.collect()

    vault.before = other
    vault.collect()
    assert not {each.key for each in old} & vault.there()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    nights=st.lists(
        st.tuples(st.floats(0.5, 9.0), st.integers(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=40
    )
)
def test_whatever_happens_the_newest_seals_of_45_days_stay_whole(
    tmp_path_factory: pytest.TempPathFactory, signer: Signer, nights: list[tuple[float, int, bool, bool]]
) -> None:
    """Nights of any length, on which files come, go, are renewed or not; the collector runs after each."""
    vault = Vault(tmp_path_factory.mktemp("vault"), signer)
    needed: list[Stored] = []
    sealed: list[Seal] = []
    for days, new, drops, renews in nights:
        vault.pass_days(days)
        needed = needed[1:] if drops else needed
        needed = needed + [vault.add("data") for _ in range(new)]
        if renews:
            for each in needed:
                vault.extend(each.key, each.version_id, vault.now() + W)
        sealed.append(vault.seal([vault.head(each.key, each.version_id) for each in needed]))
        vault.collect()
        for seal in sealed:
            if seal.sealed_at > vault.now() - timedelta(days=45):
                for named in seal.objects:
                    vault.head(named.key, named.version_id)  # NotThere, were it gone


def test_on_s3_the_collector_may_run_and_what_is_locked_stays(
    seaweedfs: SeaweedFS, signer: Signer, tmp_path: Path
) -> None:
    """No lock ends within a test: the order to delete is given for what it would be refused."""
    settings = seaweedfs.vault_settings(seaweedfs.new_bucket(), tmp_path)
    uploader, collector = S3ObjectLock(settings, "uploader"), S3ObjectLock(settings, "collector")
    body = b"pack"
    sha256 = hashlib.sha256(body).hexdigest()
    key = uploader.keys.file(f"data/{sha256[:2]}/{sha256}")
    stored = uploader.put(key, body, sha256=sha256, retain_until=uploader.now() + W)
    point = PointId.scheduled(PointKind.DAILY, NOW.date())
    sealed = Seal(point, uploader.now(), "home", "", (), seals.sealed_objects([uploader.head(key, stored.version_id)]))
    seals.write(uploader, sealed, signer, retain_until=uploader.now() + W)
    found = collect(collector, signer.verifier, settings, Silent(), dry_run=False)
    assert (found.expired, found.unlocked, found.markers) == ((), (), ())
    with pytest.raises(VaultUnsafe, match="it is still there"):
        collector.delete(key, stored.version_id)
    assert uploader.read(key, stored.version_id) == body
