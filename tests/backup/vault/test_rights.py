"""What each identity may: asked of a server that evaluates the documents of Terraform, and of one that has none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from backup.settings import VaultSettings
from backup.vault import policies, rights
from backup.vault.canary import RawStore
from backup.vault.finding import Finding, Level
from backup.vault.rights import ROLES, Role
from backup.vault.s3_object_lock import S3ObjectLock
from tests.services.seaweedfs import SeaweedFS

pytestmark = pytest.mark.services

ARNS = {f"{role}_arn": f"arn:aws:iam::123456789012:user/{role}" for role in ROLES}


@pytest.fixture
def settings(seaweedfs: SeaweedFS, tmp_path: Path) -> VaultSettings:
    return seaweedfs.vault_settings(seaweedfs.new_bucket(), tmp_path)


def stores(settings: VaultSettings, *roles: Role) -> dict[Role, RawStore]:
    return {role: S3ObjectLock(settings, role) for role in roles or ROLES}


def of(findings: list[Finding], level: Level) -> list[str]:
    return [finding.text for finding in findings if finding.level is level]


def test_under_our_policies_each_may_do_its_work_and_nothing_else(settings: VaultSettings) -> None:
    findings = rights.check(stores(settings), settings)
    assert of(findings, Level.FAILED) == []
    assert of(findings, Level.UNKNOWN) == [
        "conditions on locks and on If-None-Match were not tried: only AWS is known to evaluate them"
    ]
    said = "\n".join(of(findings, Level.OK))
    for role in ("verifier", "restorer", "collector"):
        assert f"{role}: may list versions" in said
        assert f"{role}: may not put: refused (AccessDenied" in said
        assert f"{role}: may not renew a lock: refused (AccessDenied" in said
    assert "restorer: may read by version" in said
    assert "uploader: may put a locked object" in said


def test_a_vault_where_anybody_may_do_anything_fails(weak: VaultSettings) -> None:
    findings = rights.check(stores(weak, "uploader", "verifier", "restorer"), weak)
    assert of(findings, Level.FAILED) == [
        "verifier: may not put: it could",
        "verifier: may not renew a lock: it could",
        "restorer: may not put: it could",
        "restorer: may not renew a lock: it could",
    ]


def test_on_aws_the_conditions_are_tried_and_what_is_accepted_fails(weak: VaultSettings) -> None:
    """moto accepts what the bucket's policy refuses on AWS; but a lock needs a checksum and a date there too."""
    aws = weak.model_copy(update={"endpoint": None})
    failed = of(rights.check(stores(weak, "uploader"), aws), Level.FAILED)
    assert failed == [
        "uploader: may not put without If-None-Match: it could",
        "uploader: may not put without a lock: it could",
        "uploader: may not put in GOVERNANCE mode: it could",
        "uploader: may not lock for 100 days: it could",
        "uploader: may not lock for 1 day: it could",
    ]


def test_an_uploader_that_cannot_put_is_one_failure(seaweedfs: SeaweedFS, settings: VaultSettings) -> None:
    """With the verifier's key in its place."""
    wrong = settings.model_copy(update={"uploader_file": settings.verifier_file})
    (finding,) = rights.check(stores(wrong), wrong)
    assert finding.level is Level.FAILED
    assert "the uploader cannot put a locked object" in finding.text


def test_a_key_that_is_none_may_nothing_and_proves_nothing(settings: VaultSettings) -> None:
    """What it should be able to do fails; that it was refused what it should not do says nothing about the policies."""
    assert settings.verifier_file is not None
    key_id = settings.verifier_file.read_text().split()[0]
    settings.verifier_file.write_text(f"{key_id}\nwrong\n")
    findings = rights.check(stores(settings, "uploader", "verifier"), settings)
    assert [text.partition(": it cannot")[0] for text in of(findings, Level.FAILED)] == [
        "verifier: may list versions",
        "verifier: may read back a lock",
    ]
    unsure = [text for text in of(findings, Level.UNKNOWN) if text.startswith("verifier")]
    assert len(unsure) == 3
    assert all("nothing is proved" in text for text in unsure)


def test_the_buckets_policy_denies_where_the_server_can_tell(seaweedfs: SeaweedFS) -> None:
    """Its list of what nobody of every day may do, applied to everybody: this server has no principals by condition.

    Left out are TlsOnly (the tests' server has no TLS) and the statements whose condition keys this server does not
    know: it takes their negated operators as fulfilled, so that it would deny every put.
    """
    bucket = seaweedfs.new_bucket()
    document = policies.render("bucket", bucket_arn=f"arn:aws:s3:::{bucket}", **ARNS)
    (never,) = (each for each in document["Statement"] if each["Sid"] == "NeverDeleteNorReconfigure")
    text = json.dumps(document | {"Statement": [never | {"Condition": {}}]})
    admin = seaweedfs.client()
    version = admin.put_object(Bucket=bucket, Key="free", Body=b"no lock of its own")["VersionId"]
    admin.put_bucket_policy(Bucket=bucket, Policy=text)
    assert "NeverDeleteNorReconfigure" in admin.get_bucket_policy(Bucket=bucket)["Policy"]
    free = {"Bucket": bucket, "Key": "free"}
    with pytest.raises(ClientError, match="AccessDenied"):
        admin.delete_object(**free)
    with pytest.raises(ClientError, match="AccessDenied"):
        admin.delete_object(**free, VersionId=version)
    with pytest.raises(ClientError, match="AccessDenied"):
        admin.put_object_tagging(**free, Tagging={"TagSet": []})
    with pytest.raises(ClientError, match="AccessDenied"):
        admin.put_object_legal_hold(**free, LegalHold={"Status": "ON"})
    assert admin.get_object(**free)["Body"].read() == b"no lock of its own"


def test_without_a_lock_mode_the_policy_denies_even_here(seaweedfs: SeaweedFS) -> None:
    """A negated operator holds for a missing key, which is why a put without a lock is refused."""
    bucket = seaweedfs.new_bucket()
    document = policies.render("bucket", bucket_arn=f"arn:aws:s3:::{bucket}", **ARNS)
    (only,) = (each for each in document["Statement"] if each["Sid"] == "ComplianceOnly")
    admin = seaweedfs.client()
    admin.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document | {"Statement": [only]}))
    with pytest.raises(ClientError, match="AccessDenied"):
        admin.put_object(Bucket=bucket, Key="bare", Body=b"")


def test_no_value_of_a_policy_is_left_open() -> None:
    for role in ROLES:
        text = json.dumps(policies.render(role, bucket_arn="a", topic_arn="t", budget_arn="b"))
        assert "${" not in text
