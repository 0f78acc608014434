"""DNS records of the fake, through the official client."""

from __future__ import annotations

from typing import Any, cast

import cloudflare
import pytest
from cloudflare import AsyncCloudflare

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.dns import BATCH_LIMIT, BATCH_LIMIT_PAID
from tests.fakes.cloudflare.envelope import Refused
from tests.fakes.cloudflare.state import Record
from tests.fakes.conftest import ask, code_of


async def records(client: AsyncCloudflare, zone: str, **filters: Any) -> list[Any]:
    return [record async for record in client.dns.records.list(zone_id=zone, **filters)]


async def create(client: AsyncCloudflare, zone: str, type_: str, name: str, content: str, **fields: Any) -> Any:
    new = {"type": type_, "name": name, "content": content, "ttl": 1, **fields}
    return await client.dns.records.create(zone_id=zone, **cast(Any, new))


async def test_record_is_kept_with_all_its_fields(client: AsyncCloudflare, home: str) -> None:
    made = await create(
        client, home, "MX", "@", "Mail.Example.NET.", priority=0, comment="homeport 1", tags=["owner:homeport"], ttl=300
    )
    got = await client.dns.records.get(made.id, zone_id=home)
    listed = await records(client, home)
    assert got == made == listed[0]
    assert (made.name, made.content, made.priority, made.ttl) == ("home.example", "mail.example.net", 0, 300)
    assert (made.comment, made.tags, made.proxied, made.proxiable) == ("homeport 1", ["owner:homeport"], False, False)


@pytest.mark.parametrize(
    ("given", "content", "priority"),
    [
        ({"type": "A", "content": "192.0.2.1", "proxied": True}, "192.0.2.1", None),
        ({"type": "AAAA", "content": "2001:DB8:0:0::1"}, "2001:db8::1", None),
        ({"type": "CNAME", "content": "Target.example."}, "target.example", None),
        ({"type": "TXT", "content": '"v=spf1 -all"'}, '"v=spf1 -all"', None),
        ({"type": "TXT", "content": "v=spf1 -all"}, "v=spf1 -all", None),
        (
            {"type": "SRV", "data": {"priority": 0, "weight": 5, "port": 993, "target": "imap.example"}},
            "5 993 imap.example",
            0,
        ),
        (
            {"type": "CAA", "data": {"flags": 0, "tag": "issue", "value": "letsencrypt.org"}},
            '0 issue "letsencrypt.org"',
            None,
        ),
        ({"type": "NS", "content": "ns.example"}, "ns.example", None),
        (
            {"type": "HTTPS", "data": {"value": 'alpn="h3"', "target": ".", "priority": 1}},  # in the type's own order
            '1 . alpn="h3"',
            None,
        ),
        (
            {"type": "URI", "priority": 0, "data": {"weight": 1, "target": "https://a.example/"}},
            '1 "https://a.example/"',
            0,
        ),
    ],
    ids=lambda value: str(value.get("type")) if isinstance(value, dict) else "",
)
async def test_each_type_comes_back_as_cloudflare_keeps_it(
    client: AsyncCloudflare, home: str, given: dict[str, Any], content: str, priority: int | None
) -> None:
    made: Any = await client.dns.records.create(zone_id=home, **cast(Any, {"name": "sub", "ttl": 300, **given}))
    assert (made.name, made.content, getattr(made, "priority", None)) == ("sub.home.example", content, priority)
    assert made.ttl == (1 if given.get("proxied") else 300)
    assert made.id == (await records(client, home))[0].id


async def test_list_pages_to_an_empty_page(cf: CloudflareFake, client: AsyncCloudflare, home: str) -> None:
    zone = cf.state.zones["home.example"]
    zone.records += [Record("A", f"h{n}.home.example", "192.0.2.1") for n in range(5)]
    found = await records(client, home, per_page=2)
    assert [record.name for record in found] == [record.name for record in zone.records]
    assert len(cf.requests) == 4  # 2, 2, 1, and the empty one


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"type": "TXT"}, "cd"),
        ({"name": {"exact": "HOME.example"}}, "bc"),
        ({"name": {"startswith": "www"}}, "a"),
        ({"content": {"contains": "spf1"}}, "c"),
        ({"content": {"endswith": ".1"}}, "a"),
        ({"comment": {"exact": "homeport"}}, "b"),
        ({"comment": {"present": "true"}}, "bd"),
        ({"comment": {"absent": "true"}}, "ac"),
        ({"tag": {"present": "owner"}}, "d"),
        ({"tag": {"exact": "owner:x"}}, "d"),
        ({"tag": {"absent": "owner"}}, "abc"),
        ({"proxied": True}, "a"),
        ({"search": "192.0.2"}, "a"),
        ({"type": "MX", "name": {"exact": "www.home.example"}}, ""),
        ({"type": "MX", "name": {"exact": "www.home.example"}, "match": "any"}, "ab"),
        ({"order": "content", "direction": "desc"}, "dbac"),
    ],
    ids=str,
)
async def test_list_filters(
    cf: CloudflareFake, client: AsyncCloudflare, home: str, filters: dict[str, Any], found: str
) -> None:
    cf.state.zones["home.example"].records += [
        Record("A", "www.home.example", "192.0.2.1", proxied=True, id="a"),
        Record("MX", "home.example", "mx.example", priority=0, comment="homeport", id="b"),
        Record("TXT", "home.example", '"v=spf1 -all"', id="c"),
        Record("TXT", "x.home.example", "other", comment="owned", tags=["owner:x"], id="d"),
    ]
    assert "".join(record.id for record in await records(client, home, **filters)) == found


async def test_put_replaces_and_patch_keeps(client: AsyncCloudflare, home: str) -> None:
    made = await create(client, home, "MX", "@", "a.example", priority=5, comment="kept", tags=["k:v"])
    patched: Any = await client.dns.records.edit(
        made.id, zone_id=home, type="MX", name="home.example", ttl=600, content="b.example"
    )
    assert (patched.content, patched.priority, patched.comment, patched.tags) == ("b.example", 5, "kept", ["k:v"])
    put: Any = await client.dns.records.update(
        made.id, zone_id=home, type="MX", name="home.example", ttl=600, content="b.example", priority=0
    )
    assert (put.id, put.priority, put.comment, put.tags) == (made.id, 0, None, [])
    with pytest.raises(cloudflare.BadRequestError):  # a PUT says everything: an MX without priority is none
        await client.dns.records.update(made.id, zone_id=home, type="MX", name="@", ttl=1, content="b.example")


def test_patch_takes_a_single_field(cf: CloudflareFake, home: str) -> None:
    """Which the API does, and the SDK's own method does not."""
    record = Record("MX", "home.example", "a.example", priority=0, comment="old")
    cf.state.zones["home.example"].records.append(record)
    path = f"/zones/{home}/dns_records/{record.id}"
    answer = ask(cf, cf.token(), "PATCH", path, json={"comment": "new"})
    assert (answer.json()["result"]["comment"], answer.json()["result"]["priority"]) == ("new", 0)


async def test_delete_answers_the_id_and_the_second_one_is_not_found(client: AsyncCloudflare, home: str) -> None:
    made = await create(client, home, "A", "www", "192.0.2.1")
    deleted = await client.dns.records.delete(made.id, zone_id=home)
    assert deleted is not None
    assert deleted.id == made.id
    for act in (client.dns.records.delete, client.dns.records.get):
        with pytest.raises(cloudflare.NotFoundError) as missing:
            await act(made.id, zone_id=home)
        assert code_of(missing.value) == 81044


REFUSED: list[tuple[int, dict[str, Any]]] = [
    (81058, {"type": "MX", "name": "@", "content": "mx.example", "priority": 0}),
    (81057, {"type": "MX", "name": "@", "content": "mx.example", "priority": 0, "ttl": 300}),
    (81058, {"type": "TXT", "name": "@", "content": "hello"}),
    (81053, {"type": "CNAME", "name": "www", "content": "a.example"}),
    (81054, {"type": "A", "name": "alias", "content": "192.0.2.9"}),
    (9004, {"type": "MX", "name": "x", "content": "mx.example", "priority": 0, "proxied": True}),
    (9005, {"type": "A", "name": "x", "content": "mail.example"}),
    (9005, {"type": "AAAA", "name": "x", "content": "192.0.2.1"}),
    (9005, {"type": "CNAME", "name": "x"}),
    (9021, {"type": "A", "name": "x", "content": "192.0.2.1", "ttl": 59}),
    (9021, {"type": "A", "name": "x", "content": "192.0.2.1", "ttl": 86401}),
    (9102, {"type": "MX", "name": "x", "content": "mx.example"}),
    (9101, {"type": "SRV", "name": "x", "data": {"port": 1}}),
    (9101, {"type": "CAA", "name": "x", "data": {"tag": "issue"}}),
    (9101, {"type": "TLSA", "name": "x", "data": {"usage": 3, "selector": 1, "matching_type": 1}}),
    (9313, {"type": "A", "name": "x", "content": "192.0.2.1", "comment": "c" * 101}),
    (1004, {"type": "A", "name": "x", "content": "192.0.2.1", "extra_body": {"colour": "red"}}),
    (1004, {"type": "A", "name": "x", "content": "192.0.2.1", "extra_body": {"ttl": "1"}}),
]


@pytest.mark.parametrize(("code", "fields"), REFUSED)
async def test_records_that_cannot_be_are_refused(
    cf: CloudflareFake, client: AsyncCloudflare, home: str, code: int, fields: dict[str, Any]
) -> None:
    zone = cf.state.zones["home.example"]
    zone.records += [
        Record("MX", "home.example", "mx.example", priority=0),
        Record("TXT", "home.example", '"hello"'),
        Record("A", "www.home.example", "192.0.2.1"),
        Record("CNAME", "alias.home.example", "a.example"),
    ]
    before = list(zone.records)
    with pytest.raises(cloudflare.BadRequestError) as refused:
        await client.dns.records.create(zone_id=home, **cast(Any, {"ttl": 1, **fields}))
    assert code_of(refused.value) == code
    assert zone.records == before


async def test_records_that_may_stand_side_by_side_do(client: AsyncCloudflare, home: str) -> None:
    await create(client, home, "MX", "@", "mx.example", priority=0)
    await create(client, home, "MX", "@", "mx.example", priority=10)
    await create(client, home, "MX", "@", "mx2.example", priority=0)
    await create(client, home, "A", "www", "192.0.2.1")
    await create(client, home, "A", "www", "192.0.2.2")
    await create(client, home, "AAAA", "www", "2001:db8::1")
    assert len(await records(client, home)) == 6


async def test_record_may_be_changed_to_what_it_is(client: AsyncCloudflare, home: str) -> None:
    made = await create(client, home, "CNAME", "www", "a.example")
    same: Any = await client.dns.records.update(
        made.id, zone_id=home, type="CNAME", name="www", content="a.example", ttl=1
    )
    assert same.id == made.id


# Batches


async def test_batch_deletes_patches_puts_then_posts(cf: CloudflareFake, client: AsyncCloudflare, home: str) -> None:
    cf.state.zones["home.example"].records += [
        Record("A", "old.home.example", "192.0.2.1", id="1" * 32),
        Record("CNAME", "www.home.example", "a.example", id="2" * 32),
        Record("MX", "home.example", "mx.example", priority=0, comment="kept", id="3" * 32),
    ]
    answer = await client.dns.records.batch(
        zone_id=home,
        posts=[{"type": "A", "name": "www", "content": "192.0.2.7", "ttl": 1}],  # only once the CNAME is gone
        patches=cast(Any, [{"id": "3" * 32, "priority": 7}]),
        puts=[{"id": "1" * 32, "type": "A", "name": "new", "content": "192.0.2.8", "ttl": 1}],
        deletes=[{"id": "2" * 32}],
    )
    assert answer is not None
    assert answer.deletes
    assert answer.patches
    assert answer.puts
    assert answer.posts
    assert [record.id for record in answer.deletes] == ["2" * 32]
    assert [(r.type, r.name, r.priority, r.comment) for r in cf.state.zones["home.example"].records] == [
        ("A", "new.home.example", None, None),
        ("MX", "home.example", 7, "kept"),
        ("A", "www.home.example", None, None),
    ]


async def test_batch_that_fails_at_its_end_changes_nothing(
    cf: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    zone = cf.state.zones["home.example"]
    zone.records.append(Record("A", "www.home.example", "192.0.2.1", id="1" * 32))
    before = [Record(**{f: getattr(r, f) for f in Record.__dataclass_fields__}) for r in zone.records]
    with pytest.raises(cloudflare.BadRequestError) as refused:
        await client.dns.records.batch(
            zone_id=home,
            deletes=[{"id": "1" * 32}],
            posts=[
                {"type": "A", "name": "x", "content": "192.0.2.2", "ttl": 1},
                {"type": "A", "name": "x", "content": "192.0.2.2", "ttl": 1},
            ],
        )
    assert code_of(refused.value) == 81058
    assert zone.records == before


async def test_batch_is_limited_and_judged_item_by_item(cf: CloudflareFake, client: AsyncCloudflare, home: str) -> None:
    good: Any = [{"type": "A", "name": f"h{n}", "content": "192.0.2.1", "ttl": 1} for n in range(BATCH_LIMIT + 1)]
    with pytest.raises(cloudflare.BadRequestError):
        await client.dns.records.batch(zone_id=home, posts=good)
    for spoilt in ({**good[0], "ttl": "1"}, {**good[0], "colour": "red"}, {"type": "A", "name": "x", "content": "1"}):
        with pytest.raises(cloudflare.BadRequestError):
            await client.dns.records.batch(zone_id=home, posts=cast(Any, [good[1], spoilt]))
    with pytest.raises(cloudflare.BadRequestError):
        await client.dns.records.batch(zone_id=home, deletes=cast(Any, [{}]))
    assert cf.state.zones["home.example"].records == []
    await client.dns.records.batch(zone_id=home, posts=good[:BATCH_LIMIT])
    assert len(cf.state.zones["home.example"].records) == BATCH_LIMIT


async def test_batch_with_an_unknown_id_changes_nothing(cf: CloudflareFake, client: AsyncCloudflare, home: str) -> None:
    zone = cf.state.zones["home.example"]
    zone.records.append(Record("A", "www.home.example", "192.0.2.1", id="1" * 32))
    change: Any = {"type": "A", "name": "www", "content": "192.0.2.2", "ttl": 1}
    for batch in (
        {"deletes": [{"id": "1" * 32}, {"id": "2" * 32}]},
        {"puts": [change | {"id": "1" * 32}, change | {"id": "2" * 32}]},
        {"patches": [{"id": "1" * 32, "ttl": 300}, {"id": "2" * 32, "ttl": 300}]},
        {"deletes": [{"id": "1" * 32}], "patches": [{"id": "1" * 32, "ttl": 300}]},
    ):
        with pytest.raises(cloudflare.NotFoundError) as refused:
            await client.dns.records.batch(zone_id=home, **cast(Any, batch))
        assert code_of(refused.value) == 81044
        assert [(record.content, record.ttl) for record in zone.records] == [("192.0.2.1", 1)]


async def test_batch_limit_is_that_of_the_zones_plan(cf: CloudflareFake, client: AsyncCloudflare, home: str) -> None:
    zone = cf.state.zones["home.example"]
    zone.plan, zone.record_limit = "pro", 10_000
    posts: Any = [{"type": "TXT", "name": f"h{n}", "content": "x", "ttl": 1} for n in range(BATCH_LIMIT_PAID + 1)]
    path, token = f"/zones/{home}/dns_records/batch", cf.token()
    assert ask(cf, token, "POST", path, json={"posts": posts}).status_code == 400
    assert zone.records == []
    assert ask(cf, token, "POST", path, json={"posts": posts[:-1]}).status_code == 200
    assert len(zone.records) == BATCH_LIMIT_PAID


async def test_zone_takes_no_more_records_than_it_may_have(
    cf: CloudflareFake, client: AsyncCloudflare, home: str
) -> None:
    zone = cf.state.zones["home.example"]
    zone.record_limit = 2
    zone.records += [Record("A", f"h{n}.home.example", "192.0.2.1", id=str(n) * 32) for n in range(2)]
    post: Any = {"type": "A", "name": "www", "content": "192.0.2.2", "ttl": 1}
    with pytest.raises(cloudflare.BadRequestError) as refused:
        await client.dns.records.batch(zone_id=home, posts=[post])
    assert code_of(refused.value) == 81045
    await client.dns.records.batch(zone_id=home, deletes=[{"id": "0" * 32}], posts=[post])  # deletes come first
    assert [record.name for record in zone.records] == ["h1.home.example", "www.home.example"]


class TestDashboard:
    """What a test does as somebody else."""

    def test_edit_changes_the_one_record_and_keeps_the_rest_of_it(self, cf: CloudflareFake) -> None:
        zone = cf.state.zones["home.example"]
        zone.records.append(Record("A", "www.home.example", "192.0.2.1", ttl=300, comment="c", tags=["a:b"]))
        changed = cf.edit("home.example", type="A", name="www", content="192.0.2.9")
        assert zone.records == [changed]
        assert (changed.content, changed.ttl, changed.comment, changed.tags) == ("192.0.2.9", 300, "c", ["a:b"])

    def test_edit_makes_what_is_not_there(self, cf: CloudflareFake) -> None:
        made = cf.edit("home.example", type="MX", name="@", content="mx.example", priority=0)
        assert (made.name, made.ttl, made.priority) == ("home.example", 1, 0)
        assert cf.state.zones["home.example"].record("MX") == made

    def test_several_are_told_apart_by_what_they_were(self, cf: CloudflareFake) -> None:
        zone = cf.state.zones["home.example"]
        zone.records += [Record("A", "www.home.example", f"192.0.2.{n}") for n in (1, 2)]
        with pytest.raises(LookupError):
            cf.edit("home.example", type="A", name="www", content="192.0.2.9")
        cf.edit("home.example", type="A", name="www", was="192.0.2.2", content="192.0.2.9")
        cf.remove("home.example", type="A", name="www", was="192.0.2.1")
        assert [record.content for record in zone.records] == ["192.0.2.9"]
        with pytest.raises(LookupError):
            cf.remove("home.example", type="A", name="elsewhere")

    def test_dashboard_refuses_what_cannot_be(self, cf: CloudflareFake) -> None:
        with pytest.raises(Refused):
            cf.edit("home.example", type="A", name="www", content="no address")
        assert cf.state.zones["home.example"].records == []


async def test_export_is_a_zone_file(client: AsyncCloudflare, home: str) -> None:
    await create(client, home, "MX", "@", "mx.example", priority=0)
    assert "home.example.\t1\tIN\tMX\t0 mx.example\n" in await client.dns.records.export(zone_id=home)
