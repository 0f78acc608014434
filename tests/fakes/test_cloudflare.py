"""The fake of Cloudflare as a server: tokens, permissions, what can be made to fail, and how it ends."""

from __future__ import annotations

import base64
import json
import math
import re
import socket
from collections.abc import Mapping
from pathlib import Path

import cloudflare
import pytest
from cloudflare import AsyncCloudflare

from tests.fakes.cloudflare import EVERY_PERMISSION, PERMISSIONS, CloudflareFake, Permission
from tests.fakes.cloudflare.state import Address, Bucket, Module, Namespace, Ruleset, Script, Tunnel, Version
from tests.fakes.conftest import Connect, ask, code_of

# Tokens


async def test_verification_of_a_valid_token_names_it_active(cf: CloudflareFake, client: AsyncCloudflare) -> None:
    by_user = await client.user.tokens.verify()
    by_account = await client.accounts.tokens.verify(account_id=cf.account_id)
    assert by_user is not None
    assert by_account is not None
    assert (by_user.status, by_account.status) == ("active", "active")
    assert by_user.id == by_account.id


async def test_unknown_token_is_refused_by_verification_and_by_endpoints(cf: CloudflareFake, connect: Connect) -> None:
    stranger = connect("A" * 40)
    with pytest.raises(cloudflare.AuthenticationError) as verification:
        await stranger.user.tokens.verify()
    assert code_of(verification.value) == 1000
    with pytest.raises(cloudflare.AuthenticationError) as endpoint:
        await stranger.kv.namespaces.list(account_id=cf.account_id)
    assert code_of(endpoint.value) == 10000


async def test_malformed_and_missing_authorization_is_a_bad_request(cf: CloudflareFake, connect: Connect) -> None:
    with pytest.raises(cloudflare.BadRequestError) as malformed:
        await connect("short").zones.get(zone_id=cf.zone_id("home.example"))
    assert code_of(malformed.value) == 6003
    missing = ask(cf, None, "GET", "/zones")
    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (400, 9106)


async def test_expired_token_verifies_as_expired_and_opens_nothing(cf: CloudflareFake, connect: Connect) -> None:
    client = connect(cf.token(status="expired"))
    verified = await client.user.tokens.verify()
    assert verified is not None
    assert verified.status == "expired"
    with pytest.raises(cloudflare.AuthenticationError):
        await client.r2.buckets.list(account_id=cf.account_id)


async def test_token_without_account_settings_sees_no_account_instead_of_an_error(
    cf: CloudflareFake, connect: Connect, client: AsyncCloudflare
) -> None:
    assert [account.id async for account in client.accounts.list()] == [cf.account_id]
    blind = connect(cf.token(without=["Account Settings Read"]))
    assert [account async for account in blind.accounts.list()] == []
    with pytest.raises(cloudflare.PermissionDeniedError) as refused:
        await blind.accounts.get(account_id=cf.account_id)
    assert code_of(refused.value) == 9109
    found = await client.accounts.get(account_id=cf.account_id)
    assert found is not None
    assert found.name == cf.state.account_name


async def test_token_for_one_zone_sees_only_that_zone(cf: CloudflareFake, connect: Connect) -> None:
    client = connect(cf.token(permissions=["Zone Read", "DNS Write"], zones=["home.example"]))
    assert [zone.name async for zone in client.zones.list()] == ["home.example"]
    assert [record async for record in client.dns.records.list(zone_id=cf.zone_id("home.example"))] == []
    with pytest.raises(cloudflare.PermissionDeniedError):
        await client.zones.get(zone_id=cf.zone_id("two.example"))
    with pytest.raises(cloudflare.PermissionDeniedError):
        await client.dns.records.list(zone_id=cf.zone_id("two.example"))


async def test_unknown_zone_and_account_look_like_forbidden_ones(cf: CloudflareFake, client: AsyncCloudflare) -> None:
    with pytest.raises(cloudflare.PermissionDeniedError):
        await client.zones.get(zone_id="0" * 32)
    with pytest.raises(cloudflare.PermissionDeniedError):
        await client.r2.buckets.list(account_id="0" * 32)
    with pytest.raises(cloudflare.PermissionDeniedError):
        await client.accounts.tokens.verify(account_id="0" * 32)
    with pytest.raises(cloudflare.NotFoundError) as unroutable:
        await client.zones.get(zone_id="home.example")
    assert code_of(unroutable.value) == 7003


def test_token_of_an_unheard_of_group_is_a_mistake_of_the_test(cf: CloudflareFake) -> None:
    with pytest.raises(ValueError, match="Workers Write"):
        cf.token(without=["Workers Write"])


# Permissions


def furnished(cf: CloudflareFake) -> Mapping[str, str]:
    """Put one of everything into the account; return a value for each placeholder of the routes."""
    zone = cf.state.zones["home.example"]
    script = Script("w", "w.js", {"w.js": Module("application/javascript+module", b"export default {}")})
    script.secrets["S"] = "secret"
    script.versions.append(Version(1, []))
    cf.state.scripts["w"] = script
    cf.state.buckets["bucket"] = Bucket("bucket")
    cf.state.namespaces.append(Namespace("n"))
    cf.state.tunnels.append(Tunnel("t", base64.b64encode(bytes(32)).decode()))
    cf.state.addresses.append(Address("a@b.example"))
    zone.rulesets.append(Ruleset("rules", "http_ratelimit"))
    return {
        "zone_id": zone.id,
        "account_id": cf.account_id,
        "dns_record_id": "0" * 32,
        "rule_id": zone.routing.catch_all.id,
        "address_id": cf.state.addresses[0].id,
        "script_name": "w",
        "secret_name": "S",
        "version_id": script.versions[0].id,
        "namespace_id": cf.state.namespaces[0].id,
        "key_name": "k",
        "bucket_name": "bucket",
        "object_key:path": "o",
        "tunnel_id": cf.state.tunnels[0].id,
        "phase": "http_ratelimit",
        "ruleset_id": zone.rulesets[0].id,
    }


GUARDED = [(method, path, p) for (method, path), p in PERMISSIONS.items() if p is not None]


@pytest.mark.parametrize(("method", "path", "permission"), GUARDED, ids=[f"{m} {p}" for m, p, _ in GUARDED])
def test_each_endpoint_takes_its_permission_and_no_other(
    cf: CloudflareFake, method: str, path: str, permission: Permission
) -> None:
    """Only authorization is judged: with the permission a request without a body may fail, but not by 401 or 403."""
    values = furnished(cf)
    url = re.sub(r"\{([^}]+)\}", lambda match: values[match[1]], path)
    refused = ask(cf, cf.token(without=[permission.group]), method, url)
    assert refused.status_code == 403
    body = refused.json()
    assert (body["success"], body["result"]) == (False, None)
    assert body["errors"][0]["code"] == permission.code
    for granted in (cf.token(permissions=[permission.group]), cf.token()):
        assert ask(cf, granted, method, url).status_code not in (401, 403)


@pytest.mark.parametrize("group", sorted(group for group in EVERY_PERMISSION if group.endswith(" Write")))
def test_writing_implies_reading_and_its_lack_leaves_it(cf: CloudflareFake, group: str) -> None:
    values = furnished(cf)
    reading = group.removesuffix(" Write") + " Read"
    paths = [path for (method, path), p in PERMISSIONS.items() if p is not None and p.group == reading]
    for path in paths:
        url = re.sub(r"\{([^}]+)\}", lambda match: values[match[1]], path)
        method = next(m for m, p in PERMISSIONS if p == path and PERMISSIONS[m, p] is not None)
        assert ask(cf, cf.token(permissions=[group]), method, url).status_code != 403
        assert ask(cf, cf.token(without=[group]), method, url).status_code != 403


async def test_listing_zones_without_permission_names_the_actor(cf: CloudflareFake, connect: Connect) -> None:
    with pytest.raises(cloudflare.PermissionDeniedError) as refused:
        await connect(cf.token(without=["Zone Read"])).zones.list()
    assert code_of(refused.value) == 0
    assert "com.cloudflare.api.account.zone.list" in str(refused.value)


def test_unknown_routes_and_methods_are_refused(cf: CloudflareFake) -> None:
    assert ask(cf, cf.token(), "GET", "/radar").status_code == 404
    assert ask(cf, cf.token(), "PUT", "/zones").status_code == 405


def test_unknown_query_parameters_are_refused(cf: CloudflareFake) -> None:
    for path in ("/zones?nam=x", f"/zones/{cf.zone_id('home.example')}/dns_records?filter=x"):
        assert ask(cf, cf.token(), "GET", path).status_code == 400


def test_every_endpoint_is_one_of_the_sdk() -> None:
    """A path with a slip in it would never be asked for."""
    known = set()
    for document in Path(cloudflare.__file__).parent.glob("resources/*/api.md"):
        for method, path in re.findall(r'<code title="(\w+) (\S+?)">', document.read_text()):
            known.add((method.upper(), re.sub(r"\{\w+\}", "{}", path)))
            if "accounts_or_zones" in path:
                known.add((method.upper(), re.sub(r"\{\w+\}", "{}", path).replace("/{}/{}", "/zones/{}", 1)))
    ours = {(method, re.sub(r"\{[^}]+\}", "{}", path)) for method, path in PERMISSIONS}
    assert ours - known == set()


# Zones


async def test_zones_page_to_an_empty_page(cf: CloudflareFake, client: AsyncCloudflare) -> None:
    for number in range(8):
        cf.state.zones[f"z{number}.example"] = type(cf.state.zones["home.example"])(f"z{number}.example")
    found = [zone.name async for zone in client.zones.list(per_page=5)]
    assert found == sorted(cf.state.zones)
    assert len(cf.requests) == 3  # 5, 5, and the empty one that ends it
    past = ask(cf, cf.token(), "GET", "/zones?page=9").json()
    assert (past["success"], past["result"], past["result_info"]["total_count"]) == (True, [], 10)


async def test_zones_are_found_by_name(cf: CloudflareFake, client: AsyncCloudflare) -> None:
    assert [zone.id async for zone in client.zones.list(name="two.example")] == [cf.zone_id("two.example")]
    assert [zone.name async for zone in client.zones.list(name="starts_with:ho")] == ["home.example"]
    assert [zone async for zone in client.zones.list(name="e.example")] == []
    zone = await client.zones.get(zone_id=cf.zone_id("home.example"))
    assert zone is not None
    assert (zone.name, zone.status, zone.account.id) == ("home.example", "active", cf.account_id)


# What can be made to fail


async def test_fault_strikes_as_often_as_told_then_heals(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    cf.fail("GET", r"/r2/buckets", 500, times=2)
    for _ in range(2):
        with pytest.raises(cloudflare.InternalServerError):
            await client.r2.buckets.list(account_id=account)
    await client.r2.buckets.list(account_id=account)
    assert [request.status for request in cf.requests] == [500, 500, 200]


async def test_fault_skips_and_chooses_by_method_and_path(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    cf.fail("write", "", 503, skip=1)
    await client.kv.namespaces.list(account_id=account)
    await client.kv.namespaces.create(account_id=account, title="first")
    await client.kv.namespaces.list(account_id=account)
    with pytest.raises(cloudflare.InternalServerError):
        await client.kv.namespaces.create(account_id=account, title="second")
    assert [namespace.title for namespace in cf.state.namespaces] == ["first"]
    cf.fail("*", "/zones", times=math.inf)
    cf.heal()
    await client.zones.list()


async def test_throttled_answer_carries_retry_after(cf: CloudflareFake, client: AsyncCloudflare) -> None:
    cf.fail("GET", "/zones", 429, retry_after=7)
    with pytest.raises(cloudflare.RateLimitError) as refused:
        await client.zones.list()
    assert refused.value.response.headers["retry-after"] == "7"
    assert code_of(refused.value) == 971


async def test_gateway_errors_are_html(cf: CloudflareFake, client: AsyncCloudflare) -> None:
    cf.fail("GET", "/zones", 502)
    with pytest.raises(cloudflare.InternalServerError) as refused:
        await client.zones.list()
    assert refused.value.response.headers["content-type"] == "text/html"
    assert refused.value.errors == []


async def test_chosen_code_and_message_reach_the_client(cf: CloudflareFake, client: AsyncCloudflare) -> None:
    cf.fail("GET", "/zones", 409, code=4711, message="Not now.")
    with pytest.raises(cloudflare.ConflictError) as refused:
        await client.zones.list()
    assert (refused.value.errors[0].code, refused.value.errors[0].message) == (4711, "Not now.")


async def test_unsuccessful_answer_does_not_raise_and_has_no_result(cf: CloudflareFake, account: str) -> None:
    """The trap that the SDK leaves to its callers: 200, `success: false`, and None where a result is promised."""
    cf.fail("POST", "/storage/kv/namespaces", "unsuccessful")
    async with AsyncCloudflare(api_token=cf.token(), base_url=cf.url, max_retries=0, timeout=10) as client:
        assert await client.kv.namespaces.create(account_id=account, title="t") is None
    assert cf.state.namespaces == []


async def test_hanging_request_ends_with_the_client(cf: CloudflareFake, client: AsyncCloudflare) -> None:
    cf.fail("GET", "/zones", "hang")
    with pytest.raises(cloudflare.APITimeoutError):
        await client.zones.list(timeout=0.2)
    assert cf.requests[-1].status == 0
    await client.zones.list()


async def test_reset_leaves_nothing_done(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    cf.fail("POST", "/r2/buckets", "reset")
    with pytest.raises(cloudflare.APIConnectionError):
        await client.r2.buckets.create(account_id=account, name="bucket")
    assert cf.state.buckets == {}
    assert cf.requests[-1].status == 0


async def test_applied_then_reset_leaves_it_done(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    cf.fail("POST", "/r2/buckets", "applied-then-reset")
    with pytest.raises(cloudflare.APIConnectionError):
        await client.r2.buckets.create(account_id=account, name="bucket")
    assert [*cf.state.buckets] == ["bucket"]
    with pytest.raises(cloudflare.ConflictError):
        await client.r2.buckets.create(account_id=account, name="bucket")


async def test_client_that_repeats_a_change_meets_what_it_did_before(cf: CloudflareFake) -> None:
    """The SDK repeats POST too: a test can show what that does."""
    cf.fail("POST", "/r2/buckets", "applied-then-reset")
    repeating = AsyncCloudflare(api_token=cf.token(), base_url=cf.url, max_retries=1, timeout=10)
    async with repeating as client:
        with pytest.raises(cloudflare.ConflictError):
            await client.r2.buckets.create(account_id=cf.account_id, name="bucket")
    assert [request.status for request in cf.writes] == [0, 409]


async def test_writes_are_the_requests_that_would_change_something(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    namespace = await client.kv.namespaces.create(account_id=account, title="t")
    assert namespace is not None
    await client.kv.namespaces.bulk_get(account_id=account, namespace_id=namespace.id, keys=["k"])
    await client.kv.namespaces.list(account_id=account)
    assert [(request.method, request.status) for request in cf.writes] == [("POST", 200)]


# The rate limit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_rate_limit_counts_per_token_and_ends_with_its_window() -> None:
    clock = Clock()
    with CloudflareFake(zones=["home.example"], clock=clock) as cf:
        token = cf.token()
        assert "ratelimit" not in ask(cf, token, "GET", "/zones").headers
        cf.rate_limit(2, 300)
        first = ask(cf, token, "GET", "/zones")
        assert first.headers["ratelimit"] == '"default";r=1;t=300'
        assert first.headers["ratelimit-policy"] == '"burst";q=2;w=300'
        assert ask(cf, token, "GET", "/zones").status_code == 200
        clock.now += 10.5
        refused = ask(cf, token, "POST", f"/accounts/{cf.account_id}/r2/buckets", json={"name": "bucket"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "290")
        assert refused.json()["errors"][0]["code"] == 971
        assert cf.state.buckets == {}
        assert ask(cf, cf.token(), "GET", "/zones").status_code == 200
        clock.now += 290
        assert ask(cf, token, "GET", "/zones").status_code == 200
        cf.rate_limit(None)
        assert "ratelimit" not in ask(cf, token, "GET", "/zones").headers


# Its own life


def test_end_closes_the_port_even_under_a_hanging_client() -> None:
    with CloudflareFake() as cf:
        cf.fail("GET", "/zones", "hang")
        waiting = socket.create_connection(("127.0.0.1", cf.port), timeout=10)
        token = cf.token()
        waiting.sendall(f"GET /client/v4/zones HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        while not cf.requests:
            pass
    with pytest.raises(ConnectionResetError):
        waiting.recv(1)
    waiting.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", cf.port), timeout=10)


def test_endpoint_that_breaks_fails_the_test() -> None:
    def meet_a_state_that_no_endpoint_is_made_for() -> None:
        with CloudflareFake() as cf:
            cf.state.buckets = None  # type: ignore[assignment]
            assert ask(cf, cf.token(), "GET", f"/accounts/{cf.account_id}/r2/buckets").status_code == 500

    with pytest.raises(ExceptionGroup, match="endpoints of this fake"):
        meet_a_state_that_no_endpoint_is_made_for()


def test_errors_have_the_shape_of_cloudflares(cf: CloudflareFake) -> None:
    answer = ask(cf, cf.token(), "GET", f"/accounts/{cf.account_id}/r2/buckets/none")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content) == {
        "success": False,
        "errors": [{"code": 10006, "message": "The specified bucket does not exist."}],
        "messages": [],
        "result": None,
    }


def test_body_that_is_no_json_is_refused(cf: CloudflareFake) -> None:
    answer = ask(cf, cf.token(), "POST", f"/accounts/{cf.account_id}/r2/buckets", content=b"{")
    assert answer.status_code == 400
