"""One step after the other; when one fails, those before it are taken back in reverse.

    await carry_out(task, steps)        # from the beginning, or from where it stopped
    await take_back(task, steps)        # all that was begun

What holds at each moment:

1. A step is journalled before its act and after it; what it makes is noted by id before it is made, where the id is
   known before. Taking a step back removes what bears this run's id, and nothing else.
2. A step that fails, for whatever reason, is taken back like those before it: it may have come about in part.
3. Cancelled, out of time, or killed: nothing is taken back by itself. The run stays open, and somebody decides. Whoever
   goes on with a step that was begun, or half taken back, takes it back first.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.logging import get_logger
from kit.problem import Problem
from portal.actor import Actor
from portal.operations.progress import Progress
from portal.recipes.site.problems import SiteRunUnfinished, SiteStepFailed
from portal.recipes.site.runs import Done, Run, Runs, StepDone
from portal.wordpress.whole import whole

log = get_logger()

Json = dict[str, Any]


@dataclass(slots=True)
class Task:
    """A run at work.

    passwords   that were drawn for it
    actor       who asked for this operation
    done        how far each step is; kept in step with the journal
    """

    run: Run
    passwords: dict[str, str]
    actor: Actor
    progress: Progress
    runs: Runs
    done: dict[str, Done] = field(default_factory=dict)

    @classmethod
    async def of(cls, run: Run, actor: Actor, progress: Progress, runs: Runs) -> Task:
        return cls(run, await runs.passwords(run.id), actor, progress, runs, dict(run.steps))

    def state(self, step: str) -> StepDone | None:
        """None: it has not begun."""
        return self.done[step].state if step in self.done else None

    def made(self, step: str) -> Json:
        """What a step has made; {} when it has not begun, or was taken back."""
        return self.done[step].made if step in self.done else {}

    async def note(self, step: str, **made: Any) -> None:
        """Write down what a step makes; before it is made, where that can be."""
        await self.runs.note(self.run.id, step, made)
        self.done[step] = Done(self.done[step].state, self.done[step].made | made)

    async def mark(self, number: int, step: str, state: StepDone) -> None:
        await self.runs.step(self.run.id, number, step, state)
        self.done[step] = Done(state, {} if state == "begun" else self.made(step))


Act = Callable[[Task], Coroutine[Any, Any, None]]


async def nothing(_: Task) -> None:
    """A step that leaves nothing behind, or nothing that an earlier step's way back would not take along."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    do     brings it about; called again after `undo` when it is not known whether it came about
    undo   takes back what this run made in it, come about or not, as often as it is called
    """

    name: str
    do: Act
    undo: Act = nothing


async def carry_out(task: Task, steps: Sequence[Step]) -> None:
    """Do what is not done yet. Raise what kept a step from it, after all was taken back; SiteRunUnfinished when that
    is not possible."""
    for number, step in enumerate(steps):
        state = task.state(step.name)
        if state == "done":
            continue
        task.progress.at(number, len(steps))
        task.progress.note(step.name)
        try:
            if state in ("begun", "undoing"):
                await whole(step.undo(task))
            await task.mark(number, step.name, "begun")
            await whole(step.do(task))
            await task.mark(number, step.name, "done")
        except Exception as error:
            cause = _problem(error, step.name)
            task.progress.note(f"{step.name}: {cause}")
            await _after(task, steps, step.name, cause)
            raise cause from error
    task.progress.at(len(steps), len(steps))
    await task.runs.close(task.run.id, "done")


async def take_back(task: Task, steps: Sequence[Step]) -> None:
    """Take back all that was begun, the last first. Raise SiteRunUnfinished when one cannot be."""
    for number, step in reversed(list(enumerate(steps))):
        if task.state(step.name) in (None, "undone"):
            continue
        task.progress.note(f"taking back: {step.name}")
        try:
            await task.mark(number, step.name, "undoing")
            await whole(step.undo(task))
            await task.mark(number, step.name, "undone")
        except Exception as error:
            cause = _problem(error, step.name)
            await task.runs.stopped(task.run.id, f"taking back {step.name}: {cause}")
            raise SiteRunUnfinished(
                f"{step.name} could not be taken back: {cause}", step=step.name, run=task.run.id
            ) from error
    await task.runs.close(task.run.id, "reverted")


async def _after(task: Task, steps: Sequence[Step], failed: str, cause: Problem) -> None:
    """Take back what a failed run had made. Raise SiteRunUnfinished when that is not possible."""
    cause.extensions |= {"step": failed, "run": task.run.id}
    try:
        await task.runs.stopped(task.run.id, f"{failed}: {cause}")
        await take_back(task, steps)
    except SiteRunUnfinished as problem:
        raise SiteRunUnfinished(f"{failed}: {cause}; {problem.detail}", step=failed, run=task.run.id) from cause
    except Exception as error:  # the journal itself cannot be written
        log.exception("site_run_not_taken_back", run=task.run.id, step=failed)
        raise SiteRunUnfinished(f"{failed}: {cause}", step=failed, run=task.run.id) from error
    task.progress.note("what had been made was taken back")


def _problem(error: Exception, step: str) -> Problem:
    if isinstance(error, Problem):
        return error
    log.exception("site_step_failed", step=step, exc_info=error)
    return SiteStepFailed(f"{step}: an error of the portal's own; its log says which")
