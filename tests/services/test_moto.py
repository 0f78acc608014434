"""moto as AWS's CloudWatch, SNS and Budgets; and why it is never a vault that holds."""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from tests.services.moto import ACCOUNT, Moto

pytestmark = pytest.mark.services


def test_it_answers_forgets_and_is_gone_when_closed() -> None:
    with Moto() as moto:
        arn = moto.client("sns").create_topic(Name="billing")["TopicArn"]
        assert arn == f"arn:aws:sns:us-east-1:{ACCOUNT}:billing"
        moto.reset()
        assert moto.client("sns").list_topics()["Topics"] == []
        client = moto.client("s3")
        client.create_bucket(Bucket="weak", ObjectLockEnabledForBucket=True)
        until = datetime.now(UTC) + timedelta(days=30)
        locked = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until, "ChecksumAlgorithm": "SHA256"}
        client.put_object(Bucket="weak", Key="key", Body=b"", **locked)
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": until - timedelta(days=29)}
        client.put_object_retention(Bucket="weak", Key="key", Retention=retention)  # S3 says AccessDenied
        url, directory = moto.url, moto.directory
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=1)
    assert not directory.exists()
