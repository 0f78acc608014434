"""What a check found: one thing, why it matters, and how it is put right. Text of these never holds a secret."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """
    subject     the setting or file that it is about
    text        what is wrong with it; goes on after the subject
    remedy      what to do, in the imperative
    is_problem  the stack would not start, or not do its work, or be open to others; else a warning
    """

    subject: str
    text: str
    remedy: str
    is_problem: bool = True


def problem(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject, text, remedy)


def warning(subject: str, text: str, remedy: str) -> Finding:
    return Finding(subject, text, remedy, is_problem=False)
