"""What only a GPU can show: the tests on `cuda`, the sanitizers, a training, and the trace against the hardware.

    benchmarks/gpu_check.sh                                # on a machine with an NVIDIA GPU, in half an hour
    benchmarks/gpu_check.sh --steps tests sanitizers       # these steps alone
    benchmarks/gpu_check.sh --budget 540                   # within so many seconds, in the order below
    python benchmarks/gpu_check.py --device emulator       # the same steps without one; writes nothing

The steps:
tests        the device suite with --device cuda
emulator     the emulator's tests of what CUDA means, by CuPy; and its programs, by nvcc: they print the same
sanitizers   compute-sanitizer's memcheck, racecheck, initcheck and synccheck over every kernel
training     `tinycnn train go-crazy` for two epochs
sectors      global-memory sectors of six kernels: the emulator's trace beside Nsight Compute's counters
profile      profile_steps.py: launches and time of every network's training step
frameworks   train_frameworks.py --device cuda: a training step against PyTorch, Keras and JAX
layers       layers_cudnn.py: every layer but the convolutions against cuDNN
conv         conv_cudnn.py: every convolution against cuDNN
ladder       ladder.py: each step of the ladder against cuDNN
numba        the device suite with --device numba, and numba_kernels.py: each kernel in Python beside its twin in C

The last six are the benchmarks, which write results of their own; without a GPU they only say what they would do.
Within a budget the benchmarks share what the steps before them leave, and a step that does not fit is left out.
A tool that is not installed is reported as absent. Writes results/<GPU>/check.json; exit status 1 if a step failed.
"""

import argparse
import csv
import io
import json
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import budget as budgets
import emulator_beside_gpu
import machine
from commands import ROOT, command, of_pytest

import tinycnn
from tinycnn import emulator
from tinycnn.devices import DeviceError
from tinycnn.devices.checks.cases import cases

SUITE = """
    test_products test_layer_operations test_operations test_tensor test_special_values test_image_outputs test_backend
    gradients/test_gradients gradients/test_cases gradients/test_any_shape gradients/test_gradcheck test_training
    test_callbacks test_checkpoint test_old_checkpoints test_own_losses test_loss_classes test_own_activations
    test_weights test_weights_of_images test_models
    test_several_inputs test_frozen test_fit_again test_batch_logs test_generators test_threads
    test_kernel_devices test_whole_steps
""".split()
ON_THE_DEVICE = "{device} or on_a_gpu"  # of their tests; the others need no device, or choose one themselves
BENCHMARK_SECONDS = 1200  # of each benchmark, at most
BENCHMARKS = ("profile", "frameworks", "layers", "conv", "ladder")
STEPS = ("tests", "emulator", "sanitizers", "training", "sectors", *BENCHMARKS, "numba")
# Seconds that a step takes, roughly, on a GPU and without one; of a benchmark, with which it is worth starting.
SECONDS = {
    "cuda": {"tests": 40, "emulator": 40, "sanitizers": 30, "training": 15, "sectors": 25, "numba": 120},
    "emulator": {"tests": 240, "emulator": 1, "sanitizers": 1, "training": 25, "sectors": 15},
}
BENCHMARK = {"cuda": 30, "emulator": 3}
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
METRICS = {
    "load": "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",
    "store": "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum",
}
# One kernel of each of six files; of several launches the first is compared.
COMPARED = ("relu", "conv1x1", "conv2d", "dropout", "maxpool2d", "layout")


def tests(device, seconds=240):
    files = [str(ROOT / "tests" / f"{name}.py") for name in SUITE]
    files += ["-k", ON_THE_DEVICE.format(device=device)]
    processes = ["--numprocesses", str(min(6, machine.cores()))]
    return of_pytest(*command([sys.executable, "-m", "pytest", *processes, "--device", device, *files], seconds))


def as_the_emulator_says(device):
    """The step of what the emulator's tests say of CUDA."""
    if device != "cuda":
        return {"passed": True, "absent": "no GPU is used"}
    tested, ran = emulator_beside_gpu.tests(), emulator_beside_gpu.programs(machine.gpu())
    return {"passed": tested["passed"] and ran["passed"], "tests": tested, "programs": ran}


def sanitizers(device):
    tool = shutil.which("compute-sanitizer")
    if tool is None or device != "cuda":
        return {"passed": True, "absent": "compute-sanitizer is not installed" if tool is None else "no GPU is used"}

    def watched_by(name):
        words = [tool, "--tool", name, "--error-exitcode", "9", sys.executable, "benchmarks/gpu_kernels.py"]
        status, output = command(words, 120)
        return {"clean": status == 0, "output": "" if status == 0 else output[-2000:]}

    with ThreadPoolExecutor(len(TOOLS)) as pool:  # each is a process of its own
        results = dict(zip(TOOLS, pool.map(watched_by, TOOLS), strict=True))
    return {"passed": all(r["clean"] for r in results.values()), "tools": results}


def training(device):
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        network = (
            ["go-crazy", "--epochs", "2"] if device == "cuda" else ["breakdown-2", "--epochs", "1", "--limit", "256"]
        )
        words = [sys.executable, "-m", "tinycnn", "train", *network, "--device", device, "--log", str(log)]
        status, output = command(words, 120)
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return {"passed": status == 0 and bool(rows), "epochs": rows, "output": "" if status == 0 else output[-2000:]}


def traced_sectors(file):
    """(kernel, {"load": sectors, "store": sectors}) of the file's first launch, every block traced."""
    launch = cases(file, "float32")[0]
    blocks = launch.grid[0] * launch.grid[1] * launch.grid[2] if len(launch.grid) == 3 else 1_000_000
    lines = emulator.trace(ROOT / "kernels" / f"{file}.cu", launch, blocks).as_json()["lines"]
    sums = dict.fromkeys(METRICS, 0)
    for line in lines:
        if line["space"] == "global" and line["op"] in sums:
            sums[line["op"]] += line["sectors"]
    return launch.kernel, sums


def counted_sectors(file, kernel):
    """The same from Nsight Compute for the first launch of this kernel, or the reason why not."""
    tool = shutil.which("ncu")
    if tool is None:
        return None, "ncu is not installed"
    words = [tool, "--csv", "--clock-control", "none", "--metrics", ",".join(METRICS.values()), "--kernel-name"]
    words += [re.split(r"[<\s]", kernel)[0], "--launch-count", "1", sys.executable]
    words += ["benchmarks/gpu_kernels.py", "--file", file, "--dtype", "float32"]
    status, output = command(words, 60)
    table = output[output.find('"ID"') :]
    values = {
        row["Metric Name"]: row["Metric Value"] for row in csv.DictReader(io.StringIO(table)) if row.get("Metric Name")
    }
    if status != 0 or not all(name in values for name in METRICS.values()):
        return None, output[-500:]
    return {op: int(float(values[name].replace(",", ""))) for op, name in METRICS.items()}, None


def sectors(device):
    rows = []
    for file in COMPARED:
        kernel, traced = traced_sectors(file)
        counted, why = counted_sectors(file, kernel) if device == "cuda" else (None, "no GPU is used")
        rows.append({"file": file, "kernel": kernel, "traced": traced, "counted": counted, "absent": why})
    return {"passed": all(r["counted"] in (None, r["traced"]) for r in rows), "kernels": rows}


def benchmark(results, script, *words, share=lambda: None):
    """The step that runs this benchmark script, or its dry run where no GPU is used.

    share: the seconds that it may take, or None for as many as it wants.
    """

    def step(device):
        seconds = share()
        ending = ["--results", str(results.resolve())] if device == "cuda" else ["--dry-run"]
        ending += [] if seconds is None else ["--budget", f"{seconds:.0f}"]
        most = BENCHMARK_SECONDS if seconds is None else seconds + 30  # a row that has begun may end
        status, output = command([sys.executable, f"benchmarks/{script}.py", *words, *ending], most)
        print(output if status == 0 else output[-4000:], flush=True)
        return {"passed": status == 0, "output": "" if status == 0 else output[-4000:]}

    return step


def numba(results):
    """The step of the kernels in Python: the suite, which compiles each in both precisions, then their times."""

    def step(device):
        suite = tests("numba", 900) if device == "cuda" else {"passed": True, "absent": "no GPU is used"}
        times = benchmark(results, "numba_kernels")(device)
        return {"passed": suite["passed"] and times["passed"], "tests": suite, "times": times}

    return step


def absences(facts):
    """Why a step, or a part of one, was not run: what is anywhere called "absent" in it."""
    if isinstance(facts, dict):
        own = [facts["absent"]] if facts.get("absent") else []
        return own + absences(list(facts.values()))
    return [why for part in facts for why in absences(part)] if isinstance(facts, list) else []


def verdict(facts):
    """'passed', 'FAILED' or 'not run', and what was not run of it."""
    whys = "; ".join(dict.fromkeys(why.strip().splitlines()[-1] for why in absences(facts)))
    if not facts["passed"] or not whys:
        return "passed" if facts["passed"] else "FAILED"
    return f"not run: {whys}" if facts.get("absent") else f"passed, but for what was not run: {whys}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "emulator"])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, metavar="STEP", help=" ".join(STEPS))
    parser.add_argument("--results", type=Path, default=machine.RESULTS)
    budgets.add_option(parser, "steps")
    arguments = parser.parse_args()
    try:
        tinycnn.get_device(arguments.device)
    except DeviceError as error:
        print(f"gpu_check.py: {error}", file=sys.stderr)
        sys.exit(2)
    device = machine.gpu() if arguments.device == "cuda" else "emulator"
    budget, to_come = budgets.Budget(arguments.budget), list(arguments.steps)

    def share():
        """Of what is left: as much as for every benchmark that is still to come."""
        return max(1, budget.left() / sum(step in BENCHMARKS for step in to_come)) if budget.limited else None

    steps = {
        "tests": tests, "emulator": as_the_emulator_says, "sanitizers": sanitizers,
        "training": training, "sectors": sectors,
        "profile": benchmark(arguments.results, "profile_steps", share=share),
        "frameworks": benchmark(arguments.results, "train_frameworks", "--device", "cuda", share=share),
        "layers": benchmark(arguments.results, "layers_cudnn", share=share),
        "conv": benchmark(arguments.results, "conv_cudnn", share=share),
        "ladder": benchmark(arguments.results, "ladder", share=share),
        "numba": numba(arguments.results),
    }  # fmt: skip
    packages = ["tinycnn", "numpy", "numba-cuda", "cupy-cuda13x", "cupy-cuda12x"]
    facts = machine.provenance(device, arguments.device, packages) | {"device": device}
    usual = SECONDS[arguments.device]
    for step in budget.within(arguments.steps, str, lambda step: usual.get(step, BENCHMARK[arguments.device])):
        began = time.perf_counter()
        to_come = list(arguments.steps[arguments.steps.index(step) :])
        facts[step] = steps[step](arguments.device)
        facts[step]["seconds"] = round(time.perf_counter() - began, 1)
        print(f"{step}: {verdict(facts[step])}, {facts[step]['seconds']} s", flush=True)
        facts["left_out"] = budget.left_out + to_come[1:]
        if arguments.device == "cuda":
            machine.write_json(arguments.results / machine.slug(device) / "check.json", facts)
    if budget.limited:
        print(budget.report() or "nothing was left out")
    done = [step for step in arguments.steps if step in facts]
    if not all(facts[step]["passed"] for step in done):
        print(json.dumps({step: facts[step] for step in done if not facts[step]["passed"]}, indent=1))
        sys.exit(1)


if __name__ == "__main__":
    main()
