"""``iova explain`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import iova, run_here


def test_a_finding_is_told_with_evidence_and_what_to_do_in_80_columns() -> None:
    said = iova("explain", "wrong-size", "--set", "duration_s=0.1")
    assert "1 thing is wrong:" in said
    assert "1. wrong-size (may corrupt memory" in said
    for word in ("do: Correct the driver", "settle:", "known: measured"):
        assert word in said
    assert "Looked for and not found: 32-bit-neighbour" in said
    assert max(map(len, said.splitlines())) <= 80


def test_nothing_is_wrong_says_what_was_looked_for() -> None:
    said = iova("explain", "small-depot", "--set", "duration_s=0.3")
    assert said.count("Nothing is wrong. Looked for: wrong-size") == 1


def test_json_has_the_same_findings() -> None:
    found = json.loads(iova("explain", "burst8-6.12", "--json"))
    assert [one["cause"] for one in found["findings"]] == ["lost-rings", "sizes-beyond"]
    assert found["design"] == "linux-6.12"
    assert found["findings"][0]["evidence"][0]["value"] == 3328


def test_the_seed_changes_a_workload_and_the_design_what_is_found() -> None:
    short = ("explain", "wrong-size", "--set", "duration_s=0.1", "--json")
    plain, again, other = (json.loads(iova(*short, *more)) for more in ((), (), ("--seed", "7")))
    assert plain == again != other
    depot = ("explain", "small-depot", "--set", "duration_s=0.3", "--json", "--design", "linux-6.1")
    assert [one["cause"] for one in json.loads(iova(*depot))["findings"]] == ["fixed-depot"]


def test_a_workload_is_explained_as_a_user_s_design_runs_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Fixed:\n    depot_max = 32\n    def look(self, view):\n        return None\n"
    )
    short = ("explain", "small-depot", "--set", "duration_s=0.3", "--json")
    found = json.loads(iova(*short, "--design", "mine:Fixed", cwd=tmp_path))
    assert found["design"] == "mine:Fixed"
    assert [one["cause"] for one in found["findings"]] == ["fixed-depot"]


def test_an_address_tells_its_story() -> None:
    by_frame = iova("explain", "burst8-6.12", "--address", "pfn:0xfffff")
    assert "address 0xfffff000 (pfn:0xfffff) in domain 2: allocated 1 x" in by_frame
    assert iova("explain", "burst8-6.12", "--address", "0xfffff000") == by_frame
    assert "no range" in by_frame
    assert max(map(len, by_frame.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nope",), "nope: is no file, and no preset"),
        (("burst8-6.12", "--address", "zz"), "--address zz: give an address in bytes"),
        (("burst8-6.12", "--address", "pfn:0x1"), "no range of the trace begins at page frame"),
        (("burst8-6.12", "--domain", "99"), "the trace has no calls of domain 99"),
        (("burst8-6.12", "--set", "cpus=4"), "is a recorded trace"),
        (("/dev/null",), "no event of the IOVA allocator"),
    ],
)
def test_what_can_not_be_explained_is_refused_in_a_sentence(
    arguments: tuple[str, ...], problem: str
) -> None:
    done = run_here("explain", *arguments)
    assert done.returncode == 2
    assert problem in done.stderr
    assert done.stdout == ""
