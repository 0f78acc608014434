"""DKIM keys (RFC 6376 3.6.1) by their selectors: there, readable, long enough, and the one that was set."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from dataclasses import dataclass

from portal.dns.posture.findings import Found, Result, found
from portal.dns.posture.look import NoAnswer, texts_of
from portal.dns.posture.resolving import Answer, Outcome
from portal.dns.posture.subject import DkimKey, Subject
from portal.integrations.records import host

RSA_LEAST, RSA_GOOD = 1024, 2048  # RFC 8301 3.2
_SPACE = re.compile(r"\s+")


class Unreadable(Exception):
    """The text is no DKIM key."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """bits 0: revoked. flags: of t=."""

    algorithm: str
    bits: int
    flags: frozenset[str]


async def check(subject: Subject) -> Result:
    if not subject.wanted.dkim:
        return Result("dkim", (found("dkim-no-selector", domain=subject.domain),))
    each = await asyncio.gather(*(_of_key(subject, key) for key in subject.wanted.dkim))
    findings = tuple(finding for result in each for finding in result.found)
    quoted = tuple(text for result in each for text in result.quoted)
    return Result("dkim", findings, quoted, each[0].resolver)


async def _of_key(subject: Subject, key: DkimKey) -> Result:
    name = key.name(subject.domain)
    answer = await subject.look.ask(name, "TXT")
    texts = texts_of(answer.records)
    findings = _findings(key, name, answer, texts)
    return Result("dkim", tuple(findings), tuple(f"{name}: {text}" for text in texts), answer.resolver)


def _findings(key: DkimKey, name: str, answer: Answer, texts: tuple[str, ...]) -> list[Found]:
    selector, aliases = key.selector, answer.aliases
    first_alias = aliases[0] if aliases else None
    if not key.is_text and first_alias is not None and first_alias != host(key.target):
        return [found("dkim-other", selector=selector, there=first_alias, wanted=key.target, subject=selector)]
    if not answer.is_known:
        raise NoAnswer(answer)
    if answer.outcome is not Outcome.FOUND:
        if aliases:
            return [found("dkim-dead-alias", selector=selector, target=aliases[-1], subject=selector)]
        return [found("dkim-missing", selector=selector, name=name, subject=selector)]
    if len(texts) > 1:
        return [found("dkim-multiple", *texts, selector=selector, count=len(texts), subject=selector)]
    try:
        present = read_key(texts[0])
    except Unreadable as error:
        return [found("dkim-syntax", texts[0], selector=selector, detail=str(error), subject=selector)]
    if present.bits == 0:
        return [found("dkim-revoked", texts[0], selector=selector, subject=selector)]
    if key.is_text and _key_data(texts[0]) != _key_data(key.target):
        return [found("dkim-other", selector=selector, there=texts[0], wanted=key.target, subject=selector)]
    if not key.is_text and first_alias is None:
        return [found("dkim-other", selector=selector, there=texts[0], wanted=key.target, subject=selector)]
    findings = []
    if present.algorithm == "rsa" and present.bits < RSA_GOOD:
        code = "dkim-too-short" if present.bits < RSA_LEAST else "dkim-weak"
        findings.append(found(code, selector=selector, bits=present.bits, subject=selector))
    if "y" in present.flags:
        findings.append(found("dkim-testing", selector=selector, subject=selector))
    about = {"selector": selector, "algorithm": present.algorithm, "bits": present.bits}
    return findings or [found("dkim-ok", subject=selector, **about)]


def read_key(text: str) -> PublicKey:
    """Given the text of a key record, return what it holds. Raise Unreadable."""
    tags = _tags(text)
    if tags.get("v", "DKIM1") != "DKIM1":
        raise Unreadable("it does not begin with v=DKIM1")
    if "p" not in tags:
        raise Unreadable("it has no p=, which holds the key")
    algorithm = tags.get("k", "rsa").lower() or "rsa"
    flags = frozenset(flag.strip().lower() for flag in tags.get("t", "").split(":"))
    if algorithm not in ("rsa", "ed25519"):
        raise Unreadable("k= is neither rsa nor ed25519")
    data = _key_data(text)
    if not data:
        return PublicKey(algorithm, 0, flags)
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("p= is not base64; a piece may be missing") from None
    return PublicKey(algorithm, _ed25519_bits(raw) if algorithm == "ed25519" else _rsa_bits(raw), flags)


def _ed25519_bits(raw: bytes) -> int:
    if len(raw) != 32:
        raise Unreadable("p= holds no Ed25519 key of 32 bytes")  # RFC 8463 3.2
    return 256


def _rsa_bits(der: bytes) -> int:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise Unreadable("p= holds no RSA key; a piece may be missing") from None
    if not isinstance(key, RSAPublicKey):
        raise Unreadable("p= holds a key of another kind")
    return key.key_size


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _key_data(text: str) -> str:
    return _SPACE.sub("", _tags(text).get("p", ""))
