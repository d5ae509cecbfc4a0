"""The command `tinycnn plan`: which kernel, with which tile, and how long it will take."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import click

from tinycnn.command.options import json_option, print_json, print_table, refuse_given
from tinycnn.command.planned import about, find_card, gpu_to_measure, one_direction, step, take_times, wanted_by
from tinycnn.shapes import Geometry, Padding, Pair, explicit_padding

DIRECTIONS = {"forward": ["forward"], "data": ["backward_data"], "filter": ["backward_filter"]}
DIRECTIONS["all"] = [name for names in DIRECTIONS.values() for name in names]
WIDTH = 100
MOST = 65_535  # pixels, channels or filters along an axis


class Sizes(click.ParamType):
    """So many whole numbers with an x between them."""

    def __init__(self, name: str):
        self.name = name
        self.many = len(name.split("x"))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """A tuple of ints from 1 to MOST; a usage error for anything else."""
        if isinstance(value, tuple):
            return value
        numbers = [int(n) for n in value.split("x") if re.fullmatch(r"[0-9]{1,9}", n)]
        if (
            len(numbers) != self.many
            or "x".join(map(str, numbers)) != value
            or not all(1 <= n <= MOST for n in numbers)
        ):
            self.fail(f"{value!r} is not {self.name}, whole numbers from 1 to {MOST}", param, ctx)
        return tuple(numbers)


@click.command()
@click.argument("target", metavar="conv2d|ARCH|NOTATION|FILE")
@click.option("--shape", type=Sizes("NxHxWxC"), help="Of conv2d's images, as 128x28x28x32.")
@click.option("--filters", type=Sizes("RxSxK"), help="Of conv2d, as 3x3x64.")
@click.option("--stride", type=click.IntRange(1, MOST), help="Of conv2d; 1 if not given.")
@click.option("--padding", type=click.Choice(["valid", "same"]), help="Of conv2d; valid if not given.")
@click.option("--direction", type=click.Choice(list(DIRECTIONS)), help="Of conv2d; all if not given.")
@click.option("--batch-size", type=click.IntRange(1, MOST), help="Images of a network's step; 128 if not given.")
@click.option("--measure", is_flag=True, help="First measure the best ones on this machine's GPU; the times are kept.")
@click.option("--card", "name", metavar="CARD", help="As h200, t4, a100; this machine's GPU, else h200, if not given.")
@click.option("--source", is_flag=True, help="Print the kernel that is generated for a network's step, and only it.")
@json_option
def plan(
    target: str,
    shape: tuple[int, ...] | None,
    filters: tuple[int, ...] | None,
    stride: int | None,
    padding: str | None,
    direction: str | None,
    batch_size: int | None,
    measure: bool,
    name: str | None,
    source: bool,
    as_json: bool,
) -> None:
    """Which kernels for one shape a GPU is to run, with which tiles, and how long they will take. It needs no GPU.

    For conv2d with a --shape and --filters: the best candidates of each direction, and why the first is taken. For a
    network: every convolution and dense layer of a training step; and the step as one kernel, its memory and its
    stages, or why it cannot be one. Times are measured where they were, else predicted. Those that --measure takes
    decide from then on, in training too.
    """
    of_conv2d = {"--shape": shape, "--filters": filters, "--stride": stride, "--padding": padding}
    of_conv2d["--direction"] = direction
    if source:
        refuse_given("has the source among what it prints, so --source is not for it", "as_json")
    device = gpu_to_measure(name) if measure else None
    card = device.driver.card if device else find_card(name)
    if target == "conv2d":
        if source:
            raise click.UsageError("--source is for networks")
        if batch_size is not None:
            raise click.UsageError("--batch-size is for networks; of conv2d it is the first number of --shape")
        if shape is None or filters is None:
            raise click.UsageError("conv2d needs its --shape, as 128x28x28x32, and --filters, as 3x3x64")
        layer = geometry(shape, filters, (stride or 1,) * 2, padding or "valid")
        directions = DIRECTIONS[direction or "all"]
        if device:
            take_times([(layer, d, False) for d in directions], device)
        found = [one_direction(layer, d, card) for d in directions]
        facts: dict[str, Any] = {"layer": layer._asdict(), "directions": found}
    else:
        for option in (o for o, value in of_conv2d.items() if value is not None):
            raise click.UsageError(f"{option} is for conv2d; {target!r} is taken for a network")
        if device:
            take_times(wanted_by(target, batch_size or 128), device)
        facts = step(target, batch_size or 128, card)
    facts = {"card": card.name, **facts, "model": about()}
    if as_json:
        print_json(facts)
    elif target == "conv2d":
        show_directions(facts)
    elif source:
        show_source(facts["one_kernel"])
    else:
        show_step(facts)
        show_one_kernel(facts["one_kernel"], facts["card"])


def geometry(shape: Sequence[int], filters: Sequence[int], stride: Pair, padding: str) -> Geometry:
    """The Geometry of the options. Raises ShapeError where the filter is larger than the image."""
    N, H, W, C = shape
    R, S, K = filters
    sides: Padding = explicit_padding((N, H, W, C), (R, S), stride, padding, "conv2d")
    return Geometry.of((N, H, W, C), (R, S, C, K), stride, sides)


def show_directions(facts: dict[str, Any]) -> None:
    """A table for each direction, with its reasons below."""
    headers = ("kernel", "slices", "us", "", "TFLOP/s", "registers", "shared KB", "blocks", "at once", "warps")
    alignment = ("left", "right", "right", "left", *["right"] * 6)
    for found in facts["directions"]:
        click.echo(f"{found['direction']} on {facts['card']}: the best of {found['considered']} candidates")
        rows = []
        for row in found["candidates"]:
            launch = row["plan"]
            about = "about " if found["guessed"] else ""
            rows.append(
                (row["kernel"], launch["slices"], f"{row['us']:.1f}", row["source"], f"{row['tflops']:.1f}")
                + (f"{about}{row['registers']}", f"{launch['shared'] / 1024:.1f}", f"{math.prod(launch['grid']):,}")
                + (row["resident"], f"{row['occupancy']:.0%}")
            )
        print_table(rows, headers, disable_numparse=True, colalign=alignment)
        click.echo(paragraph("The first is taken. " + " ".join(found["reasons"])) + "\n")
    for why in dict.fromkeys(found["guessed"] for found in facts["directions"] if found["guessed"]):
        click.echo(paragraph(f"Registers are guessed: {why}"))
    click.echo(paragraph(told(facts["model"])))


def told(model: dict[str, Any]) -> str:
    """What predictions are worth."""
    source, errors = model["fitted_to"], model["errors"]
    return (
        f"Predictions are by a model fitted to times of kernels/fast on an {source['card']} "
        f"({source['date'][:10]}). Of a layer that it had not seen, half of the times were within a factor "
        f"{errors['median']:.2f}, all within {errors['worst']:.1f}. Nothing was measured on other cards."
    )


def paragraph(text: str) -> str:
    """The text in lines of a terminal."""
    return textwrap.fill(text, WIDTH)


def show_step(facts: dict[str, Any]) -> None:
    """A row a launch, their sum, and what remains."""
    click.echo(f"A training step of {facts['batch']} images on {facts['card']}: its convolutions and dense layers")
    rows = [
        (row["layer"], row["direction"], row["kernel"], row["plan"]["slices"], f"{row['us']:.1f}", row["source"])
        + (f"{row['tflops']:.1f}",)
        for row in facts["launches"]
    ]
    rows.append(("", "", f"{len(rows)} launches", "", f"{facts['sum_us']:.1f}", "", ""))
    headers = ("layer", "direction", "kernel", "slices", "us", "", "TFLOP/s")
    print_table(rows, headers, disable_numparse=True, colalign=(*["left"] * 3, *["right"] * 2, "left", "right"))
    rest = facts["rest"]
    layers = "".join(f"{many} {kind}, " for kind, many in rest["layers"].items())
    moved = f"{rest['bytes'] / 1e6:.1f} MB, {rest['us_from_memory']:.1f} us where they come from memory"
    text = f"What remains of a step ({layers}the loss, the optimiser) moves at least {moved}; it is not predicted."
    click.echo(paragraph(text) + "\n" + paragraph(told(facts["model"])))


def show_source(facts: dict[str, Any]) -> None:
    """The generated file."""
    if "source" not in facts:
        raise click.UsageError(f"there is no kernel: {facts['why_not']}")
    click.echo(facts["source"], nl=False)


def show_one_kernel(facts: dict[str, Any], card: str) -> None:
    """The memory map of a step as one kernel, its stages, and the cards; or why there is none, in a line."""
    if "shared" not in facts:
        click.echo(f"\nAs one kernel (--path one-kernel): not possible, {facts['why_not']}")
        return
    click.echo("\nAs one kernel (--path one-kernel), an image a block: shared memory, in bytes")
    print_table(
        [
            (row["name"], f"{row['begin']:,}", f"{row['bytes']:,}", row["from"], row["to"], row["what"])
            for row in facts["memory"]
        ],
        ("array", "begins", "bytes", "from", "to", "what"),
        disable_numparse=True, colalign=("left", "right", "right", "left", "left", "left"),
    )  # fmt: skip
    click.echo("\nIts stages, with barriers of the grid and of the block, and predicted times")
    stages = [
        (row["part"], row["of"], textwrap.fill("; ".join(row["calls"]), WIDTH - 40))
        + tuple(row[f"{kind}_barriers"] or "" for kind in ("grid", "block"))
        + (f"{row['us']:.1f}",)
        for row in facts["stages"]
    ]
    stages.append(("", "", "a step", facts["grid_barriers"], facts["block_barriers"], f"{facts['us']:.1f}"))
    aligned = (*["left"] * 3, *["right"] * 3)
    print_table(
        stages, ("pass", "of", "stages", "grid", "block", "us"), disable_numparse=True, colalign=aligned
    )  # fmt: skip
    click.echo("\nThe cards")
    fits = "fits, up to {most_images} images a step"
    print_table([(row["card"], row["why_not"] or fits.format(**row)) for row in facts["cards"]], ("card", ""))
    again = f" What {', '.join(facts['again'])} give is computed again on the way back." if facts["again"] else ""
    click.echo(
        paragraph(
            f"{facts['shared']:,} bytes of shared memory; a step reads and writes {facts['bytes_moved'] / 1e6:.1f} MB "
            f"of global memory.{again} Times are predicted from counted instructions and accesses, in clocks of "
            f"{card}; steps that were measured took two to four times as long. --source prints the kernel."
        )
    )
