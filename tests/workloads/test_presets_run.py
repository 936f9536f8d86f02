"""Each preset on the simulated machine, shortened: it runs, and shows what it is named for."""

import pytest

from iova.designs import parse_design
from iova.lab.machine import MachineResult, simulate
from iova.lab.prices import load_prices
from iova.workloads import load_workload, presets

#: Simulated seconds that are enough; one second or the preset's own, whichever is shorter, else.
SHORT = {
    "ageing": 0.418,
    "nvme-384": 0.1,
    "sas-256": 0.1,
    "scsi-256": 0.3,
    "nic-rx": 0.3,
    "migrate": 0.5,
    "mixed-sizes": 0.5,
    "neighbour-32bit": 0.5,
    "idle-domains": 0.1,
    "slow-ageing": 2.0,  # its submitters begin with a pause
    "rebind": 1.2,  # twice
}
#: Requests that fail belong to what these show: 4 GiB are not enough for all.
CROWDED = {"crowded-4g"}


def run(name: str, *settings: str, design: str = "linux-6.12") -> MachineResult:
    short = f"duration_s={SHORT.get(name, 1.0)}"
    return simulate(load_workload(name, [short, *settings]), parse_design(design), load_prices())


@pytest.mark.parametrize("name", [preset.name for preset in presets()])
def test_every_preset_runs_and_nothing_fails(name: str) -> None:
    result = run(name)
    assert result.totals["now"] == SHORT.get(name, 1.0) * 1e12
    assert result.totals["requests"] > 1000
    assert (result.totals["failed"] > 0) == (name in CROWDED)
    assert 0 < result.utilisation < 0.5


def test_a_small_board_hardly_pushes_anything_into_a_depot() -> None:
    board, scsi = run("board-4").replay, run("scsi-256").replay
    assert board.count("pushed") * 5000 < board.totals["frees"]
    assert scsi.count("pushed") * 200 > scsi.totals["frees"]


def test_no_more_is_in_flight_than_the_controller_takes() -> None:
    assert run("scsi-256").replay.totals["live_ranges_peak"] == 4096


def test_a_queue_per_cpu_leaves_the_depot_alone_but_for_the_flush_timer() -> None:
    strict = run("nvme-384", "mode=strict").replay
    lazy = run("nvme-384").replay
    assert strict.count("pushed") * 20 < lazy.count("pushed")


def test_a_ring_of_receive_buffers_stays_mapped() -> None:
    totals = run("nic-rx").replay.totals
    assert 16 * 1024 <= totals["live_ranges_peak"] < 16 * 1024 + 32 * 8 + 32 * 255


def test_bursts_leave_quiet_in_which_reclaim_works() -> None:
    reclaiming, keeping = run("burst"), run("burst", design="unbounded")
    assert reclaiming.replay.count("reclaimed") > keeping.replay.count("reclaimed") == 0
    assert reclaiming.replay.count("tree_allocations") > keeping.replay.count("tree_allocations")


def test_moving_submitters_leave_filled_caches_behind() -> None:
    moving, staying = run("migrate").replay, run("migrate", "migrate_ms=0").replay
    assert moving.cached_pages_mean > 1.5 * staying.cached_pages_mean


def test_large_requests_are_beyond_the_caches() -> None:
    result = run("mixed-sizes").replay
    beyond = result.beyond["tree_allocations"]
    assert 0.14 < beyond / result.allocations < 0.16


def test_the_space_below_4_gib_runs_out_beside_a_busy_neighbour() -> None:
    always = run("neighbour-32bit")
    once = run("neighbour-32bit", "flow.drive.limit_rule=32-until-failure")
    assert once.replay.count("failures") >= 1
    assert always.replay.count("failures") > 100 * once.replay.count("failures")


def test_pauses_of_ageing_drain_the_flush_queues() -> None:
    result = run("ageing")
    assert result.totals["queued"] == 0
    assert result.totals["queued_peak"] > 2000
    assert result.replay.totals["cached_pages"] > 100 * (result.replay.totals["live_pages"] + 1)


def test_idle_domains_cost_what_they_start_with() -> None:
    assert run("idle-domains").replay.totals["magazines_peak"] >= 159 * 2 * 6 * 128
    later = run("idle-domains", design="linux-7.3").replay.totals["magazines_peak"]
    assert later < 2000


def test_a_domain_is_renewed_twice_a_second() -> None:
    result = run("rebind")
    assert result.totals["rebinds"] == 2
    assert result.replay.totals["domains"] == 2 + 2


def test_stalled_flushes_lose_whole_rings_unless_the_rule_covers_them() -> None:
    linux = run("stalled-flush").totals
    assert linux["lost"] == 256 * linux["flushed_in_vain"] > 0
    assert run("stalled-flush", "queue_rule=covered").totals["lost"] == 0
    assert run("stalled-flush", "stall_every=0").totals["lost"] == 0
