"""Networks as text, and text from networks: CN(8,(3,3))->BN()->MP(2,2)->FL()->DN(10)

    CN(filters,(rows,columns))  convolution with relu. CN(8,3) is 3x3; CN(8) takes the kernel of the CN before it
                                in the text, and the first one is 3x3
    BN()                        batch normalisation
    MP(rows,columns)            max pooling; also MP(2) and MP((2,2)). AP(rows,columns): average pooling
    GA() GM()                   global average pooling, global max pooling
    ZP(rows,columns)            zero padding; also ZP(1) and, with its sides, ZP((top,bottom),(left,right))
    UP(rows,columns)            upsampling, every pixel so many times; also UP(2)
    CT(filters,(rows,columns))  transposed convolution with relu
    DP(rate)                    dropout
    FL()                        flatten
    DN(units)                   a dense layer with relu; also DN(units,activation)
    AC(activation)              an activation of its own. LR(alpha): LeakyReLU; EL(alpha): ELU
    IN(32,32,3)                 at the beginning: the images, (28,28,1) where it is not said
    [CN(8,1)|MP(3,3,strides=1,padding=same)->BN()|]
                                branches from the same input, joined along the channels; an empty one passes it on.
                                With + in place of | they are added up: [CN(8,3,padding=same)+] is a residual block

Named after these, as in CN(8,3,padding=same,init=he_normal): for CN and CT strides, padding, activation (relu or none),
init, bias (True or False); for DN activation (relu, none or softmax), init, bias; for MP and AP strides, padding; for
BN momentum, epsilon. For relu may stand any activation of functional.ACTIVATIONS. Between layers stands `->`, the
arrow character, or only a space.

A CN, CT or DN that does not say activation= has relu, but none where an AC, LR or EL follows it, or FL() and one of
these.

The text may leave out the classifier. A text that ends in a softmax of `classes` is complete, and a DN(classes) at
the end has the softmax. After a CN at the end that gives (1, 1, classes), without relu unless it says so, and after
anything else of that shape comes FL()->AC(softmax). What ends flat gets DN(classes), the rest FL()->DN(classes).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from tinycnn.activations import Own
from tinycnn.layers import (
    ELU,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Input,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    Symbol,
    UpSampling2D,
    ZeroPadding2D,
)
from tinycnn.layers.base import positive
from tinycnn.models import Model, Sequential
from tinycnn.shapes import pair


class Code(NamedTuple):
    """A layer; the arguments that come first; those that are named, and what they are when left out."""

    layer: type[Layer]
    first: tuple[str, ...]
    named: dict[str, Any]


WEIGHTS: dict[str, Any] = {"activation": "relu", "kernel_initializer": "glorot_uniform", "use_bias": True}
CODES = {
    "CN": Code(Conv2D, ("filters", "kernel_size"), {"strides": (1, 1), "padding": "valid", **WEIGHTS}),
    "CT": Code(Conv2DTranspose, ("filters", "kernel_size"), {"strides": (1, 1), "padding": "valid", **WEIGHTS}),
    "BN": Code(BatchNormalization, (), {"momentum": 0.99, "epsilon": 1e-3}),
    "MP": Code(MaxPooling2D, ("pool_size",), {"strides": None, "padding": "valid"}),
    "AP": Code(AveragePooling2D, ("pool_size",), {"strides": None, "padding": "valid"}),
    "GA": Code(GlobalAveragePooling2D, (), {}),
    "GM": Code(GlobalMaxPooling2D, (), {}),
    "ZP": Code(ZeroPadding2D, ("padding",), {}),
    "UP": Code(UpSampling2D, ("size",), {}),
    "DP": Code(Dropout, ("rate",), {}),
    "FL": Code(Flatten, (), {}),
    "DN": Code(Dense, ("units", "activation"), WEIGHTS),
    "AC": Code(Activation, ("activation",), {}),
    "LR": Code(LeakyReLU, ("alpha",), {}),
    "EL": Code(ELU, ("alpha",), {}),
}
INPUT, USUAL_IMAGES = "IN", (28, 28, 1)
POOLS, ACTIVATIONS = ("MP", "AP"), ("AC", "LR", "EL")
PAIRS = (*POOLS, "ZP", "UP")  # a pair of numbers is written without its parentheses
MERGES: dict[str, type[Layer]] = {"|": Concatenate, "+": Add}  # by what stands between branches
SHORT = {"kernel_initializer": "init", "use_bias": "bias"}
TOKEN = re.compile(r"\s*(?P<token>(?P<code>\w+)\s*\((?:[^()]|\([^()]*\))*\)|->|→|[\[\]|+]|$)")
OPENED = re.compile(r"\s*(?P<code>\w+)\s*\(")
EXPECTED = "expected a layer like CN(8,(3,3)), -> or one of [ | + ]"


class NotationError(ValueError):
    """A text that is not a network. The message quotes the text with a ^ before the wrong place."""

    def __init__(self, problem: object, text: str, start: int):
        before = text[:start] if start <= 30 else "..." + text[start - 27 : start]
        super().__init__(f"{problem}, at character {start + 1}: {before}^{shortened(text[start:], 40)}")


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


# ---------------------------------------------------------------- from a text to a network


@dataclass
class Step:
    """A layer of the text, or the sign of MERGES between branches.

    activation: of a CN, CT or DN that does not say its own.
    """

    code: str
    start: int
    options: dict[str, Any] = field(default_factory=dict)
    branches: list[list[Step]] = field(default_factory=list)
    activation: str | None = "relu"


class Reader:
    """Reads a text once, from left to right, into Steps."""

    def __init__(self, text: str):
        self.text, self.kernel = text, (3, 3)
        self.input_shape: tuple[int, ...] | None = None
        self.tokens: list[re.Match] = []
        end = 0
        while not self.tokens or self.token:
            match = TOKEN.match(text, end)
            if match is None:
                start = end + len(text[end:]) - len(text[end:].lstrip())
                opened = OPENED.match(text, end)  # a layer all of whose parentheses closed would be a token
                wrong = f"the parentheses of {opened['code']} do not close" if opened else EXPECTED
                raise NotationError(wrong, text, start)
            self.tokens.append(match)
            end = match.end()
        self.tokens.reverse()

    @property
    def token(self) -> str:
        """The characters of the next token, none at the end."""
        return self.tokens[-1]["token"]

    def fail(self, problem: object) -> NoReturn:
        raise NotationError(problem, self.text, self.tokens[-1].start("token"))

    def expected(self, what: str) -> NoReturn:
        self.fail(f"expected {what}, not {shortened(self.token, 80) or 'the end'}")

    def take(self, *wanted: str) -> bool:
        """Whether the next token is one of these; if so it is read."""
        return self.token in wanted and bool(self.tokens.pop())

    def network(self) -> list[Step]:
        if self.tokens[-1]["code"] == INPUT:
            self.input_shape = self.images()
        try:
            steps = self.chain()
        except RecursionError:
            self.fail("branches are nested too deeply")
        if self.token:
            self.expected("-> and a layer")
        return steps

    def images(self) -> tuple[int, ...]:
        """The shape of the images, as the text says it before its layers."""
        numbers = re.fullmatch(r"\w+\s*\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)", self.token)
        if numbers is None or "0" in numbers.groups():
            self.expected("IN(rows,columns,channels)")
        self.tokens.pop()
        if not (self.take("->", "→") or self.after_a_space()):
            self.expected("-> and a layer")
        return tuple(map(int, numbers.groups()))

    def chain(self) -> list[Step]:
        steps = [self.step()]
        while self.take("->", "→") or self.after_a_space():
            steps.append(self.step())
        for i, step in enumerate(steps):
            following = [s.code for s in steps[i + 1 :] if s.code != "FL"]
            step.activation = None if following and following[0] in ACTIVATIONS else "relu"
        return steps

    def after_a_space(self) -> bool:
        """Whether a layer or branches come next, with a space before them."""
        match = self.tokens[-1]
        return bool(match["code"] or self.token == "[") and match.start() < match.start("token")

    def step(self) -> Step:
        start, code = self.tokens[-1].start("token"), self.tokens[-1]["code"]
        if self.take("["):
            sign, branches = self.branches()
            return Step(sign, start, branches=branches)
        if code not in CODES:
            self.expected(f"a layer ({', '.join(CODES)}) or [")
        step = Step(code, start, self.options(code))
        self.tokens.pop()
        return step

    def branches(self) -> tuple[str, list[list[Step]]]:
        """The sign between the branches, the same between all, and the branches."""
        branches, sign = [self.branch()], self.token
        while sign in MERGES and self.take(sign):
            branches.append(self.branch())
        if len(branches) < 2 or not self.take("]"):
            self.expected(f"->, {sign} or ]" if len(branches) > 1 else "->, | or + and a second branch")
        return sign, branches

    def branch(self) -> list[Step]:
        return [] if self.token in ("]", *MERGES) else self.chain()

    def options(self, code: str) -> dict[str, Any]:
        """The arguments in the parentheses, {name of the layer's argument: value}."""
        _, first, named = CODES[code]
        try:
            call = ast.parse(self.token, mode="eval").body
            assert isinstance(call, ast.Call)  # which is what TOKEN matches
            values = [value_of(argument) for argument in call.args]
            pairs = [(keyword.arg, value_of(keyword.value)) for keyword in call.keywords]
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
            self.expected(f"numbers, pairs of numbers and words in {usage(code)}")
        if code in PAIRS and len(values) == 2:
            values = [tuple(values)]
        if len(values) > len(first) or (first and not values and code not in POOLS):
            self.expected(usage(code))
        options = dict(zip(first, values, strict=False))
        keys = {SHORT.get(name, name): name for name in named}
        for key, value in pairs:
            name = keys.get(key or "")  # None is that of **
            if name is None or name in options:
                self.fail(f"{key}= is unknown or comes twice in {shortened(self.token, 80)}; expected {usage(code)}")
            options[name] = value
        if code == "CN":
            try:
                options["kernel_size"] = self.kernel = pair(options.get("kernel_size", self.kernel), "the kernel")
            except ValueError as error:
                self.fail(error)
        if not isinstance(options.get("use_bias", True), bool):
            self.expected("bias=True or bias=False")
        return options


def value_of(node: ast.expr) -> Any:
    """What an argument means: a literal, or a word. Raises ValueError."""
    if isinstance(node, ast.Name):
        return None if node.id == "none" else node.id
    return ast.literal_eval(node)


def usage(code: str) -> str:
    """How a layer is written: 'DN(units, activation, init=, bias=)'"""
    _, first, named = CODES[code]
    return f"{code}({', '.join([*first, *(SHORT.get(name, name) + '=' for name in named if name not in first)])})"


def parse(text: str, input_shape: Sequence[int] = USUAL_IMAGES, classes: int = 10) -> Model:
    """The network that a text describes.

    Args:
        text: in the notation at the head of this file. input_shape: of its images, (H, W, C), where it does not say.
        classes: what its softmax at the end tells apart.

    Returns:
        A Sequential, or a Model where the text has branches. It is not compiled.

    Raises:
        NotationError: a ValueError, for a text that is no network.
        ShapeError: a ValueError, naming the layer, where a layer does not fit the one before it.

    >>> parse("CN(8,(3,3))->MP(2,2)->FL()").count_params()
    13610
    """
    reader, classes = Reader(text), positive(classes, "classes")
    steps = reader.network()
    last = steps[-1]
    if last.code == "DN" and last.options["units"] == classes:
        last.activation = "softmax"
    inputs = Input(reader.input_shape or input_shape)
    if any(step.branches for step in steps):
        symbol = connect(steps, inputs, text)
        for layer in classifier(symbol, last, classes):
            symbol = layer(symbol)
        return Model(inputs=inputs, outputs=symbol)
    model = Sequential([inputs])
    for step in steps:
        model.add(make(step, text))
    for layer in classifier(model.output, last, classes):
        model.add(layer)
    return model


def connect(steps: Sequence[Step], symbol: Symbol, text: str) -> Symbol:
    """What comes out of a chain of steps after `symbol`."""
    for step in steps:
        if step.branches:
            symbol = MERGES[step.code]()([connect(branch, symbol, text) for branch in step.branches])
        else:
            symbol = make(step, text)(symbol)
    return symbol


def make(step: Step, text: str) -> Layer:
    """The layer of a step without branches."""
    layer, _, named = CODES[step.code]
    default = {"activation": step.activation} if "activation" in named else {}
    try:
        return layer(**{**default, **step.options})
    except ValueError as error:
        raise NotationError(f"{error}", text, step.start) from None
    except TypeError:  # a word for a number, for instance
        raise NotationError(f"expected {usage(step.code)}", text, step.start) from None


def classifier(symbol: Symbol, last: Step, classes: int) -> list[Layer]:
    """The layers that the text left out after `symbol`, which the step `last` gave."""
    if symbol.extents == (classes,) and getattr(symbol.layer, "activation", None) == "softmax":
        return []
    if symbol.extents == (1, 1, classes):
        if last.code == "CN" and "activation" not in last.options:
            symbol.layer.activation = None
        return [Flatten(), Activation("softmax")]
    flatten = [Flatten()] if len(symbol.extents) > 1 else []
    return [*flatten, Dense(classes, activation="softmax")]


# ---------------------------------------------------------------- from a network to a text


def notation(model: Model) -> str:
    """The text that `parse` makes this network of again, with every kernel written out; no names and no weights.

    The images' shape is written where it is not (28, 28, 1).

    Raises:
        ValueError: for a network that has no text: one that does not know its input's shape, has several outputs or
            layers of other kinds, uses a layer twice, or is not made of branches that begin at one place and end in
            one Concatenate or Add.

    >>> notation(parse("CN(8)->CN(16)->MP(2)"))
    'CN(8,(3,3))->CN(16,(3,3))->MP(2,2)->FL()->DN(10)'
    """
    if not isinstance(model.output, Symbol):
        raise ValueError(f"{model.name} cannot be written: it has no output shape yet, or several outputs")
    before: dict[Symbol, Symbol] = {}  # symbol: the one before it, for a merge the one where its branches begin
    for symbol in model.symbols[1:]:
        paths = [path(i, before) for i in symbol.inputs]
        before[symbol] = next(s for s in paths[0] if all(s in other for other in paths[1:]))
    written: list[Layer] = []
    text = chain_text(model.output, model.input, "end", before, written)
    if len(written) != len(set(written)):
        raise ValueError(f"{model.name} cannot be written: a layer is used twice, or branches are entangled")
    shape = model.input.extents
    return text if shape == USUAL_IMAGES or len(shape) != 3 else f"{INPUT}{value_text(shape)}->{text}"


def path(symbol: Symbol, before: dict[Symbol, Symbol]) -> list[Symbol]:
    """From `symbol` back to the input, past branches at one stride."""
    symbols = [symbol]
    while symbols[-1] in before:
        symbols.append(before[symbols[-1]])
    return symbols


def chain_text(
    symbol: Symbol, start: Symbol, following: str, before: dict[Symbol, Symbol], written: list[Layer]
) -> str:
    """The layers after the symbol `start` up to `symbol`.

    following: the code of the layer after them, one of ACTIVATIONS also with FL() before it; "end" where the network
    ends, "" where a branch does.
    """
    texts = []
    while symbol is not start:
        layer = symbol.layer
        written.append(layer)
        sign = next((sign for sign, merge in MERGES.items() if type(layer) is merge), None)
        if sign:
            branches = [chain_text(i, before[symbol], "", before, written) for i in symbol.inputs]
            code, text = sign, f"[{sign.join(branches)}]"
        else:
            code, text = layer_text(layer, following)
        texts.append(text)
        if not (code == "FL" and following in ACTIVATIONS):
            following = code
        symbol = before[symbol]
    return "->".join(reversed(texts))


def layer_text(layer: Layer, following: str) -> tuple[str, str]:
    """(code, text) of a layer; an activation that depends on what follows is written out."""
    code = next((name for name, code in CODES.items() if type(layer) is code.layer), None)
    if code is None:
        raise ValueError(f"{layer.name} cannot be written: the notation has no {layer.type}")
    first, named, options = CODES[code].first, dict(CODES[code].named), layer.options()
    if isinstance(getattr(layer, "activation", None), Own):
        raise ValueError(f"{layer.name} cannot be written: the notation has no activations of one's own")
    unsaid = [name for name in options if name not in first and name not in named]
    if unsaid:
        raise ValueError(f"{layer.name} cannot be written: the notation has no {unsaid[0]}")
    if isinstance(options.get("kernel_initializer"), dict):
        raise ValueError(f"{layer.name} cannot be written: the notation has no initializer with numbers of its own")
    if code in POOLS and options["strides"] == options["pool_size"]:
        options["strides"] = None
    if "activation" in named and following in (*ACTIVATIONS, "end"):
        named["activation"] = "softmax" if (code, following) == ("DN", "end") else "said"
    arguments = [value_text(options[name]) for name in first if name not in named]
    if code in PAIRS:
        arguments = [arguments[0][1:-1]]
    said = [name for name in named if options[name] != named[name]]
    arguments += [f"{SHORT.get(name, name)}={value_text(options[name])}" for name in said]
    return code, f"{code}({','.join(arguments)})"


def value_text(value: object) -> str:
    if isinstance(value, tuple):
        return f"({','.join(map(value_text, value))})"
    return "none" if value is None else str(value)
