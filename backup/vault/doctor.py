"""`vault doctor`: everything about vault and host that can be wrong, before a night shows it.

    host      restic, keys, files of secrets, disk encryption (host.py)
    bucket    lock, default retention, versioning, encryption, public access
    clock     this machine's against the store's
    policy    is the bucket's the one of backup/terraform?
    rights    what each identity may and may not do (rights.py); leaves a small locked canary
    alarms    billing alarm, subscription, budget (alarms.py); on AWS alone

Each part says what it could find out; one that fails does not hide the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from backup.exit_codes import BackupError, WrongUsage
from backup.journal import Journal
from backup.settings import BackupSettings, VaultSettings
from backup.vault import alarms, host, policies, rights
from backup.vault.canary import RawStore, code_of, is_aws
from backup.vault.finding import Finding, failed, ok, unknown, warning
from backup.vault.rights import ROLES, Role
from backup.vault.s3_object_lock import S3ObjectLock
from kit.clock import Clock, now_utc

OpenStore = Callable[[VaultSettings, Role], RawStore]

MAX_SKEW = timedelta(minutes=5)  # backup.md 6.2; S3 itself refuses at 15
SHORTEST_DEFAULT_DAYS = 30

ZERO = timedelta(0)
_ABSENT: dict[Role, str] = {
    "restorer": ", as it should be until something is restored",
    "collector": ", as it should be",
}

_TERRAFORM = "apply backup/terraform"
_NEW_BUCKET = "make a new bucket with backup/terraform: this cannot be switched on afterwards"


def doctor(
    settings: BackupSettings,
    *,
    clock: Clock,
    journal: Journal,
    sheet_confirmed_at: datetime | None,
    open_store: OpenStore = S3ObjectLock,
    connect: alarms.Connect | None = None,
) -> list[Finding]:
    """
    sheet_confirmed_at  when the recovery sheet's code was typed back; None: never
    connect             how CloudWatch, SNS and Budgets are reached; None: as AWS, and not at all for another store
    """
    vault = settings.vault
    journal.step("host")
    findings = host.check(settings, sheet_confirmed_at=sheet_confirmed_at)
    if vault is None:
        return [*findings, warning("there is no vault: fire and theft take the backups too", "set [vault]")]
    stores, mistakes = _open(vault, open_store)
    findings += mistakes
    uploader = stores.get("uploader")
    parts: dict[str, Callable[[], list[Finding]]] = {}
    if uploader is not None:
        parts["bucket"] = lambda: list(_bucket(uploader))
        parts["clock"] = lambda: [_clock(uploader, clock)]
        parts["policy"] = lambda: [_policy(uploader, vault)]
        parts["rights"] = lambda: rights.check(stores, vault)
    parts["alarms"] = lambda: _alarms(vault, connect)
    for name, part in parts.items():
        journal.step(name)
        try:
            findings += part()
        except BackupError as error:
            findings.append(failed(f"{name}: {error}", "see what it says; then run this again"))
    return findings


def _open(settings: VaultSettings, open_store: OpenStore) -> tuple[dict[Role, RawStore], list[Finding]]:
    """A store for each identity whose credentials are here; a host's own role may speak for the uploader."""
    stores: dict[Role, RawStore] = {}
    findings = []
    for role in ROLES:
        if role != "uploader" and getattr(settings, f"{role}_file") is None:
            findings.append(_absent(role))
            continue
        try:
            stores[role] = open_store(settings, role)
        except WrongUsage as error:
            findings.append(failed(f"{role}: {error}", "make an access key for it: backup/terraform/README.md"))
    return stores, findings


def _absent(role: Role) -> Finding:
    if role in _ABSENT:
        return ok(f"{role}: no credentials on this host{_ABSENT[role]}")
    return warning(
        f"{role}: no credentials of its own; what boto3 finds by itself is used",
        f"set vault.{role}_file in backup.toml",
    )


def _bucket(store: RawStore) -> Iterator[Finding]:
    state, name = store.bucket(), store.bucket_name
    checks: list[tuple[bool | None, str, str, str]] = [
        (state.lock_enabled, "has Object Lock", "has no Object Lock", _NEW_BUCKET),
        (state.versioning, "keeps versions", "keeps no versions", _TERRAFORM),
        (
            state.default_mode == "COMPLIANCE" and state.default_days >= SHORTEST_DEFAULT_DAYS,
            f"locks by default for {state.default_days} days",
            f"has no default retention in COMPLIANCE mode of {SHORTEST_DEFAULT_DAYS} days or more"
            f" (it is: {state.default_mode or 'none'}, {state.default_days} days)",
            _TERRAFORM,
        ),
        (bool(state.encryption), f"encrypts ({state.encryption})", "has no default encryption", _TERRAFORM),
        (state.public_access_blocked, "blocks public access", "does not block public access", _TERRAFORM),
    ]
    for holds, good, bad, fix in checks:
        if holds is None:
            yield unknown(f"the store cannot say whether the bucket {name} {good}", "none, unless it is AWS")
        elif holds:
            yield ok(f"the bucket {name} {good}")
        else:
            yield failed(f"the bucket {name} {bad}", fix)


def _clock(store: RawStore, clock: Clock) -> Finding:
    skew = now_utc(clock) - store.now()
    where = "ahead of" if skew > ZERO else "behind"
    text = f"this machine's clock is {abs(skew.total_seconds()):.0f} s {where} the store's"
    return ok(text) if abs(skew) <= MAX_SKEW else warning(text, "set the clock: timedatectl set-ntp true")


def _policy(store: RawStore, settings: VaultSettings) -> Finding:
    """Is the bucket's policy the one of backup/terraform?"""
    try:
        policy = store.client.get_bucket_policy(Bucket=store.bucket_name)["Policy"]
    except ClientError as error:
        if not is_aws(settings):
            return unknown(
                "the store has no policy on the bucket, and would not evaluate ours", "none, unless it is AWS"
            )
        if code_of(error) == "NoSuchBucketPolicy":
            return failed(f"the bucket {store.bucket_name} has no policy", _TERRAFORM)
        return unknown(f"the bucket's policy could not be read: {code_of(error)}", _TERRAFORM)
    except BotoCoreError as error:
        return unknown(f"the bucket's policy could not be read: {error}", "try again")
    missing = policies.missing_statements(policy, store.bucket_name)
    if missing:
        return failed(f"the bucket's policy lacks, or has changed, {', '.join(missing)}", _TERRAFORM)
    return ok("the bucket's policy is the one of backup/terraform")


def _alarms(settings: VaultSettings, connect: alarms.Connect | None) -> list[Finding]:
    if connect is None:
        if not is_aws(settings):
            return [unknown("no alarm watches the bill: the store is not AWS", "none, unless somebody bills for it")]
        connect = alarms.connect(settings)
    return alarms.check(settings, connect)
