"""What a run says while it works. Long code gets a `Journal` and knows nothing of terminals, files or the portal."""

from __future__ import annotations

from typing import Any, Protocol


class Journal(Protocol):
    def step(self, name: str, **detail: Any) -> None:
        """A new stage of the run begins: a constant name such as "stage", "seal", "upload"; details for the eye."""
        ...

    def progress(self, done: float, total: float | None, unit: str = "bytes") -> None:
        """How far the present step is. Cheap to call often; whoever listens thins it out."""
        ...

    def note(self, text: str) -> None:
        """One line worth keeping."""
        ...

    def warn(self, text: str) -> None:
        """Likewise, of something that is not as it should be though the run goes on."""
        ...


class Silent:
    """A journal that nobody reads."""

    def step(self, name: str, **detail: Any) -> None:
        pass

    def progress(self, done: float, total: float | None, unit: str = "bytes") -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass
