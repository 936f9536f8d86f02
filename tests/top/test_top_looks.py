"""What `iova top` counts and estimates, against the allocator itself and a live process."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from iova import Domain, samples
from iova.designs import parse_design
from iova.errors import InputError
from iova.events import DomainInfo, Op, Trace
from iova.lab.replay import prepare
from iova.metrics import serve
from iova.sources import load
from iova.top.endpoint import Endpoint
from iova.top.look import BEYOND, Cell, Key, Look
from iova.top.playback import Recorded, Replayed, tells_inside
from iova.top.rates import rates_between
from tables import alloc, filling_depot, free, row, trace_of

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def burst() -> Trace:
    return load(samples.resolve("burst8-6.12")).trace


def summed(look: Look | None, name: str) -> int:
    assert look is not None
    return sum(getattr(cell, name) or 0 for cell in look.cells.values())


# ------------------------------------------------------------------------- played back


def test_what_cpus_hold_is_estimated_as_the_allocator_has_it(burst: Trace) -> None:
    """The recorded kernel is predicted call for call, so its caches are known, too.

    A magazine that has just moved is seen in the depot's length by the next call only.
    """
    recorded = Recorded("burst", burst, 20.0)
    replayed = Replayed("burst", burst, parse_design("linux-6.12"), 20.0)
    for moment in range(14):
        seen, exact = (source.look(1.0 if moment else 0.0) for source in (recorded, replayed))
        for name in ("allocs", "frees"):
            assert summed(seen, name) == summed(exact, name)
        assert abs(summed(seen, "in_cpus") - summed(exact, "in_cpus")) <= 127 + 8
        assert abs(summed(seen, "depot") - summed(exact, "depot")) <= 1
        assert abs(summed(seen, "reclaimed") - summed(exact, "reclaimed")) <= 3


def test_a_trace_is_played_to_its_last_call_and_then_ends(burst: Trace) -> None:
    recorded = Recorded("burst", burst, 1e6)
    recorded.look(0.0)
    last = recorded.look(1.0)
    allocs = burst.events.filter(
        (burst.events["op"] == Op.ALLOC) & burst.events["pfn"].is_not_null()
    )
    assert summed(last, "allocs") == allocs.height
    assert summed(last, "frees") == int((burst.events["op"] == Op.FREE).sum())
    assert recorded.look(1.0) is None


def test_what_a_trace_lost_is_told_as_recorded_and_under_a_design() -> None:
    trace = trace_of(*filling_depot(1), lost_events=7)
    for source in (Recorded("t", trace, 1.0), Replayed("t", trace, parse_design("linux-6.12"), 1)):
        first, second = source.look(0.0), source.look(1.0)
        assert first is not None
        assert second is not None
        assert rates_between(first, second).to_json()["lost"] == 7


def test_times_count_from_the_first_event_as_those_of_compare_do(burst: Trace) -> None:
    span_s = prepare(burst).span_ns / 1e9
    for source in (
        Recorded("burst", burst, 1.0),
        Replayed("burst", burst, parse_design("linux-6.12"), 1.0),
    ):
        first, last = source.look(0.0), source.look(1e6)
        assert first is not None
        assert last is not None
        assert 35 < first.t_s < 36  # its first call, after its domains were made
        assert last.t_s == pytest.approx(span_s)


def test_a_domain_is_called_by_its_device_if_it_alone_has_it() -> None:
    trace = trace_of(
        *(
            alloc(i, i, domain=number, pfn=100 + i)
            for i, number in enumerate((0, 1, 2, 3), start=0)
        ),
        domains=(
            DomainInfo(0, device="0000:00:04.0"),
            DomainInfo(1, device="nic"),
            DomainInfo(2, device="nic"),
            DomainInfo(3, granule=65536),
        ),
    )
    look = Recorded("t", trace, 1.0).look(1.0)
    assert look is not None
    assert set(look.cells) == {
        Key("0000:00:04.0", 4096), Key("1", 4096), Key("2", 4096), Key("3", 65536),
    }  # fmt: skip


def test_a_size_belongs_to_the_class_that_has_room_for_it() -> None:
    sizes = (1, 2, 3, 8, 9, 32, 33, 4096)
    trace = trace_of(
        *(alloc(i, i, size=size, pfn=8192 * (i + 1)) for i, size in enumerate(sizes)),
        *(free(100 + i, i, size=size) for i, size in enumerate(sizes)),
    )
    for source in (Recorded("t", trace, 1.0), Replayed("t", trace, parse_design("linux-6.12"), 1)):
        look = source.look(1.0)
        assert look is not None
        assert {key.size: (cell.allocs, cell.frees) for key, cell in look.cells.items()} == {
            4096: (1, 1), 8192: (1, 1), 16384: (1, 1), 32768: (1, 1), 65536: (1, 1),
            131072: (1, 1), BEYOND: (2, 2),
        }  # fmt: skip


def test_a_depot_fills_under_a_design_as_calls_come() -> None:
    trace = trace_of(*filling_depot(3, gap_ns=SECOND // 400))
    assert not tells_inside(trace)
    source = Replayed("t", trace, parse_design("unbounded"), 1.0)
    depots = []
    look = source.look(0.0)
    while look is not None:
        depots.append(summed(look, "depot"))
        assert 0 <= summed(look, "in_cpus") <= 2 * 127
        last, look = look, source.look(0.5)
    assert depots == sorted(depots)
    assert depots[-1] == 3
    assert summed(last, "tree") == summed(last, "allocs") == 127 * 4 + 1


def test_a_worker_of_the_depot_is_seen_to_shorten_it() -> None:
    depot = [5, 0, 0, 0, 0, 0]
    trace = trace_of(
        alloc(0, 0, pfn=7, depot=depot),
        row(10, Op.RECLAIM, size=1, n=5),
        row(11, Op.MAGAZINE_FREE, n=127),
        row(20, Op.RECLAIM, size=1, n=4),
        alloc(30, 1, size=2, pfn=8),
        row(40, Op.TREE_ALLOC, size=1, limit=99, pfn=9, last=9),
    )
    look = Recorded("t", trace, 1.0).look(1.0)
    assert look is not None
    cell = look.cells[Key("0", 4096)]
    assert (cell.depot, cell.reclaimed) == (4, 1)


# ---------------------------------------------------------------------------- the rates


def test_rates_are_differences_a_second() -> None:
    key, large = Key("d", 4096), Key("d", BEYOND)
    before = Look(1.0, {key: Cell(10, 10, 5, 1, 3, 100)}, cpus=2)
    after = Look(3.0, {key: Cell(30, 14, 10, 2, 2, 254), large: Cell(4, 0, 4)}, cpus=2)
    rates = rates_between(before, after)
    first, second = rates.rows
    assert (first.allocs_s, first.frees_s, first.tree_percent) == (10.0, 2.0, 25.0)
    assert (first.depot, first.in_cpus, first.fill_percent, first.reclaimed_s) == (2, 254, 50, 0.5)
    assert (second.allocs_s, second.tree_percent, second.depot) == (2.0, 100.0, None)
    assert (rates.total.allocs_s, rates.total.tree_percent) == (12.0, 37.5)


def test_a_domain_that_was_made_anew_begins_at_nothing() -> None:
    key = Key("d", 4096)
    rates = rates_between(Look(0, {key: Cell(1000, 900, 7)}), Look(1, {key: Cell(5, 3, 2)}))
    assert (rates.total.allocs_s, rates.total.frees_s, rates.total.tree_percent) == (5, 3, 40)


def test_what_is_not_known_is_not_shown_as_nothing() -> None:
    rates = rates_between(Look(0, {}), Look(1, {Key("d", 4096): Cell(5, 3)}))
    told = rates.to_json()["total"]
    assert [name for name, value in told.items() if value is None] == [
        "tree_percent", "depot_magazines", "cpu_ranges", "cpu_fill_percent", "reclaimed_s",
    ]  # fmt: skip


# ------------------------------------------------------------------------- a live process


def test_a_live_process_is_watched_by_way_of_its_metrics() -> None:
    with serve(port=0) as server, Domain(name="ring") as domain:
        source_of = Endpoint(server.url)
        first = source_of.look(0.0)
        ranges = [domain.alloc(4096) for _ in range(500)]
        domain.alloc(1 << 20)
        for address in ranges:
            domain.free(address, 4096)
        second = source_of.look(1.0)
        assert first is not None
        assert second is not None
        cell = second.cells[Key("ring", 4096)]
        stats = domain.stats().classes[0]
        assert (cell.allocs, cell.frees, cell.depot) == (500, 500, stats.depot)
        assert cell.in_cpus == stats.cached - 127 * stats.depot
        assert second.cells[Key("ring", BEYOND)].allocs == 1
        assert rates_between(replace(first, t_s=0), replace(second, t_s=1)).total.allocs_s == 501
    with pytest.raises(InputError, match="does not answer"):
        source_of.look(1.0)


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>\x1b[2J</html>",
        b"python_info 1\n",
        b'iova_cached_ranges{domain="a"} 1\n',
        b'iova_cached_ranges{domain="a",size_bytes="x"} 1\n',
        b'iova_cached_ranges{domain="a",size_bytes="4096"} NaN\n',
        b'iova_cached_ranges{domain="a",size_bytes="4096"} +Inf\n',
        b"\xff\xfe{",
    ],
)
def test_what_answers_something_else_is_an_error_in_one_printable_sentence(content: bytes) -> None:
    with (
        answering(content) as url,
        pytest.raises(InputError, match="no text of Prometheus") as told,
    ):
        Endpoint(url)
    assert str(told.value).isprintable()


def test_an_answer_without_end_is_not_read_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iova.top.endpoint._MOST_BYTES", 1000)
    with answering(b"#" * 2000) as url, pytest.raises(InputError, match="answers with more"):
        Endpoint(url)
