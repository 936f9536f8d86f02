"""What every verb prints with --json is as the published schemas have it, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import zstandard
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from commands import iova, run_here
from iova import _core
from iova.cli import app
from iova.events import DomainInfo
from iova.report.schemas import schemas
from iova.sources.parquet import write_parquet
from tables import alloc, filling_depot, free, trace_of

DATA = Path(__file__).parent / "data"
TRACE = DATA / "traces" / "small4-6.12.txt.zst"
SCHEMAS = schemas()

SWEEP = """
[[source]]
source = "board-4"
set = ["duration_s=0.01"]
seeds = [1, 2]
[[source]]
source = "small.parquet"
cpus = [4]
[[source]]
source = "missing.parquet"
[[design]]
design = "linux-6.1"
"""


def validated(verb: str, printed: str) -> dict[str, Any]:
    """The JSON that a verb printed, after it was held against its schema."""
    result: dict[str, Any] = json.loads(printed)
    Draft202012Validator(SCHEMAS[verb]).validate(result)
    assert result["format"] == f"iova {verb}"
    assert result["version"] == _core.VERSION
    return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with a small trace, a sweep, conformance vectors and a damaged trace."""
    write_parquet(trace_of(*filling_depot(3), kernel="6.12.1"), tmp_path / "small.parquet")
    late = [alloc(1, 0, t_end=2, pfn=0xFFFFF), free(3, 0, t_end=4, pfn=0xFFFFF)]
    unborn = trace_of(*late, domains=(DomainInfo(0, born=False),), kernel="6.12.1")
    write_parquet(unborn, tmp_path / "late.parquet")
    (tmp_path / "sweep.toml").write_text(SWEEP)
    lines = b"nonsense\n" * 3 + _text(TRACE)[:200_000]
    (tmp_path / "damaged.txt").write_bytes(lines)
    vectors = tmp_path / "vectors"
    vectors.mkdir()
    for name in ("s17_start_zero", "s19_edge_limits"):
        for source in (DATA / "conformance").glob(f"{name}.*"):
            (vectors / source.name).write_bytes(source.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _text(path: Path) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()


#: Commands, by what is particular in their output; the status where it is not 0.
COMMANDS: dict[str, tuple[str, int]] = {
    "compare, a trace": ("compare burst8-6.12", 0),
    "compare, dealt over more CPUs": ("compare small.parquet --cpus 8 --domain 0", 0),
    "compare, a workload": ("compare board-4 --set duration_s=0.02", 0),
    "compare, with seeds": ("compare board-4 --set duration_s=0.02 --seeds 3", 0),
    "compare, a damaged trace": ("compare damaged.txt", 3),
    "verify, a trace": (f"verify {TRACE}", 0),
    "verify, under another design": (f"verify {TRACE} --design linux-6.1", 1),
    "verify, a trace without its beginning": ("verify late.parquet", 1),
    "verify, vectors": ("verify vectors", 0),
    "convert, a trace": (f"convert {TRACE} out.parquet", 0),
    "convert, a Parquet file": ("convert small.parquet out.parquet", 0),
    "convert, a damaged trace": ("convert damaged.txt out.parquet", 3),
    "convert, a workload": ("convert board-4 out.parquet --set duration_s=0.01", 0),
    "convert, to Perfetto": ("convert small.parquet out.pftrace", 0),
    "info, a trace": (f"info {TRACE}", 0),
    "info, a sample": ("info burst8-6.12", 0),
    "info, a damaged trace": ("info damaged.txt", 3),
    "explain, a trace": ("explain burst8-6.12", 0),
    "explain, a workload": ("explain wrong-size --set duration_s=0.1", 0),
    "explain, nothing wrong": ("explain board-4 --set duration_s=0.02", 0),
    "explain, an address": ("explain burst8-6.12 --address pfn:0xfffff", 0),
    "tune, a trace": ("tune small.parquet --trials 3", 0),
    "tune, a target out of reach": ("tune small.parquet --trials 3 --target cache>=99.9", 1),
    "tune, a workload": ("tune board-4 --set duration_s=0.01 --trials 3 --seeds 2", 0),
    "sweep, with a failure": ("sweep sweep.toml --jobs 1", 3),
    "list": ("list", 0),
    "list, one of it": ("list presets", 0),
}


@pytest.mark.parametrize("what", COMMANDS)
@pytest.mark.usefixtures("folder")
def test_what_is_printed_is_as_published(what: str) -> None:
    command, status = COMMANDS[what]
    done = run_here(*command.split(), "--json")
    assert done.returncode == status, done.stderr
    validated(command.split()[0], done.stdout)


def test_every_preset_is_as_published() -> None:
    for preset in json.loads(iova("list", "presets", "--json"))["presets"]:
        assert validated("info", iova("info", preset["name"], "--json"))["kind"] == "workload"


@pytest.mark.usefixtures("folder")
def test_a_result_beside_an_earlier_one_is_as_published() -> None:
    for source in (["small.parquet"], ["board-4", "--set", "duration_s=0.01", "--seeds", "3"]):
        Path("earlier.json").write_text(iova("compare", *source, "--json"))
        again = iova("compare", *source, "--json", "--against", "earlier.json")
        assert validated("compare", again)["against"]["designs"]


@pytest.mark.usefixtures("folder")
def test_a_design_that_fails_under_a_setting_is_as_published() -> None:
    Path("moody.py").write_text(
        "class Moody:\n"
        "    arm_delay_ns = 1\n"
        "    def __init__(self, mood=0):\n        self.mood = mood\n"
        "    def look(self, view):\n        1 // (self.mood - 1)\n"
    )
    options = ("--design", "moody:Moody", "--param", "mood=0..2", "--trials", "3", "--json")
    found = validated("tune", iova("tune", "small.parquet", *options))
    assert any(trial["problem"] for trial in found["trials"])


@pytest.mark.parametrize(
    "source", ["burst8-6.12", "small.parquet --design unbounded", "board-4 --set duration_s=0.02"]
)
@pytest.mark.usefixtures("folder")
def test_every_line_of_top_is_as_published(source: str) -> None:
    told = iova("top", *source.split(), "--json", "--count", "3", "--interval", "0.05")
    lines = told.splitlines()
    assert 1 <= len(lines) <= 3
    for line in lines:
        validated("top", line)


def test_every_verb_has_a_schema_and_every_schema_is_one() -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    with_json = {
        name for name, verb in verbs.items() if any("--json" in p.opts for p in verb.params)
    }
    assert with_json == set(SCHEMAS)
    assert with_json == set(verbs)
    for verb, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["$id"] == f"urn:iova:json-schema:{verb}:1"


def test_the_metrics_of_compare_and_tune_are_the_same() -> None:
    for name in ("allocator_metrics", "machine_metrics", "metrics"):
        assert SCHEMAS["compare"]["$defs"][name] == SCHEMAS["tune"]["$defs"][name]


def test_the_schemas_can_be_had_from_the_command() -> None:
    assert json.loads(iova("list", "schemas", "--json"))["schemas"] == SCHEMAS
    files = [Path(line.strip()) for line in iova("list", "schemas").splitlines()[2:]]
    assert [json.loads(file.read_text()) for file in files] == list(SCHEMAS.values())


def test_a_field_that_no_schema_names_is_noticed() -> None:
    result = json.loads(iova("list", "samples", "--json"))
    for changed in (result | {"more": 1}, {**result, "version": None}, {"format": "iova list"}):
        with pytest.raises(ValidationError):
            Draft202012Validator(SCHEMAS["list"]).validate(changed)
