"""Tokens, the account, its zones."""

from __future__ import annotations

from tests.fakes.cloudflare.envelope import Answer, Call, Json, Refused, Route, page, success
from tests.fakes.cloudflare.permissions import ACCOUNT_READ, ZONE_READ
from tests.fakes.cloudflare.state import State, Zone, new_id
from tests.fakes.cloudflare.validation import one_of, query

_ACCOUNT_SINCE = "2026-01-01T00:00:00Z"
_OWNER_ID = new_id()


def _verify(call: Call) -> Answer:
    query(call)
    return success({"id": call.token.id, "status": call.token.status})


def _account(state: State) -> Json:
    return {
        "id": state.account_id,
        "name": state.account_name,
        "type": "standard",
        "settings": {"enforce_twofactor": False},
        "created_on": _ACCOUNT_SINCE,
    }


def _list_accounts(call: Call) -> Answer:
    name = query(call, "name", "page", "per_page", "direction").get("name")
    visible = call.token.may(ACCOUNT_READ) and name in (None, call.state.account_name)
    return page(call, [_account(call.state)] if visible else [], per_page=20, least=5, most=50)


def _get_account(call: Call) -> Answer:
    query(call)
    return success(_account(call.state))


def _zone(state: State, zone: Zone) -> Json:
    return {
        "id": zone.id,
        "name": zone.name,
        "status": zone.status,
        "type": "full",
        "paused": False,
        "development_mode": 0,
        "name_servers": ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"],
        "original_name_servers": None,
        "original_registrar": None,
        "original_dnshost": None,
        "created_on": zone.created_on,
        "modified_on": zone.created_on,
        "activated_on": zone.created_on,
        "meta": {
            "step": 4,
            "custom_certificate_quota": 0,
            "page_rule_quota": 3,
            "phishing_detected": False,
        },
        "owner": {"id": _OWNER_ID, "type": "user", "name": None},
        "account": {"id": state.account_id, "name": state.account_name},
        "permissions": ["#zone:read"],
        "plan": {
            "id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
            "name": f"{zone.plan.capitalize()} Website",
            "price": 0,
            "currency": "USD",
            "frequency": "",
            "is_subscribed": False,
            "can_subscribe": False,
            "legacy_id": zone.plan,
            "legacy_discount": False,
            "externally_managed": False,
        },
    }


def _list_zones(call: Call) -> Answer:
    given = query(
        call, "name", "status", "account.id", "account.name", "page", "per_page", "order", "direction", "match", "type"
    )
    one_of(call, "status", "initializing", "pending", "active", "moved")
    one_of(call, "order", "name", "status", "account.id", "account.name", "plan.id")
    zones = [
        zone
        for zone in call.state.zones.values()
        if call.token.may(ZONE_READ, zone.name)
        and _named(given.get("name"), zone.name)
        and given.get("status") in (None, zone.status)
        and given.get("account.id") in (None, call.state.account_id)
        and given.get("account.name") in (None, call.state.account_name)
    ]
    zones.sort(key=lambda zone: zone.name, reverse=one_of(call, "direction", "asc", "desc") == "desc")
    return page(call, [_zone(call.state, zone) for zone in zones], per_page=20, least=5, most=50)


def _named(wanted: str | None, name: str) -> bool:
    """Apply the filter `name`, which may have an operator before a colon."""
    operator, colon, value = (wanted or "").lower().rpartition(":")
    match operator:
        case "" if not value:
            return True
        case "" if not colon:
            return name == value
        case "equal":
            return name == value
        case "not_equal":
            return name != value
        case "starts_with":
            return name.startswith(value)
        case "ends_with":
            return name.endswith(value)
        case "contains":
            return value in name
    raise Refused(400, 1001, f"Invalid parameter name: {wanted!r}")


def _get_zone(call: Call) -> Answer:
    query(call)
    return success(_zone(call.state, zone_of(call)))


def zone_of(call: Call) -> Zone:
    """Return the zone of a request; the server has refused those with an unknown one."""
    zone = call.state.zone(call.path["zone_id"])
    assert zone is not None
    return zone


ROUTES = [
    Route("GET", "/user/tokens/verify", _verify),
    Route("GET", "/accounts/{account_id}/tokens/verify", _verify),
    Route("GET", "/accounts", _list_accounts),
    Route("GET", "/accounts/{account_id}", _get_account),
    Route("GET", "/zones", _list_zones),
    Route("GET", "/zones/{zone_id}", _get_zone),
]
