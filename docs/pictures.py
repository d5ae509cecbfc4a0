"""Writes the README's picture again: python docs/pictures.py

A warp's 32 lanes on an image, and the sectors that they touch, by the ladder's first two steps: the picture of the
lesson `warp`, from a recording that is made anew.
"""

from __future__ import annotations

from pathlib import Path

from tinycnn import lessons
from tinycnn.lessons.figures import draw_to

PICTURE = Path(__file__).parent / "warp.svg"


def main(path: Path = PICTURE) -> None:
    draw_to(lessons.find("warp").make(lessons.Subject()).picture(), [path])


if __name__ == "__main__":
    main()
