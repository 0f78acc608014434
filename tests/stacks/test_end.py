"""The stack's end, after all other tests."""

from __future__ import annotations

from tests.stacks.deployment import Deployment


def test_down_leaves_nothing(stack: Deployment) -> None:
    assert len(stack.left_behind()) > 1
    stack.close()
    assert stack.left_behind() == []
