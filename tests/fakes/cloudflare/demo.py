"""An account to look at: a zone with records of all types, one in Japanese, Email Routing and a tunnel.

Every name ends in .example, which is nobody's, and every address is one of those kept for documentation.
"""

from __future__ import annotations

import base64
from typing import Any

from tests.fakes.cloudflare import email_routing
from tests.fakes.cloudflare.dns import Draft
from tests.fakes.cloudflare.server import CloudflareFake
from tests.fakes.cloudflare.state import Connection, Tunnel

Json = dict[str, Any]
SAMPLE = "sample.example"
JAPANESE = "xn--r8jz45g.example"  # 例え.example
HOSTILE = 'say "<img src=x onerror=alert(1)>" \u202egnp.exe\u202c '

_TUNNEL_ID = "5a3f1c9e-0d2b-4c7e-9a61-2f8e4b7d1c30"
_TUNNEL_HOST = f"{_TUNNEL_ID}.cfargotunnel.com"

_LOC: Json = {
    "lat_degrees": 35,
    "lat_minutes": 40,
    "lat_seconds": 52,
    "lat_direction": "N",
    "long_degrees": 139,
    "long_minutes": 46,
    "long_seconds": 1,
    "long_direction": "E",
    "altitude": 40,
    "size": 10,
    "precision_horz": 100,
    "precision_vert": 10,
}

_RECORDS: dict[str, list[Json]] = {
    SAMPLE: [
        {"type": "A", "name": "@", "content": "192.0.2.10", "proxied": True, "comment": "the front page"},
        {"type": "AAAA", "name": "@", "content": "2001:db8::10", "proxied": True},
        {"type": "A", "name": "nas", "content": "192.0.2.20", "ttl": 300, "comment": "in the cupboard"},
        {"type": "A", "name": "printer", "content": "192.0.2.21", "ttl": 3600},
        {"type": "AAAA", "name": "nas", "content": "2001:db8::20", "ttl": 300},
        {"type": "CNAME", "name": "www", "content": SAMPLE, "proxied": True},
        {"type": "CNAME", "name": "status", "content": "status.hosting.example", "ttl": 300},
        {"type": "CNAME", "name": "s1._domainkey", "content": "s1.domainkey.sender.example"},
        {"type": "CNAME", "name": "s2._domainkey", "content": "s2.domainkey.sender.example"},
        {"type": "CNAME", "name": "blog", "content": _TUNNEL_HOST, "proxied": True, "comment": "homeport-tunnel"},
        {"type": "CNAME", "name": "mail-api", "content": _TUNNEL_HOST, "proxied": True, "comment": "homeport-tunnel"},
        {"type": "CNAME", "name": "webmail", "content": _TUNNEL_HOST, "proxied": True, "comment": "homeport-tunnel"},
        {"type": "CNAME", "name": "old-wiki", "content": _TUNNEL_HOST, "proxied": True, "comment": "a route long gone"},
        {"type": "MX", "name": "lists", "content": "mx1.lists.example", "priority": 0, "ttl": 3600},
        {"type": "MX", "name": "lists", "content": "mx2.lists.example", "priority": 20, "ttl": 3600},
        {"type": "TXT", "name": "_dmarc", "content": f'"v=DMARC1; p=none; rua=mailto:reports@{SAMPLE}"'},
        {"type": "TXT", "name": "@", "content": '"site-verification=2f8e4b7d1c30"', "comment": "whoever asked for it"},
        {"type": "TXT", "name": "hostile", "content": HOSTILE, "comment": "text of other people is shown as text"},
        {"type": "TXT", "name": "long", "content": " ".join(f'"{character * 200}"' for character in "abc")},
        {"type": "NS", "name": "lab", "content": "ns1.lab.example", "ttl": 86400},
        {"type": "PTR", "name": "ptr", "content": f"nas.{SAMPLE}", "ttl": 3600},
        {
            "type": "SRV",
            "name": "_imaps._tcp",
            "data": {"priority": 0, "weight": 5, "port": 993, "target": "mail.example"},
        },
        {"type": "CAA", "name": "@", "data": {"flags": 0, "tag": "issue", "value": "letsencrypt.org"}},
        {"type": "CAA", "name": "@", "data": {"flags": 0, "tag": "iodef", "value": f"mailto:security@{SAMPLE}"}},
        {"type": "HTTPS", "name": "h3", "data": {"priority": 1, "target": ".", "value": 'alpn="h3,h2"'}},
        {"type": "SVCB", "name": "_dns.ns", "data": {"priority": 1, "target": "ns.example", "value": 'alpn="dot"'}},
        {
            "type": "TLSA",
            "name": "_25._tcp.mail",
            "data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "0123456789abcdef" * 4},
        },
        {"type": "SSHFP", "name": "nas", "data": {"algorithm": 4, "type": 2, "fingerprint": "fedcba9876543210" * 4}},
        {
            "type": "NAPTR",
            "name": "sip",
            "data": {
                "order": 100,
                "preference": 10,
                "flags": "S",
                "service": "SIP+D2U",
                "regex": "",
                "replacement": "_sip._udp.sip.example",
            },
        },
        {"type": "URI", "name": "_http._tcp", "priority": 10, "data": {"weight": 1, "target": "https://uri.example/"}},
        {"type": "LOC", "name": "office", "data": _LOC},
    ],
    JAPANESE: [
        {"type": "A", "name": "@", "content": "192.0.2.30", "proxied": True, "comment": "表のページ"},
        {"type": "CNAME", "name": "xn--wgv71a", "content": JAPANESE, "comment": "日本.例え.example"},
        {"type": "MX", "name": "@", "content": "mx.provider.example", "priority": 10},
        {"type": "TXT", "name": "@", "content": '"v=spf1 include:_spf.provider.example ~all"'},
        {"type": "TXT", "name": "memo", "content": '"日本語のメモ"'},
    ],
}

_INGRESS: list[Json] = [
    {"hostname": f"blog.{SAMPLE}", "service": "http://blog-nginx:8080", "originRequest": {"httpHostHeader": SAMPLE}},
    {"hostname": f"mail-api.{SAMPLE}", "service": "http://mail-ingress:8025"},
    {"hostname": f"webmail.{SAMPLE}", "service": "http://mail-webmail:8080"},
    {"hostname": f"unnamed.{SAMPLE}", "service": "http://somewhere-else:8080"},
    {"service": "http_status:404"},
]

# What the zones of others say, as far as these zones name them.
ELSEWHERE = {
    ("_spf.mx.cloudflare.net", "TXT"): '"v=spf1 ip4:198.51.100.0/25 ~all"',
    ("_spf.sender.example", "TXT"): '"v=spf1 ip4:198.51.100.128/25 ~all"',
    ("_spf.provider.example", "TXT"): '"v=spf1 ip4:203.0.113.0/24 ~all"',
    ("route1.mx.cloudflare.net", "A"): "198.51.100.1",
    ("route2.mx.cloudflare.net", "A"): "198.51.100.2",
    ("route3.mx.cloudflare.net", "A"): "198.51.100.3",
    ("mx.provider.example", "A"): "203.0.113.25",
}


def furnish(cf: CloudflareFake) -> Json:
    """Fill an account with SAMPLE and JAPANESE; return the settings that lead a portal to it, by their variables."""
    for name, records in _RECORDS.items():
        draft = Draft(cf.state.zones[name])
        for record in records:
            draft.create({"ttl": 1, **record})
        draft.commit()
    email_routing.enable(cf.state.zones[SAMPLE])
    tunnel = Tunnel("homeport", base64.b64encode(bytes(32)).decode(), id=_TUNNEL_ID)
    tunnel.config_src, tunnel.version, tunnel.config = "cloudflare", 1, {"ingress": _INGRESS}
    tunnel.connections = [Connection() for _ in range(4)]
    cf.state.tunnels.append(tunnel)
    return {
        "HOMEPORT_PORTAL_DEMO": "true",
        "HOMEPORT_PORTAL_CLOUDFLARE_URL": cf.url,
        "HOMEPORT_PORTAL_CLOUDFLARE_ACCOUNT": cf.account_id,
        "HOMEPORT_PORTAL_CLOUDFLARE_TOKEN": cf.token(),
        "HOMEPORT_PORTAL_TUNNEL_ID": _TUNNEL_ID,
        "HOMEPORT_PORTAL_EDGE_ZONES": SAMPLE,
        "HOMEPORT_PORTAL_EDGE_MAIL_API_URL": f"https://mail-api.{SAMPLE}",
        "HOMEPORT_PORTAL_MAIL_SPF": "include:_spf.sender.example",
        "HOMEPORT_PORTAL_MAIL_DKIM": "s1=s1.domainkey.sender.example,s2=s2.domainkey.sender.example",
        "HOMEPORT_PORTAL_MAIL_DMARC_RUA": f"reports@{SAMPLE}",
    }
