"""Events a second of a replay on one core, beside libCacheSim's native LRU."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.figures import Report, Series, Verdict, at_least
from benchmarks.replay_table import Table, load_table
from iova import _core
from iova.events import Op

SAMPLE = "burst8-6.12"
DESIGNS = ("linux-6.12", "linux-6.1")
PEER = "libCacheSim LRU"
PEER_TUNED = "libCacheSim LRU, small table"
PEER_CSV = "libCacheSim LRU, small table, CSV"
PEERS = (PEER,)
#: Buckets of libCacheSim's hash table, as a power of two: its default is 24.
TUNED_HASHPOWER = 16

#: A run: the events it processed, in millions a second.
Run = Callable[[], float]


def measure(rounds: int, quick: bool) -> Report:
    """Run the benchmark; without libCacheSim the replays alone."""
    table = load_table(SAMPLE)
    times = 1 if quick else 4
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Run] = {name: _replay_run(table, name, times) for name in DESIGNS}
        runs["linux-6.12, steps not counted"] = _replay_run(
            table, "linux-6.12", times, count_steps=False
        )
        has_peer = importlib.util.find_spec("libcachesim") is not None
        if has_peer:
            runs |= _peer_runs(table, Path(folder), times)
        series = _interleave(runs, rounds)
    report = Report(f"replay: events of {SAMPLE}, repeated", series)
    if not has_peer:
        note = "libcachesim is not installed (PyPI); its ratios are missing"
        return Report(report.name, series, _verdicts(report, False), (note,))
    return Report(report.name, series, _verdicts(report, True))


def _interleave(runs: dict[str, Run], rounds: int) -> tuple[Series, ...]:
    values: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # pages touched, caches warm
    for _ in range(rounds):
        for name, run in runs.items():
            values[name].append(run())
    return tuple(Series("events", name, "M/s", tuple(v)) for name, v in values.items())


def _verdicts(report: Report, has_peer: bool) -> tuple[Verdict, ...]:
    ours = report.find("events", DESIGNS[0])
    found = [at_least("M events/s", ours.median, 60)]
    if has_peer:
        found += [
            at_least(f"{DESIGNS[0]} / {peer}", ours.over(report.find("events", peer)), 8)
            for peer in (PEER, PEER_TUNED, PEER_CSV)
        ]
    return tuple(found)


# ------------------------------------------------------------------------------- the contenders


def _replay_run(table: Table, design: str, times: int, *, count_steps: bool = True) -> Run:
    replay: _core.Replay = table.start(design, count_steps=count_steps)
    columns = {name: column.copy() for name, column in table.columns.items()}

    def run() -> float:
        took = 0.0
        for _ in range(times):
            began = time.perf_counter()
            replay.feed(columns)
            took += time.perf_counter() - began
            columns["t"] += table.period_ns
        return times * table.rows / took / 1e6

    return run


def _requests_of(table: Table) -> npt.NDArray[Any]:
    """The same allocations and frees in the layout of libCacheSim's binary traces.

    A request is for the range's address, of the range's size in pages.
    """
    op = table.columns["op"]
    wanted = (op == int(Op.ALLOC)) | (op == int(Op.FREE))
    columns = {name: column[wanted] for name, column in table.columns.items()}
    kind = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
    requests = np.zeros(len(columns["t"]), dtype=kind)
    requests["time"] = (columns["t"] - columns["t"][0]) // 1_000_000_000
    requests["id"] = columns["pfn"] + (columns["domain"].astype(np.uint64) << np.uint64(40)) + 1
    requests["size"] = np.maximum(columns["size"], 1)
    requests["next"] = -2
    return requests


def _peer_runs(table: Table, folder: Path, times: int) -> dict[str, Run]:
    """Make libCacheSim runs: on its binary format, with two sizes of its hash table, and on CSV.

    The cache holds as many pages as the trace's peak of live ones, so most requests hit.
    """
    requests = _requests_of(table)
    binary, text = folder / "trace.oracleGeneral", folder / "trace.csv"
    np.concatenate([requests] * times).tofile(binary)
    rows = pl.DataFrame({name: requests[name] for name in ("time", "id", "size")})
    rows.write_csv(text, include_header=False)
    capacity = _peak_live_pages(table)
    count = len(requests)
    return {
        PEER: _peer_run(lambda: _binary_reader(binary), capacity, times * count, None),
        PEER_TUNED: _peer_run(
            lambda: _binary_reader(binary), capacity, times * count, TUNED_HASHPOWER
        ),
        PEER_CSV: _peer_run(lambda: _csv_reader(text), capacity, count, TUNED_HASHPOWER),
    }


def _peak_live_pages(table: Table) -> int:
    replay = table.start("linux-6.12", count_steps=False)
    replay.feed(table.columns)
    return int(replay.totals()["live_pages_peak"])


def _binary_reader(path: Path) -> Any:
    lcs = importlib.import_module("libcachesim")
    options = lcs.ReaderInitParam(ignore_obj_size=False)
    kind = lcs.TraceType.ORACLE_GENERAL_TRACE
    return lcs.TraceReader(trace=str(path), trace_type=kind, reader_init_params=options)


def _csv_reader(path: Path) -> Any:
    lcs = importlib.import_module("libcachesim")
    options = lcs.ReaderInitParam(delimiter=",", has_header=False, has_header_set=True)
    options.time_field, options.obj_id_field, options.obj_size_field = 1, 2, 3
    kind = lcs.TraceType.CSV_TRACE
    return lcs.TraceReader(trace=str(path), trace_type=kind, reader_init_params=options)


def _peer_run(
    open_trace: Callable[[], Any], capacity: int, requests: int, hashpower: int | None
) -> Run:
    lcs = importlib.import_module("libcachesim")
    options = {} if hashpower is None else {"hashpower": hashpower}

    def run() -> float:
        reader = open_trace()
        cache = lcs.LRU(cache_size=capacity, **options)
        began = time.perf_counter()
        cache.process_trace(reader)
        return requests / (time.perf_counter() - began) / 1e6

    return run
