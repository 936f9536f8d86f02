"""Every chart is what Vega-Lite's own JSON Schema allows: in the page, and as a picture."""

from __future__ import annotations

import copy
import functools
import json
from importlib import resources
from typing import Any

import jsonschema
import pytest
from page_panels import panels_of

from comparisons import compared
from iova.lab.compare import Comparison
from iova.report import page
from iova.report.charts import charts_of
from iova.report.pictures import picture_spec

NAMES = (
    "depot", "pages", "served", "throughput", "waits", "steps", "memory", "handovers", "fill",
    "space",
)  # fmt: skip


@functools.cache
def schema() -> dict[str, Any]:
    """Altair ships it; the package itself does without Altair."""
    path = resources.files("altair").joinpath("vegalite/v6/schema/vega-lite-schema.json")
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


@functools.cache
def shown() -> Comparison:
    return compared(samples=30, tables=True)


@functools.cache
def first_panels() -> dict[str, dict[str, Any]]:
    """The first panel of each chart."""
    text = page.render_page([shown()], command="")
    return {one["id"][:-3]: one for one in panels_of(text) if one["id"].endswith("0-0")}


def what_is_wrong(spec: dict[str, Any]) -> list[str]:
    """Held against the one kind of view it is: a schema of all kinds says little of an error."""
    kind = "Concat" if "concat" in spec else "Layer" if "layer" in spec else "Unit"
    one_kind = schema() | {"$ref": f"#/definitions/TopLevel{kind}Spec"}
    found = jsonschema.Draft7Validator(one_kind).iter_errors(spec)
    deepest = (jsonschema.exceptions.best_match([one]) for one in found)
    return [f"{one.json_path}: {one.message}" for one in deepest]


def handed_to_vega(panel: dict[str, Any]) -> dict[str, Any]:
    """What ``draw`` in page.js makes of a panel."""
    names = list(panel["data"])
    rows = [dict(zip(names, row, strict=True)) for row in zip(*panel["data"].values(), strict=True)]
    added = {
        "width": 300,
        "height": panel["height"],
        "autosize": {"type": "fit", "contains": "padding"},
        "datasets": {"rows": rows},
    }
    return {**panel["spec"], **added}


def test_these_are_all_charts() -> None:
    assert tuple(one.name for one in charts_of(shown())) == NAMES == tuple(first_panels())


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_of_the_page_is_what_the_schema_allows(name: str) -> None:
    assert what_is_wrong(handed_to_vega(first_panels()[name])) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_what_the_schema_allows(name: str) -> None:
    (chart,) = (one for one in charts_of(shown()) if one.name == name)
    assert what_is_wrong(picture_spec(chart, shown())) == []


def test_a_wrong_specification_is_told_where_it_is_wrong() -> None:
    spec = copy.deepcopy(handed_to_vega(first_panels()["depot"]))
    spec["layer"][0]["encoding"]["color"] |= {"scale": {"zero": True}}
    told, *_ = what_is_wrong(spec)
    assert told.startswith("$.layer[0].encoding.color: ")
