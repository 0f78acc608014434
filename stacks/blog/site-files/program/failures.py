"""What an action says when it was not done."""

from __future__ import annotations

from typing import Literal

Code = Literal["exists", "missing", "unsafe", "unreadable", "full", "failed"]


class Failure(Exception):
    """
    exists      there is a tree, or something in the place where one would be
    missing     there is no tree, plugin, theme, archive or kept copy
    unsafe      an archive or a tree is not as it must be
    unreadable  an archive cannot be unpacked, or holds no WordPress
    """

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code
