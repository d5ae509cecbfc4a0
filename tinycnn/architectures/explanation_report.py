"""What `tinycnn reproduce NAME --explain` says: which change of the recipe comes to the documented accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any, NamedTuple

from tinycnn.architectures.catalogue import Architecture, get
from tinycnn.architectures.explanations import RECIPE, explanations_of
from tinycnn.architectures.reproduction_report import WITHIN, diverged, last_and_best, place

Rows = Sequence[dict[str, Any]]  # of results.json, see reproduction.Results

AS_IT_IS, BEST = "the recipe as it is", "best epoch instead of the last"
BEST_OF_BOTH = "best epoch, beside the best of its log"
HEADERS = ("what is changed", "accuracy", "seeds", "lowest to highest", "to the documented", "which lies")


class Found(NamedTuple):
    """What the seeds of one change gave."""

    name: str
    documented: float | None  # what the document has of it
    values: list[float]  # validation accuracies, one a seed, of those that have not diverged
    diverged: int = 0  # so many have

    @property
    def off(self) -> float:
        """The documented accuracy less the mean of the seeds."""
        assert self.documented is not None
        return self.documented - mean(self.values)

    @property
    def lies(self) -> str:
        assert self.documented is not None
        return place(self.documented, self.values)


def found(network: str, rows: Rows) -> list[Found]:
    """What there is of a network, in the order of the explanations. Counted are trainings with all their epochs.

    A document without a log may give its best epoch. One with a log has a best epoch too, for ours to stand beside.
    """
    architecture = get(network)
    documented, log = architecture.accuracy, log_of(architecture)
    whole = [r for r in rows if r["network"] == network and len(r["history"]["val_acc"]) == r["epochs"]]
    results = []
    for name in explanations_of(network):
        here = [row for row in whole if row.get("explanation", RECIPE) == name]
        if here:
            counted = [row for row in here if not diverged(row)]
            (last, best), lost = last_and_best(counted), len(here) - len(counted)
            results.append(Found(name or AS_IT_IS, documented, last, lost))
            if name == RECIPE and documented is not None and log:
                results.append(Found(f"{BEST_OF_BOTH} ({max(log):.4f})", max(log), best, lost))
            elif name == RECIPE:
                results.append(Found(BEST, documented, best, lost))
    return results


def recipe_of(results: Iterable[Found]) -> Found | None:
    """What the recipe as it is gave, if it was trained."""
    return next((result for result in results if result.name == AS_IT_IS), None)


def differs(network: str, rows: Rows) -> bool:
    """Whether what is documented lies outside of what several seeds of the recipe gave."""
    recipe = recipe_of(found(network, rows))
    return recipe is not None and recipe.documented is not None and len(recipe.values) > 1 and recipe.lies != WITHIN


def log_of(architecture: Architecture) -> list[float]:
    """The validation accuracies that the document's log has."""
    return [value for value in (architecture.history or {}).get("val_acc", []) if not math.isnan(value)]


def documented_figures(architecture: Architecture) -> str:
    """'0.9919, its last epoch by its log (last 0.9919, best 0.9945)': what the document gives, and of which epoch."""
    if architecture.accuracy is None:
        return "no accuracy"
    if not (log := log_of(architecture)):
        return f"{architecture.accuracy:.4f}, without a log"
    which = {"neither": "neither its last nor its best"}.get(of := architecture.accuracy_of, f"its {of}")
    return f"{architecture.accuracy:.4f}, {which} epoch by its log (last {log[-1]:.4f}, best {max(log):.4f})"


def report(network: str, rows: Rows, form: str = "simple") -> str:
    """A table of what was tried for a network, and the conclusion. form: tabulate's, for the table."""
    from tabulate import tabulate

    architecture, results = get(network), found(network, rows)
    head = f"{network}: the document gives {documented_figures(architecture)}"
    if not results:
        return f"{head}\nnothing is trained yet"
    documented = architecture.accuracy
    lines = []
    for result in results:
        values, lost = result.values, f" ({result.diverged} diverged)" if result.diverged else ""
        line: list[Any] = [
            f"{result.name}{lost}", f"{mean(values):.4f}" if values else "-", len(values),
            f"{min(values):.4f} to {max(values):.4f}" if len(values) > 1 else "-",
        ]  # fmt: skip
        if documented is not None:
            line += [f"{result.off:+.4f}", result.lies] if values else ["-", "-"]
        lines.append(line)
    table = tabulate(lines, HEADERS[: len(lines[0])], form, disable_numparse=True)
    return "\n\n".join([head, table, f"{network}: {conclusion(network, results)}"])


def conclusion(network: str, results: Sequence[Found]) -> str:
    """What closes the gap to what is documented, or that nothing does, in a sentence or two."""
    if get(network).accuracy is None:
        return "there is nothing to compare with"
    recipe = recipe_of(results)
    if recipe is None:
        return "the recipe as it is has not been trained to its end yet"
    if not recipe.values:
        return "the recipe as it is diverges, so that there is nothing to compare with"
    tried = [result for result in results if result is not recipe and result.values]
    missing = len(explanations_of(network)) + 1 - len(results)
    rest = f" {missing} more have not been tried to the end." if missing else ""
    if len(recipe.values) == 1:
        rest += " One seed shows no spread: --seeds 3 tells more."
    if recipe.lies == WITHIN:
        return f"there is no gap; the documented value lies within what the seeds give.{rest}"
    gap, closing = abs(recipe.off), []
    for result in tried:
        past = result.lies not in (WITHIN, recipe.lies) and abs(result.off) <= gap  # and no further away
        if result.lies == WITHIN or past:
            alone = len(result.values) < len(recipe.values) and len(result.values) == 1
            notes = ", ".join(["by one seed"] * alone + ["which goes past it"] * past)
            closing.append(f"{result.name} ({notes})" if notes else result.name)
    if closing:
        return f"the gap is closed by: {', '.join(closing)}.{rest}"
    nearest = min(tried, key=lambda result: abs(result.off), default=None)
    if nearest is None or (left := abs(nearest.off)) >= gap:
        return f"nothing that was tried comes nearer to the documented value.{rest}"
    return f"nothing that was tried closes the gap of {gap:.4f}; {nearest.name} leaves {left:.4f} of it.{rest}"
