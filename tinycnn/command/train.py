"""The command `tinycnn train`."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tinycnn.callbacks import Callback, JSONLogger
from tinycnn.command import ranks
from tinycnn.command.options import (
    Diverged,
    Interrupted,
    Positive,
    check_file,
    check_overwrites,
    check_picture,
    checkpoint,
    data_option,
    device_option,
    find_network,
    limit_option,
    path_option,
    use,
)
from tinycnn.devices.ranks import STATISTICS
from tinycnn.fit.files import check_network_file
from tinycnn.session import set_random_seed

if TYPE_CHECKING:
    from tinycnn.command.ranks import Team
    from tinycnn.datasets import Dataset
    from tinycnn.models import Model


@click.command()
@click.argument("network", metavar="ARCH|NOTATION|FILE.py:NAME|FILE.safetensors")
@click.option("--epochs", type=click.IntRange(min=1), help="The documented number if not given.")
@click.option("--batch-size", type=click.IntRange(min=1), help="The documented size if not given.")
@click.option(
    "--optimizer", type=click.Choice(["sgd", "adam", "adadelta", "rmsprop"]), help="The documented one if not given."
)
@click.option(
    "--lr",
    type=Positive(),
    help="The learning rate (where there is a schedule, its first).",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), help="Decides weights, shuffling and dropout; 0 if not given."
)
@device_option
@path_option
@data_option
@limit_option
@click.option(
    "--batchnorm",
    type=click.Choice(STATISTICS),
    default="part",
    show_default=True,
    help="With mpirun: over what batch normalisation takes its statistics, each rank's part of a batch or all of it.",
)
@click.option("--save", metavar="FILE", help="Write the model there after every epoch, as .safetensors or .h5.")
@click.option("--resume", is_flag=True, help="Go on from the file that --save names, if it is there.")
@click.option("--plot", metavar="FILE", help="Draw the loss and accuracy curves to a PNG, SVG or PDF.")
@click.option("--log", metavar="FILE.jsonl", help="Write one JSON object an epoch.")
def train(
    network: str, epochs: int | None, batch_size: int | None, optimizer: str | None, lr: float | None, seed: int | None,
    device: str | None, path: str | None, data: str | None, limit: int | None, batchnorm: str, save: str | None,
    resume: bool, plot: str | None, log: str | None,
) -> None:  # fmt: skip
    """Train a network and print what it reached.

    Settings that are not given are the documented ones. A FILE.safetensors goes on where it was saved. A FILE.py is
    run, as the code of your own that it is, and NAME is a Model or Sequential in it, or a function that makes one.

    `mpirun -n N tinycnn train ...` has N processes train one network, each with a part of every batch.
    """
    options = Options(
        network, epochs, batch_size, optimizer, lr, seed, device, path, data, limit, save, resume, plot, log
    )
    with ranks.together(batchnorm) as team:
        started = time.perf_counter()
        if team is None:
            model, settings, found = prepare(options)
        else:
            with team.agreed() as facts:
                model, settings, found = prepare(options, team)
                facts |= {"weights": ranks.weights_of(model), "data": ranks.data_of(found), "settings": str(settings)}
        run(model, settings, found, options, started, team)


class Options(NamedTuple):
    """What the command line gave."""

    network: str
    epochs: int | None
    batch_size: int | None
    optimizer: str | None
    lr: float | None
    seed: int | None
    device: str | None
    path: str | None
    data: str | None
    limit: int | None
    save: str | None
    resume: bool
    plot: str | None
    log: str | None

    @property
    def saves_over(self) -> bool:
        """Whether --save names the saved network that is trained."""
        from tinycnn.command import program

        if self.save is None or program.is_named(self.network):
            return False
        return os.path.realpath(self.save) == os.path.realpath(self.network)

    @property
    def goes_on(self) -> bool:
        """Whether the training goes on from the file that --save names."""
        return self.save is not None and os.path.exists(self.save) and (self.resume or self.saves_over)


def prepare(options: Options, team: Team | None = None) -> tuple[Model, Settings, Dataset]:
    """What is to be trained, how, and on what. Raises UsageError or ValueError before hours are spent."""
    from tinycnn import datasets
    from tinycnn.command import program

    save, log = options.save, options.log
    if options.resume and not save:
        raise click.UsageError("--resume goes on from the file that --save names; give --save too")
    check_file(save, check_network_file)
    check_file(log)
    check_picture(options.plot)
    source = program.file_of(options.network)
    check_overwrites(
        {"the network": None if options.saves_over else source, "--data": options.data},
        {"--save": save, "--log": log, "--plot": options.plot},
    )
    use(options.device, options.path)
    if team is not None:
        team.take_part()
    set_random_seed(options.seed or 0)
    own = program.run(options.network) if program.is_named(options.network) else None
    if options.resume and save and os.path.exists(save):
        wanted = own.network() if own else described(options.network)
        model = checkpoint(save, own and own.objects(wanted))
        refuse_another_network(model, wanted, save)
    else:
        model = own.network() if own else find_network(options.network)
    settings = Settings.of(model, options.epochs, options.batch_size, options.optimizer, options.lr, options.seed)
    if settings.batch_size < model.device.ranks:
        raise ValueError(f"{model.device.ranks} ranks cannot share a batch of {settings.batch_size}: take fewer ranks")
    found = datasets.load(options.data, model.seed, synthetic_fallback=True, limit=options.limit)
    if model.output is None:
        model(found.x_train[:1])  # a Sequential takes its shape from them
    return model, settings, found


def described(text: str) -> Model:
    """The network that `text` stands for, its weights not drawn."""
    from tinycnn import session

    with session.without_initial_weights():
        return find_network(text)


def refuse_another_network(model: Model, wanted: Model, path: str) -> None:
    """Raises UsageError unless `model`, which `path` holds, has the layers of `wanted`, connected likewise."""
    if wanted.output is None and model.input is not None:
        wanted.build(model.input.shape)  # type: ignore[attr-defined]  # a Sequential's
    if structure(wanted) != structure(model):
        raise click.UsageError(
            f"{path} holds another network, {written(model)}, not {written(wanted)}; give --save another file"
        )


def structure(model: Model) -> list[tuple]:
    """What a network is, without names and weights: for each place its layer, with all options, and what it reads."""
    place = {symbol: number for number, symbol in enumerate(model.symbols)}
    layers = list(dict.fromkeys(symbol.layer for symbol in model.symbols))
    return [
        (s.layer.type, s.layer.options(), layers.index(s.layer), [place[source] for source in s.inputs])
        for s in model.symbols
    ]


def written(model: Model) -> str:
    """A network in the notation, or where there is none for it, its layers."""
    from tinycnn.architectures.notation import notation

    try:
        return notation(model)
    except ValueError:
        return "->".join(layer.type for layer in model.layers)


@dataclass(frozen=True)
class Settings:
    """How to train: the recipe, with what the command line replaces in it."""

    epochs: int
    batch_size: int
    schedule: list | None

    @classmethod
    def of(
        cls, model: Model, epochs: int | None, batch_size: int | None, optimizer: str | None, lr: float | None,
        seed: int | None,
    ) -> Settings:  # fmt: skip
        """Settle what is trained how, and compile the model for it. Raises ValueError for a contradiction."""
        assert model.optimizer is not None and model.loss is not None, "find_network compiles"
        recipe = model.recipe or {"batch_size": 128, "epochs": 12, "schedule": None}
        schedule = recipe["schedule"]
        begun = model.epoch > 0
        if begun and seed is not None and seed != model.seed:
            raise ValueError(f"the saved training has seed {model.seed}, not {seed}; leave --seed out to go on with it")
        if optimizer and optimizer != model.optimizer.name.lower():
            if begun:
                raise ValueError(f"the saved training uses {model.optimizer.name}; it cannot go on with {optimizer}")
            # The documented schedule belongs to the documented optimiser.
            from tinycnn import optimizers

            model.compile(optimizers.get(optimizer), model.loss, model.metrics)
            schedule = None
        if lr:
            model.optimizer.learning_rate = lr
            schedule = schedule and [schedule[0], lr, *schedule[2:]]
        settings = cls(epochs or recipe["epochs"], batch_size or recipe["batch_size"], schedule)
        # How it is trained goes on with the file; how long is asked anew, and the documented number if it is not.
        model.recipe = {**recipe, "batch_size": settings.batch_size, "schedule": schedule}
        return settings


class Counter(Callback):
    """Counts the finished epochs, those of an earlier training too. The last of the callbacks: its epochs are saved."""

    def __init__(self, finished: int):
        self.finished = finished

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.finished = epoch + 1


class TrainingLog(JSONLogger):
    """Says too what computed an epoch: the device, and its path, which is known once the training has begun."""

    def write(self, epoch: int, logs: dict[str, Any]) -> None:
        self.extra |= {"device": self.model.device.name, "path": self.model.path_taken}
        super().write(epoch, logs)


def run(
    model: Model, settings: Settings, data: Dataset, options: Options, started: float, team: Team | None = None
) -> None:
    """Train, report, draw. Raises Interrupted on Ctrl-C. team: the ranks that train together, of which one writes."""
    if model.epoch >= settings.epochs:  # today's data may be others than those that it was measured with
        print(f"{model.name}: already trained for {count(model.epoch, 'epoch')}; ask for more with --epochs")
        refuse_diverged(model)
        return
    writes = team is None or team.rank == 0
    save, plot, log = (options.save, options.plot, options.log) if writes else (None, None, None)
    assert model.optimizer is not None, "find_network compiles"
    rate = f"{model.optimizer.name} at {model.optimizer.learning_rate:g}{' on a schedule' if settings.schedule else ''}"
    print(
        f"{model.name}: {model.count_params():,} parameters on {model.device.name}"
        f"{f', by its path {model.device.path}' if len(model.device.paths) > 1 else ''}\n"
        f"data: {data.name}, {len(data.x_train):,} training and {len(data.x_test):,} validation images "
        f"({data.source})\n"
        f"{rate}, batches of {settings.batch_size}, {count(settings.epochs, 'epoch')}, seed {model.seed}",
        flush=True,
    )
    if model.device.remark:
        print(f"note: {model.device.remark}", flush=True)
    if team is not None:
        print(team, flush=True)
    from tinycnn.architectures import schedule_function
    from tinycnn.callbacks import LearningRateScheduler, ModelCheckpoint
    from tinycnn.losses import labels_for

    begun = model.epoch
    counter, held = Counter(begun), begun if save and options.goes_on else 0
    callbacks: list[Callback] = []
    if team is not None:
        callbacks.append(ranks.Alike(team))
    if schedule := schedule_function(settings.schedule):
        callbacks.append(LearningRateScheduler(schedule))
    if log:
        of = {"ranks": team.size} if team else {}
        callbacks.append(TrainingLog(log, data=data.name, **of))
    if save:
        callbacks.append(ModelCheckpoint(save))
    if team is not None:
        callbacks.append(ranks.LastWords(team, save, held))
    callbacks.append(counter)
    try:
        model.fit(
            data.x_train,
            labels_for(model.loss, data.y_train, data.classes),
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            validation_data=(data.x_test, labels_for(model.loss, data.y_test, data.classes)),
            callbacks=callbacks,
            initial_epoch=begun,
        )
    except KeyboardInterrupt:
        saved = counter.finished if save and counter.finished > begun else held
        way_on = f"; {save} holds epoch {saved}, --resume goes on from it" if saved else ""
        raise Interrupted(f"interrupted after {count(counter.finished, 'finished epoch')}{way_on}") from None
    history = model.history  # with the epochs before it was resumed
    assert history is not None
    accuracy = history.history["val_acc"][-1]
    print(
        f"{model.name} on {data.name}: validation accuracy {accuracy:.4f} after {count(model.epoch, 'epoch')}, "
        f"{duration(time.perf_counter() - started)}"
    )
    if plot:
        from tinycnn.pictures import plot_history

        plot_history(history, plot, documented=documented_history(model), title=about(model, data))
    refuse_diverged(model)


def refuse_diverged(model: Model) -> None:
    """Raises Diverged where the loss of a finished epoch is no number."""
    history = model.history.rows() if model.history else []
    lost = [epoch + 1 for epoch, logs in history if not math.isfinite(logs["loss"])]
    if lost:
        raise Diverged(f"{model.name} has diverged: its loss is no number any more since epoch {lost[0]}; lower --lr")


def about(model: Model, data: Dataset) -> str:
    """'go-crazy on 2,000 images of MNIST, seed 1': what was trained, on how much of what, and from which seed."""
    return f"{model.name} on {len(data.x_train):,} images of {data.name}, seed {model.seed}"


def documented_history(model: Model) -> dict[str, Any] | None:
    """The documented curves of this network, or None."""
    from tinycnn.architectures import ARCHITECTURES

    architecture = ARCHITECTURES.get((model.recipe or {}).get("architecture", ""))
    return architecture.history if architecture else None


def count(n: int, noun: str) -> str:
    """'1 epoch', '2 epochs'"""
    return f"{n} {noun}{'s' * (n != 1)}"


def duration(seconds: float) -> str:
    """'2 min 41 s'"""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
