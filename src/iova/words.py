"""Words for numbers, for what was misspelt, and for what others wrote."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def noun(count: int, one: str, many: str | None = None) -> str:
    """``call`` for 1, else ``calls``; ``many`` where an s does not make the plural."""
    return one if count == 1 else many or one + "s"


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 call``, ``2 calls``; see :func:`noun`."""
    return f"{count} {noun(count, one, many)}"


def shortened(text: str, most: int = 400) -> str:
    """A text of others, such as an error of a user's code, without what is beyond some length."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def printable(text: str) -> str:
    """Text of others, with control characters as escapes: it must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def meant(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant; None: none is like it."""
    return next(iter(difflib.get_close_matches(word[:100], list(known), n=1)), None)


def suggestion(word: str, known: Iterable[str]) -> str:
    """The known words for an error's text, the one that was meant first."""
    words = list(known)
    close = meant(word, words)
    return f"{f'Did you mean {close}? ' if close else ''}Known: {', '.join(words)}."
