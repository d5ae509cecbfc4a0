"""The way forward through a network, as stages."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tinycnn.devices.gpu.grid import ceil_div, round_up
from tinycnn.devices.gpu.step import predicted
from tinycnn.devices.gpu.step.cpp import conv_of, convolve, dense_of, literal, written_out
from tinycnn.devices.gpu.step.memory import WORD, Place, planes
from tinycnn.devices.gpu.step.segments import Segment
from tinycnn.devices.gpu.step.stages import ARRIVE, STAGE, THREADS, WAIT, WARPS, Plan, Stage
from tinycnn.devices.gpu.step.writing import Writer
from tinycnn.devices.network import Conv, Dense, Network, Norm, Pool


class Forward(Writer):
    """Writes down the stages from the image to the logits. What the way back needs of them it keeps, by segment."""

    def __init__(
        self, network: Network, cut: Sequence[Segment], batch: int, again: tuple[str, ...] = (), padded: bool = True
    ):
        super().__init__(Plan(network, list(cut), batch, again=again))
        self.cut, self.padded = self.plan.segments, padded
        self.outputs: dict[str, Place] = {}  # of segments
        self.masks: dict[str, Place] = {}
        self.filters: dict[str, Place] = {}
        self.turned: dict[str, Place] = {}
        self.argmax: dict[str, Place] = {}
        self.norms: dict[str, tuple[Place, Place]] = {}  # statistics, scratch
        self.exchanges = 0
        self.first_learning = next(i for i, s in enumerate(cut) if s.learns)
        self.each = ceil_div(batch, 32)

    def image(self) -> None:
        """The image is there; its ReLU and dropout, where it has them."""
        segment = self.cut[0]
        self.of = segment.name
        image = self.known(planes("image", segment.shape, self.gap_of_input(0), "the image", self.padded))
        self.outputs["image"] = image
        if image.gap:
            self.plan.before.append(Stage(STAGE, "clear_edges(image);"))
        self.mask(0)
        self.activate(0)

    def gap_of_input(self, index: int) -> int:
        """Zeros that the next layer reads beyond the edges of a segment's rows."""
        following = self.following(index)
        if not isinstance(following, Conv) or not written_out(following.geometry):
            return 0
        g = following.geometry
        return max(g.left, g.Q - 1 + g.S - g.W - g.left, 0)

    def output(self, index: int, suffix: str = "") -> Place:
        """A new place for a segment's output, with zeros at its edges."""
        segment = self.cut[index]
        what = f"what {segment.name} gives" if not suffix else f"the same once more, for {self.cut[index + 1].name}"
        place = self.known(planes(segment.name + suffix, segment.shape, self.gap_of_input(index), what, self.padded))
        self.clear(place)
        return place

    def clear(self, place: Place) -> None:
        if place.gap:
            self.stage(
                f"clear_edges({place.name});",
                "",
                writes=(place,),
                cycles=predicted.elementwise(prod(place.shape or ())),
            )

    def forward(self, index: int) -> None:
        segment = self.cut[index]
        self.of = segment.name
        layer = segment.layer
        if isinstance(layer, Norm):
            self.norm(index)
            return
        below = self.outputs[self.cut[index - 1].name]
        if isinstance(layer, Conv):
            self.load(index)
            if not isinstance(self.following(index), Norm):
                self.load(self.next_conv(index))
            self.outputs[segment.name] = place = self.output(index)
            self.convolution(index, below, place)
        elif isinstance(layer, Dense):
            self.outputs[segment.name] = place = self.output(index)
            w, b = self.weights(index)
            scratch = self.place(f"{segment.name}_sums", THREADS, "sums of the threads")
            self.constant("Dense", f"{segment.name}_layer", dense_of(below, place, layer.relu))
            self.stage(
                f"dense({segment.name}_layer, parameters, {w}, {b}, {scratch.name});",
                f"{layer.inputs} x {layer.units}", (below, scratch), (place, scratch),
                predicted.dense(layer.inputs, layer.units),
                layer.units * (layer.inputs + layer.bias),
            )  # fmt: skip
        elif isinstance(layer, Pool):
            self.outputs[segment.name] = place = self.output(index)
            g = layer.geometry
            argmax = self.place(f"{segment.name}_argmax", ceil_div(g.P * g.Q * g.K, WORD), "where the maxima were")
            self.argmax[segment.name] = argmax
            numbers = f"{g.R}, {g.S}, {g.stride_h}, {g.stride_w}, {g.top}, {g.left}"
            self.constant("Pool", f"{segment.name}_layer", f"{{{below.name}, {place.name}, {numbers}, {argmax.name}}}")
            self.stage(
                f"maxpool2d({segment.name}_layer);", f"{g.R}x{g.S}", (below,), (place, argmax),
                predicted.elementwise(g.P * g.Q * g.K * g.R * g.S),
            )  # fmt: skip
        self.mask(index)
        self.activate(index)

    def following(self, index: int) -> object:
        return self.cut[index + 1].layer if index + 1 < len(self.cut) else None

    def next_conv(self, index: int) -> int | None:
        return next((i for i in range(index + 1, len(self.cut)) if isinstance(self.cut[i].layer, Conv)), None)

    def weights(self, index: int) -> tuple[int, int]:
        """(kernel, bias or -1) of a segment: offsets."""
        offsets = self.plan.offsets[self.cut[index].name]
        return offsets[0], offsets[1] if len(offsets) > 1 else -1

    def load(self, index: int | None) -> None:
        """The filters of a convolution to shared memory, unless they are there."""
        if index is None or self.cut[index].name in self.filters:
            return
        name, layer = self.cut[index].name, self.cut[index].layer
        assert isinstance(layer, Conv)
        g = layer.geometry
        rows, width = g.R * g.S * g.C, round_up(g.K, 4)
        place = self.place(f"{name}_filters", rows * width + width, f"{name}'s filters and bias")
        self.filters[name] = place
        w, b = self.weights(index)
        self.stage(
            f"load_filters({place.name}, parameters, {w}, {rows}, {g.K}, {b});", "", writes=(place,),
            cycles=predicted.load(rows * g.K), moved=(rows + layer.bias) * g.K,
        )  # fmt: skip

    def convolution(self, index: int, x: Place, y: Place) -> None:
        segment = self.cut[index]
        assert isinstance(segment.layer, Conv)
        g = segment.layer.geometry
        filters = self.filters[segment.name]
        tile = predicted.conv_tile(g.R, g.S, g.C, g.P, g.Q, g.K) if written_out(g) else None
        bias = g.R * g.S * g.C * round_up(g.K, 4)
        self.constant(
            "Conv", f"{segment.name}_layer",
            conv_of(
                x, y, g, (g.stride, (1, 1)), (g.top, g.left), filters.name,
                f"{filters.name} + {bias}" if segment.layer.bias else "-1", segment.layer.relu, tile,
            ),
        )  # fmt: skip
        self.stage(
            f"{convolve(g, tile)}({segment.name}_layer, {{}}, false);", f"{g.H}x{g.W}x{g.C}, {g.R}x{g.S} -> {g.K}",
            (x, filters), (y,), predicted.convolution(g.R, g.S, g.C, g.P, g.Q, g.K, tile),
        )  # fmt: skip

    def mask(self, index: int) -> None:
        """The bits of a segment's dropout."""
        segment = self.cut[index]
        if segment.drop < 0:
            return
        H, W, C = segment.shape
        place = self.place(f"{segment.name}_mask", H * W * ceil_div(C, 32), f"what {segment.name}'s dropout keeps")
        self.masks[segment.name] = place
        threshold = round(segment.rate * 2**32)
        self.stage(
            f"make_mask({place.name}, {H * W}, {C}, {threshold}ull, draws + {2 * segment.drop}, pass);",
            f"dropout {segment.rate:g}", writes=(place,), cycles=predicted.philox(H * W, C),
        )  # fmt: skip

    def activate(self, index: int) -> None:
        """ReLU and dropout of a segment, in place, where its layer has not computed them."""
        segment, mask = self.cut[index], self.masks.get(self.cut[index].name)
        own = isinstance(segment.layer, Conv | Dense) and segment.layer.relu
        if not mask and (own or not segment.relu):
            return
        y = self.outputs[segment.name]
        self.stage(
            f"activate({y.name}, {int(segment.relu and not own)}, {mask.name if mask else -1}, "
            f"{literal(1 / (1 - segment.rate))});",
            "", (y, mask), (y,), predicted.elementwise(prod(segment.shape)),
        )  # fmt: skip

    def exchange(self, channels: int) -> str:
        """Where blocks leave their sums, by turns in one of two places: who has waited has read what was before."""
        self.exchanges += 1
        self.plan.exchange = max(self.plan.exchange, 2 * channels)
        return "exchange" if self.exchanges % 2 else "exchange + half"

    def norm(self, index: int) -> None:
        segment, x = self.cut[index], self.outputs[self.cut[index - 1].name]
        layer = segment.layer
        assert isinstance(layer, Norm)
        H, W, C = segment.shape
        name, parts = segment.name, parts_of(segment)
        statistics = self.place(f"{name}_statistics", 6 * C, f"{name}'s statistics of the batch")
        scratch = self.place(f"{name}_sums", 2 * C * parts, "sums of the warps")
        self.norms[name] = statistics, scratch
        numbers = f"{statistics.name}, {scratch.name}, {parts}, divisor({W})"
        self.constant("Norm", f"{name}_layer", f"{{{x.name}, {numbers}}}")
        exchange = self.exchange(C)
        self.stage(f"find_moments({name}_layer);", f"{H}x{W}x{C}", (x,), (scratch,), predicted.sums(H * W, C, parts, 2))
        self.stage(
            f"publish_moments({name}_layer, {exchange});", "", (scratch,), cycles=predicted.publish(parts), moved=2 * C
        )
        self.barrier(ARRIVE)
        self.mask(index)
        self.load(self.next_conv(index))
        self.barrier(WAIT)
        gamma, beta = self.plan.offsets[name]
        moving_mean, moving_variance = self.plan.moving[name]
        self.stage(
            f"read_moments<{self.each}>({name}_layer, {exchange}, grid.images, parameters, {gamma}, {beta}, "
            f"{moving_mean}, {moving_variance}, "
            f"{literal(1 - layer.momentum)}, {literal(layer.epsilon)});",
            "", (), (statistics,), predicted.read_blocks(C), 2 * C * self.plan.batch + 2 * C,
        )  # fmt: skip
        self.outputs[name] = self.normalized(index, "")

    def normalized(self, index: int, suffix: str) -> Place:
        """What a batch normalisation gives, with ReLU and dropout, in a new place."""
        segment, x = self.cut[index], self.outputs[self.cut[index - 1].name]
        statistics, _ = self.norms[segment.name]
        y, mask = self.output(index, suffix), self.masks.get(segment.name)
        self.stage(
            f"normalize({segment.name}_layer, {y.name}, {int(segment.relu)}, {mask.name if mask else -1}, "
            f"{literal(1 / (1 - segment.rate))});",
            "once more" if suffix else "", (x, statistics, mask), (y,), predicted.normalize(prod(segment.shape)),
        )  # fmt: skip
        return y


def parts_of(segment: Segment) -> int:
    """How many warps share a channel of a batch normalisation: two tasks for each warp, where it has pixels enough."""
    H, W, C = segment.shape
    return max(1, min(H * W, ceil_div(2 * WARPS, C), 8))
