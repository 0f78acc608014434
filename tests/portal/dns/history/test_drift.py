"""What is drift, from one sight of a zone to the next. Pure."""

from __future__ import annotations

from typing import Any

from portal.dns.history.drift import Open, Reconciled, ours_of, reconcile, triples
from portal.dns.history.snapshots import values_of

Values = dict[str, dict[str, Any]]
MARKER = "homeport-edge-4711"


def zone(*contents: str, name: str = "www.home.example", **more: Any) -> Values:
    return values_of([{"type": "A", "name": name, "content": each, "ttl": 300, **more} for each in contents])


def after(
    seen: Values, now: Values, known: list[Open] | None = None, *, is_ours: bool = False, keys: set[str] | None = None
) -> Reconciled:
    return reconcile(seen, now, known or [], ours=ours_of(triples(seen, now), is_ours=is_ours, keys=keys))


def opened(found: Reconciled) -> list[Open]:
    """Its new drift, as it stands open afterwards."""
    return [Open(number, each.changes) for number, each in enumerate(found.new, start=1)]


def changed_address(old: str = "192.0.2.1", new: str = "192.0.2.2") -> list[Open]:
    return opened(after(zone(old), zone(new)))


def test_new_content_of_a_name_is_one_change_and_not_two() -> None:
    (found,) = after(zone("192.0.2.1"), zone("192.0.2.2")).new
    assert (found.paired.act, found.paired.name) == ("change", "A www.home.example")
    assert found.paired.before is not None
    assert found.paired.after is not None
    assert (found.paired.before["content"], found.paired.after["content"]) == ("192.0.2.1", "192.0.2.2")


def test_comment_alone_is_drift() -> None:
    (found,) = after(zone("192.0.2.1"), zone("192.0.2.1", comment="mine")).new
    assert (found.paired.act, found.paired.fields) == ("change", ["comment"])


def test_what_homeport_changed_is_none() -> None:
    assert after(zone("192.0.2.1"), zone("192.0.2.2"), is_ours=True) == Reconciled((), (), ())


def test_drift_that_is_as_before_again_is_settled() -> None:
    (drift,) = known = changed_address()
    found = after(zone("192.0.2.2"), zone("192.0.2.1"), known)
    assert found == Reconciled((), (), ((drift, "reverted"),))


def test_drift_that_stays_is_not_told_again() -> None:
    known = changed_address()
    assert after(zone("192.0.2.2"), zone("192.0.2.2"), known) == Reconciled((), (), ())


def test_drift_that_drifts_on_is_the_same_one_with_another_end() -> None:
    (drift,) = known = changed_address()
    found = after(zone("192.0.2.2"), zone("192.0.2.3"), known)
    ((mine, difference),) = found.changed
    assert (mine, found.new, found.settled) == (drift, (), ())
    assert difference.paired.before is not None
    assert difference.paired.after is not None
    assert (difference.paired.before["content"], difference.paired.after["content"]) == ("192.0.2.1", "192.0.2.3")


def test_drift_that_homeport_takes_back_is_reverted() -> None:
    (drift,) = known = changed_address()
    found = after(zone("192.0.2.2"), zone("192.0.2.1"), known, is_ours=True)
    assert found == Reconciled((), (), ((drift, "reverted"),))


def test_drift_that_homeport_writes_over_is_accepted() -> None:
    """Whoever planned it saw the record as it had become."""
    (drift,) = known = changed_address()
    found = after(zone("192.0.2.2"), zone("192.0.2.9"), known, is_ours=True)
    assert found == Reconciled((), (), ((drift, "accepted"),))


def test_other_drift_stays_open_while_homeport_changes_something_else() -> None:
    known = changed_address()
    other = zone("192.0.2.7", name="api.home.example")
    found = after(zone("192.0.2.2") | other, zone("192.0.2.2"), known, is_ours=True)
    assert found == Reconciled((), (), ())


def test_drift_in_a_zone_that_drifts_further_elsewhere_is_kept_apart() -> None:
    known = changed_address()
    found = after(zone("192.0.2.2"), zone("192.0.2.2") | zone("192.0.2.7", name="api.home.example"), known)
    assert [each.paired.name for each in found.new] == ["A api.home.example"]
    assert (found.changed, found.settled) == ((), ())


def test_what_homeport_did_not_mean_to_change_is_drift_even_while_it_changed_the_zone() -> None:
    elsewhere = zone("192.0.2.7", name="api.home.example")
    keys = {*zone("192.0.2.1"), *zone("192.0.2.2")}
    found = after(zone("192.0.2.1"), zone("192.0.2.2") | elsewhere, is_ours=True, keys=keys)
    assert [each.paired.name for each in found.new] == ["A api.home.example"]


def test_what_somebody_does_to_drift_that_homeport_writes_over_meanwhile_is_drift() -> None:
    """The old address, which had drifted away, comes back beside the one that Homeport writes."""
    (drift,) = known = changed_address()
    keys = {*zone("192.0.2.2"), *zone("192.0.2.9")}
    found = after(zone("192.0.2.2"), zone("192.0.2.9", "192.0.2.1"), known, is_ours=True, keys=keys)
    assert [(each.paired.act, *each.keys) for each in found.new] == [("create", *zone("192.0.2.1"))]
    assert found.settled == ((drift, "accepted"),)


def test_record_that_the_edge_made_is_told_apart() -> None:
    marked = zone("192.0.2.1", comment=MARKER)
    (made,) = after({}, marked).new
    assert made.is_of_edge(MARKER)


def test_marker_of_another_installation_or_one_that_only_begins_like_ours_is_not_the_edges() -> None:
    for comment in ("homeport-edge-0815", f"{MARKER} and more", "homeport-edge-"):
        (made,) = after({}, zone("192.0.2.1", comment=comment)).new
        assert not made.is_of_edge(MARKER)
        assert not made.is_of_edge(None)


def test_record_of_the_edge_that_somebody_changes_or_deletes_is_drift() -> None:
    marked = zone("192.0.2.1", comment=MARKER)
    for now in (zone("192.0.2.2", comment=MARKER), zone("192.0.2.1"), {}):
        (found,) = after(marked, now).new
        assert not found.is_of_edge(MARKER)
