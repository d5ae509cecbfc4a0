"""Keras's files: HDF5 and JSON, read as Keras wrote them, and written so that Keras reads them."""

import builtins
import os

import numpy as np
import pytest
from helpers import assert_same_bits, images
from small_trainings import again, compiled, fit, toy

import tinycnn
from tinycnn import callbacks, models
from tinycnn import layers as ours
from tinycnn.fit import hdf5
from tinycnn.fit.checkpoint import CheckpointError

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'tinycnn[test]'")

X, _ = images(np.random.default_rng(0), 5)


@pytest.fixture(autouse=True)
def reference():
    again()
    with tinycnn.use_device("reference"):
        yield


def in_a_row(layers, start):
    """A network of `layers`, Keras's or tinycnn's, that begins with `start`, and has every kind of weight."""
    return [
        *start,
        layers.Conv2D(4, (3, 3), strides=(2, 1), padding="same", activation="relu", name="first"),
        layers.BatchNormalization(momentum=0.9),
        layers.MaxPooling2D((2, 2), strides=1),
        layers.Dropout(0.25),
        layers.Conv2D(3, (1, 2), use_bias=False),
        layers.UpSampling2D((1, 2)),
        layers.Conv2DTranspose(2, (2, 3), strides=(1, 2), padding="same"),
        layers.Activation("relu"),
        layers.Flatten(),
        layers.Dense(3, activation="softmax", kernel_initializer="he_normal"),
    ]


def as_a_graph(layers, inputs):
    """The outputs of a network whose layers Keras orders otherwise than a walk through it would: c comes after a."""
    a, c = layers.Conv2D(2, 3, padding="same"), layers.Conv2D(2, 3, padding="same")
    b = layers.Conv2D(4, 3, padding="same", activation="relu")
    joined = layers.Concatenate()([c(inputs), b(a(inputs)), layers.BatchNormalization()(a(inputs))])
    return layers.Dense(3, activation="softmax")(layers.Flatten()(joined))


def filled(model):
    """Every weight a number of its own, so that no two can be taken for one another; variances are above 0."""
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1 if w.ndim == 1 else -0.5, 0.5, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def theirs(keras):
    """{name: a network of Keras's, with a file of each kind that Keras 3 writes of it still to be made}"""
    row = keras.Sequential(in_a_row(keras.layers, [keras.Input((8, 8, 1))]))
    row.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    inputs = keras.Input((8, 8, 1))
    return {"row": filled(row), "graph": filled(keras.Model(inputs, as_a_graph(keras.layers, inputs)))}


def our(name):
    if name == "row":
        return models.Sequential(in_a_row(ours, [ours.Input((8, 8, 1))]))
    inputs = ours.Input((8, 8, 1))
    return models.Model(inputs, as_a_graph(ours, inputs))


def assert_same_network(mine, other):
    """Their answers differ by what rounding to float32 does."""
    np.testing.assert_allclose(mine.predict(X), other.predict(X, verbose=0), atol=1e-5)


# ---------------------------------------------------------------- Keras's files, read here


@pytest.mark.filterwarnings("ignore:.*begins anew")
@pytest.mark.parametrize("name", ["row", "graph"])
def test_a_model_that_keras_saved_predicts_the_same(theirs, tmp_path, name):
    theirs[name].save(tmp_path / "m.h5")
    mine = models.load_model(tmp_path / "m.h5")
    assert_same_network(mine, theirs[name])
    assert {layer.name for layer in mine.layers} >= {layer.name for layer in theirs[name].layers if layer.weights}


@pytest.mark.parametrize("name", ["row", "graph"])
@pytest.mark.parametrize("ending", [".h5", ".weights.h5"])
def test_weights_that_keras_saved_go_into_the_same_network(theirs, tmp_path, name, ending):
    path = tmp_path / f"w{ending}"
    theirs[name].save(path) if ending == ".h5" else theirs[name].save_weights(path)
    mine = our(name)
    mine.load_weights(path)
    assert_same_network(mine, theirs[name])


def test_a_model_that_keras_compiled_is_compiled_and_says_what_it_lacks(theirs, tmp_path):
    theirs["row"].save(tmp_path / "m.h5")
    with pytest.warns(UserWarning, match="optimiser's state stays in Keras's file"):
        mine = models.load_model(tmp_path / "m.h5")
    assert mine.optimizer.name == "Adam" and mine.optimizer.learning_rate == pytest.approx(1e-3)
    assert mine.loss.__name__ == "categorical_crossentropy" and mine.metrics == ["accuracy"]
    fit(mine, *toy())


# As Keras 2.2 writes a network: a list of layers, the input's shape in the first, its own names of initialisers.
KERAS_2 = """{"class_name": "Sequential", "config": [
 {"class_name": "Conv2D", "config": {"name": "conv2d_1", "trainable": true, "batch_input_shape": [null, 8, 8, 1],
  "dtype": "float32", "filters": 2, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid",
  "data_format": "channels_last", "dilation_rate": [1, 1], "activation": "relu", "use_bias": true,
  "kernel_initializer": {"class_name": "VarianceScaling",
   "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": null}},
  "bias_initializer": {"class_name": "Zeros", "config": {}}, "kernel_regularizer": null, "bias_regularizer": null,
  "activity_regularizer": null, "kernel_constraint": null, "bias_constraint": null}},
 {"class_name": "BatchNormalization", "config": {"name": "norm", "trainable": false, "axis": 3, "momentum": 0.99,
  "epsilon": 0.001, "center": true, "scale": true, "beta_initializer": {"class_name": "Zeros", "config": {}},
  "gamma_initializer": {"class_name": "Ones", "config": {}}, "gamma_regularizer": null}},
 {"class_name": "Flatten", "config": {"name": "flatten_1", "trainable": true, "data_format": "channels_last"}},
 {"class_name": "Dense", "config": {"name": "dense_1", "trainable": true, "units": 3, "activation": "softmax",
  "use_bias": true, "kernel_initializer": {"class_name": "VarianceScaling",
   "config": {"scale": 2.0, "mode": "fan_in", "distribution": "normal", "seed": null}}}}]}"""
KERAS_2_TRAINING = """{"optimizer_config": {"class_name": "Adam", "config": {"lr": 0.002, "beta_1": 0.9, "beta_2": 0.99,
 "decay": 0.5, "epsilon": 1e-07, "amsgrad": false}}, "loss": "categorical_crossentropy", "metrics": ["acc"],
 "sample_weight_mode": null, "loss_weights": null}"""


def keras_2_file(path, config=KERAS_2, training=KERAS_2_TRAINING, pieces=1, backend=b"tensorflow"):
    """A file of the form that Keras 2 writes, and its weights; pieces: in how many the list of layers is cut."""
    rng = np.random.default_rng(2)
    shapes = {
        "conv2d_1": {"kernel": (3, 3, 1, 2), "bias": (2,)},
        "norm": {"gamma": (2,), "beta": (2,), "moving_mean": (2,), "moving_variance": (2,)},
        "flatten_1": {},
        "dense_1": {"kernel": (72, 3), "bias": (3,)},
    }
    values = []
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = b"2.2.4", backend
        file.attrs["model_config"] = config.encode()
        file.attrs["training_config"] = training.encode()
        group = file.create_group("model_weights")
        group.attrs["backend"] = backend
        names = np.array([name.encode() for name in shapes])
        for number, piece in enumerate(np.array_split(names, pieces)):
            group.attrs["layer_names" if pieces == 1 else f"layer_names{number}"] = piece
        for layer, weights in shapes.items():
            part = group.create_group(layer)
            part.attrs["weight_names"] = [f"{layer}/{weight}:0".encode() for weight in weights]
            for weight, shape in weights.items():
                values.append(rng.uniform(0.1, 0.9, shape).astype(np.float32))
                part[f"{layer}/{weight}:0"] = values[-1]
    return values


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_file_of_keras_2_is_read(tmp_path, pieces):
    values = keras_2_file(tmp_path / "m.h5", pieces=pieces)
    with pytest.warns(UserWarning, match="begins anew"):
        mine = models.load_model(tmp_path / "m.h5")
    for got, want in zip(mine.get_weights(), values, strict=True):
        assert_same_bits(got, want)
    assert [layer.name for layer in mine.layers] == ["conv2d_1", "norm", "flatten_1", "dense_1"]
    assert mine.output.shape == (None, 3) and mine.metrics == ["acc"]
    assert mine.get_layer("norm").trainable is False and len(mine.trainable_weights) == 4
    options = mine.optimizer.options()
    assert (options["learning_rate"], options["beta_2"], options["decay"]) == (0.002, 0.99, 0.5)


def test_the_initialisers_of_keras_2_are_known_by_their_formula():
    mine = models.model_from_json(KERAS_2)
    assert [layer.options()["kernel_initializer"] for layer in (mine.layers[0], mine.layers[-1])] == [
        "glorot_uniform", "he_normal",
    ]  # fmt: skip


def test_weights_by_name_are_those_of_layers_named_alike(tmp_path):
    values = keras_2_file(tmp_path / "m.h5")
    mine = models.Sequential(
        [
            ours.Conv2D(2, (3, 3), input_shape=(8, 8, 1), name="conv2d_1"),
            ours.Flatten(),
            ours.Dense(7, activation="softmax", name="another"),
        ]
    )
    before = mine.get_weights()
    mine.load_weights(tmp_path / "m.h5", by_name=True)
    assert_same_bits(mine.get_weights()[0], values[0])
    assert_same_bits(mine.get_weights()[2], before[2])


# ---------------------------------------------------------------- files of tinycnn, read by Keras


@pytest.mark.parametrize("name", ["row", "graph"])
def test_keras_reads_a_model_that_was_saved_here(keras, tmp_path, name):
    mine = filled(our(name))
    mine.compile("adam", metrics=["accuracy"])
    mine.save(tmp_path / "m.h5")
    other = keras.models.load_model(tmp_path / "m.h5")
    assert_same_network(mine, other)
    assert isinstance(other.optimizer, keras.optimizers.Adam)


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.parametrize("name", ["row", "graph"])
@pytest.mark.parametrize("ending", [".h5", ".weights.h5"])
def test_keras_reads_weights_that_were_saved_here(keras, theirs, tmp_path, name, ending):
    mine = our(name)
    mine.save_weights(tmp_path / f"w{ending}")
    other = keras.models.clone_model(theirs[name])
    other.load_weights(tmp_path / f"w{ending}")
    assert_same_network(mine, other)


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_training_goes_on_from_an_hdf5_file_to_the_same_bits(tmp_path, optimizer):
    x, y = toy()
    whole = compiled(optimizer)
    fit(whole, x, y, epochs=3)
    again()
    part = compiled(optimizer)
    fit(part, x, y, epochs=2)
    part.save(tmp_path / "m.h5")
    back = models.load_model(tmp_path / "m.h5")
    assert back.history.history["loss"] == part.history.history["loss"] and back.epoch == 2
    fit(back, x, y, epochs=3, initial_epoch=2)
    for got, want in zip(back.get_weights(), whole.get_weights(), strict=True):
        assert_same_bits(got, want)


@pytest.mark.parametrize("name", ["row", "graph"])
def test_json_is_the_network_without_its_weights(name):
    mine = our(name)
    back = models.model_from_json(mine.to_json(indent=1))
    assert type(back) is type(mine)
    back.set_weights(mine.get_weights())
    assert_same_bits(back.predict(X), mine.predict(X))
    copy = type(mine).from_config(mine.get_config())
    assert copy.get_config()["layers"][1:] == mine.get_config()["layers"][1:]


@pytest.mark.parametrize("inner", ["row", "graph"])
def test_a_model_within_a_sequential_is_written_with_its_layers_in_its_place(tmp_path, inner):
    x = ours.Input((3,))
    branches = models.Model(x, ours.Add()([ours.Dense(4)(x), ours.Dense(4)(x)]))
    row = models.Sequential([ours.Dense(4, input_shape=(3,)), ours.Dropout(0.2)])
    model = models.Sequential([row if inner == "row" else branches, ours.Dense(2, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    numbers = np.random.default_rng(2).random((5, 3))
    for name in ("m.h5", "m.safetensors"):
        model.save(tmp_path / name)
        assert_same_bits(models.load_model(tmp_path / name).predict(numbers), model.predict(numbers))
    model.save_weights(tmp_path / "w.h5")
    for described in (models.model_from_json(model.to_json()), models.Model.from_config(model.get_config())):
        described.load_weights(tmp_path / "w.h5")
        assert_same_bits(described.predict(numbers), model.predict(numbers))


@pytest.mark.parametrize("name", ["row", "graph"])
def test_json_of_keras_3_is_read(theirs, name):
    mine = models.model_from_json(theirs[name].to_json())
    assert [layer.type for layer in our(name).layers] == [layer.type for layer in mine.layers]
    assert mine.count_params() == theirs[name].count_params()


def test_a_network_has_weights_of_its_own_after_from_config():
    mine = our("row")
    assert not np.array_equal(models.Sequential.from_config(mine.get_config()).get_weights()[0], mine.get_weights()[0])


class Scaled(ours.Layer):
    """Written as for Keras 2, with a get_config."""

    def __init__(self, factor, **kwargs):
        self.factor = factor
        super().__init__(**kwargs)

    def call(self, x, training):
        for _ in range(self.factor - 1):
            x = x + x
        return x

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Halved(Scaled):
    """With a from_config too."""

    @classmethod
    def from_config(cls, config):
        return cls(**{name: config[name] for name in ("factor", "name")})


@pytest.mark.parametrize("kind", [Scaled, Halved])
@pytest.mark.parametrize("file", ["m.h5", "m.safetensors"])
def test_a_layer_of_one_s_own_comes_back_by_its_get_config(tmp_path, kind, file):
    mine = models.Sequential([ours.Flatten(input_shape=(8, 8, 1)), kind(2), ours.Dense(3, activation="softmax")])
    mine.save(tmp_path / file)
    custom = {kind.__name__: kind}
    for back in (models.load_model(tmp_path / file, custom), models.model_from_json(mine.to_json(), custom)):
        back.set_weights(mine.get_weights())
        assert_same_bits(back.predict(X), mine.predict(X))
        assert back.layers[1].factor == 2
    with pytest.raises(ValueError, match=kind.__name__):
        models.load_model(tmp_path / file)


def test_a_layer_s_config_is_keras_2_s():
    layer = ours.Conv2D(4, (3, 3), activation="relu", name="c")
    config = layer.get_config()
    assert config["name"] == "c" and config["filters"] == 4 and config["activation"] == "relu" and config["trainable"]
    assert ours.Conv2D.from_config(config).get_config() == config
    assert ours.Dense(3).get_config()["activation"] == "linear"


def test_many_layers_with_long_names_are_kept(tmp_path):
    names = [f"{'x' * 900}_{number}" for number in range(90)]  # 81 KB of names: more than one attribute holds
    mine = models.Sequential(
        [ours.Dense(1, name=name, **({} if i else {"input_shape": (1,)})) for i, name in enumerate(names)]
    )
    mine.save_weights(tmp_path / "w.h5")
    before = mine.get_weights()
    filled(mine)
    mine.load_weights(tmp_path / "w.h5")
    for got, want in zip(mine.get_weights(), before, strict=True):
        assert_same_bits(got, want)


# ---------------------------------------------------------------- names


def test_a_name_of_hdf5_is_never_given_to_another_format(tmp_path):
    mine = compiled()
    mine.save(tmp_path / "m.h5")
    mine.save_weights(tmp_path / "w.hdf5")
    fit(mine, *toy(), epochs=1, callbacks=[callbacks.ModelCheckpoint(str(tmp_path / "e{epoch}.h5"))])
    mine.save(tmp_path / "m.safetensors")
    mine.save(tmp_path / "plain")
    for name, is_one in {"m.h5": 1, "w.hdf5": 1, "e1.h5": 1, "m.safetensors": 0, "plain": 0}.items():
        assert (tmp_path / name).read_bytes().startswith(hdf5.SIGNATURE) == is_one
    os.rename(tmp_path / "w.hdf5", tmp_path / "w")
    mine.load_weights(tmp_path / "w")  # told by what it begins with


@pytest.mark.parametrize("call", ["save", "save_weights", "load_weights", "load_model"])
def test_keras_files_are_refused_by_name(tmp_path, call):
    mine, path = compiled(), tmp_path / "m.keras"
    with pytest.raises(ValueError, match=r"\.keras files are not read or written.*save\('m.h5'\)"):
        models.load_model(path) if call == "load_model" else getattr(mine, call)(path)
    assert not path.exists()


def train(model, *listeners):
    """It says so before anything is trained."""

    class Never(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            raise AssertionError("training began")

    fit(model, *toy(), callbacks=[*listeners, Never()])


def test_without_h5py_the_command_is_named(tmp_path, monkeypatch):
    mine, real = compiled(), builtins.__import__

    def without(name, *arguments):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    keep = callbacks.ModelCheckpoint(tmp_path / "m.h5")
    for call in (mine.save, mine.save_weights, mine.load_weights, models.load_model, lambda _: train(mine, keep)):
        with pytest.raises(ValueError, match=r"pip install 'tinycnn\[hdf5\]'"):
            call(tmp_path / "m.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_weights_h5_holds_no_model(tmp_path):
    with pytest.raises(ValueError, match="weights alone"):
        compiled().save(tmp_path / "m.weights.h5")
    compiled().save_weights(tmp_path / "w.h5")
    with pytest.raises(CheckpointError, match="weights alone.*load_weights"):
        models.load_model(tmp_path / "w.h5")


# ---------------------------------------------------------------- what is refused


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    mine, path = compiled(), tmp_path / "m.h5"
    mine.save(path)
    whole, before = path.read_bytes(), mine.get_weights()
    for end in [*range(0, 2048, 97), *range(2048, len(whole), 1501), len(whole) - 1]:
        path.write_bytes(whole[:end])
        for call in (models.load_model, mine.load_weights):
            with pytest.raises(CheckpointError, match="^[^\n]*m.h5[^\n]*$"):
                call(path)
    for got, want in zip(mine.get_weights(), before, strict=True):
        assert_same_bits(got, want)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", hdf5.SIGNATURE, hdf5.SIGNATURE + b"\0" * 5000])
def test_what_is_no_hdf5_is_refused(tmp_path, content):
    (tmp_path / "m.h5").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not an HDF5 file, or is damaged"):
        models.load_model(tmp_path / "m.h5")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="m.h5: there is no such file"):
        models.load_model(tmp_path / "m.h5")


def test_weights_of_another_network_are_refused_with_both_shapes(tmp_path):
    mine = compiled()
    before = mine.get_weights()
    other = models.Sequential(
        [
            ours.Conv2D(4, (3, 3), input_shape=(8, 8, 1)),
            ours.BatchNormalization(),
            ours.Flatten(),
            ours.Dense(3, activation="softmax"),
        ]
    )
    other.save_weights(tmp_path / "w.h5")
    with pytest.raises(CheckpointError, match=r"\(144, 3\).*\(36, 3\)"):
        mine.load_weights(tmp_path / "w.h5")
    with pytest.raises(CheckpointError, match="3 layers with weights.*has 2"):
        models.Sequential(mine.layers[:2]).load_weights(tmp_path / "w.h5")
    for got, want in zip(mine.get_weights(), before, strict=True):
        assert_same_bits(got, want)


def test_a_link_out_of_the_file_is_not_followed(tmp_path):
    path, secret = tmp_path / "w.h5", tmp_path / "other.h5"
    keras_2_file(path)
    keras_2_file(secret)
    with h5py.File(path, "a") as file:
        del file["model_weights/dense_1/dense_1/bias:0"]
        file["model_weights/dense_1/dense_1/bias:0"] = h5py.ExternalLink(
            str(secret), "model_weights/dense_1/dense_1/bias:0"
        )
    with pytest.raises(CheckpointError, match="missing, or lies in another file"):
        models.load_model(path)


def kept_elsewhere(file, place, bias, path):
    """An array whose numbers are in a file beside it, as raw bytes."""
    path.with_name("raw").write_bytes(bias.tobytes())
    file.create_dataset(place, bias.shape, bias.dtype, external=[(str(path.with_name("raw")), 0, bias.nbytes)])


def put_together(file, place, bias, path):
    """An array whose numbers are those of an array in another file."""
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["bias"] = bias
    layout = h5py.VirtualLayout(bias.shape, bias.dtype)
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "bias", bias.shape)
    file.create_virtual_dataset(place, layout)


def of_whole_numbers(file, place, bias, path):
    file[place] = bias.astype(np.int32)


def a_folder_of_arrays(file, place, bias, path):
    file.create_group(place)["0"] = bias


@pytest.mark.parametrize(
    ("put", "words"),
    [
        (kept_elsewhere, "bias:0 is no array of this file"),
        (put_together, "bias:0 is no array of this file"),
        (a_folder_of_arrays, "bias:0 is no array of this file"),
        (of_whole_numbers, "bias:0 is of int32, not of float32"),
    ],
)
def test_a_weight_that_is_no_array_of_this_file_is_refused(tmp_path, put, words):
    path, place = tmp_path / "w.h5", "model_weights/dense_1/dense_1/bias:0"
    bias = keras_2_file(path)[-1]
    with h5py.File(path, "a") as file:
        del file[place]
        put(file, place, bias, path)
    with pytest.raises(CheckpointError, match=words):
        models.load_model(path)


CHANGES = {
    "dilation_rate": ('"dilation_rate": [1, 1]', '"dilation_rate": [2, 2]', r"conv2d_1 has dilation_rate=\[2, 2\]"),
    "data_format": ('"channels_last"', '"channels_first"', "data_format='channels_first'"),
    "a layer": ('"class_name": "Flatten"', '"class_name": "LSTM"', r"no layer 'LSTM'.*custom_objects"),
    "scale": ('"scale": true', '"scale": "no"', "scale='no'"),
    "padding": ('"padding": "valid"', '"padding": "causal"', "causal"),
    "dtype": ('"dtype": "float32"', '"dtype": "bfloat16"', "computes in bfloat16"),
    "no JSON": ("{", "(", "Expecting value"),
    "no layers": ('"config": [', '"config": {}, "more": [', "layers"),
    "a network": ('"class_name": "Sequential"', '"class_name": "Graph"', "'Graph'"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_description_asks_for_and_is_not_there_is_refused_by_name(tmp_path, change):
    old, new, message = CHANGES[change]
    assert old in KERAS_2
    text = KERAS_2.replace(old, new, 1)
    keras_2_file(tmp_path / "m.h5", text)
    with pytest.raises(CheckpointError, match=message):
        models.load_model(tmp_path / "m.h5")
    with pytest.raises(ValueError, match=message):
        models.model_from_json(text)


def test_a_way_of_training_that_is_not_there_is_said_and_left_out(tmp_path):
    keras_2_file(tmp_path / "m.h5", training=KERAS_2_TRAINING.replace('"amsgrad": false', '"amsgrad": true'))
    with pytest.warns(UserWarning, match="amsgrad=True.*compile the model yourself"):
        assert models.load_model(tmp_path / "m.h5").optimizer is None


def test_files_of_keras_on_theano_are_refused(tmp_path):
    keras_2_file(tmp_path / "m.h5", backend=b"theano")
    with pytest.raises(CheckpointError, match="theano"):
        models.load_model(tmp_path / "m.h5")
