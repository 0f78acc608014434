"""Workers KV and R2 of the fake, through the official client."""

from __future__ import annotations

import json
import time
from typing import Any, cast

import cloudflare
import pytest
from cloudflare import AsyncCloudflare

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.kv import BULK_GET_LIMIT, MAX_KEY_BYTES, MAX_METADATA_BYTES
from tests.fakes.cloudflare.state import Bucket, Module, Namespace, Object, Script, Value
from tests.fakes.conftest import ask, code_of

BYTES = b"\r\n--\r\n\xff\x00\n"  # what a careless multipart parser loses


@pytest.fixture
def namespace(cf: CloudflareFake) -> str:
    """The id of a KV namespace."""
    cf.state.namespaces.append(Namespace("homeport-mail-recipients"))
    return cf.state.namespaces[0].id


async def read(client: AsyncCloudflare, account: str, namespace: str, key: str) -> bytes:
    answer = await client.kv.namespaces.values.get(key, account_id=account, namespace_id=namespace)
    return await answer.read()


# KV namespaces


async def test_namespace_lives_through_create_get_rename_delete(client: AsyncCloudflare, account: str) -> None:
    kv = client.kv.namespaces
    made = await kv.create(account_id=account, title="one")
    assert made is not None
    assert await kv.get(made.id, account_id=account) == made
    with pytest.raises(cloudflare.BadRequestError) as taken:
        await kv.create(account_id=account, title="one")
    assert code_of(taken.value) == 10014
    assert (await kv.update(made.id, account_id=account, title="one")).id == made.id
    assert (await kv.update(made.id, account_id=account, title="two")).title == "two"
    await kv.delete(made.id, account_id=account)
    with pytest.raises(cloudflare.NotFoundError) as missing:
        await kv.get(made.id, account_id=account)
    assert code_of(missing.value) == 10013


async def test_namespace_under_a_worker_stays(
    cf: CloudflareFake, client: AsyncCloudflare, account: str, namespace: str
) -> None:
    script = Script("edge", "w.js", {"w.js": Module("application/javascript+module", b"export")})
    script.bindings.append({"type": "kv_namespace", "name": "RECIPIENTS", "namespace_id": namespace})
    cf.state.scripts["edge"] = script
    with pytest.raises(cloudflare.BadRequestError) as refused:
        await client.kv.namespaces.delete(namespace, account_id=account)
    assert code_of(refused.value) == 10052
    await client.workers.scripts.delete("edge", account_id=account)
    await client.kv.namespaces.delete(namespace, account_id=account)
    assert cf.state.namespaces == []


async def test_namespaces_page_to_an_empty_page(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    cf.state.namespaces += [Namespace(f"n{number}") for number in range(5)]
    kv = client.kv.namespaces
    found = [namespace.title async for namespace in kv.list(account_id=account, order="title", per_page=2)]
    assert found == ["n0", "n1", "n2", "n3", "n4"]
    assert len(cf.requests) == 4
    backwards = [n.title async for n in kv.list(account_id=account, order="title", direction="desc")]
    assert backwards == found[::-1]


async def test_namespace_id_that_is_none_is_a_bad_request(client: AsyncCloudflare, account: str) -> None:
    with pytest.raises(cloudflare.BadRequestError):
        await client.kv.namespaces.get("homeport", account_id=account)
    with pytest.raises(cloudflare.BadRequestError):
        await client.kv.namespaces.create(account_id=account, title=" ")
    with pytest.raises(cloudflare.BadRequestError):
        await client.kv.namespaces.create(account_id=account, title="t", extra_body={"colour": "red"})


# KV values


@pytest.mark.parametrize("key", ["plain", "recipients/home.example", "a b", "%2F", "ü?#&=+:!", "x" * MAX_KEY_BYTES])
async def test_value_is_kept_byte_for_byte_under_any_key(
    cf: CloudflareFake, client: AsyncCloudflare, account: str, namespace: str, key: str
) -> None:
    await client.kv.namespaces.values.update(
        key, account_id=account, namespace_id=namespace, value=BYTES, metadata={"generation": 3}
    )
    assert [*cf.state.namespaces[0].values] == [key]
    assert await read(client, account, namespace, key) == BYTES
    metadata = await client.kv.namespaces.metadata.get(key, account_id=account, namespace_id=namespace)
    assert metadata == {"generation": 3}


async def test_value_without_metadata_and_as_a_raw_body(
    cf: CloudflareFake, client: AsyncCloudflare, account: str, namespace: str
) -> None:
    await client.kv.namespaces.values.update("a", account_id=account, namespace_id=namespace, value=b"{}")
    assert await client.kv.namespaces.metadata.get("a", account_id=account, namespace_id=namespace) is None
    path = f"/accounts/{account}/storage/kv/namespaces/{namespace}/values/b"
    assert ask(cf, cf.token(), "PUT", path, content=BYTES).status_code == 200
    assert await read(client, account, namespace, "b") == BYTES


async def test_missing_key_is_not_found_and_its_deletion_succeeds(
    client: AsyncCloudflare, account: str, namespace: str
) -> None:
    with pytest.raises(cloudflare.NotFoundError) as missing:
        await read(client, account, namespace, "none")
    assert code_of(missing.value) == 10009
    await client.kv.namespaces.values.delete("none", account_id=account, namespace_id=namespace)
    await client.kv.namespaces.values.update("k", account_id=account, namespace_id=namespace, value=b"v")
    await client.kv.namespaces.values.delete("k", account_id=account, namespace_id=namespace)
    with pytest.raises(cloudflare.NotFoundError):
        await read(client, account, namespace, "k")


async def test_expired_value_is_gone(cf: CloudflareFake, client: AsyncCloudflare, account: str, namespace: str) -> None:
    values = client.kv.namespaces.values
    await values.update("k", account_id=account, namespace_id=namespace, value=b"v", expiration_ttl=60)
    stored = cf.state.namespaces[0].values["k"]
    assert stored.expiration is not None
    answer = await values.get("k", account_id=account, namespace_id=namespace)
    assert answer.headers["expiration"] == str(stored.expiration)
    stored.expiration = int(time.time()) - 1
    with pytest.raises(cloudflare.NotFoundError):
        await read(client, account, namespace, "k")
    assert [k async for k in client.kv.namespaces.keys.list(namespace, account_id=account)] == []
    for wrong in ({"expiration_ttl": 59}, {"expiration": time.time()}):
        with pytest.raises(cloudflare.BadRequestError):
            await values.update("k", account_id=account, namespace_id=namespace, value=b"v", **cast(Any, wrong))


async def test_values_that_cannot_be_are_refused(client: AsyncCloudflare, account: str, namespace: str) -> None:
    values = client.kv.namespaces.values
    too_long: Any = {"m": "x" * MAX_METADATA_BYTES}
    with pytest.raises(cloudflare.BadRequestError):
        await values.update("k", account_id=account, namespace_id=namespace, value=b"v", metadata=too_long)
    with pytest.raises(cloudflare.APIStatusError):
        await values.update("k" * (MAX_KEY_BYTES + 1), account_id=account, namespace_id=namespace, value=b"v")
    with pytest.raises(RuntimeError):  # the SDK's own doing: text isn't taken, though its types say so
        await values.update("k", account_id=account, namespace_id=namespace, value="v")


async def test_keys_are_listed_by_prefix_with_a_cursor(
    cf: CloudflareFake, client: AsyncCloudflare, account: str, namespace: str
) -> None:
    stored = cf.state.namespaces[0].values
    stored |= {f"recipients/{n:02}.example": Value(b"", {"n": n}) for n in range(25)}
    stored["other"] = Value(b"")
    keys = client.kv.namespaces.keys
    found = [key async for key in keys.list(namespace, account_id=account, prefix="recipients/", limit=10)]
    assert [key.name for key in found] == sorted(stored)[1:]
    assert found[3].metadata == {"n": 3}
    assert len(cf.requests) == 3
    with pytest.raises(cloudflare.BadRequestError):
        await keys.list(namespace, account_id=account, limit=9)


async def test_bulk_puts_gets_and_deletes(
    cf: CloudflareFake, client: AsyncCloudflare, account: str, namespace: str
) -> None:
    kv = client.kv.namespaces
    put = await kv.bulk_update(
        namespace,
        account_id=account,
        body=[
            {"key": "a", "value": json.dumps({"x": 1}), "metadata": {"m": 1}},
            {"key": "b", "value": "/w==", "base64": True},
        ],
    )
    assert put is not None
    assert put.successful_key_count == 2
    assert cf.state.namespaces[0].values["b"].data == b"\xff"
    got: Any = await kv.bulk_get(namespace, account_id=account, keys=["a", "none"], type="json", with_metadata=True)
    assert got.values["a"].value == {"x": 1}
    assert got.values["a"].metadata == {"m": 1}
    assert got.values["none"] is None
    with pytest.raises(cloudflare.BadRequestError):
        await kv.bulk_get(namespace, account_id=account, keys=["k"] * (BULK_GET_LIMIT + 1))
    for bad in ([{"key": "c"}], [{"key": "c", "value": 1}], [{"key": "c", "value": "-", "base64": True}], {"key": "c"}):
        with pytest.raises(cloudflare.BadRequestError):
            await kv.bulk_update(namespace, account_id=account, body=cast(Any, bad))
    deleted = await kv.bulk_delete(namespace, account_id=account, body=["a", "none"])
    assert deleted is not None
    assert [*cf.state.namespaces[0].values] == ["b"]


# R2


@pytest.fixture
def bucket(cf: CloudflareFake) -> Bucket:
    cf.state.buckets["bucket"] = Bucket("bucket")
    return cf.state.buckets["bucket"]


async def test_bucket_lives_through_create_get_edit_delete(client: AsyncCloudflare, account: str) -> None:
    buckets = client.r2.buckets
    made = await buckets.create(account_id=account, name="homeport-mail-retained", location_hint="weur")
    assert (made.name, made.location, made.storage_class) == ("homeport-mail-retained", "weur", "Standard")
    assert await buckets.get("homeport-mail-retained", account_id=account) == made
    with pytest.raises(cloudflare.ConflictError) as taken:
        await buckets.create(account_id=account, name="homeport-mail-retained")
    assert code_of(taken.value) == 10004
    edited = await buckets.edit("homeport-mail-retained", account_id=account, storage_class="InfrequentAccess")
    assert edited.storage_class == "InfrequentAccess"
    await buckets.delete("homeport-mail-retained", account_id=account)
    for act in (buckets.get, buckets.delete):
        with pytest.raises(cloudflare.NotFoundError) as missing:
            await act("homeport-mail-retained", account_id=account)
        assert code_of(missing.value) == 10006


@pytest.mark.parametrize("name", ["ab", "Upper", "-dash", "dash-", "under_score", "dot.dot", "x" * 64])
async def test_bucket_names_are_judged(client: AsyncCloudflare, account: str, name: str) -> None:
    with pytest.raises(cloudflare.BadRequestError) as refused:
        await client.r2.buckets.create(account_id=account, name=name)
    assert code_of(refused.value) == 10005


async def test_bucket_with_objects_stays(
    cf: CloudflareFake, client: AsyncCloudflare, account: str, bucket: Bucket
) -> None:
    bucket.objects["pending/1.eml"] = Object(b"mail")
    with pytest.raises(cloudflare.ConflictError) as refused:
        await client.r2.buckets.delete("bucket", account_id=account)
    assert code_of(refused.value) == 10008
    await client.r2.buckets.objects.delete("pending/1.eml", account_id=account, bucket_name="bucket")
    await client.r2.buckets.delete("bucket", account_id=account)
    assert cf.state.buckets == {}


async def test_bucket_list_shows_twenty_and_hides_that_there_are_more(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    """The cursor is in `result_info`, which the SDK's method drops: who has more goes on by `start_after`."""
    cf.state.buckets |= {f"bucket-{n:02}": Bucket(f"bucket-{n:02}") for n in range(25)}
    first = (await client.r2.buckets.list(account_id=account)).buckets
    assert first is not None
    assert len(first) == 20
    rest = (await client.r2.buckets.list(account_id=account, start_after="bucket-19")).buckets
    assert rest is not None
    assert [b.name for b in (*first, *rest)] == sorted(cf.state.buckets)
    named = (await client.r2.buckets.list(account_id=account, name_contains="-07", per_page=1000)).buckets
    assert named is not None
    assert [b.name for b in named] == ["bucket-07"]
    info = ask(cf, cf.token(), "GET", f"/accounts/{account}/r2/buckets").json()["result_info"]
    assert "cursor" in info


async def test_account_without_r2_is_told_to_enable_it(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    cf.state.r2_enabled = False
    for act in (
        client.r2.buckets.list(account_id=account),
        client.r2.buckets.create(account_id=account, name="bucket"),
        client.r2.buckets.get("bucket", account_id=account),
    ):
        with pytest.raises(cloudflare.PermissionDeniedError) as refused:
            await act
        assert code_of(refused.value) == 10042


async def test_objects_are_put_listed_read_and_deleted(client: AsyncCloudflare, account: str, bucket: Bucket) -> None:
    objects = client.r2.buckets.objects
    key = "pending/1790000000000-00ff.eml"
    put = await objects.upload(key, account_id=account, bucket_name="bucket", body=BYTES)
    assert (put.key, put.size) == (key, str(len(BYTES)))
    assert bucket.objects[key].data == BYTES
    got = await objects.get(key, account_id=account, bucket_name="bucket")
    assert await got.read() == BYTES
    listed = [item async for item in objects.list("bucket", account_id=account)]
    assert [(item.key, item.size) for item in listed] == [(key, len(BYTES))]
    assert (await objects.delete(key, account_id=account, bucket_name="bucket")).key == key
    with pytest.raises(cloudflare.NotFoundError) as missing:
        await objects.get(key, account_id=account, bucket_name="bucket")
    assert code_of(missing.value) == 10007
    with pytest.raises(cloudflare.NotFoundError):
        await objects.list("none", account_id=account)


def test_deleting_a_missing_object_is_unsuccessful_without_a_404(cf: CloudflareFake, bucket: Bucket) -> None:
    answer = ask(cf, cf.token(), "DELETE", f"/accounts/{cf.account_id}/r2/buckets/bucket/objects/none")
    assert (answer.status_code, answer.json()["success"], answer.json()["errors"][0]["code"]) == (200, False, 10007)


async def test_objects_are_listed_by_prefix_with_a_cursor_and_by_folders(
    cf: CloudflareFake, client: AsyncCloudflare, account: str, bucket: Bucket
) -> None:
    bucket.objects |= {f"pending/{n:02}.eml": Object(b"") for n in range(25)}
    bucket.objects |= {"state/cursor.json": Object(b"{}"), "top": Object(b"")}
    objects = client.r2.buckets.objects
    found = [o.key async for o in objects.list("bucket", account_id=account, prefix="pending/", per_page=10)]
    assert found == sorted(bucket.objects)[:25]
    assert len(cf.requests) == 3
    path = f"/accounts/{account}/r2/buckets/bucket/objects?delimiter=/"
    answer = ask(cf, cf.token(), "GET", path).json()
    assert answer["result_info"]["delimited"] == ["pending/", "state/"]
    assert [item["key"] for item in answer["result"]] == ["top"]


async def test_lifecycle_starts_with_the_rule_for_uploads_and_is_replaced(
    client: AsyncCloudflare, account: str
) -> None:
    await client.r2.buckets.create(account_id=account, name="bucket")
    lifecycle = client.r2.buckets.lifecycle
    got = await lifecycle.get("bucket", account_id=account)
    assert got.rules is not None
    assert [rule.id for rule in got.rules] == ["Default Multipart Abort Rule"]
    rule: Any = {
        "id": "stats",
        "enabled": True,
        "conditions": {"prefix": "stats/"},
        "delete_objects_transition": {"condition": {"type": "Age", "max_age": 86400}},
    }
    await lifecycle.update("bucket", account_id=account, rules=[rule])
    got = await lifecycle.get("bucket", account_id=account)
    assert got.rules is not None
    assert got.rules[0].delete_objects_transition is not None
    with pytest.raises(cloudflare.BadRequestError):
        await lifecycle.update("bucket", account_id=account, rules=[rule | {"colour": "red"}])
