"""Errors that say what happened, where, and what to do."""

from __future__ import annotations


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
