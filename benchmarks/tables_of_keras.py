"""Tables of what of Keras is there, from the code:

keras-layers, keras-model, keras-losses, keras-optimizers, keras-callbacks: names, arguments, and what they are;
keras-names-counted, keras-names: Keras's own names, from tests/data/keras_2_3_1.json and the code.
"""

import inspect
import re

import keras_names
from tables_shared import markdown


def signature(function):
    """['x', 'epochs=1', ...]: a function's or a class's arguments that have names, without their types."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    parameters = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    return [str(p.replace(annotation=p.empty)).replace("<built-in function print>", "print") for p in parameters]


def first_sentence(something):
    text = " ".join((inspect.getdoc(something) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", text)[0].replace("*", "\\*")  # a product, and not an emphasis


def members_table(names_and_members, what):
    lines = [
        [f"`{name}`", ", ".join(f"`{text}`" for text in signature(member)), first_sentence(member)]
        for name, member in names_and_members
    ]
    return markdown(lines, [what, "arguments", "what it is"], left=3)


def subclasses(module, base):
    """[(name, class)] of a module's public subclasses of `base` that are no bases themselves, as the file has them."""
    found = [
        (name, cls) for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, base) and name == cls.__name__
        and cls.__module__.startswith(module.__name__) and name != "Convolution2D"
    ]  # fmt: skip
    bases = {parent for _, cls in found for parent in cls.__bases__}
    return [(name, cls) for name, cls in found if name[0] != "_" and cls not in bases]


def keras_layers(results):
    from tinycnn import layers

    return members_table([*subclasses(layers, layers.Layer), ("Input", layers.Input)], "layer")


def keras_model(results):
    from tinycnn import models

    names = ("compile", "add_loss", "fit", "evaluate", "predict", "fit_generator", "evaluate_generator",
             "predict_generator", "summary", "save", "save_weights", "load_weights", "to_json", "get_config",
             "from_config", "get_layer", "get_weights", "set_weights", "count_params")  # fmt: skip
    methods = [(f"Model.{name}", getattr(models.Model, name)) for name in names]
    methods = [("Model", models.Model), ("Sequential", models.Sequential), *methods]
    others = [("Sequential.add", models.Sequential.add)]
    others += [(name, getattr(models, name)) for name in ("load_model", "model_from_json")]
    return members_table([*methods, *others], "function")


def keras_losses(results):
    from tinycnn import losses

    return members_table({**losses.LOSSES, **losses.OTHERS}.items(), "loss")


def keras_optimizers(results):
    from tinycnn import optimizers

    return members_table(subclasses(optimizers, optimizers.Optimizer), "optimizer")


def keras_callbacks(results):
    from tinycnn import callbacks

    return members_table(subclasses(callbacks, callbacks.Callback), "callback")


def keras_names_counted(results):
    """How many of Keras's names of each module work, and how many are refused."""
    sorted_names = keras_names.all_sorted()
    groups = list(dict.fromkeys(name.group for name in sorted_names))
    rows = []
    for group in [*groups, None]:
        found = [name for name in sorted_names if group in (None, name.group)]
        works = sum(name.status == "works" for name in found)
        rows.append([f"`{group}`" if group else "all", len(found), works, len(found) - works])
    return markdown(rows, ["of Keras 2.3.1", "names", "work", "are refused by name"], left=1)


def keras_names_listed(results):
    """Every name of Keras's: those that work, with the arguments that are refused, and what to do instead of others."""
    sorted_names, rows = keras_names.all_sorted(), []
    for group in dict.fromkeys(name.group for name in sorted_names):
        found = [name for name in sorted_names if name.group == group]
        for name in found:
            if name.status == "works" and name.refused:
                rows.append([f"`{group}`", f"`{name.name}`", "without " + ", ".join(f"`{a}`" for a in name.refused)])
        plain = ", ".join(f"`{name.name}`" for name in found if name.status == "works" and not name.refused)
        if plain:
            rows.append([f"`{group}`", plain, "works"])
        for remedy in dict.fromkeys(name.remedy for name in found if name.remedy):
            same = ", ".join(f"`{name.name}`" for name in found if name.remedy == remedy)
            rows.append([f"`{group}`", same, f"not there: {remedy}"])
    return markdown(rows, ["of Keras 2.3.1", "names", "here"], left=3)


TABLES = {
    "keras-layers": keras_layers,
    "keras-model": keras_model,
    "keras-losses": keras_losses,
    "keras-optimizers": keras_optimizers,
    "keras-callbacks": keras_callbacks,
    "keras-names-counted": keras_names_counted,
    "keras-names": keras_names_listed,
}
