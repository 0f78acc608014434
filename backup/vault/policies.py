"""The policies of the vault: JSON documents beside Terraform, which both it and we fill in (backup.md 6.4).

A document is `backup/terraform/policies/<name>.json.tftpl`; `${name}` in it is a value. What stands in a bucket is
compared statement by statement, so that what somebody has taken out by hand is found.
"""

from __future__ import annotations

import json
import string
from importlib import resources
from typing import Any

Statement = dict[str, Any]

BUCKET = "bucket"
IDENTITIES = ("uploader", "verifier", "restorer", "collector")
_ARNS = "aws:PrincipalArn"


def render(name: str, **values: str) -> dict[str, Any]:
    """Fill in a document. Raise KeyError for a value that is missing."""
    text = resources.files("backup").joinpath("terraform", "policies", f"{name}.json.tftpl").read_text("utf-8")
    document: dict[str, Any] = json.loads(string.Template(text).substitute(values))
    return document


def missing_statements(policy: str, bucket: str) -> list[str]:
    """Given a bucket's policy as it is there, return the Sids of ours that are not in it, or are not as ours.

    Principals by their ARN are not compared, since the names of accounts are not known here; that some are named is.
    """
    try:
        statements = json.loads(policy)["Statement"]
        there = {statement.get("Sid"): _comparable(statement) for statement in statements}
    except (ValueError, KeyError, TypeError, AttributeError):
        there = {}
    arns = {f"{role}_arn": "" for role in ("uploader", "verifier", "restorer")}
    ours = render(BUCKET, bucket_arn=f"arn:aws:s3:::{bucket}", **arns)["Statement"]
    return [statement["Sid"] for statement in ours if there.get(statement["Sid"]) != _comparable(statement)]


def _comparable(statement: Statement) -> Statement:
    """S3 gives a policy back with lists of one as text, and in an order of its own."""
    found = {key: value for key, value in statement.items() if key != "Sid"}
    found["Action"], found["Resource"] = _sorted(statement.get("Action")), _sorted(statement.get("Resource"))
    if found.get("Principal") == {"AWS": "*"}:
        found["Principal"] = "*"
    found["Condition"] = {
        operator: {key: _values(key, value) for key, value in keys.items()}
        for operator, keys in statement.get("Condition", {}).items()
    }
    return found


def _values(key: str, value: Any) -> Any:
    return [bool(value)] if key == _ARNS else _sorted(value)


def _sorted(value: Any) -> list[str]:
    return sorted(str(each) for each in (value if isinstance(value, list) else [value]))
