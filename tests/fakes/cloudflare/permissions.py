"""Tokens, and which permission group each endpoint demands: PERMISSIONS, the one table, for tests to walk through.

A group "X Write" implies "X Read". What a refusal looks like differs by product, so each permission carries its own.
Sources of each line: README.md, "Permissions".
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.fakes.cloudflare.envelope import Refused
from tests.fakes.cloudflare.state import new_id


class Permission(NamedTuple):
    """A permission group by Cloudflare's name, and the 403 of whoever lacks it.

    scope   account or zone: what a token grants the group on
    """

    group: str
    scope: str
    code: int = 10000
    message: str = "Authentication error"


_UNAUTHORIZED = "Unauthorized to access requested resource"
_ACTOR = "Actor 'com.cloudflare.api.token.{token}'"
_ZONES = f"{_ACTOR} requires permission 'com.cloudflare.api.account.zone.list' to list zones"

ACCOUNT_READ = Permission("Account Settings Read", "account", 9109, _UNAUTHORIZED)
ZONE_READ = Permission("Zone Read", "zone", 9109, _UNAUTHORIZED)
ZONE_LIST = Permission("Zone Read", "zone", 0, _ZONES)
DNS_READ, DNS_WRITE = Permission("DNS Read", "zone"), Permission("DNS Write", "zone")
SETTINGS_READ, SETTINGS_WRITE = Permission("Zone Settings Read", "zone"), Permission("Zone Settings Write", "zone")
RULES_READ = Permission("Email Routing Rules Read", "zone")
RULES_WRITE = Permission("Email Routing Rules Write", "zone")
ADDRESSES_READ = Permission("Email Routing Addresses Read", "account")
ADDRESSES_WRITE = Permission("Email Routing Addresses Write", "account")
SCRIPTS_READ = Permission("Workers Scripts Read", "account")
SCRIPTS_WRITE = Permission("Workers Scripts Write", "account")
KV_READ = Permission("Workers KV Storage Read", "account")
KV_WRITE = Permission("Workers KV Storage Write", "account")
R2_READ = Permission("Workers R2 Storage Read", "account")
R2_WRITE = Permission("Workers R2 Storage Write", "account")
WAF_READ, WAF_WRITE = Permission("Zone WAF Read", "zone"), Permission("Zone WAF Write", "zone")
TUNNEL_READ = Permission("Cloudflare Tunnel Read", "account")
TUNNEL_WRITE = Permission("Cloudflare Tunnel Write", "account")

_RECORDS = "/zones/{zone_id}/dns_records"
_ROUTING = "/zones/{zone_id}/email/routing"
_ADDRESSES = "/accounts/{account_id}/email/routing/addresses"
_SCRIPT = "/accounts/{account_id}/workers/scripts/{script_name}"
_KV = "/accounts/{account_id}/storage/kv/namespaces"
_R2 = "/accounts/{account_id}/r2/buckets"
_TUNNEL = "/accounts/{account_id}/cfd_tunnel"
_RULESETS = "/zones/{zone_id}/rulesets"

# (method, route) -> what it takes; None: any valid token.
PERMISSIONS: dict[tuple[str, str], Permission | None] = {
    ("GET", "/user/tokens/verify"): None,
    ("GET", "/accounts/{account_id}/tokens/verify"): None,
    ("GET", "/accounts"): None,  # lists what the token can see: nothing, without ACCOUNT_READ
    ("GET", "/accounts/{account_id}"): ACCOUNT_READ,
    ("GET", "/zones"): ZONE_LIST,
    ("GET", "/zones/{zone_id}"): ZONE_READ,
    ("GET", _RECORDS): DNS_READ,
    ("GET", _RECORDS + "/export"): DNS_READ,
    ("GET", _RECORDS + "/{dns_record_id}"): DNS_READ,
    ("POST", _RECORDS): DNS_WRITE,
    ("POST", _RECORDS + "/batch"): DNS_WRITE,
    ("PUT", _RECORDS + "/{dns_record_id}"): DNS_WRITE,
    ("PATCH", _RECORDS + "/{dns_record_id}"): DNS_WRITE,
    ("DELETE", _RECORDS + "/{dns_record_id}"): DNS_WRITE,
    ("GET", _ROUTING): SETTINGS_READ,
    ("PATCH", _ROUTING): SETTINGS_WRITE,
    ("PUT", _ROUTING): SETTINGS_WRITE,
    ("POST", _ROUTING + "/enable"): SETTINGS_WRITE,
    ("POST", _ROUTING + "/disable"): SETTINGS_WRITE,
    ("POST", _ROUTING + "/unlock"): SETTINGS_WRITE,
    ("GET", _ROUTING + "/dns"): SETTINGS_READ,
    ("POST", _ROUTING + "/dns"): SETTINGS_WRITE,
    ("PATCH", _ROUTING + "/dns"): SETTINGS_WRITE,
    ("DELETE", _ROUTING + "/dns"): SETTINGS_WRITE,
    ("GET", _ROUTING + "/rules"): RULES_READ,
    ("POST", _ROUTING + "/rules"): RULES_WRITE,
    ("GET", _ROUTING + "/rules/catch_all"): RULES_READ,
    ("PUT", _ROUTING + "/rules/catch_all"): RULES_WRITE,
    ("GET", _ROUTING + "/rules/{rule_id}"): RULES_READ,
    ("PUT", _ROUTING + "/rules/{rule_id}"): RULES_WRITE,
    ("DELETE", _ROUTING + "/rules/{rule_id}"): RULES_WRITE,
    ("GET", _ADDRESSES): ADDRESSES_READ,
    ("POST", _ADDRESSES): ADDRESSES_WRITE,
    ("GET", _ADDRESSES + "/{address_id}"): ADDRESSES_READ,
    ("DELETE", _ADDRESSES + "/{address_id}"): ADDRESSES_WRITE,
    ("GET", "/accounts/{account_id}/workers/scripts"): SCRIPTS_READ,
    ("GET", "/accounts/{account_id}/workers/subdomain"): SCRIPTS_READ,
    ("PUT", "/accounts/{account_id}/workers/subdomain"): SCRIPTS_WRITE,
    ("GET", _SCRIPT): SCRIPTS_READ,
    ("PUT", _SCRIPT): SCRIPTS_WRITE,
    ("DELETE", _SCRIPT): SCRIPTS_WRITE,
    ("GET", _SCRIPT + "/content/v2"): SCRIPTS_READ,
    ("PUT", _SCRIPT + "/content"): SCRIPTS_WRITE,
    ("GET", _SCRIPT + "/settings"): SCRIPTS_READ,
    ("PATCH", _SCRIPT + "/settings"): SCRIPTS_WRITE,
    ("GET", _SCRIPT + "/script-settings"): SCRIPTS_READ,
    ("PATCH", _SCRIPT + "/script-settings"): SCRIPTS_WRITE,
    ("GET", _SCRIPT + "/schedules"): SCRIPTS_READ,
    ("PUT", _SCRIPT + "/schedules"): SCRIPTS_WRITE,
    ("GET", _SCRIPT + "/subdomain"): SCRIPTS_READ,
    ("POST", _SCRIPT + "/subdomain"): SCRIPTS_WRITE,
    ("DELETE", _SCRIPT + "/subdomain"): SCRIPTS_WRITE,
    ("GET", _SCRIPT + "/secrets"): SCRIPTS_READ,
    ("PUT", _SCRIPT + "/secrets"): SCRIPTS_WRITE,
    ("GET", _SCRIPT + "/secrets/{secret_name}"): SCRIPTS_READ,
    ("DELETE", _SCRIPT + "/secrets/{secret_name}"): SCRIPTS_WRITE,
    ("GET", _SCRIPT + "/deployments"): SCRIPTS_READ,
    ("GET", _SCRIPT + "/versions"): SCRIPTS_READ,
    ("GET", _SCRIPT + "/versions/{version_id}"): SCRIPTS_READ,
    ("GET", _KV): KV_READ,
    ("POST", _KV): KV_WRITE,
    ("GET", _KV + "/{namespace_id}"): KV_READ,
    ("PUT", _KV + "/{namespace_id}"): KV_WRITE,
    ("DELETE", _KV + "/{namespace_id}"): KV_WRITE,
    ("GET", _KV + "/{namespace_id}/keys"): KV_READ,
    ("GET", _KV + "/{namespace_id}/metadata/{key_name}"): KV_READ,
    ("GET", _KV + "/{namespace_id}/values/{key_name}"): KV_READ,
    ("PUT", _KV + "/{namespace_id}/values/{key_name}"): KV_WRITE,
    ("DELETE", _KV + "/{namespace_id}/values/{key_name}"): KV_WRITE,
    ("PUT", _KV + "/{namespace_id}/bulk"): KV_WRITE,
    ("POST", _KV + "/{namespace_id}/bulk/delete"): KV_WRITE,
    ("POST", _KV + "/{namespace_id}/bulk/get"): KV_READ,
    ("GET", _R2): R2_READ,
    ("POST", _R2): R2_WRITE,
    ("GET", _R2 + "/{bucket_name}"): R2_READ,
    ("PATCH", _R2 + "/{bucket_name}"): R2_WRITE,
    ("DELETE", _R2 + "/{bucket_name}"): R2_WRITE,
    ("GET", _R2 + "/{bucket_name}/lifecycle"): R2_READ,
    ("PUT", _R2 + "/{bucket_name}/lifecycle"): R2_WRITE,
    ("GET", _R2 + "/{bucket_name}/objects"): R2_READ,
    ("GET", _R2 + "/{bucket_name}/objects/{object_key:path}"): R2_READ,
    ("PUT", _R2 + "/{bucket_name}/objects/{object_key:path}"): R2_WRITE,
    ("DELETE", _R2 + "/{bucket_name}/objects/{object_key:path}"): R2_WRITE,
    ("POST", _RULESETS): WAF_WRITE,
    ("GET", _RULESETS + "/phases/{phase}/entrypoint"): WAF_READ,
    ("POST", _RULESETS + "/{ruleset_id}/rules"): WAF_WRITE,
    ("PATCH", _RULESETS + "/{ruleset_id}/rules/{rule_id}"): WAF_WRITE,
    ("DELETE", _RULESETS + "/{ruleset_id}/rules/{rule_id}"): WAF_WRITE,
    ("GET", _TUNNEL): TUNNEL_READ,
    ("POST", _TUNNEL): TUNNEL_WRITE,
    ("GET", _TUNNEL + "/{tunnel_id}"): TUNNEL_READ,
    ("PATCH", _TUNNEL + "/{tunnel_id}"): TUNNEL_WRITE,
    ("DELETE", _TUNNEL + "/{tunnel_id}"): TUNNEL_WRITE,
    ("GET", _TUNNEL + "/{tunnel_id}/token"): TUNNEL_WRITE,  # who has it can run the tunnel
    ("GET", _TUNNEL + "/{tunnel_id}/configurations"): TUNNEL_READ,
    ("PUT", _TUNNEL + "/{tunnel_id}/configurations"): TUNNEL_WRITE,
    ("GET", _TUNNEL + "/{tunnel_id}/connections"): TUNNEL_READ,
    ("DELETE", _TUNNEL + "/{tunnel_id}/connections"): TUNNEL_WRITE,
}

# The groups of the table, Read and Write: what `CloudflareFake.token()` has.
EVERY_PERMISSION = frozenset(permission.group for permission in PERMISSIONS.values() if permission is not None)


def implied(groups: Collection[str]) -> frozenset[str]:
    """Return the groups with the Read of each Write."""
    reads = {f"{group.removesuffix(' Write')} Read" for group in groups if group.endswith(" Write")}
    return frozenset({*groups, *reads})


@dataclass(slots=True)
class Token:
    """zones    names of the zones it is valid for; None: all of the account
    status      active, disabled or expired
    """

    groups: frozenset[str]
    zones: frozenset[str] | None = None
    status: str = "active"
    id: str = field(default_factory=new_id)
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(30))  # 40 characters, as Cloudflare's

    def may(self, permission: Permission, zone: str | None = None) -> bool:
        """Say whether it has the permission, on this zone if one is named."""
        return permission.group in self.groups and (zone is None or self.zones is None or zone in self.zones)


def refusal(permission: Permission, token: Token) -> Refused:
    return Refused(403, permission.code, permission.message.format(token=token.id))
