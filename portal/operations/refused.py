"""An attempt that the rules of protection refuse leaves a row in the audit: for acts on what is protected."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from kit.problem import Problem
from portal.actor import Actor
from portal.audit import Result, record_now
from portal.operations.schemas import OperationView


async def recorded(request: Request, actor: Actor, act: str, target: str, answer: Any) -> OperationView:
    """Await the answer; record a 403 as a denied attempt, and raise it."""
    try:
        view: OperationView = await answer
    except Problem as problem:
        if problem.status == 403:
            database = request.app.state.portal.db
            await record_now(database, actor, actor.tag(act), target, Result.DENIED, detail=problem.type)
        raise
    return view
