"""Who may do what in the vault: backup.md 6.4 as a table of requests, asked of the documents that Terraform applies."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from backup.vault import policies
from tests.backup.terraform.evaluator import Request, denials, is_allowed

BUCKET = "arn:aws:s3:::vault"
OBJECT = f"{BUCKET}/repository/data/ab/abcd"
ACCOUNT = "arn:aws:iam::123456789012"
ARNS = {role: f"{ACCOUNT}:user/homeport/vault-{role}" for role in ("uploader", "verifier", "restorer")}
COLLECTOR = "arn:aws:sts::123456789012:assumed-role/vault-collector/anna"
OWNER = f"{ACCOUNT}:root"
TOPIC, BUDGET = "arn:aws:sns:us-east-1:123456789012:vault-billing", "arn:aws:budgets::123456789012:budget/vault-month"

THE_BUCKET = policies.render("bucket", bucket_arn=BUCKET, **{f"{role}_arn": arn for role, arn in ARNS.items()})
IDENTITY = {
    role: policies.render(role, bucket_arn=BUCKET, topic_arn=TOPIC, budget_arn=BUDGET) for role in policies.IDENTITIES
} | {
    "owner": {"Statement": [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}]},
}
PRINCIPAL = ARNS | {"collector": COLLECTOR, "owner": OWNER}

TLS = {"aws:SecureTransport": "true"}
LOCK = {"s3:object-lock-mode": "COMPLIANCE", "s3:object-lock-remaining-retention-days": "37"}
PUT = TLS | LOCK | {"s3:if-none-match": "*", "s3:x-amz-server-side-encryption": "AES256"}
RENEW = TLS | LOCK

EVERYBODY = ("uploader", "verifier", "restorer", "collector", "owner")


def may(role: str, action: str, resource: str = OBJECT, context: Mapping[str, str] = TLS) -> bool:
    return is_allowed(Request(PRINCIPAL[role], action, resource, context), IDENTITY[role], THE_BUCKET)


LIST = ("s3:ListBucket", "s3:ListBucketVersions")
PREFLIGHT = (
    *("s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning", "s3:GetEncryptionConfiguration"),
    *("s3:GetBucketPublicAccessBlock", "s3:GetBucketPolicy"),
)
READ_BACK = ("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention")


@pytest.mark.parametrize(
    ("role", "actions", "resource"),
    [
        ("uploader", LIST, BUCKET),
        ("uploader", PREFLIGHT, BUCKET),
        ("uploader", READ_BACK, OBJECT),
        ("verifier", LIST, BUCKET),
        ("verifier", PREFLIGHT, BUCKET),
        ("verifier", READ_BACK, OBJECT),
        ("verifier", ("cloudwatch:DescribeAlarms",), "*"),
        ("verifier", ("sns:ListSubscriptionsByTopic",), TOPIC),
        ("verifier", ("budgets:ViewBudget",), BUDGET),
        ("restorer", LIST, BUCKET),
        ("restorer", ("s3:GetObjectVersion",), OBJECT),
        ("collector", LIST, BUCKET),
        ("collector", READ_BACK, OBJECT),
        ("collector", ("s3:DeleteObjectVersion",), OBJECT),
    ],
)
def test_each_identity_may_do_its_work(role: str, actions: tuple[str, ...], resource: str) -> None:
    assert [action for action in actions if not may(role, action, resource)] == []


def test_the_uploader_may_put_and_renew_under_the_lock_that_a_sync_asks_for() -> None:
    assert may("uploader", "s3:PutObject", context=PUT)
    assert may("uploader", "s3:PutObject", context=PUT | {"s3:x-amz-storage-class": "STANDARD"})
    assert may("uploader", "s3:PutObjectRetention", context=RENEW)


DELETE = (
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:DeleteObjectTagging",
)
RECONFIGURE = (
    *("s3:PutBucketVersioning", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutBucketAcl"),
    *("s3:PutLifecycleConfiguration", "s3:PutBucketObjectLockConfiguration", "s3:PutEncryptionConfiguration"),
    *("s3:PutReplicationConfiguration", "s3:PutBucketOwnershipControls"),
)
UNLOCK = ("s3:BypassGovernanceRetention", "s3:PutObjectLegalHold")
RETAG = ("s3:PutObjectTagging", "s3:PutObjectVersionTagging", "s3:PutObjectAcl", "s3:AbortMultipartUpload")


@pytest.mark.parametrize("action", [*DELETE, *RECONFIGURE, *UNLOCK, *RETAG])
@pytest.mark.parametrize("role", ["uploader", "verifier", "restorer"])
def test_the_identities_of_every_day_neither_delete_nor_reconfigure(role: str, action: str) -> None:
    """And twice over: their own policy denies it, and so does the bucket's, should somebody give them another one."""
    for resource in (BUCKET, OBJECT):
        request = Request(PRINCIPAL[role], action, resource, TLS)
        assert not may(role, action, resource)
        assert denials(request, IDENTITY[role]) == ["NeverDeleteNorReconfigure"]
        assert denials(request, THE_BUCKET) == ["NeverDeleteNorReconfigure"]


@pytest.mark.parametrize("role", ["verifier", "restorer", "collector"])
def test_nobody_but_the_uploader_writes(role: str) -> None:
    assert not may(role, "s3:PutObject", context=PUT)
    assert not may(role, "s3:PutObjectRetention", context=RENEW)


def test_the_restorer_reads_by_version_alone() -> None:
    assert not may("restorer", "s3:GetObject")
    assert not may("restorer", "s3:GetBucketPolicy", BUCKET)


@pytest.mark.parametrize(
    "action", [*RECONFIGURE, *UNLOCK, "s3:DeleteObject", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:PutObject"]
)
def test_the_collector_deletes_versions_and_does_nothing_else(action: str) -> None:
    assert not may("collector", action, BUCKET, PUT)
    assert not may("collector", action, OBJECT, PUT)


def test_only_a_person_with_a_second_factor_becomes_the_collector() -> None:
    (statement,) = policies.render("collector-trust", operator_arn=f"{ACCOUNT}:user/anna")["Statement"]
    assert statement["Principal"] == {"AWS": f"{ACCOUNT}:user/anna"}
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Condition"]["Bool"] == {"aws:MultiFactorAuthPresent": "true"}
    assert statement["Condition"]["NumericLessThan"] == {"aws:MultiFactorAuthAge": "3600"}


@pytest.mark.parametrize("role", EVERYBODY)
@pytest.mark.parametrize(
    ("sid", "action", "change"),
    [
        ("ComplianceOnly", "s3:PutObject", {"s3:object-lock-mode": None}),
        ("ComplianceOnly", "s3:PutObject", {"s3:object-lock-mode": "GOVERNANCE"}),
        ("ComplianceOnly", "s3:PutObjectRetention", {"s3:object-lock-mode": "GOVERNANCE"}),
        ("ComplianceOnly", "s3:PutObjectRetention", {"s3:object-lock-mode": None}),
        ("NotBelow30Days", "s3:PutObject", {"s3:object-lock-remaining-retention-days": "29"}),
        ("NotBelow30Days", "s3:PutObjectRetention", {"s3:object-lock-remaining-retention-days": "0"}),
        ("NotAbove45Days", "s3:PutObject", {"s3:object-lock-remaining-retention-days": "46"}),
        ("NotAbove45Days", "s3:PutObjectRetention", {"s3:object-lock-remaining-retention-days": "36500"}),
        ("NeverOverAnother", "s3:PutObject", {"s3:if-none-match": None}),
        ("EncryptedByS3", "s3:PutObject", {"s3:x-amz-server-side-encryption": "aws:kms"}),
        ("EncryptedByS3", "s3:PutObject", {"s3:x-amz-server-side-encryption": None}),
        ("NoKeyOfTheSender", "s3:PutObject", {"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"}),
        ("NoArchive", "s3:PutObject", {"s3:x-amz-storage-class": "DEEP_ARCHIVE"}),
        ("TlsOnly", "s3:PutObject", {"aws:SecureTransport": "false"}),
        ("TlsOnly", "s3:GetObject", {"aws:SecureTransport": "false"}),
    ],
)
def test_the_bucket_denies_to_everybody(role: str, sid: str, action: str, change: dict[str, str | None]) -> None:
    context = {key: value for key, value in (PUT | change).items() if value is not None}
    assert sid in denials(Request(PRINCIPAL[role], action, OBJECT, context), THE_BUCKET)
    assert not may(role, action, context=context)


@pytest.mark.parametrize("days", ["30", "31", "37", "45"])
def test_every_window_that_the_settings_allow_is_allowed(days: str) -> None:
    lock = {"s3:object-lock-remaining-retention-days": days}
    assert may("uploader", "s3:PutObject", context=PUT | lock)
    assert may("uploader", "s3:PutObjectRetention", context=RENEW | lock)


def test_the_owner_still_administers_the_bucket() -> None:
    assert may("owner", "s3:PutBucketPolicy", BUCKET)
    assert may("owner", "s3:PutLifecycleConfiguration", BUCKET)


@pytest.mark.parametrize("role", ["uploader", "verifier", "restorer"])
def test_every_deny_that_the_design_names_is_there(role: str) -> None:
    """As patterns, so that an action which AWS adds one day is denied too."""
    wanted = {
        *("s3:Delete*", "s3:PutBucket*", "s3:PutLifecycleConfiguration", "s3:PutBucketObjectLockConfiguration"),
        *("s3:BypassGovernanceRetention", "s3:PutObjectLegalHold", "s3:PutObjectTagging"),
    }
    for document in (IDENTITY[role], THE_BUCKET):
        (statement,) = (each for each in document["Statement"] if each["Sid"] == "NeverDeleteNorReconfigure")
        assert statement["Effect"] == "Deny"
        assert wanted <= set(statement["Action"])
        assert statement["Resource"] == [BUCKET, f"{BUCKET}/*"]


@pytest.mark.parametrize("name", [*policies.IDENTITIES, "bucket"])
def test_no_document_is_larger_than_aws_takes(name: str) -> None:
    """6,144 characters without white space for a managed policy, 20 KiB for a bucket's (IAM and S3 quotas)."""
    document = THE_BUCKET if name == "bucket" else IDENTITY[name]
    assert len(json.dumps(document, separators=(",", ":"))) < 6144


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError, match="bucket_arn"):
        policies.render("uploader")


class TestTheComparisonOfTheBucketsPolicy:
    """`vault doctor` compares what stands there with what should."""

    def test_what_aws_gives_back_is_the_same(self) -> None:
        """Lists of one as text, other orders, the principal spelled out."""
        given = json.loads(json.dumps(THE_BUCKET))
        for statement in given["Statement"]:
            statement["Principal"] = {"AWS": "*"}
            if isinstance(statement["Action"], list):
                statement["Action"].reverse()
            statement["Resource"] = (
                [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"][::-1]
            )
        given["Statement"].append(
            {"Sid": "Ours", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": BUCKET}
        )
        assert policies.missing_statements(json.dumps(given), "vault") == []

    @pytest.mark.parametrize("number", range(len(THE_BUCKET["Statement"])))
    def test_a_statement_that_was_taken_out_is_named(self, number: int) -> None:
        left = [each for at, each in enumerate(THE_BUCKET["Statement"]) if at != number]
        sid = THE_BUCKET["Statement"][number]["Sid"]
        assert policies.missing_statements(json.dumps({"Statement": left}), "vault") == [sid]

    @pytest.mark.parametrize(
        ("sid", "key", "value"),
        [
            (
                "NotAbove45Days",
                "Condition",
                {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "36500"}},
            ),
            ("ComplianceOnly", "Effect", "Allow"),
            ("NeverOverAnother", "Resource", f"{BUCKET}/elsewhere/*"),
            ("NeverDeleteNorReconfigure", "Action", ["s3:DeleteObject"]),
            ("NeverDeleteNorReconfigure", "Condition", {"ArnEquals": {"aws:PrincipalArn": []}}),
            ("TlsOnly", "Principal", {"AWS": ARNS["uploader"]}),
        ],
    )
    def test_a_statement_that_was_changed_is_named(self, sid: str, key: str, value: object) -> None:
        changed = [each | {key: value} if each["Sid"] == sid else each for each in THE_BUCKET["Statement"]]
        assert policies.missing_statements(json.dumps({"Statement": changed}), "vault") == [sid]

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"Statement": 1}', '{"Statement": ["x"]}', "{"])
    def test_what_is_no_policy_lacks_everything(self, text: str) -> None:
        assert len(policies.missing_statements(text, "vault")) == len(THE_BUCKET["Statement"])
