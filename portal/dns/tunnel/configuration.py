"""The account's tunnel and its configuration at Cloudflare: found, read, and written without losing what others write.

Cloudflare replaces the whole configuration and has no "only if it is still version 7". So it is read right before each
write, our entries are merged into what was read, and afterwards its version must be exactly the next one: each write
counts it up by one. Otherwise somebody wrote in between, and what they wrote is gone: then what was read is put back,
which drops our part again, and `TunnelChanged` says so.

The body is sent as it is, past the SDK's types, which would rename members that they know by another name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from portal.dns.tunnel.problems import NoTunnel, TunnelChanged, TunnelIsLocal, TunnelNotChosen
from portal.integrations.cloudflare import Cloudflare, CloudflareError

Json = dict[str, Any]
TARGET_SUFFIX = ".cfargotunnel.com"
SETTING = "HOMEPORT_PORTAL_TUNNEL_ID"

_TUNNELS = "zero_trust.tunnels.cloudflared"


@dataclass(frozen=True, slots=True)
class Configuration:
    """version: counts writes; 0 before the first. is_local: kept on the tunnel's host; what is here is not in force."""

    version: int
    config: Json
    is_local: bool


async def tunnels(cf: Cloudflare) -> list[Json]:
    """The account's tunnels that are not deleted, as Cloudflare sent them. Raise CloudflareError."""
    return await cf.read_pages(f"{_TUNNELS}.list", extra_query={"is_deleted": "false"})


def chosen(found: list[Json], tunnel_id: str | None) -> Json:
    """The tunnel that the setting names, or the only one. Raise NoTunnel, TunnelNotChosen."""
    if tunnel_id is not None:
        for tunnel in found:
            if tunnel["id"] == tunnel_id:
                return tunnel
        raise NoTunnel(f"the account has no tunnel {tunnel_id}, which {SETTING} names", setting=SETTING)
    if not found:
        raise NoTunnel("the account has no tunnel")
    if len(found) > 1:
        named = [{"id": each["id"], "name": each["name"]} for each in found]
        raise TunnelNotChosen(f"the account has {len(found)} tunnels; set {SETTING}", setting=SETTING, tunnels=named)
    return found[0]


async def read(cf: Cloudflare, tunnel: Mapping[str, Any]) -> Configuration:
    """Raise CloudflareError."""
    answer = await cf.read(f"{_TUNNELS}.configurations.get", tunnel["id"])
    source = answer.get("source") or tunnel.get("config_src")
    return Configuration(int(answer.get("version") or 0), answer.get("config") or {}, source == "local")


async def change(cf: Cloudflare, tunnel: Mapping[str, Any], edit: Callable[[Json], Json]) -> Configuration:
    """Bring an edit about and return what stands then.

    edit     given a configuration, returns it as it is to be; what is so already it leaves alone
    raises   TunnelIsLocal, TunnelChanged, what `edit` raises, CloudflareError
    """
    seen = await read(cf, tunnel)
    if seen.is_local:
        raise TunnelIsLocal(tunnel=tunnel["name"])
    wanted = edit(seen.config)
    if wanted == seen.config:
        return seen
    written, is_answered = await _write(cf, tunnel, wanted, is_there=lambda config: edit(config) == config)
    # Found later, without an answer: with more in it than ours, somebody wrote after us, and nothing is lost.
    if written.version != seen.version + 1 and (is_answered or written.config == wanted):
        raise await _put_back(cf, tunnel, seen, written)
    return written


async def _write(
    cf: Cloudflare, tunnel: Mapping[str, Any], config: Json, *, is_there: Callable[[Json], bool]
) -> tuple[Configuration, bool]:
    """Write once. The second is False when Cloudflare gave no answer, and the first is what stood there afterwards."""
    is_answered = True

    async def settled() -> Json | None:
        nonlocal is_answered
        is_answered = False
        found: Json = await cf.read(f"{_TUNNELS}.configurations.get", tunnel["id"])
        return found if is_there(found.get("config") or {}) else None

    answer = await cf.change(
        f"{_TUNNELS}.configurations.update", tunnel["id"], settled=settled, extra_body={"config": config}
    )
    return Configuration(int(answer.get("version") or 0), answer.get("config") or config, False), is_answered


async def _put_back(
    cf: Cloudflare, tunnel: Mapping[str, Any], seen: Configuration, written: Configuration
) -> TunnelChanged:
    """Take our write back, unless somebody has written again since; what to say of the whole."""
    others = written.version - seen.version - 1
    what = f"somebody else wrote the configuration {_times(others)} between version {seen.version} and ours"
    try:
        now = await read(cf, tunnel)
        if now.version != written.version:
            return TunnelChanged(f"{what}, and again since; nothing was put back, version {now.version} stands")
        back, _ = await _write(cf, tunnel, seen.config, is_there=lambda config: config == seen.config)
    except CloudflareError as error:
        return TunnelChanged(f"{what}, and putting back what was there failed: {error}")
    if more := back.version - written.version - 1:
        what += f", and {_times(more)} more while that was put back"
    return TunnelChanged(
        f"{what}, and that is lost; version {back.version} is what version {seen.version} was. Look at the tunnel's "
        "public hostnames, and repeat what was done elsewhere"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
