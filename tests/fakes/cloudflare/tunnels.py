"""cloudflared tunnels: their life, their configuration, their connections."""

from __future__ import annotations

import base64
import json
import re
import secrets

from cloudflare.types.zero_trust.tunnels import CloudflaredCreateParams, CloudflaredEditParams
from cloudflare.types.zero_trust.tunnels.cloudflared import ConfigurationUpdateParams

from tests.fakes.cloudflare.envelope import Answer, Call, Json, Refused, Route, boolean, page, success
from tests.fakes.cloudflare.state import Connection, Tunnel, now
from tests.fakes.cloudflare.validation import body, one_of, query

MIN_SECRET_BYTES = 32
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SERVICE = re.compile(r"http_status:[1-5]\d\d|hello_world|(https?|tcp|ssh|rdp|smb)://\S+|unix(\+tls)?:\S+")
_FILTERS = ("exclude_prefix", "include_prefix", "is_deleted", "name", "status", "uuid", "page", "per_page")
_CONNECTIONS_OF_HEALTHY = 4


def _status(tunnel: Tunnel) -> str:
    if not tunnel.connections:
        return "inactive"
    return "healthy" if len(tunnel.connections) >= _CONNECTIONS_OF_HEALTHY else "degraded"


def _connection(connection: Connection) -> Json:
    return {
        "id": connection.id,
        "uuid": connection.id,
        "client_id": connection.client_id,
        "client_version": connection.client_version,
        "colo_name": connection.colo,
        "is_pending_reconnect": False,
        "opened_at": connection.opened_at,
        "origin_ip": connection.origin_ip,
    }


def _answer(call: Call, tunnel: Tunnel) -> Json:
    return {
        "id": tunnel.id,
        "account_tag": call.state.account_id,
        "name": tunnel.name,
        "created_at": tunnel.created_at,
        "deleted_at": tunnel.deleted_at,
        "status": _status(tunnel),
        "tun_type": "cfd_tunnel",
        "config_src": tunnel.config_src,
        "remote_config": tunnel.config_src == "cloudflare",
        "metadata": {},
        "connections": [_connection(connection) for connection in tunnel.connections],
        "conns_active_at": tunnel.connections[0].opened_at if tunnel.connections else None,
        "conns_inactive_at": None if tunnel.connections else tunnel.created_at,
    }


def _list(call: Call) -> Answer:
    """List tunnels, also the deleted ones unless `is_deleted=false` leaves them out."""
    given = query(call, *_FILTERS)
    one_of(call, "status", "inactive", "degraded", "healthy", "down")
    is_deleted = boolean(call, "is_deleted")
    found = [
        tunnel
        for tunnel in call.state.tunnels
        if is_deleted in (None, tunnel.deleted_at is not None)
        and given.get("name") in (None, tunnel.name)
        and given.get("uuid") in (None, tunnel.id)
        and given.get("status") in (None, _status(tunnel))
        and tunnel.name.startswith(given.get("include_prefix", ""))
        and not ("exclude_prefix" in given and tunnel.name.startswith(given["exclude_prefix"]))
    ]
    return page(call, [_answer(call, tunnel) for tunnel in found], per_page=20, most=1000)


def _find(call: Call, *, is_change: bool = False) -> Tunnel:
    wanted = call.path["tunnel_id"]
    if not _UUID.fullmatch(wanted):
        raise Refused(400, 1001, "Invalid tunnel ID")
    for tunnel in call.state.tunnels:
        if tunnel.id == wanted and not (is_change and tunnel.deleted_at):
            return tunnel
    raise Refused(404, 1003, "Tunnel not found")


def _name(call: Call, name: str, *, of: Tunnel | None = None) -> str:
    if not name.strip():
        raise Refused(400, 1001, "Invalid tunnel name")
    if any(other.name == name and other.deleted_at is None for other in call.state.tunnels if other is not of):
        message = "You already have a tunnel with this name. Choose a different name for your new tunnel."
        raise Refused(409, 1013, message)
    return name


def _secret(given: Json) -> str:
    """Return the body's secret, or a new one."""
    secret: str | None = given.get("tunnel_secret")
    if secret is None:
        return base64.b64encode(secrets.token_bytes(MIN_SECRET_BYTES)).decode()
    try:
        is_good = len(base64.b64decode(secret, validate=True)) >= MIN_SECRET_BYTES
    except ValueError:
        is_good = False
    if not is_good:
        raise Refused(400, 1002, f"Invalid tunnel secret: base64 of at least {MIN_SECRET_BYTES} bytes")
    return secret


def _create(call: Call) -> Answer:
    query(call)
    given = body(call, CloudflaredCreateParams)
    tunnel = Tunnel(_name(call, given["name"]), _secret(given), given.get("config_src", "local"))
    call.state.tunnels.append(tunnel)
    return success(_answer(call, tunnel))


def _get(call: Call) -> Answer:
    query(call)
    return success(_answer(call, _find(call)))


def _edit(call: Call) -> Answer:
    query(call)
    given = body(call, CloudflaredEditParams)
    tunnel = _find(call, is_change=True)
    name = _name(call, given.get("name", tunnel.name), of=tunnel)
    tunnel.secret = _secret(given) if "tunnel_secret" in given else tunnel.secret
    tunnel.name = name
    return success(_answer(call, tunnel))


def _delete(call: Call) -> Answer:
    """Mark it deleted; one that cloudflared is still connected to stays."""
    query(call)
    tunnel = _find(call, is_change=True)
    if tunnel.connections:
        raise Refused(400, 1022, "Cannot delete tunnel because it has active connections")
    tunnel.deleted_at = now()
    return success(_answer(call, tunnel))


def _token(call: Call) -> Answer:
    query(call)
    tunnel = _find(call, is_change=True)
    token = {"a": call.state.account_id, "t": tunnel.id, "s": tunnel.secret}
    return success(base64.b64encode(json.dumps(token, separators=(",", ":")).encode()).decode())


def _config_answer(call: Call, tunnel: Tunnel) -> Answer:
    return success(
        {
            "tunnel_id": tunnel.id,
            "account_id": call.state.account_id,
            "version": tunnel.version,
            "config": tunnel.config or None,
            "source": tunnel.config_src,
            "created_at": tunnel.created_at,
        }
    )


def _get_config(call: Call) -> Answer:
    query(call)
    return _config_answer(call, _find(call))


def _put_config(call: Call) -> Answer:
    """Replace the whole configuration: what the body doesn't say is gone, what the SDK doesn't know is kept."""
    query(call)
    # The host name is required by the SDK and absent in a last rule.
    given = body(call, ConfigurationUpdateParams, optional=["hostname"], is_open=True)
    tunnel = _find(call, is_change=True)
    if call.state.before_config_put:
        call.state.before_config_put.pop(0)(tunnel)
    config = given.get("config", {})
    _judge_ingress(config.get("ingress"))
    tunnel.config = config
    tunnel.config_src = "cloudflare"
    tunnel.version += 1
    answer = _config_answer(call, tunnel)
    if call.state.after_config_put:
        call.state.after_config_put.pop(0)(tunnel)
    return answer


def _judge_ingress(ingress: list[Json] | None) -> None:
    """Refuse rules that cloudflared would refuse: the last one, and only that, matches everything."""
    if ingress is None:
        return
    takes_all = [rule.get("hostname", "") in ("", "*") and not rule.get("path") for rule in ingress]
    if not ingress or not takes_all[-1]:
        message = "Bad Configuration: The last ingress rule must match all URLs (it has no hostname or path)"
        raise Refused(400, 1056, message)
    if True in takes_all[:-1]:
        message = f"Bad Configuration: Rule #{takes_all.index(True) + 1} matches all URLs, so no later rule is reached"
        raise Refused(400, 1056, message)
    for number, rule in enumerate(ingress, 1):
        if not _SERVICE.fullmatch(rule["service"]):
            raise Refused(400, 1056, f"Bad Configuration: Rule #{number} has an invalid service {rule['service']!r}")


def _list_connections(call: Call) -> Answer:
    """List the clients, that is cloudflared processes, each with its connections."""
    query(call)
    tunnel = _find(call)
    clients: dict[str, Json] = {}
    for connection in tunnel.connections:
        client = clients.setdefault(
            connection.client_id,
            {
                "id": connection.client_id,
                "features": [],
                "version": connection.client_version,
                "arch": "linux_amd64",
                "run_at": connection.opened_at,
                "config_version": tunnel.version,
                "conns": [],
            },
        )
        client["conns"].append(_connection(connection))
    return success(list(clients.values()))


def _delete_connections(call: Call) -> Answer:
    """Forget connections that are no more; a cloudflared that still runs would come back at once."""
    given = query(call, "client_id")
    tunnel = _find(call, is_change=True)
    client_id = given.get("client_id")
    tunnel.connections = [c for c in tunnel.connections if client_id not in (None, c.client_id)]
    return success({})


_PATH = "/accounts/{account_id}/cfd_tunnel"
_ONE = _PATH + "/{tunnel_id}"

ROUTES = [
    Route("GET", _PATH, _list),
    Route("POST", _PATH, _create),
    Route("GET", _ONE, _get),
    Route("PATCH", _ONE, _edit),
    Route("DELETE", _ONE, _delete),
    Route("GET", _ONE + "/token", _token),
    Route("GET", _ONE + "/configurations", _get_config),
    Route("PUT", _ONE + "/configurations", _put_config),
    Route("GET", _ONE + "/connections", _list_connections),
    Route("DELETE", _ONE + "/connections", _delete_connections),
]
