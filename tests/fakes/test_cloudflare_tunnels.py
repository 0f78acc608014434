"""cloudflared tunnels of the fake, through the official client."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

import cloudflare
import pytest
from cloudflare import AsyncCloudflare

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Connection, Tunnel
from tests.fakes.conftest import ask, code_of

SECRET = base64.b64encode(bytes(32)).decode()
LAST = {"hostname": "", "service": "http_status:404"}


def rule(hostname: str, service: str = "http://mail-api:8000", **more: Any) -> dict[str, Any]:
    return {"hostname": hostname, "service": service, **more}


async def test_tunnel_lives_through_create_get_edit_delete(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    tunnels = client.zero_trust.tunnels.cloudflared
    made = await tunnels.create(account_id=account, name="homeport", config_src="cloudflare", tunnel_secret=SECRET)
    assert made.id is not None
    assert (made.name, made.status, made.remote_config, made.connections) == ("homeport", "inactive", True, [])
    assert (await tunnels.get(made.id, account_id=account)).name == "homeport"
    with pytest.raises(cloudflare.ConflictError) as taken:
        await tunnels.create(account_id=account, name="homeport")
    assert code_of(taken.value) == 1013
    assert (await tunnels.edit(made.id, account_id=account, name="renamed")).name == "renamed"
    assert (await tunnels.delete(made.id, account_id=account)).deleted_at is not None
    assert (await tunnels.get(made.id, account_id=account)).deleted_at is not None  # deleted ones can still be read
    for act in (tunnels.delete, tunnels.edit):
        with pytest.raises(cloudflare.NotFoundError):
            await cast(Any, act)(made.id, account_id=account)
    await tunnels.create(account_id=account, name="renamed")
    assert SECRET not in ask(cf, cf.token(), "GET", f"/accounts/{account}/cfd_tunnel").text


async def test_tunnels_are_listed_with_the_deleted_ones_unless_told(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    cf.state.tunnels += [Tunnel(f"t{n}", SECRET) for n in range(5)]
    cf.state.tunnels[4].deleted_at = "2026-11-22T00:00:00Z"
    cf.state.tunnels[0].connections += [Connection() for _ in range(4)]
    tunnels = client.zero_trust.tunnels.cloudflared

    async def names(**filters: Any) -> list[str | None]:
        return [tunnel.name async for tunnel in tunnels.list(account_id=account, **filters)]

    assert await names(per_page=2) == ["t0", "t1", "t2", "t3", "t4"]
    assert len(cf.requests) == 4
    assert await names(is_deleted=False) == ["t0", "t1", "t2", "t3"]
    assert await names(is_deleted=True) == ["t4"]
    assert await names(name="t1") == ["t1"]
    assert await names(status="healthy") == ["t0"]
    assert await names(include_prefix="t", exclude_prefix="t1", is_deleted=False) == ["t0", "t2", "t3"]
    assert await names(uuid=cf.state.tunnels[2].id) == ["t2"]


async def test_connected_tunnel_is_not_deleted_until_its_connections_are(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    tunnel = Tunnel("t", SECRET, connections=[Connection(client_id="one"), Connection(client_id="one")])
    cf.state.tunnels.append(tunnel)
    tunnels = client.zero_trust.tunnels.cloudflared
    assert (await tunnels.get(tunnel.id, account_id=account)).status == "degraded"
    clients = [one async for one in tunnels.connections.get(tunnel.id, account_id=account)]
    assert [(one.id, len(one.conns or [])) for one in clients] == [("one", 2)]
    with pytest.raises(cloudflare.BadRequestError) as refused:
        await tunnels.delete(tunnel.id, account_id=account)
    assert code_of(refused.value) == 1022
    await tunnels.connections.delete(tunnel.id, account_id=account, client_id="other")
    assert len(tunnel.connections) == 2
    await tunnels.connections.delete(tunnel.id, account_id=account)
    await tunnels.delete(tunnel.id, account_id=account)


async def test_token_is_what_cloudflared_takes(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    tunnel = Tunnel("t", SECRET)
    cf.state.tunnels.append(tunnel)
    token = await client.zero_trust.tunnels.cloudflared.token.get(tunnel.id, account_id=account)
    assert json.loads(base64.b64decode(token)) == {"a": account, "t": tunnel.id, "s": SECRET}


async def test_configuration_is_replaced_as_a_whole_and_counted(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    tunnel = Tunnel("t", SECRET)
    cf.state.tunnels.append(tunnel)
    configurations = client.zero_trust.tunnels.cloudflared.configurations
    empty = await configurations.get(tunnel.id, account_id=account)
    assert empty is not None
    assert (empty.version, empty.config, empty.source) == (0, None, "local")
    config: Any = {
        "ingress": [rule("mail.home.example", origin_request={"no_tls_verify": True}), LAST],
        "origin_request": {"connect_timeout": 10},
    }
    await configurations.update(tunnel.id, account_id=account, config=config)
    got = await configurations.get(tunnel.id, account_id=account)
    assert got is not None
    assert got.config is not None
    assert got.config.ingress is not None
    assert (got.version, got.source) == (1, "cloudflare")
    assert got.config.ingress[0].origin_request is not None
    assert got.config.ingress[0].origin_request.no_tls_verify
    assert tunnel.config["originRequest"] == {"connectTimeout": 10}
    await configurations.update(tunnel.id, account_id=account, config=cast(Any, {"ingress": [LAST]}))
    assert (tunnel.version, tunnel.config) == (2, {"ingress": [LAST]})


def test_last_rule_needs_no_hostname(cf: CloudflareFake) -> None:
    """The SDK's types demand one; the API, and the answers of real accounts, do not."""
    tunnel = Tunnel("t", SECRET)
    cf.state.tunnels.append(tunnel)
    config = {"config": {"ingress": [{"service": "http_status:404"}]}}
    path = f"/accounts/{cf.account_id}/cfd_tunnel/{tunnel.id}/configurations"
    answer = ask(cf, cf.token(), "PUT", path, json=config).json()
    assert answer["result"]["config"] == config["config"]


def test_members_of_a_configuration_that_the_sdk_does_not_know_are_kept_at_every_level(cf: CloudflareFake) -> None:
    tunnel = Tunnel("t", SECRET)
    cf.state.tunnels.append(tunnel)
    known = rule("mail.home.example", originRequest={"noTLSVerify": True, "unheard": {"of": [1, None]}}, later="one")
    config = {
        "ingress": [known, LAST],
        "originRequest": {"connectTimeout": 10, "brandNew": "x"},
        "warp-routing": {"enabled": True},
    }
    path = f"/accounts/{cf.account_id}/cfd_tunnel/{tunnel.id}/configurations"
    answer = ask(cf, cf.token(), "PUT", path, json={"config": config})
    assert (answer.status_code, answer.json()["result"]["config"]) == (200, config)
    assert ask(cf, cf.token(), "GET", path).json()["result"]["config"] == config


@pytest.mark.parametrize(
    "more", [{"surprise": 1}, {"warp-routing": {"enabled": True}}, {"account_id": "0" * 32}], ids=str
)
def test_unknown_field_beside_the_configuration_is_refused(cf: CloudflareFake, more: Any) -> None:
    tunnel = Tunnel("t", SECRET)
    cf.state.tunnels.append(tunnel)
    path = f"/accounts/{cf.account_id}/cfd_tunnel/{tunnel.id}/configurations"
    answer = ask(cf, cf.token(), "PUT", path, json={"config": {"ingress": [LAST]}, **more})
    assert answer.status_code == 400
    assert repr(next(iter(more))) in answer.json()["errors"][0]["message"]
    assert tunnel.version == 0


@pytest.mark.parametrize(
    "config",
    [
        {"ingress": []},
        {"ingress": [rule("mail.home.example")]},
        {"ingress": [LAST, rule("mail.home.example"), LAST]},
        {"ingress": [rule("mail.home.example", "mail-api"), LAST]},
        {"ingress": [rule("", path="/v1"), rule("", path="/v2")]},
        {"ingress": [{"hostname": "mail.home.example"}, LAST]},
    ],
    ids=str,
)
async def test_configurations_that_cannot_be_are_refused(
    cf: CloudflareFake, client: AsyncCloudflare, account: str, config: Any
) -> None:
    tunnel = Tunnel("t", SECRET)
    cf.state.tunnels.append(tunnel)
    with pytest.raises(cloudflare.BadRequestError):
        await client.zero_trust.tunnels.cloudflared.configurations.update(tunnel.id, account_id=account, config=config)
    assert tunnel.version == 0


@pytest.mark.parametrize(
    "fields",
    [{"name": " "}, {"tunnel_secret": "c2hvcnQ="}, {"tunnel_secret": "no base64!"}, {"config_src": "elsewhere"}],
    ids=str,
)
async def test_tunnels_that_cannot_be_are_refused(client: AsyncCloudflare, account: str, fields: Any) -> None:
    with pytest.raises(cloudflare.BadRequestError):
        await client.zero_trust.tunnels.cloudflared.create(account_id=account, **{"name": "t", **fields})


async def test_unknown_and_impossible_ids(client: AsyncCloudflare, account: str) -> None:
    tunnels = client.zero_trust.tunnels.cloudflared
    with pytest.raises(cloudflare.NotFoundError):
        await tunnels.get("00000000-0000-0000-0000-000000000000", account_id=account)
    with pytest.raises(cloudflare.BadRequestError):
        await tunnels.get("homeport", account_id=account)
