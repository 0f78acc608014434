"""The table of sites: names, user ids that are given once, host names that belong to one site."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import update

from kit.clock import SystemClock
from portal.broker.schemas import FIRST_UID, LAST_UID
from portal.db import Database
from portal.integrations.php_settings import PhpSettings
from portal.probes import Use
from portal.wordpress.models import SiteRow
from portal.wordpress.names import SiteNameInvalid, check_hostnames, check_name, database_of
from portal.wordpress.sites import HostnameTaken, NewSite, NoMoreUids, NoSuchSite, Sites
from portal.wordpress.uses import uses_of


@pytest.fixture
def sites(database: Database) -> Sites:
    return Sites(database, SystemClock())


def new(name: str = "garden", *hostnames: str) -> NewSite:
    return NewSite(name, hostnames or (f"{name}.example",), "blog", "a" * 64)


async def test_a_site_is_remembered_with_all_that_belongs_to_it(sites: Sites) -> None:
    site = await sites.add(new("rose-garden", "rose.example", "www.rose.example"), operation_id="01J" + "0" * 23)
    assert (site.uid, site.state, site.url) == (FIRST_UID, "creating", "https://rose.example")
    assert (site.database, site.account) == ("wp_rose_garden", "wp_rose_garden")
    assert await sites.get("rose-garden") == site
    changed = await sites.change("rose-garden", state="active", php=PhpSettings(max_children=9), mail={"host": "m"})
    assert (changed.state, changed.php.max_children, changed.mail) == ("active", 9, {"host": "m"})
    assert changed.hostnames == ("rose.example", "www.rose.example")
    assert await sites.all() == [changed]


async def test_a_user_id_is_never_given_twice_and_a_name_can_be(sites: Sites) -> None:
    first = await sites.add(new(), operation_id=None)
    await sites.remove("garden")
    with pytest.raises(NoSuchSite):
        await sites.get("garden")
    second = await sites.add(new(), operation_id=None)
    assert second.uid == first.uid + 1
    assert [each.uid for each in await sites.removed()] == [first.uid]
    assert (await sites.all()) == [second]


async def test_ten_at_once_get_ten_user_ids(sites: Sites) -> None:
    added = await asyncio.gather(*(sites.add(new(f"s{number}"), operation_id=None) for number in range(10)))
    assert sorted(site.uid for site in added) == list(range(FIRST_UID, FIRST_UID + 10))


async def test_of_two_with_one_name_at_once_one_is_refused(sites: Sites) -> None:
    results = await asyncio.gather(*(sites.add(new(), operation_id=None) for _ in range(2)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in results) == ["Site", "SiteExists"]


async def test_a_host_name_belongs_to_one_site(sites: Sites) -> None:
    await sites.add(new("one", "one.example", "shared.example"), operation_id=None)
    with pytest.raises(HostnameTaken) as refused:
        await sites.add(new("two", "two.example", "shared.example"), operation_id=None)
    assert refused.value.extensions["site"] == "one"
    await sites.add(new("two"), operation_id=None)
    with pytest.raises(HostnameTaken):
        await sites.change("two", hostnames=("shared.example",))
    assert (await sites.get("two")).hostnames == ("two.example",)
    await sites.change("one", hostnames=("one.example",))
    assert (await sites.change("two", hostnames=("shared.example", "two.example"))).url == "https://shared.example"


async def test_the_last_user_id_is_the_last(sites: Sites, database: Database) -> None:
    await sites.add(new("first"), operation_id=None)
    await sites.remove("first")
    await database.run(lambda session: session.execute(update(SiteRow).values(uid=LAST_UID)))
    with pytest.raises(NoMoreUids):
        await sites.add(new("second"), operation_id=None)


async def test_what_is_no_member_cannot_be_changed(sites: Sites) -> None:
    await sites.add(new(), operation_id=None)
    for changes in ({"uid": 5}, {"state": "removed"}, {"state": "odd"}):
        with pytest.raises(ValueError, match=r"state|changed|removes"):
            await sites.change("garden", **changes)
    with pytest.raises(NoSuchSite):
        await sites.change("other", ring=1)


async def test_a_site_that_is_not_ready_cannot_be_acted_on(sites: Sites) -> None:
    await sites.add(new(), operation_id=None)
    with pytest.raises(NoSuchSite, match="creating"):
        await sites.active("garden")
    assert await sites.find("other") is None


@pytest.mark.parametrize(
    "name",
    ["", "A", "-a", "a-", "a_b", "a.b", "../x", "a" * 32, "default", "generation", "homeport", "\uff41", "a\n", "a b"],
)
def test_names_that_no_site_may_have(name: str) -> None:
    with pytest.raises(SiteNameInvalid):
        check_name(name)


@pytest.mark.parametrize(
    "hostnames",
    [
        (),
        ("one.example", "one.example"),
        ("ONE.example",),
        ("localhost",),
        ("127.0.0.1",),
        ("a_b.example",),
        ("-a.example",),
        (f"{'a' * 64}.example",),
        ("ü.example",),
        ("one.example\n",),
        ("*.example.org",),
        (".".join(["abcdefgh"] * 30),),
        tuple(f"h{number}.example" for number in range(21)),
    ],
)
def test_host_names_that_no_site_may_have(hostnames: tuple[str, ...]) -> None:
    with pytest.raises(SiteNameInvalid):
        check_hostnames(hostnames)


def test_two_names_never_share_a_database() -> None:
    assert database_of("a-b") == "wp_a_b"
    with pytest.raises(SiteNameInvalid):
        database_of("a_b")
    assert len(database_of("a" * 31)) <= 64


async def test_who_depends_on_database_record_and_zone(sites: Sites) -> None:
    await sites.add(new("one", "one.example", "blog.two.example"), operation_id=None)
    known = await sites.all()
    use = Use("wordpress", "site", "one", "")
    for kind, name, why in (
        ("database", "blog/wp_one", "depends-on"),
        ("record", "CNAME blog.two.example", "points-at"),
        ("zone", "two.example", "points-at"),
    ):
        assert [(each.name, each.why) for each in uses_of(kind, name, known)] == [(use.name, why)]
    for kind, name in (
        ("database", "other/wp_one"),
        ("record", "TXT one.example"),
        ("zone", "o.example"),
        ("x", "one"),
    ):
        assert uses_of(kind, name, known) == []
