"""What every context manager of the package does that is closed on leaving its ``with``."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class ClosedOnLeaving:
    """A context manager that is itself, until leaving it closes it."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of what it holds."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
