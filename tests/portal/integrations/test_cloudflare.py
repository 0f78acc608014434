"""The adapter around Cloudflare's SDK: what it repeats, what it never repeats, and what each refusal becomes."""

from __future__ import annotations

import operator
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from portal.integrations.cloudflare import (
    CALLS,
    LISTS,
    PAGES_MAX,
    READ_TRIES,
    Cloudflare,
    Conflict,
    MissingPermission,
    NotFound,
    RateLimited,
    TokenRefused,
    Unreachable,
    Upstream,
    Zone,
)
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Namespace, Object, Record
from tests.portal.conftest import HOME, TWO
from tests.services.process import free_port


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def client(cf: CloudflareFake, said: list[str]) -> AsyncIterator[Cloudflare]:
    async with connect(cf, said=said) as client:
        yield client


def connect(cf: CloudflareFake, token: str | None = None, said: list[str] | None = None, url: str = "") -> Cloudflare:
    say = (said if said is not None else []).append
    return Cloudflare(SecretStr(token or cf.token()), account=cf.account_id, url=url or cf.url, say=say)


async def never() -> None:
    raise AssertionError("asked although the outcome is known")


@pytest.mark.parametrize("call", CALLS)
def test_every_call_of_the_table_is_one_of_the_sdk(call: str, cf: CloudflareFake) -> None:
    from cloudflare import AsyncCloudflare

    resource, _, method = call.rpartition(".")
    sdk = AsyncCloudflare(api_token="t", base_url=cf.url)
    assert callable(getattr(operator.attrgetter(resource)(sdk).with_raw_response, method))
    assert (call.rpartition(".")[2] == "list") == (call in LISTS)


def test_help_does_not_import_the_sdk() -> None:
    program = "import sys; from kit.cli import main\ntry: main(['edge', '--help'])\nexcept SystemExit: pass\n"
    ended = subprocess.run(
        [sys.executable, "-c", program + "sys.exit('cloudflare' in sys.modules or 'httpx2' in sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr


class TestReading:
    async def test_result_is_what_cloudflare_sent(self, client: Cloudflare, cf: CloudflareFake) -> None:
        cf.state.zones[HOME].records.append(Record("MX", HOME, "mx.example", priority=0, comment="c", tags=["a:b"]))
        zone = await client.zone(HOME)
        assert zone == Zone(cf.zone_id(HOME), HOME)
        [record] = await client.read_pages("dns.records.list", zone=zone)
        assert (record["priority"], record["comment"], record["tags"], record["proxied"]) == (0, "c", ["a:b"], False)

    @pytest.mark.parametrize("how", [500, 502, 503, "reset"])
    async def test_is_repeated(self, client: Cloudflare, cf: CloudflareFake, how: Any) -> None:
        cf.fail("GET", "/zones", how, times=READ_TRIES - 1)
        assert (await client.zone(HOME)).name == HOME
        assert len(cf.requests) == READ_TRIES

    @pytest.mark.parametrize(("how", "error"), [(500, Upstream), ("reset", Unreachable)])
    async def test_is_given_up(self, client: Cloudflare, cf: CloudflareFake, how: Any, error: type[Exception]) -> None:
        cf.fail("GET", "/zones", how, times=100)
        with pytest.raises(error):
            await client.zone(HOME)
        assert len(cf.requests) == READ_TRIES

    async def test_success_false_is_an_error_with_its_reason(self, client: Cloudflare, cf: CloudflareFake) -> None:
        cf.fail("GET", "/zones", "unsuccessful", message="We could not do this.", times=100)
        with pytest.raises(Upstream, match=r"We could not do this\. \(code 10001\)"):
            await client.zone(HOME)
        assert len(cf.requests) == 1

    async def test_pages_are_read_to_their_end(self, client: Cloudflare, cf: CloudflareFake) -> None:
        cf.state.namespaces += [Namespace(f"n{number:03}") for number in range(123)]
        found = await client.read_pages("kv.namespaces.list")
        assert sorted(each["title"] for each in found) == [f"n{number:03}" for number in range(123)]
        assert len(cf.requests) == 3

    async def test_chained_pages_are_read_to_their_end(self, client: Cloudflare, cf: CloudflareFake) -> None:
        await client.change("r2.buckets.create", name="bucket", settled=never)
        keys = [f"stats/{number:03}" for number in range(123)]
        cf.state.buckets["bucket"].objects.update({key: Object(b"") for key in keys})
        found = await client.read_pages("r2.buckets.objects.list", "bucket", extra_query={"prefix": "stats/"})
        assert [each["key"] for each in found] == keys

    async def test_value_without_an_envelope_is_its_bytes(self, client: Cloudflare, cf: CloudflareFake) -> None:
        namespace = Namespace("n")
        cf.state.namespaces.append(namespace)
        value = b'{"success": false}\xff'
        await client.change("kv.namespaces.values.update", "a/b", namespace_id=namespace.id, value=value, settled=never)
        assert await client.read_bytes("kv.namespaces.values.get", "a/b", namespace_id=namespace.id) == value


class TestChanging:
    async def test_is_done_once(self, client: Cloudflare, cf: CloudflareFake) -> None:
        assert (await client.change("kv.namespaces.create", title="n", settled=never))["title"] == "n"
        assert len(cf.writes) == 1

    @pytest.mark.parametrize(
        ("how", "error"),
        [(500, Upstream), (502, Upstream), ("reset", Unreachable), ("applied-then-reset", Unreachable)],
    )
    async def test_unclear_outcome_is_looked_up_and_never_repeated(
        self, client: Cloudflare, cf: CloudflareFake, said: list[str], how: Any, error: type[Exception]
    ) -> None:
        async def settled() -> Any:
            found = await client.read_pages("kv.namespaces.list")
            return found[0] if found else None

        cf.fail("POST", "/namespaces", how)
        if how == "applied-then-reset":
            assert (await client.change("kv.namespaces.create", title="n", settled=settled))["title"] == "n"
        else:
            with pytest.raises(error):
                await client.change("kv.namespaces.create", title="n", settled=settled)
        assert len(cf.writes) == 1
        assert said == ["no clear answer from Cloudflare to kv.namespaces.create; looking whether it was carried out"]

    @pytest.mark.parametrize("how", [400, "unsuccessful"])
    async def test_plain_refusal_needs_no_look(self, client: Cloudflare, cf: CloudflareFake, how: Any) -> None:
        cf.fail("POST", "/namespaces", how)
        with pytest.raises(Upstream):
            await client.change("kv.namespaces.create", title="n", settled=never)


class TestRateLimit:
    @pytest.mark.parametrize("is_read", [True, False])
    async def test_is_waited_for_and_said(
        self, client: Cloudflare, cf: CloudflareFake, said: list[str], is_read: bool
    ) -> None:
        cf.fail("*", "/namespaces", 429, retry_after=1)
        if is_read:
            await client.read_pages("kv.namespaces.list")
        else:
            await client.change("kv.namespaces.create", title="n", settled=never)
        assert said == ["Cloudflare limits the rate of requests; waiting 1 s"]
        assert len(cf.requests) == 2

    async def test_is_not_waited_for_too_long(self, client: Cloudflare, cf: CloudflareFake, said: list[str]) -> None:
        cf.fail("*", "/namespaces", 429, retry_after=300)
        with pytest.raises(RateLimited, match="try again in 300 s"):
            await client.read_pages("kv.namespaces.list")
        assert said == []

    async def test_is_not_waited_for_for_ever(self, client: Cloudflare, cf: CloudflareFake, said: list[str]) -> None:
        cf.fail("*", "/namespaces", 429, retry_after=0, times=100)
        with pytest.raises(RateLimited):
            await client.read_pages("kv.namespaces.list")
        assert len(cf.requests) == 4


class TestRefusals:
    async def test_missing_permission_is_named_with_its_resource(self, cf: CloudflareFake) -> None:
        async with connect(cf, cf.token(without=["DNS Read"])) as client:
            zone = await client.zone(HOME)
            with pytest.raises(MissingPermission, match=f"^the token lacks the permission DNS Read for zone {HOME}$"):
                await client.read_pages("dns.records.list", zone=zone)

    @pytest.mark.parametrize("token", ["x" * 40, "nonsense"])
    async def test_unknown_token_is_refused(self, cf: CloudflareFake, token: str) -> None:
        async with connect(cf, token) as client:
            with pytest.raises(TokenRefused):
                await client.zone(HOME)

    async def test_zone_that_is_not_there_or_not_to_be_seen(self, cf: CloudflareFake) -> None:
        async with connect(cf, cf.token(zones=[HOME])) as client:
            with pytest.raises(NotFound, match="or the token lacks the permission Zone Read"):
                await client.zone(TWO)

    async def test_what_is_not_there_and_what_is_already(self, client: Cloudflare) -> None:
        with pytest.raises(NotFound):
            await client.read("r2.buckets.get", "bucket")
        await client.change("r2.buckets.create", name="bucket", settled=never)
        with pytest.raises(Conflict, match="already exists"):
            await client.change("r2.buckets.create", name="bucket", settled=never)
        await client.change("kv.namespaces.create", title="n", settled=never)
        with pytest.raises(Conflict):
            await client.change("kv.namespaces.create", title="n", settled=never)

    async def test_nobody_at_the_address_is_unreachable(self, cf: CloudflareFake) -> None:
        async with connect(cf, url=f"http://127.0.0.1:{free_port()}") as client:
            with pytest.raises(Unreachable, match="cannot be reached"):
                await client.zone(HOME)

    async def test_page_of_a_proxy_is_said_by_its_status(self, client: Cloudflare, cf: CloudflareFake) -> None:
        cf.fail("GET", "/zones", 522, times=100)
        with pytest.raises(Upstream, match="HTTP 522"):
            await client.zone(HOME)


async def test_global_key_in_the_environment_is_not_used(cf: CloudflareFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDFLARE_API_KEY", "a-global-key")
    monkeypatch.setenv("CLOUDFLARE_EMAIL", "me@elsewhere.example")
    monkeypatch.setenv("CLOUDFLARE_API_USER_SERVICE_KEY", "v1.0-x")
    async with connect(cf) as client:
        assert (await client.zone(HOME)).name == HOME


def test_page_cap_is_far_above_what_an_account_has() -> None:
    assert PAGES_MAX * 50 >= 10_000
