"""From a lesson and a subject to files: one HTML file that needs nothing else, and pictures for paper."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

import tinycnn
from tinycnn.emulator import Launch
from tinycnn.fit.files import write_atomically
from tinycnn.lessons.catalogue import LESSONS, find, of_file
from tinycnn.lessons.figures import draw_to
from tinycnn.lessons.lesson import Lesson, Made, Question
from tinycnn.lessons.subjects import Subject

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent / "page"
OURS = b'<meta name="generator" content="tinycnn lesson">'
PICTURES = (".svg", ".png")


def write(name: str, folder: str | Path, subject: Subject | None = None, picture: bool = False) -> list[Path]:
    """Make one lesson's page, `folder`/NAME.html: the files that were written.

    name: a lesson's name or number. picture: its picture too, as SVG and as PNG.
    Raises ValueError for a name that is none, OSError for what cannot be written or is there and not ours, and what the
    emulator raises where a kernel cannot be built or run.
    """
    lesson = find(name)
    return write_page(lesson, lesson.name, Path(folder), subject or Subject(), picture)


def write_file(
    path: Path, launches: Sequence[Launch], folder: str | Path, target: str | None = None, picture: bool = False
) -> list[Path]:
    """The same for a kernel file: its faults, and what its first launch asks of memory. Raises what `write` raises.

    target: what the command is to be given for it, if not its path.
    """
    return write_page(of_file(path, launches), target or str(path), Path(folder), Subject(), picture)


def write_page(lesson: Lesson, name: str, folder: Path, subject: Subject, picture: bool) -> list[Path]:
    """A page by itself: the files that were written."""
    made = lesson.make(subject)
    written = [save(folder / f"{lesson.name}.html", render(lesson, made, command_of(name, subject)))]
    return written + (pictures(lesson, made, folder) if picture else [])


def write_all(
    folder: str | Path, subject: Subject | None = None, teacher: bool = False, picture: bool = False
) -> Iterator[Path]:
    """Make every lesson's page and an index of them; teacher: also teacher.html. Yields the files, as they are written.

    Raises what `write` raises.
    """
    subject = subject or Subject()
    command = command_of("all", subject)
    questions: dict[str, list[Question]] = {}
    for before, lesson, behind in zip((None, *LESSONS[:-1]), LESSONS, (*LESSONS[1:], None), strict=True):
        made = lesson.make(subject)
        questions[lesson.name] = made.questions
        yield save(Path(folder) / f"{lesson.name}.html", render(lesson, made, command, before, behind))
        if picture:
            yield from pictures(lesson, made, Path(folder))
    for name in ("index", "teacher") if teacher else ("index",):
        yield save(Path(folder) / f"{name}.html", render_index(name, questions, command + " --teacher" * teacher))


def command_of(name: str, subject: Subject) -> str:
    """What to type for the same page."""
    words = ["tinycnn", "lesson", name]
    if subject.network is not None:
        words += ["--network", subject.network]
    if subject.times is not None:
        words += ["--times", str(subject.times)]
    return shlex.join(words)


def save(path: Path, text: str) -> Path:
    """Write a page. Raises OSError where a file of that name is there that is no page of ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and OURS not in path.read_bytes()[:4096]:
        raise OSError(f"{path} is there already, and is no page that tinycnn has made")
    write_atomically(path, text.encode())
    return path


def pictures(lesson: Lesson, made: Made, folder: Path) -> list[Path]:
    """The lesson's picture, as SVG and as PNG."""
    return draw_to(made.picture(), [folder / f"{lesson.name}{suffix}" for suffix in PICTURES])


# ---------------------------------------------------------------- from templates to text


@cache
def environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def style() -> Markup:
    """The pages' own, and the colours of source code."""
    from pygments.formatters import HtmlFormatter

    colours = HtmlFormatter(style="default").get_style_defs(".code")
    own = (HERE / "page.css").read_text(encoding="utf-8")
    return Markup("\n".join([own, *(line for line in colours.splitlines() if line.startswith(".code ."))]))


@cache
def script() -> tuple[Markup, str]:
    """(player.js, its hash as a Content-Security-Policy names it)"""
    text = (HERE / "player.js").read_text(encoding="utf-8")
    return Markup(text), "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def render(lesson: Lesson, made: Made, command: str, before: Lesson | None = None, behind: Lesson | None = None) -> str:
    """A page's text. before, behind: lessons that are in the same folder, where an index is too."""
    player, script_hash = script()
    return environment().get_template(f"{lesson.name if lesson.number else 'own'}.html").render(
        lesson=lesson, made=made, command=command, before=before, behind=behind,
        version=tinycnn.__version__, style=style(), script=player, script_hash=script_hash,
        data=Markup(as_data(made)), **made.values,
    )  # fmt: skip


def as_data(made: Made) -> str:
    """What player.js reads, as JSON that cannot end the script element it stands in."""
    content: dict[str, Any] = {"runs": [run.as_json() for run in made.runs], "stages": made.stages, **made.data}
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def render_index(name: str, questions: dict[str, list[Question]], command: str) -> str:
    """The page that lists all lessons; `teacher`: the one with minutes and answers."""
    return environment().get_template(f"{name}.html").render(
        lessons=LESSONS, questions=questions, command=command, version=tinycnn.__version__, style=style()
    )  # fmt: skip
