"""What of the mail hangs on a record: known by its type and name."""

from __future__ import annotations

import pytest

from portal.edge.ownership import Ownership, OwnershipError
from portal.edge.uses import EdgeUses, uses_of
from portal.settings import PortalSettings

HOME, WORKER, API = "home.example", "homeport-mail", "mail-api.home.example"


def uses(kind: str, name: str) -> list[tuple[str, str, str]]:
    found = uses_of(kind, name, zones=(HOME, "two.example"), worker=WORKER, mail_api=API)
    assert all(use.room == "edge" for use in found)
    return [(use.kind, use.name, use.why) for use in found]


RECEIVES, PROVES = ("mail-domain", HOME, "receives-mail"), ("mail-domain", HOME, "proves-mail")
WORKER_RECEIVES, WORKER_FINDS = ("worker", WORKER, "receives-mail"), ("worker", WORKER, "finds-mail-api")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"MX {HOME}", [RECEIVES, WORKER_RECEIVES]),
        (f"MX {HOME.upper()}.", [RECEIVES, WORKER_RECEIVES]),
        (f"MX {HOME} 0123456789ab", [RECEIVES, WORKER_RECEIVES]),
        (f"TXT {HOME}", [PROVES]),
        (f"TXT _dmarc.{HOME}", [PROVES]),
        (f"TXT s1._domainkey.{HOME}", [PROVES]),
        (f"CNAME s1._domainkey.{HOME}", [PROVES]),
        (f"TXT _mta-sts.{HOME}", [PROVES]),
        (f"CNAME mta-sts.{HOME}", [PROVES]),
        (f"TXT _smtp._tls.{HOME}", [PROVES]),
        (f"CNAME {API}", [WORKER_FINDS]),
        (f"A {HOME}", []),
        (f"MX sub.{HOME}", []),
        (f"TXT _dmarc.sub.{HOME}", []),
        (f"TXT _dmarc.not{HOME}", []),
        (f"MX not{HOME}", []),
        ("MX other.example", []),
        ("", []),
    ],
)
def test_record_is_told_by_type_and_name(name: str, expected: list[tuple[str, str, str]]) -> None:
    assert uses("record", name) == expected


def test_zone_takes_its_mail_and_the_way_to_the_api_with_it() -> None:
    assert uses("zone", HOME) == [RECEIVES, WORKER_FINDS]
    assert uses("zone", "two.example") == [("mail-domain", "two.example", "receives-mail")]
    assert uses("zone", "other.example") == []


def test_worker_serves_every_domain() -> None:
    assert [name for _, name, _ in uses("worker", WORKER)] == [HOME, "two.example"]
    assert uses("worker", "another") == uses("container", WORKER) == []


def test_without_mail_domains_nothing_is_used() -> None:
    for kind, name in (("zone", HOME), ("worker", WORKER), ("record", f"CNAME {API}")):
        assert uses_of(kind, name, zones=(), worker=WORKER, mail_api=API) == []


class TestRoom:
    async def test_domains_are_those_of_the_settings_and_those_added(self, tmp_path: object) -> None:
        settings = PortalSettings.load({"HOMEPORT_PORTAL_STATE_DIR": str(tmp_path), "HOMEPORT_PORTAL_EDGE_ZONES": HOME})
        room = EdgeUses(settings)
        assert [use.name for use in await room.used_by("record", f"TXT {HOME}")] == [HOME]
        assert not await room.used_by("record", "TXT added.example")
        Ownership.load(settings.state_dir).add_zone("added.example")
        assert [use.name for use in await room.used_by("record", "TXT added.example")] == ["added.example"]

    async def test_damaged_file_is_said_and_not_taken_for_no_use(self, tmp_path: object) -> None:
        settings = PortalSettings.load({"HOMEPORT_PORTAL_STATE_DIR": str(tmp_path)})
        (settings.state_dir / "edge.json").write_text("{")
        with pytest.raises(OwnershipError):
            await EdgeUses(settings).used_by("zone", HOME)
