"""What the README and the pages of docs/ show is there: links, paths, commands, and examples that run."""

import importlib
import importlib.util
import re
import shlex
import sys
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner

import tinycnn
from tinycnn import moved
from tinycnn.command.main import cli
from tinycnn.emulator import CompilerMissing
from tinycnn.emulator.build import find_compiler

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "kernels" / "ladder" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def text_of(page):
    return page.read_text(encoding="utf-8")


def blocks(page, language):
    """The code blocks of a page that are marked with this language ('' for commands)."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)
    return [block for marked, block in found if marked == language]


def commands(page, program):
    """Lines of a page that start with this program, without what stands behind them as an explanation."""
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    lines += re.findall(rf"`({program} [^`\n]+)`", text_of(page))
    lines = [re.sub(r"^(\w+=\S+ |\.venv/bin/)+", "", line) for line in lines]
    return [re.split(r"\s{2,}|\s+# ", line)[0] for line in lines if line.startswith(f"{program} ")]


def anchors(page):
    """The headings of a page as the site and others link to them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.M), re.M)
    plain = [unicodedata.normalize("NFKD", heading).lower() for heading in headings]
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading)).strip("-") for heading in plain}


@pages
def test_links_lead_somewhere(page):
    whole = re.sub(r'^--8<-- "(.+)"$', lambda line: text_of(ROOT / line[1]), text_of(page), flags=re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", whole)):
        assert "://" not in target, f"{target}: the documents need no network"
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pages
def test_paths_that_are_named_exist(page):
    text = text_of(page)
    if page.name == "upgrade.md":
        text = re.sub(r"^\| `[^`]*` \|", "|", text, flags=re.MULTILINE)  # the old names
    for path in re.findall(r"(?<![\w./-])(?:tinycnn|kernels|benchmarks|tests|docs)/[\w./*-]*", text):
        assert list(ROOT.glob(path.rstrip("./"))), path


@pages
def test_commands_and_their_options_exist(page):
    for command in commands(page, "tinycnn"):
        _, name, *words = shlex.split(command)
        if name.startswith("-"):
            continue
        assert name in cli.commands, command
        options = {option for parameter in cli.commands[name].params for option in parameter.opts}
        own = words[: words.index("--")] if "--" in words else words  # what follows is a program's
        given = {word for word in own if word.startswith("--") and word != "--help"}
        assert given <= options, command
    for command in commands(page, "python"):
        words = shlex.split(command)
        if words[1] == "-m":
            assert importlib.util.find_spec(words[2]), command
        elif words[1].endswith(".py"):
            assert (ROOT / words[1]).exists(), command


def test_what_is_made_by_make_can_be_made():
    targets = re.findall(r"^([\w ./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    targets = {target for line in targets for target in line.split()}
    named = {shlex.split(command)[1] for page in PAGES for command in commands(page, "make")}
    assert {"train", "test", "docs"} <= named
    assert named <= targets


@pytest.mark.parametrize("name", ["quick-start", "gradients", "devices", "upgrade"])
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    with tinycnn.use_device("cpu"):  # and back, whatever an example chooses
        for example in blocks(ROOT / "docs" / f"{name}.md", "python"):
            exec(example, names)


def test_the_kernel_of_the_emulator_s_page_passes_the_check_and_fails_it_when_broken(tmp_path):
    try:
        find_compiler()
    except CompilerMissing as error:
        pytest.skip(str(error))
    (kernel,) = blocks(ROOT / "docs" / "emulator.md", "c")
    for text, status in ((kernel, 0), (kernel.replace("if (i < n) ", ""), 1)):
        (tmp_path / "mine.cu").write_text(text, encoding="utf-8")
        result = CliRunner().invoke(cli, ["check", str(tmp_path / "mine.cu")])
        assert result.exit_code == status and ("out-of-bounds" in result.output) == bool(status)


def moved_modules():
    """([(old, new), ...] whose old names still work, the same of those whose do not) by the page about upgrading."""
    tables = re.split(r"^\|---\|---\|$", text_of(ROOT / "docs" / "upgrade.md"), flags=re.MULTILINE)[1:3]
    return [re.findall(r"^\| `(tinycnn[\w.]+)` \| (.+) \|$", table, re.MULTILINE) for table in tables]


def test_old_names_that_still_work_do_with_a_warning(monkeypatch):
    rows, others = moved_modules()
    for old, new in rows:
        monkeypatch.delitem(sys.modules, old, raising=False)
        with pytest.warns(DeprecationWarning, match=f"{old} has moved"):
            module = importlib.import_module(old)
        assert module is importlib.import_module(new.split("`")[1])
    assert {f"tinycnn.{old}" for old in moved.MODULES} <= {old for old, _ in rows + others}


def test_modules_that_moved_are_where_the_page_says():
    rows, others = moved_modules()
    assert len(rows) > 30 and len(others) > 5
    for _, new in rows + others:
        package, *names = re.findall(r"`([\w.]+)`", new)
        for module in [package, *(name if "." in name else f"{package}.{name}" for name in names)]:
            assert importlib.util.find_spec(module), new
