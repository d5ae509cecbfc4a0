"""MNIST and Fashion-MNIST from the internet, checked and kept: pooch's cache, several mirrors."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

from tinycnn.datasets.errors import DownloadError

TIMEOUT_S = 10  # of silence, so that a machine behind a closed door hears of it soon


class Published(NamedTuple):
    """A data set that others host: folder: of the cache; sha256: {gzipped file: sum of its content}."""

    name: str
    folder: str
    mirrors: tuple[str, ...]
    sha256: dict[str, str]


MNIST = Published(
    "MNIST",
    "mnist",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    {  # as Yann LeCun published them, which the mirrors copy
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
FASHION_MNIST = Published(
    "Fashion-MNIST",
    "fashion-mnist",
    (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    {  # as Zalando Research published them
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)


def cache_folder() -> Path:
    """Where data sets are kept, each in a folder of its own: the user's cache folder, as pooch.os_cache finds it."""
    import pooch

    return Path(pooch.os_cache("tinycnn"))


def fetch(wanted: Published) -> Path:
    """The folder with a data set's four gzipped files: whatever the cache lacks is downloaded, whole or not at all.

    Raises DownloadError when no mirror gives the right files, with the reason of each.
    """
    folder, failures = cache_folder() / wanted.folder, []
    for mirror in wanted.mirrors:
        try:
            for name, digest in wanted.sha256.items():
                _retrieve(mirror + name, digest, folder)
            return folder
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; pooch's wrong hash is a ValueError
            failures.append(f"  {mirror}: {error}")
    raise DownloadError(
        f"{wanted.name} is not in {folder} and could not be downloaded:\n" + "\n".join(failures) + "\n"
        "Name a folder that has it with `--data DIR` or the environment variable TINYCNN_DATA, "
        "or draw digits with `--data synthetic`."
    )


def is_published(wanted: Published, folder: Path) -> bool:
    """Whether a folder holds the gzipped files of a data set as they were published."""
    files = {folder / name: digest for name, digest in wanted.sha256.items()}
    return all(file.is_file() for file in files) and all(
        hashlib.sha256(file.read_bytes()).hexdigest() == digest for file, digest in files.items()
    )


def _retrieve(url: str, digest: str, folder: Path) -> None:
    import pooch

    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT_S)
    pooch.retrieve(url, f"sha256:{digest}", Path(url).name, folder, downloader=downloader)
