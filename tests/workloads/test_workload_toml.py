import pytest
from small_workload import SMALL, parsed, with_line

from iova.errors import InputError
from iova.workloads import Distribution, MachineShape, Size


def test_a_workload_is_read() -> None:
    workload = parsed()
    read, write = workload.flows
    assert workload.name == "here"
    assert workload.machine == MachineShape(cpus=8)
    assert [domain.name for domain in workload.domains] == ["disk", "spare"]
    assert workload.domains[0].mode == "lazy"
    assert workload.domains[1].count == 3
    assert read.latency_us == Distribution("exponential", mean=100.0)
    assert write.sizes == (Size(1, 3), Size(8, 1))


def test_defaults_follow_the_machine() -> None:
    workload = parsed()
    read, write = workload.flows
    assert workload.submitters_of(read) == 4
    assert workload.submitters_of(write) == 8
    assert workload.complete_cpus_of(read) == tuple(range(8))
    assert workload.complete_cpus_of(write) == (6,)
    assert workload.lanes == 4 * 4 + 8
    fewer = parsed(SMALL, "cpus_online=7")
    assert fewer.submitters_of(fewer.flows[1]) == 7
    assert fewer.complete_cpus_of(fewer.flows[0]) == (0, 1, 2, 3, 4, 5, 6, 6)


def test_one_cpu_and_one_size_may_be_plain_numbers() -> None:
    text = SMALL.replace('complete_cpus = "6"', "complete_cpus = 6")
    assert parsed(text) == parsed()
    one = parsed(SMALL, "flow.write.sizes=4")
    assert one.flows[1].sizes == (Size(4),)


def test_reserved_ranges_are_numbers_or_hexadecimal_text() -> None:
    text = with_line('reserved = [["0xfee00", "0xfeeff"], [16, 31]]', after='mode = "lazy"')
    assert parsed(text).domains[0].reserved == ((0xFEE00, 0xFEEFF), (16, 31))


@pytest.mark.parametrize(
    ("line", "after", "told"),
    [
        ("dept = 3", "depth = 4", "flow.read.dept is not known. Did you mean depth?"),
        ("colour = 3", "cpus = 8", "machine.colour is not known. Known: cpus,"),
        ("moode = 3", 'mode = "lazy"', "domain.disk.moode is not known. Did you mean mode?"),
        ("speed = 3", "duration_s = 0.5", "speed is not known. Did you mean seed?"),
        ("name = 'x'", "duration_s = 0.5", "name is not known."),
        ("seed = -1", "duration_s = 0.5", "seed must be 0 to"),
        ("seed = 1.5", "duration_s = 0.5", "seed must be a whole number, not 1.5."),
        ("summary = 3", "duration_s = 0.5", "summary must be text, not 3."),
        ("classes = 11", "cpus = 8", "machine.classes must be 1 to 10, not 11."),
        ("classes = true", "cpus = 8", "machine.classes must be a whole number, not true."),
        ("cpus_online = 9", "cpus = 8", "machine.cpus_online must be at most cpus, 8,"),
        ("granule = 5000", 'mode = "lazy"', "domain.disk.granule must be a power of two"),
        ('queue = "two"', 'mode = "lazy"', 'queue must be one of "per-cpu", "single"'),
        ("flush_us = nan", 'mode = "lazy"', "domain.disk.flush_us must be 0 to"),
        ("flush_us = inf", 'mode = "lazy"', "domain.disk.flush_us must be 0 to"),
        ("stall_ms = -0.5", 'mode = "lazy"', "domain.disk.stall_ms must be 0 to"),
        ("reserved = 3", 'mode = "lazy"', "reserved must be a list of [first, last]"),
        ("reserved = [3]", 'mode = "lazy"', "reserved must be [first, last] each"),
        ("reserved = [[1, 2, 3]]", 'mode = "lazy"', "must be [first, last] each"),
        ("reserved = [['x', 2]]", 'mode = "lazy"', "must hold pfns"),
        ("reserved = [[2.5, 3]]", 'mode = "lazy"', "must hold pfns"),
        ("reserved = [[3, 2]]", 'mode = "lazy"', "ends before it starts"),
        ("reserved = [[-3, 2]]", 'mode = "lazy"', "must be 0 to"),
        ("start = 0", 'mode = "lazy"', "domain.disk.start must be 1 to"),
        ("reserved = [" + "[1, 2]," * 65 + "]", 'mode = "lazy"', "has 65 ranges; 64 are the most"),
        ("count = 0", 'mode = "lazy"', "domain.disk.count must be 1 to 4096, not 0."),
        ("submitters = 0", "depth = 4", "flow.read.submitters must be 1 to"),
        ("complete_cpus = 8", "depth = 4", "flow.read.complete_cpus names CPU 8"),
        ("complete_cpus = '0-7,0'", "depth = 4", "has 9 queues; 8 CPUs use a queue each"),
        ("rebind_ms = 3", "depth = 4", "domain disk can not be renewed while flow write uses it"),
        ("complete_cpus = [1]", "depth = 4", "complete_cpus must be text, not a list."),
        ("complete_cpus = 'x'", "depth = 4", "'x' is no CPU list"),
        ("think_us = -1", "depth = 4", "flow.read.think_us must be 0 to"),
        ("think_us = 'long'", "depth = 4", "think_us must be a number, not 'long'. Or write"),
        ("think_us = {spread='gamma'}", "depth = 4", "think_us.spread must be one of"),
        ("think_us = {mean=3}", "depth = 4", "flow.read.think_us.spread is missing."),
        ("think_us = {spread='exponential'}", "depth = 4", "think_us.mean is missing"),
        ("think_us = {men=1}", "depth = 4", "think_us.men is not known. Did you mean mean?"),
        ("sizes = 0", "depth = 4", "flow.read.sizes.pages must be 1 to"),
        ("sizes = []", "depth = 4", "flow.read.sizes must be 1 to 64 sizes, not 0."),
        ("sizes = [1]", "depth = 4", "sizes must be {pages, weight} each, not 1."),
        ("sizes = [{pages=1, weight=0}]", "depth = 4", "sizes.weight must be 1 to"),
        ("sizes = [{weight=1}]", "depth = 4", "flow.read.sizes.pages is missing."),
        ("sizes = [{pages=1, often=1}]", "depth = 4", "sizes.often is not known"),
        ("limit_bits = 65", "depth = 4", "flow.read.limit_bits must be 16 to 64, not 65."),
        ("limit_rule = '32'", "depth = 4", 'limit_rule must be one of "plain", "32-always"'),
        ("resubmit = true", "depth = 4", "resubmit must be one of"),
        ("in_flight = 1e3", "depth = 4", "in_flight must be a whole number, not 1000.0."),
        ("device_miops = 1e7", "depth = 4", "device_miops must be 0 to"),
    ],
)
def test_an_error_names_file_line_and_key(line: str, after: str, told: str) -> None:
    text = with_line(line, after=after)
    with pytest.raises(InputError) as caught:
        parsed(text)
    assert str(caught.value).startswith(f"here.toml:{text.splitlines().index(line) + 1}: ")
    assert told in str(caught.value)


def test_a_key_that_is_missing_is_placed_at_its_table() -> None:
    text = with_line("off_ms = 3", after="depth = 4")
    place = text.splitlines().index("[flow.read]") + 1
    with pytest.raises(InputError, match=rf"here\.toml:{place}: flow\.read\.on_ms must be above 0"):
        parsed(text)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("duration_s = 0.5", "", "here.toml: duration_s is missing."),
        ("duration_s = 0.5", "duration_s = 0", "here.toml:1: duration_s must be 1e-06 to 1e+06"),
        ("cpus = 8", "", "here.toml:3: machine.cpus is missing."),
        ("cpus = 8", "cpus = 4", "complete_cpus names CPU 6, but there are 4 (0 to 3)."),
        ("[flow.read]\n", "[flow.read]\ncpus = 3\n", "flow.read.cpus is not known."),
        ('"0-3"\n', '"0-3"\nsubmitters = 4194304\n', "submitters x depth of all flows is"),
        ("count = 3", "count = 4096", "4096 domains and 4194304 magazines are the most."),
        ("[domain.spare]", '[domain."a b"]', "'a b' is no name."),
        ('domain = "disk"\nsubmit', 'domain = "dsk"\nsubmit', "there is no domain 'dsk'."),
    ],
)
def test_an_error_says_what_to_change(old: str, new: str, told: str) -> None:
    assert SMALL.count(old) == 1
    with pytest.raises(InputError) as caught:
        parsed(SMALL.replace(old, new))
    assert told in str(caught.value)


def test_flush_queues_are_bounded_as_well() -> None:
    lazy = with_line('mode = "lazy"\nqueue = "single"', after="count = 3")
    assert parsed(lazy).domains[1].queue == "single"
    with pytest.raises(InputError, match="flush queues of the lazy domains have"):
        parsed(lazy.replace("count = 3", "count = 2000"), "cpus=8")


def test_toml_that_can_not_be_read_is_placed() -> None:
    with pytest.raises(InputError) as caught:
        parsed("duration_s = 1\ncpus = = 3\n")
    assert str(caught.value).startswith("here.toml:2:8: ")
    with pytest.raises(InputError, match=r"here\.toml:2:[0-9]+: .*overwrite"):
        parsed("seed = 1\nseed = 2\n")


def test_a_workload_without_domains_or_flows_is_refused() -> None:
    with pytest.raises(InputError, match="domain there is none"):
        parsed("duration_s = 1\n[machine]\ncpus = 1\n")
    with pytest.raises(InputError, match="flow there are 0; 1 to 64 can be simulated"):
        parsed("duration_s = 1\n[machine]\ncpus = 1\n[domain.d]\n")
