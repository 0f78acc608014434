"""Crash loops, deaths for want of memory, failing checks: from events and RestartCount, at times the test says."""

from __future__ import annotations

from typing import Any

import pytest

from portal.broker.schemas import Container, Event
from portal.containers.trouble import GRACE_S, OOM_SHOWN_S, WINDOW_S, Trouble, Troubles

NOW = 1_800_000_000.0
ID = "ab" * 32


def _event(action: str, at: float, **more: Any) -> Event:
    base: dict[str, Any] = {"container": ID, "name": "n", "stack": "mail", "service": "s", "image": "i"}
    return Event(at=at, at_ns=int(at * 1e9), action=action, **(base | more))


def _container(**more: Any) -> Container:
    base: dict[str, Any] = {
        "id": ID,
        "name": "n",
        "stack": "mail",
        "service": "s",
        "project": None,
        "image": "i",
        "image_id": "sha256:1",
        "image_digest": None,
        "state": "running",
        "health": "none",
        "exit_code": None,
        "oom_killed": False,
        "error": None,
        "restart_count": 0,
        "restart_policy": "always",
        "created_at": NOW,
        "started_at": NOW,
        "finished_at": None,
        "ports": (),
        "networks": (),
        "protection": None,
    }
    return Container(**(base | more))


def _after(*events: tuple[str, float]) -> Troubles:
    troubles = Troubles()
    troubles.look(_container(), NOW)
    for action, at in events:
        troubles.hear(_event(action, NOW + at))
    return troubles


@pytest.mark.parametrize(
    ("events", "at", "found"),
    [
        ([("die", 0), ("die", 1)], 1, ()),
        ([("die", 0), ("die", 1), ("die", 2)], 2, ("crash-loop",)),
        ([("die", 0), ("die", 1), ("die", 2)], WINDOW_S + 0.5, ()),
        ([("die", 0), ("die", WINDOW_S), ("die", WINDOW_S + 1)], WINDOW_S + 1, ()),
        ([("kill", 0), ("die", 1), ("kill", 2), ("die", 3), ("kill", 4), ("die", 5)], 5, ()),
        ([("kill", 0), ("die", 1), ("die", 2), ("die", 3), ("die", 4)], 4, ("crash-loop",)),
        ([("kill", 0), ("die", GRACE_S + 1), ("die", GRACE_S + 2), ("die", GRACE_S + 3)], GRACE_S + 3, ("crash-loop",)),
        ([("oom", 0)], 1, ("oom",)),
        ([("oom", 0)], OOM_SHOWN_S + 1, ()),
        ([("oom", 0), ("die", 1), ("die", 2), ("die", 3)], 3, ("crash-loop", "oom")),
        ([("die", 0), ("die", 1), ("die", 2), ("destroy", 3)], 3, ()),
    ],
)
def test_trouble_follows_from_events(events: list[tuple[str, float]], at: float, found: tuple[Trouble, ...]) -> None:
    assert _after(*events).of(_container(), NOW + at) == found


def test_deaths_that_nobody_heard_show_in_the_restart_count() -> None:
    troubles = Troubles()
    troubles.look(_container(restart_count=4), NOW)
    assert troubles.of(_container(restart_count=4), NOW) == (), "long ago, for all anybody knows"
    troubles.look(_container(restart_count=7), NOW + 60)
    assert troubles.of(_container(restart_count=7), NOW + 60) == ("crash-loop",)


def test_death_that_was_heard_is_not_counted_again_whenever_its_count_shows() -> None:
    for shows_at_once in (True, False):
        troubles = Troubles()
        troubles.look(_container(), NOW)
        for number in (1, 2):
            troubles.hear(_event("die", NOW + number))
            troubles.look(_container(restart_count=number if shows_at_once else number - 1), NOW + number)
        troubles.look(_container(restart_count=2), NOW + 3)
        assert troubles.of(_container(restart_count=2), NOW + 3) == ()


def test_start_by_hand_sets_the_count_back_and_is_no_death() -> None:
    troubles = Troubles()
    troubles.look(_container(restart_count=9), NOW)
    troubles.look(_container(restart_count=0), NOW + 1)
    troubles.look(_container(restart_count=1), NOW + 2)
    assert troubles.of(_container(restart_count=1), NOW + 2) == ()


def test_state_alone_tells_when_the_portal_comes_late() -> None:
    late = _container(state="restarting", restart_count=12)
    assert Troubles().of(late, NOW) == ("crash-loop",)
    ill = _container(health="unhealthy")
    assert Troubles().of(ill, NOW) == ("unhealthy",)
    assert Troubles().of(_container(health="unhealthy", state="exited"), NOW) == ()
    troubles = Troubles()
    troubles.look(_container(oom_killed=True, state="exited", finished_at=NOW - 5), NOW)
    assert troubles.of(_container(oom_killed=True, state="exited"), NOW) == ("oom",)


def test_containers_that_are_gone_are_forgotten() -> None:
    troubles = _after(("die", 0), ("die", 1), ("die", 2))
    troubles.forget_others(set())
    assert troubles.of(_container(), NOW + 2) == ()
