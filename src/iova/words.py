"""Words for numbers, and for what was misspelt."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 call``, ``2 calls``; ``many`` where an s does not make the plural."""
    return f"{count} {one if count == 1 else many or one + 's'}"
