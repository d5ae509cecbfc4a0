"""The `tinycnn` command."""

import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import click

import tinycnn
from tinycnn.compare_command import compare
from tinycnn.devices import DeviceError
from tinycnn.emulator import commands
from tinycnn.gradcheck_command import gradcheck
from tinycnn.options import (
    Interrupted,
    checkpoint,
    data_option,
    device_option,
    find_network,
    json_option,
    limit_option,
    use,
)
from tinycnn.reproduce_command import reproduce

INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended


def main(arguments=None):
    """Run the command; bad input is one line on stderr and exit status 2, never a traceback. So is a warning a line."""
    warnings.showwarning = show_warning
    try:
        sys.exit(cli.main(args=arguments, prog_name="tinycnn", standalone_mode=False))
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:  # what click makes of Ctrl-C
        fail("interrupted", INTERRUPTED)
    except Interrupted as interrupt:
        fail(str(interrupt), INTERRUPTED)
    except click.ClickException as error:
        fail(error.format_message())
    except BrokenPipeError:
        # The reader went away (`tinycnn list | head -1`): nothing is wrong, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except (ValueError, DeviceError) as error:  # ShapeError, DataError, CheckpointError and their like
        fail(str(error))
    except MemoryError as error:
        fail(f"out of memory ({error}); try a smaller --batch-size or --limit")


def show_warning(message, *_):
    print(f"tinycnn: {' '.join(str(message).split())}", file=sys.stderr)


def fail(message, status=2):
    print(f"tinycnn: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tinycnn.__version__)
def cli():
    """Train, look into and measure small convolutional networks."""


def print_json(value):
    click.echo(json.dumps(value, indent=2))


def print_table(rows, headers, **options):
    from tabulate import tabulate

    click.echo(tabulate(rows, headers=headers, **options))


# ---------------------------------------------------------------- commands


@cli.command("list")
@json_option
def list_networks(as_json):
    """The documented networks."""
    from tinycnn.architectures import ARCHITECTURES

    rows = [
        {"id": a.id, "title": a.title, "params": a.params.total, "documented_accuracy": a.accuracy}
        for a in ARCHITECTURES.values()
    ]
    if as_json:
        print_json(rows)
        return
    table = [(r["id"], r["title"], f"{r['params']:,}", r["documented_accuracy"]) for r in rows]
    headers = ("network", "title", "parameters", "documented accuracy")
    print_table(table, headers, colalign=("left", "left", "right", "right"), floatfmt=".4f", missingval="-")


@cli.command()
@click.argument("network", metavar="ARCH|NOTATION|FILE")
@json_option
def summary(network, as_json):
    """The layers of a network: shapes, parameters and how they come about, receptive fields."""
    from tinycnn import session
    from tinycnn.summary import as_json as summary_json

    with session.without_initial_weights():
        model = find_network(network)
    if as_json:
        print_json(summary_json(model))
    else:
        model.summary(click.echo)


@cli.command()
@click.argument("network", metavar="ARCH|NOTATION|FILE.safetensors")
@click.option("--epochs", type=click.IntRange(min=1), help="The documented number if not given.")
@click.option("--batch-size", type=click.IntRange(min=1), help="The documented size if not given.")
@click.option("--optimizer", type=click.Choice(["sgd", "adam", "adadelta"]), help="The documented one if not given.")
@click.option(
    "--lr",
    type=click.FloatRange(min=0, min_open=True),
    help="The learning rate (where there is a schedule, its first).",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), help="Decides weights, shuffling and dropout; 0 if not given."
)
@device_option
@data_option
@limit_option
@click.option("--save", metavar="FILE.safetensors", help="Write the model there after every epoch.")
@click.option("--resume", is_flag=True, help="Go on from the file that --save names, if it is there.")
@click.option("--plot", metavar="FILE", help="Draw the loss and accuracy curves to a PNG, SVG or PDF.")
@click.option("--log", metavar="FILE.jsonl", help="Write one JSON object an epoch.")
def train(network, epochs, batch_size, optimizer, lr, seed, device, data, limit, save, resume, plot, log):
    """Train a network and print what it reached.

    Settings that are not given are the documented ones. A FILE.safetensors goes on where it was saved.
    """
    from tinycnn import datasets
    from tinycnn.train_command import Settings, run

    if resume and not save:
        raise click.UsageError("--resume goes on from the file that --save names; give --save too")
    check_writable(save)
    check_writable(log)
    check_picture(plot)
    use(device)
    tinycnn.set_random_seed(seed or 0)
    started = time.perf_counter()
    resuming = bool(resume and os.path.exists(save))
    model = find_network(save if resuming else network)
    if resuming:
        refuse_another_network(model, network, save)
    settings = Settings.of(model, epochs, batch_size, optimizer, lr, seed)
    found = datasets.load(data, model.seed, synthetic_fallback=True, limit=limit)
    run(model, settings, found, save, plot, log, started)


def refuse_another_network(model, text, path):
    from tinycnn import session
    from tinycnn.notation import notation

    with session.without_initial_weights():
        wanted = find_network(text)
    if notation(wanted) != notation(model):
        raise click.UsageError(
            f"{path} holds another network, {notation(model)}, not {notation(wanted)}; give --save another file"
        )


def check_writable(path):
    """Refuse a file that could not be written, before hours are spent on what should go into it."""
    if path is None:
        return
    folder = Path(path).absolute().parent
    if os.path.isdir(path):
        raise click.UsageError(f"cannot write {path}: it is a folder")
    if not folder.is_dir():
        raise click.UsageError(f"cannot write {path}: there is no folder {folder}")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from None
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise click.UsageError(f"cannot write {path}: permission denied")


def check_picture(path):
    """The same for a picture, whose kind its name tells."""
    from tinycnn.lessons.pictures.paper import check_path

    check_writable(path)
    check_path(path)


@cli.command()
@click.argument("file", metavar="FILE.safetensors")
@device_option
@data_option
@limit_option
@click.option("--batch-size", type=click.IntRange(min=1), default=128, show_default=True)
@click.option("--plot", metavar="FILE", help="Draw the confusion matrix to a PNG, SVG or PDF.")
@json_option
def evaluate(file, device, data, limit, batch_size, plot, as_json):
    """Loss and accuracy of a trained network on the validation images."""
    from tinycnn import datasets, training
    from tinycnn.losses import labels_for

    check_picture(plot)
    use(device)
    model = checkpoint(file)
    found = datasets.load(data, model.seed, limit=limit)
    labels = labels_for(model.loss, found.y_test, found.classes)
    loss, accuracy = training.evaluate(model, found.x_test, labels, batch_size)
    if plot:
        from tinycnn.lessons.pictures import plot_confusion

        plot_confusion(model, found.x_test, found.y_test, plot)
    facts = {"network": model.name, "loss": loss, "acc": accuracy, "images": len(found.x_test), "data": found.name}
    if as_json:
        print_json(facts)
    else:
        print_table([facts.values()], facts.keys(), floatfmt=".4f")


@cli.command()
@click.argument("file", metavar="FILE.safetensors")
@click.argument("image", metavar="IMAGE")
@click.option("--index", type=click.IntRange(min=0), default=0, help="Which image of an IDX file, from 0.")
@device_option
@click.option("--plot", metavar="FILE", help="Draw the feature maps of the image, layer by layer.")
@json_option
def predict(file, image, index, device, plot, as_json):
    """What a trained network sees in IMAGE, a picture file or an IDX file: the probability of every class.

    A picture is made grey, scaled to the network's size, and inverted if it is dark on light.
    """
    from tinycnn.images import read_image

    check_picture(plot)
    use(device)
    model = checkpoint(file)
    x, how = read_image(image, model.input.shape, index)
    probabilities = model.predict(x)[0]
    best = int(probabilities.argmax())
    if plot:
        from tinycnn.lessons.pictures import plot_feature_maps

        plot_feature_maps(model, x[0], plot)
    if as_json:
        print_json({"class": best, "probabilities": [float(p) for p in probabilities], "image": how})
        return
    print_table(enumerate(probabilities), ("class", "probability"), floatfmt=".4f")
    click.echo(f"{image} ({how}) is a {best}, with probability {probabilities[best]:.4f}")


@cli.command()
@json_option
def doctor(as_json):
    """What this machine has, and which devices can be used."""
    from tinycnn.doctor import report

    facts = report()
    if as_json:
        print_json(facts)
        return
    click.echo(f"{facts['platform']}, {facts['executable']}\n")
    print_table(
        [(p["name"], p["found"] or "not found", p["remedy"] or "") for p in facts["parts"]], ("part", "found", "remedy")
    )
    click.echo()
    print_table(
        [(d["name"], "yes" if d["usable"] else "no", d["reason"] or "") for d in facts["devices"]],
        ("device", "usable", "what is missing and what mends it"),
    )
    click.echo(f"\nMNIST is read from: {facts['data']}")


for command in (gradcheck, compare, reproduce, commands.check, commands.trace, commands.debug):
    cli.add_command(command)

if __name__ == "__main__":
    main()
