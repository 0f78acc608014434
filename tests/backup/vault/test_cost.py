"""The predictor against a bill that is added up hour by hour, as S3 does it."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.exit_codes import ExitCode, OverBudget
from backup.settings import VaultSettings
from backup.vault.cost import GB, GET_PER_PUT, Prediction, egress_usd, predict, require_within

SETTINGS = VaultSettings(bucket="vault")
US_EAST_1 = VaultSettings(bucket="vault", usd_per_gb_month=0.023, usd_per_1000_put=0.005, usd_per_gb_egress=0.09)


NOVEMBER = datetime(2026, 11, 22, 4, tzinfo=UTC)


def a_prediction(of: Mapping[str, int], *, settings: VaultSettings = SETTINGS, now: datetime = NOVEMBER) -> Prediction:
    planned = {"stored_bytes": 0, "objects": 0, "upload_bytes": 0, "uploads": 0, "renewals": 0} | dict(of)
    return predict(**planned, settings=settings, now=now)


@dataclass
class Bill:
    """What S3 charges for a month: bytes by the hour, requests one by one. Renewals come when a lock runs low."""

    month: datetime
    locked_bytes: int
    locks: list[datetime]  # when each needed object was locked last
    storage_usd: float = 0.0
    requests_usd: float = 0.0
    predictions: list[Prediction] = field(default_factory=list)

    def run(self, uploads: dict[int, tuple[int, int]]) -> float:
        """
        uploads   day of the month -> (objects, bytes)
        returns   the month's bill, in US dollars
        """
        nights = calendar.monthrange(self.month.year, self.month.month)[1]
        put_usd = SETTINGS.usd_per_1000_put / 1000
        for hour in range(24 * nights):
            now = self.month + timedelta(hours=hour)
            if now.hour == 4:
                self._sync(now, *uploads.get(now.day, (0, 0)), put_usd=put_usd)
            self.storage_usd += self.locked_bytes / GB * SETTINGS.usd_per_gb_month / (24 * nights)
        return self.storage_usd + self.requests_usd

    def _sync(self, now: datetime, uploads: int, upload_bytes: int, *, put_usd: float) -> None:
        due = now - timedelta(days=SETTINGS.window_days - SETTINGS.threshold_days)
        renewals = sum(1 for at in self.locks if at < due)
        self.predictions.append(
            predict(
                stored_bytes=self.locked_bytes,
                objects=len(self.locks) + uploads,
                upload_bytes=upload_bytes,
                uploads=uploads,
                renewals=renewals,
                settings=SETTINGS,
                now=now,
            )
        )
        self.locks = [now if at < due else at for at in self.locks] + [now] * uploads
        self.locked_bytes += upload_bytes
        self.requests_usd += (uploads + renewals + len(self.locks) * GET_PER_PUT) * put_usd


def test_the_last_prediction_of_a_growing_month_is_its_bill() -> None:
    """100 GB, 6,000 packs, 2 GB a day: the mirror of backup.md 6.5, which is said to cost about 3.5 dollars."""
    month = datetime(2026, 11, 1, tzinfo=UTC)
    before = [month - timedelta(days=number % 6, hours=20) for number in range(6_000)]
    bill = Bill(month, 84 * GB, before)
    usd = bill.run(dict.fromkeys(range(1, 31), (128, 2 * GB)))
    assert 3.0 < usd < 4.0
    assert usd <= bill.predictions[-1].month_usd < usd * 1.3  # what came in later is counted for the whole month
    spread = [prediction.month_usd for prediction in bill.predictions]
    assert all(0.75 * usd < each < 1.3 * usd for each in spread)


def test_a_first_upload_in_the_middle_of_a_month_is_predicted_to_the_cent() -> None:
    month = datetime(2026, 11, 1, tzinfo=UTC)
    bill = Bill(month, 0, [])
    usd = bill.run({16: (6_400, 100 * GB)})
    at_upload = bill.predictions[15]
    assert at_upload.storage_usd == pytest.approx(bill.storage_usd, abs=0.005)
    assert usd <= at_upload.month_usd < usd + 0.3  # requests of the nights before are counted, though there were none


def test_a_month_in_which_nothing_changes_is_predicted_alike_every_night() -> None:
    month = datetime(2026, 2, 1, tzinfo=UTC)
    bill = Bill(month, 50 * GB, [month - timedelta(days=number % 6) for number in range(3_000)])
    usd = bill.run({})
    assert all(each.month_usd == pytest.approx(usd, rel=0.15) for each in bill.predictions)


def test_the_table_of_the_design() -> None:
    """144 GB, 4,000 uploads and 26,000 renewals a month: 3.3 + 0.15 dollars in us-east-1."""
    found = a_prediction(
        {"stored_bytes": 144 * GB, "objects": 5_200, "uploads": 133, "renewals": 867}, settings=US_EAST_1
    )
    assert found.storage_usd == pytest.approx(3.3, abs=0.02)
    assert found.requests_usd == pytest.approx(0.15 + 0.06, abs=0.04)  # and asking for each object every night


def test_an_upload_at_the_end_of_a_month_is_held_against_the_next_one() -> None:
    """The month's own bill hardly grows by it; but its lock outlasts the month."""
    found = a_prediction({"upload_bytes": 1000 * GB, "uploads": 64_000}, now=datetime(2026, 11, 30, 20, tzinfo=UTC))
    assert found.month_usd < 1
    assert found.full_month_usd == pytest.approx(25.0)
    with pytest.raises(OverBudget) as raised:
        require_within(found, SETTINGS)
    assert raised.value.code is ExitCode.OVER_BUDGET
    assert f"{found.month_usd:.2f} USD this month and {found.full_month_usd:.2f} USD in a whole one" in str(
        raised.value
    )
    assert "the budget is 10.00 USD" in str(raised.value)
    assert "Nothing is uploaded" in str(raised.value)


def test_the_budget_itself_is_within_the_budget() -> None:
    require_within(Prediction(10.0, 10.0, 0.0, 10.0), SETTINGS)
    with pytest.raises(OverBudget):
        require_within(Prediction(10.01, 10.01, 0.0, 0.0), SETTINGS)
    with pytest.raises(OverBudget):
        require_within(Prediction(0.0, 0.0, 0.0, 10.01), SETTINGS)


def test_a_month_ends_in_utc_whatever_the_zone() -> None:
    """08:00 on the 1st in Tokyo is still the month before."""
    tokyo = datetime.fromisoformat("2026-12-01T08:00:00+09:00")
    found = a_prediction({"upload_bytes": 100 * GB}, now=tokyo)
    assert found.storage_usd == pytest.approx(100 * SETTINGS.usd_per_gb_month / (30 * 24), rel=0.01)  # one hour of it


def test_nothing_costs_nothing() -> None:
    assert a_prediction({}) == Prediction(0.0, 0.0, 0.0, 0.0)


def test_egress() -> None:
    assert egress_usd(100 * GB, SETTINGS) == pytest.approx(11.4)


SIZES = st.integers(0, 10**13)
COUNTS = st.integers(0, 10**6)
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(locked=SIZES, upload=SIZES, objects=COUNTS, uploads=COUNTS, renewals=COUNTS, now=TIMES)
def test_more_of_anything_never_costs_less(
    locked: int, upload: int, objects: int, uploads: int, renewals: int, now: datetime
) -> None:
    of = {"stored_bytes": locked, "upload_bytes": upload, "objects": objects, "uploads": uploads, "renewals": renewals}
    one = a_prediction(of, now=now)
    assert one.storage_usd >= 0
    assert one.month_usd == pytest.approx(one.storage_usd + one.requests_usd)
    for name in of:
        more = a_prediction(of | {name: of[name] * 2 + 1}, now=now)
        assert more.month_usd >= one.month_usd - 1e-9
        assert more.full_month_usd >= one.full_month_usd - 1e-9
