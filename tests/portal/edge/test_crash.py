"""A crash at any step, and every kind of unclear answer: the next run goes on, nothing is doubled, all of it is known.

The steps are the changing requests of a deploy or destroy that goes well; each is struck in turn. What is compared is
everything at Cloudflare, with a deploy and a destroy that nothing disturbed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Address, Object, Record
from tests.portal.conftest import HOME, Edge, Ended, seen

pytestmark = pytest.mark.slow

BUCKET = "homeport-mail-retained"
# bucket, namespace, Worker, route, cron, rule (refused while Email Routing is off), proof of the permission for Email
# Routing, records, routing, rule
DEPLOY_WRITES = 10
REFUSED_RULE, PROOF = 5, 6
DESTROY_WRITES = 8  # rule, routing, records (2 formers, a merge), namespace, Worker, two state objects, bucket


def prepared(cf: CloudflareFake, directory: Path, run_cli: Callable[..., Ended]) -> Edge:
    """A zone that another server and another SPF record serve, so that there is something to put back."""
    directory.mkdir()
    zone = cf.state.zones[HOME]
    cf.state.addresses.append(Address("me@elsewhere.example", verified="2026-11-01T00:00:00Z"))
    zone.records += [
        Record("MX", HOME, "a.provider.example", priority=0, ttl=300),
        Record("MX", HOME, "b.provider.example", priority=10),
        Record("TXT", HOME, "v=spf1 include:provider.example -all"),
    ]
    return Edge(cf, directory, run_cli)


def deploy(edge: Edge) -> Ended:
    ended = edge.run("deploy", "--yes", "--replace-mail")
    if BUCKET in edge.cf.state.buckets:
        edge.cf.state.buckets[BUCKET].objects.update({"state/cursor.json": Object(b"{}"), "stats/1": Object(b"")})
    return ended


def destroy(edge: Edge) -> Ended:
    return edge.run("destroy", "--yes")


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    return {}


@pytest.fixture
def world(cf: CloudflareFake, tmp_path: Path, run_cli: Callable[..., Ended]) -> Edge:
    return prepared(cf, tmp_path / "desk", run_cli)


def reads_before_write(cf: CloudflareFake, number: int) -> int:
    """How many requests that only read came before the write of that number (from 0)."""
    at = [place for place, request in enumerate(cf.requests) if request in set(cf.writes)][number]
    return sum(1 for request in cf.requests[:at] if request.method == "GET")


@pytest.fixture
def expected(tmp_path: Path, run_cli: Callable[..., Ended], undisturbed: dict[str, Any]) -> dict[str, Any]:
    """What deploy and destroy leave when nothing goes wrong, and how many requests each makes. Found out once."""
    if not undisturbed:
        with CloudflareFake(zones=[HOME, "two.example"]) as cf:
            edge = prepared(cf, tmp_path / "undisturbed", run_cli)
            undisturbed["before"] = seen(cf)
            assert deploy(edge).code == 0
            undisturbed["deployed"] = seen(cf)
            undisturbed["deploy reads"] = [reads_before_write(cf, number) for number in range(len(cf.writes))]
            assert len(cf.writes) == DEPLOY_WRITES
            cf.requests.clear()
            assert destroy(edge).code == 0
            undisturbed["destroy reads"] = [reads_before_write(cf, number) for number in range(len(cf.writes))]
            assert len(cf.writes) == DESTROY_WRITES
            assert seen(cf) == undisturbed["before"]
    return undisturbed


@pytest.mark.parametrize("how", ["reset", "applied-then-reset", 500])
@pytest.mark.parametrize("number", range(DEPLOY_WRITES))
def test_deploy_goes_on_after_any_failed_change(world: Edge, expected: Any, number: int, how: Any) -> None:
    world.cf.fail("write", ".", how, skip=number)
    first = deploy(world)
    is_applied = how == "applied-then-reset" and number != REFUSED_RULE  # which was not applied
    if is_applied or number == PROOF:  # which changes nothing
        assert first.code == 0, first.err
    else:
        assert first.code == 1
        assert first.error
    assert deploy(world).code == 0
    assert seen(world.cf) == expected["deployed"]
    assert deploy(world).out == "Nothing to change.\n"
    assert destroy(world).code == 0
    assert seen(world.cf) == expected["before"]


@pytest.mark.parametrize("how", ["reset", "applied-then-reset", 500])
@pytest.mark.parametrize("number", range(DESTROY_WRITES))
def test_destroy_goes_on_after_any_failed_change(world: Edge, expected: Any, number: int, how: Any) -> None:
    assert deploy(world).code == 0
    world.cf.fail("write", ".", how, skip=number)
    first = destroy(world)
    if how == "applied-then-reset":
        assert first.code == 0, first.err
    else:
        assert first.code == 1
        assert first.error
    assert destroy(world).code == 0
    assert seen(world.cf) == expected["before"]
    assert world.record["things"] == []


@pytest.mark.parametrize("number", range(DEPLOY_WRITES))
def test_deploy_goes_on_when_an_act_was_done_and_never_recorded(world: Edge, expected: Any, number: int) -> None:
    """The change is carried out, its answer is lost, and every look too: the process ends knowing nothing."""
    world.cf.fail("write", ".", "applied-then-reset", skip=number)
    world.cf.fail("GET", ".", 500, skip=expected["deploy reads"][number], times=1000)
    assert deploy(world).code == 1
    world.cf.heal()
    assert deploy(world).code == 0
    assert seen(world.cf) == expected["deployed"]
    assert destroy(world).code == 0
    assert seen(world.cf) == expected["before"]


@pytest.mark.parametrize("number", range(DEPLOY_WRITES))
def test_destroy_removes_what_a_crashed_deploy_left(world: Edge, expected: Any, number: int) -> None:
    world.cf.fail("write", ".", "applied-then-reset", skip=number)
    world.cf.fail("GET", ".", 500, skip=expected["deploy reads"][number], times=1000)
    assert deploy(world).code == 1
    world.cf.heal()
    assert destroy(world).code == 0
    assert seen(world.cf) == expected["before"]


@pytest.mark.parametrize("number", range(DESTROY_WRITES))
def test_destroy_goes_on_when_an_act_was_done_and_never_recorded(world: Edge, expected: Any, number: int) -> None:
    assert deploy(world).code == 0
    world.cf.fail("write", ".", "applied-then-reset", skip=number)
    world.cf.fail("GET", ".", 500, skip=expected["destroy reads"][number], times=1000)
    assert destroy(world).code == 1
    world.cf.heal()
    assert destroy(world).code == 0
    assert seen(world.cf) == expected["before"]
