"""A configuration as data: what is put in comes out, wherever it stands, and nothing else moves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.broker.schemas import Container
from portal.dns.tunnel import ingress, rules, targets
from portal.dns.tunnel.ingress import AHEAD_OF
from tests.portal.dns.tunnel.conftest import container

Json = dict[str, Any]

HOSTS = ("a.example", "b.example", "*.example", "x.a.example", "*.a.example", "日本.example", "A.EXAMPLE.")
ENTRIES = st.builds(
    lambda host, path, service, more: {
        **more,
        "hostname": host,
        **({"path": path} if path else {}),
        "service": service,
    },
    st.sampled_from(HOSTS),
    st.sampled_from(["", "/x", "/x/y", "^/x", r"\.png$"]),
    st.sampled_from(["http://a:1", "http_status:200"]),
    st.dictionaries(
        st.sampled_from(["originRequest", "id", "новое"]), st.dictionaries(st.text(max_size=3), st.integers())
    ),
)
CONFIGS = st.builds(
    lambda entries, more: {**more, "ingress": [*entries, {"service": "http_status:404"}]},
    st.lists(ENTRIES, max_size=7),
    st.dictionaries(st.sampled_from(["warp-routing", "originRequest"]), st.integers()),
)


def _without(config: Json, names: list[str]) -> Json:
    return ingress.put_routes(config, [(name, None) for name in names])


@given(CONFIGS, st.data())
def test_removing_any_entries_and_putting_them_back_is_the_identity_but_for_what_does_not_matter(
    config: Json, data: st.DataObject
) -> None:
    values = ingress.values_of(config)
    # Of two entries of one name the second is never reached; nobody but its writer knows what it is for.
    names = [name for name in values if " #" not in name and f"{name} #2" not in values]
    gone = data.draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    reduced = _without(config, gone)
    assert not set(gone) & set(ingress.routes_of(reduced))
    back = ingress.put_routes(reduced, [(name, values[name]) for name in gone])
    kept = [entry for entry in config["ingress"] if entry in reduced["ingress"]]
    assert [entry for entry in back["ingress"] if entry in kept] == kept
    assert back["ingress"][-1] == config["ingress"][-1]
    for name in gone:
        now = ingress.values_of(back)[name]
        assert {key: value for key, value in now.items() if key != AHEAD_OF} == {
            key: value for key, value in values[name].items() if key != AHEAD_OF
        }
        assert set(values[name].get(AHEAD_OF, ())) <= set(now.get(AHEAD_OF, ()))
    assert {key: value for key, value in back.items() if key != "ingress"} == {
        key: value for key, value in config.items() if key != "ingress"
    }


@given(CONFIGS, ENTRIES)
def test_new_entry_is_reached_and_putting_it_twice_is_putting_it_once(config: Json, entry: Json) -> None:
    name = ingress.route_name(ingress.hostname_of(entry), ingress.path_of(entry))
    once = ingress.put_routes(config, [(name, entry)])
    assert ingress.put_routes(once, [(name, entry)]) == once
    assert ingress.routes_of(once)[name] == entry
    assert ingress.takes_all(once["ingress"][-1])
    if name not in ingress.routes_of(config):
        above = once["ingress"][: once["ingress"].index(entry)]
        wildcards = [each for each in above if ingress.covers(ingress.hostname_of(each), ingress.hostname_of(entry))]
        assert wildcards == []


def test_configuration_without_entries_gets_one_that_takes_the_rest() -> None:
    entry = {"hostname": "a.example", "service": "http://a:1"}
    assert ingress.put_routes({}, [("a.example", entry)]) == {"ingress": [entry, {"service": "http_status:404"}]}
    assert ingress.routes_of({"ingress": None}) == {}


def test_second_entry_of_a_name_has_a_name_of_its_own() -> None:
    entries = [{"hostname": "a.example", "service": f"http://a:{port}"} for port in (1, 2)]
    config = {"ingress": [*entries, {"service": "http_status:404"}]}
    assert list(ingress.routes_of(config)) == ["a.example", "a.example #2"]
    assert _without(config, ["a.example #2"])["ingress"] == [entries[0], {"service": "http_status:404"}]


def test_all_entries_of_a_name_go_together_and_come_back_as_they_were() -> None:
    entries = [{"hostname": "a.example", "service": f"http://a:{port}"} for port in (1, 2, 3)]
    config = {"ingress": [*entries, {"hostname": "*.example", "service": "http://w:1"}, {"service": "http_status:404"}]}
    names = ["a.example", "a.example #2", "a.example #3"]
    values = ingress.values_of(config)
    without = _without(config, names)
    assert without["ingress"] == config["ingress"][3:]
    assert ingress.put_routes(without, [(name, values[name]) for name in names]) == config


@pytest.mark.parametrize(
    ("service", "name", "is_named"),
    [
        ("http://blog-nginx:80", "blog-nginx", True),
        ("https://BLOG-NGINX:443/", "blog-nginx", True),
        ("http://svc:80", "mail-x-1", True),
        ("ssh://svc:22", "mail-x-1", True),
        ("http://nobody:80", None, True),
        ("http://localhost:80", None, False),
        ("http://10.0.0.1:80", None, False),
        ("http://[::1]:80", None, False),
        ("http://[broken", None, False),
        ("http_status:404", None, False),
        ("unix:/run/x.sock", None, False),
        ("hello_world", None, False),
        ("", None, False),
    ],
)
def test_service_names_a_container_or_none(service: str, name: str | None, is_named: bool) -> None:
    known: list[Container] = [
        container("blog-nginx"),
        container("mail-x-2", service="svc", state="exited"),
        container("mail-x-1", service="svc"),
    ]
    found = targets.resolve(service, known)
    assert (found.container.name if found.container else None, found.is_named) == (name, is_named)


def test_zone_is_the_longest_that_fits_on_a_label() -> None:
    zones = ["example", "a.example", "ba.example"]
    assert targets.zone_of("x.a.example", zones) == "a.example"
    assert targets.zone_of("xa.example", zones) == "example"
    assert targets.zone_of("elsewhere", zones) is None


def test_rule_is_right_whatever_cloudflare_adds_to_it() -> None:
    wanted = rules.wanted("rate", "api.example")
    kept = {**wanted, "id": "1", "version": "7", "ref": "1", "last_updated": "now", "logging": {"enabled": True}}
    kept["ratelimit"] = {
        **wanted["ratelimit"],
        "characteristics": ["ip.src", "cf.colo.id"],
        "requests_to_origin": False,
    }
    assert rules.state_of(kept, "rate", "api.example") == "in-place"
    assert rules.repaired(kept, "rate", "api.example") == rules.value_of(kept)
    for change in ({"enabled": False}, {"action": "log"}, {"expression": "(false)"}):
        broken = {**kept, **change}
        assert rules.state_of(broken, "rate", "api.example") == "different"
        repaired = rules.repaired(broken, "rate", "api.example")
        assert rules.is_as_wanted(repaired, "rate", "api.example")
        assert repaired["logging"] == {"enabled": True}
    assert rules.state_of(None, "waf", "api.example") == "missing"
