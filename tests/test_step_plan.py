"""The plan of a training step as one kernel: who fits, who lies where, what is printed, what NVIDIA's compiler says."""

import itertools
import json
import re

import pytest
import step_paths

import tinycnn
from tinycnn import architectures, kernels, session
from tinycnn.command import doctor
from tinycnn.command.planned_step import described
from tinycnn.devices.checks import compile_gate, step_cases
from tinycnn.devices.gpu import cards
from tinycnn.devices.gpu.step import generate, predicted
from tinycnn.devices.gpu.step.plan import plan, why_not_on
from tinycnn.devices.gpu.step.run import kept
from tinycnn.devices.gpu.step.stages import SYNC, WAIT
from tinycnn.devices.network import Norm

SIX = ("breakdown-2", "breakdown-5", "vanilla-15k", "go-crazy", "other-2", "other-4")
TOO_LARGE = ("vanilla", "other-1", "models-9")
H200 = cards.get("h200")


def asked(network):
    """(Network, Rule, batch) of a documented network."""
    with tinycnn.use_device("reference"), session.without_initial_weights():
        model = architectures.build(network)
        return *described(model), model.recipe["batch_size"]


def planned(network, card=H200):
    described, _, batch = asked(network)
    return plan(described, batch, card.shared_of_a_block)


@pytest.mark.parametrize("network", SIX)
def test_these_fit_into_227_kb(network):
    made = planned(network)
    assert made.shared <= 227 * 1024 and why_not_on(made, H200) is None
    norms = sum(isinstance(layer, Norm) for layer in made.network.layers)
    assert made.grid_barriers == 2 * norms + 2


@pytest.mark.parametrize("network", TOO_LARGE)
def test_these_say_by_how_much_they_do_not(network):
    why = planned(network)
    needed, more, room = map(float, re.findall(r"([\d.]+) KB", why))
    assert room == 227 and needed - more == pytest.approx(room, abs=0.1)
    assert why.startswith("an image needs ") and "\n" not in why


def test_a_smaller_card_is_refused_by_its_memory_or_by_its_blocks():
    made = planned("go-crazy")
    assert "more than a block can have on NVIDIA T4" in why_not_on(made, cards.get("t4"))
    assert why_not_on(made, cards.get("h100-pcie")) == (
        "NVIDIA H100 PCIe holds 114 blocks at once, of an image each, and a batch has 128"
    )
    small = planned("vanilla-15k", cards.get("a100"))
    assert small.shared <= 163 * 1024 and why_not_on(small, cards.get("a100")) is None


@pytest.mark.parametrize("network", ["go-crazy", "breakdown-2", "essentia"])
def test_what_is_needed_at_the_same_time_shares_no_byte(network):
    """Followed through the stages, an array is needed from its first stage to its last one; the image always."""
    stages = planned(network).stages
    touched = {}
    for number, stage in enumerate(stages):
        for place in stage.reads + stage.writes:
            touched.setdefault(place, []).append(number)
    for number in range(len(stages)):
        alive = [p for p, at in touched.items() if p.name == "image" or at[0] <= number <= at[-1]]
        alive.sort(key=lambda p: p.begin)
        for low, high in itertools.pairwise(alive):
            assert low.begin + low.size <= high.begin, f"{low.name} and {high.name} in stage {number}"


def test_a_barrier_stands_between_who_writes_and_who_reads():
    """Arrays are followed by their names alone: between writing one and reading it something is waited for."""
    stages = planned("go-crazy").stages
    written = {}
    for number, stage in enumerate(stages):
        for place in stage.reads:
            since = [s.kind for s in stages[written.get(place.name, number) : number]]
            assert place.name not in written or SYNC in since or WAIT in since or "arrive" in since, stage.call
        written.update({place.name: number for place in stage.writes})


def test_what_cannot_be_kept_is_computed_again_and_planes_lose_their_padding_last():
    assert planned("go-crazy").again == ("norm2", "norm1")
    assert planned("other-4").again == ()
    assert planned("essentia").shared == 229_936  # with padded planes it needs 227.7 KB


def test_tiles_are_the_quickest_of_those_that_fit():
    assert predicted.conv_tile(3, 3, 12, 24, 24, 20) == (8, 1)
    assert predicted.conv_tile(3, 3, 16, 4, 4, 16) == (2, 4)
    assert predicted.conv_tile(3, 3, 1, 1, 1, 16) == (1, 1)


# ---------------------------------------------------------------- the command, and the counts


def test_plan_prints_the_memory_the_stages_and_the_cards(run):
    status, out, _ = run("plan", "go-crazy", "--card", "h200")
    made = planned("go-crazy")
    assert status == 0
    memory, rest = out.split("an image a block: shared memory, in bytes")[1].split("Its stages")
    stages, fits = rest.split("The cards")
    for place in made.places:
        assert re.search(rf"^{place.name} +{4 * place.begin:,} +{4 * place.size:,} ", memory, re.M)
    assert re.search(rf"a step +{made.grid_barriers} +{made.block_barriers} ", stages)
    assert stages.count("convolve<") == sum(stage.call.startswith("convolve<") for stage in made.stages)
    assert re.search(r"^NVIDIA H200 +fits, up to 132 images a step$", fits, re.M)
    assert re.search(r"^NVIDIA T4 +an image needs 2\d\d(\.\d)? KB", fits, re.M)
    assert "steps that were measured took two to four times as long" in " ".join(fits.split())


def test_plan_says_in_a_line_why_there_is_none(run):
    _, out, _ = run("plan", "vanilla", "--card", "h200")
    line = out.splitlines()[-1]
    assert line.startswith("As one kernel (--path one-kernel): not possible, an image needs ") and "227 KB" in line


def test_plan_prints_the_kernel(run):
    status, out, _ = run("plan", "breakdown-2", "--source", "--card", "h200")
    network, rule, batch = asked("breakdown-2")
    made = plan(network, batch, H200.shared_of_a_block)
    assert status == 0 and out == generate.source(made, rule, "step/stages.cuh")
    assert out.count("grid.wait();") == 2 and len(out.splitlines()) < 250
    status, out, error = run("plan", "models-10", "--source")
    assert (status, out) == (2, "") and re.search(
        r"there is no kernel: conv2d_\d+ makes it a network with branches", error
    )


def test_the_counts_are_those_of_the_code(tmp_path):
    (kept_row,) = [row for row in step_paths.read(step_paths.machine.RESULTS) if row["network"] == "breakdown-2"]
    assert json.loads(json.dumps(step_paths.row_of("breakdown-2"))) == kept_row


# ---------------------------------------------------------------- NVIDIA's compiler


def compiled(network, rule, batch, arch):
    made = plan(network, batch, H200.shared_of_a_block)
    (row,) = compile_gate.compile_kernels(kept(generate.source(made, rule)), [generate.KERNEL], arch)
    return row


def assert_good(row):
    assert row.registers <= 128 and row.spills == row.stack == 0
    assert row.shared <= 1024  # what is static comes on top of the plan's


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90"])
def test_the_stages_compile_without_a_spill(nvrtc, arch):
    assert_good(compiled(step_cases.NETWORK, step_cases.ADAM, step_cases.BATCH, arch))


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("network", SIX)
def test_the_six_compile_without_a_spill(nvrtc, network, arch):
    assert_good(compiled(*asked(network), arch))


def test_every_header_is_put_into_a_program_once():
    text = kernels.source(kept(generate.source(plan(step_cases.NETWORK, 3, 2**20), step_cases.ADAM)))
    assert text.count("struct Planes {") == 1 and "#include" not in text and "#pragma once" not in text


def test_a_generated_file_is_kept_under_its_content_and_mended_and_doctor_counts_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = kept("// a kernel\n")
    path = kernels.path(name)
    assert path.read_text() == "// a kernel\n" and kept("// another\n") != name == kept("// a kernel\n")
    path.write_text("damaged")
    assert kept("// a kernel\n") == name and path.read_text() == "// a kernel\n"
    found = doctor.generated()
    assert (found["files"], found["bytes"]) == (2, 12 + 11) and found["folder"] == str(path.parent)
