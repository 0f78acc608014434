"""The billing alarm, against moto over HTTP. moto confirms every subscription at once, so one answer is changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.settings import VaultSettings
from backup.vault import alarms
from backup.vault.finding import Finding, Level
from tests.services.moto import ACCOUNT, Moto

pytestmark = pytest.mark.services

BUCKET = "vault"


@pytest.fixture
def settings(tmp_path: Path) -> VaultSettings:
    verifier = tmp_path / "verifier"
    verifier.write_text("key\nsecret\n")
    return VaultSettings(bucket=BUCKET, verifier_file=verifier)


def topic(moto: Moto, region: str = "us-east-1") -> str:
    return str(moto.client("sns", region).create_topic(Name=f"{BUCKET}-billing")["TopicArn"])


def subscribe(moto: Moto, arn: str) -> None:
    moto.client("sns").subscribe(TopicArn=arn, Protocol="email", Endpoint="anna@example.org")


def alarm(moto: Moto, *actions: str, region: str = "us-east-1", threshold: float = 10.0, enabled: bool = True) -> None:
    """As alarms.tf makes it."""
    moto.client("cloudwatch", region).put_metric_alarm(
        AlarmName=f"{BUCKET}-estimated-charges",
        Namespace="AWS/Billing",
        MetricName="EstimatedCharges",
        Dimensions=[{"Name": "Currency", "Value": "USD"}],
        Statistic="Maximum",
        Period=21600,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=threshold,
        ActionsEnabled=enabled,
        AlarmActions=list(actions),
    )


def budget(moto: Moto, *, limit: str = "10", kind: str = "FORECASTED") -> None:
    notification = {"NotificationType": kind, "ComparisonOperator": "GREATER_THAN", "Threshold": 100}
    subscriber = {"SubscriptionType": "EMAIL", "Address": "anna@example.org"}
    moto.client("budgets").create_budget(
        AccountId=ACCOUNT,
        Budget={
            "BudgetName": f"{BUCKET}-month",
            "BudgetLimit": {"Amount": limit, "Unit": "USD"},
            "TimeUnit": "MONTHLY",
            "BudgetType": "COST",
        },
        NotificationsWithSubscribers=[{"Notification": notification, "Subscribers": [subscriber]}],
    )


def everything(moto: Moto) -> str:
    """What Terraform makes, confirmed. Return the topic's ARN."""
    arn = topic(moto)
    subscribe(moto, arn)
    alarm(moto, arn)
    budget(moto)
    return arn


def found(moto: Moto, settings: VaultSettings) -> list[Finding]:
    return alarms.check(settings, moto.client)


@contextlib.contextmanager
def hooked(client: Any, event: str, change: Callable[..., None]) -> Iterator[None]:
    """Change an answer of moto's before its reader sees it: where moto cannot be brought to say what AWS would."""
    client.meta.events.register(event, change)
    try:
        yield
    finally:
        client.meta.events.unregister(event, change)


def bad(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


def test_what_terraform_makes_is_all_well(moto: Moto, settings: VaultSettings) -> None:
    everything(moto)
    findings = alarms.check(settings, alarms.connect(settings, endpoint=moto.url))
    assert bad(findings) == []
    text = "\n".join(finding.text for finding in findings)
    assert f"the alarm {BUCKET}-estimated-charges watches the bill, above 10 USD" in text
    assert f"anna@example.org is told by {BUCKET}-billing" in text
    assert f"the budget {BUCKET}-month forecasts the bill" in text


def test_no_alarm_is_a_failure(moto: Moto, settings: VaultSettings) -> None:
    (finding,) = found(moto, settings)
    assert finding.level is Level.FAILED
    assert "no alarm on EstimatedCharges in us-east-1" in finding.text
    assert "terraform" in finding.fix


def test_an_alarm_in_the_vaults_region_is_named_as_one_that_never_fires(moto: Moto, settings: VaultSettings) -> None:
    alarm(moto, topic(moto, settings.region), region=settings.region)
    (finding,) = found(moto, settings)
    assert finding.level is Level.FAILED
    assert "there is one in ap-northeast-1, where the metric does not exist" in finding.text


def test_another_alarm_is_not_taken_for_it(moto: Moto, settings: VaultSettings) -> None:
    moto.client("cloudwatch").put_metric_alarm(
        AlarmName="processor",
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=10,
    )
    (finding,) = found(moto, settings)
    assert "no alarm" in finding.text


def test_the_alarm_is_found_among_many(moto: Moto, settings: VaultSettings) -> None:
    client = moto.client("cloudwatch")
    for number in range(60):  # a page holds 50
        client.put_metric_alarm(
            AlarmName=f"a{number:03}",
            Namespace="AWS/EC2",
            MetricName="CPUUtilization",
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            ComparisonOperator="GreaterThanThreshold",
            Threshold=10,
        )
    everything(moto)
    assert bad(found(moto, settings)) == []


def test_a_subscription_that_nobody_confirmed_is_a_failure(moto: Moto, settings: VaultSettings) -> None:
    """AWS lists such a one with "PendingConfirmation" in place of its ARN (SNS API, Subscription)."""
    everything(moto)

    def pending(parsed: dict[str, Any], **_: Any) -> None:
        for subscription in parsed["Subscriptions"]:
            subscription["SubscriptionArn"] = "PendingConfirmation"

    with hooked(moto.client("sns"), "after-call.sns.ListSubscriptionsByTopic", pending):
        (finding,) = bad(found(moto, settings))
    assert finding.level is Level.FAILED
    assert f"the subscription of anna@example.org to {BUCKET}-billing is pending" in finding.text
    assert "follow its link" in finding.fix


def test_a_topic_without_subscribers_is_a_failure(moto: Moto, settings: VaultSettings) -> None:
    alarm(moto, topic(moto))
    budget(moto)
    (finding,) = bad(found(moto, settings))
    assert finding.level is Level.FAILED
    assert "nobody has subscribed" in finding.text


def test_an_alarm_that_tells_nobody_is_a_failure(moto: Moto, settings: VaultSettings) -> None:
    arn = everything(moto)
    alarm(moto, arn, enabled=False)
    (finding,) = bad(found(moto, settings))
    assert finding.level is Level.FAILED
    assert "tells nobody" in finding.text


def test_an_alarm_without_data_points_to_the_switch(moto: Moto, settings: VaultSettings) -> None:
    everything(moto)
    moto.client("cloudwatch").set_alarm_state(
        AlarmName=f"{BUCKET}-estimated-charges", StateValue="INSUFFICIENT_DATA", StateReason="no metric"
    )
    (finding,) = bad(found(moto, settings))
    assert finding.level is Level.WARNING
    assert "Receive billing alerts" in finding.fix


def test_an_alarm_that_is_on_is_a_failure(moto: Moto, settings: VaultSettings) -> None:
    everything(moto)
    moto.client("cloudwatch").set_alarm_state(
        AlarmName=f"{BUCKET}-estimated-charges", StateValue="ALARM", StateReason="much"
    )
    (finding,) = bad(found(moto, settings))
    assert finding.level is Level.FAILED
    assert "this month's bill is above 10 USD" in finding.text


def test_limits_above_the_budget_are_warnings(moto: Moto, settings: VaultSettings) -> None:
    arn = topic(moto)
    subscribe(moto, arn)
    alarm(moto, arn, threshold=50.0)
    budget(moto, limit="25")
    first, second = bad(found(moto, settings))
    assert (first.level, second.level) == (Level.WARNING, Level.WARNING)
    assert "waits for 50 USD, the budget is 10" in first.text
    assert "is of 25 USD, vault.budget_usd of 10" in second.text


def test_no_budget_and_one_that_does_not_look_ahead_are_failures(moto: Moto, settings: VaultSettings) -> None:
    arn = topic(moto)
    subscribe(moto, arn)
    alarm(moto, arn)
    (finding,) = bad(found(moto, settings))
    assert (finding.level, f"there is no budget {BUCKET}-month" in finding.text) == (Level.FAILED, True)
    budget(moto, kind="ACTUAL")
    (finding,) = bad(found(moto, settings))
    assert (finding.level, "no notification of a forecast" in finding.text) == (Level.FAILED, True)


def test_another_alarm_region_is_a_failure(moto: Moto, settings: VaultSettings) -> None:
    everything(moto)
    (finding,) = bad(found(moto, settings.model_copy(update={"alarm_region": "ap-northeast-1"})))
    assert finding.level is Level.FAILED
    assert "us-east-1 alone" in finding.text


def test_a_server_that_is_not_there_is_unknown_and_no_exception(settings: VaultSettings) -> None:
    (finding,) = alarms.check(settings, alarms.connect(settings, endpoint="http://127.0.0.1:1", attempts=1))
    assert finding.level is Level.UNKNOWN


def test_credentials_that_are_refused_are_unknown_and_show_no_secret(moto: Moto, settings: VaultSettings) -> None:

    def deny(parsed: dict[str, Any], http_response: Any, **_: Any) -> None:
        http_response.status_code = 403
        parsed.clear()
        parsed["Error"] = {"Code": "AccessDenied", "Message": "not authorized"}

    with hooked(moto.client("cloudwatch"), "after-call.cloudwatch", deny):
        (finding,) = found(moto, settings)
    assert finding.level is Level.UNKNOWN
    assert "AccessDenied: not authorized" in finding.text
    assert "secret" not in finding.text
