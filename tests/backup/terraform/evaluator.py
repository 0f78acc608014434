"""Our own evaluator of AWS policies, small and strict: an operator or element that it does not know is an error.

Rules, from the IAM user guide ("Policy evaluation logic", "Condition operators"): a request is denied when any
statement denies it; else allowed when any allows it; else denied. Every condition of a statement must hold. Where a key
is missing from the request, a negated operator (StringNotEquals) holds and every other one does not.

Not covered: NotAction, NotResource, NotPrincipal, policy variables, session policies, boundaries; no document has them.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]
_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


@dataclass(frozen=True)
class Request:
    """
    principal  ARN of who asks
    context    condition keys that AWS would fill in for it
    """

    principal: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def is_allowed(request: Request, identity: Document, bucket: Document) -> bool:
    """Given the policy of who asks and that of the bucket, in one account: either may allow, both may deny."""
    effects = [
        statement["Effect"]
        for document in (identity, bucket)
        for statement in document["Statement"]
        if applies(statement, request)
    ]
    return "Deny" not in effects and "Allow" in effects


def denials(request: Request, document: Document) -> list[str]:
    """Sids of the statements that deny it."""
    return [each["Sid"] for each in document["Statement"] if each["Effect"] == "Deny" and applies(each, request)]


def applies(statement: Mapping[str, Any], request: Request) -> bool:
    assert set(statement) <= _ELEMENTS, statement
    assert statement["Effect"] in ("Allow", "Deny"), statement
    assert statement.get("Principal", "*") == "*", "only * is known; who it is stands in a condition"
    return (
        any(fnmatch.fnmatchcase(request.action.lower(), each.lower()) for each in _list(statement["Action"]))
        and any(fnmatch.fnmatchcase(request.resource, each) for each in _list(statement["Resource"]))
        and all(
            _holds(operator, key, _list(values), request)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _holds(operator: str, key: str, values: list[str], request: Request) -> bool:
    given = request.principal if key == "aws:PrincipalArn" else request.context.get(key)
    if operator == "Null":
        assert len(values) == 1
        return (given is None) == (values[0] == "true")
    if given is None:
        return operator in _NEGATED
    return _OPERATORS[operator](given, values)


_NEGATED = ("StringNotEquals",)
_OPERATORS: dict[str, Callable[[str, list[str]], bool]] = {
    "ArnEquals": lambda given, values: any(fnmatch.fnmatchcase(given, each) for each in values),
    "Bool": lambda given, values: given.lower() in values,
    "NumericGreaterThan": lambda given, values: any(float(given) > float(each) for each in values),
    "NumericLessThan": lambda given, values: any(float(given) < float(each) for each in values),
    "StringEquals": lambda given, values: given in values,
    "StringNotEquals": lambda given, values: given not in values,
}


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
