"""The portal's settings: what is taken, what is refused, and that each is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.settings import SettingsError
from portal.settings import EdgeSettings, domain_name, resolver_address

ROOT = Path(__file__).parents[2]
GOOD = {
    "state_dir": "/var/lib/homeport/portal",
    "cloudflare_token": "0123456789-0123456789-0123456789-0123456",
    "cloudflare_account": "0" * 32,
    "edge_zones": "home.example",
    "edge_mail_api_url": "https://mail-api.home.example/",
    "edge_keys_file": "/etc/homeport/keys",
}


def load(**changes: str | None) -> EdgeSettings:
    given = {EdgeSettings.variable(name): value for name, value in (GOOD | changes).items() if value is not None}
    return EdgeSettings.load(given)


def test_settings_are_documented_with_their_defaults() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `(HOMEPORT_PORTAL_[A-Z_]+)` \| [^|]+ \| ([^|]+) \|", text, re.MULTILINE)
    documented = dict(rows)
    assert len(documented) == len(rows)
    assert sorted(documented) == sorted(EdgeSettings.variable(field) for field in EdgeSettings.model_fields)
    for name, field in EdgeSettings.model_fields.items():
        said = documented[EdgeSettings.variable(name)]
        assert (said == "required") == field.is_required()
        if isinstance(field.default, int):
            assert said == str(field.default).lower()


def test_least_settings_are_enough() -> None:
    settings = load()
    assert settings.edge_zones == ("home.example",)
    assert settings.edge_mail_api_url == "https://mail-api.home.example"
    assert (settings.edge_bucket, settings.edge_namespace) == ("homeport-mail-retained", "homeport-mail-recipients")
    assert settings.cloudflare_url == "https://api.cloudflare.com/client/v4"


def test_zones_and_addresses_are_brought_into_one_form() -> None:
    settings = load(edge_zones=" Home.Example, BÜCHER.example ,home.example", edge_addresses="Bob@bücher.example,")
    assert settings.edge_zones == ("home.example", "xn--bcher-kva.example")
    assert settings.edge_addresses == ("bob@xn--bcher-kva.example",)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("edge_zones", "", "names no domain"),
        ("edge_zones", "home", "is no domain"),
        ("edge_zones", "home..example", "is no domain"),
        ("edge_zones", "-home.example", "is no domain"),
        ("edge_addresses", "bob", "is no address"),
        ("edge_addresses", '"b b"@home.example', "is no address"),
        ("edge_addresses", "bob@two.example", "in none of the zones"),
        ("edge_mail_api_url", "http://mail-api.home.example", "https://"),
        ("edge_mail_api_url", "https://user:password@mail-api.home.example", "is not an address"),
        ("edge_mail_api_url", "mail-api.home.example", "is not an address"),
        ("edge_mail_api_url", "https://mail-api.home.example/v1", "has a path"),
        ("edge_worker_url", "https://edge.home.example/?a=b", "is not an address"),
        ("edge_worker_url", "https://edge.home.example/worker/", "has a path"),
        ("edge_subrequests", "29", "greater than or equal to 30"),
        ("edge_recipient_delimiter", "+-", "at most 1 character"),
        ("edge_recipient_delimiter", "@", "is not a character such as +"),
        ("edge_recipient_delimiter", "x", "is not a character such as +"),
        ("cloudflare_account", "ABC", "32 hex digits"),
        ("cloudflare_token", "changeme", "is a placeholder"),
        ("edge_name", "Mail", "is not a name"),
        ("edge_name", "-mail", "is not a name"),
        ("edge_name", "m" * 53, "is not a name"),
        ("edge_poison_limit", "0", "greater than or equal to 1"),
        ("edge_alert_mail_from", "edge@home.example", "belong together"),
        ("edge_access_client_id", "an-id.access", "belong together"),
        ("dns_resolvers", "1.1.1.1, dns.example", "'dns.example' is not an address"),
        ("dns_resolvers", "", "names no resolver"),
        ("dns_poll_s", "29", "greater than or equal to 30"),
        ("tunnel_id", "my-tunnel", "is not the UUID of a tunnel"),
        ("mail_spf", "include:sendgrid.net -all", "'-all' is no mechanism"),
        ("mail_dkim", "s1", "is not SELECTOR=HOST"),
        ("mail_dkim", "s1=not a host", "is no domain"),
        ("mail_dkim", "-s=a.example", "is not SELECTOR=HOST"),
        ("mail_dmarc_rua", "reports", "is no address"),
        ("mail_relay_url", "smtp://user:password@relay.example:587", "without a password"),
        ("mail_relay_url", "smtp://relay.example", "is not an address"),
        ("mail_relay_url", "smtp://relay.example:587", "belong together"),
        ("mail_relay_url", "imap://relay.example:143", "is not an address such as smtp://user@host:587"),
        ("mail_imap_url", "smtp://mail.example:25", "is not an address such as imaps://host:993"),
        ("mail_imap_url", "imaps://mail.example:993/INBOX", "is not an address"),
        ("mail_imap_url", "imaps://mail.example:99999", "is not an address"),
        ("mail_canary_from", "canary@elsewhere.example", "belong together"),
        ("edge_bucket", "mine", "is not a setting"),
    ],
)
def test_wrong_value_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match="HOMEPORT_PORTAL_") as refused:
        load(**{name: value})
    assert said in str(refused.value)


@pytest.mark.parametrize("name", sorted(GOOD.keys() - {"edge_zones"}))  # domains may be added later
def test_missing_value_is_named(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(**{name: None})
    assert refused.value.mistakes == [f"{EdgeSettings.variable(name)} is not set"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1.1.1.1", ("1.1.1.1", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("2606:4700:4700::1111", ("2606:4700:4700::1111", 53)),
        ("[2606:4700:4700::1111]", ("2606:4700:4700::1111", 53)),
        ("[::1]:5353", ("::1", 5353)),
    ],
)
def test_resolver_has_an_address_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert resolver_address(text) == address


@pytest.mark.parametrize("text", ["", "dns.example", "1.1.1.1:", "1.1.1.1:0", "1.1.1.1:99999", "u@1.1.1.1", "[::1]x:4"])
def test_resolver_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address|has a port"):
        resolver_address(text)


def test_mail_settings_are_brought_into_one_form() -> None:
    settings = load(
        mail_dkim="s1=s1.domainkey.u1.sendgrid.net, own=v=DKIM1; k=rsa; p=MIIB==",
        mail_spf=" include:sendgrid.net  ip4:192.0.2.0/24 ",
        mail_dmarc_rua="mailto:Reports@Home.example",
        mail_relay_url="smtps://apikey@smtp.sendgrid.net:465",
        mail_relay_password="SG.0123456789abcdef",
        mail_canary_from="canary@elsewhere.example",
    )
    assert settings.mail_dkim == ("s1=s1.domainkey.u1.sendgrid.net", "own=v=DKIM1; k=rsa; p=MIIB==")
    assert settings.mail_spf == "include:sendgrid.net ip4:192.0.2.0/24"
    assert settings.mail_dmarc_rua == "reports@home.example"


def test_user_of_the_relay_needs_a_password() -> None:
    relay = {"mail_relay_url": "smtp://apikey@relay.example:587", "mail_canary_from": "canary@elsewhere.example"}
    with pytest.raises(SettingsError, match="HOMEPORT_PORTAL_MAIL_RELAY_PASSWORD is not set"):
        load(**relay)
    assert load(**relay, mail_relay_password="SG.0123456789abcdef").mail_relay_url == relay["mail_relay_url"]


@pytest.mark.parametrize(
    ("text", "tunnel_id"),
    [("", None), ("F70FF985-A4EF-4643-BBBC-4A0ED4FC8415", "f70ff985-a4ef-4643-bbbc-4a0ed4fc8415")],
)
def test_tunnel_is_none_or_has_one_spelling(text: str, tunnel_id: str | None) -> None:
    assert load(tunnel_id=text).tunnel_id == tunnel_id


def test_local_addresses_need_no_tls() -> None:
    assert load(edge_worker_url="http://127.0.0.1:8787").edge_worker_url == "http://127.0.0.1:8787"


@pytest.mark.parametrize("text", ["例え.テスト", "xn--r8jz45g.xn--zckzah"])
def test_domain_in_another_script_has_one_name(text: str) -> None:
    assert domain_name(text) == "xn--r8jz45g.xn--zckzah"
