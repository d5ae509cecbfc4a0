"""What the kernels of kernels/fast become for the layers of documented networks: NVRTC compiles them, without a GPU.

    python benchmarks/fast_compile.py                        every layer, for a card of each architecture: minutes
    python benchmarks/fast_compile.py go-crazy --card h200   one network's, for one

A line for each kernel: threads of a block, registers of a thread, bytes of shared memory, of spills and of code, and
the seconds that NVRTC took. The exit status is 1 where registers spill to memory.
"""

import argparse
import sys
import time

import network_shapes
from problems import Convolution, Dense

from tinycnn import kernels
from tinycnn.devices.checks import compile_gate
from tinycnn.devices.gpu import cards
from tinycnn.devices.gpu.fast.instances import DIRECTIONS, FORWARD
from tinycnn.devices.gpu.fast.plan import plan as planned
from tinycnn.shapes import Geometry

CARDS = ("t4", "a100-40gb", "rtx4090", "h200")
COLUMNS = f"{'threads':>8}{'registers':>10}{'shared':>8}{'spills':>7}{'code':>8}{'s':>6}  kernel"


def layer_of(problem):
    """What a convolution or dense layer is to the kernels."""
    if isinstance(problem, Dense):
        return Geometry.of_product(problem.N, problem.fan_in, problem.units)
    x_shape, w_shape = (problem.N, problem.H, problem.W, problem.C), (problem.R, problem.S, problem.C, problem.K)
    return Geometry.of(x_shape, w_shape, problem.stride, problem.padding)


def plans_of(problems, card):
    """The launches of all directions, each kernel once; backward as it is behind a ReLU."""
    layers = [layer_of(problem) for problem in problems if isinstance(problem, Convolution | Dense)]
    plans = [planned(layer, way, card, way != FORWARD)[1] for layer in layers for way in DIRECTIONS]
    return list({plan.kernel: plan for plan in plans}.values())


def compiled(plan, arch):
    """(Row of the compile gate, bytes of code, seconds) of a launch's kernel in float."""
    begin, name = time.perf_counter(), plan.named("float")
    program = compile_gate.compile_program(kernels.source(plan.file), f"{plan.file}.cu", [name], arch)
    (row,) = compile_gate.rows_of(program.log, program.lowered, f"{plan.file}.cu", arch)
    return row, program.code_sizes()[name], time.perf_counter() - begin


def main(words=None):
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--card", action="append", metavar="CARD", help=f"of {', '.join(cards.all_cards())}")
    options = parser.parse_args(words)
    problems, spilling = list(network_shapes.problems(options.networks or None)), 0
    for card in map(cards.get, options.card or CARDS):
        plans = plans_of(problems, card)
        print(f"{card.name} ({card.arch}): {len(plans)} kernels\n{COLUMNS}")
        for plan in plans:
            row, code, seconds = compiled(plan, card.arch)
            spilling += row.spills > 0
            numbers = f"{plan.block[0]:8}{row.registers:10}{plan.shared:8}{row.spills:7}{code:8}{seconds:6.1f}"
            print(f"{numbers}  {row.kernel}", flush=True)
    print(f"{spilling} spill")
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
