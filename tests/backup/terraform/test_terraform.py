"""The infrastructure, as its text says: what backup.md 6.3 and 6.5 promise has to stand there.

Providers cannot be had everywhere, so `terraform validate` runs only in a checkout that was initialised; the text is
parsed in any case. What AWS makes of it is `vault doctor`'s to ask.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest

from backup.settings import VaultSettings
from backup.vault import alarms, attack, collector, policies
from backup.vault.canary import LONG_DAYS

OFFLINE = os.environ | {"CHECKPOINT_DISABLE": "1"}  # else it asks its maker for a newer version of itself
FOLDER = Path(__file__).parents[3] / "backup" / "terraform"
POLICIES = FOLDER / "policies"

terraform = pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")


def _plain(value: Any) -> Any:
    """The parser keeps quotes around text, and notes of its own."""
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        return value[1:-1] if value.startswith('"') and value.endswith('"') else value
    return value


def _blocks(kind: str) -> list[dict[str, Any]]:
    found = []
    for path in sorted(FOLDER.glob("*.tf")):
        with path.open() as file:
            found += _plain(hcl2.load(file)).get(kind, [])
    return found


RESOURCES: dict[str, dict[str, Any]] = {
    f"{kind}.{name}": body
    for block in _blocks("resource")
    for kind, named in block.items()
    for name, body in named.items()
}
VARIABLES: dict[str, dict[str, Any]] = {name: body for block in _blocks("variable") for name, body in block.items()}


def test_the_bucket_is_locked_from_its_first_moment_and_terraform_never_removes_it() -> None:
    bucket = RESOURCES["aws_s3_bucket.vault"]
    assert bucket["object_lock_enabled"] is True
    assert bucket["force_destroy"] is False
    assert bucket["lifecycle"] == [{"prevent_destroy": True}]


def test_the_default_retention_is_compliance_for_30_days() -> None:
    (rule,) = RESOURCES["aws_s3_bucket_object_lock_configuration.vault"]["rule"]
    assert rule["default_retention"] == [{"mode": "COMPLIANCE", "days": 30}]
    assert attack.DEFAULT_RETENTION["Rule"] == {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}


def test_versioning_encryption_and_ownership() -> None:
    versioning = RESOURCES["aws_s3_bucket_versioning.vault"]
    assert versioning["versioning_configuration"] == [{"status": "Enabled"}]
    (rule,) = RESOURCES["aws_s3_bucket_server_side_encryption_configuration.vault"]["rule"]
    assert rule["apply_server_side_encryption_by_default"] == [{"sse_algorithm": "AES256"}]
    (rule,) = RESOURCES["aws_s3_bucket_ownership_controls.vault"]["rule"]
    assert rule["object_ownership"] == "BucketOwnerEnforced"


def test_public_access_is_blocked_in_all_four_ways() -> None:
    block = RESOURCES["aws_s3_bucket_public_access_block.vault"]
    names = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    assert [block[name] for name in names] == [True] * 4


def test_the_lifecycle_ends_broken_uploads_and_nothing_else() -> None:
    """A rule by age would put delete markers on old packs that the newest point needs."""
    (rule,) = RESOURCES["aws_s3_bucket_lifecycle_configuration.vault"]["rule"]
    assert set(rule) == {"id", "status", "filter", "abort_incomplete_multipart_upload"}
    assert rule["status"] == "Enabled"
    assert rule["abort_incomplete_multipart_upload"] == [{"days_after_initiation": 7}]
    assert {kind for kind in RESOURCES if kind.startswith("aws_s3_bucket_lifecycle")} == {
        "aws_s3_bucket_lifecycle_configuration.vault"
    }


def test_what_the_attack_sets_is_what_stands_there_anyway() -> None:
    (ours,) = RESOURCES["aws_s3_bucket_lifecycle_configuration.vault"]["rule"]
    (tried,) = attack.LIFECYCLE["Rules"]
    assert (tried["ID"], tried["Status"]) == (ours["id"], ours["status"])
    assert tried["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


@pytest.mark.parametrize("kind", ["aws_s3_object", "aws_iam_access_key", "aws_s3_bucket_replication_configuration"])
def test_there_is_no(kind: str) -> None:
    """An access key made by Terraform would stand in its state in clear."""
    assert not [name for name in RESOURCES if name.startswith(kind)]


def test_every_identity_has_its_own_user_and_its_own_policy() -> None:
    locals_: dict[str, Any] = {name: value for block in _blocks("locals") for name, value in block.items()}
    for role in ("uploader", "verifier", "restorer"):
        assert f'"{role}"' in locals_["identities"]
    policy = RESOURCES["aws_iam_policy.identity"]["policy"]
    assert "policies/${each.key}.json.tftpl" in policy
    attachment = RESOURCES["aws_iam_user_policy_attachment.identity"]
    assert "aws_iam_user.identity[each.key]" in attachment["user"]
    assert "aws_iam_policy.identity[each.key]" in attachment["policy_arn"]


def test_the_collector_is_a_role_for_an_hour() -> None:
    role = RESOURCES["aws_iam_role.collector"]
    assert role["max_session_duration"] == 3600
    assert "policies/collector-trust.json.tftpl" in role["assume_role_policy"]
    assert "policies/collector.json.tftpl" in RESOURCES["aws_iam_policy.collector"]["policy"]
    assert "aws_iam_role.collector" in RESOURCES["aws_iam_role_policy_attachment.collector"]["role"]


def test_the_bucket_has_its_policy_and_it_names_the_three_users() -> None:
    policy = RESOURCES["aws_s3_bucket_policy.vault"]
    assert "aws_s3_bucket.vault.id" in policy["bucket"]
    assert "policies/bucket.json.tftpl" in policy["policy"]
    for role in ("uploader", "verifier", "restorer"):
        assert f'{role}_arn = aws_iam_user.identity["{role}"].arn' in policy["policy"]


def test_every_policy_file_is_used_and_gets_every_value_it_asks_for() -> None:
    text = "\n".join(path.read_text() for path in sorted(FOLDER.glob("*.tf")))
    calls = {
        name: set(re.findall(r"(\w+)\s*=", values))
        for name, values in re.findall(r'policies/([^"]+)\.json\.tftpl", \{(.*?)\}\)', text, re.DOTALL)
    }
    each = calls.pop("${each.key}")
    calls |= dict.fromkeys(("uploader", "verifier", "restorer"), each)
    assert set(calls) == {path.name.removesuffix(".json.tftpl") for path in POLICIES.iterdir()}
    for name, given in calls.items():
        asked = set(re.findall(r"\$\{(\w+)\}", (POLICIES / f"{name}.json.tftpl").read_text()))
        assert asked <= given, name


def test_the_alarm_on_charges_stands_where_its_metric_is_and_tells_somebody() -> None:
    regions = [body for block in _blocks("provider") for body in block.values()]
    (billing,) = (body for body in regions if body.get("alias") == "billing")
    assert billing["region"] == alarms.BILLING_REGION == "us-east-1"
    alarm = RESOURCES["aws_cloudwatch_metric_alarm.charges"]
    assert {"Namespace": alarm["namespace"], "MetricName": alarm["metric_name"]} == alarms.METRIC
    assert alarm["dimensions"] == {"Currency": "USD"}
    assert (alarm["statistic"], alarm["comparison_operator"]) == ("Maximum", "GreaterThanThreshold")
    assert alarm["threshold"] == "${var.budget_usd}"
    assert alarm["alarm_actions"] == ["${aws_sns_topic.billing.arn}"]
    for name in ("aws_cloudwatch_metric_alarm.charges", "aws_sns_topic.billing", "aws_sns_topic_policy.billing"):
        assert RESOURCES[name]["provider"] == "${aws.billing}"
    subscription = RESOURCES["aws_sns_topic_subscription.email"]
    assert subscription["provider"] == "${aws.billing}"
    assert (subscription["protocol"], subscription["endpoint"]) == ("email", "${var.email}")
    assert "policies/topic.json.tftpl" in RESOURCES["aws_sns_topic_policy.billing"]["policy"]


def test_the_budget_looks_ahead() -> None:
    budget = RESOURCES["aws_budgets_budget.month"]
    assert (budget["budget_type"], budget["time_unit"], budget["limit_unit"]) == ("COST", "MONTHLY", "USD")
    assert budget["limit_amount"] == "${tostring(var.budget_usd)}"
    assert budget["name"] == "${var.bucket}-month"  # alarms.py asks for it by this name
    (notification,) = budget["notification"]
    assert notification["notification_type"] == "FORECASTED"
    assert notification["subscriber_email_addresses"] == ["${var.email}"]


def test_its_defaults_are_those_of_the_settings() -> None:
    settings = VaultSettings(bucket="vault")
    assert VARIABLES["region"]["default"] == settings.region
    assert VARIABLES["budget_usd"]["default"] == settings.budget_usd == 10
    assert not [name for name, body in VARIABLES.items() if "default" not in body and "validation" not in body]


def test_the_limits_of_the_policy_the_collector_and_the_attack_agree() -> None:
    bucket = policies.render("bucket", bucket_arn="a", uploader_arn="u", verifier_arn="v", restorer_arn="r")
    by_sid = {statement["Sid"]: statement["Condition"] for statement in bucket["Statement"]}
    key = "s3:object-lock-remaining-retention-days"
    assert int(by_sid["NotBelow30Days"]["NumericLessThan"][key]) == collector.SHORTEST_LOCK.days
    assert int(by_sid["NotAbove45Days"]["NumericGreaterThan"][key]) < LONG_DAYS
    longest = VaultSettings.model_fields["window_days"].metadata
    assert any(getattr(each, "le", None) == 45 for each in longest), longest


@pytest.mark.parametrize("path", sorted(POLICIES.iterdir()), ids=lambda path: path.name)
def test_a_policy_is_json_with_a_name_for_each_statement(path: Path) -> None:
    document = json.loads(path.read_text())
    sids = [statement["Sid"] for statement in document["Statement"]]
    assert document["Version"] == "2012-10-17"
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)


@pytest.mark.parametrize("name", ["Receive billing alerts", "confirm", "terraform apply", "mfa_serial", "vault doctor"])
def test_the_readme_says_what_no_file_can_do(name: str) -> None:
    assert name in (FOLDER / "README.md").read_text()


@terraform
def test_it_is_formatted() -> None:
    ran = _run("fmt", "-check", "-diff", "-recursive")
    assert ran.returncode == 0, ran.stdout


@terraform
def test_terraform_fills_in_a_policy_as_we_do(tmp_path: Path) -> None:
    values = {"bucket_arn": "arn:aws:s3:::vault"} | {f"{role}_arn": f"arn:{role}" for role in policies.IDENTITIES}
    text = ", ".join(f'{key} = "{value}"' for key, value in values.items())
    (tmp_path / "main.tf").write_text(
        f'output "policy" {{ value = jsondecode(templatefile("{POLICIES}/bucket.json.tftpl", {{ {text} }})) }}'
    )
    ran = _run("apply", "-auto-approve", "-no-color", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    ran = _run("output", "-json", "policy", folder=tmp_path)
    assert json.loads(ran.stdout) == policies.render("bucket", **values)


@terraform
@pytest.mark.skipif(not (FOLDER / ".terraform").is_dir(), reason="not initialised: its provider is not here")
def test_it_is_valid() -> None:
    ran = _run("validate", "-no-color")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _run(*arguments: str, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["terraform", f"-chdir={folder}", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=OFFLINE,
    )
