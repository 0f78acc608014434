"""The timetable as systemd units or as a cron file, for the configured zone. Pure: text out, nothing installed.

systemd: one service and one timer a row. `OnCalendar` carries the zone, `Persistent=true` catches up what was missed
while the machine was off; requests are started by path units. A service of requests that failed is started again after
a pause, and no number of failures ends that: beyond systemd's limit its path unit would fail too, and for good.

cron: Debian's cron knows no zones and catches nothing up. So it asks every half hour, and `--if-due` decides by the
table whether the run has been made since its hour. Requests are looked for every 10 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backup.requests import ACTS, Unit
from backup.schedule.timetable import HOURLY_MINUTE, TIMETABLE, Row

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HEADER = "# Written by `homeport backup schedule`; write it again after a change of backup.toml's zone."
POLL_S = 55  # of each minute
PAUSE_S = 30  # after a failure


@dataclass(frozen=True, slots=True)
class Place:
    """
    zone      such as Asia/Tokyo
    root      of the backup, as the host sees it
    config    backup.toml, without Docker
    compose   the directory of compose.yaml; None: Homeport runs without Docker
    program   homeport, without Docker
    has_vault False: rows of the vault are left out
    """

    zone: str
    root: Path
    config: Path
    compose: Path | None
    program: str
    has_vault: bool

    def command(self, unit: Unit, *arguments: str) -> str:
        """One line for a shell or for ExecStart: absolute, nothing in it needs quoting."""
        words = " ".join(arguments)
        if self.compose is not None:
            service = "backup" if unit == "run" else "backup-restore"
            return f"/usr/bin/docker compose --project-directory {self.compose} run --rm -T {service} backup {words}"
        return f"{self.program} backup {words}"


def rows(place: Place) -> list[Row]:
    return [row for row in TIMETABLE if place.has_vault or not row.needs_vault]


def unit_of(row: Row) -> Unit:
    """A drill from the vault needs the restorer's credentials, which only the restore unit has."""
    return "restore" if row.name == "vault-drill" else "run"


def command(place: Place, row: Row, *more: str) -> str:
    return place.command(unit_of(row), *row.arguments, *more, "--by", "timer")


# -- systemd


def systemd(place: Place) -> dict[str, str]:
    """Return file name -> content."""
    files: dict[str, str] = {}
    for row in rows(place):
        files[f"homeport-backup-{row.name}.service"] = _service(place, row)
        files[f"homeport-backup-{row.name}.timer"] = (
            f"{HEADER}\n[Unit]\nDescription=Homeport backup: {row.text}\n\n"
            f"[Timer]\nOnCalendar={on_calendar(row, place.zone)}\nPersistent=true\nAccuracySec=1s\n\n"
            "[Install]\nWantedBy=timers.target\n"
        )
    for unit, acts in ACTS.items():
        name = f"homeport-backup-requests-{unit}"
        globs = "".join(f"PathExistsGlob={place.root}/portal/requests/[0-9]*-{act}-*.json\n" for act in acts)
        files[f"{name}.path"] = (
            f"{HEADER}\n[Unit]\nDescription=Homeport backup: requests of the portal ({unit})\n\n"
            f"[Path]\n{globs}\n[Install]\nWantedBy=paths.target\n"
        )
        files[f"{name}.service"] = (
            f"{HEADER}\n[Unit]\nDescription=Homeport backup: requests of the portal ({unit})\n{_needs(place)}"
            "StartLimitIntervalSec=0\n\n"
            f"[Service]\nType=oneshot\nRestart=on-failure\nRestartSec={PAUSE_S}\n{_environment(place)}"
            f"ExecStart={place.command(unit, 'requests', '--unit', unit)}\n"
        )
    return files


def on_calendar(row: Row, zone: str) -> str:
    if row.at is None:
        return f"*-*-* *:{HOURLY_MINUTE:02}:00"
    weekday = f"{WEEKDAYS[row.weekday]} " if row.weekday is not None else ""
    months = ",".join(f"{month:02}" for month in row.months) if row.months else "*"
    day = f"{row.day:02}" if row.day is not None else "*"
    return f"{weekday}*-{months}-{day} {row.at:%H:%M:%S} {zone}"


def _service(place: Place, row: Row) -> str:
    # The vault comes after the night where both were missed and start at once; a run that fails does not hold it back.
    after = "After=homeport-backup-weekly.service homeport-backup-daily.service\n" if row.name == "vault" else ""
    return (
        f"{HEADER}\n[Unit]\nDescription=Homeport backup: {row.text}\n{_needs(place)}{after}\n"
        f"[Service]\nType=oneshot\nTimeoutStopSec=120\nNice=10\nIOSchedulingClass=idle\n{_environment(place)}"
        f"{_before(place, row)}ExecStart={command(place, row)}\n"
    )


def _before(place: Place, row: Row) -> str:
    if row.name != "audit-head":
        return ""
    # `-`: when the portal is down, the run still comes to see how old the head is, and the monitor hears of it.
    return f"ExecStartPre=-{audit_head(place)}\n"


def audit_head(place: Place) -> str:
    """How the portal writes the head of its audit chain, for the hour's upload."""
    if place.compose is not None:
        inside = "/var/lib/homeport-backup/requests/.audit-head.json"
        return (
            f"/usr/bin/docker compose --project-directory {place.compose} exec -T portal"
            f" homeport audit head --output {inside}"
        )
    return f"{place.program} audit head --output {place.root}/portal/requests/.audit-head.json"


def _needs(place: Place) -> str:
    if place.compose is not None:
        return "Requires=docker.service\nAfter=docker.service network-online.target\nWants=network-online.target\n"
    return f"After=network-online.target\nWants=network-online.target\nRequiresMountsFor={place.root}\n"


def _environment(place: Place) -> str:
    return "" if place.compose is not None else f"Environment=HOMEPORT_BACKUP_CONFIG={place.config}\n"


# -- cron


def cron(place: Place) -> str:
    """The content of /etc/cron.d/homeport-backup."""
    lines = [HEADER, "SHELL=/bin/sh", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    if place.compose is None:
        lines.append(f"HOMEPORT_BACKUP_CONFIG={place.config}")
    lines.append("")
    for row in rows(place):
        lines.append(f"# {row.text}: {on_calendar(row, place.zone)}")
        if row.at is None:
            lines.append(f"{HOURLY_MINUTE} * * * * root {audit_head(place)} ; {command(place, row)}")
        else:
            lines.append(f"0,30 * * * * root {command(place, row, '--if-due')}")
    lines.append("# requests of the portal, every 10 s")
    for unit in ACTS:
        poll = place.command(unit, "requests", "--unit", unit, "--poll-for", str(POLL_S))
        lines.append(f"* * * * * root {poll}")
    return "\n".join(lines) + "\n"
