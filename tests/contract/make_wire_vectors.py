"""Writes `wire_vectors/*.json`: what wire.md says, as examples that both sides are tested against.

A second implementation of wire.md on purpose: it shares no code with mail_api, so that a mistake there does not become
the expectation. What is expected is written down by hand. Deterministic: the same files, byte for byte, every time.

    .venv/bin/python tests/contract/make_wire_vectors.py

README.md beside this file describes the format for readers in other languages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "wire_vectors"
NOW = 1_800_000_000
POST, PATH = "POST", "/v1/messages"
Case = dict[str, Any]
Values = dict[str, str]


def _hex(seed: str) -> str:
    return hashlib.sha256(f"homeport wire vectors: {seed}".encode()).hexdigest()


SECRETS = {"2026-11": _hex("current key"), "2026-10": _hex("old key")}
STRANGERS = _hex("a stranger's key")
RECIPIENTS_KEY = _hex("recipients key")
BODY = b"From: alice@example.org\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n"
ALICE, BOB = "alice@example.org", "bob@example.com"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def b64url(data: str | bytes) -> str:
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).decode().rstrip("=")


def write(directory: Path) -> None:
    """Write all the files. Raise AssertionError if two cases of a file have one name."""
    for name, content in (
        (
            "requests",
            {"now": NOW, "keys": [{"id": key_id, "secret": secret} for key_id, secret in SECRETS.items()]}
            | {"cases": accepted() + wrongly_signed() + malformed() + badly_addressed() + wrong_bodies()},
        ),
        ("addresses", {"cases": addresses()}),
        ("fingerprints", {"cases": fingerprints()}),
        ("recipients", {"key": RECIPIENTS_KEY, "cases": recipients()}),
        ("answers", {"message_id": MESSAGE_ID, "sha256": SHA256, "cases": answers()}),
    ):
        cases = content["cases"]
        assert isinstance(cases, list)
        assert len({case["name"] for case in cases}) == len(cases)
        text = json.dumps(content, indent=1)
        (directory / f"{name}.json").write_text(text + "\n", encoding="ascii")


# -- requests.json ----------------------------------------------------------------------------------------------------

HEADERS = {
    "key_id": "Homeport-Key-Id",
    "timestamp": "Homeport-Timestamp",
    "message_id": "Homeport-Message-Id",
    "mail_from": "Homeport-Mail-From",
    "rcpt_to": "Homeport-Rcpt-To",
    "content_length": "Homeport-Content-Length",
    "content_sha256": "Homeport-Content-SHA256",
    "retained_at": "Homeport-Retained-At",
}


def message(name: str, body: bytes = BODY, **values: str) -> Values:
    """The header values of a good message, some of them replaced; its id is its own, so that one ledger takes all."""
    good = {"key_id": "2026-11", "timestamp": str(NOW), "message_id": _hex(name)[:32]}
    good |= {"mail_from": b64url(ALICE), "rcpt_to": b64url(BOB)}
    good |= {"content_length": str(len(body)), "content_sha256": hashlib.sha256(body).hexdigest()}
    return good | values


def without(values: Values, *fields: str) -> Values:
    return {field: value for field, value in values.items() if field not in fields}


def canonical(values: Values, method: str = POST, path: str = PATH) -> str:
    before = [values.get(field, "") for field in ("key_id", "timestamp", "message_id")]
    behind = ("mail_from", "rcpt_to", "content_length", "content_sha256", "retained_at")
    return "\n".join(["v1", *before, method, path, *(values.get(field, "") for field in behind)])


def signature(text: str, secret: bytes = bytes.fromhex(SECRETS["2026-11"])) -> str:
    return "v1=" + hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def request(
    name: str,
    values: Values,
    expect: Case,
    *,
    body: bytes = BODY,
    method: str = POST,
    path: str = PATH,
    said: str | None = None,
) -> Case:
    """One case. The values are signed as they are sent, unless `said` is what the signature header says."""
    case: Case = {"name": name, "method": method, "path": path}
    if said is None:
        case["canonical"] = canonical(values, method, path)
        said = signature(case["canonical"], bytes.fromhex(SECRETS[values["key_id"]]))
    headers = [[HEADERS[field], value] for field, value in values.items()] + [["Homeport-Signature", said]]
    return case | {"headers": headers, "body": b64(body), "expect": expect}


def receipt(values: Values, mail_from: str, rcpt_to: str) -> Case:
    retained_at = values.get("retained_at")
    return {
        "stage": "done",
        "status": 200,
        "json": {"status": "delivered", "message_id": values["message_id"], "sha256": values["content_sha256"]},
        "envelope": {
            "mail_from": mail_from,
            "rcpt_to": rcpt_to,
            "size_bytes": int(values["content_length"]),
            "retained_at": int(retained_at) if retained_at else None,
        },
    }


def accepted() -> list[Case]:
    def case(name: str, mail_from: str = ALICE, rcpt_to: str = BOB, body: bytes = BODY, **values: str) -> Case:
        sent = message(name, body, **{"mail_from": b64url(mail_from), "rcpt_to": b64url(rcpt_to)} | values)
        return request(name, sent, receipt(sent, mail_from, rcpt_to), body=body)

    def spelled(name: str, mail_from: str, rcpt_to: str, *, means: tuple[str, str]) -> Case:
        sent = message(name, mail_from=b64url(mail_from), rcpt_to=b64url(rcpt_to))
        return request(name, sent, receipt(sent, *means))

    dropped = without(message("empty header dropped on the way"), "mail_from")
    lower = case("header names in lower case")
    lower["headers"] = [[header.lower(), value] for header, value in lower["headers"]]
    alive = {"stage": "done", "status": 200, "json": {"status": "ok"}}
    asked = {"key_id": "2026-11", "timestamp": str(NOW)}
    return [
        case("a message"),
        case("signed with the second key", key_id="2026-10"),
        case("300 s old", timestamp=str(NOW - 300)),
        case("300 s ahead", timestamp=str(NOW + 300)),
        case("null sender", ""),
        spelled("null sender as <>", "<>", BOB, means=("", BOB)),
        request("empty header dropped on the way", dropped, receipt(dropped, "", BOB)),
        lower,
        case("retained at the edge", retained_at=str(NOW - 86_400)),
        case("retained at the edge, null sender", "", retained_at="1"),
        case("empty body", body=b""),
        case("body of all byte values, bare CR and LF, no line end", body=bytes(range(256)) + b"\r\n.\r\n\n.\n\r\r"),
        case("local parts that are not ASCII", "δοκιμή@example.org", "用户@example.com"),
        case("local parts in quotes", '"a b"@example.org', '"c@d"@example.com'),
        case("sender with a local part over 64 octets", f"SRS0=ab={'s' * 80}@example.org"),
        case("sender with an address literal", "alice@[192.0.2.1]"),
        spelled(
            "domains in upper case and in another script",
            "Alice@EXAMPLE.Org",
            "Bob@BÜCHER.例え.テスト",
            means=("Alice@example.org", "Bob@xn--bcher-kva.xn--r8jz45g.xn--zckzah"),
        ),
        request("health, without a body", asked, alive, body=b"", method="GET", path="/v1/health"),
    ]


def refused(reason: str) -> Case:
    return {"stage": "signature", "status": 401, "type": "/problems/signature-refused", "reason": reason}


def wrongly_signed() -> list[Case]:
    cases = []

    def case(name: str, reason: str, said: str | None = None, **values: str) -> None:
        """The values replace those of a good message; by default the signature is the good message's."""
        sent = message(name, retained_at=str(NOW - 60))
        cases.append(request(name, sent | values, refused(reason), said=said or signature(canonical(sent))))

    for field, header in HEADERS.items():
        good = message("", retained_at=str(NOW - 60))[field]
        changed = good[:-1] + ("0" if good[-1] != "0" else "1")  # of the key id, this makes the second key's
        case(f"{header} with another last byte", "mismatch", **{field: changed})
        case(f"{header} with a high bit set", "malformed", **{field: chr(ord(good[0]) | 0x80) + good[1:]})

        name = f"{header} removed"
        sent = message(name, retained_at=str(NOW - 60))
        reason = "missing" if field in ("key_id", "timestamp") else "mismatch"
        cases.append(request(name, without(sent, field), refused(reason), said=signature(canonical(sent))))

        name = f"{header} twice"
        sent = message(name, retained_at=str(NOW - 60))
        twice = request(name, sent, refused("malformed"))
        twice["headers"].insert(1, [header.lower(), sent[field]])
        cases.append(twice)

    for off, what in ((-301, "301 s old"), (301, "301 s ahead"), (-86_400, "a day old")):
        cases.append(request(what, message(what, timestamp=str(NOW + off)), refused("stale")))
    for timestamp in ("", "0x6b49d200", "+1800000000", "-1", "01800000000", "1800000000.0", " 1800000000", "1e9"):
        name = f"timestamp {timestamp!r}"
        cases.append(request(name, message(name, timestamp=timestamp), refused("malformed")))
    for key_id in ("", "2026_11", "2026-11.", "K", "k" * 33):
        name = f"key id {key_id!r}"
        sent = message(name, key_id=key_id)
        cases.append(request(name, sent, refused("malformed"), said=signature(canonical(sent))))

    name = "unknown key"
    sent = message(name, key_id="stranger")
    cases.append(request(name, sent, refused("unknown-key"), said=signature(canonical(sent), bytes.fromhex(STRANGERS))))

    sent = message("", message_id=_hex("a message that is signed wrongly")[:32])
    text = canonical(sent)
    good = signature(text)
    for name, said, reason in (
        ("known key id, another's secret", signature(text, bytes.fromhex(STRANGERS)), "mismatch"),
        ("first key's id, second key's secret", signature(text, bytes.fromhex(SECRETS["2026-10"])), "mismatch"),
        ("secret used as text, not decoded from hex", signature(text, SECRETS["2026-11"].encode()), "mismatch"),
        ("line feed behind the canonical string", signature(text + "\n"), "mismatch"),
        ("canonical string without the absent retained-at", signature(text.rpartition("\n")[0]), "mismatch"),
        ("canonical string joined by CRLF", signature(text.replace("\n", "\r\n")), "mismatch"),
        ("signed for another method", signature(canonical(sent, "PUT")), "mismatch"),
        ("signed for another path", signature(canonical(sent, path="/v1/health")), "mismatch"),
        ("signature of another body", signature(canonical(sent | {"content_sha256": _hex("other body")})), "mismatch"),
        ("signature with another last byte", good[:-1] + ("0" if good[-1] != "0" else "1"), "mismatch"),
        ("signature in upper case", "v1=" + good[3:].upper(), "malformed"),
        ("signature without its version", good[3:], "malformed"),
        ("signature of another version", "v2=" + good[3:], "malformed"),
        ("signature cut short", good[:-2], "malformed"),
        ("signature with more behind it", good + "00", "malformed"),
        ("signature of no bytes", "v1=", "malformed"),
    ):
        cases.append(request(name, sent, refused(reason), said=said))

    name = "signature removed"
    missing = request(name, message(name), refused("missing"))
    missing["headers"].pop()
    cases.append(missing)
    name = "signature twice"
    twice = request(name, message(name), refused("malformed"))
    twice["headers"].append(twice["headers"][-1])
    cases.append(twice)
    name = "health, signed for another path"
    asked = {"key_id": "2026-11", "timestamp": str(NOW)}
    said = signature(canonical(asked, "GET", "/status"))
    cases.append(request(name, asked, refused("mismatch"), body=b"", method="GET", path="/v1/health", said=said))
    return cases


def malformed() -> list[Case]:
    """Well signed, but not what wire.md says. A fault of the Worker: 400, and nothing is bounced."""
    wrong = {
        "message_id": ["", "ab" * 15, "AB" * 16, "ab" * 17, "g" * 32],
        "content_length": ["", "+66", " 66", "066", "66.0", "0x42", "9" * 16, "-1"],
        "content_sha256": ["", "ab" * 31, "AB" * 32, "ab" * 33],
        "retained_at": ["x", "+1", "-1", "01", "1.5"],
        "mail_from": ["YWxpY2VAZXhhbXBsZS5vcmc=", "Y", "YR", "a+/a", "a.b", "Y Q", b64url(b"\xff@example.org")],
        "rcpt_to": ["", "Ym9iQGV4YW1wbGUuY29t====", "Y", "YR", "a+/a", "a.b", "Y Q", b64url(b"\xc0\x80@example.com")],
    }
    cases = []
    for field, values in wrong.items():
        for value in values:
            name = f"{HEADERS[field]}: {value!r}"
            sent = message(name) | {field: value}
            expect: Case = {"stage": "envelope", "status": 400, "type": "/problems/malformed-request"}
            cases.append(request(name, sent, expect))
    return cases


def badly_addressed() -> list[Case]:
    """An address that no mailbox can have is refused for good; on a drain the sender is gone, so it is held."""
    cases = []
    for who, address in (
        ("rcpt_to", "bob\r\nDATA\r\n@example.com"),
        ("rcpt_to", "bob"),
        ("rcpt_to", f"{'l' * 65}@example.com"),
        ("mail_from", "alice\x00@example.org"),
        ("mail_from", "alice@"),
    ):
        for is_drain in (False, True):
            name = f"{HEADERS[who]} {address!r}" + (", retained" if is_drain else "")
            sent = message(name) | {who: b64url(address)} | ({"retained_at": str(NOW - 60)} if is_drain else {})
            identity = {"message_id": sent["message_id"]}
            expect: Case
            if is_drain:
                receipt = {"status": "held", **identity, "sha256": sent["content_sha256"]}
                expect = {"stage": "envelope", "status": 202, "json": receipt}
            else:
                smtp = {"code": 553, "enhanced": "5.1.3"}
                expect = {"stage": "envelope", "status": 422, "type": "/problems/bad-address", "smtp": smtp}
                expect["json"] = identity
            cases.append(request(name, sent, expect))
    return cases


def wrong_bodies() -> list[Case]:
    """Well signed, but the body is not the one that was announced, or is announced as too large."""
    cases = []
    for name, body in (
        ("body one byte short", BODY[:-1]),
        ("body one byte long", BODY + b"\n"),
        ("body with one byte changed", BODY[:-3] + b"0\r\n"),
        ("body missing", b""),
    ):
        sent = message(name)
        expect = {"stage": "body", "status": 400, "type": "/problems/body-mismatch"}
        cases.append(request(name, sent, expect | {"json": {"message_id": sent["message_id"]}}, body=body))
    name = "one byte over 25 MiB announced"
    sent = message(name, content_length=str(25 * 1024 * 1024 + 1))
    expect = {"stage": "body", "status": 413, "type": "/problems/too-large", "smtp": {"code": 552, "enhanced": "5.3.4"}}
    cases.append(request(name, sent, expect | {"json": {"message_id": sent["message_id"]}}))
    return cases


# -- addresses.json ---------------------------------------------------------------------------------------------------


def addresses() -> list[Case]:
    """How an address travels, and the form in which it is compared; null where no mailbox can have it."""
    domain_253 = ".".join(["d" * 63] * 3 + ["d" * 61])
    table: list[tuple[str, str | None, str | None]] = [  # address, normal form as sender, as recipient
        *(
            (same, same, same)
            for same in (
                "bob@example.com",
                "Bob.Smith+tag@example.com",
                "a!#$%&'*+-/=?^_`{|}~z@example.com",
                ".many..dots.@docomo.example",
                '"John Smith"@example.com',
                '"a@b"@example.com',
                r'"a\"b\\c"@example.com',
                "用户@example.com",
                "bob@localhost",
                "bob@under_score.example",
                f"{'l' * 64}@example.com",
                f"l@{domain_253[:252]}",
            )
        ),
        *(
            (address, normal, normal)
            for address, normal in (
                ("Bob@EXAMPLE.Com", "Bob@example.com"),
                ("bob@BÜCHER.example", "bob@xn--bcher-kva.example"),
                ("bob@bu\u0308cher.example", "bob@xn--bcher-kva.example"),
                ("bob@XN--BCHER-KVA.example", "bob@xn--bcher-kva.example"),
                ("bob@straße.example", "bob@xn--strae-oqa.example"),
                ("bob@例え。テスト", "bob@xn--r8jz45g.xn--zckzah"),
                ("bob@i❤.example", "bob@xn--i-7iq.example"),
            )
        ),
        ("", "", None),
        ("<>", "", None),
        ("alice@[192.0.2.1]", "alice@[192.0.2.1]", None),
        ("alice@[IPv6:2001:db8::1]", "alice@[IPv6:2001:db8::1]", None),
        (f"{'l' * 65}@example.com", f"{'l' * 65}@example.com", None),
        *(
            (bad, None, None)
            for bad in (
                "bob",
                "@",
                "bob@",
                "@example.com",
                '""@example.com',
                "bo\x00b@example.com",
                "bo\nb@example.com",
                "bo\x7fb@example.com",
                "bo\x85b@example.com",
                "bo\u2028b@example.com",
                "bo\u202eb@example.com",
                "bob@exam\rple.com",
                "a b@example.com",
                "<bob@example.com>",
                "a>b@example.com",
                'a"b@example.com',
                '"a@example.com',
                "a\\b@example.com",
                "a@b@example.com",
                "bob@example..com",
                "bob@example.com.",
                "bob@exam ple.com",
                "bob@b\u00fc\uff20x.example",
                f"bob@{'d' * 64}.example",
                f"l@{domain_253}",
            )
        ),
    ]
    return [
        {
            "name": f"{address!a}",
            "encoded": b64url(address),
            "address": address,
            "sender": sender,
            "recipient": recipient,
        }
        for address, sender, recipient in table
    ]


# -- fingerprints.json ------------------------------------------------------------------------------------------------

BLOCK = (
    b"Received: from mx.sender.example (192.0.2.45)\r\n"
    b"        by cloudflare-email.net (cloudflare) id 4FtPN9Zk4dY3\r\n"
    b"        for <bob@example.com>; Wed, 25 Nov 2026 20:43:42 +0000\r\n",
    b"ARC-Seal: i=1; a=rsa-sha256; s=cf2024-1; d=cloudflare-email.net; cv=none;\r\n\tb=AAAA;\r\n",
    b"ARC-Message-Signature: i=1; a=rsa-sha256; d=cloudflare-email.net;\r\n\th=to:from; b=BBBB;\r\n",
    b"ARC-Authentication-Results: i=1; mx.cloudflare.net;\r\n\tspf=pass smtp.remote-ip=192.0.2.45\r\n",
    b"Received-SPF: pass (mx.cloudflare.net: domain of alice@sender.example designates 192.0.2.45 as permitted)\r\n"
    b"\treceiver=mx.cloudflare.net; client-ip=192.0.2.45;\r\n"
    b'\tenvelope-from="alice@sender.example"; helo=mx.sender.example;\r\n',
    b"Authentication-Results: mx.cloudflare.net;\r\n\tdkim=pass header.d=sender.example\r\n",
    b"X-CF-SpamH-Score: 0\r\n",
)


def fingerprints() -> list[Case]:
    """A message is the trace block and the rest; the generator knows where it put them together."""
    rest = (
        b"Received: by relay.sender.example; x\r\nDate: Wed, 25 Nov 2026 20:43:39 +0000\r\nSubject: hi\r\n\r\nHello\r\n"
    )
    block, sender = b"".join(BLOCK), "alice@sender.example"
    known: Case = {"client_ip": "192.0.2.45", "helo": "mx.sender.example"}
    nothing: Case = {"client_ip": None, "helo": None}

    def case(
        name: str,
        front: bytes,
        behind: bytes,
        trace: Case,
        *,
        mail_from: str = sender,
        rcpt_to: str = BOB,
        is_known: bool = True,
    ) -> Case:
        parts = (mail_from.encode(), rcpt_to.encode(), behind)
        covered = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return {
            "name": name,
            "mail_from": mail_from,
            "rcpt_to": rcpt_to,
            "message": b64(front + behind),
            "trace": {**trace, "end": len(front)},
            "fingerprint": hashlib.sha256(covered).hexdigest() if is_known else None,
        }

    retried = block.replace(b"4FtPN9Zk4dY3", b"other").replace(b"b=AAAA", b"b=ZZZZ").replace(b"20:43:42", b"20:48:42")
    bare = b"Subject: neither id nor date\r\n\r\nDate: in the body\r\n"
    return [
        case("with the trace block", block, rest, known),
        case("the same message, tried again: another block, the same fingerprint", retried, rest, known),
        case("the same message without a block", b"", rest, nothing),
        case("the block with bare LF", block.replace(b"\r\n", b"\n"), rest, known),
        case("only the first field of the block", BLOCK[0], rest, known),
        case("only Received-SPF of the block", BLOCK[4], rest, known),
        case("the block without Received and ARC", b"".join(BLOCK[4:]), rest, known),
        case("a second block, which the sender wrote, is content", block, block + rest, known),
        case("a block behind another field is content", b"", b"Subject: first\r\n" + block + rest, nothing),
        case("fields of the block in another order are content", BLOCK[6], b"".join(BLOCK[:6]) + rest, nothing),
        case("another relay's Received is content", b"", rest, nothing, rcpt_to="carol@example.com"),
        case("null sender", block, rest, known, mail_from=""),
        case("another case of the recipient's local part", block, rest, known, rcpt_to="Bob@example.com"),
        case("Message-ID instead of Date", block, b"MESSAGE-ID : <1@x>\r\n\r\n", known),
        case("one more byte", block, rest + b"\n", known),
        case("neither Message-ID nor Date", block, bare, known, is_known=False),
        case("nothing but the block", block, b"", known, is_known=False),
        case("empty message", b"", b"", nothing, is_known=False),
    ]


# -- recipients.json --------------------------------------------------------------------------------------------------


def recipients() -> list[Case]:
    """The form in which an address is hashed for the edge's list; null where no list may judge it."""
    table: list[tuple[str, str, str | None]] = [  # address, delimiter, normal form
        ("bob@example.com", "+", "bob@example.com"),
        ("Bob.Smith@EXAMPLE.Com", "+", "bob.smith@example.com"),
        ("bob+tag@example.com", "+", "bob@example.com"),
        ("bob+one+two@example.com", "+", "bob@example.com"),
        ("bob+@example.com", "+", "bob@example.com"),
        ("+bob@example.com", "+", "+bob@example.com"),
        ("+bob+tag@example.com", "+", "+bob@example.com"),
        ("++tag@example.com", "+", "+@example.com"),
        ("+@example.com", "+", "+@example.com"),
        ("bob-tag@example.com", "+", "bob-tag@example.com"),
        ("bob-tag@example.com", "-", "bob@example.com"),
        ("bob+tag@example.com", "-", "bob+tag@example.com"),
        ("bob-tag@exa-mple.com", "-", "bob@exa-mple.com"),
        ("bob+tag@example.com", "", "bob+tag@example.com"),
        (".many..dots.@docomo.example", "+", ".many..dots.@docomo.example"),
        ("a!#$%&'*-/=?^_`{|}~z@example.com", "+", "a!#$%&'*-/=?^_`{|}~z@example.com"),
        ("bob@localhost", "+", "bob@localhost"),
        ("bob@under_score.example", "+", "bob@under_score.example"),
        ("bob@BÜCHER.example", "+", "bob@xn--bcher-kva.example"),
        ("bob@bu\u0308cher.example", "+", "bob@xn--bcher-kva.example"),
        ("bob@XN--BCHER-KVA.example", "+", "bob@xn--bcher-kva.example"),
        ("bob@straße.example", "+", "bob@xn--strae-oqa.example"),
        ("bob@例え。テスト", "+", "bob@xn--r8jz45g.xn--zckzah"),
        ("bob@i❤.example", "+", "bob@xn--i-7iq.example"),
        ("用户+折扣@example.com", "+", "用户@example.com"),
        ("ANDRÉ@example.com", "+", "andré@example.com"),
        ("ANDRE\u0301@example.com", "+", "andr\u00e9@example.com"),
        ("ΟΔΟΣ@example.com", "+", "οδος@example.com"),  # a sigma that ends a word has its own small letter
        ("\u212aelvin@example.com", "+", "kelvin@example.com"),
        ("\u0130stanbul@example.com", "+", "i\u0307stanbul@example.com"),
        ('"John Smith"@example.com', "+", None),
        ('"bob"@example.com', "+", None),
        ('"a@b"@example.com', "+", None),
        ("bob", "+", None),
        ("bob@", "+", None),
        ("@example.com", "+", None),
        ("", "+", None),
        ("bob@[192.0.2.1]", "+", None),
        ("bob@[IPv6:2001:db8::1]", "+", None),
        ("bob@example..com", "+", None),
        ("bob@example.com.", "+", None),
        ("bob@exam ple.com", "+", None),
        ("bob@b\u00fc\uff20x.example", "+", None),
        (f"bob@{'d' * 64}.example", "+", None),
    ]
    key = bytes.fromhex(RECIPIENTS_KEY)
    return [
        {
            "name": f"{address!a} with delimiter {delimiter!r}",
            "address": address,
            "delimiter": delimiter,
            "normal": normal,
            "hash": hmac.new(key, normal.encode(), hashlib.sha256).hexdigest() if normal is not None else None,
        }
        for address, delimiter, normal in table
    ]


# -- answers.json -----------------------------------------------------------------------------------------------------

MESSAGE_ID, SHA256 = _hex("the answered message")[:32], hashlib.sha256(BODY).hexdigest()
JSON_TYPE, PROBLEM_TYPE = "application/json", "application/problem+json"
REFUSALS = {  # slug -> status, title, smtp: the table of wire.md, "Answer"
    "unknown-mailbox": (404, "No such mailbox", 550, "5.1.1", "Mailbox does not exist"),
    "too-large": (413, "Message too large", 552, "5.3.4", "Message is larger than 25 MiB"),
    "bad-address": (422, "Address cannot be used", 553, "5.1.3", "Address is not valid"),
    "mail-loop": (422, "Message is looping", 554, "5.4.6", "Too many hops, mail loop suspected"),
    "content-refused": (422, "Content refused", 554, "5.7.1", "Message content refused"),
    "mailbox-full": (507, "Mailbox is full", 552, "5.2.2", "Mailbox is full"),
}


def answer(name: str, status: int, content_type: str, body: str | bytes | Case, verdict: Case) -> Case:
    content = json.dumps(body) if isinstance(body, dict) else body
    data = content.encode() if isinstance(content, str) else content
    return {"name": name, "status": status, "content_type": content_type, "body": b64(data), "verdict": verdict}


def problem(slug: str, status: int, title: str, **members: object) -> Case:
    return {"message_id": MESSAGE_ID, "type": f"/problems/{slug}", "title": title, "status": status} | members


def answers() -> list[Case]:
    """What the mail API, or whoever stands in front of it, answers to one message, and what that means for it."""
    undecided = {"kind": "undecided"}
    echo: Case = {"message_id": MESSAGE_ID, "sha256": SHA256}
    another = _hex("another message")
    cases = []
    for name, status in (("delivered", 200), ("queued", 202), ("held", 202)):
        document = {"status": name} | echo | {"queue_id": None if name == "delivered" else MESSAGE_ID}
        accepted_ = {"kind": "accepted", "status": name}
        cases.append(answer(name, status, JSON_TYPE, document, accepted_))
        cases.append(answer(f"{name}, with a charset", status, f"{JSON_TYPE}; charset=utf-8", document, accepted_))
        cases.append(answer(f"{name} under another success", 201, JSON_TYPE, document, undecided))
        cases.append(answer(f"{name} under a failure", 502, JSON_TYPE, document, undecided))
        cases.append(answer(f"{name} as plain text", status, "text/plain", document, undecided))
        cases.append(
            answer(f"{name} for another message", status, JSON_TYPE, document | {"message_id": another[:32]}, undecided)
        )
        cases.append(
            answer(f"{name} for another content", status, JSON_TYPE, document | {"sha256": another}, undecided)
        )
        for member in ("status", "message_id", "sha256"):
            cut = {key: value for key, value in document.items() if key != member}
            cases.append(answer(f"{name} without {member}", status, JSON_TYPE, cut, undecided))
        cases.append(answer(f"{name}, cut off", status, JSON_TYPE, json.dumps(document)[:-9], undecided))
    cases.append(answer("queued under delivered's status", 200, JSON_TYPE, {"status": "queued"} | echo, undecided))
    cases.append(answer("delivered under queued's status", 202, JSON_TYPE, {"status": "delivered"} | echo, undecided))

    for slug, (status, title, code, enhanced, text) in REFUSALS.items():
        smtp: Case = {"code": code, "enhanced": enhanced, "text": text}
        refusal = problem(slug, status, title, smtp=smtp)
        refused_ = {"kind": "refused", "reason": f"{enhanced} {text}"}
        cases.append(answer(f"refusal: {slug}", status, PROBLEM_TYPE, refusal, refused_))
        cases.append(answer(f"refusal as plain JSON: {slug}", status, JSON_TYPE, refusal, undecided))
        cases.append(answer(f"refusal as HTML: {slug}", status, "text/html", refusal, undecided))
        cases.append(
            answer(f"refusal without smtp: {slug}", status, PROBLEM_TYPE, problem(slug, status, title), undecided)
        )
        wrong: list[tuple[str, Case]] = [
            ("message_id null", {"message_id": None}),
            ("message_id of another", {"message_id": another[:32]}),
            ("smtp null", {"smtp": None}),
            ("smtp no object", {"smtp": str(code)}),
            *[(f"code {other!r}", {"smtp": smtp | {"code": other}}) for other in (450, 250, 600, str(code), None)],
        ]
        cases += [
            answer(f"{slug} with {name}", status, PROBLEM_TYPE, refusal | change, undecided) for name, change in wrong
        ]
        never_final = (200, 302, 400, 401, 403, 408, 409, 429)
        cases += [answer(f"{slug} under {never}", never, PROBLEM_TYPE, refusal, undecided) for never in never_final]

    for slug, status in (
        ("signature-refused", 401),
        ("message-id-conflict", 409),
        ("domain-not-accepted", 421),
        ("spool-unavailable", 503),
    ):
        cases.append(answer(f"problem: {slug}", status, PROBLEM_TYPE, problem(slug, status, slug), undecided))
    for status in (200, 202, 302, 404, 502, 530):
        cases.append(
            answer(f"HTML under {status}", status, "text/html", "<html><title>Sign in</title></html>", undecided)
        )
        types = ("", JSON_TYPE, PROBLEM_TYPE)
        cases += [answer(f"nothing under {status} as {type_!r}", status, type_, "", undecided) for type_ in types]
    for name, body in (("a list", "[]"), ("a string", '"delivered"'), ("null", "null"), ("not UTF-8", b'{"a":"\xff"}')):
        for status, type_ in ((200, JSON_TYPE), (404, PROBLEM_TYPE)):
            cases.append(answer(f"{name} under {status}", status, type_, body, undecided))
    return cases


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    write(DIRECTORY)
