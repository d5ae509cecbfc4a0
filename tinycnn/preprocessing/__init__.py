"""Images made ready for training: pictures read, and changed a little at random."""

from tinycnn.preprocessing import image

__all__ = ["image"]
