"""The code forms of the documents, written for Keras 2, run with `keras` replaced by `tinycnn` in their imports.

The programs below are short forms of theirs: the same imports, calls and arguments, fewer layers and images.
"""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

import tinycnn
from tinycnn.datasets import synthetic
from tinycnn.datasets.idx import write_idx


@pytest.fixture(autouse=True)
def reference():
    with tinycnn.use_device("reference"):
        yield


# ---------------------------------------------------------------- the programs

KERNELS = """
import numpy as np
from keras.models import Sequential
from keras.layers import Dense, Dropout, Activation, Flatten
from keras.layers import Convolution2D, MaxPooling2D, BatchNormalization
from keras.utils import np_utils
from keras.datasets import mnist
from keras.optimizers import Adam
from keras.callbacks import LearningRateScheduler

(X_train, y_train), (X_test, y_test) = mnist.load_data()
X_train = X_train.reshape(X_train.shape[0], 28, 28, 1)
X_test = X_test.reshape(X_test.shape[0], 28, 28, 1)
X_train = X_train.astype('float32')
X_test = X_test.astype('float32')
X_train /= 255
X_test /= 255
Y_train = np_utils.to_categorical(y_train, 10)
Y_test = np_utils.to_categorical(y_test, 10)

model = Sequential()
model.add(Convolution2D(6, 3, 3, activation='relu', input_shape=(28, 28, 1)))
model.add(BatchNormalization())
model.add(Dropout(0.1))
model.add(Convolution2D(10, 1, 1, activation='relu'))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Convolution2D(10, 13, 13))
model.add(Flatten())
model.add(Activation('softmax'))
model.summary()

def scheduler(epoch, lr):
    return round(0.003 * 1/(1 + 0.319*epoch), 10)

model.compile(loss='categorical_crossentropy', optimizer=Adam(lr=0.003), metrics=['accuracy'])
history = model.fit(X_train, Y_train, batch_size=20, epochs=2, verbose=1, validation_data=(X_test, Y_test),
                    callbacks=[LearningRateScheduler(scheduler, verbose=1)])
score = model.evaluate(X_test, Y_test, verbose=0)
print(score)
y_pred = model.predict(X_test)
"""

VANILLA = """
from keras.models import Sequential
from keras.layers import Activation, Convolution2D, Flatten

model = Sequential()
model.add(Convolution2D(4, 3, 3, activation='relu', input_shape=(28, 28, 1)))
model.add(Convolution2D(10, 1, 1, activation='relu'))
model.add(Convolution2D(10, 26))
model.add(Flatten())
model.add(Activation('softmax'))
model.compile(loss='categorical_crossentropy', optimizer='sgd', metrics=['accuracy'])
history = model.fit(x, y, batch_size=32, nb_epoch=3, verbose=0)
"""

PADDING = """
import keras
from keras.datasets import mnist
from keras.models import Sequential
from keras.layers import Dense, Dropout, Flatten, BatchNormalization
from keras.layers import Conv2D, MaxPooling2D
from keras import backend as K

batch_size = 20
num_classes = 10
epochs = 1
img_rows, img_cols = 28, 28

(x_train, y_train), (x_test, y_test) = mnist.load_data()

if K.image_data_format() == 'channels_first':
    x_train = x_train.reshape(x_train.shape[0], 1, img_rows, img_cols)
    x_test = x_test.reshape(x_test.shape[0], 1, img_rows, img_cols)
    input_shape = (1, img_rows, img_cols)
else:
    x_train = x_train.reshape(x_train.shape[0], img_rows, img_cols, 1)
    x_test = x_test.reshape(x_test.shape[0], img_rows, img_cols, 1)
    input_shape = (img_rows, img_cols, 1)

x_train = x_train.astype('float32') / 255
x_test = x_test.astype('float32') / 255
y_train = keras.utils.to_categorical(y_train, num_classes)
y_test = keras.utils.to_categorical(y_test, num_classes)

K.clear_session()
model = Sequential()
model.add(Conv2D(4, kernel_size=(5, 5), strides=(2, 2), padding='same', activation='relu',
                 kernel_initializer='he_normal', input_shape=input_shape))
model.add(MaxPooling2D((2, 2), strides=(1, 1)))
model.add(Dropout(0.25))
model.add(Flatten())
model.add(Dense(16, activation='relu', kernel_initializer='he_normal'))
model.add(BatchNormalization())
model.add(Dense(num_classes, activation='softmax'))
model.compile(loss=keras.losses.categorical_crossentropy, optimizer=keras.optimizers.Adadelta(), metrics=['accuracy'])
hist = model.fit(x_train, y_train, batch_size=batch_size, epochs=epochs, verbose=1, validation_data=(x_test, y_test))
score = model.evaluate(x_test, y_test, verbose=0)
print('Test loss:', score[0])
print('Test accuracy:', score[1])
epoch_list = list(range(1, len(hist.history['acc']) + 1))
"""

INCEPTION = """
import keras
from keras.models import Model
from keras.layers import Input, Conv2D, MaxPooling2D, Concatenate, Flatten, Dense

inputs = Input(shape=(28, 28, 1))
tower_1 = Conv2D(2, (1, 1), padding='same', activation='relu', kernel_initializer='he_normal')(inputs)
tower_2 = Conv2D(3, (3, 3), padding='same', activation='relu', kernel_initializer='he_normal')(inputs)
tower_3 = Conv2D(2, (1, 1), padding='same', activation='relu', kernel_initializer='he_normal')(inputs)
tower_3 = MaxPooling2D((3, 3), strides=(1, 1), padding='same')(tower_3)
output = Concatenate(axis=-1)([tower_1, tower_2, tower_3])
output = MaxPooling2D(pool_size=(4, 4))(output)
output = Flatten()(output)
out = Dense(10, activation='softmax')(output)

model = Model(inputs=inputs, outputs=out)
model.compile(loss=keras.losses.categorical_crossentropy, optimizer=keras.optimizers.Adadelta(), metrics=['accuracy'])
history = model.fit(x, y, batch_size=16, epochs=2, verbose=0, validation_data=(x, y))
"""

TOO_MANY_LAYERS = """
from keras.models import Sequential
from keras.layers import Conv2D, MaxPooling2D

model = Sequential()
model.add(Conv2D(2, (3, 3), input_shape=(28, 28, 1)))
model.add(Conv2D(2, (3, 3)))
model.add(MaxPooling2D((2, 2)))
model.add(Conv2D(2, (3, 3)))
model.add(Conv2D(2, (3, 3)))
model.add(MaxPooling2D((2, 2)))
model.add(Conv2D(2, (3, 3), padding='same'))
model.add(Conv2D(2, (3, 3)))
model.add(Conv2D(2, (3, 3)))
"""


# ---------------------------------------------------------------- what they do


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """Where mnist.load_data() finds 60 training and 20 test images."""
    for prefix, first, count in (("train", 0, 60), ("t10k", 100, 20)):
        images, labels = synthetic.digits(count, first=first)
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", labels)
    monkeypatch.setenv("TINYCNN_DATA", str(tmp_path))


@pytest.fixture
def few():
    """(x, y): 32 images as the documents' programs have them after their preparation."""
    images, labels = synthetic.digits(32)
    return (images[..., None] / 255).astype(np.float32), np.eye(10, dtype=np.float32)[labels]


def run(program, **names):
    """The program's variables, after running it with keras replaced by tinycnn."""
    source, count = re.subn(r"\bkeras\b", "tinycnn", program)
    assert count
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "mnist.load_data.* gives")  # it says that these are not MNIST
        exec(compile(source, "document", "exec"), names)
    return names


def test_a_network_with_a_schedule(digits, capsys):
    names = run(KERNELS)
    model, history = names["model"], names["history"].history
    shapes = [symbol.extents for symbol in model.symbols[1:]]
    assert shapes == [(26, 26, 6)] * 3 + [(26, 26, 10), (13, 13, 10), (1, 1, 10), (10,), (10,)]  # 3x3, 1x1, 13x13
    assert history["lr"] == [0.003, 0.0022744503]
    assert history["loss"][1] < history["loss"][0]
    assert names["y_pred"].shape == (20, 10) and np.allclose(names["y_pred"].sum(axis=1), 1)
    loss, accuracy = names["score"]
    assert loss == pytest.approx(history["val_loss"][-1], rel=1e-5) and accuracy == history["val_acc"][-1]
    assert accuracy == np.mean(names["y_pred"].argmax(axis=1) == names["y_test"])
    out = capsys.readouterr().out
    assert "Total params: 17,064" in out and "Non-trainable params: 12" in out
    assert "Epoch 00002: LearningRateScheduler setting learning rate to 0.0022744503." in out


def test_keras_1_s_number_of_epochs(few):
    x, y = few
    names = run(VANILLA, x=x, y=y)
    history = names["history"].history
    assert names["history"].epoch == [0, 1, 2] and "lr" not in history
    assert names["model"].layers[2].window == (26, 26) and names["model"].output.shape == (None, 10)
    assert history["acc"] is history["accuracy"] and "val_acc" not in history


def test_padding_and_objects_from_keras_s_modules(digits, capsys):
    names = run(PADDING)
    model, history = names["model"], names["hist"].history
    assert [s.extents for s in model.symbols[1:3]] == [(14, 14, 4), (13, 13, 4)]
    assert [layer.name for layer in model.layers] == [
        "conv2d_1", "max_pooling2d_1", "dropout_1", "flatten_1", "dense_1", "batch_normalization_1", "dense_2",
    ]  # fmt: skip
    assert model.optimizer.name == "Adadelta" and model.optimizer.learning_rate == 1.0
    assert model.loss.__name__ == "categorical_crossentropy"
    assert names["epoch_list"] == [1]
    for old, new in (("acc", "accuracy"), ("val_acc", "val_accuracy")):
        assert old in history and new in history and history[old] == history[new]
    out = capsys.readouterr().out
    assert f"Test loss: {names['score'][0]}" in out and f"Test accuracy: {names['score'][1]}" in out


def test_a_graph_of_towers(few):
    x, y = few
    names = run(INCEPTION, x=x, y=y)
    model, history = names["model"], names["history"].history
    assert [names[f"tower_{i}"].extents for i in (1, 2, 3)] == [(28, 28, 2), (28, 28, 3), (28, 28, 2)]
    assert model.count_params() == 2 * 2 + 10 * 3 + 2 * 2 + (7 * 7 * 7) * 10 + 10
    assert len(history["val_loss"]) == 2 and history["loss"][1] < history["loss"][0]


def test_convolving_past_the_image_fails_as_the_documents_saw_it():
    """Pooling leaves 4x4; a padded convolution keeps that, the next leaves 2x2, and the seventh cannot be."""
    with pytest.raises(ValueError) as error:
        run(TOO_MANY_LAYERS)
    message = str(error.value)
    assert message.startswith("Negative dimension size caused by subtracting 3 from 2 for conv2d_7")
    assert "3x3" in message and "(2, 2, 2)" in message


def test_the_modules_are_there_after_a_plain_import():
    """In a new interpreter, where nothing else has imported them."""
    program = (
        "import keras; keras.optimizers.Adadelta(), keras.losses.categorical_crossentropy, keras.utils.to_categorical, "
        "keras.layers.Convolution2D is keras.layers.Conv2D, keras.models.Sequential, keras.backend.clear_session, "
        "keras.callbacks.LearningRateScheduler, keras.datasets.mnist.load_data, keras.utils.np_utils.to_categorical"
    )
    command = [sys.executable, "-c", program.replace("keras", "tinycnn")]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stderr == ""
