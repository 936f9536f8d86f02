"""What tuning found, for a terminal of 80 columns: the decision, the trade-off, the sensitivity."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.table import Table
from rich.text import Text

from iova.lab.tune import Tuning
from iova.lab.tune_goals import Metric, Target
from iova.lab.tune_trials import Trial, rounded
from iova.report.table import short_count, short_share, short_time
from iova.words import counted, printable

WIDTH: Final = 80

#: Rows of the trade-off; of more, so many evenly spaced ones are shown.
MOST_ROWS: Final = 12
#: Failed trials that are told one by one.
MOST_FAILED: Final = 5

_SHOWN: Final[dict[str, Callable[[float], str]]] = {
    "%": lambda value: f"{value:.2f}",
    "ns": short_time,
    "s/s": short_share,
}


@dataclass(frozen=True)
class Block:
    """A part of the report: text, and a table below it."""

    text: str
    table: Table | None = None


def tuning_blocks(tuning: Tuning) -> list[Block]:
    """The report, in the order in which it is read: what was asked, found, and how sure it is."""
    blocks = [Block(_stopped(tuning))] if tuning.interrupted else []
    blocks += [Block(_asked(tuning)), Block(_trade_off_text(tuning), _trade_off(tuning))]
    blocks.append(Block(_decision(tuning), _by_source(tuning)))
    if tuning.sensitivity:
        blocks.append(Block(_sensitivity_text(tuning), _sensitivity(tuning)))
    blocks.append(Block(_legend(tuning.goals.metrics)))
    if tuning.failed:
        blocks.append(Block(_failures(tuning)))
    return blocks


def shown(metric: Metric, value: float) -> str:
    """A metric's value in at most seven characters."""
    if metric.name == "waste":
        return f"{value:.3g}"
    return _SHOWN.get(metric.unit, short_count)(value)


# ---------------------------------------------------------------------------------- asked


def _stopped(tuning: Tuning) -> str:
    done = min(len(tuning.searched), tuning.most_trials)
    return _filled(
        f"Stopped with Ctrl-C after {done} of {counted(tuning.most_trials, 'trial')}:"
        " this is what was found until then."
    )


def _asked(tuning: Tuning) -> str:
    ran = len([trial for trial in tuning.trials if trial.how != "sensitivity"])
    every = ": every one there is" if tuning.is_exhaustive else f", seed {tuning.seed}"
    head = (
        f"{printable(tuning.space.design)} on {', '.join(map(printable, tuning.sources))}:"
        f" {ran} settings tried{every}"
    )
    ranges = ", ".join(str(one) + (f" {one.unit}" if one.unit else "")
                       for one in tuning.space.ranges)  # fmt: skip
    wanted = ", ".join(
        f"{'most' if m.more_is_better else 'least'} {m.name}" for m in tuning.goals.objectives
    )
    targets = ", ".join(map(_target, tuning.goals.targets)) or "none"
    lines = [("tuned", ranges), ("objectives", wanted), ("targets", targets)]
    if tuning.failed:
        lines.append(("failed", f"{len(tuning.failed)} settings, told below"))
    return "\n".join([_filled(head), *(_fact(name, told) for name, told in lines)])


def _target(target: Target) -> str:
    unit = "" if target.metric.unit in ("ns", "") else f" {target.metric.unit}"
    sign = ">=" if target.at_least else "<="
    return f"{target.metric.name} {sign} {shown(target.metric, target.bound)}{unit}"


def _fact(name: str, told: str) -> str:
    return textwrap.fill(told, WIDTH, initial_indent=f"  {name:<11} ", subsequent_indent=" " * 14)


# ------------------------------------------------------------------------------- the trade-off


def _trade_off_text(tuning: Tuning) -> str:
    meets = any(trial.is_feasible for trial in tuning.pareto)
    which = "that meet the targets" if tuning.goals.targets and meets else "tried"
    count = len(tuning.pareto)
    some = f"; {MOST_ROWS} of {count}" if count > MOST_ROWS else ""
    return _filled(
        f"Settings {which} that none beats in every objective (*: the decision; -: as given){some}:"
    )


def _trade_off(tuning: Tuning) -> Table:
    trials = _thinned(tuning.pareto, tuning.best)
    if tuning.given not in trials and tuning.given.problem is None:
        trials = [*trials, tuning.given]
    ranges, metrics = tuning.space.ranges, tuning.goals.metrics
    table = _table(["", *(one.name for one in ranges)], metrics)
    for trial in trials:
        mark = "*" if trial is tuning.best else ""
        values = ["-" if value is None else str(value) for value in trial.values]
        table.add_row(mark, *values, *_numbers(metrics, trial.numbers))
    return table


def _thinned(trials: Sequence[Trial], kept: Trial) -> list[Trial]:
    if len(trials) <= MOST_ROWS:
        return list(trials)
    last = len(trials) - 1
    wanted = {round(i * last / (MOST_ROWS - 1)) for i in range(MOST_ROWS)}
    return [trial for i, trial in enumerate(trials) if i in wanted or trial is kept]


def _table(heads: Sequence[str], metrics: Sequence[Metric], first: str = "right") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for head in heads:
        table.add_column(head, justify="left" if first == "left" else "right", overflow="fold")
    for metric in metrics:
        table.add_column(metric.name, justify="right", no_wrap=True)
    return table


def _numbers(metrics: Sequence[Metric], numbers: dict[str, float]) -> list[Text]:
    return [Text(shown(metric, numbers[metric.field])) for metric in metrics]


# -------------------------------------------------------------------------------- decision


def _decision(tuning: Tuning) -> str:
    """One sentence; the design stands on a line of its own, to be copied."""
    best, goals = tuning.best, tuning.goals
    if not best.is_feasible:
        head, why = "No setting that was tried meets the targets; the nearest to them is", ""
    else:
        head = "Decision: take"
        which = "of those that meet the targets, " if goals.targets else ""
        number = shown(goals.deciding, best.numbers[goals.deciding.field])
        unit = f" {goals.deciding.unit}" if goals.deciding.unit in ("KiB", "pages", "%") else ""
        why = f"{which}the one with the {_best_by(goals.deciding)}: {number}{unit}"
        if best.changed == 0:
            why += ", as given: nothing that was tried is better"
    lines = [head, f"\n  --design {printable(best.design)}\n"]
    if why:
        lines.append(_filled(f"{why}."))
    return "\n".join(lines).rstrip("\n") + "\n"


def _best_by(metric: Metric) -> str:
    return f"{'most' if metric.more_is_better else 'least'} {metric.name}"


def _by_source(tuning: Tuning) -> Table:
    metrics = tuning.goals.metrics
    table = _table(["source", "setting"], metrics, "left")
    for i, source in enumerate(tuning.sources):
        for name, trial in (("as given", tuning.given), ("decision", tuning.best)):
            if trial.problem is None:
                table.add_row(
                    Text(printable(source) if name == "as given" else ""),
                    name,
                    *_numbers(metrics, dict(trial.by_source[i])),
                )
    return table


# ----------------------------------------------------------------------------- sensitivity


def _sensitivity_text(tuning: Tuning) -> str:
    told = "One change at a time to the decision:"
    if tuning.importances:
        shares = ", ".join(
            f"{name} {100 * share:.0f} %"
            for name, share in sorted(tuning.importances.items(), key=lambda one: -one[1])
        )
        told = (
            f"Of the differences in {tuning.goals.deciding.name} among the settings tried:"
            f" {shares} (importance, PED-ANOVA).\n\n{told}"
        )
    return "\n".join(_filled(line) for line in told.split("\n"))


def _sensitivity(tuning: Tuning) -> Table:
    metrics = tuning.goals.metrics
    table = _table(["change"], metrics, "left")
    table.add_column("", no_wrap=True)
    for one in tuning.sensitivity:
        if one.trial.problem is not None:
            table.add_row(Text(one.change), *("" for _ in metrics), "failed")
        else:
            table.add_row(
                Text(one.change), *_numbers(metrics, one.trial.numbers), _judged(tuning, one.trial)
            )
    return table


def _judged(tuning: Tuning, trial: Trial) -> str:
    if tuning.best.is_feasible and not trial.is_feasible:
        return "misses a target"
    if trial.shortfall != tuning.best.shortfall:
        return "nearer" if trial.shortfall < tuning.best.shortfall else "farther off"
    if trial.values == tuning.best.values:
        return ""  # other seeds: chance, neither better nor worse
    metric = tuning.goals.deciding
    now, then = (rounded(one.numbers[metric.field]) for one in (trial, tuning.best))
    if now == then:
        return "same"
    return "better" if metric.better(now, then) else "worse"


# ------------------------------------------------------------------------------- the rest


def _legend(metrics: Sequence[Metric]) -> str:
    return "\n".join(
        f"  {m.name:<11} {m.meaning}{f' ({m.unit})' if m.unit in ('KiB', 'pages') else ''}"
        for m in metrics
    )


def _failures(tuning: Tuning) -> str:
    failed = tuning.failed
    lines = [f"{len(failed)} settings failed:"]
    lines += [_filled(f"  {printable(trial.problem or '')}") for trial in failed[:MOST_FAILED]]
    if len(failed) > MOST_FAILED:
        lines.append("  ...")
    return "\n".join(lines)


def _filled(told: str) -> str:
    return textwrap.fill(
        told, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
