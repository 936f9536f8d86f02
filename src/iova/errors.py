"""Errors that say what happened, where, and what to do."""

from __future__ import annotations

import signal
from typing import Final


class IovaError(Exception):
    """An error a user can act on; the command prints its text and exits with ``exit_status``."""

    exit_status = 2


class InputError(IovaError):
    """An input that cannot be used.

    Args:
        source: the file's name as the user gave it (``-`` is standard input).
        problem: what is wrong, in one sentence without the file's name.
        line: 1-based line, where it applies.
        column: 1-based column, where it applies.
        hint: what the user can do about it.
    """

    def __init__(
        self,
        source: str,
        problem: str,
        *,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        where = ":".join(str(part) for part in (source, line, column) if part is not None)
        super().__init__(f"{where}: {problem}" + (f" {hint}" if hint else ""))
        self.source = source
        self.problem = problem
        self.line = line
        self.column = column
        self.hint = hint


class EndedBySignal(SystemExit):
    """A signal ends the program; raised by its handler, perhaps amid a user's code."""


#: They end a command in good order, as Ctrl-C does.
ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)

#: Raised amid a user's code, they are none of its mistakes.
STOPS = (KeyboardInterrupt, EndedBySignal)


# ---------------------------------------------------------------------------- live domains


class DomainError(IovaError):
    """A call of a live domain that failed; nothing was changed unless its text says so.

    Attributes:
        address: what the call was about, in bytes; None where it named none.
        size: as the caller gave it, in bytes; None where it named none.
    """

    def __init__(
        self, problem: str, *, address: int | None = None, size: int | None = None
    ) -> None:
        super().__init__(problem)
        self.address = address
        self.size = size


class NoSpace(DomainError):  # noqa: N818 - these are the names a driver author knows
    """No free piece of the windows fits, after every cache of every CPU was emptied once."""


class OverBudget(DomainError):  # noqa: N818
    """As many ranges are live as the domain may hold at once."""


class Reserved(DomainError):  # noqa: N818
    """Something there is reserved, outside the windows, live, or waits for its IOTLB flush."""


class DoubleFree(DomainError):  # noqa: N818
    """The range was free already."""


class NotAllocated(DomainError):  # noqa: N818
    """No range that was handed out starts there."""


class SizeMismatch(DomainError):  # noqa: N818
    """The range has another size, rounded up to the granule and the size class."""


class FlushNeeded(DomainError):  # noqa: N818
    """An IOTLB flush must come before the range can be deferred; it is still live.

    Attributes:
        ticket: what to pass to ``flushed`` once the flush is done.
    """

    def __init__(
        self, problem: str, *, ticket: int, address: int | None = None, size: int | None = None
    ) -> None:
        super().__init__(problem, address=address, size=size)
        self.ticket = ticket


class Closed(DomainError):  # noqa: N818
    """The domain is closed."""
