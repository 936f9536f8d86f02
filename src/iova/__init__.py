"""The Linux IOVA allocator as a library, and as a lab in which you can ask it questions."""

from iova import _core
from iova.domain import ClassStats, Domain, DomainStats, Range
from iova.errors import (
    Closed,
    DomainError,
    DoubleFree,
    FlushNeeded,
    IovaError,
    NoSpace,
    NotAllocated,
    OverBudget,
    Reserved,
    SizeMismatch,
)

__version__ = _core.VERSION

__all__ = [
    "ClassStats",
    "Closed",
    "Domain",
    "DomainError",
    "DomainStats",
    "DoubleFree",
    "FlushNeeded",
    "IovaError",
    "NoSpace",
    "NotAllocated",
    "OverBudget",
    "Range",
    "Reserved",
    "SizeMismatch",
]
