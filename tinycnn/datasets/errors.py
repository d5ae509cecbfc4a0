"""What goes wrong with data. Every message names the file or place, what is wrong and the remedy."""


class DataError(ValueError):
    """The data cannot be used as it is."""


class DownloadError(DataError):
    """A published data set is not on this machine and could not be downloaded: nothing is wrong with any file here."""
