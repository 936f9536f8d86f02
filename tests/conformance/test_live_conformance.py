"""A live domain is exact too: every vector through its entry points, the CPU and clock forced."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_folders import VECTORS, vector_names

from iova._core import ForcedDomain, Memory, fnv1a64
from iova.lab.conformance import VARIANTS, Implementation, verify_folder

_calls: dict[tuple[str, str], tuple[int, int]] = {}


class _Counted:
    """Makes domains, and remembers how many of their calls were those of a live domain."""

    def __init__(self) -> None:
        self._made: list[ForcedDomain] = []

    def __call__(self, **options: Any) -> ForcedDomain:
        domain = ForcedDomain(**options)
        self._made.append(domain)
        return domain

    def calls(self) -> tuple[int, int]:
        return sum(d.live_calls for d in self._made), sum(d.other_calls for d in self._made)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", vector_names())
def test_a_live_domain_is_exact(name: str, variant: str) -> None:
    made = _Counted()
    implementation = Implementation(made, Memory, fnv1a64)
    (verdict,) = verify_folder(VECTORS, only=[name], variants=variant, factory=implementation)
    assert verdict.exact, str(verdict.first_difference)
    _calls[name, variant] = made.calls()


@pytest.fixture
def all_calls() -> dict[tuple[str, str], tuple[int, int]]:
    missing = [(n, v) for n in vector_names() for v in VARIANTS if (n, v) not in _calls]
    for name, variant in missing:  # this test was chosen alone
        test_a_live_domain_is_exact(name, variant)
    return _calls


def test_most_allocations_and_frees_were_calls_of_a_live_domain(
    all_calls: dict[tuple[str, str], tuple[int, int]],
) -> None:
    live = sum(calls[0] for calls in all_calls.values())
    other = sum(calls[1] for calls in all_calls.values())
    assert len(all_calls) == 26 * 3
    assert live > 10 * other, (live, other)


def test_only_page_frame_zero_keeps_a_vector_off_the_live_entry_points(
    all_calls: dict[tuple[str, str], tuple[int, int]],
) -> None:
    """The other calls that go past them are allocations that must not empty the caches."""
    past = {name for (name, _), (live, other) in all_calls.items() if live < other}
    assert past == {"s17_start_zero"}
