"""`vault verify --attack`: do what a thief of the uploader's credentials would do, and count what succeeds.

The target is a canary of our own: no attempt touches an object of a backup. What would change the bucket itself is
tried with the values that backup/terraform sets anyway, since the right to set them is what matters; suspended
versioning is the one exception, and is undone at once.

After each attempt that the store accepted, the canary is read back by its VersionId. So an attempt is

    refused         the store said no; `said` is how
    harmless        the store said yes, and the canary's version still has its content and its lock
    unenforceable   the store said yes to a lock of LONG_DAYS, and is not AWS: other servers evaluate no conditions of
                    Object Lock in policies (SeaweedFS 4.48 does not). It costs space, and no backup
    succeeded       anything else: the vault is not one
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from backup.exit_codes import VaultUnsafe
from backup.journal import Journal
from backup.settings import VaultSettings
from backup.vault.canary import LONG_DAYS, RawStore, Refused, ask, code_of, is_aws, lock, loss_of, new_key, place, put
from backup.vault.vault import Stored

# As backup/terraform/bucket.tf has them; a test compares.
DEFAULT_RETENTION = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}}
LIFECYCLE = {
    "Rules": [
        {
            "ID": "abort-incomplete-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }
    ]
}


class Verdict(enum.StrEnum):
    REFUSED = "refused"
    HARMLESS = "harmless"
    UNENFORCEABLE = "unenforceable"
    SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    name   what was tried, such as "delete the version"
    said   the store's own words, or what was found afterwards
    """

    name: str
    verdict: Verdict
    said: str


@dataclass(frozen=True, slots=True)
class AttackReport:
    """
    at       the store's time
    canary   key of the first target
    """

    at: datetime
    bucket: str
    canary: str
    attempts: tuple[Attempt, ...]

    @property
    def succeeded(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.verdict is Verdict.SUCCEEDED]

    @property
    def is_safe(self) -> bool:
        return not self.succeeded

    def require_safe(self) -> None:
        """Raise VaultUnsafe when anything succeeded."""
        if self.is_safe:
            return
        what = "; ".join(f"{attempt.name}: {attempt.said}" for attempt in self.succeeded)
        raise VaultUnsafe(
            f"with the uploader's credentials alone this succeeded in the bucket {self.bucket}: {what}. The target was"
            f" {self.canary}; no backup was touched. Do not delete anything; apply backup/terraform again, see what"
            " homeport backup vault doctor finds, and give the uploader a new key"
        )


def attack(store: RawStore, settings: VaultSettings, journal: Journal) -> AttackReport:
    """Try everything, with the credentials of `store`, which are the uploader's.

    raises  VaultUnsafe, before anything is tried, when the bucket has no lock
            VaultUnreachable, when it could not be tried to the end: no network, or credentials that are none
    """
    if not store.bucket().lock_enabled:
        raise VaultUnsafe(f"the bucket {store.bucket_name} has no Object Lock: there is nothing that could hold")
    thief = _Thief(store, settings)
    journal.step("attack", canary=thief.canary.key)
    first = thief.canary.key
    attempts: list[Attempt] = []
    tries = list(_tries(thief))
    for name, attempt in tries:
        verdict, said = attempt()
        attempts.append(Attempt(name, verdict, said))
        say = journal.note if verdict in (Verdict.REFUSED, Verdict.HARMLESS) else journal.warn
        say(f"{name}: {verdict} ({said})")
        journal.progress(len(attempts), len(tries), "attempts")
    return AttackReport(thief.at, store.bucket_name, first, tuple(attempts))


_NO_POLICY, _MALFORMED = "NoSuchBucketPolicy", "MalformedPolicy"
_NOT_A_POLICY = "no policy"
_Judged = tuple[Verdict, str]
_Call = Callable[[], Any]


def _tries(thief: _Thief) -> Iterator[tuple[str, Callable[[], _Judged]]]:
    """The table of backup.md 6.4. Lambdas, since a canary that was lost is replaced between two attempts."""
    client, bucket, version = thief.store.client, {"Bucket": thief.store.bucket_name}, thief.version
    soon, long = thief.at + timedelta(days=1), thief.at + timedelta(days=LONG_DAYS)

    def on_canary(call: _Call) -> Callable[[], _Judged]:
        return lambda: thief.on_canary(call)

    def on_bucket(call: _Call, undo: _Call | None = None) -> Callable[[], _Judged]:
        return lambda: thief.on_bucket(call, undo)

    def costly(call: _Call) -> Callable[[], _Judged]:
        return lambda: thief.at_cost(call)

    def retention(mode: str, until: datetime, **more: Any) -> Any:
        locked = {"Mode": mode, "RetainUntilDate": until}
        return client.put_object_retention(**version(), Retention=locked, **more)

    bypass = {"BypassGovernanceRetention": True}
    on, off = {"Status": "Enabled"}, {"Status": "Suspended"}
    yield "delete the version", on_canary(lambda: client.delete_object(**version()))
    yield "delete the version, bypassing governance", on_canary(lambda: client.delete_object(**version(), **bypass))
    yield "delete the version, in bulk", on_canary(thief.delete_in_bulk)
    yield "put a delete marker", on_canary(lambda: client.delete_object(**bucket, Key=thief.canary.key))
    yield "shorten the lock", on_canary(lambda: retention("COMPLIANCE", soon))
    yield "turn the lock to GOVERNANCE", on_canary(lambda: retention("GOVERNANCE", thief.until))
    yield "shorten the lock, bypassing governance", on_canary(lambda: retention("GOVERNANCE", soon, **bypass))
    yield "remove the lock", on_canary(lambda: client.put_object_retention(**version(), Retention={}, **bypass))
    yield "overwrite the object", on_canary(thief.overwrite)
    yield f"upload under a lock of {LONG_DAYS} days", costly(lambda: thief.upload_until(long))
    yield f"extend the lock to {LONG_DAYS} days", costly(lambda: retention("COMPLIANCE", long))
    yield (
        "put a legal hold, which has no end",
        on_bucket(
            lambda: client.put_object_legal_hold(**version(), LegalHold={"Status": "ON"}),
            lambda: client.put_object_legal_hold(**version(), LegalHold={"Status": "OFF"}),
        ),
    )
    yield (
        "set a lifecycle",
        on_bucket(lambda: client.put_bucket_lifecycle_configuration(**bucket, LifecycleConfiguration=LIFECYCLE)),
    )
    yield (
        "suspend versioning",
        on_bucket(
            lambda: client.put_bucket_versioning(**bucket, VersioningConfiguration=off),
            lambda: client.put_bucket_versioning(**bucket, VersioningConfiguration=on),
        ),
    )
    yield (
        "set the lock's configuration",
        on_bucket(lambda: client.put_object_lock_configuration(**bucket, ObjectLockConfiguration=DEFAULT_RETENTION)),
    )
    yield "set the bucket's policy", thief.on_policy


class _Thief:
    """Holds a canary, tries things on it, and looks what has become of it."""

    def __init__(self, store: RawStore, settings: VaultSettings) -> None:
        self.store = store
        self.settings = settings
        self.at = store.now()
        self.until = self.at + timedelta(days=settings.window_days)
        self.canary: Stored = place(store, self.at, self.until)

    def version(self) -> dict[str, str]:
        return {"Bucket": self.store.bucket_name, "Key": self.canary.key, "VersionId": self.canary.version_id}

    def on_canary(self, call: _Call) -> _Judged:
        """Whatever was accepted, the version must have outlived it."""
        try:
            ask(call)
        except Refused as refusal:
            return Verdict.REFUSED, str(refusal)
        what = loss_of(self.store, self.canary)
        if not what:
            return Verdict.HARMLESS, "accepted; the version still has its content and its lock"
        self.canary = place(self.store, self.at, self.until)
        return Verdict.SUCCEEDED, what

    def at_cost(self, call: _Call) -> _Judged:
        try:
            ask(call)
        except Refused as refusal:
            return Verdict.REFUSED, str(refusal)
        if is_aws(self.settings):
            return Verdict.SUCCEEDED, f"accepted, and has to be paid for {LONG_DAYS} days"
        return Verdict.UNENFORCEABLE, "accepted; this store evaluates no conditions of Object Lock"

    def on_bucket(self, call: _Call, undo: _Call | None) -> _Judged:
        try:
            ask(call)
        except Refused as refusal:
            return Verdict.REFUSED, str(refusal)
        if undo is None:
            return Verdict.SUCCEEDED, "accepted; what was tried changes nothing of what backup/terraform sets"
        try:
            ask(undo)
        except Refused as refusal:
            return Verdict.SUCCEEDED, f"accepted, and could not be undone: {refusal}"
        return Verdict.SUCCEEDED, "accepted; it was undone"

    def delete_in_bulk(self) -> None:
        named = {"Objects": [{"Key": self.canary.key, "VersionId": self.canary.version_id}]}
        answer = self.store.client.delete_objects(Bucket=self.store.bucket_name, Delete=named)
        for error in answer.get("Errors", ()):  # the answer as a whole is 200
            raise Refused(f"{error.get('Code')}: {error.get('Message', '')}".rstrip(". "))

    def overwrite(self) -> None:
        put(self.store, self.canary.key, b"something else", **lock(self.until))

    def upload_until(self, until: datetime) -> None:
        put(self.store, new_key(self.store, self.at), b"locked for long", IfNoneMatch="*", **lock(until))

    def on_policy(self) -> _Judged:
        """Put the very policy that is there; where there is none, remove none.

        Who may not read it may still be allowed to write it: then a text is put that is no policy, so nothing changes.
        """
        client, bucket = self.store.client, {"Bucket": self.store.bucket_name}
        try:
            policy = ask(lambda: _policy(client, bucket))
        except Refused:
            policy = _NOT_A_POLICY

        def call() -> None:
            try:
                client.put_bucket_policy(**bucket, Policy=policy) if policy else client.delete_bucket_policy(**bucket)
            except ClientError as error:
                # Who is told that there is none, or what is wrong with it, was allowed to remove or to set it.
                if code_of(error) not in (_NO_POLICY, _MALFORMED):
                    raise

        return self.on_bucket(call, None)


def _policy(client: Any, bucket: dict[str, str]) -> str:
    """As it is there; "" when there is none."""
    try:
        return str(client.get_bucket_policy(**bucket)["Policy"])
    except ClientError as error:
        if code_of(error) != _NO_POLICY:
            raise
        return ""
