"""The envelope as wire.md sends it, and addresses as strangers write them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail_api.envelope import (
    Envelope,
    MalformedRequest,
    encode_address,
    parse_recipient,
    parse_sender,
    read_envelope,
    read_unchecked_envelope,
)
from mail_api.refusal import BadAddress

SENT = {
    "message_id": "00112233445566778899aabbccddeeff",
    "mail_from": "YWxpY2VARXhhbXBsZS5PUkc",  # alice@Example.ORG
    "rcpt_to": "Qm9iQEV4YW1wbGUuQ09N",  # Bob@Example.COM
    "content_length": "5",
    "content_sha256": "ab" * 32,
    "retained_at": "",
}
LOCAL_64 = "l" * 64
DOMAIN_254 = ".".join(["d" * 63] * 3 + ["d" * 62])


# -- values -----------------------------------------------------------------------------------------------------------


def test_envelope_is_decoded_and_its_domains_are_compared_in_one_form() -> None:
    envelope = read_envelope(**SENT)
    assert envelope == Envelope(SENT["message_id"], "alice@example.org", "Bob@example.com", 5, "ab" * 32)
    assert envelope.rcpt_domain == "example.com"


@pytest.mark.parametrize("mail_from", ["", "PD4"])  # "" and "<>": mail.md 10.4
def test_envelope_null_sender_is_empty(mail_from: str) -> None:
    assert read_envelope(**SENT | {"mail_from": mail_from}).mail_from == ""


def test_envelope_of_a_drain_says_when_the_message_came() -> None:
    assert read_envelope(**SENT).retained_at is None
    assert read_envelope(**SENT | {"retained_at": "1800000000"}).retained_at == 1800000000
    assert read_envelope(**SENT | {"retained_at": "0"}).retained_at == 0


@pytest.mark.parametrize(
    ("field", "value", "header"),
    [
        *(
            ("message_id", value, "Message-Id")
            for value in ("", "ab", "AB" * 16, "ab" * 17, "zz" * 16, f"{'ab' * 16}\n")
        ),
        *(("content_sha256", value, "Content-SHA256") for value in ("", "ab" * 31, "AB" * 32, "ab" * 33)),
        *(
            ("content_length", value, "Content-Length")
            for value in ("", "+5", "-5", " 5", "5 ", "05", "5.0", "0x5", "1e3", "1_0", "\u0665", "9" * 16, "9" * 5000)
        ),
        *(("retained_at", value, "Retained-At") for value in ("x", "+1", "-1", "01", " ", "9" * 16)),
        *(
            (field, value, header)
            for field, header in (("mail_from", "Mail-From"), ("rcpt_to", "Rcpt-To"))
            for value in (
                "Qm9iQEV4YW1wbGUuQ09N====",  # padding
                "YQ==",
                "Y",  # no whole byte
                "YR",  # trailing bits set
                "YQ\n",
                "Y Q",
                "a+/a",  # the other alphabet
                "a.b",
                "é",
                "_w",  # 0xff: not UTF-8
                "7aCA",  # a surrogate
                "wIA",  # an over-long NUL
            )
        ),
        ("rcpt_to", "", "Rcpt-To"),
    ],
)
def test_malformed_value_names_the_header_bounces_nothing_and_shows_nothing(
    field: str, value: str, header: str
) -> None:
    with pytest.raises(MalformedRequest) as caught:
        read_envelope(**SENT | {field: value})
    assert caught.value.detail.startswith(f"Homeport-{header} is ")
    assert "smtp" not in caught.value.document()
    assert len(caught.value.detail) < 80


@pytest.mark.parametrize("field", ["mail_from", "rcpt_to"])
def test_bad_address_is_final_unless_the_envelope_is_read_unchecked(field: str) -> None:
    sent = SENT | {field: encode_address("nobody\r\n@example.com")}
    with pytest.raises(BadAddress):
        read_envelope(**sent)
    assert getattr(read_unchecked_envelope(**sent), field) == "nobody\r\n@example.com"
    with pytest.raises(MalformedRequest):
        read_unchecked_envelope(**sent | {"content_length": ""})


def test_envelope_digest_tells_envelopes_apart() -> None:
    def digest(mail_from: str, rcpt_to: str, **other: Any) -> str:
        return Envelope(other.pop("message_id", "a"), mail_from, rcpt_to, 1, "b").digest

    assert digest("a@x", "b@x") == digest("a@x", "b@x", message_id="other")
    pairs = [("", "a@x"), ("a@x", ""), ("a@x", "b@x"), ("b@x", "a@x"), ("a@x", "B@x"), ("a b", "c"), ("a", "b c")]
    assert len({digest(*pair) for pair in pairs}) == len(pairs)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_encoded_address_is_unpadded_base64url_and_is_read_back(address: str) -> None:
    encoded = encode_address(address)
    assert base64.urlsafe_b64decode(encoded + "==").decode() == address
    if address:
        assert read_unchecked_envelope(**SENT | {"rcpt_to": encoded}).rcpt_to == address


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("bob@example.com", "bob@example.com"),
        ("Bob.Smith+tag@EXAMPLE.Com", "Bob.Smith+tag@example.com"),
        ("postmaster@localhost", "postmaster@localhost"),
        ("a!#$%&'*+-/=?^_`{|}~z@x.example", "a!#$%&'*+-/=?^_`{|}~z@x.example"),
        (".lead..double.trail.@docomo.example", ".lead..double.trail.@docomo.example"),
        ("a,b:c;d(e)[f]@x.example", "a,b:c;d(e)[f]@x.example"),
        ('"John Smith"@x.example', '"John Smith"@x.example'),
        ('"a@b"@x.example', '"a@b"@x.example'),
        (r'"a\"b\\c<>"@x.example', r'"a\"b\\c<>"@x.example'),
        ("用户@例え.テスト", "用户@xn--r8jz45g.xn--zckzah"),
        ("bob@BÜCHER.example", "bob@xn--bcher-kva.example"),
        ("bob@bu\u0308cher.example", "bob@xn--bcher-kva.example"),  # NFD
        ("bob@straße.example", "bob@xn--strae-oqa.example"),
        ("bob@XN--BCHER-KVA.example", "bob@xn--bcher-kva.example"),
        ("bob@例え。テスト", "bob@xn--r8jz45g.xn--zckzah"),  # ideographic full stop
        ("bob@\uff25\uff38ample.com", "bob@example.com"),  # full width
        ("bob@_dmarc.bücher.example", "bob@_dmarc.xn--bcher-kva.example"),
        ("bob@i❤.example", "bob@xn--i-7iq.example"),  # IDNA refuses it, DNS has it
        ("bob@-x-.example", "bob@-x-.example"),
        (f"{LOCAL_64}@x.example", f"{LOCAL_64}@x.example"),
        (f"l@{'d' * 63}.example", f"l@{'d' * 63}.example"),
        (f"l@{DOMAIN_254[:252]}", f"l@{DOMAIN_254[:252]}"),  # 254 octets in all
    ],
)
def test_address_becomes_its_normal_form(address: str, normal: str) -> None:
    assert parse_recipient(address) == normal
    assert parse_sender(address) == normal
    assert parse_sender(normal) == normal


@pytest.mark.parametrize(
    ("address", "why"),
    [
        *((f"bo{character}b@example.com", "control characters") for character in "\0\t\n\r\x1b\x7f\x80\x85\x9f"),
        *((f"bo{character}b@example.com", "control characters") for character in "\xa0\xad\u200b\u2028\u202e\u3000"),
        ("bob@exam\nple.com", "control characters"),
        ('"bo\nb"@example.com', "control characters"),
        ("bob", "no domain"),
        ("bob@", "no domain"),
        ("@", "no domain"),
        ("@example.com", "no local part"),
        ('""@example.com', "must be quoted"),
        ("a b@example.com", "must be quoted"),
        (" bob@example.com", "must be quoted"),
        ("<bob@example.com>", "must be quoted"),
        ("a<b@example.com", "must be quoted"),
        ("a>b@example.com", "must be quoted"),
        ('a"b@example.com', "must be quoted"),
        ('"a"b"@example.com', "must be quoted"),
        ('"a@example.com', "must be quoted"),
        ('"a@b"', "must be quoted"),
        ('"a\\"@example.com', "must be quoted"),
        ("a\\b@example.com", "must be quoted"),
        ("a@b@example.com", "must be quoted"),
        ("@relay.example:bob@example.com", "must be quoted"),
        ("bob@example..com", "domain is not valid"),
        ("bob@.example.com", "domain is not valid"),
        ("bob@example.com.", "domain is not valid"),
        ("bob@exam ple.com", "domain is not valid"),
        ("bob@example.com ", "domain is not valid"),
        ("bob@example.com>", "domain is not valid"),
        ("bob@exa$mple.com", "domain is not valid"),
        ("bob@ex\uff20mple.com", "domain is not valid"),  # maps to @
        ("bob@bü\uff20x.example", "domain is not valid"),
        ("bob@bücher..example", "domain is not valid"),
        ("bob@\ue000.example", "control characters"),
        ("bob@[", "domain is not valid"),
        ("bob@[]", "domain is not valid"),
        ("bob@[a b]", "domain is not valid"),
        (f"bob@{'d' * 64}.example", "domain is not valid"),
        (f"bob@{'ü' * 60}.example", "domain is not valid"),
        (f"bob@{'d.' * 128}d", "domain is not valid"),
        (f"bob@{'ü' * 100_000}", "domain is not valid"),
        (f"b@{DOMAIN_254}", "longer than 254 octets"),
        (f"bob@{DOMAIN_254[:252]}", "longer than 254 octets"),
    ],
)
def test_address_that_no_mailbox_can_have_is_refused_for_good(address: str, why: str) -> None:
    for parse, who in ((parse_recipient, "recipient"), (parse_sender, "sender")):
        with pytest.raises(BadAddress) as caught:
            parse(address)
        assert caught.value.detail.startswith(f"{who}: ")
        assert why in caught.value.detail
        assert len(caught.value.detail) < 80


@pytest.mark.parametrize(
    "address",
    [
        f"{'l' * 65}@x.example",
        f"SRS0=abcd=ef=forwarder.example={'l' * 80}@x.example",
        f"{'ü' * 33}@x.example",  # 66 octets
        "bob@[192.0.2.1]",
        "bob@[IPv6:2001:db8::1]",
    ],
)
def test_sender_may_have_what_a_recipient_may_not(address: str) -> None:
    assert parse_sender(address) == address
    with pytest.raises(BadAddress):
        parse_recipient(address)


def test_sender_is_measured_in_octets() -> None:
    assert parse_sender(f"{'ü' * 121}@example.com")
    with pytest.raises(BadAddress, match="254 octets"):
        parse_sender(f"{'ü' * 122}@example.com")


@pytest.mark.parametrize("address", ["", "<>"])
def test_null_address_is_a_sender_only(address: str) -> None:
    assert parse_sender(address) == ""
    with pytest.raises(BadAddress):
        parse_recipient(address)


LOCAL = st.text(st.sampled_from('ab.+"\\ @<>\n\xe9\u3042'), max_size=12) | st.just("bob") | st.just('"a b"')
DOMAIN = st.text(st.sampled_from("aB.-_[]1\xfc\u3042\u3002\uff20\u2764 \n"), max_size=12) | st.just("example.com")


@given(st.text() | st.builds("{}@{}".format, LOCAL, DOMAIN))
@example("a@\u2488.example")  # maps to "1."
@example("a@\u212a.example")  # Kelvin sign
def test_address_is_refused_or_normal_for_good_and_safe_in_angle_brackets(address: str) -> None:
    try:
        normal = parse_sender(address)
    except BadAddress:
        return
    assert parse_sender(normal) == normal
    local, _, domain = normal.rpartition("@")
    assert domain.isascii()
    assert domain == domain.lower() or domain.startswith("[")
    assert normal.isprintable()
    assert len(normal.encode()) <= 254
    assert local.startswith('"') or not set(local) & set(' <>"\\')
