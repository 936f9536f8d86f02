import pytest
from small_workload import SMALL, parsed

from iova.errors import InputError
from iova.workloads import Distribution, Size


def test_a_dotted_path_sets_one_value() -> None:
    workload = parsed(SMALL, "flow.read.depth=9", "domain.spare.count=5", "machine.classes=4")
    assert [flow.depth for flow in workload.flows] == [9, 1]
    assert [domain.count for domain in workload.domains] == [1, 5]
    assert workload.machine.classes == 4


def test_a_star_stands_for_every_name() -> None:
    workload = parsed(SMALL, "flow.*.depth=9", "domain.*.mode=lazy")
    assert [flow.depth for flow in workload.flows] == [9, 9]
    assert [domain.mode for domain in workload.domains] == ["lazy", "lazy"]


def test_a_key_alone_is_the_workloads_the_machines_or_every_flows_or_domains() -> None:
    workload = parsed(SMALL, "seed=7", "duration_s=2", "cpus=16", "in_flight=6", "granule=65536")
    assert (workload.seed, workload.duration_s, workload.machine.cpus) == (7, 2, 16)
    assert [flow.in_flight for flow in workload.flows] == [6, 6]
    assert [domain.granule for domain in workload.domains] == [65536, 65536]


def test_the_domain_of_a_flow_is_a_key_like_others() -> None:
    workload = parsed(SMALL, "domain=spare")
    assert {flow.domain for flow in workload.flows} == {"spare"}


def test_values_are_toml_or_else_text() -> None:
    workload = parsed(
        SMALL,
        "flow.read.sizes=[{pages=2, weight=5}]",
        "flow.write.submit_cpus=0,3",
        'flow.read.submit_cpus="all/2"',
        "flow.write.think_us={spread='constant', median=3}",
        "summary=two words",
    )
    read, write = workload.flows
    assert read.sizes == (Size(2, 5),)
    assert (read.submit_cpus, write.submit_cpus) == ("all/2", "0,3")
    assert write.think_us == Distribution("constant", median=3)
    assert workload.summary == "two words"


@pytest.mark.parametrize(("text", "value"), [(".25", 0.25), ("2.", 2.0), ("+.5e1", 5.0)])
def test_a_number_may_begin_or_end_with_its_point(text: str, value: float) -> None:
    assert parsed(SMALL, f"duration_s={text}").duration_s == value


def test_one_number_of_a_distribution_can_be_set() -> None:
    expected = Distribution("exponential", mean=7)
    for setting in (
        "flow.read.latency_us.mean=7",
        "flow.read.latency_us={spread='exponential', mean=7}",
    ):
        assert parsed(SMALL, setting).flows[0].latency_us == expected
    assert parsed(SMALL, "flow.read.latency_us=3").flows[0].latency_us == 3
    alone = parsed(SMALL, "latency_us=3").flows
    assert [flow.latency_us for flow in alone] == [3, 3]


def test_later_settings_win() -> None:
    assert parsed(SMALL, "depth=2", "flow.read.depth=3").flows[0].depth == 3
    assert parsed(SMALL, "flow.read.depth=3", "depth=2").flows[0].depth == 2


def test_lists_of_all_cpus_follow_the_machine() -> None:
    workload = parsed(SMALL, "cpus=32", "flow.write.complete_cpus=all/8")
    write = workload.flows[1]
    assert workload.submitters_of(write) == 32
    assert workload.complete_cpus_of(write) == (0, 8, 16, 24)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("depth", "is not of the form key=value"),
        ("depth=", "is not of the form key=value"),
        ("=3", "is not of the form key=value"),
        ("flow..depth=3", "is not of the form key=value"),
        ("dept=3", "there is no key 'dept'. Did you mean depth?"),
        ("flow.read.dept=3", "there is no key 'dept'. Did you mean depth?"),
        ("flow.red.depth=3", "has not the flow 'red'. There are: read, write."),
        ("domain.x.count=3", "has not the domain 'x'. There are: disk, spare."),
        ("flow.read=3", "names no key. Write flow.read.KEY=VALUE."),
        ("machine.core=3", "there is no key 'core'. Known: cpus,"),
        ("flow.write.latency_us.mean=3", "flow.write.latency_us.spread is missing"),
        ("flow.write.depth.x=3", "flow.write.depth must be a whole number, not a table."),
        ("flow.write.sizes.pages=3", "flow.write.sizes is no table. Set the whole of it:"),
        ("cpus.x=3", "machine.cpus is no table."),
        ("flow=3", "there is no key 'flow'."),
        ("machine=3", "there is no key 'machine'. Did you mean"),
        ("name=x", "there is no key 'name'."),
        ("depth=many", "flow.read.depth must be a whole number, not 'many'."),
        ("depth=2\ncpus = 3", "flow.read.depth must be a whole number"),
        ("seed=2000-01-01", "seed must be a whole number, not datetime.date"),
        ("seed=[1]", "seed must be a whole number, not a list."),
        ("duration_s=nan", "duration_s must be 1e-06 to 1e+06, not nan."),
        ("duration_s=-inf", "duration_s must be 1e-06 to 1e+06, not -inf."),
        ("duration_s=" + "9" * 4000, "duration_s must be 1e-06 to 1e+06, not a number beyond"),
        ("seed=0x" + "f" * 4000, "seed must be 0 to 9223372036854775807, not a number beyond"),
        ("seed=" + "[" * 2000 + "]" * 2000, "seed must be a whole number"),
        ("seed=" + "1" * 5000, "is longer than 4096 characters"),
        ("flow.read.complete_cpus=0-9", "flow.read.complete_cpus names CPU 9, but there are 8"),
    ],
)
def test_an_error_names_the_setting(setting: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(SMALL, setting)
    assert str(caught.value).startswith("--set ")
    assert told in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_all_lists_that_no_longer_fit_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parsed(SMALL, "cpus=2", "flow.write.submit_cpus=1-7")
    told = str(caught.value)
    assert "flow.read.submit_cpus names CPU 3, but there are 2 (0 to 1)." in told
    assert "flow.write.submit_cpus, flow.write.complete_cpus do not fit either." in told
    assert told.endswith('a list of "all" follows it.')


def test_lists_that_no_longer_fit_are_shown_where_they_are_written() -> None:
    with pytest.raises(InputError) as caught:
        parsed(SMALL, "cpus=4")
    place = SMALL.splitlines().index('complete_cpus = "6"') + 1
    assert str(caught.value).startswith(f"here.toml:{place}: flow.write.complete_cpus names CPU 6")
    assert 'a list of "all" follows it' in str(caught.value)
