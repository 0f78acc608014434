"""What each identity may and may not do, tried on the store itself: a policy that was never asked is a hope.

The forbidden half is tried on new keys and on a canary, so that what is wrongly allowed harms no backup; the allowed
half is what a night or a restore would do. Only AWS evaluates the conditions on locks and on `If-None-Match`; on other
servers those tries are left out, and the finding says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from backup.exit_codes import BackupError
from backup.settings import VaultSettings
from backup.vault.canary import LONG_DAYS, RawStore, Refused, ask, is_aws, lock, new_key, place, put
from backup.vault.finding import Finding, failed, ok, unknown
from backup.vault.vault import NotThere, Stored

Role = Literal["uploader", "verifier", "restorer", "collector"]
ROLES: tuple[Role, ...] = ("uploader", "verifier", "restorer", "collector")

_APPLY = "apply backup/terraform again, and look for a policy that somebody has added"
_Tries = list[tuple[str, Callable[[], Any]]]


def check(stores: Mapping[Role, RawStore], settings: VaultSettings) -> list[Finding]:
    """Given the store of each identity whose credentials are here, the uploader's among them, try what they may do.

    Leaves a canary or two, each locked for the window.
    """
    uploader = stores["uploader"]
    at = uploader.now()
    until = at + timedelta(days=settings.window_days)
    try:
        canary = place(uploader, at, until)
    except BackupError as error:
        return [failed(f"the uploader cannot put a locked object: {error}", _APPLY)]
    findings = [ok("uploader: may put a locked object")]
    if not is_aws(settings):
        text = "conditions on locks and on If-None-Match were not tried: only AWS is known to evaluate them"
        findings.append(unknown(text, "none: whoever holds the uploader's key can lock for years, at a cost"))
    for role, store in stores.items():
        for name, call in _allowed(role, store, canary):
            findings.append(_must_succeed(f"{role}: {name}", call))
        for name, call in _forbidden(role, store, canary, at, until, conditions=is_aws(settings)):
            findings.append(_must_be_refused(f"{role}: {name}", call))
    return findings


def _allowed(role: Role, store: RawStore, canary: Stored) -> _Tries:
    tries: _Tries = [("may list versions", lambda: list(store.versions(canary.key)))]
    if role == "restorer":
        tries.append(("may read by version", lambda: store.read(canary.key, canary.version_id)))
    else:
        tries.append(("may read back a lock", lambda: _read_lock(store, canary)))
    return tries


def _read_lock(store: RawStore, canary: Stored) -> None:
    if store.head(canary.key, canary.version_id).retain_until is None:
        raise Refused("the answer names no lock: s3:GetObjectRetention is missing")


def _forbidden(
    role: Role, store: RawStore, canary: Stored, at: datetime, until: datetime, *, conditions: bool
) -> _Tries:
    client = store.client
    version = {"Bucket": store.bucket_name, "Key": canary.key, "VersionId": canary.version_id}

    def a_put(**headers: Any) -> Callable[[], Any]:
        return lambda: put(store, new_key(store, at), b"doctor", **headers)

    new, locked = {"IfNoneMatch": "*"}, lock(until)
    long, short = lock(at + timedelta(days=LONG_DAYS)), lock(at + timedelta(days=1))
    if role == "uploader":
        if not conditions:
            return []
        return [
            ("may not put without If-None-Match", a_put(**locked)),
            ("may not put without a lock", a_put(**new)),
            ("may not put in GOVERNANCE mode", a_put(**new, **lock(until, "GOVERNANCE"))),
            (f"may not lock for {LONG_DAYS} days", a_put(**new, **long)),
            ("may not lock for 1 day", a_put(**new, **short)),
        ]
    tries = [
        ("may not put", a_put(**new, **locked)),
        (
            "may not renew a lock",
            lambda: client.put_object_retention(
                **version, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until + timedelta(hours=1)}
            ),
        ),
    ]
    if role != "collector":
        tries.append(("may not delete", lambda: client.delete_object(**version)))
    return tries


def _must_succeed(name: str, call: Callable[[], Any]) -> Finding:
    try:
        call()
    except (BackupError, NotThere, Refused) as error:
        return failed(f"{name}: it cannot, {error}", _APPLY)
    return ok(name)


def _must_be_refused(name: str, call: Callable[[], Any]) -> Finding:
    try:
        ask(call)
    except Refused as refusal:
        return ok(f"{name}: refused ({refusal})")
    except BackupError as error:
        return unknown(f"{name}: {error}", "try again")
    return failed(f"{name}: it could", _APPLY)
