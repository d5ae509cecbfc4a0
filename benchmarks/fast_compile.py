"""What the kernels of kernels/fast become for the layers of documented networks: NVRTC compiles them, without a GPU.

    python benchmarks/fast_compile.py                        every layer, for a card of each architecture
    python benchmarks/fast_compile.py go-crazy --card h200   one network's, for one; nothing is written

A line for each kernel: threads of a block, registers of a thread, bytes of shared memory and how many of a
multiprocessor's warps find room, bytes of spills and of code; and of all instructions of its inner loop, as nvdisasm
shows it, those that multiply and add. The first form takes half an hour of a processor, and writes
results/nvrtc/fast_compile.json. The exit status is 1 where registers spill to memory.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import machine
import network_shapes
from problems import Convolution, Dense

from tinycnn import kernels
from tinycnn.devices.checks import compile_gate, disassembly
from tinycnn.devices.gpu import cards
from tinycnn.devices.gpu.fast import occupancy
from tinycnn.devices.gpu.fast.instances import DIRECTIONS, FORWARD, Plan
from tinycnn.devices.gpu.fast.plan import plan as planned
from tinycnn.shapes import Geometry

CARDS = ("t4", "a100-40gb", "rtx4090", "h200")
COLUMNS = ("threads", "registers", "shared", "warps", "spills", "code", "fma")
NO_LOOP = "unrolled"  # in place of a share: the loop was so short that no loop is left


def layer_of(problem):
    """What a convolution or dense layer is to the kernels."""
    if isinstance(problem, Dense):
        return Geometry.of_product(problem.N, problem.fan_in, problem.units)
    x_shape, w_shape = (problem.N, problem.H, problem.W, problem.C), (problem.R, problem.S, problem.C, problem.K)
    return Geometry.of(x_shape, w_shape, problem.stride, problem.padding)


class Launch(NamedTuple):
    """What a card is to run for a direction of a layer; backward as it is behind a ReLU."""

    card: cards.Card
    name: str  # of the layer
    direction: str
    plan: Plan


def launches_of(problems, card):
    """The Launches of all convolutions and dense layers among the problems."""
    return [
        Launch(card, problem.name, way, planned(layer_of(problem), way, card, way != FORWARD)[1])
        for problem in problems
        if isinstance(problem, Convolution | Dense)
        for way in DIRECTIONS
    ]


def compiled(launch, nvdisasm):
    """What the compiler makes of a launch's kernel in float, as plain data.

    loop: its instructions, and those of them that multiply and add; None without nvdisasm, 0 and 0 without a loop.
    """
    card, plan = launch.card, launch.plan
    name, file = plan.named("float"), f"{plan.file}.cu"
    program = compile_gate.compile_program(kernels.source(plan.file), file, [name], card.arch)
    (row,) = compile_gate.rows_of(program.log, program.lowered, file, card.arch)
    blocks = occupancy.resident(card, plan.block[0], row.registers, plan.room)
    warps = blocks * -(-plan.block[0] // occupancy.WARP)
    return {
        "layer": launch.name, "direction": launch.direction, "kernel": name,
        "threads": plan.block[0], "registers": row.registers, "shared": plan.shared + row.shared,
        "blocks": blocks, "warps": round(warps * occupancy.WARP / card.threads, 4),
        "spills": row.spills, "code": program.code_sizes()[name],
        "loop": nvdisasm and loop_of(program, nvdisasm),
    }  # fmt: skip


def loop_of(program, nvdisasm):
    """[instructions of the inner loop of a program's only kernel, its multiply-adds]"""
    (listing,) = disassembly.disassemble(nvdisasm, program.code).values()
    loop = disassembly.inner_loop(listing)
    return [len(loop.instructions), loop.fmas] if loop else [0, 0]


def share_of(row):
    """'86%': the part of a row's inner loop that multiplies and adds; or why there is none."""
    if row["loop"] is None:
        return "no nvdisasm"
    instructions, fmas = row["loop"]
    return f"{fmas / instructions:.0%}" if instructions else NO_LOOP


def find():
    """(nvdisasm, its release), or None and why there is none."""
    try:
        nvdisasm = disassembly.find_nvdisasm()
    except disassembly.NvdisasmMissing as error:
        return None, str(error)
    return nvdisasm, disassembly.release(nvdisasm)


def show(row):
    numbers = [row[name] for name in COLUMNS[:3]] + [f"{row['warps']:.0%}", row["spills"], row["code"], share_of(row)]
    print("".join(f"{number:>12}" for number in numbers), f" {row['kernel']}", flush=True)


def write(path, facts, rows):
    """With a line for each kernel."""
    machine.write_atomically(path, machine.text_with_lines(facts, "rows", rows))


def main(words=None):
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--card", action="append", metavar="CARD", help=f"of {', '.join(cards.all_cards())}")
    parser.add_argument("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="benchmarks/results")
    options = parser.parse_args(words)
    problems, (nvdisasm, about) = list(network_shapes.problems(options.networks or None)), find()
    if nvdisasm is None:
        print(f"Inner loops are not looked at: {about}")
    chosen = [cards.get(name) for name in options.card or CARDS]
    launches, rows = [launch for card in chosen for launch in launches_of(problems, card)], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # NVRTC works outside of Python's lock
        found = zip(launches, pool.map(partial(compiled, nvdisasm=nvdisasm), launches), strict=True)
        for card, of_card in groupby(found, key=lambda pair: pair[0].card):
            print(f"{card.name} ({card.arch})\n" + "".join(f"{name:>12}" for name in COLUMNS) + "  kernel")
            for _, row in of_card:
                show(row)
                rows.append({"card": card.id, "arch": card.arch, **row})
    spilling = sum(row["spills"] > 0 for row in rows)
    print(f"{spilling} spill")
    if not options.networks and not options.card:
        facts = {"device": "NVRTC", "versions": machine.versions(["tinycnn", "nvidia-cuda-nvrtc"])}
        facts["versions"]["nvdisasm"] = about if nvdisasm else None
        path = options.results / "nvrtc" / "fast_compile.json"
        write(path, {**facts, "commit": machine.commit(), "date": machine.now(), "batch": network_shapes.BATCH}, rows)
        print(f"written: {path}")
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
