import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_workload import parsed

from iova.workloads import (
    Distribution,
    DomainGroup,
    Flow,
    MachineShape,
    Size,
    Workload,
    load_workload,
    presets,
    to_toml,
)

US = st.floats(0, 1e6) | st.integers(0, 10**6)
TIMES = US | st.one_of(
    st.builds(Distribution, st.just("constant"), median=US),
    st.builds(Distribution, st.just("exponential"), mean=US),
    st.builds(Distribution, st.just("lognormal"), median=US, sigma=st.floats(0, 4)),
)
PFNS = st.integers(0, 1 << 40)
DOMAINS = st.builds(
    DomainGroup,
    name=st.just("d-1"),
    count=st.integers(1, 3),
    granule=st.sampled_from([4096, 65536]),
    reserved=st.lists(PFNS.map(lambda pfn: (pfn, pfn + 3)), max_size=2).map(tuple),
    mode=st.sampled_from(["strict", "lazy"]),
    queue_rule=st.sampled_from(["linux", "covered"]),
    flush_us=US,
)
FLOWS = st.builds(
    Flow,
    name=st.just("f_2"),
    domain=st.just("d-1"),
    submit_cpus=st.sampled_from(["all", "all/3", "0,2"]),
    submitters=st.none() | st.integers(1, 9),
    complete_cpus=st.none() | st.just("1-3"),
    think_us=TIMES,
    latency_us=TIMES,
    sizes=st.lists(
        st.builds(Size, st.integers(1, 300), st.integers(1, 9)), min_size=1, max_size=3
    ).map(tuple),
    limit_bits=st.integers(16, 64),
    on_ms=st.floats(1, 10),
    off_ms=st.floats(0, 10),
)


@given(DOMAINS, FLOWS, st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_what_is_written_reads_back_equal(domain: DomainGroup, flow: Flow, words: str) -> None:
    workload = Workload(
        "here", 0.5, MachineShape(cpus=4, cpus_per_node=2), (domain,), (flow,), summary=words
    )
    assert parsed(to_toml(workload)) == workload


@pytest.mark.parametrize("name", [preset.name for preset in presets()])
def test_presets_read_back_equal(name: str) -> None:
    workload = load_workload(name, ["seed=3"])
    assert replace(parsed(to_toml(workload)), name=name) == workload


def test_what_is_default_is_left_out() -> None:
    tables = tomllib.loads(to_toml(parsed()))
    assert tables["flow"]["read"] == {
        "domain": "disk",
        "submit_cpus": "0-3",
        "depth": 4,
        "latency_us": {"spread": "exponential", "mean": 100.0},
    }
    assert tables["machine"] == {"cpus": 8}
