"""The planner of the kernels for one shape: what it counts, what it predicts, and which tile it takes for a layer."""

import json
import math
from statistics import median

import fast_compile
import fast_tiles
import fit_cost_model
import pytest

from tinycnn.devices.checks import compile_gate
from tinycnn.devices.gpu import cards
from tinycnn.devices.gpu.fast import cost, explain, measured, occupancy, plan
from tinycnn.devices.gpu.fast.counts import counts_of
from tinycnn.devices.gpu.fast.instances import (
    BACKWARD_DATA,
    BACKWARD_FILTER,
    DIRECTIONS,
    FORWARD,
    TURNED,
    FilterTile,
    GemmTile,
    SmallFilterTile,
    SmallTile,
    is_turnable,
    plan_of,
    simplified,
)
from tinycnn.shapes import Geometry, window_padding

H200, T4 = cards.get("h200"), cards.get("t4")
SOME_CARDS = (T4, cards.get("rtx4090"), H200)  # a block has 64, 99 and 227 KB


def layer(N, H, W, C, K, R, S, stride=(1, 1), padding="valid"):
    return Geometry.of((N, H, W, C), (R, S, C, K), stride, window_padding((H, W), (R, S), stride, padding))


LAYERS = [
    layer(128, 28, 28, 1, 12, 3, 3),
    layer(128, 26, 26, 12, 20, 3, 3),
    layer(128, 9, 9, 128, 256, 5, 5),
    layer(128, 14, 14, 64, 256, 7, 7, padding="same"),
    layer(128, 15, 14, 22, 37, 3, 2, stride=(2, 3), padding="same"),
    layer(1, 224, 224, 3, 64, 7, 7, stride=(2, 2), padding="same"),
    layer(3, 2, 1, 5, 7, 4, 4, padding="same"),
    simplified(layer(128, 24, 24, 20, 10, 1, 1)),
    simplified(layer(128, 7, 7, 64, 512, 7, 7)),
    simplified(layer(1, 1, 1, 784, 10, 1, 1)),
]


def name_of(layer):
    return "x".join(map(str, layer[:7]))


LAYER = pytest.mark.parametrize("layer", LAYERS, ids=name_of)
DIRECTION = pytest.mark.parametrize("direction", DIRECTIONS)


# ---------------------------------------------------------------- what is counted


def taps_seen(outputs, places, sees):
    """How many taps see something, for outputs dealt to tiles of so many; sees(output): the taps that see a pixel."""
    found = []
    for first in range(0, outputs, places):
        found.append(len(set().union(*(sees(o) for o in range(first, first + places)))))
    return found


def sees_of(axis, direction):
    """[(outputs, sees)] of each phase of an axis, straight from the formulas of a convolution."""
    pixels, taps, stride, pad, outputs = axis
    if direction == FORWARD:

        def sees(p):
            return {t for t in range(taps) if p < outputs and 0 <= p * stride + t - pad < pixels}

        return [(outputs, sees)]
    phases = []
    for phase in range(stride):
        there = [h for h in range(pixels) if (h + pad) % stride == phase]

        def sees(o, there=there):
            if o >= len(there):
                return set()
            h = there[o]
            return {t for t in range(taps) if (h + pad - t) % stride == 0 and 0 <= (h + pad - t) // stride < outputs}

        phases.append((-(-pixels // stride), sees))
    return phases


@pytest.mark.parametrize("direction", [FORWARD, BACKWARD_DATA])
@pytest.mark.parametrize("tile", [(4, 1, 1), (2, 2, 4), (1, 4, 2)])
@pytest.mark.parametrize("layer", [g for g in LAYERS if g.H < 100], ids=name_of)
def test_the_steps_of_every_tile_are_its_taps_that_see_a_pixel(layer, tile, direction):
    IM, TP, TQ = tile
    found = counts_of(layer, direction, GemmTile(IM, TP, TQ, 16, 8, 4, 8, 2, 3, 1, 1), 1, masked=False)
    rows = sees_of((layer.H, layer.R, layer.stride_h, layer.top, layer.P), direction)
    columns = sees_of((layer.W, layer.S, layer.stride_w, layer.left, layer.Q), direction)
    C, K = (layer.C, layer.K) if direction == FORWARD else (layer.K, layer.C)
    wanted = [
        r * s * math.ceil(C / 8)
        for high, of_rows in rows
        for wide, of_columns in columns
        for _ in range(math.ceil(layer.N / IM))
        for r in taps_seen(high, TP, of_rows)
        for s in taps_seen(wide, TQ, of_columns)
        for _ in range(math.ceil(K / 16))
    ]
    assert sorted(steps for steps, many in found.steps for _ in range(many)) == sorted(wanted)
    assert found.order is None or list(found.order) == wanted
    assert found.blocks == len(wanted)


def test_a_filters_gradient_is_counted_over_all_rows_of_dw_and_all_pixels():
    """3x3x10 rows of dw and 18 filters, in tiles of 64 x 32; 7x7 pixels of 5 images, two images a step."""
    found = counts_of(layer(5, 9, 9, 10, 18, 3, 3), BACKWARD_FILTER, FilterTile(64, 32, 2, 4, 4, 4, 3, 1), 7, False)
    assert found.blocks == 2 * 1 * 7
    assert found.fma_flop == pytest.approx(2 * (2 * 64) * 32 * (7 * 7 * 6))
    assert found.sums == 7 * 4 * 90 * 18


def test_the_small_kernels_multiply_what_there_is_and_little_more():
    forward = counts_of(LAYERS[1], FORWARD, SmallTile(24, 6, 4, 1), 1, masked=False)
    assert forward.blocks == 128 and forward.fma_flop == pytest.approx(plan.flop(LAYERS[1]), rel=0.07)
    filters = counts_of(LAYERS[1], BACKWARD_FILTER, SmallFilterTile(12, 4), 256, masked=False)
    assert filters.blocks == 256 and filters.fma_flop == pytest.approx(plan.flop(LAYERS[1]), rel=0.1)


def test_a_mask_is_copied_beside_the_gradient():
    tile = GemmTile(64, 1, 1, 64, 16, 8, 8, 4, 3, 1, 3)
    bare, masked = (counts_of(LAYERS[2], BACKWARD_DATA, tile, 1, mask) for mask in (False, True))
    assert masked.bytes - bare.bytes == 4 * 16 * 64 and masked.copies > bare.copies and masked.fmas == bare.fmas


# ---------------------------------------------------------------- how much a multiprocessor holds


@pytest.mark.parametrize(
    "card, threads, registers, shared, blocks",
    [
        ("h200", 256, 64, 0, 4),  # 64 * 256 of 65,536 registers
        ("h200", 1024, 32, 0, 2),  # 2,048 threads
        ("h200", 32, 16, 0, 32),  # blocks
        ("h200", 256, 32, 100 * 1024, 2),  # 228 KB, and 1 KB more for each block
        ("h200", 64, 32, 75 * 1024 + 512, 2),  # a third has its 75.5 KB, but not the 1 KB besides
        ("h200", 64, 168, 27 * 1024, 6),  # each quarter of the registers has room for 3 warps of 168
        ("h200", 320, 200, 0, 0),  # ... and for 2 of 200, so that 10 warps find no room
        ("h200", 256, 32, 228 * 1024, 0),
        ("t4", 1024, 32, 0, 1),
        ("t4", 256, 32, 20 * 1024, 3),  # 64 KB
        ("rtx4090", 512, 32, 0, 3),  # 1,536 threads
    ],
)
def test_a_multiprocessor_holds_as_many_blocks_as_the_scarcest_of_its_parts(card, threads, registers, shared, blocks):
    assert occupancy.resident(cards.get(card), threads, registers, shared) == blocks


def test_a_sum_in_slices_needs_room_for_the_last_blocks_flag():
    """A tile that takes all of a T4's 64 KB has none."""
    tile, of = GemmTile(128, 1, 1, 96, 16, 8, 8, 4, 4, 1, 1), Geometry.of_product(128, 512, 96)
    whole = plan.candidate((of, FORWARD, tile, 1), T4, False, 4)
    assert whole and whole.plan.shared == whole.plan.room == T4.shared_of_a_block
    assert plan.candidate((of, FORWARD, tile._replace(SPLIT=2), 2), T4, False, 4) is None
    there = plan.candidate((of, FORWARD, tile._replace(SPLIT=2, STAGES=3), 2), T4, False, 4)
    assert there and there.plan.room == there.plan.shared + 16


def test_a_compiler_that_is_told_how_many_blocks_are_to_fit_gives_no_more_registers_than_that_leaves():
    assert occupancy.most_registers(H200, 64, 6) == 168
    assert occupancy.most_registers(H200, 256, 2) == 128
    assert occupancy.most_registers(H200, 64, 1) == 255


# ---------------------------------------------------------------- what is predicted

FACTS, ROWS = fit_cost_model.read()
CASES = fast_tiles.cases()


def test_cost_json_is_made_of_the_results_file():
    fitted = cost.fitted()
    assert fitted["measured"]["sha256"] == fit_cost_model.digest(fit_cost_model.MEASURED)
    kept = [fit_cost_model.time_of(row) for row in fit_cost_model.quickest(ROWS)]
    assert fitted["times"] == json.loads(json.dumps(kept))
    assert (fitted["measured"]["card"], fitted["measured"]["path"]) == ("NVIDIA H200", "fast")


def test_of_a_layers_times_those_are_kept_that_are_the_quickest_of_their_kernel():
    kept = fit_cost_model.quickest(ROWS)
    assert len(kept) < len(ROWS)
    for row in kept[::20]:
        rivals = [r for r in ROWS if (r.problem, r.way, type(r.tile)) == (row.problem, row.way, type(row.tile))]
        assert row.us == min(r.us for r in rivals)


def test_the_fit_finds_the_coefficients_again():
    """From where they are, as far as four digits tell; from elsewhere it takes minutes."""
    of_family = [row for row in ROWS if row.family == "conv_small_filter"]
    wanted = cost.coefficients("fast/conv_small_filter", BACKWARD_FILTER)
    assert fit_cost_model.fit(of_family[::4], wanted) != wanted
    logarithms = list(map(math.log, wanted))
    best = fit_cost_model.loss(logarithms, of_family)
    for i in range(len(logarithms)):
        for move in (0.05, -0.05):
            assert fit_cost_model.loss(logarithms[:i] + [logarithms[i] + move] + logarithms[i + 1 :], of_family) > best


def test_the_errors_of_cost_json_are_those_of_its_coefficients():
    """The kinds that need no fit; and the model is nearer than what had been expected before anything was measured."""
    predicted = {row: row.predicted(cost.Coefficients(**cost.fitted()["coefficients"][row.family])) for row in ROWS}
    off = [max(us / row.us, row.us / us) for row, us in predicted.items()]
    told = cost.fitted()["errors"]["all"]
    assert told["fitted"]["median"] == pytest.approx(median(off), abs=2e-3)
    assert told["fitted"]["worst"] == pytest.approx(max(off), abs=2e-2)
    assert told["expected"] == fit_cost_model.errors({row: row.expected for row in ROWS if row.expected})
    assert told["fitted"]["median"] <= told["held out"]["median"] < told["expected"]["median"]


@DIRECTION
@LAYER
def test_nothing_is_predicted_to_beat_the_cards_arithmetic_or_its_memory(layer, direction):
    """Memory: where the cache does not hold what is read and written."""
    for card in SOME_CARDS:
        for one in plan.choices(layer, direction, card)[:20]:
            assert one.us > 1e6 * one.counts.fma_flop / (2 * card.lanes * card.multiprocessors * card.clock)
            size = 4 * sum(map(math.prod, (one.layer.x_shape, one.layer.w_shape, one.layer.y_shape)))
            assert one.us > 1e6 * size / card.bandwidth or size <= card.l2


@DIRECTION
@LAYER
def test_a_slower_card_is_predicted_to_take_longer(layer, direction):
    l4, l40s = (plan.choices(layer, direction, cards.get(name))[0].us for name in ("l4", "l40s"))
    assert l4 > l40s


# ---------------------------------------------------------------- what is taken


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("masked", [False, True])
@DIRECTION
@LAYER
def test_every_card_has_room_for_what_is_taken_of_a_layer(layer, direction, masked, itemsize):
    for card in SOME_CARDS:
        form, taken = plan.plan(layer, direction, card, masked, itemsize)
        assert taken.shared <= card.shared_of_a_block and taken.block[0] <= 1024
        assert min(taken.grid) >= 1 and taken.slices >= 1
        assert direction in taken.kernel or (direction == BACKWARD_DATA and taken.is_forward)
        assert plan.flop(form) == plan.flop(layer)


@pytest.mark.parametrize(
    "row",
    list({row.problem: row for row in ROWS}.values())[::5],
    ids=lambda row: f"{row.problem[0]} {row.problem[1]}{' masked' * row.masked}",
)
def test_what_was_measured_decides(row):
    """A tile that was not measured is taken only where it should be quicker by more than the margin."""
    name, direction = row.problem[1], row.direction
    (layer,) = {fast_compile.layer_of(case.problem) for case in CASES if case.problem.name == name}
    choices = plan.choices(layer, direction, H200, row.masked)
    tried = {one.us for one in choices if one.source == plan.MEASURED}
    times = {r.us for r in fit_cost_model.quickest(ROWS) if r.problem == row.problem}
    assert tried and tried <= times
    assert choices[0].us == min(tried) or choices[0].us * plan.MARGIN < min(tried)


def test_times_of_one_card_say_nothing_of_another():
    row = ROWS[0]
    assert measured.times(H200, row.layer, row.direction)
    for card in cards.all_cards().values():
        assert card.id == "h200" or not measured.times(card, row.layer, row.direction)
    assert plan.choices(row.layer, row.direction, T4)[0].source == plan.PREDICTED


def test_times_without_a_mask_in_float32_say_nothing_of_others():
    with_a_mask = {row.problem[1] for row in ROWS if row.masked}
    row = next(row for row in ROWS if row.direction == BACKWARD_DATA and row.problem[1] not in with_a_mask)
    for masked, itemsize in ((True, 4), (False, 8)):
        choices = plan.choices(row.layer, row.direction, H200, masked, itemsize)
        assert {one.source for one in choices} == {plan.PREDICTED}


def test_large_backward_data_is_a_forward_pass_over_what_was_made_for_it():
    """On a card that nobody has measured; a stride has no such way, nor padding beyond the filter."""
    large = layer(128, 13, 13, 64, 128, 5, 5)
    turned = [one for one in plan.choices(large, BACKWARD_DATA, T4, True) if one.way == TURNED]
    assert turned and all(
        "conv_gemm_forward<T, Conv<9, 9, 128, 64, 5, 5, 13, 13, 1, 1, 4, 4>" in o.plan.kernel for o in turned
    )
    bare = next(one for one in plan.choices(large, BACKWARD_DATA, T4) if one.launch == turned[0].launch)
    dz = 3 * 4 * 128 * 9 * 9 * 128 / T4.bandwidth * 1e6
    assert turned[0].us - bare.us == pytest.approx(cost.ANOTHER + dz)
    for other in (layer(8, 13, 13, 4, 8, 3, 3, (2, 2)), Geometry(8, 5, 5, 4, 8, 2, 2, 8, 8, 1, 1, 2, 1)):
        assert not is_turnable(other)
        assert all(one.way == BACKWARD_DATA for one in plan.choices(other, BACKWARD_DATA, T4))
        with pytest.raises(ValueError, match="is no forward pass"):
            plan_of(other, TURNED, GemmTile(64, 1, 1, 8, 4, 8, 4, 1, 3, 1, 1), 1, False, 4)


def test_a_layer_that_no_kernel_takes_is_refused():
    with pytest.raises(ValueError, match=r"no kernel of kernels/fast takes .* on NVIDIA T4"):
        plan.plan(layer(1, 40_000, 40_000, 8, 8, 3, 3), FORWARD, T4)


def test_the_reasons_tell_what_bounds_it_how_it_fills_the_card_and_what_else_there_was():
    choices = plan.choices(LAYERS[1], FORWARD, H200)
    text = " ".join(explain.reasons(FORWARD, H200, choices))
    other = next(one for one in choices if one.plan.file == "fast/conv_gemm")
    assert f"{other.us:.1f} us" in text and f"{choices[0].counts.blocks:,} blocks" in text and "bound by" in text
    best = choices[0]
    warps = best.resident * math.ceil(best.plan.block[0] / 32)
    assert f"{best.resident} on a multiprocessor ({warps / 64:.0%} of its warps)" in text


def test_the_reasons_tell_what_is_multiplied_for_nothing():
    """30 channels in steps of 16, and 33 filters in blocks of 64, of a product that has whole blocks of 64 rows."""
    of = Geometry.of_product(128, 30, 33)
    one = plan.candidate((of, FORWARD, GemmTile(64, 1, 1, 64, 16, 8, 8, 4, 3, 1, 1), 1), H200, False, 4)
    text = " ".join(explain.reasons(FORWARD, H200, (one,)))
    assert f"It multiplies {32 * 64 / (30 * 33):.2f} times what the layer counts" in text


@LAYER
def test_partial_gradients_are_neither_too_many_nor_too_long_sums(layer):
    """64 MB of all slices together, and 24,000 products to a sum where that leaves room."""
    for card in SOME_CARDS:
        form, taken = plan.plan(layer, BACKWARD_FILTER, card)
        size = 4 * form.R * form.S * form.C * form.K
        assert taken.slices == 1 or taken.slices * size <= 64 * 2**20
        if taken.file == "fast/conv_gemm_filter":
            room = (taken.slices + 1) * size <= 64 * 2**20
            assert form.N * form.P * form.Q / taken.slices <= 24_000 or not room


def test_a_large_filter_has_fewer_slices_than_its_long_sum_would_like():
    """37 MB: two partial gradients have no room."""
    large = layer(128, 56, 56, 1024, 1024, 3, 3, padding="same")
    assert plan.plan(large, BACKWARD_FILTER, H200)[1].slices == 1


def is_slower(row):
    """Whether the quickest launch of conv_gemm took a fifth longer than is predicted."""
    quickest = [
        r for r in fit_cost_model.quickest(ROWS) if r.problem == row.problem and r.family == "conv_gemm forward"
    ]
    launch = quickest and (quickest[0].layer, FORWARD, quickest[0].tile, quickest[0].slices)
    return bool(launch) and quickest[0].us > 1.2 * plan.candidate(launch, H200, False, 4).us


def test_where_a_kernel_took_longer_than_predicted_its_other_tiles_will():
    slow = next(row.layer for row in ROWS if row.way == FORWARD and is_slower(row))
    taken = {one.tile: one for one in plan.choices(slow, FORWARD, H200) if one.plan.file == "fast/conv_gemm"}
    bare = {tile: plan.candidate(one.launch, H200, False, 4).us for tile, one in taken.items()}
    factors = {round(one.us / bare[tile], 6) for tile, one in taken.items() if one.source == plan.PREDICTED}
    assert len(factors) == 1 and factors.pop() > 1.2
    quick = [one for one in plan.choices(LAYERS[2], BACKWARD_DATA, H200) if one.source == plan.PREDICTED]
    for one in quick[:20]:  # it took less than predicted, which makes nobody bolder
        assert one.us == plan.candidate(one.launch, H200, False, 4).us


@pytest.mark.parametrize("card", [H200, pytest.param(T4, marks=pytest.mark.slow)], ids=lambda card: card.id)
@pytest.mark.parametrize(
    "layer", [pytest.param(g, marks=[] if g is LAYERS[1] else pytest.mark.slow) for g in LAYERS], ids=name_of
)
def test_nvidias_compiler_spills_nothing_of_what_is_taken(nvrtc, layer, card):
    for direction in DIRECTIONS:
        for masked in {False, direction != FORWARD}:
            _, taken = plan.plan(layer, direction, card, masked)
            (row,) = compile_gate.compile_kernels(taken.file, [taken.named("float")], card.arch)
            assert row.spills == 0 and occupancy.resident(card, taken.block[0], row.registers, taken.shared)
