"""MNIST from the internet, checked and kept: pooch's cache, several mirrors."""

from __future__ import annotations

import sys
from pathlib import Path

from tinycnn.datasets.errors import DownloadError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)

# sha256 of the gzipped files as Yann LeCun published them, which the mirrors copy.
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
TIMEOUT_S = 10  # of silence, so that a machine behind a closed door hears of it soon


def cache_folder() -> Path:
    """Where MNIST is kept, a Path: the user's cache folder, as pooch.os_cache finds it."""
    import pooch

    return Path(pooch.os_cache("tinycnn")) / "mnist"


def fetch() -> Path:
    """The folder with MNIST's four gzipped files: whatever the cache lacks is downloaded, whole or not at all.

    Raises DownloadError when no mirror gives the right files, with the reason of each.
    """
    folder, failures = cache_folder(), []
    for mirror in MIRRORS:
        try:
            for name, digest in SHA256.items():
                _retrieve(mirror + name, digest, folder)
            return folder
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; pooch's wrong hash is a ValueError
            failures.append(f"  {mirror}: {error}")
    raise DownloadError(
        f"MNIST is not in {folder} and could not be downloaded:\n" + "\n".join(failures) + "\n"
        "Name a folder that has it with `--data DIR` or the environment variable TINYCNN_DATA, "
        "or draw digits with `--data synthetic`."
    )


def _retrieve(url: str, digest: str, folder: Path) -> None:
    import pooch

    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT_S)
    pooch.retrieve(url, f"sha256:{digest}", Path(url).name, folder, downloader=downloader)
