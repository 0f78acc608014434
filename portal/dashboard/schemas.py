"""What the dashboard and the settings page are sent."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel

from portal.probes import Status, UseView


class ReadingView(BaseModel):
    """One measurement. `value` and `measured_at` are null when there never was one; `status` is then not ok."""

    name: str
    status: Status
    value: float | str | None
    unit: str
    limit: str
    measured_at: AwareDatetime | None
    detail: str
    interval_s: float


class JobView(BaseModel):
    """A periodic job: its last run, and the next one (null while it runs)."""

    name: str
    every_s: float
    is_running: bool
    last_at: AwareDatetime | None
    last_seconds: float | None
    last_error: str | None
    next_at: AwareDatetime | None


class Dashboard(BaseModel):
    at: AwareDatetime
    readings: list[ReadingView]
    jobs: list[JobView]


class UsedByView(BaseModel):
    """The gravest first, room by room. silent_rooms: could not say in time; what hangs on it there is unknown."""

    uses: list[UseView]
    silent_rooms: list[str]


class SettingView(BaseModel):
    """One setting. A secret's `value` is null, whether it is set or not."""

    name: str
    value: str | None
    is_secret: bool
    is_set: bool
    description: str


class SettingsView(BaseModel):
    """How this portal was started. Nothing of it can be changed while it runs."""

    version: str
    database: str
    settings: list[SettingView]
