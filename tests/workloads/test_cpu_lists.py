import pytest
from hypothesis import given
from hypothesis import strategies as st

from iova.workloads import parse_cpus
from iova.workloads.cpus import MAX_CPUS, CpuListError


@pytest.mark.parametrize(
    ("text", "cpus", "expected"),
    [
        ("all", 4, [0, 1, 2, 3]),
        ("all/3", 8, [0, 3, 6]),
        ("0-3", 8, [0, 1, 2, 3]),
        ("0-7/2", 8, [0, 2, 4, 6]),
        ("0-240/16", 256, list(range(0, 256, 16))),
        ("5", 8, [5]),
        ("5/2", 8, [5]),
        ("7-7", 8, [7]),
        ("0,3,6-7", 8, [0, 3, 6, 7]),
        (" 3 , 1 ", 8, [3, 1]),
        ("3,1,3", 8, [3, 1, 3]),
        ("all,0", 2, [0, 1, 0]),
        ("0-6/4", 5, [0, 4]),
    ],
)
def test_a_list_names_its_cpus_in_order(text: str, cpus: int, expected: list[int]) -> None:
    assert list(parse_cpus(text, cpus)) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no CPU list"),
        ("0,", "is no CPU list"),
        ("-1", "is no CPU list"),
        ("1-", "is no CPU list"),
        ("0x10", "is no CPU list"),
        ("all-3", "is no CPU list"),
        ("everyone", "is no CPU list"),
        ("0-7/", "is no CPU list"),
        ("1 2", "is no CPU list"),
        ("\u0663", "is no CPU list"),
        ("1234567", "is no CPU list"),
        ("0-7/0", "the step is at least 1"),
        ("5-3", "ends before it starts"),
        ("8", "names CPU 8, but there are 8"),
        ("0-8", "names CPU 8, but there are 8"),
        ("7,0-999999", "names CPU 999999"),
    ],
)
def test_what_is_no_list_is_refused(text: str, told: str) -> None:
    with pytest.raises(CpuListError, match=told):
        parse_cpus(text, 8)


def test_a_list_names_at_most_as_many_cpus_as_a_machine_may_have() -> None:
    whole = f"0-{MAX_CPUS - 1}"
    assert len(parse_cpus(whole, MAX_CPUS)) == MAX_CPUS
    with pytest.raises(CpuListError, match=f"more than {MAX_CPUS}"):
        parse_cpus(f"{whole},0", MAX_CPUS)


@given(st.lists(st.integers(0, 63), min_size=1, max_size=40))
def test_single_numbers_round_trip(cpus: list[int]) -> None:
    assert list(parse_cpus(",".join(map(str, cpus)), 64)) == cpus


@given(st.integers(0, 63), st.integers(0, 63), st.integers(1, 70))
def test_ranges_with_steps_are_python_ranges(first: int, length: int, step: int) -> None:
    last = min(first + length, 63)
    assert list(parse_cpus(f"{first}-{last}/{step}", 64)) == list(range(first, last + 1, step))


@given(st.text(alphabet="0123456789-/,al x", max_size=30))
def test_any_text_is_a_list_or_a_cpu_list_error(text: str) -> None:
    try:
        found = parse_cpus(text, 16)
    except CpuListError:
        return
    assert found
    assert all(0 <= cpu < 16 for cpu in found)
