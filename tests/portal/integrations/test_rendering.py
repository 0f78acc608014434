"""Texts for nginx, PHP-FPM and Redis: what is written for known sites, and that no site writes anything else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from portal.broker import schemas
from portal.integrations.filling import fill
from portal.integrations.php_settings import PhpSettings
from portal.integrations.rendering import files_of
from portal.integrations.site_spec import MAX_HOSTNAMES, SiteSpec, SpecInvalid
from tests.portal.integrations.specs import site

GOLDEN = Path(__file__).with_name("golden")
KNOWN = (
    site("shop", 1, "shop.example", "www.shop.example", "xn--fiqs8s.example", php=PhpSettings()),
    site("away", 2, is_maintained=True),
    site("old", 3, is_enabled=False),
    site("app", 4, allows_xmlrpc=True, php=PhpSettings(memory_limit_mib=1024, upload_max_mib=512, max_execution_s=300)),
)


def test_known_sites_are_rendered_as_they_were_when_somebody_last_read_it() -> None:
    files = files_of(KNOWN, 7)
    kept = {str(path.relative_to(GOLDEN)): path.read_text() for path in GOLDEN.rglob("*.*")}
    assert set(files) == set(kept)
    for name, text in files.items():
        assert text == kept[name], name


def test_site_that_is_switched_off_has_no_pool_and_keeps_its_cache() -> None:
    files = files_of(KNOWN, 7)
    assert "php/old.conf" not in files
    assert "fastcgi" not in files["nginx/old.conf"]
    assert "user old on" in files["redis/users.acl"]


def test_no_sites_are_a_generation_too() -> None:
    assert set(files_of((), 1)) == {"nginx/generation.conf", "php/generation.conf", "redis/users.acl"}


# -- nothing else -----------------------------------------------------------------------------------------------------

_LABEL = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
_HOSTNAMES = st.lists(
    st.tuples(_LABEL, st.from_regex(r"[a-z](?:[a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)).map(".".join),
    min_size=1,
    max_size=4,
    unique=True,
)
_PHP = st.builds(
    PhpSettings,
    memory_limit_mib=st.integers(64, 1024),
    upload_max_mib=st.integers(1, 512),
    max_execution_s=st.integers(5, 300),
    max_children=st.integers(1, 32),
)


def _directives(text: str) -> list[str]:
    """The first word of each line, whatever its values are."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", ";")))
    return [line.split()[0] for line in lines]


@given(_LABEL.filter(lambda name: len(name) <= 31), _HOSTNAMES, st.integers(20_000, 29_999), _PHP, st.booleans())
def test_every_site_has_the_directives_of_the_template_and_no_others(
    name: str, hostnames: list[str], uid: int, php: PhpSettings, allows_xmlrpc: bool
) -> None:
    try:
        spec = SiteSpec(name, tuple(hostnames), uid, php, "a" * 64, allows_xmlrpc=allows_xmlrpc)
    except SpecInvalid:
        return
    model = site("model", 1, allows_xmlrpc=allows_xmlrpc)
    files, expected = files_of([spec], 3), files_of([model], 3)
    for part in ("nginx", "php"):
        text, like = files[f"{part}/{name}.conf"], expected[f"{part}/model.conf"]
        found = [word.replace(f"[{name}]", "[model]") for word in _directives(text)]
        assert found == _directives(like)
        assert text.count("{") == like.count("{")
        assert text.count(";") == like.count(";")
        assert text.count('"') == like.count('"')
    (line,) = files["redis/users.acl"].splitlines()
    assert line.split()[6:] == [f"~{name}:*", *expected["redis/users.acl"].split()[7:]]


_BAD_TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        "a.test; include /etc/passwd",
        "a.test\n}",
        "a.test\n",
        "*.test",
        ".test",
        "_",
        "~^a",
        "$host",
        '"a.test"',
        "a.test {",
        "a..test",
        "-a.test",
        "a-.test",
        "A.test",
        "日本.test",
        "1.2.3.4",
        "localhost",
        f"{'a' * 64}.test",
        ".".join(["abcdefgh"] * 29),
        "a.test ",
        "a .test",
        "a\t.test",
        "a.test#",
        "../../etc/passwd",
        "<<name>>",
    ]
)


@given(_BAD_TEXTS)
def test_text_that_is_no_host_name_never_meets_a_template(text: str) -> None:
    try:
        spec = site("shop", 1, text)
    except SpecInvalid:
        return
    assert re.fullmatch(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", text)
    assert f"server_name {text};" in files_of([spec], 1)["nginx/shop.conf"]


@given(_BAD_TEXTS | st.sampled_from([*sorted(schemas.RESERVED), "a" * 32, "a_b", "a.b", "-a"]))
def test_text_that_is_no_name_never_meets_a_template(text: str) -> None:
    try:
        site(text, 1, "a.test")
    except SpecInvalid:
        return
    assert re.fullmatch(r"[a-z0-9-]{1,31}", text)


@pytest.mark.parametrize(
    "change",
    [
        {"uid": 0},
        {"uid": 33},
        {"uid": 19_999},
        {"uid": 30_000},
        {"uid": True},
        {"uid": "20001"},
        {"hostnames": ()},
        {"hostnames": ("a.test", "a.test")},
        {"hostnames": tuple(f"h{number}.test" for number in range(MAX_HOSTNAMES + 1))},
        {"redis_password_sha256": "A" * 64},
        {"redis_password_sha256": "a" * 63},
        {"redis_password_sha256": "a" * 64 + "\n"},
    ],
    ids=str,
)
def test_value_out_of_bounds_makes_no_specification(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "name": "a",
        "hostnames": ("a.test",),
        "uid": 20_000,
        "php": PhpSettings(),
        "redis_password_sha256": "a" * 64,
    }
    SiteSpec(**good)
    with pytest.raises(SpecInvalid):
        SiteSpec(**(good | change))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory_limit_mib", 63),
        ("memory_limit_mib", 1025),
        ("upload_max_mib", 0),
        ("upload_max_mib", 513),
        ("max_execution_s", 4),
        ("max_execution_s", 301),
        ("max_children", 0),
        ("max_children", 33),
        ("memory_limit_mib", "64M\nuser=0"),
        ("display_errors", True),
    ],
)
def test_php_setting_out_of_bounds_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        PhpSettings.model_validate({name: value})


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (site("shop", 2, "b.test"), "name shop"),
        (site("b", 1), "user id 20001"),
        (site("b", 2, "www.shop.test"), "host name www.shop.test"),
    ],
)
def test_two_sites_share_nothing(second: SiteSpec, what: str) -> None:
    with pytest.raises(SpecInvalid, match=what):
        files_of([site("shop", 1, "shop.test", "www.shop.test"), second], 1)


@pytest.mark.parametrize(
    "value", ["a;b", "a\nb", "a{b", "a}b", "a$b", 'a"b', "a'b", "a\\b", "a#b", "a\tb", "a[b", "a%b", "é"]
)
def test_value_that_is_more_than_a_word_fills_no_place(value: str) -> None:
    with pytest.raises(ValueError, match="cannot stand"):
        fill("server_name <<name>>;", {"name": value})


def test_place_without_a_value_is_a_defect_that_is_noticed() -> None:
    with pytest.raises(KeyError):
        fill("<<name>> <<sha256>>", {"name": "a"})
