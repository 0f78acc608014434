"""The adapter around Cloudflare's SDK: what it repeats, what it never repeats, and what each refusal becomes."""

from __future__ import annotations

import asyncio
import math
import operator
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from portal.integrations import cloudflare as module
from portal.integrations.cloudflare import (
    CALLS,
    CONCURRENCY,
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
    telling,
)
from portal.settings import PortalSettings
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Namespace, Object, Record
from tests.fakes.cloudflare.state import Zone as FakeZone
from tests.portal.conftest import HOME, TWO
from tests.services.process import free_port


class Hands:
    """A clock that a test sets."""

    at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


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


class TestZones:
    async def test_all_of_the_account_are_listed_as_cloudflare_sent_them(
        self, client: Cloudflare, cf: CloudflareFake
    ) -> None:
        cf.state.zones["paid.example"] = FakeZone("paid.example", status="pending", plan="pro")
        found = {zone["name"]: zone for zone in await client.zones()}
        assert set(found) == {HOME, TWO, "paid.example"}
        assert (found["paid.example"]["status"], found["paid.example"]["plan"]["legacy_id"]) == ("pending", "pro")

    async def test_missing_permission_to_list_them_is_named(self, cf: CloudflareFake) -> None:
        async with connect(cf, cf.token(without=["Zone Read"])) as client:
            with pytest.raises(MissingPermission, match="the permission Zone Read for all zones"):
                await client.zones()


class TestRecords:
    @pytest.fixture
    def few_a_page(self, monkeypatch: pytest.MonkeyPatch, cf: CloudflareFake) -> list[Record]:
        monkeypatch.setattr(module, "RECORDS_PER_PAGE", 2)
        records = cf.state.zones[HOME].records
        records += [Record("A", f"h{number}.{HOME}", "192.0.2.1") for number in range(5)]
        return records

    async def test_all_pages_are_one_list(
        self, client: Cloudflare, cf: CloudflareFake, few_a_page: list[Record]
    ) -> None:
        found = await client.records(await client.zone(HOME))
        assert [record["name"] for record in found] == [record.name for record in few_a_page]

    async def test_list_that_changes_between_two_pages_is_read_again(
        self, client: Cloudflare, cf: CloudflareFake, few_a_page: list[Record]
    ) -> None:
        """The third record slides to the first page, which has been read, when one of that goes."""
        zone = await client.zone(HOME)
        cf.fail("GET", "dns_records", 429, retry_after=0, skip=1)
        with telling(lambda line: cf.remove(HOME, type="A", name="h0")):
            found = await client.records(zone)
        assert [record["name"] for record in found] == [f"h{number}.{HOME}" for number in range(1, 5)]

    async def test_list_that_never_holds_still_is_an_error_and_not_half_a_list(
        self, client: Cloudflare, cf: CloudflareFake, few_a_page: list[Record]
    ) -> None:
        few_a_page += [Record("A", f"more{number}.{HOME}", "192.0.2.1") for number in range(20)]
        zone = await client.zone(HOME)
        left = iter(range(5))
        for number in range(3):
            cf.fail("GET", "dns_records", 429, retry_after=0, skip=1 + 13 * number)
        with (
            telling(lambda line: cf.remove(HOME, type="A", name=f"h{next(left)}")),
            pytest.raises(Upstream, match="change faster than they can be listed"),
        ):
            await client.records(zone)

    async def test_batch_goes_out_as_it_is_given(self, client: Cloudflare, cf: CloudflareFake) -> None:
        """Members that the SDK does not know are Cloudflare's to judge."""
        zone = await client.zone(HOME)
        post = {"type": "A", "name": "www", "content": "192.0.2.1", "ttl": 1}
        done = await client.change("dns.records.batch", zone=zone, posts=[post], settled=never)
        assert [record["name"] for record in done["posts"]] == [f"www.{HOME}"]
        with pytest.raises(Upstream, match="unknown field 'colour'"):
            await client.change("dns.records.batch", zone=zone, posts=[post | {"colour": "red"}], settled=never)


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

    @pytest.mark.parametrize("how", [500, "applied-then-reset"])
    async def test_outcome_that_can_not_be_looked_up_stays_in_doubt(
        self, client: Cloudflare, cf: CloudflareFake, how: Any
    ) -> None:
        cf.fail("POST", "/namespaces", how)
        cf.fail("GET", "/namespaces", 400, message="not just now")

        async def settled() -> Any:
            return await client.read_pages("kv.namespaces.list")

        with pytest.raises(Unreachable, match=r"could not be seen: .*not just now"):
            await client.change("kv.namespaces.create", title="n", settled=settled)

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

    async def test_whoever_waits_is_told_and_nobody_else(self, client: Cloudflare, cf: CloudflareFake) -> None:
        heard: dict[str, list[str]] = {"one": [], "two": []}

        async def ask(name: str, path: str) -> None:
            with telling(heard[name].append):
                await client.read_pages(path)

        cf.fail("*", "/namespaces", 429, retry_after=0)
        await asyncio.gather(ask("one", "kv.namespaces.list"), ask("two", "zones.list"))
        assert heard == {"one": ["Cloudflare limits the rate of requests; waiting 0 s"], "two": []}

    async def test_long_one_is_waited_out_where_somebody_is_told(
        self, client: Cloudflare, cf: CloudflareFake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "RATE_WAIT_S", 0.5)
        cf.fail("*", "/namespaces", 429, retry_after=1, times=2)
        with pytest.raises(RateLimited) as limited:
            await client.read_pages("kv.namespaces.list")
        assert limited.value.retry_in_s == 1
        with telling(lambda line: None):
            assert await client.read_pages("kv.namespaces.list") == []


class TestManyAtOnce:
    async def test_requests_under_way_are_bounded(self, client: Cloudflare, cf: CloudflareFake) -> None:
        cf.fail("GET", "/namespaces", "hang", times=math.inf)
        tasks = [asyncio.create_task(client.read_pages("kv.namespaces.list")) for _ in range(3 * CONCURRENCY)]
        async with asyncio.timeout(20):
            while len(cf.requests) < CONCURRENCY:  # noqa: ASYNC110 - the server is another thread
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert len(cf.requests) == CONCURRENCY
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        cf.heal()
        assert await client.read_pages("kv.namespaces.list") == []  # who was cancelled gave its slot back

    async def test_first_use_by_many_is_one_client(self, cf: CloudflareFake) -> None:
        async with connect(cf) as client:
            found = await asyncio.gather(*(client.zone(HOME) for _ in range(CONCURRENCY)))
        assert set(found) == {Zone(cf.zone_id(HOME), HOME)}


class TestRefusals:
    async def test_token_is_asked_for_again_after_a_minute(self, cf: CloudflareFake) -> None:
        """The portal lives for months: a token that was revoked is not one that lacks a permission."""
        clock = Hands()
        secret = cf.token(without=["DNS Read"])
        client = Cloudflare(SecretStr(secret), account=cf.account_id, url=cf.url, say=print, clock=clock)
        async with client:
            zone = await client.zone(HOME)
            for _ in range(2):
                with pytest.raises(MissingPermission):
                    await client.records(zone)
            assert len([each for each in cf.requests if each.path.endswith("/verify")]) == 2
            cf.revoke(secret)
            clock.at += 61
            with pytest.raises(TokenRefused):
                await client.records(zone)

    @pytest.mark.parametrize("how", [429, 503])
    async def test_refusal_is_not_put_down_to_the_token_while_nobody_can_say_whether_that_is_valid(
        self, cf: CloudflareFake, how: int
    ) -> None:
        async with connect(cf, cf.token(without=["DNS Read"])) as client:
            zone = await client.zone(HOME)
            cf.fail("GET", "/verify", how, times=2)
            with pytest.raises(Upstream, match="cannot say"):
                await client.records(zone)
            with pytest.raises(MissingPermission):  # it is asked again, and not a minute later
                await client.records(zone)

    async def test_missing_permission_for_one_zone_leaves_the_others(self, cf: CloudflareFake) -> None:
        async with connect(cf, cf.token()) as client:
            home, two = await client.zone(HOME), await client.zone(TWO)
        async with connect(cf, cf.token(zones=[TWO])) as client:
            with pytest.raises(MissingPermission, match=f"DNS Read for zone {HOME}"):
                await client.records(home)
            assert await client.records(two) == []

    async def test_quoted_text_is_one_line_of_printable_characters(
        self, client: Cloudflare, cf: CloudflareFake
    ) -> None:
        cf.fail("GET", "/zones", 400, message="a\x1b[31m\u202eb\r\n" + "x" * 5_000)
        with pytest.raises(Upstream) as refused:
            await client.zone(HOME)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 400

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


def test_settings_without_an_account_are_no_client() -> None:
    given = {"HOMEPORT_PORTAL_STATE_DIR": "/nowhere", "HOMEPORT_PORTAL_CLOUDFLARE_TOKEN": "x" * 40}
    settings = PortalSettings.load(given)
    assert Cloudflare.of(settings) is None
    assert settings.cloudflare_missing == ["HOMEPORT_PORTAL_CLOUDFLARE_ACCOUNT"]
    settings = PortalSettings.load(given | {"HOMEPORT_PORTAL_CLOUDFLARE_ACCOUNT": "0" * 32})
    assert Cloudflare.of(settings) is not None
    assert settings.cloudflare_missing == []


def test_page_cap_is_far_above_what_an_account_has() -> None:
    assert PAGES_MAX * 50 >= 10_000
