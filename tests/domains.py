"""What the tests of ``iova.Domain`` share."""

from __future__ import annotations

import iova
from iova import Domain

PAGE = 4096
SMALL = [(0x10000, 0x1FFFF)]  #: 16 pages
U64 = 2**64 - 1


def fill(domain: Domain, size: int = PAGE) -> list[int]:
    """Allocate until there is no space."""
    got = []
    while True:
        try:
            got.append(domain.alloc(size))
        except iova.NoSpace:
            return got
