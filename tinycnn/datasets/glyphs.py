"""The digits as pen strokes, drawn by hand for this project.

A digit has styles, a style two poses, a pose strokes, and a stroke is the points that the pen passes through:
"x,y x,y ...", x to the right, y downwards, a digit about 70 wide and 100 high. Between its points a stroke is
smooth; a point written twice is a corner. The two poses of a style have the same strokes in the same order,
so that everything between the two is a digit too.
"""

from __future__ import annotations

from functools import cache

import numpy as np

DOTS = 96  # for one digit: less than 0.8 pixels apart at 20 pixels high

STYLES = {
    0: [
        (
            ["38,2 14,14 4,48 14,86 36,98 58,86 68,50 60,16 38,2"],
            ["46,4 24,12 10,44 14,82 32,97 52,82 62,44 54,14 38,5 30,12"],
        ),
        (
            ["52,10 32,4 10,24 6,62 22,94 46,92 66,64 64,26 48,6 30,14"],
            ["40,0 22,10 16,50 22,88 36,99 50,86 54,50 50,12 36,1"],
        ),
    ],
    1: [
        (["35,0 35,50 35,100"], ["40,0 34,40 33,100"]),
        (["34,0 38,50 34,100"], ["46,2 40,30 28,100"]),
        (["52,0 36,52 22,100"], ["58,2 34,50 6,98"]),
        (["12,24 28,14 38,0 38,0 38,100"], ["26,18 42,2 42,2 34,60 32,100"]),
        (["14,24 38,0 38,0 38,98", "10,98 64,98"], ["24,16 38,2 38,2 36,96", "20,99 54,95"]),
    ],
    2: [
        (
            ["8,24 20,6 40,0 58,12 58,34 40,62 6,98 6,98 38,97 68,98"],
            ["12,10 34,0 54,4 50,24 34,50 0,92 0,92 34,88 84,90"],
        ),
        (
            ["4,30 14,10 36,2 54,16 50,42 30,74 8,96 8,96 26,90 48,97 70,90"],
            ["16,16 38,4 56,18 52,42 34,70 6,96 6,96 30,98 62,96"],
        ),
        (
            ["6,26 18,6 40,0 58,14 54,42 36,74 18,94 5,94 4,82 18,76 38,88 56,97 74,88"],
            ["10,12 34,2 54,14 50,40 34,68 16,88 4,98 0,88 12,80 32,90 52,94 68,86"],
        ),
    ],
    3: [
        (
            ["8,14 28,0 52,8 54,30 28,46 28,46 56,56 62,78 44,97 20,98 2,86"],
            ["6,8 38,2 56,16 44,38 22,48 22,48 52,52 66,70 52,92 26,99 0,94"],
        ),
        (
            ["12,16 32,0 54,12 50,34 30,46 22,47 34,48 58,60 60,82 40,98 14,96 2,84"],
            ["4,6 34,0 52,14 44,36 26,48 20,52 32,50 52,58 52,80 32,96 2,98"],
        ),
        (
            ["6,4 32,4 58,2 58,2 28,40 28,40 54,48 64,72 46,96 18,98 2,84"],
            ["10,8 36,5 56,6 56,6 34,38 34,38 52,54 54,80 32,98 4,92"],
        ),
    ],
    4: [
        (["16,4 6,54 6,54 36,53 68,52", "54,6 52,50 48,100"], ["22,0 4,62 4,62 34,58 74,56", "50,28 46,60 44,100"]),
        (["10,6 8,40 18,54 38,52 62,44", "62,0 56,50 52,100"], ["18,10 8,38 14,50 40,46 58,40", "58,8 56,50 56,98"]),
        (
            ["46,0 24,34 4,66 4,66 36,66 70,64", "47,0 47,50 46,100"],
            ["50,6 26,32 6,56 6,56 36,58 64,58", "52,4 48,50 38,100"],
        ),
        (
            ["10,8 8,36 20,52 42,48 56,36 60,4 60,4 56,50 52,100"],
            ["20,2 6,44 16,56 40,50 58,34 66,6 66,6 54,54 46,100"],
        ),
    ],
    5: [
        (
            ["20,2 16,22 14,44 14,44 38,37 60,52 60,80 38,98 4,90", "20,3 42,3 66,2"],
            ["30,20 24,32 18,46 18,46 40,48 50,64 44,86 26,98 2,96", "30,20 54,18 86,8"],
        ),
        (
            ["64,4 42,4 22,4 22,4 18,26 14,46 14,46 42,40 62,58 54,88 30,99 4,88"],
            ["70,2 48,6 30,8 30,8 24,26 18,44 18,44 42,48 52,68 42,90 22,98 0,92"],
        ),
        (
            ["60,6 40,3 22,6 18,26 24,40 48,52 58,72 44,94 24,99 4,90"],
            ["72,0 46,6 30,10 22,28 24,42 42,54 48,72 34,92 18,98 2,94"],
        ),
    ],
    6: [
        (
            ["46,0 22,26 7,62 14,90 34,99 56,89 58,67 40,55 20,62 9,78"],
            ["60,2 32,16 10,50 8,82 28,98 52,92 60,72 46,58 26,62 12,82"],
        ),
        (
            ["32,0 14,40 6,74 16,96 40,97 54,80 44,64 24,66 10,84"],
            ["44,2 24,30 12,66 14,92 28,99 42,88 46,70 36,60 22,70 15,86"],
        ),
        (
            ["54,10 42,2 20,18 6,56 12,90 34,99 58,86 60,62 42,50 20,58 8,72"],
            ["50,0 30,10 10,42 4,78 22,98 50,94 66,76 54,64 30,66 8,84"],
        ),
    ],
    7: [
        (["4,4 34,3 64,2 64,2 42,46 28,100"], ["2,10 34,8 60,4 60,4 48,40 44,100"]),
        (["6,18 8,5 8,5 36,4 62,3 62,3 40,44 26,100"], ["2,24 12,8 12,8 36,8 66,2 66,2 44,38 20,98"]),
        (["4,6 18,2 42,6 62,4 58,26 38,60 30,100"], ["2,14 14,4 38,6 56,6 56,24 46,60 42,100"]),
        (
            ["4,4 34,3 64,2 64,2 42,46 28,100", "18,52 38,50 60,48"],
            ["6,10 34,6 60,4 60,4 46,40 38,100", "24,56 40,50 64,44"],
        ),
    ],
    8: [
        (
            ["52,12 32,0 12,14 18,34 40,50 58,70 50,94 28,99 10,84 16,62 38,46 56,26 52,10"],
            ["60,10 42,0 22,12 22,32 38,48 48,70 38,94 18,98 8,82 18,64 38,46 58,28 60,8"],
        ),
        (
            ["34,46 14,36 12,12 34,0 54,12 52,36 34,46", "34,46 10,58 6,84 34,99 62,84 58,58 34,46"],
            ["36,48 24,38 24,14 40,2 54,14 50,38 36,48", "36,48 16,60 10,86 28,98 46,88 48,62 36,48"],
        ),
        (
            ["56,4 32,2 16,16 24,34 46,54 56,78 40,98 16,92 12,72 32,50 54,26 64,6"],
            ["50,18 40,2 22,8 16,26 30,44 52,64 56,86 36,99 16,88 20,66 38,46 52,24"],
        ),
    ],
    9: [
        (
            ["56,16 36,2 14,10 8,34 22,50 44,44 56,18 56,18 56,60 54,100"],
            ["60,10 42,2 22,14 16,34 28,44 46,34 60,12 60,12 50,54 40,100"],
        ),
        (
            ["58,20 40,2 16,10 10,34 28,50 50,40 58,16 60,50 50,86 28,99 6,90"],
            ["60,14 44,4 22,16 16,38 30,50 48,40 60,14 54,56 40,90 20,98 2,92"],
        ),
        (
            ["52,8 28,2 8,22 16,48 38,48 54,26 56,8 54,50 50,100"],
            ["62,6 38,0 14,18 10,42 28,52 50,34 64,8 48,56 24,100"],
        ),
    ],
}


@cache
def dots() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every style as dots along its strokes.

    Returns (first, second, count): float64 (styles, DOTS, 2), the x, y of the two poses from 0 to 1, digits in order
    0 to 9; int64 (10,), the number of styles of each digit.
    """
    pairs = [_matched(*poses) for styles in STYLES.values() for poses in styles]
    first, second = (np.stack(poses) / 100 for poses in zip(*pairs, strict=True))
    return first, second, np.array([len(styles) for styles in STYLES.values()])


def _matched(first: list[str], second: list[str]) -> tuple[np.ndarray, ...]:
    """Two poses as (DOTS, 2) each, a stroke getting as many dots in one as in the other."""
    strokes = [(_curve(a), _curve(b)) for a, b in zip(first, second, strict=True)]
    ends = np.cumsum([0.0] + [_arc(a)[-1] + _arc(b)[-1] for a, b in strokes])
    counts = np.diff(np.round(ends / ends[-1] * DOTS).astype(int))
    return tuple(
        np.concatenate([_spaced(curve, n) for curve, n in zip(curves, counts, strict=True)])
        for curves in zip(*strokes, strict=True)
    )


def _curve(stroke: str, steps: int = 16) -> np.ndarray:
    """The Catmull-Rom spline through a stroke's points, as many short lines: (n, 2)."""
    points = np.array([[float(number) for number in point.split(",")] for point in stroke.split()])
    corners = np.flatnonzero((points[1:] == points[:-1]).all(axis=1)) + 1
    t = (np.arange(steps + 1) / steps)[:, None]
    lines = []
    for part in np.split(points, corners):
        # The spline needs a neighbour beyond each end: the mirror image of the one on the other side.
        longer = np.concatenate([[2 * part[0] - part[1]], part, [2 * part[-1] - part[-2]]])
        for p0, p1, p2, p3 in zip(longer[:-3], longer[1:-2], longer[2:-1], longer[3:], strict=True):
            lines.append(p1 + t / 2 * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))))
    return np.concatenate(lines)


def _arc(curve: np.ndarray) -> np.ndarray:
    """The length of the curve up to each of its points: (n,)."""
    return np.cumsum(np.r_[0.0, np.hypot(*np.diff(curve, axis=0).T)])


def _spaced(curve: np.ndarray, n: int) -> np.ndarray:
    """n dots at equal distances along a curve, both ends included: (n, 2)."""
    arc = _arc(curve)
    places = np.linspace(0, arc[-1], n)
    return np.stack([np.interp(places, arc, curve[:, 0]), np.interp(places, arc, curve[:, 1])], axis=1)
