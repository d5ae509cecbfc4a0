"""Writes the stages of a training step down, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tinycnn.devices.gpu.grid import ceil_div, round_up
from tinycnn.devices.gpu.step import predicted
from tinycnn.devices.gpu.step.cpp import conv_of, convolve, dense_of, literal, written_out
from tinycnn.devices.gpu.step.memory import WORD, Place, lay_out, planes
from tinycnn.devices.gpu.step.segments import Segment
from tinycnn.devices.gpu.step.stages import (
    ARRIVE,
    BACKWARD,
    BEHIND,
    FORWARD,
    STAGE,
    STOP,
    SYNC,
    THREADS,
    UPDATE,
    WAIT,
    WARPS,
    Constant,
    Plan,
    Stage,
)  # fmt: skip
from tinycnn.devices.network import Conv, Dense, Network, Norm, Pool

MOST_SUMS = 36  # of a lane, in the gradient of a filter


class Builder:
    """Writes the stages of a step down, in their order."""

    def __init__(
        self, network: Network, cut: Sequence[Segment], batch: int, again: tuple[str, ...] = (), padded: bool = True
    ):
        self.plan = Plan(network, list(cut), batch, again=again)
        self.cut, self.batch, self.padded = list(cut), batch, padded
        self.part, self.of = FORWARD, ""
        self.outputs: dict[str, Place] = {}  # of segments
        self.masks: dict[str, Place] = {}
        self.filters: dict[str, Place] = {}
        self.turned: dict[str, Place] = {}
        self.argmax: dict[str, Place] = {}
        self.norms: dict[str, tuple[Place, Place]] = {}  # statistics, scratch
        self.exchanges = 0
        self.first_learning = next(i for i, s in enumerate(cut) if s.learns)
        self.each = ceil_div(batch, 32)

    # ---------------------------------------------------------------- writing down

    def place(self, name: str, size: int, what: str) -> Place:
        """A new array of so many words."""
        return self.known(Place(name, size, what=what))

    def known(self, place: Place) -> Place:
        self.plan.places.append(place)
        if place.shape:
            C, H, W = place.shape
            self.constant("Planes", place.name, f"{{@{place.name}, {C}, {H}, {W}, {place.pitch}, {place.plane}}}")
        else:
            self.constant("int", place.name, f"@{place.name}")
        return place

    def constant(self, type: str, name: str, value: str) -> None:
        self.plan.constants.append(Constant(type, name, value))

    def stage(
        self, call: str, note: str, reads: Sequence[Place | None] = (), writes: Sequence[Place | None] = (),
        cycles: float = 0.0, moved: int = 0,
    ) -> None:  # fmt: skip
        """The next stage. moved: numbers of global memory that a block reads or writes in it."""
        read, written = (tuple(p for p in places if p is not None) for places in (reads, writes))
        self.plan.stages.append(Stage(STAGE, call, note, read, written, cycles, self.part, self.of, moved))

    def barrier(self, kind: str) -> None:
        cycles = {ARRIVE: predicted.ARRIVE, WAIT: predicted.WAIT}[kind]
        self.plan.stages.append(Stage(kind, f"grid.{kind}();", part=self.part, of=self.of, cycles=cycles))

    # ---------------------------------------------------------------- the whole

    def built(self) -> Plan:
        """The Plan, laid out."""
        self.number_the_weights()
        self.image()
        for index in range(1, len(self.cut)):
            self.forward(index)
        self.loss()
        self.part = BACKWARD
        for index in reversed(range(self.first_learning, len(self.cut))):
            self.backward(index)
        self.part = UPDATE
        self.update()
        self.lay_out()
        return self.plan

    def number_the_weights(self) -> None:
        at = 0
        for segment in self.cut:
            offsets = []
            for shape in segment.sizes:
                offsets.append(at)
                at = round_up(at + prod(shape), 4)
            if offsets:
                self.plan.offsets[segment.name] = tuple(offsets)
        self.plan.row = at = at + BEHIND
        for segment in self.cut:
            if isinstance(segment.layer, Norm):
                self.plan.moving[segment.name] = at
                at = round_up(at + 2 * round_up(segment.layer.channels, 4), 4)
        self.plan.parameters = at

    def lay_out(self) -> None:
        """Lifetimes, places, and the barriers of the block that follow from them."""
        made = self.plan
        for place in made.places:
            touching = [n for n, stage in enumerate(made.stages) if place in stage.reads + stage.writes]
            place.born, place.dies = touching[0], touching[-1]
        image = self.outputs["image"]
        image.born, image.dies = 0, len(made.stages) - 1  # the next one is there before the step begins
        made.words = lay_out(made.places)
        stages: list[Stage] = []
        read: list[Place] = []
        written: list[Place] = []
        for stage in made.stages:
            if stage.kind != STAGE:
                read, written = [], []
            elif any(a.shares(b) for a in stage.reads + stage.writes for b in written) or any(
                a.shares(b) for a in stage.writes for b in read
            ):
                stages.append(Stage(SYNC, "__syncthreads();", part=stage.part, of=stage.of, cycles=predicted.SYNC))
                read, written = [], []
            read, written = [*read, *stage.reads], [*written, *stage.writes]
            stages.append(stage)
        made.stages = stages

    # ---------------------------------------------------------------- forward

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
        following = self.cut[index + 1].layer if index + 1 < len(self.cut) else None
        if not isinstance(following, Conv) or not written_out(following.geometry):
            return 0
        g = following.geometry
        return max(g.left, g.Q - 1 + g.S - g.W - g.left, 0)

    def gap_of_gradient(self, index: int) -> int:
        """The same for the way back, of the gradient of a segment's sums."""
        layer = self.cut[index].layer
        if not isinstance(layer, Conv) or not written_out(layer.geometry) or index <= self.first_learning:
            return 0
        g = layer.geometry
        return max(g.S - 1 - g.left, g.W - 1 + g.S - g.Q - (g.S - 1 - g.left), 0)

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

    def load_turned(self, index: int | None) -> None:
        """The same for the way back."""
        if index is None or index <= self.first_learning or self.cut[index].name in self.turned:
            return
        name, layer = self.cut[index].name, self.cut[index].layer
        assert isinstance(layer, Conv)
        g = layer.geometry
        taps = g.R * g.S
        place = self.place(f"{name}_turned", taps * g.K * round_up(g.C, 4), f"{name}'s filters, turned")
        self.turned[name] = place
        self.stage(
            f"load_turned({place.name}, parameters, {self.weights(index)[0]}, {taps}, {g.C}, {g.K});", "",
            writes=(place,), cycles=predicted.load(taps * g.C * g.K), moved=taps * g.C * g.K,
        )  # fmt: skip

    def last_conv(self, index: int) -> int | None:
        """The convolution before a segment, if there is one."""
        return next((i for i in reversed(range(index)) if isinstance(self.cut[i].layer, Conv)), None)

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

    def through(self, index: int, y: Place | None) -> tuple[str, list[Place]]:
        """(a Through, what it reads) of the ReLU and the dropout behind a segment, whose output is y."""
        segment = self.cut[index]
        mask = self.masks.get(segment.name)
        if y is None or not (segment.relu or mask):
            return "{}" if y is None else f"{{{y.name}, 0, -1, 1.f}}", []
        name, scale = mask.name if mask else "-1", literal(1 / (1 - segment.rate))
        reads = [p for p in (y if segment.relu else None, mask) if p is not None]
        return f"{{{y.name}, {int(segment.relu)}, {name}, {scale}}}", reads

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
        name, parts = segment.name, max(1, min(H * W, ceil_div(2 * WARPS, C), 8))
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
        moving = self.plan.moving[name]
        self.stage(
            f"read_moments<{self.each}>({name}_layer, {exchange}, grid.images, parameters, {gamma}, {beta}, "
            f"{moving}, {moving + round_up(C, 4)}, "
            f"{literal(1 - layer.momentum)}, {literal(layer.epsilon)});",
            "", (), (statistics,), predicted.read_blocks(C), 2 * C * self.batch + 2 * C,
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

    def loss(self) -> None:
        """The logits' gradients, through the last segment's ReLU and dropout."""
        last = len(self.cut) - 1
        segment = self.cut[last]
        self.of = "loss"
        K = segment.shape[2]
        self.load_turned(last if isinstance(segment.layer, Conv) else self.last_conv(last))
        logits = self.outputs[segment.name]
        self.gradient = gradient = self.new_gradient(last)
        self.stage(
            f"softmax_crossentropy({logits.name}, {gradient.name}, batches.labels + own * {K}, grid.images, "
            f"partial, {self.plan.row - BEHIND});",
            f"{K} classes", (logits,), (gradient,), predicted.SOFTMAX, K + 2,
        )  # fmt: skip
        below, reads = self.through(last, logits)
        if reads:
            self.stage(f"pass_back({gradient.name}, {below});", "", (gradient, *reads), (gradient,), predicted.LATENCY)

    # ---------------------------------------------------------------- backward

    def backward(self, index: int) -> None:
        """From the gradient of a segment's own sums to the gradients of its weights, and to that of the one before."""
        segment = self.cut[index]
        self.of = segment.name
        layer, dy = segment.layer, self.gradient
        lowest = index == self.first_learning
        if isinstance(layer, Norm):
            self.norm_backward(index)
            return
        x = self.input_again(index) if segment.learns else self.outputs[self.cut[index - 1].name]
        if not lowest:
            self.gradient = dx = self.new_gradient(index - 1)
            self.data_backward(index, x, dy, dx)
            if isinstance(self.cut[index - 1].layer, Norm):
                self.norm_sums(index - 1)
        if segment.learns:
            self.weights_backward(index, x, dy)
        if not lowest:
            self.load_turned(self.last_conv(index))

    def input_again(self, index: int) -> Place:
        """A segment's input, which is computed once more where it was not kept."""
        before = self.cut[index - 1]
        if before.name in self.plan.again:
            return self.normalized(index - 1, "_again")
        return self.outputs[before.name]

    def new_gradient(self, index: int) -> Place:
        """A place for the gradient of a segment's output; under a batch normalisation it becomes that of its input."""
        segment = self.cut[index]
        producer = index
        while isinstance(self.cut[producer].layer, Norm):
            producer -= 1
        place = self.known(
            planes(f"d_{segment.name}", segment.shape, self.gap_of_gradient(producer), "its gradient", self.padded)
        )
        self.clear(place)
        return place

    def data_backward(self, index: int, x: Place, dy: Place, dx: Place) -> None:
        segment = self.cut[index]
        layer = segment.layer
        below, reads = self.through(index - 1, x)
        if isinstance(layer, Conv):
            g = layer.geometry
            self.load_turned(index)
            turned = self.turned[segment.name]
            tile = predicted.conv_tile(g.R, g.S, g.K, g.H, g.W, g.C) if written_out(g) else None
            self.constant(
                "Conv", f"{segment.name}_back",
                conv_of(
                    dy, dx, g, ((1, 1), g.stride), (g.R - 1 - g.top, g.S - 1 - g.left), turned.name, "-1", False, tile,
                ),
            )  # fmt: skip
            self.stage(
                f"{convolve(g, tile)}({segment.name}_back, {below}, true);", f"{g.P}x{g.Q}x{g.K}, {g.R}x{g.S} -> {g.C}",
                (dy, turned, *reads), (dx,), predicted.convolution(g.R, g.S, g.K, g.H, g.W, g.C, tile),
            )  # fmt: skip
        elif isinstance(layer, Dense):
            w = self.weights(index)[0]
            self.stage(
                f"dense_backward({segment.name}_layer, parameters, {w}, {dy.name}, {dx.name}, {below});",
                f"{layer.units} -> {layer.inputs}", (dy, *reads), (dx,), predicted.dense(layer.inputs, layer.units),
                layer.inputs * layer.units,
            )  # fmt: skip
        else:
            assert isinstance(layer, Pool)
            g, y, argmax = layer.geometry, self.outputs[segment.name], self.argmax[segment.name]
            reads = [p for p in reads if p is not x]
            self.stage(
                f"maxpool2d_backward({segment.name}_layer, {dy.name}, {dx.name}, {below});", f"{g.R}x{g.S}",
                (dy, argmax, *([y] if self.cut[index - 1].relu else []), *reads), (dx,),
                predicted.elementwise(3 * g.H * g.W * g.C),
            )  # fmt: skip

    def weights_backward(self, index: int, x: Place, dy: Place) -> None:
        segment = self.cut[index]
        layer, offsets = segment.layer, self.plan.offsets[segment.name]
        if isinstance(layer, Dense):
            w, b = self.weights(index)
            self.stage(
                f"dense_gradient({segment.name}_layer, {dy.name}, partial, {w}, {b});", "", (x, dy), (),
                predicted.elementwise(layer.inputs * layer.units), layer.units * (layer.inputs + layer.bias),
            )  # fmt: skip
            return
        assert isinstance(layer, Conv)
        g = layer.geometry
        size = g.R * g.S * g.C * g.K
        dw = self.place(f"{segment.name}_dw", size, f"the gradient of {segment.name}'s filters")
        self.constant(
            "FilterGradient", f"{segment.name}_gradient",
            f"{{{x.name}, {dy.name}, {g.R}, {g.S}, {{{g.stride_h}, {g.stride_w}}}, {g.top}, {g.left}, {dw.name}}}",
        )  # fmt: skip
        tile = (
            predicted.filter_tile(g.R, g.S, g.C, g.P, g.Q, g.K)
            if written_out(g) and 4 * g.R * g.S <= MOST_SUMS
            else None
        )
        function = f"filter_gradient<{g.R}, {g.S}, {tile[0]}, {tile[1]}>" if tile else "filter_gradient_any"
        self.stage(
            f"{function}({segment.name}_gradient);", "", (x, dy), (dw,),
            predicted.filter_gradient(g.R, g.S, g.C, g.P, g.Q, g.K, tile),
        )  # fmt: skip
        places = [(dw, size, offsets[0])]
        if layer.bias:
            sums = self.place(f"{segment.name}_db", g.K, f"the gradient of {segment.name}'s bias")
            cycles = predicted.sums(g.P * g.Q, g.K, 1, 1)
            self.stage(f"bias_gradient({dy.name}, {sums.name});", "", (dy,), (sums,), cycles)
            places.append((sums, g.K, offsets[1]))
        for found, count, offset in places:
            self.stage(
                f"publish_gradient(partial, {offset}, {found.name}, {count});", "", (found,), (),
                predicted.elementwise(count // 4), count,
            )  # fmt: skip

    def norm_sums(self, index: int) -> None:
        """What the blocks leave for the way back through a batch normalisation, as soon as its gradient is known."""
        name, C = self.cut[index].name, self.cut[index].shape[2]
        H, W, _ = self.cut[index].shape
        x, dy = self.outputs[self.cut[index - 1].name], self.gradient
        statistics, _ = self.norms[name]
        parts = max(1, min(H * W, ceil_div(2 * WARPS, C), 8))
        scratch = self.place(f"{name}_back_sums", 2 * C * parts, "sums of the warps")
        self.constant("Norm", f"{name}_back", f"{{{x.name}, {statistics.name}, {scratch.name}, {parts}, divisor({W})}}")
        self.exchanged = self.exchange(C)
        gamma, beta = self.plan.offsets[name]
        self.stage(
            f"find_sums({name}_back, {dy.name});", f"{H}x{W}x{C}", (x, dy, statistics), (scratch,),
            predicted.sums(H * W, C, parts, 2),
        )  # fmt: skip
        self.stage(
            f"publish_sums({name}_back, {self.exchanged}, partial, {gamma}, {beta});", "", (scratch,),
            cycles=predicted.publish(parts), moved=4 * C,
        )  # fmt: skip
        self.barrier(ARRIVE)

    def norm_backward(self, index: int) -> None:
        segment = self.cut[index]
        if index == len(self.cut) - 1:
            self.norm_sums(index)  # behind a layer, that layer's way back has done it
        name, dy = segment.name, self.gradient
        x, (statistics, _) = self.outputs[self.cut[index - 1].name], self.norms[name]
        self.barrier(WAIT)
        if index == self.first_learning:
            return
        self.stage(
            f"read_sums<{self.each}>({name}_back, {self.exchanged}, grid.images);", "", (), (statistics,),
            predicted.read_blocks(segment.shape[2]), 2 * segment.shape[2] * self.batch,
        )  # fmt: skip
        below, reads = self.through(index - 1, x)
        self.stage(
            f"normalize_backward({name}_back, {dy.name}, {below}, grid.images);", "",
            (x, dy, statistics, *reads), (dy,), predicted.normalize(2 * prod(segment.shape)),
        )  # fmt: skip
        if isinstance(self.cut[index - 1].layer, Norm):
            self.norm_sums(index - 1)

    # ---------------------------------------------------------------- the update

    def update(self) -> None:
        image = self.outputs["image"]
        self.of = "all"
        self.barrier(ARRIVE)
        self.stage(
            f"if (step + 1 < steps) gather({image.name}, batches, step + 1);",
            "the next image", (), (image,), predicted.load(prod(self.cut[0].shape)), prod(self.cut[0].shape),
        )  # fmt: skip
        self.barrier(WAIT)
        self.plan.stages.append(Stage(STOP, "if (grid.failed) break;", part=self.part, of=self.of))
        scratch = self.place("update_sums", 128 * WARPS, "sums of the warps")
        self.stage(
            "update(RULE, partials, parameters, first, second, totals, ROW, grid.images, rates[step], update_sums);",
            "the gradients of all images, and the optimiser's rule", (), (scratch,),
            predicted.update(self.plan.row, self.batch), ceil_div(self.plan.row * (self.batch + 2), self.batch),
        )  # fmt: skip
        self.barrier(ARRIVE)
        self.barrier(WAIT)
