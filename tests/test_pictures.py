"""The pictures: what is drawn is what the model has and computes, and every bad path is refused by name."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import images, one_hot

from tinycnn.callbacks import History
from tinycnn.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
)
from tinycnn.models import Model, Sequential
from tinycnn.pictures import confusion_matrix, plot_confusion, plot_feature_maps, plot_filters, plot_history
from tinycnn.shapes import ShapeError


@pytest.fixture(autouse=True)
def computed_by_the_oracle(request):
    """What asks for no device runs on the reference."""
    if "device" not in request.fixturenames:
        request.getfixturevalue("float64")


LOSSES = {"loss": [0.9, 0.4, 0.2], "acc": [0.7, 0.8, 0.9], "val_loss": [0.8, 0.5, 0.3], "val_acc": [0.6, 0.7, 0.85]}


def network(filters=3, channels=1, **options):
    return Sequential(
        [
            Conv2D(filters, 3, activation="relu", input_shape=(8, 8, channels), **options),
            BatchNormalization(),
            Dropout(0.5),
            MaxPooling2D(),
            Conv2D(20, 2),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )


def answers_by_brightness():
    """A network without chance in it: the probabilities of image x are softmax(x[0, 0], x[0, 1], x[0, 2])."""
    model = Sequential([Flatten(input_shape=(1, 3, 1)), Dense(3, activation="softmax")])
    model.set_weights([np.eye(3), np.zeros(3)])
    return model


def said(axes):
    return [text.get_text() for text in axes.texts]


# ---------------------------------------------------------------- history


def test_history_has_a_panel_of_losses_and_one_of_accuracies():
    left, right = plot_history(LOSSES).axes
    for axes, kind, keys in ((left, "loss", ("loss", "val_loss")), (right, "accuracy", ("acc", "val_acc"))):
        assert axes.get_ylabel() == kind and axes.get_xlabel() == "epoch"
        assert [line.get_label() for line in axes.lines] == ["train", "validation"]
        for line, key in zip(axes.lines, keys, strict=True):
            assert list(line.get_xdata()) == [1, 2, 3]
            assert list(line.get_ydata()) == LOSSES[key]
    assert "train 0.2000" in left.get_title() and "validation 85.00%" in right.get_title()


def test_history_of_a_real_training():
    x, y = images(np.random.default_rng(0), 12)
    model = network()
    model.compile("sgd", metrics=["accuracy"])
    history = model.fit(x, y, epochs=2, verbose=0, validation_split=0.5)
    left, right = plot_history(history).axes
    assert [list(line.get_ydata()) for line in left.lines] == [history.history["loss"], history.history["val_loss"]]
    assert [list(line.get_ydata()) for line in right.lines] == [history.history["acc"], history.history["val_acc"]]


def test_a_name_with_dollars_is_no_formula(tmp_path):
    figure = plot_history(LOSSES, tmp_path / "a.png", title="a$_{$b")
    assert figure.texts[0].get_text() == "a$_{$b" and (tmp_path / "a.png").exists()
    model = network(name="a$_{$b")
    plot_feature_maps(model, np.zeros((8, 8, 1)), tmp_path / "b.png")
    assert (tmp_path / "b.png").exists()


def test_history_of_one_epoch_shows_points():
    for axes in plot_history({key: values[:1] for key, values in LOSSES.items()}).axes:
        assert all(line.get_marker() not in (None, "None", "") for line in axes.lines)
        assert list(axes.get_xticks()) == [1]


@pytest.mark.parametrize("epochs", [1, 2, 9, 10, 11, 20, 60, 100, 1234])
def test_ticks_are_few_whole_epochs_from_the_first(epochs):
    (axes,) = plot_history({"loss": np.ones(epochs)}).axes
    ticks = list(axes.get_xticks())
    assert ticks[0] == 1 and ticks[-1] <= epochs and len(ticks) <= 11
    assert ticks == sorted(set(ticks)) and all(tick == int(tick) for tick in ticks)


def test_history_without_validation_or_accuracy():
    (axes,) = plot_history({"loss": [2, 1]}).axes
    assert [line.get_label() for line in axes.lines] == ["train"] and axes.get_ylabel() == "loss"
    assert [len(axes.lines) for axes in plot_history({"loss": [1], "acc": [0.5]}).axes] == [1, 1]


def test_history_with_the_names_of_newer_keras():
    figure = plot_history({"loss": [1], "accuracy": [0.5], "val_loss": [2], "val_accuracy": [0.25]})
    assert [float(line.get_ydata()[0]) for line in figure.axes[1].lines] == [0.5, 0.25]


def test_history_that_starts_late_keeps_its_epochs():
    history = History()
    history.append(3, {"loss": 0.5})
    history.append(4, {"loss": 0.4})
    assert list(plot_history(history).axes[0].lines[0].get_xdata()) == [4, 5]


def test_validation_that_began_later_stands_where_it_was_measured():
    history = History()
    history.append(0, {"loss": 0.5})
    history.append(1, {"loss": 0.4, "val_loss": 0.3})
    np.testing.assert_array_equal(plot_history(history).axes[0].lines[1].get_ydata(), [np.nan, 0.3])


@pytest.mark.parametrize("form", [dict, list])
def test_documented_history_is_dashed_thin_and_behind(form):
    documented = {"loss": [0.5, 0.3], "val_loss": [0.6, 0.2], "acc": [0.8, 0.9]}
    if form is list:
        documented = [dict(zip(documented, row, strict=True)) for row in zip(*documented.values(), strict=True)]
    figure = plot_history(LOSSES, documented=documented, title="net on data")
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    expected = lines["validation (documented)"]
    assert list(expected.get_xdata()) == [1, 2] and list(expected.get_ydata()) == [0.6, 0.2]
    assert expected.get_linestyle() == "--"
    assert expected.get_linewidth() < lines["validation"].get_linewidth()
    assert expected.get_zorder() < lines["validation"].get_zorder()
    assert [line.get_label() for line in figure.axes[1].lines] == ["train", "validation", "train (documented)"]
    assert figure.get_suptitle() == "net on data"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(lines)


def test_a_longer_documented_history_is_seen_whole():
    (axes,) = plot_history({"loss": [1]}, documented={"loss": np.linspace(1, 0, 30)}).axes
    assert axes.get_xlim()[0] < 1 and axes.get_xlim()[1] > 30


@pytest.mark.parametrize("epochs", [1, 2, 6, 7, 20, 40])
def test_a_training_beside_a_documented_log_of_twenty_epochs_can_be_read(epochs):
    history = {"loss": np.linspace(1, 0.1, epochs), "acc": np.linspace(0.5, 0.9, epochs)}
    documented = {"loss": np.linspace(1, 0, 20), "acc": np.linspace(0, 1, 20)}
    for axes in plot_history(history, documented=documented).axes:
        left, right = axes.transAxes.inverted().transform(axes.transData.transform([(1, 0), (max(epochs, 20), 0)]))[
            :, 0
        ]
        assert 0 < left < 0.1 and 0.9 < right < 1
        here, there = axes.transAxes.inverted().transform(axes.transData.transform([(1, 0), (epochs, 0)]))[:, 0]
        assert epochs == 1 or there - here > 0.2  # of the width
        ticks = axes.get_xticks()
        assert set(ticks) >= {1, 5, 10, 20} and all(tick == round(tick) for tick in ticks)


@pytest.mark.parametrize(
    "history, message",
    [
        ({}, "no epoch"),
        ([], "no epoch"),
        ({"loss": []}, "no epoch"),
        ({"lr": [1]}, "no epoch"),
        (History(), "no epoch"),
        ({"loss": [1, 2], "val_loss": [1]}, "has 2 epochs but 1 of val_loss"),
    ],
)
def test_histories_that_cannot_be_drawn(history, message):
    with pytest.raises(ValueError, match=message):
        plot_history(history)
    with pytest.raises(ValueError, match=f"documented history.*{message}"):
        plot_history(LOSSES, documented=history)


# ---------------------------------------------------------------- filters


def grid_of(axes):
    """The images of an axes in reading order, as rows of arrays."""
    rows = {}
    for image in axes.images:
        left, _, _, top = image.get_extent()
        rows.setdefault(round(top, 6), []).append((left, np.asarray(image.get_array())))
    return [[array for _, array in sorted(row, key=lambda cell: cell[0])] for _, row in sorted(rows.items())]


@pytest.mark.parametrize("filters, shape", [(1, [1]), (3, [3]), (20, [8, 8, 4]), (64, [8] * 8)])
def test_filters_over_one_channel_are_a_numbered_grid(filters, shape):
    model = network(filters)
    figure = plot_filters(model)
    axes = figure.axes[0]
    kernel = model.layers[0].get_weights()[0]
    rows = grid_of(axes)
    assert [len(row) for row in rows] == shape
    for k, drawn in enumerate(array for row in rows for array in row):
        np.testing.assert_array_equal(drawn, kernel[:, :, 0, k])
    assert said(axes) == [str(k) for k in range(filters)]
    title = axes.get_title()
    assert title == f"conv2d_1: {filters} filter{'s' * (filters > 1)} of 3x3 over 1 channel"


def test_filters_share_one_symmetric_scale_with_a_bar():
    model = network()
    figure = plot_filters(model)
    largest = np.abs(model.layers[0].get_weights()[0]).max()
    assert {image.get_clim() for image in figure.axes[0].images} == {(-largest, largest)}
    assert len({image.get_cmap().name for image in figure.axes[0].images}) == 1
    (bar,) = figure.axes[0].child_axes
    assert bar.get_ylabel() == "weight" and bar.get_ylim() == pytest.approx((-largest, largest))


def test_filters_that_are_all_zero():
    model = network()
    model.layers[0].set_weights([np.zeros((3, 3, 1, 3)), np.zeros(3)])
    assert plot_filters(model).axes[0].images[0].get_clim() == (-1, 1)


def test_filters_over_channels_are_a_row_each():
    model = network(filters=5, channels=4)
    axes = plot_filters(model).axes[0]
    kernel = model.layers[0].get_weights()[0]
    rows = grid_of(axes)
    assert [len(row) for row in rows] == [4] * 5
    for k, row in enumerate(rows):
        for c, drawn in enumerate(row):
            np.testing.assert_array_equal(drawn, kernel[:, :, c, k])
    assert "filter" in axes.get_ylabel() and "channel" in axes.get_xlabel()
    assert [label.get_text() for label in axes.get_yticklabels()] == list("01234")


@pytest.mark.parametrize(
    "filters, channels, limits, drawn",
    [
        (70, 1, "the first 64 of 70 filters", 64),
        (20, 2, "the first 16 of 20 filters", 32),
        (2, 20, "the first 16 of 20 channels", 32),
        (17, 18, "the first 16 of 17 filters and 16 of 18 channels", 256),
    ],
)
def test_more_filters_than_can_be_read_are_cut_and_the_title_says_so(filters, channels, limits, drawn):
    axes = plot_filters(network(filters, channels)).axes[0]
    assert len(axes.images) == drawn
    assert axes.get_title().splitlines()[1] == limits


def test_filters_of_a_named_layer():
    model = network()
    axes = plot_filters(model, layer="conv2d_2").axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), model.get_layer("conv2d_2").get_weights()[0][:, :, 0, 0])


def test_filters_that_are_not_there():
    with pytest.raises(ValueError, match="no convolution"):
        plot_filters(answers_by_brightness())
    with pytest.raises(ValueError, match="max_pooling2d_1 is a MaxPooling2D.*conv2d_1, conv2d_2"):
        plot_filters(network(), layer="max_pooling2d_1")
    with pytest.raises(ValueError, match="no layer is called 'conv'"):
        plot_filters(network(), layer="conv")
    with pytest.raises(ValueError, match="conv2d_.* has no weights yet"):
        plot_filters(Sequential([Conv2D(2, 3)]))


# ---------------------------------------------------------------- feature maps


def layer_outputs(model, image):
    """{layer's name: (H, W, C)} of the spatial layers, by a model with an output for each."""
    spatial = [layer for layer in model.layers if len(layer.output.extents) == 3 and layer.output is not model.input]
    outputs = Model(inputs=model.input, outputs=[layer.output for layer in spatial]).predict(image[None])
    return {layer.name: output[0] for layer, output in zip(spatial, outputs, strict=True)}


def labelled(axes):
    """The rows' labels, without the image's, and the notes at their right."""
    labels = [text.get_text() for text in axes.texts if text.get_ha() == "right"]
    return labels[1:], [text.get_text() for text in axes.texts if text.get_ha() == "left"][2:]


def test_feature_maps_are_what_the_layers_compute(device):
    model = network(filters=18)
    image = np.random.default_rng(1).random((8, 8, 1), dtype=np.float32)
    maps, answer = plot_feature_maps(model, image).axes
    first, *drawn = grid_of(maps)
    np.testing.assert_array_equal(first[0], image[:, :, 0])
    expected = layer_outputs(model, image)
    assert len(drawn) == len(expected) == 5
    for row, want in zip(drawn, expected.values(), strict=True):
        np.testing.assert_array_equal(np.stack(row, axis=-1), want[:, :, :16])
    np.testing.assert_array_equal([bar.get_height() for bar in answer.patches], model.predict(image[None])[0])


def test_feature_maps_name_shape_and_receptive_field():
    labels, notes = labelled(plot_feature_maps(network(filters=3), np.ones((8, 8, 1))).axes[0])
    assert labels == [
        "conv2d_1\n6x6x3\nsees 3x3 pixels",
        "batch_normalization_1\n6x6x3\nsees 3x3 pixels",
        "dropout_1\n6x6x3\nsees 3x3 pixels\ndrops nothing here",
        "max_pooling2d_1\n3x3x3\nsees 4x4 pixels",
        "conv2d_2\n2x2x20\nsees 6x6 pixels",
    ]
    assert [note.endswith("+4 more") for note in notes] == [False] * 4 + [True]


def test_feature_maps_share_a_scale_in_a_row_that_shows_the_sign():
    model = Sequential([Conv2D(2, 1, input_shape=(2, 2, 1)), Activation("relu")])
    model.set_weights([np.array([[[[2.0, -3.0]]]]), np.zeros(2)])
    (maps,) = plot_feature_maps(model, np.full((2, 2, 1), 0.5)).axes
    assert [image.get_clim() for image in maps.images[1:]] == [(-1.5, 1.5)] * 2 + [(0, 1)] * 2
    assert maps.images[1].get_cmap().name != maps.images[3].get_cmap().name
    assert labelled(maps)[1] == ["-1.5 to 1", "0 to 1"]


def test_feature_maps_of_branches():
    x = Input((6, 6, 1))
    a, b = Conv2D(2, 3, padding="same", name="a")(x), Conv2D(3, 5, padding="same", name="b")(x)
    joined = Concatenate(name="both")([a, b])
    model = Model(inputs=x, outputs=Dense(2, activation="softmax")(Flatten()(joined)))
    image = np.random.default_rng(2).random((6, 6, 1), dtype=np.float32)
    maps, _ = plot_feature_maps(model, image).axes
    assert labelled(maps)[0] == [
        "a\n6x6x2\nsees 3x3 pixels",
        f"b\n6x6x3\nsees 5x5 pixels\nfrom {x.layer.name}",
        "both\n6x6x5\nsees 5x5 pixels\nfrom a and b",
    ]
    for row, want in zip(grid_of(maps)[1:], layer_outputs(model, image).values(), strict=True):
        np.testing.assert_array_equal(np.stack(row, axis=-1), want)


def test_the_answer_is_named_and_highlighted():
    model = answers_by_brightness()
    image = np.array([[[0.0], [5.0], [1.0]]])
    _, answer = plot_feature_maps(model, image).axes
    probability = model.predict(image[None])[0][1]
    assert answer.get_title() == f"the network's answer: 1, probability {100 * probability:.2f}%"
    colours = [bar.get_facecolor() for bar in answer.patches]
    assert colours[1] != colours[0] == colours[2]


def test_an_output_that_is_no_probability_is_not_called_one():
    model = Sequential([Flatten(input_shape=(1, 3, 1)), Dense(3)])
    _, answer = plot_feature_maps(model, np.ones((1, 3, 1))).axes
    assert "probability" not in answer.get_title() + answer.get_ylabel()


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (1, 8, 8, 1)])
@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_forms_of_one_image(shape, dtype):
    image = np.arange(64).reshape(shape).astype(dtype)
    drawn = plot_feature_maps(network(), image).axes[0].images[0].get_array()
    np.testing.assert_array_equal(drawn, image.reshape(8, 8))


def test_coloured_images():
    image = np.random.default_rng(3).random((8, 8, 3))
    np.testing.assert_array_equal(plot_feature_maps(network(channels=3), image).axes[0].images[0].get_array(), image)
    drawn = plot_feature_maps(network(channels=3), image * 255).axes[0].images[0].get_array()
    assert 0 <= drawn.min() and drawn.max() <= 1


def test_feature_maps_leave_the_model_as_it_was():
    """Dropout counts the training steps of its model; a picture must not hand it another's counter."""
    model = network()
    weights, dropout = model.get_weights(), model.get_layer("dropout_1")
    model(np.ones((1, 8, 8, 1)), training=True)
    steps = int(model.step[0])
    plot_feature_maps(model, np.ones((8, 8, 1)))
    assert dropout.step is model.step and int(model.step[0]) == steps == 1
    moving = [i for i, w in enumerate(model.weights) if w.requires_grad]  # the training pass moved the others
    for i in moving:
        np.testing.assert_array_equal(model.get_weights()[i], weights[i])


def test_images_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"\(8, 8, 1\), not \(7, 8, 1\)"):
        plot_feature_maps(network(), np.ones((7, 8, 1)))
    with pytest.raises(ShapeError, match=r"not \(2, 8, 8, 1\)"):
        plot_feature_maps(network(), np.ones((2, 8, 8, 1)))
    with pytest.raises(ValueError, match="the image holds NaN"):
        plot_feature_maps(network(), np.full((8, 8, 1), np.nan))
    a, b = Input((8, 8, 1)), Input((8, 8, 1))
    with pytest.raises(ValueError, match="has 2 inputs"):
        plot_feature_maps(Model([a, b], Add()([a, b])), np.zeros((8, 8, 1)))
    with pytest.raises(ValueError, match="does not know its input's shape"):
        plot_feature_maps(Sequential([Conv2D(2, 3)]), np.ones((8, 8, 1)))


# ---------------------------------------------------------------- confusion


def test_confusion_matrix_counts_true_rows_and_predicted_columns():
    matrix = confusion_matrix([0, 1, 1, 2, 2, 2], [0, 1, 0, 2, 2, 1], classes=4)
    assert matrix.dtype.kind == "i"
    assert matrix.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]
    assert confusion_matrix(one_hot([0, 2], 3), [[2], [2]], 3).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 1]]
    assert confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    "y_true, y_pred, message",
    [
        ([0, 3], [0, 1], "label 3 is out of range"),
        ([0, -1], [0, 1], "label -1"),
        ([0, 1], [0], "2 true.*1 predicted"),
        ([0.5], [0], "whole numbers"),
    ],
)
def test_classes_that_cannot_be_counted(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(y_true, y_pred, classes=3)


def brightest(*places, strength=3.0):
    """Images whose pixel at each of these places is the brightest: what `answers_by_brightness` answers."""
    return np.eye(3)[list(places)].reshape(-1, 1, 3, 1) * np.reshape(strength, (-1, 1, 1, 1))


@pytest.mark.parametrize("form", [np.asarray, lambda y: one_hot(y, 3)])
def test_confusion_shows_counts_accuracy_and_the_surest_mistakes(form):
    x = brightest(0, 1, 2, 2, 2, 1, strength=[3, 3, 3, 2, 4, 1])
    y = np.array([0, 1, 2, 0, 0, 2])  # twice 0 taken for 2, once 2 for 1
    model = answers_by_brightness()
    figure = plot_confusion(model, x, form(y))
    matrix, *examples = figure.axes
    assert figure.get_suptitle() == f"{model.name}: 50.00% right, 3 mistakes among 6 images"
    written = {(round(t.get_position()[1]), round(t.get_position()[0])): int(t.get_text()) for t in matrix.texts}
    assert written == {(0, 0): 1, (1, 1): 1, (2, 2): 1, (0, 2): 2, (2, 1): 1}
    right, wrong = (np.ma.filled(image.get_array(), 0) for image in matrix.images)
    np.testing.assert_array_equal(right + wrong, confusion_matrix(y, [0, 1, 2, 2, 2, 1], 3))
    assert np.array_equal(right, np.diag([1, 1, 1])) and matrix.images[0].get_array().mask[0, 1]
    assert (matrix.get_xlabel(), matrix.get_ylabel()) == ("predicted class", "true class")

    shown = [axes for axes in examples if axes.images]
    assert [axes.get_title() for axes in shown] == ["0 taken for 2", "2 taken for 1"]
    probabilities = model.predict(x)
    for axes, image, predicted, times in zip(shown, (4, 5), (2, 1), ("2 times", "once"), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), x[image, :, :, 0])
        sure = f"{100 * probabilities[image, predicted]:.2f}% sure"
        assert axes.get_xlabel() == f"{times}\nimage {image}: {sure}"


def test_confusion_without_a_mistake_says_so():
    figure = plot_confusion(answers_by_brightness(), brightest(0, 1, 2), [0, 1, 2])
    assert "100.00% right, no mistake among 3 images" in figure.get_suptitle()
    assert "no mistakes" in said(figure.axes[1])[0]


def test_the_colours_of_a_confusion_matrix_have_a_scale():
    x, y = brightest(*[0] * 40, *[1] * 7), np.array([0] * 40 + [2] * 7)
    matrix = plot_confusion(answers_by_brightness(), x, y).axes[0]
    assert [bar.get_ylabel() for bar in matrix.child_axes] == ["images, right", "images, wrong"]
    for bar, most, image in zip(matrix.child_axes, (40, 7), matrix.images, strict=True):
        low, high = bar.get_ylim()
        numbers = [float(label.get_text()) for label in bar.get_yticklabels()]
        assert low < 1 and high > most and image.norm.vmin <= low and high <= image.norm.vmax
        assert [n for n in numbers if low <= n <= high][:4] == [1, 2, 5, 10]
        assert bar.get_yscale() == "log"


def test_colours_that_are_not_there_have_no_scale():
    matrix = plot_confusion(answers_by_brightness(), brightest(0, 1), [0, 1]).axes[0]
    assert [bar.get_ylabel() for bar in matrix.child_axes] == ["images, right"]


def test_one_mistake_in_very_many_is_not_rounded_away():
    x = np.repeat(brightest(0), 30_000, axis=0)
    y = np.zeros(len(x), int)
    y[7] = 1
    figure = plot_confusion(answers_by_brightness(), x, y)
    assert "above 99.99% right, 1 mistake among 30,000" in figure.get_suptitle()


def test_at_most_six_mistakes_the_most_frequent_first():
    model = Sequential([Flatten(input_shape=(1, 4, 1)), Dense(4, activation="softmax")])
    model.set_weights([np.eye(4), np.zeros(4)])
    pairs = [(true, predicted) for true in range(4) for predicted in range(4) if true != predicted]
    chosen = [pair for times, pair in enumerate(pairs, start=1) for _ in range(times)]
    x = np.eye(4)[[predicted for _, predicted in chosen]].reshape(-1, 1, 4, 1)
    figure = plot_confusion(model, x, [true for true, _ in chosen])
    titles = [axes.get_title() for axes in figure.axes[1:]]
    assert titles == [f"{true} taken for {predicted}" for true, predicted in reversed(pairs[-6:])]


def test_many_classes_are_drawn_without_numbers():
    model = Sequential([Flatten(input_shape=(1, 30, 1)), Dense(30, activation="softmax")])
    model.set_weights([np.eye(30), np.zeros(30)])
    assert said(plot_confusion(model, np.eye(30).reshape(-1, 1, 30, 1), np.arange(30)).axes[0]) == []


def test_labels_and_models_that_do_not_fit():
    model = answers_by_brightness()
    with pytest.raises(ShapeError, match="2 labels for 3 images"):
        plot_confusion(model, brightest(0, 1, 2), [0, 1])
    with pytest.raises(ValueError, match="label 3 is out of range"):
        plot_confusion(model, brightest(0), [3])
    with pytest.raises(ShapeError, match="does not end in one output"):
        plot_confusion(Sequential([Conv2D(1, 1, input_shape=(1, 3, 1))]), brightest(0), [0])


def test_a_network_whose_training_diverged():
    model = answers_by_brightness()
    model.set_weights([np.full((3, 3), np.nan), np.zeros(3)])
    with pytest.raises(ValueError, match="answers with NaN"):
        plot_confusion(model, brightest(0), [0])
    assert "not a number" in plot_feature_maps(model, np.ones((1, 3, 1))).axes[1].get_title()

    model = network()
    model.layers[0].set_weights([np.full((3, 3, 1, 3), np.nan), np.zeros(3)])
    assert plot_filters(model).axes[0].images[0].get_clim() == (-1, 1)
    assert "not finite" in said(plot_feature_maps(model, np.ones((8, 8, 1))).axes[0])
    assert "train nan" in plot_history({"loss": [1, np.nan]}).axes[0].get_title()


# ---------------------------------------------------------------- files, and what is left behind

PLOTS = [
    lambda path: plot_history(LOSSES, path, documented=LOSSES, title="net"),
    lambda path: plot_filters(network(), path),
    lambda path: plot_feature_maps(network(), np.ones((8, 8, 1)), path),
    lambda path: plot_confusion(answers_by_brightness(), brightest(0, 1, 2), [0, 2, 2], path),
]
every_plot = pytest.mark.parametrize("plot", PLOTS, ids=["history", "filters", "feature_maps", "confusion"])


@every_plot
@pytest.mark.parametrize("suffix, start", [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_files_by_suffix(plot, suffix, start, tmp_path):
    path = tmp_path / f"picture{suffix}"
    assert plot(path).axes
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["picture.jpg", "picture", "picture.png.txt"])
def test_other_suffixes_are_refused_before_anything_is_computed(name, tmp_path):
    path = tmp_path / name
    for refused in (plot_history, plot_filters):
        with pytest.raises(ValueError, match=rf"{name}: pictures end in \.png, \.svg, \.pdf"):
            refused(None, path)
    with pytest.raises(ValueError, match=name):
        plot_feature_maps(None, None, path)
    with pytest.raises(ValueError, match=name):
        plot_confusion(None, None, None, path)
    assert not path.exists()


@every_plot
def test_paths_that_cannot_be_written_are_named(plot, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no-such/picture.png: there is no folder {tmp_path}/no-such"):
        plot(tmp_path / "no-such" / "picture.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OSError, match="cannot write .*folder.png"):
        plot(tmp_path / "folder.png")


def test_no_matplotlib_before_the_first_picture_and_never_pyplot(tmp_path):
    program = """
import sys
from tinycnn import pictures
assert "matplotlib" not in sys.modules
pictures.plot_history({"loss": [1, 2]}, sys.argv[1])
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program, tmp_path / "picture.png"], check=True)


@every_plot
def test_settings_of_matplotlib_stay(plot, tmp_path):
    import matplotlib

    settings = [name for name in matplotlib.rcParams if name != "backend"]  # only asking for that imports pyplot
    before = [matplotlib.rcParams[name] for name in settings]
    plot(tmp_path / "picture.png")
    assert [matplotlib.rcParams[name] for name in settings] == before
