"""What `tinycnn plan` tells, as plain data: candidates for a convolution, and the products of a network's step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinycnn.command.options import check_form, find_network
from tinycnn.command.planned_step import one_kernel
from tinycnn.devices import get_device
from tinycnn.devices.checks import compile_gate
from tinycnn.devices.gpu import cards
from tinycnn.devices.gpu.cards import Card
from tinycnn.devices.gpu.cuda import CudaDevice, find_cupy, gpu_count, this_card
from tinycnn.devices.gpu.fast import cost, explain, instances, measured, measuring, occupancy
from tinycnn.devices.gpu.fast import plan as planner
from tinycnn.devices.gpu.fast.plan import Candidate
from tinycnn.shapes import Geometry

if TYPE_CHECKING:
    from tinycnn.fit.products import Product
    from tinycnn.models import Model

Wanted = tuple[Geometry, str, bool]  # a layer, a direction, and whether it is masked
SHOWN = 5  # candidates of a direction
WITHOUT_A_GPU = "h200"


def find_card(name: str | None) -> Card:
    """The card that --card names; without it this machine's GPU, or that of WITHOUT_A_GPU where there is none."""
    if name is None and gpu_count():
        return this_card(find_cupy())
    return cards.get(WITHOUT_A_GPU if name is None else name)


def about() -> dict[str, Any]:
    """Where predicted times come from, and how far they are off."""
    fitted = cost.fitted()
    return {"fitted_to": fitted["measured"], "errors": fitted["errors"]["all"]["held out"]}


# ---------------------------------------------------------------- measuring


def gpu_to_measure(name: str | None) -> CudaDevice:
    """This machine's GPU in float32. Raises DeviceError without one, ValueError where --card names another."""
    device = get_device("cuda", "float32")
    assert isinstance(device, CudaDevice)
    card = device.driver.card
    if name is not None and cards.get(name) != card:
        raise ValueError(f"--measure is for this machine's {card.name}, and --card names another")
    return device


def take_times(wanted: Sequence[Wanted], device: CudaDevice) -> None:
    """Measure each, and keep the times: each at once, so that a measurement that is ended has its times so far."""
    from tqdm import tqdm

    for layer, direction, masked in tqdm(
        list(dict.fromkeys(wanted)), desc="measuring", unit=" launches", leave=False, disable=None
    ):
        measured.keep(device.driver.card, measuring.measure(layer, direction, masked, device))
    planner.choices.cache_clear()


def wanted_by(target: str, batch: int) -> list[Wanted]:
    """What a training step of a network launches of kernels/fast."""
    return [(p.geometry, p.direction, is_masked(p)) for p in products_of(target, batch)[1]]


# ---------------------------------------------------------------- one convolution


def one_direction(layer: Geometry, direction: str, card: Card) -> dict[str, Any]:
    """The best candidates of a direction, and why the first is taken. `guessed`: None, or why registers are."""
    choices = planner.choices(layer, direction, card)
    best, guessed = list(choices[:SHOWN]), None
    try:
        registers = compiled_registers(best, card)
    except (compile_gate.NvrtcMissing, compile_gate.CompileError) as error:
        guessed = str(error).splitlines()[0]
    else:
        best = [compiled(one, registers[one.plan.kernel], card) for one in best]
    return {
        "direction": direction,
        "considered": len(choices),
        "guessed": guessed,
        "candidates": [row_of(one, card) for one in best],
        "reasons": explain.reasons(direction, card, (*best, *choices[SHOWN:])),
    }


def compiled_registers(choices: Sequence[Candidate], card: Card) -> dict[str, int]:
    """{kernel: registers of a thread} by NVIDIA's compiler. Raises NvrtcMissing; CompileError for a card it has not."""
    found = {}
    for file in dict.fromkeys(one.plan.file for one in choices):
        named = {one.plan.named("float"): one.plan.kernel for one in choices if one.plan.file == file}
        for row in compile_gate.compile_kernels(file, named, card.arch):
            found[named[row.kernel]] = row.registers
    return found


def compiled(one: Candidate, registers: int, card: Card) -> Candidate:
    """The same with the registers that it takes."""
    resident = occupancy.resident(card, one.plan.block[0], registers, one.plan.room)
    return one._replace(registers=registers, resident=max(1, resident))


def row_of(one: Candidate, card: Card) -> dict[str, Any]:
    """A candidate as plain data."""
    return {
        "kernel": explain.name_of(one),
        "us": one.us,
        "source": one.source,
        "tflops": planner.flop(one.layer) / one.us / 1e6,
        "registers": one.registers,
        "resident": one.resident,
        "occupancy": explain.occupancy_of(one, card),
        "plan": one.plan._asdict(),
    }


# ---------------------------------------------------------------- a network's step


def products_of(target: str, batch: int) -> tuple[Model, list[Product]]:
    """(a network, the products of a training step with so many images)."""
    from tinycnn import session, use_device
    from tinycnn.fit.products import products

    with use_device("reference"), session.without_initial_weights():
        model = find_network(target)
        check_form(model, target, images=True)
        return model, products(model, batch)


def is_masked(product: Product) -> bool:
    """Whether it is computed with the output of a ReLU beside its gradient."""
    return product.relu and product.direction != instances.FORWARD


def step(target: str, batch: int, card: Card) -> dict[str, Any]:
    """Every product of a training step, their sum, and what the rest of the step moves."""
    from tinycnn.fit.products import rest

    model, found = products_of(target, batch)
    others = rest(model, batch)
    rows = []
    for product in found:
        best = planner.choices(product.geometry, product.direction, card, is_masked(product))[0]
        rows.append({"layer": product.layer, "direction": product.direction, **row_of(best, card)})
    return {
        "batch": batch,
        "one_kernel": one_kernel(model, batch, card),
        "launches": rows,
        "sum_us": sum(row["us"] for row in rows),
        "rest": {**others._asdict(), "us_from_memory": others.bytes / card.bandwidth * 1e6},
    }
