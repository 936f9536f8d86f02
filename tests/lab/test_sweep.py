"""A sweep runs each cell once, keeps what it did, and tells what failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from comparisons import TABLE, busy
from iova.designs import parse_design
from iova.errors import InputError, IovaError
from iova.lab.machine import simulate
from iova.lab.prices import load_prices
from iova.lab.replay import prepare, replay
from iova.lab.rows import machine_row_of, metrics_of, row_of
from iova.lab.spread import spread
from iova.lab.sweep import METRICS, journal_of, sweep
from iova.lab.sweep_journal import HEADER, Journal
from iova.lab.sweep_spec import read_spec
from iova.lab.sweep_work import Task
from iova.sources import load
from iova.sources.parquet import write_parquet
from sweeps import CELLS, SPEC, here, make_folder, swept
from tables import filling_depot, trace_of


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The small sweep."""
    return make_folder(tmp_path)


def journal(spec: Path) -> Path:
    return journal_of(spec.with_suffix(".parquet"))


def results(spec: Path) -> list[dict[str, object]]:
    return results_in(journal(spec).read_bytes())


def results_in(text: bytes) -> list[dict[str, object]]:
    records = [json.loads(line) for line in text.splitlines()]
    return [record for record in records if "key" in record]


# ---------------------------------------------------------------------------------- table


def test_every_cell_has_the_numbers_of_its_own_run(spec: Path) -> None:
    table = swept(spec).table
    assert table.equals(pl.read_parquet(spec.with_suffix(".parquet")))
    assert table.select("source", "design", "seed").rows() == [
        (source, design, seed)
        for source, seeds in (
            ("fleet/a.parquet", [None]), ("fleet/b.parquet", [None]), ("busy.toml", [1, 2])
        )
        for design in ("linux-6.1,depot=1", "linux-6.12")
        for seed in seeds
    ]  # fmt: skip
    for row in table.iter_rows(named=True):
        design = parse_design(row["design"])
        if row["seed"] is None:
            trace = load(spec.parent / row["source"]).trace
            expected = metrics_of(row_of(replay(prepare(trace), design)))
        else:
            run = simulate(busy(0.005), design, load_prices(), seed=row["seed"])
            expected = metrics_of(row_of(run.replay)) | metrics_of(machine_row_of(run))
        found = {name: row[name] for name in METRICS if row[name] is not None}
        assert found.pop("calls") > 100
        assert found == expected
        assert row["error"] is None
    assert table["param.depot"].to_list() == [1, None, 1, None, 1, 1, None, None]


def test_traces_are_spread_and_workloads_get_the_cpus(tmp_path: Path) -> None:
    spec = make_folder(tmp_path, "cpus = [4, 8]\n" + SPEC)
    table = swept(spec).table
    assert table.height == 2 * CELLS
    assert set(table["cpus"]) == {4, 8}
    trace = spread(load(spec.parent / "fleet/a.parquet").trace, 8).trace
    result = replay(prepare(trace), parse_design("linux-6.12"))
    (row,) = table.filter(source="fleet/a.parquet", cpus=8, design="linux-6.12").rows(named=True)
    assert row["cached_percent"] == 100 * result.cached_share
    eight = table.filter(source="busy.toml", cpus=8)
    assert set(eight["settings"]) == {"machine.cpus=8"}


def test_prices_and_variations_reach_the_workload(tmp_path: Path) -> None:
    from iova.lab.prices import write_prices

    spec = make_folder(
        tmp_path,
        'prices = "mine.toml"\n[[source]]\nsource = "busy.toml"\nvary.flow.disk.depth = [1, 64]\n'
        '[[design]]\ndesign = "linux-6.12"\n',
    )
    write_prices(tmp_path / "mine.toml", TABLE, {"host": "a test"})
    table = swept(spec).table
    assert table["set.flow.disk.depth"].to_list() == ["1", "64"]
    expected = simulate(busy(0.005), parse_design("linux-6.12"), TABLE)
    assert table["alloc_p99_ns"].to_list()[1] == expected.alloc_p99_ns
    assert table["operations"][0] < table["operations"][1]


# -------------------------------------------------------------------------------- resuming


def test_a_sweep_that_was_stopped_goes_on_where_it_was(spec: Path) -> None:
    first: list[Task] = []
    with pytest.raises(KeyboardInterrupt):
        swept(spec, first, most=3)
    assert not spec.with_suffix(".parquet").exists()
    assert len(results(spec)) == len(first) == 3
    second: list[Task] = []
    outcome = swept(spec, second)
    assert (outcome.cells, outcome.ran, outcome.reused) == (CELLS, CELLS - 3, 3)
    assert not {task.key for task in first} & {task.key for task in second}
    assert len({record["key"] for record in results(spec)}) == len(results(spec)) == CELLS
    assert outcome.table.drop("seconds", "load_seconds").equals(
        swept_anew(spec).drop("seconds", "load_seconds")
    )
    assert sorted(path.name for path in spec.parent.iterdir()) == [
        "busy.toml", "fleet", "sweep.parquet", "sweep.parquet.journal", "sweep.toml"
    ]  # fmt: skip


def swept_anew(spec: Path) -> pl.DataFrame:
    out = spec.parent / "fleet" / "anew"
    return sweep(read_spec(spec), out, run=here([])).table


def test_a_changed_spec_runs_only_what_is_new(spec: Path) -> None:
    swept(spec)
    spec.write_text(SPEC.replace("seeds = [1, 2]", "seeds = [2, 3]"))
    again: list[Task] = []
    outcome = swept(spec, again)
    assert [(task.source.name, task.seed) for task in again] == [("busy.toml", 3)] * 2
    assert outcome.table["seed"].unique().drop_nulls().sort().to_list() == [2, 3]


def test_results_are_tied_to_what_a_trace_holds_not_to_its_name(spec: Path) -> None:
    swept(spec)
    fleet = spec.parent / "fleet"
    (fleet / "a.parquet").rename(fleet / "z.parquet")
    again: list[Task] = []
    outcome = swept(spec, again)
    assert not again
    assert "fleet/z.parquet" in outcome.table["source"].to_list()

    write_parquet(trace_of(*filling_depot(4)), fleet / "z.parquet")
    outcome = swept(spec, again)
    assert {task.source.name for task in again} == {"fleet/z.parquet"}
    allocations = outcome.table.filter(source="fleet/z.parquet")["allocations"].to_list()
    assert allocations == [127 * 5 + 1] * 2


def test_prices_a_workload_and_a_user_s_code_are_part_of_what_identifies_a_cell(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(spec.parent)
    code = "class Nothing:\n    def look(self, view):\n        return None\n"
    module = spec.parent / "sweep_nothing.py"
    module.write_text(code)
    spec.write_text(SPEC + '[[design]]\ndesign = "sweep_nothing:Nothing"\n')
    swept(spec)
    again: list[Task] = []
    module.write_text(code + "# changed\n")
    swept(spec, again)
    assert [task.design for task in again] == ["sweep_nothing:Nothing"] * 4
    (spec.parent / "busy.toml").write_text(
        (spec.parent / "busy.toml").read_text().replace("depth = 64", "depth = 65")
    )
    again.clear()
    swept(spec, again)
    assert {task.source.name for task in again} == {"busy.toml"}


def test_the_order_of_a_design_s_parameters_does_not_matter(spec: Path) -> None:
    design = '[[design]]\ndesign = "linux-6.12,{}"\n'
    source = '[[source]]\nsource = "fleet/a.parquet"\n'
    spec.write_text(source + design.format("batch=2,threshold=1"))
    swept(spec)
    spec.write_text(source + design.format("threshold=1,batch=2"))
    assert swept(spec).ran == 0


def test_what_any_design_may_be_given_tells_cells_apart(spec: Path) -> None:
    spec.write_text(
        '[[source]]\nsource = "fleet/a.parquet"\n'
        '[[design]]\ndesign = "linux-6.12"\nvary.magazine = [31, 127]\n'
    )
    outcome = swept(spec)
    assert (outcome.distinct, outcome.table["param.magazine"].to_list()) == (2, [31, 127])
    assert outcome.table["magazines_peak"].n_unique() == 2


def test_copies_of_a_trace_run_once_and_have_a_row_each(spec: Path) -> None:
    fleet = spec.parent / "fleet"
    (fleet / "c.parquet").write_bytes((fleet / "a.parquet").read_bytes())
    outcome = swept(spec)
    assert (outcome.cells, outcome.distinct, outcome.ran) == (CELLS + 2, CELLS, CELLS)
    copies = [outcome.table.filter(source=f"fleet/{name}.parquet") for name in "ac"]
    assert copies[0].drop("source").equals(copies[1].drop("source"))


# --------------------------------------------------------------------------------- journal


def test_a_line_that_was_torn_is_run_again_and_the_file_stays_readable(spec: Path) -> None:
    swept(spec)
    text = journal(spec).read_bytes()
    journal(spec).write_bytes(text[:-20])
    again: list[Task] = []
    outcome = swept(spec, again)
    assert len(again) == 1
    assert outcome.broken_lines == 0
    assert len(results(spec)) == CELLS


def test_lines_that_are_no_results_are_counted_and_left_alone(spec: Path) -> None:
    swept(spec)
    broken = [
        b"nonsense", b"[]", b'{"key": 1, "metrics": {}}', b'{"key": "k", "metrics": {"a": "b"}}',
        b'{"key": "k", "metrics": {"a": NaN}, "seconds": 1, "load_seconds": 1}',
        b'{"file": "x", "size": "y", "mtime_ns": 1, "sha256": "z"}', b"\xff\xfe", b"[" * 100_000,
    ]  # fmt: skip
    text = journal(spec).read_bytes()
    head, rest = text.split(b"\n", 1)
    journal(spec).write_bytes(b"\n".join([head, *broken, rest]))
    outcome = swept(spec)
    assert (outcome.ran, outcome.broken_lines) == (0, len(broken))


def test_a_file_that_is_no_journal_is_refused(spec: Path) -> None:
    own = b"The diary of somebody\n\nMonday: no line end here"
    for text in (own, own[:-30], b"\n", b"x" * (1 << 20) + b"y", HEADER[:-1] + b" \n"):
        journal(spec).write_bytes(text)
        with pytest.raises(InputError, match=r"is no journal of a sweep\. Name another OUT"):
            swept(spec)
        assert journal(spec).read_bytes() == text
    journal(spec).unlink()
    os.mkfifo(journal(spec))
    with pytest.raises(InputError, match="is no journal of a sweep"):
        swept(spec)


@pytest.mark.parametrize("length", [0, 1, len(HEADER) - 1, len(HEADER)])
def test_a_journal_that_ended_within_its_first_line_is_begun_anew(spec: Path, length: int) -> None:
    journal(spec).write_bytes(HEADER[:length])
    assert swept(spec).ran == CELLS
    assert journal(spec).read_bytes().startswith(HEADER + b"{")
    assert swept(spec).ran == 0


def test_a_journal_of_another_sweep_is_gone_on_with_and_its_results_stay(spec: Path) -> None:
    swept(spec)
    mine = spec.read_text()
    spec.write_text('[[source]]\nsource = "fleet/a.parquet"\n[[design]]\ndesign = "linux-7.3"\n')
    outcome = swept(spec)
    assert (outcome.cells, outcome.ran, outcome.reused, outcome.table.height) == (1, 1, 0, 1)
    spec.write_text(mine)
    assert swept(spec).ran == 0


def test_where_the_journal_can_not_grow_one_sentence_says_so_and_the_rest_is_kept(
    spec: Path,
) -> None:
    """A limit on the size of files is met as a full disk is: in the middle of a line."""
    program = (
        "import resource, sys\n"
        "from iova.cli import run\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, "sweep", spec.name, "--jobs", "1"]
    done = subprocess.run(command, cwd=spec.parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == (
        "iova: sweep.parquet.journal: cannot be written: File too large. What was done until then"
        " is kept: make room, and the same command goes on.\n"
    )
    assert not spec.with_suffix(".parquet").exists()
    assert not journal(spec).read_bytes().endswith(b"\n")
    kept = len(results_in(journal(spec).read_bytes().rpartition(b"\n")[0]))
    assert 0 < kept < CELLS
    outcome = swept(spec)
    assert (outcome.ran, outcome.reused, outcome.broken_lines) == (CELLS - kept, kept, 0)


def test_what_can_not_be_written_is_told_before_anything_runs(spec: Path) -> None:
    again: list[Task] = []
    with pytest.raises(InputError, match="is not a file: it cannot be replaced by one"):
        sweep(read_spec(spec), spec.parent / "fleet", run=here(again))
    (spec.parent / "o.parquet.journal").mkdir()
    with pytest.raises(InputError, match="cannot be written: Is a directory"):
        sweep(read_spec(spec), spec.parent / "o.parquet", run=here(again))
    assert not again


def test_two_sweeps_do_not_write_one_journal(spec: Path) -> None:
    with Journal(journal(spec)), pytest.raises(InputError, match="in use by another sweep"):
        swept(spec)
    swept(spec)


# -------------------------------------------------------------------------------- failing


def test_a_failed_cell_is_in_the_table_and_is_tried_again(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.parent)
    (spec.parent / "sweep_moody.py").write_text(
        "from pathlib import Path\n"
        "class Moody:\n"
        "    arm_delay_ns = 1\n"
        "    def look(self, view):\n"
        "        if not Path('mended').exists():\n"
        "            raise ValueError('out of sorts')\n"
    )
    spec.write_text(SPEC + '[[design]]\ndesign = "sweep_moody:Moody"\n')
    outcome = swept(spec)
    assert len(outcome.failures) == 4
    bad = outcome.table.filter(pl.col("error").is_not_null())
    assert bad["design"].unique().to_list() == ["sweep_moody:Moody"]
    assert all("ValueError: out of sorts" in error for error in bad["error"])
    assert bad["cached_percent"].null_count() == bad.height == 4
    assert outcome.table["cached_percent"].null_count() == 4
    (spec.parent / "mended").touch()
    again: list[Task] = []
    outcome = swept(spec, again)
    assert len(again) == 4
    assert not outcome.failures
    assert outcome.table["error"].null_count() == outcome.cells


def test_a_trace_that_is_none_fails_alone(spec: Path) -> None:
    (spec.parent / "fleet" / "c.parquet").write_bytes(b"PAR1 and nothing else")
    spec.write_text(
        SPEC + '[[source]]\nsource = "gone.parquet"\n' + '[[source]]\nsource = "lost.parquet"\n'
    )
    outcome = swept(spec)
    told = {one.cell.source.name: one.error for one in outcome.failures}
    assert set(told) == {"fleet/c.parquet", "gone.parquet", "lost.parquet"}
    for name in ("gone.parquet", "lost.parquet"):
        assert told[name].startswith(f"{name}: cannot be read: No such file")
    assert outcome.table["error"].null_count() == CELLS
    assert (outcome.ran, outcome.reused) == (CELLS + 2, 0)


def test_a_sweep_without_any_readable_source_is_an_error(spec: Path) -> None:
    spec.write_text('[[source]]\nsource = "gone"\n[[design]]\ndesign = "unbounded"\n')
    with pytest.raises(IovaError, match="nothing can be run; gone: cannot be read"):
        swept(spec)


def test_a_trace_that_changes_while_the_sweep_runs_fails(spec: Path) -> None:
    counted: list[Task] = []

    def run(tasks):  # type: ignore[no-untyped-def]
        write_parquet(trace_of(*filling_depot(6)), spec.parent / "fleet" / "a.parquet")
        yield from here(counted)(tasks)

    outcome = sweep(read_spec(spec), spec.with_suffix(".parquet"), run=run)
    assert [one.cell.source.name for one in outcome.failures] == ["fleet/a.parquet"] * 2
    assert "has changed since the sweep began" in outcome.failures[0].error


def test_a_worker_of_another_version_says_so(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iova.lab.sweep_work._core.VERSION", "0.0.1", raising=True)
    read = read_spec(spec)
    tasks: list[Task] = []

    def run(todo):  # type: ignore[no-untyped-def]
        monkeypatch.undo()
        yield from here(tasks)(todo)

    outcome = sweep(read, spec.with_suffix(".parquet"), run=run)
    assert len(outcome.failures) == CELLS
    assert "the sweep 0.0.1: install the same" in outcome.failures[0].error
