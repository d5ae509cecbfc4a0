"""Data to train on: MNIST, other sets of its form, and synthetic digits.

    from tinycnn import datasets
    data = datasets.load()                     # a Dataset: MNIST as float32 (N, 28, 28, 1) from 0 to 1
    data = datasets.load("synthetic", seed=1)  # digits drawn here, when there is no MNIST
    data = datasets.load("train.csv")          # of Kaggle's digit recogniser; its last rows are for testing
    (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data()  # uint8, as Keras has it; fashion_mnist likewise

Data that cannot be used or had raises DataError, which names the file, what is wrong and the remedy.
"""

from tinycnn.datasets import fashion_mnist, idx, mnist, synthetic
from tinycnn.datasets.dataset import Dataset, load
from tinycnn.datasets.errors import DataError, DownloadError

__all__ = ["DataError", "Dataset", "DownloadError", "fashion_mnist", "idx", "load", "mnist", "synthetic"]
