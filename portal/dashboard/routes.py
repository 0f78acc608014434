"""What stands above the rooms: the dashboard, what depends on what, the settings page. All only read."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import SecretStr

from kit.clock import now_utc
from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed
from portal.dashboard.schemas import Dashboard, JobView, ReadingView, SettingsView, SettingView, UsedByView
from portal.probes import UseView
from portal.settings import PortalSettings

router = APIRouter(prefix="/api", tags=["dashboard"], route_class=GuardedRoute)


@router.get("/dashboard")
async def read_dashboard(request: Request, actor: Annotated[Actor, allowed("dashboard:read")]) -> Dashboard:
    """The last reading of every probe, and the periodic jobs."""
    portal = request.app.state.portal
    shown = portal.readings.shown()
    readings = [
        ReadingView(
            name=probe.name,
            status=(reading := shown[probe.name]).status,
            value=reading.value,
            unit=reading.unit,
            limit=reading.limit,
            measured_at=reading.measured_at,
            detail=reading.detail,
            interval_s=probe.interval_s,
        )
        for probe in portal.readings.probes
    ]
    jobs = [
        JobView(
            name=job.name,
            every_s=job.every_s,
            is_running=job.is_running,
            last_at=job.last.began_at if job.last else None,
            last_seconds=round(job.last.seconds, 3) if job.last else None,
            last_error=job.last.error or None if job.last else None,
            next_at=job.next_at,
        )
        for job in portal.scheduler.report()
    ]
    return Dashboard(at=now_utc(portal.clock), readings=readings, jobs=jobs)


@router.get("/used-by/{kind}/{name}")
async def read_uses(
    request: Request,
    actor: Annotated[Actor, allowed("uses:read")],
    kind: Annotated[str, Path(pattern=r"^[a-z][a-z-]{0,39}$")],
    name: Annotated[str, Path(min_length=1, max_length=255)],
) -> UsedByView:
    """What suffers if this were gone, as every room knows it: such as `container` `mail-dovecot`."""
    found = await request.app.state.portal.uses.of(kind, name)
    return UsedByView(uses=[UseView.of(use) for use in found.uses], silent_rooms=list(found.silent_rooms))


@router.get("/settings")
async def read_settings(request: Request, actor: Annotated[Actor, allowed("settings:read")]) -> SettingsView:
    """Every setting with its value; of secrets, whether they are set."""
    settings: PortalSettings = request.app.state.portal.settings
    return SettingsView(
        version=request.app.version,
        database="SQLite" if request.app.state.portal.db.is_sqlite else "MariaDB",
        settings=[_setting(settings, name) for name in PortalSettings.model_fields],
    )


def _setting(settings: PortalSettings, name: str) -> SettingView:
    field, value = PortalSettings.model_fields[name], getattr(settings, name)
    is_secret = isinstance(value, SecretStr) or "SecretStr" in str(field.annotation)
    return SettingView(
        name=PortalSettings.variable(name),
        value=None if is_secret else _shown(value),
        is_secret=is_secret,
        is_set=name in settings.model_fields_set,
        description=field.description or "",
    )


def _shown(value: Any) -> str | None:
    """As it would be written in the environment."""
    if value is None:
        return None
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
