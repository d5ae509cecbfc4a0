"""A training step as stages: forward, back, and the update."""

from __future__ import annotations

from math import prod

from tinycnn.devices.gpu.grid import ceil_div, round_up
from tinycnn.devices.gpu.step import predicted
from tinycnn.devices.gpu.step.cpp import conv_of, convolve, literal, written_out
from tinycnn.devices.gpu.step.forward import Forward, parts_of
from tinycnn.devices.gpu.step.memory import Place, planes
from tinycnn.devices.gpu.step.stages import ARRIVE, BACKWARD, BEHIND, STOP, UPDATE, WAIT, WARPS, Plan, Stage
from tinycnn.devices.network import Conv, Dense, Norm, Pool

MOST_SUMS = 36  # of a lane, in the gradient of a filter


class Builder(Forward):
    """Writes down all stages of a step, in their order."""

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
        self.lay_out(self.outputs["image"])
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
                of_each = round_up(segment.layer.channels, 4)
                self.plan.moving[segment.name] = at, at + of_each
                at += 2 * of_each
        self.plan.parameters = at

    # ---------------------------------------------------------------- backward

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

    def gap_of_gradient(self, index: int) -> int:
        """The same for the way back, of the gradient of a segment's sums."""
        layer = self.cut[index].layer
        if not isinstance(layer, Conv) or not written_out(layer.geometry) or index <= self.first_learning:
            return 0
        g = layer.geometry
        return max(g.S - 1 - g.left, g.W - 1 + g.S - g.Q - (g.S - 1 - g.left), 0)

    def through(self, index: int, y: Place | None) -> tuple[str, list[Place]]:
        """(a Through, what it reads) of the ReLU and the dropout behind a segment, whose output is y."""
        segment = self.cut[index]
        mask = self.masks.get(segment.name)
        if y is None or not (segment.relu or mask):
            return "{}" if y is None else f"{{{y.name}, 0, -1, 1.f}}", []
        name, scale = mask.name if mask else "-1", literal(1 / (1 - segment.rate))
        reads = [p for p in (y if segment.relu else None, mask) if p is not None]
        return f"{{{y.name}, {int(segment.relu)}, {name}, {scale}}}", reads

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
        parts = parts_of(self.cut[index])
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
            predicted.read_blocks(segment.shape[2]), 2 * segment.shape[2] * self.plan.batch,
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
        image, row, batch = self.outputs["image"], self.plan.row, self.plan.batch
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
            predicted.update(row, batch), ceil_div(row * (batch + 2), batch),
        )  # fmt: skip
        self.barrier(ARRIVE)
        self.barrier(WAIT)
