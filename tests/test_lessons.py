"""The lessons: what they say is what the runs give, worked out here once more."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from lesson_pages import NAMES, data_of, every_lesson, made, need_the_emulator, page, text_of, words

import tinycnn
from tinycnn import emulator, kernels, lessons
from tinycnn.command.main import cli
from tinycnn.emulator.recording import RecordedArray
from tinycnn.fit.loop import Steps
from tinycnn.lessons import figures, learning, own, products, races, requests, steps, subjects
from tinycnn.lessons.grids import grid_of
from tinycnn.lessons.subjects import SQUARE, STRIDED, Subject

ROOT = Path(__file__).resolve().parent.parent
NETWORK = "CN(4,(5,5),strides=2)->CN(6,(3,3))->FL()->DN(10)"
LARGEST, LARGEST_WITH_CHARTS = 400_000, 1_000_000  # bytes
WITH_CHARTS = ("gradient", "product", "roof", "tiles", "launches")


@pytest.fixture(autouse=True)
def emulated():
    need_the_emulator()


def run(*words):
    return CliRunner().invoke(cli, ["lesson", *words], catch_exceptions=False)


def answer_of(question):
    return question.choices[question.answer]


# ---------------------------------------------------------------- every page


@every_lesson
def test_a_page_is_one_file_that_asks_for_nothing(name):
    text = text_of(page(name))
    assert page(name).stat().st_size < (LARGEST_WITH_CHARTS if name in WITH_CHARTS else LARGEST)
    addresses = re.findall(r"""(?:src|href|action|xlink:href)=["']([^"']*)["']|url\(([^)]*)\)|@import""", text)
    for one, other in addresses:
        assert (one or other).startswith(("data:", "#")), one or other
    assert "default-src 'none'" in text and not re.search(
        r"\bon\w+=", re.sub(r"<script.*?</script>", "", text, flags=re.S)
    )


@every_lesson
def test_a_page_says_its_one_thing_asks_and_ends_with_what_to_change(name):
    lesson, text = lessons.find(name), words(page(name))
    places = [text.index(part) for part in (lesson.title, lesson.one_thing, "Predict first", "Change it, and see more")]
    assert places == sorted(places)
    end = text[places[-1] :]
    named = re.findall(r"(?<![\w./])(?:mine/ladder|kernels|tinycnn)/[\w./]*\w", end)
    assert named
    for path in named:
        assert list(ROOT.glob(path.replace("mine/ladder", "kernels/ladder"))), path


@every_lesson
def test_the_same_run_gives_the_same_bytes(name, tmp_path):
    (again,) = lessons.write(name, tmp_path)
    assert again.read_bytes() == page(name).read_bytes()


@every_lesson
def test_a_question_has_different_choices_and_one_right_answer(name):
    assert made(name).questions
    for question in made(name).questions:
        assert len(set(question.choices)) == len(question.choices) >= 2
        assert 0 <= question.answer < len(question.choices)


@every_lesson
def test_a_picture_is_drawn_for_paper(name, tmp_path):
    for suffix, begin in ((".svg", b"<?xml"), (".png", b"\x89PNG")):
        paths = [tmp_path / f"{number}{suffix}" for number in (1, 2)]
        for path in paths:
            figures.draw_to(made(name).picture(), [path])
        assert paths[0].read_bytes() == paths[1].read_bytes() and paths[0].read_bytes().startswith(begin)


# ---------------------------------------------------------------- what they claim


def test_the_answers_are_what_the_pages_show():
    loads, tiled = (answer_of(question) for question in made("reuse").questions)
    heat = [requests.requests_by_pixel(run)[4, 4] for run in made("reuse").runs]
    assert (loads, tiled) == (str(heat[0]), str(heat[2]))

    nudged = made("gradient").questions[0]
    falls = "is -" in nudged.text
    assert answer_of(nudged).startswith("it falls" if falls else "it rises")

    field, untrained = (answer_of(question) for question in made("learned").questions)
    assert field == "12"  # back from one number: a pooling, 2; 3 x 3, 4; a pooling, 8; 3 x 3 twice, 12
    assert untrained == "about one in ten" and 0.05 < float(made("learned").values["accuracy"][0]) < 0.15

    fewer, enough = (answer_of(question) for question in made("roof").questions)
    rows = made("roof").values["rows"]
    moved = {row[0][0]: int(row[1].replace(",", "")) for row in rows}
    assert fewer == f"{moved['1'] / moved['5']:.0f}"
    assert enough == ("yes" if max(float(row[2]) for row in rows) >= made("roof").values["ridge"] else "no")

    total, small = (answer_of(question) for question in made("launches").questions)
    rows = made("launches").values["rows"]
    threads = [np.prod([int(extent) for shape in row[3:5] for extent in shape.split("x")]) for row in rows]
    assert (total, small) == (str(len(rows)), str(sum(count < 2048 for count in threads)))


def test_what_a_broken_kernel_computes_wrongly_is_counted():
    launch = subjects.launch_of(races.STEP, "forward", SQUARE.conv)
    whole, outputs = kernels.path(f"ladder/{races.STEP}"), SQUARE.conv.P * SQUARE.conv.Q * SQUARE.conv.K
    with subjects.changed(races.STEP, "= sum;", "= sum + (k == 3);") as broken:
        assert races.wrong_numbers(broken, whole, launch) == outputs / SQUARE.conv.K
    assert races.wrong_numbers(whole, whole, launch) == 0
    counted = made("barrier").questions[1]
    count = int(counted.because.split()[0].replace(",", ""))
    assert answer_of(counted) == ("none" if count == 0 else "all of them" if count == outputs else "some of them")


def test_a_mistake_s_examples_are_the_images_that_were_mistaken():
    x = np.random.default_rng(0).random((4, 2, 2, 1))
    y, answers = np.array([0, 0, 1, 0]), np.array([1, 0, 1, 1])
    (found,) = learning.mistakes(np.array([[1, 2], [0, 1]]), x, y, answers)
    images = [figures.pixels(x[n, ..., 0]) for n in (0, 3)]
    assert found == {"true": 0, "taken": 1, "count": 2, "images": images}


def test_a_layer_says_its_padding():
    below_and_right = subjects.conv_of((1, 8, 8, 1), (3, 3, 1, 4), (2, 2), ((0, 1), (0, 1)))
    assert str(STRIDED).endswith(", padding of 1 on every side")
    assert str(subjects.Layer(below_and_right, "")).endswith(", padding of 1 below, 1 at the right")
    assert "padding" not in str(subjects.REAL)


def window_of(conv, p, q):
    """How many pixels of the image an output sees."""
    h, v = p * conv.stride_h - conv.top, q * conv.stride_w - conv.left
    return sum(0 <= h + r < conv.H and 0 <= v + s < conv.W for r in range(conv.R) for s in range(conv.S))


def test_a_thread_loads_its_window_as_far_as_it_lies_in_the_image():
    run = made("thread").runs[0]
    conv = STRIDED.conv
    loads = requests.loads_by_thread(run)
    for number in range(conv.P * conv.Q * conv.K):
        p, q, _ = subjects.output_of(number, conv)
        assert loads[number] == conv.C * window_of(conv, p, q)
    assert answer_of(made("thread").questions[0]) == str(4 * conv.C)


@pytest.mark.parametrize("network", ["go-crazy", "vanilla-15k", "CN(4,(3,3))->CN(6,(3,3),strides=2)->FL()->DN(10)"])
def test_the_reasons_say_what_the_answers_are(network):
    need_the_emulator()
    subject = Subject(network)
    copies = products.product(subject).questions[0]
    rows, columns = re.search(r"sees it, (\d+) x (\d+)\.", copies.because).groups()
    assert copies.choices[copies.answer] == f"{int(rows) * int(columns):,}"
    loads = requests.reuse(subject).questions[0]
    rows, columns, channels = re.search(r"(\d+) x (\d+) outputs see it, each for (\d+) ", loads.because).groups()
    if "more than one warp" not in loads.because:
        assert loads.choices[loads.answer] == f"{int(rows) * int(columns) * int(channels):,}"
    thread = requests.one_thread(subject)
    outside = re.search(r"and (\d+) of them lie outside", thread.questions[0].because)
    assert thread.values["corner"] == thread.values["whole"] - int(outside[1] if outside else 0)
    assert thread.values["middle"] > 0


def test_the_sectors_of_a_warp_s_store_follow_from_where_its_outputs_lie():
    conv = SQUARE.conv
    assert conv.K == 16 and conv.P * conv.Q >= 32
    stores = [answer_of(question) for question in made("warp").questions]
    assert stores == ["32", "4"]  # pixels lie 64 bytes apart; 32 channels are 128 bytes
    (row,) = [row for row in made("warp").values["rows"] if row[:2] == ["1_naive", "stores to y"]]
    assert row[2:] == ["32", "1,024", "128"]


def test_a_pixel_is_loaded_by_as_many_requests_as_see_it():
    heat = requests.requests_by_pixel(made("reuse").runs[0])
    conv = SQUARE.conv
    for h, v in np.ndindex(conv.H, conv.W):
        seen = sum(0 <= h + 1 - r < conv.P and 0 <= v + 1 - s < conv.Q for r in range(3) for s in range(3))
        # A warp of step 2 has two pixels with 16 filters each, side by side: those that both see it ask together only
        # where they do it by the same tap, which is never; each asks for one channel at a time.
        assert heat[h, v] == seen * conv.C
    tiled = requests.requests_by_pixel(made("reuse").runs[2])
    assert tiled[4, 4] < heat[4, 4] and tiled.sum() < heat.sum() / 10


def test_rows_of_16_conflict_and_rows_of_17_do_not():
    assert [answer_of(question) for question in made("banks").questions] == ["1", "16"]
    padded, bare = (run.recording for run in made("banks").runs)
    for recording, passes in ((padded, 1), (bare, 16)):
        full = [i for i in recording.of("filters", "store") if recording.active[i].all()]
        assert full and set(recording.passes()[full]) == {passes}


def test_lesson_5_names_the_two_lines_that_check_names(tmp_path):
    runner = CliRunner()
    assert runner.invoke(cli, ["kernels", "-o", str(tmp_path)]).exit_code == 0
    file = tmp_path / "ladder" / "3_shared_filters.cu"
    file.write_text(file.read_text().replace(races.BARRIER, races.GONE, 1))
    result = runner.invoke(cli, ["check", f"{file}::conv2d_forward", "--json"])
    (race,) = [report for report in json.loads(result.output)["reports"] if report["kind"] == "race"]
    values = made("barrier").values
    assert values["lines"] == [race["line"], race["other_line"]]
    assert f"line {values['lines'][0]}" in words(page("barrier"))
    marked = re.findall(r'<span id="s0-(\d+)" class="fault">', text_of(page("barrier")))
    assert {int(line) for line in marked} == set(values["lines"])


def test_the_broken_kernel_reads_and_writes_without_a_barrier_and_the_whole_one_with():
    launch = subjects.launch_of(races.STEP, "forward", SQUARE.conv)
    with subjects.changed(races.STEP, races.BARRIER, races.GONE) as broken:
        report = next(r for r in emulator.check(broken, [launch]) if r.kind == "race")
        events = {"broken": races.events_of(emulator.record(broken, launch), report)}
    events["whole"] = races.events_of(emulator.record(kernels.path(f"ladder/{races.STEP}"), launch), report)
    for kind, found in events.items():
        writes = {e.barriers for e in found if e.op == "store"}
        reads = {e.barriers for e in found if e.op == "load"}
        assert writes and reads and bool(writes & reads) == (kind == "broken")


def test_a_gradient_is_the_slope_and_the_sum_of_the_products():
    text = words(page("gradient"))
    pairs = re.findall(r"gradient ([+-][\d.]+), slope ([+-][\d.]+)", text)
    sums = re.findall(r"their product; its sum is ([+-][\d.]+)", text)
    assert len(pairs) == len(sums) == 9
    for (gradient, slope), total in zip(pairs, sums, strict=True):
        assert float(gradient) == pytest.approx(float(slope), abs=2e-6)
        assert float(total) == pytest.approx(float(gradient), abs=2e-6)
    assert float(made("gradient").values["worst"]) < 1e-8


def test_the_lane_that_loads_a_pixel_puts_it_where_the_matrix_has_it():
    """Row l = (r, s, c), column m = (p, q) of the tile: the pixel that tap (r, s) of output (p, q) sees."""
    lists = made("product").stages["product"][0]["lists"]
    recording, conv = made("product").runs[0].recording, SQUARE.conv
    checked = 0
    for load, store in zip(*(part["requests"] for part in lists), strict=True):
        one, other = recording.requests[load], recording.requests[store]
        base = recording.requests["offsets"][store]
        for lane in np.flatnonzero(recording.active[load]):
            pixel, c = divmod(int(one["offsets"][lane]) // 4, conv.C)
            row, column = divmod(int(base[lane]) // 4, 66)
            m = int(one["block"][0]) * 64 + column
            p, q = divmod(m, conv.Q)
            h, v = divmod(pixel, conv.W)
            r, s = h - p + conv.top, v - q + conv.left
            assert 0 <= r < conv.R and 0 <= s < conv.S
            assert ((r * conv.S + s) * conv.C + c) % 16 == row and other["lanes"] >> lane & 1
            checked += 1
    assert checked > 1000 and made("product").values["copies"] == 9


def test_the_roof_counts_what_trace_counts_and_predicts_from_it():
    flop = made("roof").values["flop"]
    rows = {row[0]: row for row in made("roof").values["rows"]}
    path, launch = kernels.path("ladder/2_coalesced"), subjects.launch_of("2_coalesced", "forward", subjects.REAL.conv)
    moved = emulator.trace(path, launch, blocks=None).bytes_moved
    step, bytes_moved, intensity, h200, t4 = rows["2 coalesced"]
    assert bytes_moved == f"{moved:,}" and intensity == f"{flop / moved:.2f}"
    assert float(h200) == pytest.approx(flop / moved * 4.8, abs=0.01) and float(t4) == pytest.approx(
        flop / moved * 0.32, abs=0.01
    )
    assert "predicted" in words(page("roof")) and "no time was measured" in words(page("roof"))


def test_times_come_from_a_results_file_and_from_nowhere_else(tmp_path):
    layer = {"shape": "26x26x12 * 3x3 -> 20", "images": 128, "rows": [
        {"step": "1_naive", "direction": "forward", "tflops": 1.25},
        {"step": "2_coalesced", "direction": "backward_data", "tflops": 99.0},
    ]}  # fmt: skip
    (tmp_path / "ladder.json").write_text(json.dumps({"device": "a card", "layers": [layer]}))
    found = lessons.find("roof").make(Subject(times=tmp_path)).values
    assert found["times"] == {"device": "a card", "tflops": {"1_naive": 1.25}, "images": 128}
    assert [row[-1] for row in found["rows"]] == ["1.25"] + ["-"] * (len(kernels.LADDER) - 1)
    (tmp_path / "ladder.json").write_text("{}")
    with pytest.raises(ValueError, match="no results file of benchmarks/ladder.py"):
        lessons.find("roof").make(Subject(times=tmp_path))


def test_times_of_a_step_s_launches_are_those_of_its_network(tmp_path):
    first = steps.launches_of_a_step(Subject(NETWORK))[0][1].kernel
    kernels = [{"kernel": first, "launches": 4, "us": 10.0}, {"kernel": "other", "launches": 1, "us": 2.0}]
    rows = [
        {"network": "vanilla", "us": 1.0, "launches": 1, "kernels": []},
        {"network": NETWORK, "us": 30.0, "launches": 9, "kernels": kernels},
    ]
    (tmp_path / "profile_steps.json").write_text(json.dumps({"device": "a card", "rows": rows}))
    found = steps.launches(Subject(NETWORK, tmp_path)).values
    times = {"device": "a card", "step_us": 30.0, "us": {first: 2.5, "other": 2.0}, "kernels_us": 12.0, "launches": 9}
    assert found["times"] == times
    assert [row[-1] for row in found["rows"]] == ["2.5" if row[2] == first else "" for row in found["rows"]]
    assert steps.launches(Subject(times=tmp_path)).values["times"] is None  # of another network


def test_a_receptive_field_is_where_the_gradient_is_not_zero():
    with tinycnn.use_device("reference", "float64"):
        model = Subject("CN(3,(5,5),strides=2,padding=same)->MP(2,2)->CN(2,(3,3))->FL()->DN(10)").model()
        model.layers[0].kernel.data[...] = 1.0  # so that no number is lost to ReLU or to a maximum
        rng = np.random.default_rng(0)
        for field in learning.fields(model):
            symbol = next(symbol for symbol in model.symbols if symbol.layer.name == field["name"])
            for row, column in ((1, 2), (2, 1), (field["rows"] - 2, field["columns"] - 2)):
                seen = np.zeros(model.input.extents[:2], bool)
                for _ in range(8):  # another maximum each time
                    image = tinycnn.Tensor(rng.uniform(1, 2, (1, *model.input.extents)), requires_grad=True)
                    values = {model.input: image}
                    for later in model.symbols[1 : model.symbols.index(symbol) + 1]:
                        values[later] = later.compute(values, False)
                    wanted = np.zeros((1, *symbol.extents))
                    wanted[0, row, column] = rng.uniform(1, 2, symbol.extents[2])
                    values[symbol].backward(tinycnn.Tensor(wanted))
                    seen |= image.grad.numpy()[0, :, :, 0] != 0
                box = [
                    (max(0, start + jump * at), min(extent, start + jump * at + size))
                    for start, jump, size, at, extent in zip(
                        field["start"],
                        field["jump"],
                        field["size"],
                        (row, column),
                        model.input.extents[:2],
                        strict=True,
                    )
                ]
                rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
                assert [(rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)] == box


def test_the_confusion_on_the_page_adds_up_to_the_test_s_images():
    cells = made("learned").values["matrix"]
    assert sum(count for row in cells for count, _ in row) == learning.IMAGES
    right = sum(row[i][0] for i, row in enumerate(cells)) / learning.IMAGES
    assert made("learned").values["accuracy"][-1] == f"{right:.3f}"


def test_a_tile_gives_the_convolution_with_a_quarter_of_the_multiplications():
    values = made("tiles").values
    assert values["worst"] < 1e-12 and (values["n"] ** 2, values["multiplied"]) == (36, 144)
    assert 1 < values["ratios"][3] < 6 and 1 < values["ratios"][5] < 6


def test_the_launches_of_a_step_are_those_that_fit_makes(monkeypatch):
    """Beside them: a training of one step on the emulator, which runs what it launches."""
    subject = Subject("CN(4,(3,3))->MP(4,4)->FL()->DN(10)")
    monkeypatch.setattr(steps, "BATCH", 4)
    listed = [(file, launch.kernel, launch.grid) for file, launch in steps.launches_of_a_step(subject)]
    with tinycnn.use_device("emulator") as device:
        model, started, launch, train = subject.model(), [], device.driver.launch, Steps.train

        def noted(file, kernel, ctype, grid, *rest):
            started.append((file, kernel, tuple(grid)))
            launch(file, kernel, ctype, grid, *rest)

        def from_here(self, size):
            started.clear()
            train(self, size)
            found.extend(started)

        found = []
        monkeypatch.setattr(device.driver, "launch", noted)
        monkeypatch.setattr(Steps, "train", from_here)
        model.fit(np.zeros((4, 28, 28, 1), np.float32), np.eye(10)[:4], batch_size=4, verbose=0)
    assert listed == found and len(found) > 10


# ---------------------------------------------------------------- of what is one's own


def test_a_lesson_shows_the_network_that_it_is_given(tmp_path):
    (path,) = lessons.write("thread", tmp_path, Subject(NETWORK))
    (x,) = [array for array in data_of(path)["runs"][0]["arrays"] if array["name"] == "x"]
    assert x["shape"] == [1, 10, 10, 1] and "4 filters of 5 x 5, stride 2 x 2" in words(path)
    assert "--network" in words(path)


@pytest.mark.slow
@every_lesson
def test_every_lesson_can_be_made_of_every_kind_of_network(name):
    for network in (
        NETWORK,
        "vanilla-15k",
        "go-crazy",
        "CN(8,(3,3))->[CN(4,1)|MP(3,3,strides=1,padding=same)]->FL()->DN(10)",
    ):
        assert lessons.find(name).make(Subject(network)).questions


def test_a_lesson_leaves_the_session_as_it_was():
    tinycnn.set_random_seed(7)
    one = tinycnn.layers.Dense(3)
    made_here = Subject(NETWORK).layers()
    other = tinycnn.layers.Dense(3)
    assert (one.name, other.name, tinycnn.session.seed()) == ("dense_1", "dense_2", 7)
    assert [layer.what.split()[0] for layer in made_here] == ["conv2d_1", "conv2d_2"]


def test_a_network_that_is_none_is_refused_in_one_line():
    for network, message in (
        ("CN(8", "parentheses"),
        ("FL()->DN(10)", "no convolution"),
        ("nothing", "no documented network|unknown|no network"),
    ):
        with pytest.raises(ValueError, match=message):
            Subject(network)


RACE = """\
// launch: kernel=turn grid=1 block=64 x=float[64] y=float[64]
__global__ void turn(const float* x, float* y) {
    __shared__ float kept[64];
    kept[threadIdx.x] = x[threadIdx.x];
    BARRIER
    y[threadIdx.x] = kept[63 - threadIdx.x];
}
"""


def test_a_kernel_file_s_page_shows_its_fault_and_none_when_it_is_mended(tmp_path):
    file = tmp_path / "turn.cu"
    file.write_text(RACE.replace("BARRIER", ""))
    result = run(str(file), "-o", str(tmp_path))
    assert result.exit_code == 0 and result.output.strip() == str(tmp_path / "turn.html")
    text = text_of(tmp_path / "turn.html")
    assert "race: turn" in text and set(re.findall(r'id="shown-(\d)" class="fault"', text)) == {"4", "6"}
    assert "The two threads of the race, in time" in text
    file.write_text(RACE.replace("BARRIER", "__syncthreads();"))
    assert run(str(file), "-o", str(tmp_path)).exit_code == 0
    assert (
        "nothing to report" in words(tmp_path / "turn.html")
        and data_of(tmp_path / "turn.html")["runs"][0]["count"] == 8
    )


def test_a_kernel_that_leaves_its_arrays_has_a_page_too(tmp_path):
    file = tmp_path / "over.cu"
    file.write_text(RACE.replace("BARRIER", "__syncthreads();").replace("x[threadIdx.x]", "x[threadIdx.x + 1]"))
    assert run(str(file), "-o", str(tmp_path)).exit_code == 0
    text = words(tmp_path / "over.html")
    assert "out-of-bounds" in text and "cannot be played before that is mended" in text


def test_a_kernel_that_does_nothing_or_never_ends_has_a_page_too(tmp_path):
    for name, body, seconds, shown in (
        ("empty", "", emulator.MOST_SECONDS, "nothing to report"),
        ("endless", "while (x[0] < 1e30f) x[1] = 2;", 0.2, "endless"),
    ):
        file = tmp_path / f"{name}.cu"
        launch = "// launch: kernel=k grid=1 block=32 x=float[4]\n"
        file.write_text(f"{launch}__global__ void k(volatile float* x) {{ {body} }}\n")
        made = own.own(file, emulator.read_launches(file), Subject(), seconds)
        assert shown in " ".join([made.about, *made.values["reports"]]) and not made.values["playable"]


def test_a_large_array_s_picture_has_the_rows_that_a_warp_touches(tmp_path):
    file = tmp_path / "column.cu"
    file.write_text(
        "// launch: kernel=column grid=1 block=32 x=float[1000000] y=float[32]\n"
        "__global__ void column(const float* x, float* y) { y[threadIdx.x] = x[1000 * threadIdx.x]; }\n"
    )
    made = own.own(file, emulator.read_launches(file), Subject())
    figure = made.picture()
    texts = [text.get_text() for text in figure.axes[0].texts]
    begins = [f"{1000 * lane // 32 * 32:,}" for lane in range(1, 32)]  # of the rows, of 32 numbers each
    assert texts == [*begins, *map(str, range(32))] and figure.get_figheight() > 64 * 0.1


def test_what_touches_no_array_has_a_picture_too(tmp_path):
    file = tmp_path / "empty.cu"
    file.write_text("// launch: kernel=k grid=1 block=32 x=float[4]\n__global__ void k(float* x) {}\n")
    assert run(str(file), "--picture", "-o", str(tmp_path)).exit_code == 0


@pytest.mark.parametrize("shape", [(1, 500, 500, 3), (2, 2, 8, 600)])
def test_an_array_that_is_too_wide_to_be_seen_is_drawn_in_rows_of_32(shape):
    grid = grid_of(RecordedArray("x", "global", shape, 4, 0))
    assert (grid.columns, grid.numbers) == (32, np.prod(shape)) and 32 * grid.rows >= grid.numbers
    assert grid_of(RecordedArray("x", "global", (5, 8, 8, 16), 4, 0)) == (8, 128, 16, 8, 1024)


# ---------------------------------------------------------------- the command


def test_the_list_names_every_lesson():
    output = run("list").output
    assert all(name in output for name in NAMES) and len(NAMES) == 11


def test_the_list_takes_no_option_of_a_page(tmp_path):
    for option in (
        ("--teacher",),
        ("--picture",),
        ("--network", "vanilla"),
        ("--times", tmp_path),
        ("--out", tmp_path),
    ):
        result = run("list", *map(str, option))
        assert result.exit_code == 2
        assert f"{option[0]} is for pages; `tinycnn lesson list` makes none" in result.output


def test_a_wrong_name_is_answered_with_the_nearest(tmp_path):
    for name, hint in (
        ("warps", "did you mean warp?"),
        ("nonsense", "no lesson 'nonsense'; and there is no kernel"),
        ("missing.cu", "no kernel file"),
    ):
        result = CliRunner().invoke(cli, ["lesson", name, "-o", str(tmp_path)])
        assert result.exit_code == 2 and hint in result.output
    assert not list(tmp_path.iterdir())


def test_an_option_that_has_no_sense_here_is_refused(tmp_path):
    for arguments, message in (
        (["tiles", "--teacher"], "--teacher is for `tinycnn lesson all`"),
        (["tiles", "--network", "vanilla"], "--network changes nothing in the lesson tiles, which shows no network"),
        (["2", "--times", str(tmp_path)], "--times changes nothing in the lesson warp, which shows no times"),
        (["conv2d", "--network", "vanilla"], "--network and --times are for the lessons"),
        (["conv2d", "--times", str(tmp_path)], "--network and --times are for the lessons"),
    ):
        result = run(*arguments, "-o", str(tmp_path))
        assert result.exit_code == 2 and message in result.output
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_page_of_ours_is_not_written_over(tmp_path):
    mine = tmp_path / "tiles.html"
    mine.write_text("<p>mine</p>")
    with pytest.raises(OSError, match="no page that tinycnn has made"):
        run("tiles", "-o", str(tmp_path))
    assert mine.read_text() == "<p>mine</p>"


def test_all_with_a_teacher_s_page_links_only_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(lessons.pages, "LESSONS", [lessons.find(name) for name in ("thread", "tiles")])
    result = run("all", "--teacher", "--picture", "-o", str(tmp_path))
    assert result.exit_code == 0
    names = {Path(line).name for line in result.output.split()}
    pictures = {f"{name}{suffix}" for name in ("thread", "tiles") for suffix in (".svg", ".png")}
    assert (
        names
        == {path.name for path in tmp_path.iterdir()}
        == {"thread.html", "tiles.html", "index.html", "teacher.html"} | pictures
    )
    for path in tmp_path.glob("*.html"):
        for link in re.findall(r'href="([^"#:]+)"', text_of(path)):
            assert (tmp_path / link).exists(), link
    teacher = words(tmp_path / "teacher.html")
    assert all(answer_of(question) in teacher for question in made("tiles").questions)


def test_all_are_written_of_nothing_in_particular(tmp_path, monkeypatch):
    monkeypatch.setattr(lessons.pages, "LESSONS", [lessons.find("tiles")])
    assert list(lessons.write_all(tmp_path)) == [tmp_path / "tiles.html", tmp_path / "index.html"]
    assert "Made by tinycnn lesson all" in words(tmp_path / "index.html")


def test_the_lessons_of_a_class_fit_into_90_minutes_with_an_exercise():
    minutes = {lesson.number: lesson.minutes for lesson in lessons.LESSONS if lesson.minutes}
    assert set(minutes) == {1, 2, 3, 4, 5, 8} and 70 <= sum(minutes.values()) <= 80


def test_the_teacher_s_exercise_and_its_answer_name_the_lines_that_stand_there(tmp_path):
    plan = lessons.pages.render_index("teacher", {name: made(name).questions for name in NAMES}, "tinycnn lesson all")
    barrier = int(re.search(r"comment out line (\d+), the second", plan)[1])
    write, read = map(int, re.search(r"Lines (\d+) and (\d+)\.", plan).groups())
    shutil.copytree(kernels.FOLDER, tmp_path / "mine")
    file = tmp_path / "mine" / "ladder" / "3_shared_filters.cu"
    lines = file.read_text().splitlines()
    assert lines[barrier - 1].strip().startswith("__syncthreads();")
    lines[barrier - 1] = f"// {lines[barrier - 1]}"
    file.write_text("\n".join(lines))
    found = CliRunner().invoke(cli, ["check", f"{file}::conv2d_forward"]).output
    assert re.search(rf"3_shared_filters.cu:{write}: race: .*3_shared_filters.cu:{read}\b", found), found


# ---------------------------------------------------------------- the README's picture


def parts_of(svg):
    """What can be seen of a picture: its words, and how many cells there are of each colour."""
    cells = Counter()
    for path, style in re.findall(r'<path d="([^"]*)"[^>]*style="([^"]*)"', svg):
        if colour := re.search(r"fill: (#\w+)", style):
            cells[colour[1]] += path.count("M")
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg), cells


def test_the_readme_s_picture_is_what_the_run_gives(tmp_path):
    """Compared are words and cells, for matplotlib's versions differ in the last decimals of a place."""
    figures.draw_to(made("warp").picture(), [tmp_path / "warp.svg"])
    committed, fresh = (parts_of(text_of(path)) for path in (ROOT / "docs" / "warp.svg", tmp_path / "warp.svg"))
    assert committed == fresh, "python docs/pictures.py draws it again"
    assert committed[1]["#00558c"] == 32 + 2 and committed[1]["#ffcf8a"] == 7 * (32 + 2)
