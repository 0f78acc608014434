"""What the vault will cost, before the first byte goes up. Pure: sizes, counts and prices in, US dollars out.

Under a COMPLIANCE lock nothing can be taken back: what goes up tonight is paid for until its lock ends, which is in the
next month. So two sums are held against the budget, the bill at the end of the present month and that of a whole month
with all that will be stored after this upload.

    storage    bytes x hours of the month, as S3 counts: what is there now since the month's first hour, which is a
               little too much, and the upload from now to the month's end
    requests   tonight's uploads and renewals; on every other night of the month the usual ones, each object being
               renewed once in (window - threshold) days and asked for once a night

What the collector deletes later in the month is not foreseen. Prices are settings (backup.md 6.5); traffic to S3 is
free, traffic from it is `egress_usd`.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime

from backup.exit_codes import OverBudget
from backup.settings import VaultSettings

GB = 1024**3  # S3 FAQ, "How will I be charged": 100 GB are 107,374,182,400 bytes
GET_PER_PUT = 0.08  # price of a HEAD or GET by that of a PUT: $0.0004 to $0.005 per 1,000, S3 pricing, us-east-1


@dataclass(frozen=True, slots=True)
class Prediction:
    """US dollars.

    month_usd       the bill of the present month, at its end
    storage_usd, requests_usd   its two parts
    full_month_usd  the bill of a whole month with everything that is stored after this upload
    """

    month_usd: float
    storage_usd: float
    requests_usd: float
    full_month_usd: float

    @property
    def worst_usd(self) -> float:
        return max(self.month_usd, self.full_month_usd)


def predict(
    *,
    stored_bytes: int,
    objects: int,
    upload_bytes: int,
    uploads: int,
    renewals: int,
    settings: VaultSettings,
    now: datetime,
) -> Prediction:
    """
    stored_bytes  in the bucket now, needed or not, locked or not: whatever is there is paid for
    objects       how many of the repository's files are needed, so are renewed and read back
    upload_bytes, uploads, renewals   what tonight's sync has planned
    now           aware; a month ends in UTC, as the bill does
    """
    now = now.astimezone(UTC)
    nights = calendar.monthrange(now.year, now.month)[1]
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    share_left = 1 - (now - begin).total_seconds() / (nights * 86_400)
    storage = (stored_bytes + upload_bytes * share_left) / GB * settings.usd_per_gb_month
    put_usd = settings.usd_per_1000_put / 1000
    usual_night = _usual_requests(objects, settings) * put_usd
    tonight = (uploads + renewals + objects * GET_PER_PUT) * put_usd
    requests = tonight + (nights - 1) * usual_night
    full_month = (stored_bytes + upload_bytes) / GB * settings.usd_per_gb_month + 31 * usual_night
    return Prediction(storage + requests, storage, requests, full_month)


def require_within(prediction: Prediction, settings: VaultSettings) -> None:
    """Raise OverBudget when a month would cost more than the budget."""
    if prediction.worst_usd <= settings.budget_usd:
        return
    raise OverBudget(
        f"the vault would cost {prediction.month_usd:.2f} USD this month and {prediction.full_month_usd:.2f} USD in a"
        f" whole one; the budget is {settings.budget_usd:.2f} USD. Nothing is uploaded; the local points and the"
        " repository are whole, and the locks of what the vault holds already are renewed. Find what has grown"
        " (homeport backup list), or raise vault.budget_usd"
    )


def egress_usd(size_bytes: int, settings: VaultSettings) -> float:
    """What fetching this many bytes out of S3 costs."""
    return size_bytes / GB * settings.usd_per_gb_egress


def _usual_requests(objects: int, settings: VaultSettings) -> float:
    """Of one night, in PUTs."""
    return objects / (settings.window_days - settings.threshold_days) + objects * GET_PER_PUT
