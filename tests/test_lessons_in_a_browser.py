"""The lessons' pages as a reader has them: opened from a folder in Chromium, on a screen and on a phone."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from browser import MISSING, Browser, chromium
from lesson_pages import NAMES, data_of, every_lesson, made, page, words

from tinycnn import emulator, kernels, lessons
from tinycnn.lessons import runs, subjects

SCREENS = {"screen": (1366, 768), "phone": (390, 844)}
ANSWERED = "#shown=1"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if chromium() is None:
        pytest.skip(MISSING)
    started = Browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


def shown(browser, path, screen="screen", fragment=ANSWERED):
    browser.open(path, *SCREENS[screen], fragment)
    assert browser.ready() > 0
    return browser


def drawn(browser):
    """Of each canvas its height, and how many pixels have each colour: {"height": 300, "#00558c": 1200, ...}."""
    return browser.run("""[...document.querySelectorAll("canvas")].map((canvas) => {
        const { width, height } = canvas, { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        const found = { height }, hex = (i) => data[i].toString(16).padStart(2, "0");
        for (let i = 0; i < data.length; i += 4) {
          const colour = data[i + 3] === 255 ? "#" + hex(i) + hex(i + 1) + hex(i + 2) : "nothing";
          found[colour] = (found[colour] ?? 0) + 1;
        }
        return found;
    })""")


def click(browser, selector):
    browser.run(f"document.querySelector({selector!r}).click()")


# ---------------------------------------------------------------- every page


@pytest.mark.parametrize("screen", SCREENS)
@every_lesson
def test_a_page_is_ready_says_nothing_asks_for_nothing_and_fits(browser, name, screen):
    shown(browser, page(name), screen)
    assert browser.said == [] and browser.asked == []
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for canvas in drawn(browser):
        assert "nothing" not in canvas and len(canvas) > 2  # its height, the paper, and what is drawn on it


@every_lesson
def test_every_control_is_reached_and_used_by_the_keyboard(browser, name):
    shown(browser, page(name))
    controls = "[...document.querySelectorAll('button, input, select, a[href], summary, [tabindex]')]"
    controls += ".filter(e => e.offsetParent !== null && e.type !== 'radio' && !e.closest('details:not([open]) > div'))"
    browser.run(f"window.left = new Set({controls}); window.reached = new Set(); document.body.focus()")
    for _ in range(browser.run("left.size") + 2 * len(made(name).questions) + 2):
        browser.press("Tab", 9)
        browser.run(
            "left.delete(document.activeElement);"
            " if (document.activeElement.type === 'radio') reached.add(document.activeElement.name)"
        )
    assert browser.run("[...left].map(e => e.outerHTML.slice(0, 80))") == []
    assert browser.run("reached.size") == len(
        made(name).questions
    )  # of each question's choices one; arrows do the rest


@pytest.mark.parametrize("screen", SCREENS)
@every_lesson
def test_axe_finds_nothing_serious(browser, name, screen):
    found = find_spec("axe_core_python")
    if found is None:
        pytest.skip("axe-core is missing: pip install axe-core-python")
    axe = (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")
    shown(browser, page(name), screen)
    browser.call("Page.setBypassCSP", enabled=True)
    browser.run(f"{axe};1")
    wrong = browser.run(
        "axe.run().then(r => r.violations.filter(v => ['serious', 'critical'].includes(v.impact))"
        ".map(v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 120)).join(' | ')))"
    )
    browser.call("Page.setBypassCSP", enabled=False)
    assert wrong == []


@every_lesson
def test_a_page_shows_nothing_before_a_prediction_and_everything_after(browser, name):
    shown(browser, page(name), fragment="")
    covered = "[...document.querySelectorAll('.after')].every(e => e.hidden)"
    assert browser.run(covered)
    for number, question in enumerate(made(name).questions):
        wrong = (question.answer + 1) % len(question.choices)
        for choice, told in ((wrong, "Not quite"), (question.answer, "Right")):
            form = f"document.querySelectorAll('form')[{number}]"
            browser.run(f"{form}.querySelectorAll('input')[{choice}].click(); {form}.querySelector('button').click()")
            assert browser.run(f"{form}.querySelector('.told').textContent").startswith(told)
    assert not browser.run(covered) and "shown=1" in browser.run("(writeAddress(), location.hash)")


@every_lesson
def test_printed_a_page_has_all_of_its_parts(browser, name):
    shown(browser, page(name), fragment="")
    browser.call("Emulation.setEmulatedMedia", media="print")
    visible = browser.run(
        "[...document.querySelectorAll('.after, .frame')].every(e => getComputedStyle(e).display !== 'none')"
    )
    controls = browser.run(
        "[...document.querySelectorAll('.controls')].every(e => getComputedStyle(e).display === 'none')"
    )
    browser.call("Emulation.setEmulatedMedia", media="")
    assert visible and controls


# ---------------------------------------------------------------- the player


def totals(browser, name):
    """{list: what the facts say was counted at the stage's end}."""
    texts = browser.run(f"[...document.querySelectorAll('[data-view=facts][data-of={name}]')].map(e => e.textContent)")
    return [int(re.search(r"So far ([\d,]+) of ", text)[1].replace(",", "")) for text in texts]


def test_a_slider_that_is_drawn_goes_on_where_addresses_are_refused(browser):
    shown(browser, page("warp"))
    calls = browser.run("""(() => {
        let calls = 0;
        history.replaceState = () => { calls += 1; throw new DOMException("too many", "SecurityError"); };
        const slider = document.querySelector("[data-stage] input[type=range]");
        for (let at = 0; at < 150; at++) {
            slider.value = at % 5;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        }
        writeAddress();
        return calls;
    })()""")
    assert calls == 1 and browser.run("document.querySelector('[data-stage] input[type=range]').value") == "4"
    shown(browser, page("warp"))


@pytest.mark.parametrize("name", ["warp", "reuse", "banks", "product"])
def test_what_the_page_counts_adds_up_to_the_trace(browser, name):
    """The player works costs out from the lanes' bytes; at the end of a list they are what the trace has counted."""
    shown(browser, page(name))
    lesson = made(name)
    stage = lesson.stages[name]
    for number, choice in enumerate(stage):
        if len(stage) > 1:
            browser.run(
                f"(() => {{ const s = document.querySelector('[data-do=which]'); s.selectedIndex = {number};"
                " s.dispatchEvent(new Event('change')); })()"
            )
        click(browser, f"[data-stage={name}] [data-do=last]")
        want = []
        for part in choice["lists"]:
            recording = lesson.runs[part["run"]].recording
            want.append(int((recording.sectors() + recording.passes())[part["requests"]].sum()))
        assert totals(browser, name) == want


def test_the_totals_of_a_page_are_those_of_trace(browser):
    """The same by the command's own counts, for every array of lesson 2."""
    shown(browser, page("warp"))
    found = {}
    for number, choice in enumerate(made("warp").stages["warp"]):
        browser.run(
            f"(() => {{ const s = document.querySelector('[data-do=which]'); s.selectedIndex = {number};"
            " s.dispatchEvent(new Event('change')); })()"
        )
        click(browser, "[data-do=last]")
        found[choice["label"]] = totals(browser, "warp")
    for number, step in enumerate(("1_naive", "2_coalesced")):
        launch = subjects.launch_of(step, "forward", subjects.SQUARE.conv)
        lines = emulator.trace(kernels.path(f"ladder/{step}"), launch, blocks=None).lines
        traced = {f"{runs.OP_WORDS[line.op]} {line.array}": line.sectors for line in lines}
        assert traced == {label: counts[number] for label, counts in found.items()}


def test_a_browser_that_is_too_old_is_told(browser):
    """What the page needs beyond old browsers is DecompressionStream."""
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source="delete window.DecompressionStream")
    browser.open(page("warp"), *SCREENS["screen"], ANSWERED)
    told = browser.run(
        "new Promise(done => { const look = () => { const p = document.querySelector('main > .fault-text');"
        " p ? done(p.textContent) : setTimeout(look, 5); }; look(); })"
    )
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])
    assert "needs a browser of 2023" in told


def test_stepping_counts_one_request_after_the_other(browser):
    shown(browser, page("warp"))
    recording = made("warp").runs[0].recording
    costs = recording.sectors()[made("warp").stages["warp"][0]["lists"][0]["requests"]]
    for step in range(1, 6):
        browser.run("document.querySelector('[data-do=next]').focus()")
        browser.press("Enter", 13)
        assert totals(browser, "warp")[0] == costs[: step + 1].sum()
    assert "warp=5" in browser.run("(writeAddress(), location.hash)")
    click(browser, "[data-do=back]")
    assert totals(browser, "warp")[0] == costs[:5].sum()


def test_an_address_leads_to_the_request_it_was_copied_from(browser):
    shown(browser, page("warp"), fragment="#shown=1&warp.which=2&warp=7")
    assert browser.run("document.querySelector('[data-do=which]').selectedIndex") == 2
    assert browser.run("document.querySelector('[data-view=facts]').textContent").startswith("Request 8 of ")
    assert "loads from w" in browser.run("document.querySelector('[data-view=facts]').textContent")


def test_the_line_that_runs_is_the_request_s(browser):
    shown(browser, page("warp"))
    places = [line for _, line in made("warp").runs[0].recording.places]
    request = made("warp").runs[0].recording.requests[made("warp").stages["warp"][0]["lists"][0]["requests"][0]]
    marked = browser.run("document.querySelector('[data-view=source] .on').id")
    assert marked == f"s0-{places[request['place']]}"


def test_a_thread_s_loads_are_those_of_its_lane(browser):
    shown(browser, page("thread"), fragment="#shown=1&thread.thread=5")
    recording = made("thread").runs[0].recording
    requests = recording.requests[recording.of("x", "load")]
    mine = requests[(requests["warp"] == 0) & (requests["lanes"] >> 5 & 1 == 1)]
    assert browser.run("document.querySelector('[data-stage] output').textContent") == f"1 of {len(mine)}"
    index = [int(i) for i in re.findall(r"\[(\d+)\]", browser.run("document.querySelector('.facts').textContent"))]
    _, H, W, C = next(array.shape for array in recording.arrays if array.name == "x")
    assert ((index[1] * W) + index[2]) * C + index[3] == mine[0]["offsets"][5] // 4


def test_the_heat_s_numbers_are_the_counts(browser):
    shown(browser, page("reuse"), fragment="#shown=1&reuse.row=4&reuse.column=4")
    for number, count in enumerate(made("reuse").values["at_middle"]):
        browser.run(
            f"(() => {{ const s = document.querySelector('[data-do=which]'); s.selectedIndex = {number};"
            " s.dispatchEvent(new Event('change')); })()"
        )
        click(browser, "[data-do=last]")
        assert f"pixel (4, 4): {count} requests" in browser.run("document.querySelector('.words').textContent")


def test_play_goes_on_by_itself_and_stops(browser):
    shown(browser, page("banks"))
    most = len(made("banks").stages["banks"][0]["lists"][0]["requests"]) - 1
    # The page's clock is driven by hand: tick() is what an interval does when its time has come, if there is one.
    browser.run(
        "window.running = new Map(); window.setInterval = act => (running.set(1, act), 1);"
        " window.clearInterval = id => running.delete(id); window.tick = () => running.forEach(act => act())"
    )
    place = (
        "tick(), [document.querySelector('[data-do=at]').value, document.querySelector('output').textContent,"
        " document.querySelector('[data-do=play]').textContent]"
    )

    def stands(at, word):
        return [str(at), f"{at + 1} of {most + 1}", word]

    assert browser.run(place) == stands(0, "Play")
    click(browser, "[data-do=play]")
    assert [browser.run(place) for _ in range(3)] == [stands(at, "Stop") for at in (1, 2, 3)]
    click(browser, "[data-do=play]")
    assert [browser.run(place) for _ in range(2)] == 2 * [stands(3, "Play")]
    click(browser, "[data-do=play]")
    assert [browser.run(place) for _ in range(most)][-1] == stands(most, "Play")  # it stops at the end by itself
    click(browser, "[data-do=play]")
    assert browser.run(place) == stands(1, "Stop")  # and begins anew


def test_the_receptive_field_follows_a_click(browser):
    shown(browser, page("learned"))
    field = data_of(page("learned"))["layers"][-1]
    browser.run(
        "for (const name of ['row', 'column']) {"
        " const s = document.querySelector(`[data-field] [data-do=${name}]`);"
        " s.value = 2; s.dispatchEvent(new Event('input')); }"
    )
    text = browser.run("document.querySelector('[data-field] .words').textContent")
    start = [begin + 2 * jump for begin, jump in zip(field["start"], field["jump"], strict=True)]
    assert f"sees {field['size'][0]} x {field['size'][1]} pixels, from row {start[0]} and column {start[1]} on" in text


def test_larger_is_for_the_projector_and_is_remembered(browser):
    shown(browser, page("tiles"))
    size = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
    before = browser.run(size)
    click(browser, "[data-do=larger]")
    assert browser.run(size) > before and "projector=1" in browser.run("(writeAddress(), location.hash)")
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_drawings_grow_with_the_text(browser):
    shown(browser, page("banks"))
    height = "parseFloat(document.querySelector('canvas').style.height)"
    before = browser.run(height)
    click(browser, "[data-do=larger]")
    assert browser.run(height) == pytest.approx(before * 21 / 16)


def test_the_controls_stay_in_sight(browser):
    shown(browser, page("banks"))
    browser.run("document.querySelector('.controls').scrollIntoView(), scrollBy(0, 300)")
    assert browser.run("document.querySelector('.controls').getBoundingClientRect().top") >= 0


LARGE = """\
// launch: kernel=twice grid=64 block=64 x=float[1000000] y=float[1000000] n=int:1000000
__global__ void twice(const float* x, float* y, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) y[i] = 2 * x[i];
}
"""
EMPTY, TOUCHED, LANE = "#e9e9e9", "#ffcf8a", "#00558c"


def test_of_a_million_numbers_those_rows_are_drawn_that_are_touched(browser, tmp_path):
    file = tmp_path / "large.cu"
    file.write_text(LARGE)
    (path,) = lessons.write_file(file, emulator.read_launches(file), tmp_path)
    for request in (0, 40):  # of the loads of x, which one warp after the other makes
        shown(browser, path, fragment=f"#own={request}")
        x, y = drawn(browser)
        assert max(x["height"], y["height"]) < 1000
        assert x[LANE] > 32 * 100 and x[EMPTY] > x[LANE] and y[EMPTY] > 32 * 100 and LANE not in y
        words = browser.run("document.querySelector('canvas').ariaLabel")
        assert words.startswith(f"x: 32 lanes at the elements {64 * 64 * request}, ")
        notes = browser.run("[...document.querySelectorAll('.left-out')].map(e => !e.hidden && e.textContent)")
        assert [note.split(".")[0] for note in notes] == [f"{name} has 31,250 rows of 32 numbers" for name in "xy"]
    click(browser, "[data-do=larger]")
    assert drawn(browser)[0][LANE] > x[LANE]


SCATTERED = """\
// launch: kernel=column grid=1 block=32 x=float[1000,1000] y=float[40]
__global__ void column(const float* x, float* y) { y[threadIdx.x] = x[1000 * threadIdx.x]; }
"""


def test_a_single_request_s_rows_are_all_drawn_and_a_small_array_is(browser, tmp_path):
    file = tmp_path / "column.cu"
    file.write_text(SCATTERED)
    (path,) = lessons.write_file(file, emulator.read_launches(file), tmp_path)
    shown(browser, path, fragment="")
    x, y = drawn(browser)
    assert x["height"] < 1500 and x[TOUCHED] > 6 * x[LANE]
    assert browser.run("[...document.querySelectorAll('.left-out')].map(e => e.hidden)") == [False, True]
    last_row = "document.querySelectorAll('canvas')[1].getContext('2d').getImageData({}, 30, 1, 1).data[0]"
    assert browser.run(f"[{last_row.format(4)}, {last_row.format(500)}]") == [0xE9, 0xFF]  # of 8 numbers


def test_a_faulty_kernel_s_page_works_too(browser, tmp_path):
    from test_lessons import RACE

    file = tmp_path / "turn.cu"
    file.write_text(RACE.replace("BARRIER", ""))
    (path,) = lessons.write_file(file, emulator.read_launches(file), tmp_path)
    for screen in SCREENS:
        shown(browser, path, screen, "")
        assert browser.said == [] and browser.asked == []
        assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert "race: turn" in words(path) and len(NAMES) == 11
