"""Lesson 10: a tile of outputs with fewer multiplications, step by step, and what it costs in precision."""

from __future__ import annotations

from functools import partial

import numpy as np

from tinycnn.devices.cpu import cook_toom
from tinycnn.lessons import figures
from tinycnn.lessons.lesson import Made, Question, number_question
from tinycnn.lessons.subjects import Subject

TILES, CHANNELS = 300, 32  # of which the errors are measured
FILTERS = (3, 5)


def fewer(subject: Subject) -> Made:
    R = 3
    B, G, A = matrices(R)
    n, m = len(B), A.shape[1]
    rng = np.random.default_rng(0)
    d, w = rng.integers(0, 10, (n, n)).astype(float), rng.integers(-3, 4, (R, R)).astype(float)
    points, filters = B @ d @ B.T, G @ w @ G.T
    products = points * filters
    y = A.T @ products @ A
    direct = np.array([[float((d[p : p + R, q : q + R] * w).sum()) for q in range(m)] for p in range(m)])
    stages = [
        ("the tile and the filter", [("d, a tile of the image", d), ("w, the filter", w)]),
        ("both brought to the points", [("B d Bᵀ", points), ("G w Gᵀ", filters)]),
        ("multiplied, number by number", [(f"{n * n} products", products)]),
        ("and back", [("Aᵀ [...] A, the outputs", y), ("the same by the definition", direct)]),
    ]
    frames = [
        (f"{number}. {name}", figures.Markup("<div class='row'>{}</div>").format(
            figures.Markup("").join(figures.number_table(title, values) for title, values in tables)))
        for number, (name, tables) in enumerate(stages, 1)
    ]  # fmt: skip
    errors = {R: errors_of(R) for R in FILTERS}
    names = [f"{R} x {R}, {how}" for R in FILTERS for how in ("direct", "on tiles")]
    draw = partial(
        figures.bars, names, [error / 1e-7 for pair in errors.values() for error in pair],
        "error beside float64, as a share of the outputs' size, in 1e-7",
    )  # fmt: skip
    ratio = errors[3][1] / errors[3][0]
    multiplied = m * m * R * R
    choices = ("it is exact", f"about {ratio:.1f} times as large", "a hundred times as large")
    questions = [
        number_question(
            f"{m} x {m} outputs of a {R} x {R} filter take {multiplied} multiplications by the definition. How many on "
            "a tile?",
            n * n, (m * m, R * R, multiplied // 2, multiplied), f"a product for each of {n} x {n} points.",
        ),
        Question(
            "And the error in float32, beside that of multiplying directly?", choices, 1,
            "the matrices enlarge numbers and take them back, which costs some of the last digits.",
        ),
    ]  # fmt: skip
    return Made(
        f"Here: {m} x {m} outputs of a {R} x {R} filter from a tile of {n} x {n} pixels, with the matrices that the "
        "device cpu computes with.",
        questions,
        draw,
        values={
            "frames": frames, "chart": figures.inline(draw()), "n": n, "multiplied": multiplied,
            "worst": float(np.abs(y - direct).max()), "points": ", ".join(str(p) for p in cook_toom.POINTS),
            "tables": [figures.number_table(name, values) for name, values in (("B", B), ("G", G), ("A", A))],
            "ratios": {R: pair[1] / pair[0] for R, pair in errors.items()}, "tiles": TILES, "channels": CHANNELS,
        },
    )  # fmt: skip


def matrices(R: int) -> list[np.ndarray]:
    """B, G and A of filters of R x R, in float64."""
    return [np.array([[float(v) for v in row] for row in matrix]) for matrix in cook_toom.matrices(R).values()]


def errors_of(R: int) -> tuple[float, float]:
    """(directly, on tiles): the error in float32 over CHANNELS, root mean square, as a share of the outputs'."""
    rng = np.random.default_rng(R)
    exact = matrices(R)
    B, G, A = (matrix.astype(np.float32) for matrix in exact)
    n, m = len(B), A.shape[1]
    d = rng.standard_normal((TILES, CHANNELS, n, n)).astype(np.float32)
    w = rng.standard_normal((CHANNELS, R, R)).astype(np.float32)
    products = np.zeros((TILES, n, n), np.float32)
    single, double = np.zeros((TILES, m, m), np.float32), np.zeros((TILES, m, m))
    for c in range(CHANNELS):
        products += (B @ d[:, c] @ B.T) * (G @ w[c] @ G.T)
        for r in range(R):
            for s in range(R):
                part = d[:, c, r : r + m, s : s + m]
                single += part * w[c, r, s]
                double += part.astype(float) * float(w[c, r, s])
    tiled = A.T @ products @ A
    size = float(np.sqrt((double**2).mean()))
    one, other = (float(np.sqrt(((values - double) ** 2).mean())) / size for values in (single, tiled))
    return one, other
