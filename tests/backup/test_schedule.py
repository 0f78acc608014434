"""When what runs: the timetable in any zone, and the files that make it run. Every command line in them is executed."""

from __future__ import annotations

import re
import shlex
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from backup.commands import app
from backup.points import PointKind
from backup.schedule import render
from backup.schedule.timetable import TIMETABLE, Row, last_at, next_at, row, scheduled_day
from tests.backup.houses import make_house

TOKYO, BERLIN = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin")
ZONES = ("Asia/Tokyo", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
times = st.integers(1_704_067_200, 1_893_456_000).map(lambda at: datetime.fromtimestamp(at, UTC))  # 2024 to 2030
rows = st.sampled_from(TIMETABLE)
zones = st.sampled_from(ZONES).map(ZoneInfo)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# -- the timetable


def test_times_of_the_design() -> None:
    now = at("2026-11-20T12:00+09:00")  # a Friday
    expected = {
        "weekly": "2026-11-22T02:00+09:00",
        "daily": "2026-11-21T03:00+09:00",
        "vault": "2026-11-21T04:00+09:00",
        "drill": "2026-12-01T05:00+09:00",
        "vault-drill": "2027-01-01T06:00+09:00",
        "vault-verify": "2026-11-22T07:00+09:00",
        "audit-head": "2026-11-20T12:05+09:00",
    }
    assert {each.name: next_at(each, now, TOKYO) for each in TIMETABLE} == {
        name: at(text) for name, text in expected.items()
    }


@given(rows, times, zones)
def test_next_and_last_enclose_the_present(each: Row, now: datetime, zone: ZoneInfo) -> None:
    before, after = last_at(each, now, zone), next_at(each, now, zone)
    assert before <= now < after
    assert next_at(each, before, zone) == after
    assert last_at(each, after, zone) == after


@given(times, zones)
def test_every_local_date_has_one_daily_run_whatever_the_clocks_do(now: datetime, zone: ZoneInfo) -> None:
    first = next_at(row("daily"), now, zone)
    second = next_at(row("daily"), first, zone)
    days = [each.astimezone(zone).date() for each in (first, second)]
    assert days[1] - days[0] == timedelta(days=1)
    assert timedelta(hours=22) <= second - first <= timedelta(hours=26)


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-11-22T03:00:00+09:00", date(2026, 11, 22)),
        ("2026-11-22T02:59:59+09:00", date(2026, 11, 21)),
        ("2026-11-23T01:00:00+09:00", date(2026, 11, 22)),  # caught up after a night without power
        ("2026-11-22T23:30:00+09:00", date(2026, 11, 22)),
    ],
)
def test_point_has_the_date_it_was_scheduled_for(now: str, day: date) -> None:
    assert scheduled_day(PointKind.DAILY, at(now), TOKYO) == day


def test_weekly_point_caught_up_on_tuesday_is_sundays() -> None:
    assert scheduled_day(PointKind.WEEKLY, at("2026-11-24T08:00+09:00"), TOKYO) == date(2026, 11, 22)


def test_hour_that_does_not_exist_is_not_left_out() -> None:
    """On 2026-03-29 Berlin goes from 02:00 to 03:00, on a Sunday."""
    assert next_at(row("weekly"), at("2026-03-28T12:00+01:00"), BERLIN) == at("2026-03-29T03:00+02:00")


# -- the files


def place(house_root: Path, *, compose: Path | None = None) -> render.Place:
    return render.Place(
        "Asia/Tokyo", house_root, Path("/etc/homeport/backup.toml"), compose, "/usr/local/bin/homeport", has_vault=True
    )


def command_lines(text: str) -> list[list[str]]:
    """Every command in a unit or a cron file, as words."""
    found = re.findall(r"^Exec\w+=(.*)$", text, re.M) + re.findall(r"^[\d*,/]+(?: [\d*,/]+){4} root (.*)$", text, re.M)
    return [shlex.split(each) for line in found for each in line.removeprefix("-").split(" ; ")]


def homeport_words(words: list[str]) -> list[str]:
    """What follows `homeport`, also where a container is started for it."""
    if "docker" not in words[0]:
        assert words[0] == "/usr/local/bin/homeport"
        return words[1:]
    assert words[1:3] == ["compose", "--project-directory"]
    rest = words[words.index("-T") + 1 :]
    return rest[2:] if rest[0] == "portal" else rest[1:]


@pytest.mark.parametrize("compose", [None, Path("/opt/homeport")], ids=["host", "docker"])
@pytest.mark.parametrize("kind", ["systemd", "cron"])
def test_every_command_line_of_the_schedule_exists(kind: str, compose: Path | None, tmp_path: Path) -> None:
    where = place(tmp_path, compose=compose)
    texts = list(render.systemd(where).values()) if kind == "systemd" else [render.cron(where)]
    commands = [homeport_words(words) for text in texts for words in command_lines(text)]
    backups = [words[1:] for words in commands if words[0] == "backup"]
    assert {
        " ".join(words[: words.index("--by")]).removesuffix(" --if-due") for words in backups if "--by" in words
    } == {each.verb for each in TIMETABLE}
    for words in backups:
        shown = CliRunner().invoke(app, [*words, "--help"])
        assert shown.exit_code == 0, words
        options = {word for word in words if word.startswith("--")}
        assert options <= set(re.findall(r"--[a-z-]+", shown.output)), words
    assert [words for words in commands if words[0] != "backup"] == [
        ["audit", "head", "--output", words[3]] for words in commands if words[0] == "audit"
    ]


def test_run_of_the_schedule_works_as_it_stands_there(tmp_path: Path) -> None:
    """Not only --help: the daily line, with a real backup.toml, as a dry run."""
    config = written_settings(tmp_path)
    [words] = command_lines(render.systemd(place(tmp_path))["homeport-backup-daily.service"])
    ended = CliRunner().invoke(app, [*words[2:], "--dry-run", "--config", str(config)])
    assert ended.exit_code == 0, ended.output
    assert "retention then decides" in ended.output


def test_schedule_without_a_vault_has_no_line_of_it(tmp_path: Path) -> None:
    where = render.Place("UTC", tmp_path, Path("/x"), None, "/usr/bin/homeport", has_vault=False)
    assert "vault" not in render.cron(where)
    assert not [name for name in render.systemd(where) if "vault" in name or "audit" in name]


def test_timers_carry_the_zone_and_catch_up(tmp_path: Path) -> None:
    files = render.systemd(place(tmp_path))
    timers = {name: text for name, text in files.items() if name.endswith(".timer")}
    assert all("Persistent=true" in text for text in timers.values())
    assert "OnCalendar=Sun *-*-* 02:00:00 Asia/Tokyo" in timers["homeport-backup-weekly.timer"]
    assert "OnCalendar=*-*-* 03:00:00 Asia/Tokyo" in timers["homeport-backup-daily.timer"]
    assert "OnCalendar=*-01,04,07,10-01 06:00:00 Asia/Tokyo" in timers["homeport-backup-vault-drill.timer"]
    assert (
        "After=homeport-backup-weekly.service homeport-backup-daily.service" in files["homeport-backup-vault.service"]
    )


def test_path_units_see_each_act_and_only_theirs(tmp_path: Path) -> None:
    files = render.systemd(place(tmp_path))
    globs = {
        unit: set(re.findall(r"requests/\[0-9\]\*-(\w+)-\*\.json", files[f"homeport-backup-requests-{unit}.path"]))
        for unit in ("run", "restore")
    }
    assert globs == {"run": {"run", "verify", "drill"}, "restore": {"preview", "restore", "vaultdrill"}}


def test_requests_are_taken_again_however_often_their_service_has_failed(tmp_path: Path) -> None:
    """Five failures within ten seconds are systemd's limit; a service beyond it fails its path unit, for good."""
    files = render.systemd(place(tmp_path))
    for unit in ("run", "restore"):
        head, service = files[f"homeport-backup-requests-{unit}.service"].split("[Service]\n")
        assert "\nStartLimitIntervalSec=0\n" in head
        assert {"Restart=on-failure", "RestartSec=30"} <= set(service.splitlines())


def test_audit_head_is_looked_at_also_when_the_portal_does_not_write_it(tmp_path: Path) -> None:
    service = render.systemd(place(tmp_path))["homeport-backup-audit-head.service"]
    assert "ExecStartPre=-/usr/local/bin/homeport audit head" in service
    (line,) = [each for each in render.cron(place(tmp_path)).splitlines() if "vault audit-head" in each]
    head, put = line.split(" root ")[1].split(" ; ")
    assert head.startswith("/usr/local/bin/homeport audit head")
    assert put.startswith("/usr/local/bin/homeport backup vault audit-head")


def test_systemd_takes_the_units_as_they_stand(tmp_path: Path) -> None:
    where = render.Place("UTC", tmp_path, Path("/x"), None, "/bin/true", has_vault=True)
    for name, text in render.systemd(where).items():
        (tmp_path / name).write_text(text)
    paths = [str(path) for path in sorted(tmp_path.glob("homeport-*"))]
    checked = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, timeout=60)
    assert "homeport-backup" not in checked.stderr, checked.stderr


def test_systemd_itself_agrees(tmp_path: Path) -> None:
    for each in TIMETABLE:
        argv = ["systemd-analyze", "calendar", render.on_calendar(each, "Asia/Tokyo")]
        assert subprocess.run(argv, capture_output=True, timeout=30).returncode == 0


def test_schedule_command_shows_what_comes_next_and_writes_the_files(tmp_path: Path) -> None:
    config = written_settings(tmp_path)
    into = tmp_path / "units"
    into.mkdir()
    for words in ([], ["--cron"], ["--systemd", "--into", str(into)], ["--systemd", "--docker", "/opt/homeport"]):
        ended = CliRunner().invoke(app, ["schedule", "--config", str(config), *words])
        assert ended.exit_code == 0, ended.output
        assert "run daily" in ended.output or "homeport-backup-daily.timer" in ended.output
    assert (into / "homeport-backup-daily.timer").is_file()


def test_with_docker_the_files_name_the_root_as_the_host_has_it(tmp_path: Path) -> None:
    words = ["--systemd", "--docker", "/opt/homeport", "--host-root", "/mnt/second"]
    ended = CliRunner().invoke(app, ["schedule", "--config", str(written_settings(tmp_path)), *words])
    assert ended.exit_code == 0
    assert "PathExistsGlob=/mnt/second/portal/requests/" in ended.output
    assert str(tmp_path / "root") not in ended.output


@pytest.mark.parametrize("name", ["gone", "a file"])
def test_schedule_command_says_where_it_cannot_write(name: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    config = written_settings(tmp_path)
    ended = CliRunner().invoke(app, ["schedule", "--config", str(config), "--cron", "--into", str(tmp_path / name)])
    assert (ended.exit_code, type(ended.exception)) == (2, SystemExit)
    assert f"{tmp_path / name}/homeport-backup was not written" in ended.output


@pytest.mark.parametrize(
    "words", [["--cron", "--systemd"], ["--cron", "--docker", "relative"], ["--cron", "--program", "/a b"]]
)
def test_schedule_command_refuses_what_would_make_broken_files(words: list[str], tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["schedule", "--config", str(written_settings(tmp_path)), *words])
    assert ended.exit_code == 2


def written_settings(directory: Path) -> Path:
    house = make_house(directory)
    sources, settings = directory / "data", house.settings
    config = directory / "backup.toml"
    config.write_text(
        f'root = "{settings.root}"\n'
        f'signing_key_file = "{settings.signing_key_file}"\n'
        f'public_key_file = "{settings.public_key_file}"\n'
        "[sources]\nallow_same_device = true\n"
        f'[[sources.files]]\nname = "config"\npaths = ["{sources}/config"]\n'
    )
    return config
