"""The figures of train_frameworks.py: from seconds to rows, ratios and printed tables."""

from statistics import median

import networks
from tabulate import tabulate

import tinycnn
from tinycnn import architectures

EPOCH_IMAGES = 60_000  # MNIST's


def short(seconds):
    """Seconds with as many digits as say something."""
    return f"{seconds:.1f}" if seconds >= 1 else f"{seconds:.3f}"


def summary(values):
    """Median, extremes, and the distance between these as a share of the median."""
    middle = median(values)
    return {"median": middle, "min": min(values), "max": max(values), "spread": (max(values) - min(values)) / middle}


def rows_of(network, measured, images, flop):
    """One row a contender; `best` marks the fastest configuration of each framework."""
    rows = []
    for contender, answers in measured.items():
        speeds = [images / answer["seconds"] for answer in answers]
        rows.append({
            "network": network,
            "framework": contender.framework,
            "configuration": contender.configuration,
            "images_per_s": summary(speeds),
            "seconds_per_epoch": EPOCH_IMAGES / median(speeds),
            "gflop_per_s": median(speeds) * flop / 1e9,
            "rounds": speeds,
            "loss": answers[-1]["loss"],
        })  # fmt: skip
    for row in rows:
        rivals = [r for r in rows if r["framework"] == row["framework"]]
        row["best"] = row is max(rivals, key=lambda r: r["images_per_s"]["median"])
    return rows


def ratios_of(rows):
    """How many times as fast as PyTorch's best each one is: of the medians, and round by round."""
    peers = [row for row in rows if row["framework"] == "PyTorch" and row["best"]]
    return [
        {
            "network": row["network"],
            "framework": row["framework"],
            "configuration": row["configuration"],
            "to": f"PyTorch, {peer['configuration']}",
            "ratio": row["images_per_s"]["median"] / peer["images_per_s"]["median"],
            "pairs": summary([a / b for a, b in zip(row["rounds"], peer["rounds"], strict=True)]),
        }
        for peer in peers
        for row in rows
    ]


def reach_rows(network, answers):
    """One row for each contender that trained to an accuracy.

    seconds: until it was reached, training and validation; seconds_without_compiling: the first epoch counted like the
    median of the others. None where it was not reached.
    """
    rows = []
    for contender, answer in answers.items():
        seconds = [epoch["seconds"] for epoch in answer["epochs"]]
        usual = median(seconds[1:]) if len(seconds) > 1 else seconds[0]
        reached = answer["reached"]
        rows.append({
            "network": network,
            "framework": contender.framework,
            "configuration": contender.configuration,
            "reached": reached,
            "epochs": len(seconds),
            "best_accuracy": max(epoch["accuracy"] for epoch in answer["epochs"]),
            "seconds": sum(seconds) if reached else None,
            "seconds_without_compiling": usual + sum(seconds[1:]) if reached else None,
            "by_epoch": answer["epochs"],
        })  # fmt: skip
    return rows


def reach_table(rows, accuracy):
    lines = [
        [
            row["network"], row["framework"], row["configuration"], f"{row['best_accuracy']:.4f}", str(row["epochs"]),
            f"{row['seconds']:.2f}" if row["reached"] else "not reached",
            f"{row['seconds_without_compiling']:.2f}" if row["reached"] else "-",
        ]
        for row in rows
    ]  # fmt: skip
    names = ["network", "framework", "configuration", "best accuracy", "epochs"]
    names += [f"s to {accuracy:.1%}", "without compiling"]
    return tabulate(lines, names, disable_numparse=True, colalign=["left"] * 3 + ["right"] * 4)


def table(rows, ratios):
    by_row = {(r["network"], r["framework"], r["configuration"]): r for r in ratios}
    lines = []
    for row in rows:
        speed = row["images_per_s"]
        ratio = by_row.get((row["network"], row["framework"], row["configuration"]))
        lines.append([
            row["network"], row["framework"], row["configuration"] + (" *" if row["best"] else ""),
            f"{speed['median']:,.0f}", f"{speed['min']:,.0f}", f"{speed['max']:,.0f}", f"{speed['spread']:.0%}",
            short(row["seconds_per_epoch"]), f"{row['gflop_per_s']:.0f}",
            f"{ratio['ratio']:.2f}" if ratio else "-",
            f"{ratio['pairs']['min']:.2f} to {ratio['pairs']['max']:.2f}" if ratio else "-",
        ])  # fmt: skip
    names = ["network", "framework", "configuration (* its fastest)", "images/s", "min", "max", "spread"]
    names += ["s/epoch", "GFLOP/s", "x PyTorch", "round by round"]
    return tabulate(lines, names, disable_numparse=True, colalign=["left"] * 3 + ["right"] * 8)


def describe(names):
    """[{network, parameters, multiply_adds, flop}] for each network. Raises ValueError for an unknown one."""
    described = []
    with tinycnn.use_device("reference"):
        for name in names:
            model = architectures.build(name)
            described.append({
                "network": name,
                "parameters": model.count_params(),
                "optimizer": model.optimizer.name,
                "multiply_adds": sum(count for _, count, _ in networks.multiply_adds(model)),
                "flop": networks.training_flop(model),
            })  # fmt: skip
    return described


def describe_text(described, present, absent):
    lines = [
        [d["network"], f"{d['parameters']:,}", d["optimizer"], f"{d['multiply_adds']:,}", f"{d['flop'] / 1e6:.2f}"]
        for d in described
    ]
    names = ["network", "parameters", "optimizer", "multiply-adds/image, forward", "MFLOP/image, training"]
    text = tabulate(lines, names, disable_numparse=True, colalign=["left", "right", "left", "right", "right"])
    text += "\n\ncontenders:\n" + "\n".join(f"  {contender.label}" for contender in present)
    return text + "".join(f"\nabsent: {line}" for line in absence_lines(absent))


def absence_lines(absent):
    return [f"{name}, which needs: pip install {' '.join(packages)}" for name, packages in absent.items()]
