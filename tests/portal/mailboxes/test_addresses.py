"""Addresses and passwords of mailboxes: what is taken, in which form, and what is refused."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from portal.mailboxes.addresses import Address, BadAddress, parse_domain
from portal.mailboxes.passwords import SCHEME, PasswordUnfit, hashed


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("bob@example.org", "bob@example.org"),
        ("Bob.O_Brien-2@Example.ORG", "bob.o_brien-2@example.org"),
        ("info@bücher.example", "info@xn--bcher-kva.example"),
        ("info@BU\u0308CHER.example", "info@xn--bcher-kva.example"),  # the umlaut in two characters: NFC
        ("mail@日本語.example", "mail@xn--wgv71a119e.example"),
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
        ("_dmarc@example.org", "_dmarc@example.org"),
    ],
)
def test_address_is_stored_in_one_form(typed: str, stored: str) -> None:
    assert str(Address.parse(typed)) == stored


@pytest.mark.parametrize(
    "typed",
    [
        *("", "@", "bob", "bob@", "@example.org", "bob@localhost", "bob@[127.0.0.1]", "bob@example..org"),
        *('"bob"@example.org', '"a b"@example.org', "a b@example.org", "bob@exa mple.org", "bob@example.org\n"),
        *("bob\n@example.org", "bob\0@example.org", "bob\u202e@example.org", "bo\u200bb@example.org"),
        *(".bob@example.org", "bob.@example.org", "b..ob@example.org", "..@example.org", "../../etc@example.org"),
        *("a/b@example.org", "-oProxy@example.org", "%u@example.org", "bob+shop@example.org", "o'b@example.org"),
        *("bób@example.org", "\u212aim@example.org", "a" * 65 + "@example.org", "bob@-example.org"),
        *("bob@" + "a" * 64 + ".org", "bob@" + ".".join(["a" * 60] * 5) + ".org", "bob@\u200b.org", "bob@a.b\u3002"),
        *("bob@homeport.invalid", "sentinel@HOMEPORT.invalid"),
        "x" * 1_000_000,
    ],
)
def test_address_that_no_mailbox_can_have_is_refused(typed: str) -> None:
    with pytest.raises(BadAddress) as caught:
        Address.parse(typed)
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


def test_longest_address_is_taken_and_one_more_is_not() -> None:
    domain = ".".join(["a" * 63, "b" * 63, "c" * 57, "org"])
    longest = f"{'x' * 64}@{domain}"
    assert len(longest) == 254
    assert str(Address.parse(longest)) == longest
    with pytest.raises(BadAddress, match="longer than 254"):
        Address.parse(longest.replace("c.org", "cc.org"))


@given(st.text())
def test_whatever_is_taken_is_in_its_one_form(typed: str) -> None:
    try:
        address = Address.parse(f"{typed}@example.org")
    except BadAddress:
        return
    assert Address.parse(str(address)) == address
    assert str(address) == str(address).lower()
    assert address.local.isascii()
    assert address.local[0] not in "-."
    assert "/" not in address.local


@given(st.text())
def test_domain_is_taken_in_one_form_or_refused(typed: str) -> None:
    try:
        name = parse_domain(typed)
    except BadAddress:
        return
    assert parse_domain(name) == name
    assert name.isascii()


def test_password_is_hashed_for_dovecot_with_one_lane() -> None:
    stored = hashed("nine Quiet herons", "bob")
    assert stored.startswith(SCHEME + "$argon2id$v=19$m=32768,t=3,p=1$")
    assert PasswordHasher().verify(stored.removeprefix(SCHEME), "nine Quiet herons")
    assert hashed("nine Quiet herons", "bob") != stored


@pytest.mark.parametrize(
    "password",
    [
        *("", "shorty", "a" * 257, "password1234", "bob@bob@bob@"),
        *("neun stille Störche", "tab\tand twelve", "鷺が九羽しずかに立つている"),
    ],
)
def test_password_that_is_weak_or_differs_between_programs_is_refused_without_saying_it(password: str) -> None:
    with pytest.raises(PasswordUnfit) as caught:
        hashed(password, "bob")
    assert not password or password not in str(caught.value)
