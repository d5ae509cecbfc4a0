"""What the tests of the benchmarks share: a model that learns in a moment, and a README with tables."""

import readme_tables

from tinycnn import layers, models, optimizers


def learner():
    x = layers.Input((8, 8, 1))
    features = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="relu")(x))
    model = models.Model(x, layers.Dense(2, activation="softmax")(layers.Flatten()(features)))
    model.compile(optimizers.Adam(0.01), metrics=["accuracy"])
    model.recipe = {"schedule": ["inverse_time", 0.5, 0.5]}
    return model


def readme(tmp_path, *names):
    path = tmp_path / "README.md"
    tables = "\n".join(f"before {n}\n<!-- table:{n} -->\nold\n<!-- /table:{n} -->\nafter" for n in names)
    path.write_text(f"# Title\n{tables}\n", encoding="utf-8")
    return path


def tables(path, tmp_path, *options):
    return readme_tables.main([str(path), "--results", str(tmp_path / "results"), *options])
