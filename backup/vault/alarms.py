"""Is somebody told when the bill grows? The billing alarm, whoever it writes to, and the budget, as AWS knows them.

What people get wrong, each of it silent: the metric exists in us-east-1 alone, so an alarm elsewhere never fires;
without "Receive billing alerts" there is no metric at all; an e-mail subscription is dead until its link was clicked.
The verifier's credentials read all this (backup/terraform/policies/verifier.json.tftpl).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from backup.settings import VaultSettings
from backup.vault.canary import code_of
from backup.vault.finding import Finding, failed, ok, unknown, warning
from backup.vault.s3_object_lock import credentials

BILLING_REGION = "us-east-1"
METRIC = {"Namespace": "AWS/Billing", "MetricName": "EstimatedCharges"}
ANSWER_S = 10.0

_TERRAFORM = "apply backup/terraform"
_PENDING = ("PendingConfirmation", "Deleted")

Connect = Callable[[str, str], Any]
"""Given a service's name and a region, return boto3's client of it."""


def connect(settings: VaultSettings, *, endpoint: str | None = None, attempts: int = 3) -> Connect:
    """With the verifier's credentials. `endpoint` is for a server that is not AWS."""
    key_id, secret = credentials(settings.verifier_file)
    session = boto3.session.Session(aws_access_key_id=key_id, aws_secret_access_key=secret)
    config = Config(
        connect_timeout=ANSWER_S, read_timeout=ANSWER_S, retries={"mode": "standard", "total_max_attempts": attempts}
    )

    def client(service: str, region: str) -> Any:
        return session.client(service, region_name=region, endpoint_url=endpoint, config=config)

    return client


def check(settings: VaultSettings, connect: Connect) -> list[Finding]:
    """Never raises for what AWS says: what could not be found out is a finding too."""
    try:
        return [*_region(settings), *_alarms(settings, connect)]
    except ClientError as error:
        said = f"{code_of(error)}: {error.response['Error'].get('Message', '')}"
    except BotoCoreError as error:
        said = str(error)
    return [unknown(f"the billing alarm could not be read: {said}", f"{_TERRAFORM}; the verifier needs its policy")]


def _region(settings: VaultSettings) -> Iterator[Finding]:
    if settings.alarm_region != BILLING_REGION:
        text = (
            f"vault.alarm_region is {settings.alarm_region}, but the metric of charges exists in {BILLING_REGION} alone"
        )
        yield failed(text, f"leave the setting out, and {_TERRAFORM}")


def _alarms(settings: VaultSettings, connect: Connect) -> Iterator[Finding]:
    found = list(_billing_alarms(connect("cloudwatch", BILLING_REGION)))
    if not found:
        text = f"no alarm on {METRIC['MetricName']} in {BILLING_REGION}: nobody is told when the bill grows"
        if settings.region != BILLING_REGION and list(_billing_alarms(connect("cloudwatch", settings.region))):
            text += f"; there is one in {settings.region}, where the metric does not exist, so that it never fires"
        yield failed(text, _TERRAFORM)
        return
    for alarm in found:
        yield from _alarm(alarm, settings)
    topics = {arn for alarm in found for arn in alarm.get("AlarmActions", []) if arn.startswith("arn:aws:sns:")}
    for topic in sorted(topics):
        yield from _subscriptions(topic, connect)
        yield from _budget(topic.split(":")[4], settings, connect)


def _billing_alarms(cloudwatch: Any) -> Iterator[dict[str, Any]]:
    for page in cloudwatch.get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm"]):
        for alarm in page["MetricAlarms"]:
            if all(alarm.get(name) == value for name, value in METRIC.items()):
                yield alarm


def _alarm(alarm: dict[str, Any], settings: VaultSettings) -> Iterator[Finding]:
    name, limit = alarm["AlarmName"], alarm.get("Threshold", 0.0)
    if not alarm.get("ActionsEnabled") or not alarm.get("AlarmActions"):
        yield failed(f"the alarm {name} tells nobody: its actions are off, or there are none", _TERRAFORM)
    if limit > settings.budget_usd:
        text = f"the alarm {name} waits for {limit:g} USD, the budget is {settings.budget_usd:g}"
        yield warning(text, f"{_TERRAFORM} with budget_usd, or change vault.budget_usd")
    match alarm.get("StateValue"):
        case "ALARM":
            yield failed(f"the alarm {name} is on: this month's bill is above {limit:g} USD", "look at the bill")
        case "OK":
            yield ok(f"the alarm {name} watches the bill, above {limit:g} USD")
        case _:
            yield warning(
                f"the alarm {name} has no data",
                'switch on "Receive billing alerts" in the account\'s billing preferences; a new alarm takes a day',
            )


def _subscriptions(topic: str, connect: Connect) -> Iterator[Finding]:
    name, region = topic.split(":")[5], topic.split(":")[3]
    pages = connect("sns", region).get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    subscriptions = [each for page in pages for each in page["Subscriptions"]]
    confirmed = [each["Endpoint"] for each in subscriptions if each["SubscriptionArn"] not in _PENDING]
    pending = [each["Endpoint"] for each in subscriptions if each["SubscriptionArn"] in _PENDING]
    if pending:
        yield failed(
            f"the subscription of {', '.join(pending)} to {name} is pending: no alarm arrives there",
            "open AWS's message to that address and follow its link; it is valid for 3 days, then subscribe again",
        )
    if confirmed:
        yield ok(f"{', '.join(confirmed)} is told by {name}")
    elif not pending:
        yield failed(f"nobody has subscribed to {name}: the alarm is heard by nobody", _TERRAFORM)


def _budget(account: str, settings: VaultSettings, connect: Connect) -> Iterator[Finding]:
    name, client = f"{settings.bucket}-month", connect("budgets", BILLING_REGION)  # alarms.tf calls it so
    named = {"AccountId": account, "BudgetName": name}
    try:
        budget = client.describe_budget(**named)["Budget"]
        notifications = client.describe_notifications_for_budget(**named).get("Notifications", [])
    except ClientError as error:
        if code_of(error) == "NotFoundException":
            yield failed(f"there is no budget {name}: nobody looks ahead", _TERRAFORM)
            return
        raise
    limit = float(budget["BudgetLimit"]["Amount"])
    if limit > settings.budget_usd:
        text = f"the budget {name} is of {limit:g} USD, vault.budget_usd of {settings.budget_usd:g}"
        yield warning(text, f"{_TERRAFORM} with budget_usd, or change vault.budget_usd")
    if any(each["NotificationType"] == "FORECASTED" for each in notifications):
        yield ok(f"the budget {name} forecasts the bill, up to {limit:g} USD")
    else:
        yield failed(f"the budget {name} has no notification of a forecast", _TERRAFORM)
