"""Words of a page must follow its numbers: what it says in words is checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping


class ClaimError(Exception):
    """A page says what its runs do not show any more: its words have to be written anew."""


def check_claims(page: str, claims: Mapping[str, bool], quick: bool) -> None:
    """Refuse to write a page of which a claim does not hold.

    Args:
        page: its name.
        claims: what the prose says in words, and whether the runs show it.
        quick: the runs were short, to see that it works: they show nothing.

    Raises:
        ClaimError: a claim does not hold; names each that does not.
    """
    wrong = [claim for claim, holds in claims.items() if not holds]
    if wrong and not quick:
        raise ClaimError(
            f"{page}.md says what the runs do not show: {'; '.join(wrong)}."
            f" Print it with --quick left out and --write left out, and change its words."
        )
