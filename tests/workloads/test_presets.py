from pathlib import Path

import pytest
from small_workload import SMALL

from iova.errors import InputError
from iova.workloads import (
    is_workload,
    load_workload,
    lower,
    preset_text,
    presets,
)

NAMES = [preset.name for preset in presets()]


def test_there_is_a_preset_for_each_case() -> None:
    assert NAMES == [
        "ageing",
        "board-4",
        "burst",
        "crowded-4g",
        "idle-domains",
        "migrate",
        "mixed-sizes",
        "neighbour-32bit",
        "never-unmaps",
        "nic-rx",
        "nvme-384",
        "rebind",
        "sas-256",
        "scsi-256",
        "slow-ageing",
        "small-depot",
        "stalled-flush",
        "timer-storm",
        "wrong-size",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_loads_and_lowers(name: str) -> None:
    workload = load_workload(name)
    lowered = lower(workload, first_32=False)
    assert workload.name == name
    assert len(lowered["flows"]) == len(workload.flows) >= 1
    online = lowered["cpus_online"]
    for flow in lowered["flows"]:
        assert flow["submit_cpus"].max() < online
        assert flow["complete_cpus"].max() < online
        assert 1 <= len(flow["complete_cpus"]) <= online


@pytest.mark.parametrize("preset", presets(), ids=NAMES)
def test_every_preset_says_what_it_is_and_what_is_a_guess(preset) -> None:
    assert 20 < len(preset.summary) <= 100
    assert "\n" not in preset.summary
    assert "guess" in preset.source.lower()


def test_the_discussions_cases_have_their_numbers() -> None:
    scsi = load_workload("scsi-256")
    (flow,) = scsi.flows
    assert scsi.machine.cpus == scsi.submitters_of(flow) == 256
    assert (len(scsi.complete_cpus_of(flow)), flow.in_flight) == (16, 4096)
    assert scsi.domains[0].mode == "strict"
    sas = load_workload("sas-256")
    assert sas.complete_cpus_of(sas.flows[0]) == tuple(range(0, 256, 16))
    assert sas.domains[0].mode == "lazy"
    idle = load_workload("idle-domains")
    assert sum(domain.count for domain in idle.domains) == 159
    assert 159 * 2 * 6 * idle.machine.cpus == 244_224  # the 244 412 reported, but for one in 1 300
    nvme = load_workload("nvme-384")
    assert nvme.complete_cpus_of(nvme.flows[0]) == tuple(range(384))
    assert load_workload("ageing").flows[0].limit_rule == "32-always"
    assert max(size.pages for size in load_workload("mixed-sizes").flows[0].sizes) == 256


@pytest.mark.parametrize("name", NAMES)
def test_presets_follow_the_number_of_cpus(name: str) -> None:
    assert load_workload(name, ["cpus=512", "cpus_per_node=64"]).machine.cpus == 512


def test_a_name_that_is_no_presets_is_refused() -> None:
    with pytest.raises(InputError, match=r"is neither a preset nor a \.toml file") as caught:
        load_workload("scsi-265")
    assert "Did you mean scsi-256?" in str(caught.value)
    with pytest.raises(InputError):
        preset_text("../presets/burst")


def test_a_file_of_the_users_is_a_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    assert load_workload("mine.toml", ["depth=3"]).flows[0].depth == 3
    assert load_workload("mine.toml").name == "mine"
    assert is_workload("mine.toml")
    assert is_workload("burst")
    assert not is_workload("burst8-6.12")
    (tmp_path / "burst").write_text("a trace")
    assert not is_workload("burst")


def test_an_error_in_a_preset_names_it() -> None:
    with pytest.raises(InputError, match=r"^preset board-4:[0-9]+: flow\.receive\.submit_cpus"):
        load_workload("board-4", ["cpus=1"])
