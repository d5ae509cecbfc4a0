"""Programs in the forms that people write for Keras 1.2 to 2.3, with `keras` replaced by `tinycnn`: they train."""

import re

import numpy as np
import pytest

import tinycnn
from tinycnn import datasets

DIGITS = datasets.load("synthetic", limit=480)

NOTEBOOK = """
import numpy as np
from keras.models import Sequential
from keras.layers import Dense, Dropout, Activation, Flatten, Add
from keras.layers import Convolution2D, MaxPooling2D
from keras.layers import BatchNormalization
from keras.utils import np_utils
from keras import backend as K

X_train = x_train.reshape(x_train.shape[0], 28, 28, 1).astype('float32') / 255
Y_train = np_utils.to_categorical(y_train, 10)
model = Sequential()
model.add(Convolution2D(6, 3, 3, activation='relu', input_shape=(28, 28, 1), use_bias=False))
model.add(BatchNormalization())
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Convolution2D(8, 1, activation='relu', bias=False))
model.add(Convolution2D(10, 13))
model.add(Flatten())
model.add(Activation('softmax'))
model.compile(loss='categorical_crossentropy', optimizer='adam', metrics=['accuracy'])
model.fit(X_train, Y_train, batch_size=32, nb_epoch=4, verbose=0)
score = model.evaluate(X_train, Y_train, verbose=0)
y_pred = model.predict_classes(X_train[:9])

layer_dict = dict([(layer.name, layer) for layer in model.layers])
layer_output = layer_dict[model.layers[0].name].output
pictures = []
for filter_index in range(layer_output.shape[3]):
    loss = K.mean(layer_output[:, :, :, filter_index])
    grads = K.gradients(loss, model.input)[0]
    grads /= (K.sqrt(K.mean(K.square(grads))) + 1e-5)
    iterate = K.function([model.input], [loss, grads])
    image = np.array(X_train[2]).reshape((1, 28, 28, 1)).astype(np.float64)
    for i in range(3):
        loss_value, grads_value = iterate([image])
        image += grads_value * 5.
    pictures.append(image[0])
assert len(pictures) == 6 and y_pred.shape == (9,)
accuracy = score[1]
"""

KERAS_1 = """
from keras.models import Sequential
from keras.layers.core import Dense, Dropout, Activation, Flatten
from keras.layers.convolutional import Convolution2D, MaxPooling2D
from keras.layers.normalization import BatchNormalization
from keras.utils import np_utils
from keras import backend as K
K.set_image_dim_ordering('tf')

if K.image_dim_ordering() == 'th':
    shape = (1, 28, 28)
else:
    shape = (28, 28, 1)
X = x_train.reshape((-1,) + shape) / 255.
Y = np_utils.to_categorical(y_train, 10)
model = Sequential()
model.add(Convolution2D(nb_filter=4, nb_row=5, nb_col=5, border_mode='valid', subsample=(2, 2), init='uniform',
                        input_shape=shape, dim_ordering='tf'))
model.add(Activation('relu'))
model.add(MaxPooling2D(pool_size=(2, 2), border_mode='same'))
model.add(Flatten())
model.add(Dense(output_dim=32, init='normal', activation='tanh'))
model.add(BatchNormalization(mode=0))
model.add(Dropout(p=0.1))
model.add(Dense(output_dim=10, init='normal', bias=True))
model.add(Activation('softmax'))
model.compile(loss='categorical_crossentropy', optimizer='rmsprop', metrics=['accuracy'])
model.fit(X, Y, batch_size=32, nb_epoch=6, verbose=0, validation_split=0.1)
score = model.evaluate(X, Y, verbose=0)
accuracy = score[1]
"""

FROM_THE_TOP = """
import keras
from keras.callbacks import EarlyStopping, ModelCheckpoint, CSVLogger, ReduceLROnPlateau, LambdaCallback, TensorBoard

inputs = keras.Input(shape=(28, 28, 1))
x = keras.layers.Conv2D(4, (3, 3), strides=(2, 2), padding='Same', activation=keras.activations.relu)(inputs)
branch = keras.layers.Conv2D(4, 1, kernel_initializer=keras.initializers.he_normal())(x)
x = keras.layers.add([x, branch])
x = keras.layers.LeakyReLU(alpha=0.1)(x)
x = keras.layers.AveragePooling2D()(x)
x = keras.layers.Flatten()(x)
outputs = keras.layers.Dense(10, activation='softmax')(x)
model = keras.Model(inputs=[inputs], outputs=[outputs])
model.compile(optimizer=keras.optimizers.RMSprop(lr=0.01), loss=keras.losses.sparse_categorical_crossentropy,
              metrics=['acc'])
seen = []
history = model.fit(x_train[..., None] / 255, y_train, batch_size=32, epochs=5, verbose=0, validation_split=0.2,
    callbacks=[EarlyStopping(monitor='val_loss', patience=5, verbose=1, baseline=None),
               ModelCheckpoint('best-{epoch:02d}-{val_acc:.2f}.hdf5', save_best_only=True, save_weights_only=True,
                               period=1),
               CSVLogger('log.csv', separator=';', append=True),
               ReduceLROnPlateau(patience=1, factor=0.5, epsilon=1e-4),
               LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs['val_acc']))])
assert list(history.history) == ['loss', 'acc', 'val_loss', 'val_acc', 'lr']
assert seen == history.history['val_acc'] and model.metrics_names == ['loss', 'acc']
accuracy = model.evaluate(x_train[..., None] / 255, y_train, verbose=0)[1]
assert model.inputs[0].shape == (None, 28, 28, 1) and model.layers[1].output_shape == (None, 14, 14, 4)
"""

BY_BATCHES = """
import numpy as np
from keras.models import Sequential, Model, model_from_json
from keras.layers import Conv2D, Dense, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D, Input, Lambda, Reshape
from keras.layers import ELU, Softmax, ZeroPadding2D, concatenate
from keras.utils import to_categorical, plot_model
from keras import backend as K

base = Sequential(name='features')
base.add(Reshape((28, 28, 1), input_shape=(784,)))
base.add(Lambda(lambda x: x / 255.))
base.add(ZeroPadding2D((1, 1)))
base.add(Conv2D(6, (5, 5), strides=2, activation='elu'))
flat = Input(shape=(784,))
maps = base(flat)
x = concatenate([Flatten()(maps), GlobalAveragePooling2D()(maps), GlobalMaxPooling2D()(maps)])
model = Model(flat, Softmax()(Dense(10, input_dim=None)(x)))
model.compile('adam', 'categorical_crossentropy', metrics=['accuracy'])
X, Y = x_train.reshape(-1, 784).astype('float32'), to_categorical(y_train)
for epoch in range(6):
    for start in range(0, len(X), 32):
        loss, acc = model.train_on_batch(X[start:start + 32], Y[start:start + 32])
tested = model.test_on_batch(X, Y)
accuracy = tested[1]
model.save_weights('w.h5')
before = model.predict_on_batch(X[:5])
model.set_weights([w * 0 for w in model.get_weights()])
model.load_weights('w.h5')
assert np.array_equal(model.predict(X[:5]), before)
plot_model(model, to_file='model.dot', show_shapes=True)
"""

WEIGHED = """
import numpy as np
from keras.models import Sequential, model_from_json
from keras.layers import Dense, Flatten, Conv2D, MaxPool2D
from keras.preprocessing.image import ImageDataGenerator

model = Sequential([Conv2D(4, 5, 2, activation='relu', input_shape=(28, 28, 1)), MaxPool2D(), Flatten(),
                    Dense(10, activation='softmax')])
model.compile(loss='sparse_categorical_crossentropy', optimizer='adadelta', metrics=['accuracy'])
X = x_train[..., np.newaxis] / 255.
model.fit(X, y_train, epochs=4, batch_size=16, verbose=0, class_weight={k: 2.0 if k == 0 else 1.0 for k in range(10)},
          sample_weight=np.ones(len(X)))
model.fit_generator(ImageDataGenerator(width_shift_range=0.05).flow(X, y_train, batch_size=32),
                    steps_per_epoch=len(X) // 32, epochs=2, verbose=0, validation_data=(X, y_train))
accuracy = model.evaluate(X, y_train, verbose=0)[1]
again = model_from_json(model.to_json())
again.set_weights(model.get_weights())
assert np.array_equal(again.predict_proba(X[:3]), model.predict(X[:3]))
"""

CODED = """
from keras.layers import Input, Dense, Conv2D, MaxPooling2D, UpSampling2D, Conv2DTranspose, Flatten
from keras.models import Model

X = x_train.reshape(-1, 28, 28, 1).astype('float32') / 255.
img = Input(shape=(28, 28, 1))
x = Conv2D(8, (3, 3), activation='relu', padding='same')(img)
x = MaxPooling2D((2, 2), padding='same')(x)
x = Conv2D(4, (3, 3), activation='relu', padding='same')(x)
code = MaxPooling2D((2, 2), padding='same')(x)
x = Conv2DTranspose(4, 3, strides=2, activation='relu', padding='same')(code)
x = UpSampling2D((2, 2))(x)
picture = Conv2D(1, (3, 3), activation='sigmoid', padding='same')(x)
autoencoder = Model(img, picture)
autoencoder.compile(optimizer='rmsprop', loss='binary_crossentropy')
grey = autoencoder.evaluate(X, X, verbose=0)
autoencoder.fit(X, X, epochs=4, batch_size=32, shuffle=True, validation_data=(X[:50], X[:50]), verbose=0)
assert autoencoder.predict(X[:3]).shape == (3, 28, 28, 1)
assert autoencoder.evaluate(X, X, verbose=0) < 0.75 * grey
classifier = Model(img, Dense(10, activation='softmax')(Flatten()(code)))
classifier.compile('adam', 'sparse_categorical_crossentropy', metrics=['acc'])
classifier.fit(X, y_train, epochs=6, verbose=0)
accuracy = classifier.evaluate(X, y_train, verbose=0)[1]
"""

FORMS = {
    "a course's notebook": NOTEBOOK, "Keras 1": KERAS_1, "all from keras.": FROM_THE_TOP, "batch by batch": BY_BATCHES,
    "weights and generators": WEIGHED, "an autoencoder": CODED,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Conv2D.4, 5, 2")
@pytest.mark.parametrize("form", FORMS)
def test_a_program_in_this_form_learns_the_digits(form, tmp_path, monkeypatch):
    if "'w.h5'" in FORMS[form] or ".hdf5" in FORMS[form]:
        pytest.importorskip("h5py", reason="h5py is not installed: pip install 'tinycnn[hdf5]'")
    if "ImageDataGenerator" in FORMS[form]:
        pytest.importorskip("scipy", reason="SciPy is not installed: pip install 'tinycnn[augment]'")
    monkeypatch.chdir(tmp_path)
    tinycnn.set_random_seed(1)
    names = {"x_train": DIGITS.x_train[:400, :, :, 0] * 255, "y_train": DIGITS.y_train[:400]}
    with tinycnn.use_device("reference"):  # which compiles nothing
        exec(re.sub(r"\bkeras\b", "tinycnn", FORMS[form]), names)
    assert names["accuracy"] > 0.3  # ten classes


def test_a_plot_of_a_network_names_its_layers_and_refuses_without_graphviz(tmp_path, monkeypatch):
    from tinycnn import layers, utils
    from tinycnn.models import Sequential

    model = Sequential([layers.Flatten(input_shape=(4, 4, 1)), layers.Dense(2, name="last")])
    utils.plot_model(model, to_file=tmp_path / "m.dot", show_shapes=True)
    text = (tmp_path / "m.dot").read_text()
    assert "last: Dense" in text and "(None, 16)" in text and text.count("->") == 2
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OSError, match="install graphviz"):
        utils.plot_model(model, to_file=tmp_path / "m.png")
    assert not np.any([p.suffix == ".png" for p in tmp_path.iterdir()])
