"""Random machines of every kind: what must hold whatever the workload is.

``--seed N`` runs the machine of one seed alone and prints its configuration.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt

from iova import _core
from iova.events import NO_SLOT, Flag, Op
from machines import MS, NS, US, constant, domain, events_of, finish, flow, machine, uniform

Columns = dict[str, npt.NDArray[Any]]

SEEDS = range(60)
UNTIL = 12 * MS
DESIGNS = ("linux-6.1", "unbounded", "linux-6.12", "linux-7.3")


# --------------------------------------------------------------------- random machines


def random_domain(r: random.Random) -> dict[str, Any]:
    made = domain(granule=r.choice([4096, 4096, 1024]), start_pfn=r.choice([1, 1, 16]))
    if r.random() < 0.5:
        made |= {
            "lazy": True,
            "single_ring": r.random() < 0.3,
            "queue_rule": r.randrange(2),
            "flush": r.choice([0, 1 * US, 20 * US, 300 * US]),
        }
        if r.random() < 0.3:
            made |= {"stall_every": r.choice([1, 3, 50]), "stall": r.choice([1 * MS, 5 * MS])}
    if r.random() < 0.4:
        nearly_all_32 = (64, (1 << 32) // made["granule"] - 1)
        made["reserved"] = [r.choice([(0xFEE00, 0xFEEFF), nearly_all_32])]
    return made


def random_flow(r: random.Random, cpus: int, domains: int) -> dict[str, Any]:
    submit = r.choice([range(cpus), [r.randrange(cpus)], r.sample(range(cpus), (cpus + 1) // 2)])
    complete = r.choice([range(cpus), [r.randrange(cpus)], range(0, cpus, max(1, cpus // 4))])
    first = r.randrange(domains)
    mixed = [(1, 5), (3, 2), (8, 1), (64, 1)]
    return flow(
        submit,
        complete_cpus=complete,
        submitters=r.choice([1, len(submit), 2 * len(submit)]),
        depth=r.choice([1, 2, 16, 100]),
        domain=first,
        domains=r.randint(1, domains - first),
        in_flight=r.choice([0, 0, 1, 5, 64]),
        resubmit_there=r.random() < 0.3,
        think=r.choice([constant(5 * US), uniform(0, 50 * US), uniform(0, 1 * MS)]),
        latency=r.choice([None, constant(10 * US), uniform(1 * US, 400 * US)]),
        service=r.choice([0, 0, 500 * NS]),
        submit_work=r.choice([0, 300 * NS]),
        complete_work=r.choice([0, 1 * US]),
        sizes=r.choice([[(1, 1)], mixed, [(256, 1)], [(1, 0), (32, 1)], [(33, 1), (32, 1)]]),
        limit=r.choice([0xFFFFF, 2**36 - 1, 2000]),
        limit_rule=r.randrange(3),
        on=1 * MS,
        off=r.choice([0, 2 * MS]),
        migrate=r.choice([0, 0, 100 * US]),
        start=r.choice([0, 0, 2 * MS]),
        leak_every=r.choice([0, 0, 0, 50]),
        wrong_every=r.choice([0, 0, 0, 20]),
        wrong_pages=r.choice([1, 4, 40]),
    )


def random_options(seed: int) -> dict[str, Any]:
    """What a random machine is made of; ``flows`` among it."""
    r = random.Random(seed)
    cpus = r.choice([1, 2, 3, 4, 8, 16, 64])
    domains = [random_domain(r) for _ in range(r.choice([1, 1, 2, 4]))]
    flows = [random_flow(r, cpus, len(domains)) for _ in range(r.choice([1, 1, 2, 3]))]
    if len(flows) == 1 and r.random() < 0.3:
        flows[0]["rebind"] = r.choice([1 * MS, 5 * MS])
    return {
        "flows": flows,
        "domains": domains,
        "cpus": cpus,
        "cpus_per_node": r.choice([1, 2, 64]),
        "design": r.choice(DESIGNS),
        "indexed": r.random() < 0.3,
        "seed": seed,
    }


def made(options: dict[str, Any]) -> _core.Machine:
    others = {name: value for name, value in options.items() if name != "flows"}
    return machine(*options["flows"], **others)


# ---------------------------------------------------------------------------- invariants


def check_totals(run: _core.Machine, options: dict[str, Any]) -> None:
    totals, replay = run.totals(), run.replay_totals()
    counters = [run.counters(k) for k in (*range(6), _core.BEYOND_CLASSES)]
    served = ("hits_loaded", "hits_previous", "hits_depot", "tree_allocations")
    assert sum(c[name] for c in counters for name in served) == (
        replay["allocations"] - replay["failed"]
    )
    for lock in totals["lock"].values():
        assert lock["waited"] <= lock["taken"]
        assert lock["wait_longest"] <= lock["wait"]
        assert lock["held_longest"] <= lock["held"]
    assert sum(totals["cpu"].values()) <= totals["busy"] + options["cpus"] * 10 * MS
    if any("rebind" in one for one in options["flows"]):
        return
    lanes = sum(one["submitters"] * one["depth"] for one in options["flows"])
    held_back = totals["queued"] + totals["lost"] + totals["leaked"]
    assert replay["live_ranges"] == replay["allocations"] - replay["failed"] - replay["frees"]
    assert held_back <= replay["live_ranges"] <= held_back + lanes + options["cpus"]


def check_events(columns: Columns, cpus: int) -> None:
    assert len(np.unique(columns["seq"])) == len(columns["seq"])
    assert (np.diff(columns["t"]) >= 0).all()
    assert (columns["t_end"] >= columns["t"]).all()
    # Both tries of an allocation have the times of the whole call: one of them is enough.
    calls = np.isin(columns["op"], (int(Op.ALLOC), int(Op.FREE)))
    calls &= columns["flags"] & int(Flag.ONLY_IF_PREVIOUS_FAILED) == 0
    for cpu in range(cpus):
        here = calls & (columns["cpu"] == cpu)
        assert (columns["t"][here][1:] >= columns["t_end"][here][:-1]).all(), f"CPU {cpu}"


def origins_of(columns: Columns, domains: int) -> list[int]:
    """Which of the first domains each one took the place of."""
    origins, ended = list(range(domains)), -1
    for row in np.flatnonzero(np.isin(columns["op"], (int(Op.CREATE), int(Op.DESTROY)))):
        number = int(columns["domain"][row])
        if columns["op"][row] == int(Op.DESTROY):
            ended = number
        elif number == len(origins):
            origins.append(origins[ended])
    return origins


def replayed(columns: Columns, options: dict[str, Any]) -> npt.NDArray[np.uint64]:
    """What a replay of the events hands out, row by row."""
    kinds = [options["domains"][i] for i in origins_of(columns, len(options["domains"]))]
    replay = _core.Replay(
        [_core.Design(options["design"]) for _ in kinds],
        [(kind["granule"], kind["start_pfn"]) for kind in kinds],
        possible=options["cpus"],
        count_steps=False,
    )
    slots = columns["slot"].copy()
    named = slots != NO_SLOT
    values, first, inverse = np.unique(slots[named], return_index=True, return_inverse=True)
    rank = np.empty(len(values), dtype=np.uint32)
    rank[np.argsort(first)] = np.arange(len(values), dtype=np.uint32)
    slots[named] = rank[inverse]
    result = np.zeros(len(slots), dtype=np.uint64)
    replay.feed(columns | {"slot": slots, "n": np.zeros(len(slots), dtype=np.uint32)}, result)
    assert replay.totals()["skipped_frees"] == 0
    return result


def all_ended(columns: Columns, later: Columns) -> Columns:
    """The events up to the first call that a longer run shows to have been under way at the end."""
    begun = later["t"] <= UNTIL // NS
    missing = np.setdiff1d(later["seq"][begun], columns["seq"])
    kept = columns["seq"] < (missing.min() if len(missing) else np.iinfo(np.uint64).max)
    return {name: column[kept] for name, column in columns.items()}


def test_what_must_hold_for_every_machine(chosen_seed: int | None) -> None:
    allocations = 0
    for seed in SEEDS if chosen_seed is None else [chosen_seed]:
        options = random_options(seed)
        if chosen_seed is not None:
            print(options)
        try:
            allocations += check(options)
        except Exception as error:
            raise AssertionError(f"the machine of --seed {seed}: {error}") from error
    assert chosen_seed is not None or allocations > 100_000


def check(options: dict[str, Any]) -> int:
    """Run a machine in several ways; allocations whose address a replay found too."""
    plain, observed = finish(made(options), UNTIL), made(options)
    columns = events_of(observed, UNTIL)
    assert observed.totals() == plain.totals(), "events make a difference"
    check_totals(plain, options)
    check_events(columns, options["cpus"])
    columns = all_ended(columns, events_of(made(options), 3 * UNTIL))
    allocs = columns["op"] == int(Op.ALLOC)
    wrong = np.flatnonzero(replayed(columns, options)[allocs] != columns["pfn"][allocs])
    assert not len(wrong), f"{len(wrong)} addresses differ in a replay, from number {wrong[0]}"
    return int(allocs.sum())
