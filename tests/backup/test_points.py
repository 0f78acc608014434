"""backup/points.py and backup/layout.py: names of points, and where they lie."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from backup.exit_codes import DestinationFailed
from backup.layout import Layout
from backup.points import PointId, PointKind

AT = datetime(2026, 11, 22, 3, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "kind", "name", "day", "scope"),
    [
        ("daily/2026-11-22", "daily", "2026-11-22", date(2026, 11, 22), ""),
        ("weekly-2026-02-28", "weekly", "2026-02-28", date(2026, 2, 28), ""),
        ("manual/20261122T031500Z-mail", "manual", "20261122T031500Z-mail", date(2026, 11, 22), "mail"),
        (
            "manual-20261122T031500Z-before-restore",
            "manual",
            "20261122T031500Z-before-restore",
            date(2026, 11, 22),
            "before-restore",
        ),
    ],
)
def test_an_id_reads_back_in_both_forms(text: str, kind: str, name: str, day: date, scope: str) -> None:
    point = PointId.parse(text)
    assert (point.kind, point.name, point.day, point.scope) == (kind, name, day, scope)
    assert PointId.parse(str(point)) == PointId.parse(point.flat) == point
    assert "/" not in point.flat


@pytest.mark.parametrize(
    "text",
    [
        *("", "daily", "daily/", "daily/2026-11-31", "daily/20261122", "hourly/2026-11-22", "daily/../weekly"),
        *("daily/2026-11-22/x", "daily/2026-11-22\n", "manual/2026-11-22", "manual/20261122T031500Z-"),
        *("manual/20261122T031500Z-Mail", "manual/20261332T031500Z-x", "manual/20261122T031500Z-../x", "/2026-11-22"),
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the id of a point"):
        PointId.parse(text)


def test_a_manual_point_carries_its_instant_and_scope() -> None:
    assert str(PointId.manual(AT, "mail")) == "manual/20261122T031500Z-mail"
    for scope in ("", "Mail", "a/b", "-x", "x" * 64):
        with pytest.raises(ValueError, match="scope"):
            PointId.manual(AT, scope)


def test_only_sealed_points_are_listed(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    layout.create()
    for name in ("2026-11-20", "2026-11-21", ".partial-2026-11-22", ".trash-2026-11-19", ".incomplete-2026-11-18", "x"):
        (tmp_path / "daily" / name).mkdir()
    (tmp_path / "daily" / "2026-11-23").touch()
    (tmp_path / "manual" / "20261122T031500Z-mail").mkdir()
    assert [str(point) for point in layout.sealed(PointKind.DAILY)] == ["daily/2026-11-20", "daily/2026-11-21"]
    assert [point.kind for point in layout.sealed()] == ["daily", "daily", "manual"]
    assert layout.point(layout.sealed()[0]) == tmp_path / "daily" / "2026-11-20"
    assert layout.staging(layout.sealed()[0]).name == ".partial-2026-11-20"
    layout.require()


def test_a_root_without_its_marker_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(DestinationFailed, match="not mounted"):
        Layout(tmp_path).require()
    assert list(tmp_path.iterdir()) == []
