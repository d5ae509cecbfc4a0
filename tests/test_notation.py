"""Networks as text and back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinycnn import architectures, session
from tinycnn.architectures.notation import NotationError, notation, parse
from tinycnn.initializers import INITIALIZERS, RandomNormal
from tinycnn.layers import (
    Activation,
    Add,
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
    UpSampling2D,
    ZeroPadding2D,
)
from tinycnn.models import Model, Sequential
from tinycnn.shapes import ShapeError

DOCUMENTED = {
    "cn-1": "CN(72,(7,7))->CN(38,(7,7))->CN(20,(7,7))->MP(2,2)->DP(0.25)->FL()->DN(10)",
    "cn-2": "CN(20,(5,5))->BN()->CN(20)->BN()->CN(40)->BN()->CN(10)->BN()->CN(10)->MP(2,2)->DP(0.25)->FL()->DN(128)",
    "cn-3": "CN(30,(5,5))->BN()->CN(30)->BN()->CN(50)->BN()->CN(50)->BN()->CN(100)->BN()->CN(100)->MP(2,2)->BN()->"
    "CN(150)->MP(2,2)->DP(0.25)->FL()->DN(120)",
}


@pytest.fixture(autouse=True)
def describing_only(float64):
    """The oracle's device, and no weights to draw."""
    with session.without_initial_weights():
        yield


def describe(model):
    """Everything but the names: each connection's layer, options, shape and inputs, in order."""
    place = {symbol: i for i, symbol in enumerate(model.symbols)}
    return [(s.layer.type, s.layer.options(), s.extents, [place[i] for i in s.inputs]) for s in model.symbols]


def layers_of(text, **arguments):
    return [(layer.type, layer.options()) for layer in parse(text, **arguments).layers]


def same(text, other):
    assert describe(parse(text)) == describe(parse(other))


# ---------------------------------------------------------------- what a text means


def test_every_layer_with_its_options():
    model = parse(
        "CN(4,(3,5),strides=(2,1),padding=same,activation=none,init=he_normal,bias=False)->BN(momentum=0.9,epsilon=1e-5)->"
        "AC(relu)->MP((3,2),strides=(1,2),padding=same)->DP(0.25)->FL()->DN(7,init=glorot_normal,bias=False)->DN(10,softmax)"
    )
    expected = [
        Conv2D(4, (3, 5), strides=(2, 1), padding="same", kernel_initializer="he_normal", use_bias=False),
        BatchNormalization(momentum=0.9, epsilon=1e-5),
        Activation("relu"),
        MaxPooling2D((3, 2), strides=(1, 2), padding="same"),
        Dropout(0.25),
        Flatten(),
        Dense(7, activation="relu", kernel_initializer="glorot_normal", use_bias=False),
        Dense(10, activation="softmax"),
    ]
    assert [(la.type, la.options()) for la in model.layers] == [(la.type, la.options()) for la in expected]
    assert type(model) is Sequential and model.optimizer is None
    assert model.input.extents == (28, 28, 1) and model.output.extents == (10,)


def test_a_plain_network_is_keras_s_plain_network():
    model = Sequential(
        [
            Conv2D(8, (3, 3), activation="relu", input_shape=(28, 28, 1)),
            MaxPooling2D((2, 2)),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    assert describe(parse("CN(8,(3,3))->MP(2,2)->FL()->DN(10)")) == describe(model)


@pytest.mark.parametrize(
    "text, other",
    [
        ("CN(8,3)->FL()", "CN(8,(3,3))->FL()"),
        ("CN(8)->FL()", "CN(8,(3,3))->FL()"),
        ("CN(8,(5,4))->BN()->CN(4)->CN(4,1)->CN(2)->FL()", "CN(8,(5,4))->BN()->CN(4,(5,4))->CN(4,1)->CN(2,1)->FL()"),
        ("CN(8,3,strides=2)->FL()", "CN(8,(3,3),strides=(2,2))->FL()"),
        ("MP(2)->FL()", "MP(2,2)->FL()"),
        ("MP()->FL()", "MP((2,2),strides=(2,2))->FL()"),
        ("MP(3,2,strides=1)->FL()", "MP((3,2),strides=(1,1))->FL()"),
        ("FL()->DN(9,none)", "FL()->DN(9,activation=linear)"),
        ("CN(8,3)→MP(2,2)→FL()", "CN(8,3)->MP(2,2)->FL()"),
        ("  CN( 8 , (3, 3) )\n  MP (2,2)\tFL() -> DN(10) ", "CN(8,3)->MP(2,2)->FL()->DN(10)"),
        ("FL()->AC('softmax')->DN(10,'softmax')", "FL()->AC(softmax)->DN(10,softmax)"),
        ("CN(8,3) [CN(1,1)|CN(2,1)] BN()", "CN(8,3)->[CN(1,1)|CN(2,1)]->BN()"),
        ("CN(8,3) [CN(8,1)+] AP(2)", "CN(8,(3,3))->[CN(8,(1,1))+]->AP((2,2),strides=(2,2))"),
        ("UP(2)->FL()", "UP(2,2)->FL()"),
        ("CT(8,3,strides=2)->LR(0.3)->FL()", "CT(8,(3,3),strides=(2,2),activation=none)->LR(0.3)->FL()"),
        ("ZP(1)->FL()", "ZP((1,1),(1,1))->FL()"),
        ("ZP(1,2)->FL()", "ZP((1,1),(2,2))->FL()"),
        ("CN(8,3)->LR(0.3)->FL()->DN(5)->EL(1)", "CN(8,3,activation=none)->LR(0.3)->FL()->DN(5,none)->EL(1.0)"),
    ],
)
def test_what_means_the_same(text, other):
    same(text, other)


def test_branches_are_joined_along_the_channels():
    model = parse("[CN(2,1)|CN(3,3,padding=same)->BN()|CN(4,1)->MP((3,3),strides=1,padding=same)|]->FL()->DN(10)")
    x = Input((28, 28, 1))
    pooled = MaxPooling2D((3, 3), strides=(1, 1), padding="same")(Conv2D(4, 1, activation="relu")(x))
    normalised = BatchNormalization()(Conv2D(3, 3, padding="same", activation="relu")(x))
    joined = Concatenate()([Conv2D(2, 1, activation="relu")(x), normalised, pooled, x])
    expected = Model(inputs=x, outputs=Dense(10, activation="softmax")(Flatten()(joined)))
    assert joined.extents == (28, 28, 10)
    assert type(model) is Model and describe(model) == describe(expected)


def test_branches_are_added_up_and_pooled_over_whole_images():
    model = parse("ZP((1,0),(0,2))->CN(2,3)->[CN(2,3,padding=same,activation=tanh)+]->LR(0.2)->[GA()|GM()]->DN(10)")
    x = Input((28, 28, 1))
    y = Conv2D(2, 3, activation="relu")(ZeroPadding2D(((1, 0), (0, 2)))(x))
    y = LeakyReLU(0.2)(Add()([Conv2D(2, 3, padding="same", activation="tanh")(y), y]))
    y = Concatenate()([GlobalAveragePooling2D()(y), GlobalMaxPooling2D()(y)])
    assert describe(model) == describe(Model(inputs=x, outputs=Dense(10, activation="softmax")(y)))
    same(notation(model), "ZP((1,0),(0,2))->CN(2,3)->[CN(2,3,padding=same,activation=tanh)+]->LR(0.2)->[GA()|GM()]")


def test_images_are_made_larger():
    model = parse("CN(4,3,strides=2)->UP(2,1)->CT(3,(3,2),strides=2,padding=same)->CT(1,3,activation=sigmoid)")
    made = [
        Conv2D(4, 3, strides=2, activation="relu", input_shape=(28, 28, 1)),
        UpSampling2D((2, 1)),
        Conv2DTranspose(3, (3, 2), strides=2, padding="same", activation="relu"),
        Conv2DTranspose(1, 3, activation="sigmoid"),
    ]
    assert describe(model) == describe(Sequential([*made, Flatten(), Dense(10, activation="softmax")]))
    same(notation(model), "CN(4,3,strides=2)->UP(2,1)->CT(3,(3,2),strides=2,padding=same)->CT(1,3,activation=sigmoid)")


def test_the_kernel_before_it_is_the_one_before_it_in_the_text():
    same("[CN(2,5)|CN(2)]->CN(3)", "[CN(2,5)|CN(2,5)]->CN(3,5)")


# ---------------------------------------------------------------- activations and the classifier


@pytest.mark.parametrize(
    "text, other",
    [
        ("CN(8,3)->FL()->DN(128)", "CN(8,3)->FL()->DN(128,relu)->DN(10,softmax)"),
        ("CN(8,3)->FL()->DN(10)", "CN(8,3)->FL()->DN(10,softmax)"),
        ("FL()->DN(10)->DN(10)", "FL()->DN(10,relu)->DN(10,softmax)"),
        ("FL()->DN(10,relu)", "FL()->DN(10,relu)->DN(10,softmax)"),
        ("FL()->DN(128)->DP(0.5)", "FL()->DN(128,relu)->DP(0.5)->DN(10,softmax)"),
        ("CN(8,3)->MP(2,2)", "CN(8,3)->MP(2,2)->FL()->DN(10,softmax)"),
        ("CN(8,3)->FL()", "CN(8,3)->FL()->DN(10,softmax)"),
        ("CN(10,28)", "CN(10,28,activation=none)->FL()->AC(softmax)"),
        ("CN(10,28,activation=relu)", "CN(10,28,activation=relu)->FL()->AC(softmax)"),
        ("CN(10,28)->BN()", "CN(10,28,activation=relu)->BN()->FL()->AC(softmax)"),
        ("CN(10,27)", "CN(10,27,activation=relu)->FL()->DN(10,softmax)"),
        ("CN(9,28)", "CN(9,28,activation=relu)->FL()->DN(10,softmax)"),
        ("CN(10,28)->FL()->AC(softmax)", "CN(10,28,activation=none)->FL()->AC(softmax)"),
        ("FL()->DN(10)->AC(softmax)", "FL()->DN(10,none)->AC(softmax)"),
        ("CN(4,3)->AC(relu)", "CN(4,3,activation=none)->AC(relu)->FL()->DN(10)"),
        ("FL()->DN(5,softmax)", "FL()->DN(5,softmax)->DN(10,softmax)"),
        ("[CN(5,28)|CN(5,28)]", "[CN(5,28,activation=relu)|CN(5,28,activation=relu)]->FL()->AC(softmax)"),
    ],
)
def test_the_classifier_that_a_text_leaves_out(text, other):
    same(text, other)


def test_the_classifier_has_as_many_classes_as_are_asked_for():
    assert layers_of("FL()->DN(10)", classes=10)[-1][1]["activation"] == "softmax"
    assert [o for _, o in layers_of("FL()->DN(10)", classes=3)][1:] == [
        Dense(10, activation="relu").options(),
        Dense(3, activation="softmax").options(),
    ]
    assert parse("CN(3,8)", input_shape=(8, 8, 2), classes=3).symbols[-1].extents == (3,)
    with pytest.raises(ValueError, match="classes"):
        parse("FL()", classes=0)


@pytest.mark.parametrize(
    "name, written, ends",
    [
        ("cn-1", DOCUMENTED["cn-1"], "->FL()->DN(10)"),
        ("cn-2", DOCUMENTED["cn-2"], "->FL()->DN(128)->DN(10)"),
        ("cn-3", DOCUMENTED["cn-3"].replace("(5,5)", "(3,3)"), "->FL()->DN(120)->DN(10)"),
    ],
)
def test_the_documents_own_notations_are_understood(name, written, ends):
    """They leave out parts of the classifier; what comes before is the documented network."""
    model, before = parse(written), written.index("->FL()")
    layers = written[:before].count("->") + 2  # the input's among them
    assert describe(model)[:layers] == describe(architectures.build(name))[:layers]
    assert notation(model).endswith(ends)


def test_the_notation_of_cn_3_cannot_mean_what_it_says():
    """Its code is 3x3; 5x5 throughout, as written, runs out of pixels."""
    with pytest.raises(ShapeError, match="subtracting 5 from 2"):
        parse(DOCUMENTED["cn-3"])


# ---------------------------------------------------------------- and back


@pytest.mark.parametrize(
    "text, written",
    [
        ("CN(8,3)->MP(2)", "CN(8,(3,3))->MP(2,2)->FL()->DN(10)"),
        ("CN(8,3)->BN()->DP(0.1)", "CN(8,(3,3))->BN()->DP(0.1)->FL()->DN(10)"),
        ("BN(momentum=0.9,epsilon=0.1)", "BN(momentum=0.9,epsilon=0.1)->FL()->DN(10)"),
        ("CN(10,28)", "CN(10,(28,28),activation=none)->FL()->AC(softmax)"),
        ("CN(10,28,activation=relu)", "CN(10,(28,28),activation=relu)->FL()->AC(softmax)"),
        ("CN(10,27)->CN(10,2)", "CN(10,(27,27))->CN(10,(2,2),activation=none)->FL()->AC(softmax)"),
        ("FL()->DN(9,none)->DN(10,relu)", "FL()->DN(9,activation=none)->DN(10)->DN(10)"),
        ("FL()->DN(10)->AC(softmax)", "FL()->DN(10,activation=none)->AC(softmax)"),
        ("MP(2,strides=1)->BN(momentum=0.5)->FL()", "MP(2,2,strides=(1,1))->BN(momentum=0.5)->FL()->DN(10)"),
        ("CN(2,3,bias=False,init=zeros)->FL()", "CN(2,(3,3),init=zeros,bias=False)->FL()->DN(10)"),
        ("[CN(1,1)||[CN(2,1)|]]->FL()", "[CN(1,(1,1))||[CN(2,(1,1))|]]->FL()->DN(10)"),
    ],
)
def test_a_network_is_written_with_everything_that_it_has(text, written):
    assert notation(parse(text)) == written
    assert notation(parse(written)) == written


def test_a_network_without_a_classifier_is_written_as_it_is():
    x = Flatten()(inputs := Input((4, 4, 1)))
    dense = Dense(10, activation="softmax")(x)
    text = "IN(4,4,1)->FL()->DN(10,activation=softmax)->FL()"
    assert notation(Model(inputs=inputs, outputs=Flatten()(dense))) == text
    assert notation(Model(inputs=inputs, outputs=Dense(10)(x))) == "IN(4,4,1)->FL()->DN(10,activation=none)"
    text = "IN(4,4,1)->FL()->DN(10,activation=relu)"
    assert notation(Model(inputs=inputs, outputs=Dense(10, activation="relu")(x))) == text


@pytest.mark.parametrize("name", architectures.ARCHITECTURES)
def test_documented_networks_survive_the_round_trip(name):
    model = architectures.build(name)
    again = parse(notation(model))
    assert describe(again) == describe(model) and type(again) is type(model)
    assert notation(again) == notation(model)


@st.composite
def images_layers(draw, symbol, depth):
    """A few layers after `symbol` that keep images images."""
    for _ in range(draw(st.integers(0, 3))):
        height, width, _ = symbol.extents
        kind = draw(st.sampled_from(["conv", "conv", "pool", "norm", "drop", "act", "branches"]))
        windows = st.tuples(st.integers(1, min(height, 4)), st.integers(1, min(width, 4)))
        strides, padding = st.tuples(st.integers(1, 2), st.integers(1, 2)), st.sampled_from(["valid", "same"])
        if kind == "conv":
            layer = Conv2D(
                draw(st.sampled_from([1, 2, 10])),
                draw(windows),
                strides=draw(strides),
                padding=draw(padding),
                activation=draw(st.sampled_from([None, "relu"])),
                use_bias=draw(st.booleans()),
                kernel_initializer=draw(st.sampled_from([name for name in INITIALIZERS if name != "identity"])),
            )
        elif kind == "pool":
            layer = MaxPooling2D(draw(windows), strides=draw(st.none() | strides), padding=draw(padding))
        elif kind == "norm":
            layer = BatchNormalization(momentum=draw(st.floats(0, 1)), epsilon=draw(st.floats(1e-9, 1)))
        elif kind == "drop":
            layer = Dropout(draw(st.floats(0, 1, exclude_max=True)))
        elif kind == "act":
            layer = Activation(draw(st.sampled_from(["relu", "linear"])))
        elif depth:
            ends = [draw(images_layers(symbol, depth - 1)) for _ in range(draw(st.integers(2, 3)))]
            if len({end.extents[:2] for end in ends}) == 1:
                symbol = Concatenate()(ends)
            continue
        else:
            continue
        symbol = layer(symbol)
    return symbol


@st.composite
def networks(draw):
    """A network of any form that the notation has, with its softmax."""
    inputs = Input(draw(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))))
    symbol = draw(images_layers(inputs, 2))
    if draw(st.booleans()):
        symbol = Conv2D(10, symbol.extents[:2], activation=draw(st.sampled_from([None, "relu"])))(symbol)
    symbol = Flatten()(symbol)
    for _ in range(draw(st.integers(0, 2))):
        symbol = Dense(draw(st.sampled_from([3, 10])), activation=draw(st.sampled_from([None, "relu", "softmax"])))(
            symbol
        )
    if symbol.extents == (10,) and draw(st.booleans()):
        return Model(inputs=inputs, outputs=Activation("softmax")(symbol))
    return Model(inputs=inputs, outputs=Dense(10, activation="softmax")(symbol))


@given(networks())
def test_random_networks_survive_the_round_trip(model):
    text = notation(model)
    again = parse(text, input_shape=model.input.extents)
    assert describe(again) == describe(model)
    assert notation(again) == text


def shared_layer(x):
    layer = Conv2D(1, 1)
    return layer(layer(x))


def entangled(x):
    a = Conv2D(1, 1)(x)
    b = Conv2D(1, 1)(a)
    return Concatenate()([Concatenate()([a, b]), b])


@pytest.mark.parametrize("body, message", [(shared_layer, "used twice"), (entangled, "entangled")])
def test_a_graph_that_is_not_made_of_branches_cannot_be_written(body, message):
    x = Input((4, 4, 1))
    with pytest.raises(ValueError, match=message):
        notation(Model(inputs=x, outputs=body(x), name="odd"))


def test_a_network_that_cannot_be_written_is_refused_by_name():
    class Twice(Layer):
        kind = "twice"

    x = Input((4, 4, 1))
    with pytest.raises(ValueError, match="waiting.*no output shape"):
        notation(Sequential([Conv2D(1, 1)], name="waiting"))
    with pytest.raises(ValueError, match="several outputs"):
        notation(Model(inputs=x, outputs=[Conv2D(1, 1)(x), Conv2D(1, 1)(x)]))
    for options, words in (
        ({"kernel_initializer": RandomNormal(stddev=0.1)}, "no initializer with numbers"),
        ({"bias_initializer": "ones"}, "no bias_initializer"),
        ({"kernel_regularizer": "l2"}, "no kernel_regularizer"),
    ):
        with pytest.raises(ValueError, match=f"first cannot be written: the notation has {words}"):
            notation(Sequential([Conv2D(1, 1, input_shape=(4, 4, 1), name="first", **options)]))
    with pytest.raises(ValueError, match="twice_1.*no Twice"):
        notation(Sequential([Twice(input_shape=(4, 4, 1))]))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "",
            "expected a layer (CN, CT, BN, MP, AP, GA, GM, ZP, UP, DP, FL, DN, AC, LR, EL) or [, not the end",
        ),
        ("CN(8)->XX(3)", "not XX(3), at character 8: CN(8)->^XX(3)"),
        ("cn(8)", "not cn(8), at character 1: ^cn(8)"),
        ("CN(8)->", "not the end, at character 8: CN(8)->^"),
        ("CN(8)->->FL()", "not ->, at character 8: CN(8)->^->FL()"),
        ("->CN(8)", "not ->, at character 1"),
        ("CN(8", "the parentheses of CN do not close, at character 1: ^CN(8"),
        ("BN()->CN(8,(3,3)->FL()", "the parentheses of CN do not close, at character 7: BN()->^CN(8,(3,3)->FL()"),
        ("BN()?", "expected a layer like CN(8,(3,3)), -> or one of [ | + ], at character 5: BN()^?"),
        ("BN()->CN", "at character 7: BN()->^CN"),
        ("BN(),BN()", "at character 5: BN()^,BN()"),
        ("CN(8)FL()", "expected -> and a layer, not FL(), at character 6: CN(8)^FL()"),
        ("CN(8)]", "expected -> and a layer, not ], at character 6"),
        ("[CN(8)|CN(8)+CN(8)]", "expected ->, | or ], not +"),
        ("[CN(8)]", "expected ->, | or + and a second branch, not ], at character 7: [CN(8)^]"),
        ("[CN(8)|CN(8)", "expected ->, | or ], not the end, at character 13"),
        ("[CN(8)->|CN(8)]", "not |, at character 9"),
        ("CN()", "expected CN(filters, kernel_size, strides=, padding=, activation=, init=, bias=), not CN()"),
        ("CN(8,3,3)", "not CN(8,3,3)"),
        ("BN(3)", "expected BN(momentum=, epsilon=), not BN(3)"),
        ("FL()->DN(9,relu,8)", "expected DN(units, activation, init=, bias=), not DN(9,relu,8), at character 7"),
        ("CN(8,pad=same)", "pad= is unknown or comes twice in CN(8,pad=same); expected CN("),
        ("CN(8,strides=1,strides=2)", "strides= is unknown or comes twice"),
        ("DN(8,relu,activation=relu)", "activation= is unknown or comes twice"),
        ("CN(8,**x)", "None= is unknown"),
        ("CN(8,bias=no)", "expected bias=True or bias=False, not CN(8,bias=no)"),
        ("CN(8,(3 3))", "expected numbers, pairs of numbers and words in CN(filters"),
        ("CN(8,3+x)", "expected numbers, pairs of numbers and words"),
        ("CN(8,__import__('os'))", "expected numbers, pairs of numbers and words"),
        ("CN(-1)", "filters must be a whole number of at least 1, not -1, at character 1: ^CN(-1)"),
        ("CN(8,(3,3,3))", "the kernel must be a whole number or a pair"),
        ("CN(8,0)", "the kernel must be at least 1"),
        ("CN(8,(3,3),strides=(0,1))", "strides must be at least 1"),
        ("CN(8,padding=full)", "'valid' or 'same'"),
        ("CN(8,activation=gelu)", "gelu"),
        ("CN(8,init=he)", "no initializer is called 'he'"),
        ("DP(1.5)", "the dropout rate must be in [0, 1), not 1.5"),
        ("DP(much)", "at character 1: ^DP(much)"),
        ("CN(30)->" * 20 + "BN(2)->" + "FL()->" * 20, "at character 161: ...)->CN(30)->CN(30)->CN(30)->^BN(2)->FL()"),
    ],
)
def test_what_is_no_network_is_refused_where_it_goes_wrong(text, message):
    with pytest.raises(NotationError, match=re.escape(message)) as error:
        parse(text)
    assert isinstance(error.value, ValueError) and "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    "text, message",
    [
        ("MP(14,14)->CN(8,(3,3))", "Negative dimension size caused by subtracting 3 from 2 for conv2d_1"),
        ("FL()->CN(8,3)", r"conv2d_1 needs images"),
        ("[CN(8,3)|CN(8,5)]", "concatenate_1: all axes but the last must agree"),
        ("[CN(8,3)|CN(8,29)]", "subtracting 29 from 28 for conv2d_2"),
    ],
)
def test_layers_that_do_not_fit_are_refused_by_name(text, message):
    with pytest.raises(ShapeError, match=message) as error:
        parse(text)
    assert not isinstance(error.value, NotationError)


@pytest.mark.parametrize(
    "text, message", [("[" * 5000, "nested too deeply"), (f"CN({'-' * 50_000}1)", "expected numbers")]
)
def test_what_is_nested_without_end_is_refused_too(text, message):
    with pytest.raises(NotationError, match=message) as error:
        parse(text)
    assert len(str(error.value)) < 300


PIECES = [
    *"()[]|+,=->→ 0123.",
    "->",
    "ZP(1)",
    "GA()",
    "AP(2)",
    "LR(0.1)",
    "CN(",
    "CN(2,3)",
    "BN()",
    "MP(2,2)",
    "DP(0.5)",
    "FL()",
    "DN(3)",
    "AC(relu)",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_is_a_network_or_a_plain_error(text):
    try:
        model = parse(text)
    except (NotationError, ShapeError):
        return
    assert model.output.extents == (10,) and describe(parse(notation(model))) == describe(model)


# ---------------------------------------------------------------- images of another shape


@pytest.mark.parametrize("text", ["IN(32,32,3)->CN(8,(3,3))->FL()->DN(10)", "IN( 32, 32 ,3 ) CN(8)"])
def test_a_text_may_say_the_shape_of_its_images(text):
    model = parse(text)
    assert model.input.extents == (32, 32, 3)
    assert notation(model) == "IN(32,32,3)->CN(8,(3,3))->FL()->DN(10)"
    assert parse(notation(model), input_shape=(9, 9, 1)).input.extents == (32, 32, 3)


@pytest.mark.parametrize(
    "text, message",
    [
        ("IN(32,32)->CN(8)", r"expected IN\(rows,columns,channels\).*character 1:"),
        ("IN(32,0,3)->CN(8)", r"expected IN\(rows,columns,channels\)"),
        ("IN(32,32,3)", "expected -> and a layer"),
        ("CN(8)->IN(32,32,3)", r"expected a layer \(CN.*character 8:"),
    ],
)
def test_images_that_are_written_otherwise_are_refused(text, message):
    with pytest.raises(NotationError, match=message):
        parse(text)
