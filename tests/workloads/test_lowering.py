import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_workload import SMALL, parsed, with_line

from iova.workloads import DomainGroup, Flow, MachineShape, Workload, duration_ps, lower, model

HEADER = Path(__file__).parents[2] / "core" / "machine.h"


def test_the_machine_and_the_seed() -> None:
    lowered = lower(parsed(SMALL, "cpus_online=7", "cpus_per_node=4", "seed=5"), first_32=False)
    numbers = {key: value for key, value in lowered.items() if key not in ("domains", "flows")}
    assert numbers == {
        "cpus_possible": 8,
        "cpus_online": 7,
        "cpus_per_node": 4,
        "classes": 6,
        "seed": 5,
    }
    assert lower(parsed(), seed=9, first_32=False)["seed"] == 9
    assert lower(parsed(), first_32=False)["cpus_per_node"] == 8
    assert duration_ps(parsed()) == 500_000_000_000


def test_domains_of_a_group_are_numbered_one_after_the_other() -> None:
    lowered = lower(parsed(SMALL, "flow.write.domain=spare"), first_32=False)
    assert [domain["lazy"] for domain in lowered["domains"]] == [True, False, False, False]
    assert [(flow["domain"], flow["domains"]) for flow in lowered["flows"]] == [(0, 1), (1, 3)]


def test_a_domain_in_full() -> None:
    text = with_line(
        "\n".join(
            [
                'reserved = [["0xfee00", "0xfeeff"], [0, 9]]',
                'queue = "single"',
                'queue_rule = "covered"',
                "granule = 16384",
                "start = 7",
                "flush_us = 0.5",
                "stall_every = 3",
                "stall_ms = 1.5",
            ]
        ),
        after='mode = "lazy"',
    )
    domain = lower(parsed(text), first_32=False)["domains"][0]
    reserved = domain.pop("reserved")
    assert (reserved.dtype, reserved.tolist()) == (np.uint64, [[0xFEE00, 0xFEEFF], [0, 9]])
    assert domain == {
        "granule": 16384,
        "start_pfn": 7,
        "lazy": True,
        "single_ring": True,
        "queue_rule": 1,
        "flush": 500_000,
        "stall_every": 3,
        "stall": 1_500_000_000,
    }
    assert lower(parsed(), first_32=False)["domains"][0]["reserved"].shape == (0, 2)


def test_a_flow_in_full() -> None:
    values = {
        "depth": 4,
        "in_flight": 5,
        "device_miops": 2.0,
        "submit_work_us": 0.25,
        "complete_work_us": 3,
        "on_ms": 1,
        "off_ms": 2,
        "migrate_ms": 3,
        "rebind_ms": 4,
        "start_ms": 5,
        "leak_every": 6,
        "wrong_size_every": 7,
        "wrong_size_pages": 8,
        "resubmit": "completion",
        "submitters": 3,
    }
    settings = [f"flow.write.{key}={value}" for key, value in values.items()]
    settings.append("flow.read.domain=spare")  # a domain that is renewed has one flow
    flow = lower(parsed(SMALL, *settings), first_32=False)["flows"][1]
    arrays = {key: flow.pop(key) for key in ("submit_cpus", "complete_cpus", "sizes")}
    assert flow == {
        "domain": 0,
        "domains": 1,
        "submitters": 3,
        "depth": 4,
        "in_flight": 5,
        "resubmit_there": True,
        "think": None,
        "latency": None,
        "service": 500_000,
        "submit_work": 250_000,
        "complete_work": 3_000_000,
        "limit": (1 << 36) - 1,
        "limit_rule": 2,
        "on": 10**9,
        "off": 2 * 10**9,
        "migrate": 3 * 10**9,
        "rebind": 4 * 10**9,
        "start": 5 * 10**9,
        "leak_every": 6,
        "wrong_every": 7,
        "wrong_pages": 8,
    }
    assert arrays["submit_cpus"].dtype == arrays["complete_cpus"].dtype == np.uint16
    assert arrays["submit_cpus"].tolist() == list(range(8))
    assert arrays["complete_cpus"].tolist() == [6]
    assert (arrays["sizes"].dtype, arrays["sizes"].tolist()) == (np.uint64, [[1, 3], [8, 1]])


def test_times_become_tables() -> None:
    read, write = lower(parsed(), first_32=False)["flows"]
    assert read["latency"].shape == (1025,)
    assert read["think"] is None
    assert write["latency"] is None


def test_what_is_above_zero_stays_so() -> None:
    flow = lower(parsed(SMALL, "start_ms=1e-12", "device_miops=1e-9"), first_32=False)["flows"][0]
    assert flow["start"] == 1
    assert flow["service"] == 10**15


@pytest.mark.parametrize(
    ("rule", "bits", "until_failure", "always"),
    [
        ("by-design", 48, 2, 1),
        ("by-design", 33, 2, 1),
        ("by-design", 32, 0, 0),
        ("plain", 48, 0, 0),
        ("32-always", 48, 1, 1),
        ("32-always", 32, 0, 0),
        ("32-until-failure", 48, 2, 2),
        ("32-until-failure", 24, 0, 0),
    ],
)
def test_the_rule_of_the_limit(rule: str, bits: int, until_failure: int, always: int) -> None:
    workload = parsed(SMALL, f"limit_rule={rule}", f"limit_bits={bits}")
    for first_32, expected in ((False, until_failure), (True, always)):
        flow = lower(workload, first_32=first_32)["flows"][0]
        assert flow["limit_rule"] == expected
        assert flow["limit"] == (1 << bits) // 4096 - 1


@pytest.mark.parametrize(("bits", "granule"), [(64, 1), (16, 65536), (32, 65536)])
def test_limits_fit_a_pfn(bits: int, granule: int) -> None:
    workload = parsed(SMALL, f"limit_bits={bits}", f"granule={granule}")
    limit = lower(workload, first_32=False)["flows"][0]["limit"]
    assert limit == min((1 << bits) // granule - 1, (1 << 63) - 1)


def test_numbers_of_rules_are_those_of_the_machine() -> None:
    header = HEADER.read_text()
    limits = re.findall(r"MACHINE_LIMIT_(\w+),", header.partition("enum machine_limit {")[2])
    assert limits[:3] == ["PLAIN", "32_ALWAYS", "32_UNTIL_FAILURE"]
    queues = re.findall(r"MACHINE_QUEUE_(\w+),", header.partition("enum machine_queue_rule {")[2])
    assert queues[:2] == ["LINUX", "COVERED"]


@pytest.mark.parametrize("name", ["CPUS", "LANES", "FLOWS", "SIZES", "DOMAINS", "RESERVED"])
def test_bounds_are_those_of_the_machine(name: str) -> None:
    found = re.search(rf"#define MACHINE_MAX_{name} \(?(\d+)u(?: << (\d+))?", HEADER.read_text())
    assert found
    assert getattr(model, f"MAX_{name}") == int(found[1]) << int(found[2] or 0)


def test_a_workload_made_in_python_lowers_as_well() -> None:
    workload = Workload(
        name="mine",
        duration_s=1,
        machine=MachineShape(cpus=2),
        domains=(DomainGroup("d"),),
        flows=(Flow("f", domain="d", submit_cpus="1", latency_us=3),),
    )
    lowered = lower(workload, first_32=True)
    assert lowered["flows"][0]["submit_cpus"].tolist() == [1]
    wider = replace(workload, machine=MachineShape(cpus=4))
    assert lower(wider, first_32=True)["flows"][0]["complete_cpus"].tolist() == [0, 1, 2, 3]
