"""Which size class a depot worker has, from its address and from what it was seen to empty."""

from __future__ import annotations

from iova.sources.reclaim import classes_of_works

BASE = 0xFF1BDFA740B89020
STRIDE = 120


def works(*orders: int, base: int = BASE, known: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    """Workers of these classes, in order of their appearance; the known ones tell."""
    return [(base + order * STRIDE, order if order in known else -1) for order in orders]


def test_a_full_set_of_six_needs_no_other_evidence() -> None:
    assert classes_of_works([works(3, 0, 5, 1, 2, 4)]).orders == ((3, 0, 5, 1, 2, 4),)


def test_two_known_workers_give_the_stride_and_the_rest() -> None:
    assert classes_of_works([works(0, 5, 2, known=(0, 2))]).orders == ((0, 5, 2),)


def test_one_known_worker_is_enough_where_another_domain_gives_the_stride() -> None:
    found = classes_of_works([works(1, 4, known=(1,)), works(0, 1, 4, base=0x9000)])
    assert found.orders[0] == (1, 4)


def test_a_span_of_two_divisors_leaves_the_stride_open() -> None:
    assert classes_of_works([works(0, 2, 4, known=(0,))]).orders == ((0, None, None),)
    assert classes_of_works([works(0, 2, 4, known=(0,))], STRIDE).orders == ((0, 2, 4),)


def test_a_single_worker_that_never_emptied_anything_stays_unknown() -> None:
    assert classes_of_works([works(0)]).orders == ((None,),)
    assert classes_of_works([works(0)], STRIDE).orders == ((None,),)


def test_other_domains_follow_from_the_alignment_of_their_memory() -> None:
    found = classes_of_works(
        [works(0, 3, known=(0,)), works(2, base=BASE + 5 * 1024), works(0, base=BASE - 1024)],
        STRIDE,
    )
    assert found.orders == ((0, 3), (2,), (0,))
    assert found.by_alignment == 2


def test_one_worker_out_of_line_ends_the_trust_in_alignment() -> None:
    found = classes_of_works(
        [works(0, known=(0,)), works(1, base=BASE + 1024), works(1, base=BASE + 8)], STRIDE
    )
    assert found.orders == ((0,), (None,), (None,))
    assert found.by_alignment == 0


def test_contradicted_workers_are_unknown() -> None:
    assert classes_of_works([[(BASE, -2), (BASE + STRIDE, 1)]], STRIDE).orders == ((None, 1),)


def test_known_workers_that_do_not_fit_one_array_keep_only_what_was_seen() -> None:
    found = classes_of_works([[(BASE, 0), (BASE + 77, 1), (BASE + 300, -1)]], STRIDE)
    assert found.orders == ((0, 1, None),)


def test_no_workers_at_all() -> None:
    assert classes_of_works([[], []]).orders == ((), ())
