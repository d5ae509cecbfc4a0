"""The lab as a student has it: a whole session in Chromium, with the files on disk beside it."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from browser import MISSING, Browser, chromium
from lab_server import ask, origin_of, started_lab
from lesson_pages import need_the_emulator

from tinycnn import exercises

SCREENS = {"screen": (1366, 768), "phone": (390, 844)}
ENDLESS = """// launch: kernel=hang grid=1 block=1 x=float[1]
static int hang_here() { for (volatile int i = 0;;) i = 1; }
int never = hang_here();
__global__ void hang(float* x) { x[0] = 0; }
"""
CTRL = 2  # as the browser's protocol counts modifiers


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if chromium() is None:
        pytest.skip(MISSING)
    need_the_emulator()
    started = Browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


class Lab:
    """The page of a lab, and its folder."""

    def __init__(self, browser, process, address, folder):
        self.browser, self.process, self.address, self.folder = browser, process, address, folder

    def show(self, screen="screen"):
        self.browser.go(self.address, *SCREENS[screen])
        self.until("line.then(() => true)")

    def until(self, script):
        """The value of an expression, as soon as it is no false one."""
        return self.browser.run(
            f"new Promise(done => {{ const look = async () => {{ const found = await ({script});"
            " found ? done(found) : setTimeout(look, 20); }; look(); })"
        )

    def click(self, selector):
        self.until(f"(one => one && one.ariaDisabled !== 'true')(document.querySelector({selector!r}))")
        self.browser.run(f"document.querySelector({selector!r}).click()")

    def text(self, name):
        return self.browser.run(f"document.getElementById({name!r}).textContent")

    def open(self, file, begin=""):
        self.click(f"[name=exercise][value={begin}]" if begin else f"[name=file][value='{file}']")
        self.until(f"file === {file!r} && line.then(() => !editor.getOption('readOnly'))")

    def write(self, text, whole=True):
        """Write into the editor: over all that is there, or where the cursor stands."""
        self.browser.run("editor.focus()" + "; editor.execCommand('selectAll')" * whole)
        self.browser.call("Input.insertText", text=text)

    def saved(self):
        self.until("!unsaved && line.then(() => true)")

    def run(self, what):
        """What stands on the page when the command has ended: its verdict."""
        self.click(f"[name=run][value={what}]")
        self.until("running === null && $('stop').ariaDisabled === 'true' && !$('verdict').textContent.endsWith('...')")
        return self.text("verdict")


@pytest.fixture
def lab(browser, tmp_path):
    with started_lab(tmp_path / "mine", tmp_path) as (process, address):
        page = Lab(browser, process, address, tmp_path / "mine")
        page.show()
        yield page
        browser.run("unsaved = false")  # or leaving the page would ask
        assert page.process.returncode is not None or browser.said == []
        assert browser.asked == []  # of anybody but the lab


def test_a_whole_session(lab, browser):
    barrier = exercises.load("barrier")
    lab.open("barrier.cu", begin="barrier")
    file = lab.folder / "barrier.cu"
    assert file.read_text() == barrier.text("start") == browser.run("editor.getValue()")
    shown = browser.run("[...document.querySelectorAll('.task')].filter(e => !e.hidden).map(e => e.textContent)")
    assert shown == [barrier.text("task.md").replace("start.cu", "barrier.cu")]

    assert lab.run("check") == "✗ tinycnn check barrier.cu"
    assert "race: prefix_sums" in lab.text("said")
    lines = {int(line) for line in re.findall(r"barrier\.cu:(\d+)", lab.text("said"))}
    marked = browser.run("named.map(handle => editor.getLineNumber(handle) + 1)")
    assert set(marked) == lines and len(lines) == 2
    browser.run("document.querySelector('#said button').click()")
    assert browser.run("editor.getCursor().line + 1") == marked[0] and browser.run("editor.hasFocus()")
    assert lab.run("judge").startswith("✗ tinycnn judge") and "1 of 12 points" in lab.text("said")

    lab.write(barrier.text("solution"))
    lab.saved()
    assert file.read_text() == barrier.text("solution")
    assert lab.run("judge").startswith("✓") and "12 of 12 points" in lab.text("said")
    assert lab.run("check").startswith("✓") and browser.run("named.length") == 0
    assert lab.run("trace").startswith("✓") and "lanes" in lab.text("said")

    assert lab.run("play") == "▶ tinycnn lesson barrier.cu"
    page = browser.run("document.getElementById('played').src")
    assert browser.run("document.getElementById('played').contentDocument") is None  # it has no way in, nor out
    browser.run("unsaved = false")
    browser.go(page)
    assert browser.ready() > 0 and browser.said == []
    assert browser.run("origin") == "null" and "What barrier.cu does" in browser.run("document.body.textContent")
    browser.run("document.querySelector('[data-do=next]').click()")
    assert "own=1" in browser.run("(writeAddress(), location.hash)") and browser.said == []


def test_a_lesson_is_watched_beside_the_file(lab, browser):
    lab.click("[name=lesson][value=gradient]")
    lab.until("running === null && $('played').src")
    assert lab.text("verdict") == "▶ tinycnn lesson gradient" and "lessons/gradient.html" in browser.run(
        "$('played').src"
    )


def test_back_changes_the_whole_page_and_nothing_beside_its_heading(lab, browser):
    """What was played leaves nothing in the browser's history, or Back would change the frame and not its heading."""
    before = browser.run("history.length")
    for name in ("gradient", "tiles"):
        lab.click(f"[name=lesson][value={name}]")
        lab.until(
            f"running === null && performance.getEntriesByType('resource').some(e => e.name.includes('{name}.html'))"
        )
        assert lab.text("verdict") == f"▶ tinycnn lesson {name}"
    assert browser.run("history.length") == before
    browser.events.clear()
    browser.run("history.back()")
    while "Page.loadEventFired" not in browser.events:
        browser.receive()
    assert browser.run("location.href") == "about:blank"  # the page before the lab


def test_what_is_written_is_saved_before_it_is_checked(lab, browser):
    lab.open("guard.cu", begin="guard")
    lab.write("// not a kernel\n")
    browser.run("clearTimeout(timer)")  # it would be saved soon anyway
    assert lab.run("check").startswith("!") and (lab.folder / "guard.cu").read_text() == "// not a kernel\n"


def test_a_file_of_one_s_own_is_made_and_keeps_its_line_ends(lab, browser):
    browser.run("$('new').elements.name.value = 'own.cu'; $('new').requestSubmit()")
    lab.until("file === 'own.cu' && line.then(() => true)")
    assert (lab.folder / "own.cu").read_bytes() == b""
    assert browser.run("[...document.querySelectorAll('[name=run]')].map(e => e.ariaDisabled === 'true')") == [
        False,
        True,
        False,
        False,
    ]
    (lab.folder / "other.cu").write_bytes(b"// one\r\n// two\r\n")
    lab.show()
    lab.open("other.cu")
    lab.write("// zero\n", whole=False)
    lab.saved()
    assert (lab.folder / "other.cu").read_bytes() == b"// zero\r\n// one\r\n// two\r\n"
    browser.run("$('new').elements.name.value = '../own.cu'; $('new').requestSubmit()")
    lab.until("$('state').textContent.includes('without a folder')")
    assert sorted(path.name for path in lab.folder.iterdir()) == ["other.cu", "own.cu"] and file_count(lab) == 2
    browser.said.clear()  # the refusal is told on the console too


def file_count(lab):
    return lab.browser.run("document.querySelectorAll('[name=file]').length")


@pytest.mark.parametrize("whose", ["mine", "theirs"])
def test_a_second_tab_overwrites_nothing_without_being_told_to(lab, browser, whose):
    lab.open("guard.cu", begin="guard")
    version = browser.run("version")
    headers = {"Origin": origin_of(lab.address), "If-Match": version}
    assert ask("PUT", lab.address + "files/guard.cu", headers, b"// of the other tab\n") == 204
    lab.write("// of this tab\n")
    lab.until("!$('changed').hidden")
    assert (lab.folder / "guard.cu").read_text() == "// of the other tab\n"
    lab.open_is_refused = browser.run("queue(() => open('guard.cu')).then(() => editor.getValue())")
    assert lab.open_is_refused == "// of this tab\n"  # nothing is lost by looking at another file
    lab.click(f"[name=keep][value={whose}]")
    lab.until("$('changed').hidden && line.then(() => true)")
    want = "// of this tab\n" if whose == "mine" else "// of the other tab\n"
    assert (lab.folder / "guard.cu").read_text() == want == browser.run("editor.getValue()")
    browser.said.clear()  # 412 is told on the console too


def test_of_a_file_that_was_deleted_the_text_on_the_page_can_be_kept(lab, browser):
    (lab.folder / "mine.cu").write_text("// before\n")
    lab.show()
    lab.open("mine.cu")
    (lab.folder / "mine.cu").unlink()
    lab.write("// written here\n")
    lab.until("!$('changed').hidden")
    lab.click("[name=keep][value=theirs]")
    lab.until("line.then(() => true)")
    assert lab.text("state") and not browser.run("$('changed').hidden")
    lab.click("[name=keep][value=mine]")
    lab.saved()
    assert (lab.folder / "mine.cu").read_text() == "// written here\n"
    browser.said.clear()  # the refusals are told on the console too


def test_a_new_file_s_name_with_a_folder_is_refused_with_the_reason(lab, browser):
    lab.show()
    browser.run("queue(() => make('sub/mine.cu'))")
    assert "named without a folder" in lab.text("state")


def test_reloaded_the_page_opens_the_same_file_again(lab, browser):
    (lab.folder / "mine.cu").write_text("// mine\n")
    lab.show()
    lab.open("mine.cu")
    browser.events.clear()
    browser.call("Page.reload")
    while "Page.loadEventFired" not in browser.events:
        browser.receive()
    lab.until("file === 'mine.cu' && line.then(() => !editor.getOption('readOnly'))")
    assert browser.run("editor.getValue()") == "// mine\n"


def test_a_button_keeps_the_keyboard_s_place_while_it_works(lab, browser):
    lab.show()
    lab.open("guard.cu", "guard")
    browser.run("document.querySelector('[name=run][value=check]').focus()")
    for _ in range(2):
        browser.run("$('verdict').textContent = ''")
        lab.until("document.activeElement.ariaDisabled === 'false'")
        browser.run("document.activeElement.click()")
        lab.until("running === null && $('verdict').textContent && !$('verdict').textContent.endsWith('...')")
        assert browser.run("document.activeElement.value") == "check"


def test_when_the_lab_was_killed_the_page_says_so_and_keeps_the_text(lab, browser):
    lab.open("guard.cu", begin="guard")
    before = (lab.folder / "guard.cu").read_text()
    lab.process.kill()
    lab.process.wait()
    lab.write("// after the end\n")
    lab.until("$('state').textContent.includes('still running')")
    assert browser.run("editor.getValue()") == "// after the end\n" and browser.run("unsaved")
    assert (lab.folder / "guard.cu").read_text() == before


def test_a_command_that_does_not_end_is_stopped(lab, browser):
    lab.folder.joinpath("hang.cu").write_text(ENDLESS)
    lab.show()
    lab.open("hang.cu")
    lab.click("[name=run][value=check]")
    lab.click("#stop")
    lab.until("running === null && document.querySelector('[name=run][value=check]').ariaDisabled === 'false'")
    assert lab.text("verdict") == "stopped"
    lab.write("// launch: kernel=set grid=1 block=1 x=float[1]\n__global__ void set(float* x) { x[0] = 0; }\n")
    assert lab.run("check").startswith("✓")  # the next one had not to wait for it


def test_what_a_kernel_says_is_text_and_no_page(lab, browser):
    lab.open("guard.cu", begin="guard")
    lab.write("#error <b id=bold>bold</b><img src=x onerror=alert(1)>\n", whole=False)
    assert lab.run("check").startswith("!") and "<b id=bold>" in lab.text("said")
    assert browser.run("document.getElementById('bold')") is None


def test_everything_is_reached_and_done_by_the_keyboard(lab, browser):
    lab.open("guard.cu", begin="guard")
    controls = "[...document.querySelectorAll('button:enabled, input, pre[tabindex], .CodeMirror textarea')]"
    browser.run(
        f"window.left = new Set({controls}.filter(e => e.offsetParent !== null)); document.activeElement.blur()"
    )
    for _ in range(browser.run("left.size") + 4):
        browser.press("Tab", 9)
        browser.run("left.delete(document.activeElement)")
        if browser.run("editor.hasFocus()"):
            browser.press("Escape", 27)  # Tab indents there, as the line below it says
            assert not browser.run("editor.hasFocus()")
    assert browser.run("[...left].map(e => e.outerHTML.slice(0, 80))") == []
    assert (lab.folder / "guard.cu").read_text() == exercises.load("guard").text("start")
    browser.run("editor.focus()")
    for kind in ("rawKeyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Enter", windowsVirtualKeyCode=13, modifiers=CTRL)
    lab.until("running === null && $('verdict').textContent.includes('tinycnn check guard.cu')")
    assert browser.run("editor.getValue()") == exercises.load("guard").text("start")


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_fits_and_axe_finds_nothing_serious(lab, browser, screen):
    found = find_spec("axe_core_python")
    if found is None:
        pytest.skip("axe-core is missing: pip install axe-core-python")
    axe = (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")
    lab.show(screen)
    lab.open("barrier.cu", begin="barrier")
    lab.run("check")
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    browser.call("Page.setBypassCSP", enabled=True)
    browser.run(f"{axe};1")
    wrong = browser.run(
        "axe.run().then(r => r.violations.filter(v => ['serious', 'critical'].includes(v.impact))"
        ".map(v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 120)).join(' | ')))"
    )
    browser.call("Page.setBypassCSP", enabled=False)
    assert wrong == []
