"""What Keras 2 has and tinycnn has not, and what to do instead: every refusal by name finds its words here.

A class or function that is not there can be imported, for many a program imports more than it uses; to call it is
refused. An argument that is not there is refused unless its value changes nothing.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from tinycnn.careful import nearest

CHANNELS = "images are (N, H, W, C) here: turn them with x.transpose(0, 2, 3, 1) and leave it out"
CONSTRAINT = "weights are not constrained here: leave it out, or clip them in a callback with set_weights"
REGULARIZER = "kernels, biases, and outputs of Conv2D and Dense alone have one: leave it out, or use Model.add_loss"
INITIALIZER = "these begin as Keras's default has them: leave it out, or set_weights() afterwards"

# {argument: (values that change nothing, what to do instead)}, of layers of every kind.
ARGUMENTS: dict[str, tuple[tuple, str]] = {
    "data_format": ((None, "channels_last"), CHANNELS),
    "dilation_rate": ((1, (1, 1)), "windows have no holes here: use a larger kernel_size, or strides"),
    "output_shape": ((None,), "it follows from the input's, strides and padding: leave it out"),
    "output_padding": ((None,), "the output has the size of Keras's default: leave it out, or add ZeroPadding2D"),
    "interpolation": (("nearest",), "pixels are repeated: leave it out"),
    "groups": ((1,), "every filter sees all channels here: leave it out, or join several layers by Concatenate"),
    "activity_regularizer": ((None,), REGULARIZER),
    "beta_regularizer": ((None,), REGULARIZER),
    "gamma_regularizer": ((None,), REGULARIZER),
    "kernel_constraint": ((None,), CONSTRAINT),
    "bias_constraint": ((None,), CONSTRAINT),
    "beta_constraint": ((None,), CONSTRAINT),
    "gamma_constraint": ((None,), CONSTRAINT),
    "beta_initializer": (("zeros", "zero"), INITIALIZER),
    "gamma_initializer": (("ones", "one"), INITIALIZER),
    "moving_mean_initializer": (("zeros", "zero"), INITIALIZER),
    "moving_variance_initializer": (("ones", "one"), INITIALIZER),
    "center": ((True,), "beta is always there: freeze it at 0 with `trainable = False`, or leave it out"),
    "scale": ((True,), "gamma is always there: freeze it at 1 with `trainable = False`, or leave it out"),
    "mode": ((0,), "statistics are those of a channel over the batch: leave it out"),
    "noise_shape": ((None,), "every element is dropped for itself: leave it out"),
    "mask": ((None,), "there are no masks: leave it out"),
    "sparse": ((False,), "arrays are dense here: leave it out"),
    "input_tensor": ((None,), "begin with Input(shape=...)"),
    "tensor": ((None,), "begin with Input(shape=...)"),
    "input_length": ((None,), "there are no sequences: give input_shape="),
    "input_dtype": ((None, "float32"), "the device says what it computes in: choose it with tinycnn.use_device"),
    "renorm": ((False,), "leave it out"),
    "fused": ((None, True, False), "leave it out"),
    # of optimisers
    "amsgrad": ((False,), "use Adam without it"),
    "clipnorm": ((None,), "gradients are not clipped here: use a smaller learning rate"),
    "clipvalue": ((None,), "gradients are not clipped here: use a smaller learning rate"),
    # of Model.compile and Model.fit
    "loss_weights": ((None,), "a network is trained by one output: leave it out"),
    "sample_weight_mode": ((None,), "a weight is that of an image: leave it out"),
    "weighted_metrics": ((None,), "give sample_weight to fit(), or to evaluate()"),
    "target_tensors": ((None,), "give y to fit()"),
    "validation_freq": ((1,), "validation runs after every epoch: leave it out"),
    "reset_metrics": ((True,), "every batch is measured for itself: leave it out"),
    "steps_per_epoch": ((None,), "give the part of the data that an epoch should see"),
    "validation_steps": ((None,), "give the part of the validation data that should be measured"),
    "validation_batch_size": ((None,), "validation takes batch_size: leave it out"),
    "max_queue_size": ((10,), "the data lie on the device: leave it out"),
    "workers": ((1,), "the data lie on the device: leave it out"),
    "use_multiprocessing": ((False,), "the data lie on the device: leave it out"),
    "include_optimizer": ((True,), "write save_weights() for a file without it"),
    "overwrite": ((True,), "a file that is there is replaced: look for it before"),
    "compile": ((True,), "the network comes compiled: leave it out"),
    "skip_mismatch": ((False,), "use by_name=True, or set_weights() of the layers that fit"),
    "reshape": ((False,), "use by_name=True, or set_weights() of the layers that fit"),
    "save_to_dir": ((None,), "write the images of flow()'s batches with Pillow"),
    "save_prefix": (("",), "write the images of flow()'s batches with Pillow"),
    "save_format": (("png",), "write the images of flow()'s batches with Pillow"),
    # of losses, activations and initial weights
    "reduction": (("auto", "sum_over_batch_size"), "a loss is the mean over the batch: leave it out"),
    "from_logits": ((False,), "the loss is computed from what is ahead of a softmax or sigmoid: end in one"),
    "label_smoothing": ((0, 0.0), "give fit() soft labels: y * (1 - s) + s / classes"),
    "axis": ((-1,), "classes are the last axis: leave it out"),
    "alpha": ((0, 0.0), "use the layer LeakyReLU(alpha)"),
    "max_value": ((None,), "use Lambda with backend.minimum"),
    "threshold": ((0, 0.0), "use Lambda with backend.maximum"),
    # of backend functions, utils and callbacks
    "constraint": ((None,), CONSTRAINT),
    "regularizer": ((None,), REGULARIZER),
    "dtype": ((None, "float32"), "arrays of labels are float32: turn them with .astype"),
    "update_freq": ((), "use JSONLogger"),
    "save_freq": (("epoch",), "use period="),
    "expand_nested": ((False,), "a network within a network is one box: leave it out"),
    "subgraph": ((False,), "leave it out"),
    "line_length": ((None,), "the table is as wide as it has to be: leave it out"),
    "positions": ((None,), "the table is as wide as it has to be: leave it out"),
    "to_file": ((), "give the name of a file"),
}


def argument(owner: str, name: str, value: Any, known: Sequence[str]) -> None:
    """Nothing where the value changes nothing; else TypeError that says what to do. known: the arguments there are."""
    if name not in ARGUMENTS:
        raise TypeError(f"{owner} has no argument {name!r}; {nearest(name, known)}")
    if isinstance(value, list):
        value = tuple(value)
    if not any(value is h or (type(value) is type(h) and value == h) for h in harmless(name)):
        raise TypeError(f"{owner}({name}={value!r}) is not there: {ARGUMENTS[name][1]}")


def harmless(name: str) -> tuple:
    """The values of an argument of Keras's that change nothing where it is not there."""
    return ARGUMENTS[name][0] if name in ARGUMENTS else ()


# ---------------------------------------------------------------- names


def _each(names: str, remedy: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), remedy)


IMAGES = "networks are of images here: use the layer whose name ends in 2D, of images with one row if need be"
SEQUENCES = "there are no layers for sequences here: use convolutions"
CONVOLUTION = "use Conv2D"
SELF_MADE = "write it as a layer of your own (layers.Layer), or with Lambda and the backend's functions"
ARITHMETIC = "write it with the operators and methods of Tensor, or with the backend's functions that there are"
OBJECTS = "networks are written to files by save() and read by load_model(path, custom_objects=...)"
METRIC = "write it as a function of y_true and y_pred, metrics=[function], or compute it from model.predict(x)"
LOSS = (
    "use 'categorical_crossentropy', 'sparse_categorical_crossentropy', 'binary_crossentropy', 'mse' or 'mae', or "
    "write it as a function of y_true and y_pred, loss=function"
)
SESSION = "there is no graph that runs in a session: see backend.function"
RANDOM = "random numbers come from random_normal, random_uniform, NumPy, or Dropout"
BUILT_IN = "fit() does that itself: leave it out"
MASKS = "there are no masks: leave it out"
ELSEWHERE = "train with fit(): what a layer adds to the loss, or measures, is not there"

# {module, or class: {Keras's name: what to do instead}}.
NAMES: dict[str, dict[str, str]] = {
    "layers": {
        **_each(
            "AveragePooling1D AveragePooling3D AvgPool1D AvgPool3D Conv1D Conv3D Conv3DTranspose Convolution1D "
            "Convolution3D Cropping1D Cropping3D Deconv3D Deconvolution3D GlobalAveragePooling1D "
            "GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool3D "
            "GlobalMaxPooling1D GlobalMaxPooling3D LocallyConnected1D MaxPool1D MaxPool3D MaxPooling1D MaxPooling3D "
            "SeparableConv1D SeparableConvolution1D SpatialDropout1D SpatialDropout3D UpSampling1D UpSampling3D "
            "ZeroPadding1D ZeroPadding3D", IMAGES,
        ),
        **_each(
            "Bidirectional ConvLSTM2D ConvLSTM2DCell ConvRNN2D CuDNNGRU CuDNNLSTM Embedding GRU GRUCell LSTM LSTMCell "
            "Masking RNN RepeatVector SimpleRNN SimpleRNNCell StackedRNNCells TimeDistributed", SEQUENCES,
        ),
        **_each("DepthwiseConv2D LocallyConnected2D SeparableConv2D SeparableConvolution2D", CONVOLUTION),
        **_each("AlphaDropout GaussianDropout GaussianNoise SpatialDropout2D", "use Dropout"),
        **_each("ActivityRegularization", "use activity_regularizer= of the layer before it"),
        **_each("Average Dot Maximum Minimum Multiply Subtract average dot maximum minimum multiply subtract",
                "inputs are joined by Add or Concatenate"),
        **_each("PReLU ThresholdedReLU", "use LeakyReLU, ELU, or ReLU"),
        **_each("Cropping2D Permute Wrapper Merge", SELF_MADE),
        **_each("InputSpec", "a layer refuses inputs in compute_output_shape: raise ShapeError there"),
    },
    "callbacks": {
        "TensorBoard": "use JSONLogger(filename), and pictures.plot_history or `tinycnn lab` to look at it",
        "RemoteMonitor": "use JSONLogger(filename), and send what it has written",
        **_each("BaseLogger CallbackList ProgbarLogger", BUILT_IN),
    },
    "losses": {
        **_each(
            "Huber Loss LossFunctionWrapper cosine cosine_proximity cosine_similarity huber_loss", LOSS,
        ),
        **_each("deserialize is_categorical_crossentropy serialize", OBJECTS),
    },
    "optimizers": {
        **_each("Adagrad adagrad", "use Adadelta, which follows it"),
        **_each("Adamax Nadam adamax nadam", "use Adam"),
        **_each("TFOptimizer", "use SGD, Adam, Adadelta or RMSprop"),
        **_each("deserialize serialize", OBJECTS),
        "clip_norm": "gradients are not clipped here: use a smaller learning rate",
    },
    "initializers": {
        "Initializer": "use one that there is, or give the layer weights= of your own",
        **_each("deserialize serialize", OBJECTS),
    },
    "regularizers": {
        "Regularizer": "use l1, l2 or l1_l2",
        **_each("deserialize serialize", OBJECTS),
    },
    "constraints": _each(
        "Constraint MaxNorm MinMaxNorm NonNeg UnitNorm deserialize get max_norm maxnorm min_max_norm non_neg nonneg "
        "serialize unit_norm unitnorm", CONSTRAINT,
    ),
    "metrics": _each(
        "AUC Accuracy BinaryAccuracy BinaryCrossentropy CategoricalAccuracy CategoricalCrossentropy CategoricalHinge "
        "CosineSimilarity FalseNegatives FalsePositives Hinge KLDivergence LogCoshError Mean MeanAbsoluteError "
        "MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError MeanSquaredLogarithmicError Metric "
        "Poisson Precision Recall Reduce RootMeanSquaredError SensitivityAtSpecificity SensitivitySpecificityBase "
        "SparseCategoricalAccuracy SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy "
        "SpecificityAtSensitivity SquaredHinge Sum TopKCategoricalAccuracy TrueNegatives TruePositives accuracy "
        "clone_metric clone_metrics cosine "
        "cosine_proximity cosine_similarity deserialize get serialize "
        "sparse_top_k_categorical_accuracy top_k_categorical_accuracy", METRIC,
    ),
    "activations": {
        **_each("exponential hard_sigmoid selu softsign", "use 'relu', 'elu', 'sigmoid' or 'tanh'"),
        **_each("deserialize get serialize", "an activation is given by its name: activation='relu'"),
    },
    "models": {
        "clone_model": "write type(model).from_config(model.get_config())",
        **_each("model_from_yaml model_from_config", "use model_from_json, or Model.from_config"),
        "save_model": "write model.save(path)",
    },
    "backend": {
        **_each(
            "arange batch_dot batch_normalization bias_add conv1d conv2d_transpose conv3d "
            "conv3d_transpose cos cumprod cumsum depthwise_conv2d eye foldl foldr gather "
            "hard_sigmoid identity in_top_k local_conv1d local_conv2d map_fn "
            "normalize_batch_in_training pool2d pool3d prod repeat repeat_elements resize_images "
            "resize_volumes reverse rnn "
            "separable_conv1d separable_conv2d sin size slice softsign spatial_2d_padding "
            "spatial_3d_padding stack switch temporal_padding tile", ARITHMETIC,
        ),
        **_each("ctc_batch_cost ctc_decode ctc_label_dense_to_sparse", LOSS),
        **_each("control_dependencies eager get_session get_variable_shape is_symbolic is_variable "
                "manual_variable_initialization set_session symbolic v1_variable_initialization", SESSION),
        **_each("dropout random_binomial random_normal_variable random_uniform_variable truncated_normal", RANDOM),
        **_each("in_test_phase in_train_phase", "a layer's call(x, training) is told: write it there"),
        **_each("moving_average_update update update_add update_sub", "assign by set_value, or set_weights()"),
        **_each("is_sparse to_dense", "arrays are dense here: leave it out"),
        **_each("get_uid reset_uids", "layers are numbered by themselves; clear_session() begins at 1"),
        **_each("is_keras_tensor is_placeholder", "isinstance(x, layers.Symbol) tells"),
        **_each("normalize_data_format", CHANNELS),
        "placeholder": "use Input(shape=...)",
        "print_tensor": "print what function([...], [x]) gives",
        "set_epsilon": "give epsilon= to the layer or the optimizer",
    },
    "utils": {
        **_each("deserialize_keras_object serialize_keras_object", OBJECTS),
        **_each("GeneratorEnqueuer OrderedEnqueuer", "fit_generator() fetches ahead itself"),
        **_each("H5Dict HDF5Matrix", "read it with h5py into an array"),
        **_each("convert_all_kernels_in_model", "the files of Theano are not read"),
        **_each("get_file", "use datasets.load, or download it yourself"),
        **_each("get_source_inputs", "use model.inputs"),
        **_each("model_to_dot", "use plot_model"),
        **_each("multi_gpu_model", "a network is trained on one GPU: leave it out"),
        **_each("print_summary", "write model.summary()"),
        **_each("Progbar", "fit(verbose=1) shows one"),
        **_each("normalize", "divide by numpy.linalg.norm"),
    },
    "preprocessing.image": {"save_img": "write PIL.Image.fromarray(image).save(path)"} | _each(
        "DataFrameIterator apply_affine_transform apply_brightness_shift apply_channel_shift random_brightness "
        "random_channel_shift random_rotation random_shear random_shift random_zoom",
        "use ImageDataGenerator's flow, flow_from_directory or random_transform",
    ),
    "Layer": {
        **_each("compute_mask get_input_mask_at get_output_mask_at input_mask output_mask", MASKS),
        **_each("add_metric add_update get_losses_for get_updates_for losses metrics updates", ELSEWHERE),
        **_each("get_input_at get_output_at get_input_shape_at get_output_shape_at",
                "call the layer, and keep what it returns"),
        **_each("assert_input_compatibility", "a layer refuses inputs in compute_output_shape"),
    },
    "Model": {
        **_each("compute_mask input_spec", MASKS),
        **_each("losses state_updates updates uses_learning_phase", ELSEWHERE),
        **_each("reset_states stateful", "networks keep no state between batches: leave it out"),
        **_each("reset_metrics", "every evaluation begins anew: leave it out"),
        **_each("run_internal_graph call", "call the model: model(x)"),
        **_each("compute_output_shape", "use model.output_shape"),
        **_each("to_yaml", "use to_json()"),
    },
    "Sequential": {"model": "the Sequential is the model itself"},
}  # fmt: skip

# Modules of Keras's that there are not, whole, and what stands in for each.
MODULES: dict[str, str] = {
    "applications": "there are no trained networks of photographs: build one, or take one of tinycnn.architectures",
    "constraints": CONSTRAINT,
    "preprocessing.sequence": SEQUENCES,
    "preprocessing.text": SEQUENCES,
    "wrappers": "call fit() and predict() in a class of your own",
    "datasets.boston_housing": "use datasets.mnist or datasets.fashion_mnist",
    "datasets.cifar": "use datasets.load(folder) with your own images",
    "datasets.cifar10": "use datasets.load(folder) with your own images",
    "datasets.cifar100": "use datasets.load(folder) with your own images",
    "datasets.imdb": SEQUENCES,
    "datasets.reuters": SEQUENCES,
    "utils.conv_utils": "tinycnn.shapes has the arithmetic of windows",
    "utils.io_utils": "read it with h5py into an array",
    "utils.losses_utils": LOSS,
    "utils.metrics_utils": METRIC,
    "utils.multi_gpu_utils": "a network is trained on one GPU: leave it out",
    "utils.test_utils": "use numpy.testing",
    "layers.convolutional_recurrent": SEQUENCES,
    "layers.cudnn_recurrent": SEQUENCES,
    "layers.embeddings": SEQUENCES,
    "layers.local": CONVOLUTION,
    "layers.noise": "use Dropout",
    "layers.recurrent": SEQUENCES,
    "layers.wrappers": SEQUENCES,
}


# Modules of Keras 1 and 2 whose names are elsewhere here.
ELSEWHERE_NAMED: dict[str, str] = {
    "objectives": "losses", "engine": "layers", "engine.topology": "layers", "engine.base_layer": "layers",
    "engine.input_layer": "layers", "engine.network": "models", "engine.sequential": "models",
    "engine.training": "models", "engine.saving": "models", "utils.layer_utils": "utils",
    "utils.visualize_util": "utils", "utils.generic_utils": "utils", "callbacks.callbacks": "callbacks",
    "callbacks.tensorboard_v1": "callbacks", "callbacks.tensorboard_v2": "callbacks",
}  # fmt: skip


class NotHere:
    """A name of Keras's that can be imported, and says what to do instead when it is used."""

    def __init__(self, name: str, remedy: str):
        self._said = f"{name} is not there: {remedy}"

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(self._said)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(self._said)

    def __mro_entries__(self, _: Any) -> Any:
        raise TypeError(self._said)

    def __repr__(self) -> str:
        return f"<{self._said}>"


def attribute(module: ModuleType, name: str) -> Any:
    """For a module's `__getattr__`: what stands in for a name of Keras's. Raises AttributeError for any other."""
    place = module.__name__.removeprefix("tinycnn.")
    group = "layers" if place.startswith("layers.") else place
    if group != place and not name.startswith("_") and name in getattr(sys.modules["tinycnn.layers"], "__all__", ()):
        return getattr(sys.modules["tinycnn.layers"], name)  # Keras 1 had it in another file
    if name in NAMES.get(group, {}):
        return NotHere(f"{group}.{name}", NAMES[group][name])
    if name.startswith("__"):
        raise AttributeError(name)
    near = nearest(name, [known for known in vars(module) if not known.startswith("_")], "see docs/keras.md")
    raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}; {near}")


def of_instance(kind: str, thing: Any, name: str) -> AttributeError:
    """For a class's `__getattr__`: what to raise. kind: 'Layer', 'Model' or 'Sequential'."""
    for group in (kind, "Model") if kind == "Sequential" else (kind,):
        if name in NAMES[group]:
            return AttributeError(f"{type(thing).__name__}.{name} is not there: {NAMES[group][name]}")
    return AttributeError(f"{type(thing).__name__!r} object has no attribute {name!r}")


def by_name(function: Callable) -> Callable:
    """A function that refuses arguments of Keras's which it has not, each by its name, and too many by position."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return function
    known = [name for name in parameters if name != "self"]
    ordered = [name for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    what = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def wrapper(*positional: Any, **given: Any) -> Any:
        for name in [n for n in given if n not in parameters]:
            argument(what, name, given.pop(name), known)
        if len(positional) > len(ordered) and not takes_any:
            first = ", ".join(name for name in ordered if name != "self")
            raise TypeError(f"{what} takes {first or 'nothing'} by position: give the others by their names")
        return function(*positional, **given)

    wrapper.__dict__["refuses"] = True  # which benchmarks/keras_names.py asks
    return wrapper


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports Keras's modules that there are not, whose names say what to do instead; real ones are found before."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        place = name.removeprefix("tinycnn.")
        if place == name or (place not in ELSEWHERE_NAMED and self.remedy(place) is None):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=place in ("applications", "wrappers", "engine"))

    @staticmethod
    def remedy(place: str) -> str | None:
        return MODULES.get(place) or MODULES.get(place.partition(".")[0])

    def exec_module(self, module: ModuleType) -> None:
        place = module.__name__.removeprefix("tinycnn.")
        if place in ELSEWHERE_NAMED:
            real = importlib.import_module(f"tinycnn.{ELSEWHERE_NAMED[place]}")
            module.__dict__["__getattr__"] = functools.partial(getattr, real)
            return
        remedy = self.remedy(place)

        def absent(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            if place.startswith("layers."):
                return attribute(module, name)
            return NotHere(f"{place}.{name}", NAMES.get(place, {}).get(name) or str(remedy))

        module.__dict__["__getattr__"] = absent


def install() -> None:
    """From here on the absent modules can be imported."""
    sys.meta_path.append(Absent())
