"""DKIM keys, good and bad, on a real name server."""

from __future__ import annotations

import pytest

from portal.dns.posture.checks import dkim
from portal.dns.posture.subject import DkimKey, Wanted
from tests.portal.dns.posture.cases import Case
from tests.portal.dns.posture.conftest import MailDomain, key
from tests.portal.dns.posture.keys import ed25519_key, other_key, rsa_key, strings

pytestmark = pytest.mark.services

RSA_512 = (  # nothing makes them any more
    "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALyLbBTrpV6k6l9WgY0XfFAl+eqNVJ/pd4FgCBpYVp8aGl66x/jDZYbQPlq5/g9ct1MBl+DQsHPO1Ozg"
    "oqXRsoUCAwEAAQ=="
)
GOOD = f"v=DKIM1; k=rsa; p={rsa_key(2048)}"
SPACED = GOOD.replace("; ", " ;").replace("MII", "M I I")
AT = "s1._domainkey TXT"
CNAME = {"wanted": key("s1.sender.{d}")}
TEXT = {"wanted": key(GOOD)}
SENDER = f"\ns1.sender TXT {strings(GOOD)}"


def _published(text: str, found: str) -> Case:
    """A key that is published just as it was set."""
    return Case(f"{AT} {strings(text)}", (found,), {"wanted": key(text)})


CASES = {
    "an alias to the sender": Case(f"s1._domainkey CNAME s1.sender{SENDER}", ("dkim-ok:s1",), CNAME),
    "a text": Case(f"{AT} {strings(GOOD)}", ("dkim-ok:s1",), TEXT),
    "a text with other blanks": Case(f"{AT} {strings(SPACED)}", ("dkim-ok:s1",), TEXT),
    "Ed25519": _published(f"v=DKIM1; k=ed25519; p={ed25519_key()}", "dkim-ok:s1"),
    "no selector": Case("@ A 192.0.2.1", ("dkim-no-selector",)),
    "none": Case("@ A 192.0.2.1", ("dkim-missing:s1",), CNAME),
    "the text is missing": Case("@ A 192.0.2.1", ("dkim-missing:s1",), TEXT),
    "an alias to somebody else": Case("s1._domainkey CNAME s1.else.example.", ("dkim-other:s1",), CNAME),
    "a text instead of the alias": Case(f"{AT} {strings(GOOD)}", ("dkim-other:s1",), CNAME),
    "another key": Case(f"{AT} {strings(f'v=DKIM1; p={rsa_key(1024)}')}", ("dkim-other:s1",), TEXT),
    "an alias to nothing": Case("s1._domainkey CNAME s1.sender", ("dkim-dead-alias:s1",), CNAME),
    "revoked": Case(f'{AT} "v=DKIM1; k=rsa; p="', ("dkim-revoked:s1",), TEXT),
    "two": Case(f'{AT} {strings(GOOD)}\n{AT} "v=DKIM1; p="', ("dkim-multiple:s1",), TEXT),
    "cut off": _published(f"v=DKIM1; p={rsa_key(2048)[:200]}", "dkim-syntax:s1"),
    "no base64": _published("v=DKIM1; p=<script>", "dkim-syntax:s1"),
    "no key at all": _published("v=DKIM1; k=rsa", "dkim-syntax:s1"),
    "of an unknown kind": _published(f"v=DKIM1; k=rot13; p={rsa_key(2048)}", "dkim-syntax:s1"),
    "a key of another kind": _published(f"v=DKIM1; k=rsa; p={other_key()}", "dkim-syntax:s1"),
    "Ed25519 that is too short": _published("v=DKIM1; k=ed25519; p=eA==", "dkim-syntax:s1"),
    "another version": Case(f'{AT} "v=DKIM2; p=x"', ("dkim-syntax:s1",), CNAME | {"wanted": key(GOOD)}),
    "1024 bits": _published(f"v=DKIM1; p={rsa_key(1024)}", "dkim-weak:s1"),
    "512 bits": _published(f"v=DKIM1; p={RSA_512}", "dkim-too-short:s1"),
    "a test": _published(f"v=DKIM1; t=y:s; p={rsa_key(2048)}", "dkim-testing:s1"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_dkim_is_judged(domain: MailDomain, name: str) -> None:
    case = CASES[name]
    wanted = case.given.get("wanted", Wanted((), (), None))
    keys = tuple(DkimKey(each.selector, each.target.replace("{d}", domain.name)) for each in wanted.dkim)
    found = await domain.codes(dkim.check, case.records, wanted=Wanted((), keys, None))
    assert found == list(case.found)


async def test_each_selector_is_judged_by_itself(domain: MailDomain) -> None:
    wanted = Wanted((), (DkimKey("s1", GOOD), DkimKey("s2", GOOD)), None)
    found = await domain.codes(dkim.check, f"s2._domainkey TXT {strings(GOOD)}", wanted=wanted)
    assert found == ["dkim-missing:s1", "dkim-ok:s2"]
