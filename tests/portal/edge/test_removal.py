"""What is taken back is decided without a network: zones as Cloudflare may show them, and the fake does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portal.edge.live import Live, LiveWorker, LiveZone
from portal.edge.ownership import Kind, Ownership, Thing
from portal.edge.removal import plan_removal
from portal.edge.steps import Act
from portal.integrations.cloudflare import Zone
from portal.integrations.records import exact_label
from tests.portal.conftest import HOME, TWO

FORWARD = [{"type": "forward", "value": ["me@elsewhere.example"]}]
MX = {"type": "MX", "name": HOME, "content": "mail.provider.example", "priority": 10}


def zone(name: str, catch_all: dict[str, Any]) -> LiveZone:
    rules = [catch_all]  # Cloudflare lists it with the others
    return LiveZone(
        Zone("0" * 32, name), records=[], routing={"enabled": True}, needed=[], rules=rules, catch_all=catch_all
    )


@pytest.fixture
def owned(tmp_path: Path) -> Ownership:
    owned = Ownership.load(tmp_path)
    owned.intend(Thing(Kind.FORMER_RECORD, HOME, exact_label(MX), at=0, former=MX))
    owned.intend(Thing(Kind.ROUTING, TWO, TWO, at=0, is_made=True))
    return owned


@pytest.mark.parametrize(("is_enabled", "is_switched_off"), [(True, False), (False, True)])
def test_rule_without_an_id_is_none_of_the_removed_ones(
    owned: Ownership, is_enabled: bool, is_switched_off: bool
) -> None:
    off = {"enabled": False, "matchers": [{"type": "all"}], "actions": [{"type": "drop"}]}
    theirs = {"enabled": is_enabled, "matchers": [{"type": "all"}], "actions": FORWARD}
    live = Live(None, None, None, None, {HOME: zone(HOME, off), TWO: zone(TWO, theirs)})
    steps = plan_removal(live, owned, objects=None).steps
    assert steps[0].id is None
    assert any(step.kind is Kind.ROUTING for step in steps) is is_switched_off


def test_mail_without_its_worker_says_how_it_is_brought_back(owned: Ownership) -> None:
    owned.intend(Thing(Kind.BUCKET, None, "homeport-mail-retained", at=0))
    off = {"enabled": False, "matchers": [{"type": "all"}], "actions": [{"type": "drop"}]}
    zones: Any = {HOME: zone(HOME, off), TWO: zone(TWO, off)}
    for worker, said in ((None, True), (LiveWorker({}, {}, (), False), False)):
        plan = plan_removal(Live({}, {}, worker, None, zones), owned, objects={"pending/": 1})
        assert ("`homeport edge deploy` brings it back" in plan.kept[0]) is said
        assert not [step for step in plan.steps if step.zone is None and step.act is Act.REMOVE]
