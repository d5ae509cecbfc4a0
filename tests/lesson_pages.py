"""Lessons' pages for tests: each is made once in a process, and taken apart."""

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tinycnn import emulator, lessons
from tinycnn.emulator.build import find_compiler

NAMES = [lesson.name for lesson in lessons.LESSONS]
every_lesson = pytest.mark.parametrize("name", NAMES)


def need_the_emulator():
    """Skip where the kernels cannot be run."""
    try:
        find_compiler()
    except emulator.CompilerMissing as error:
        pytest.skip(str(error))


@cache
def made(name):
    """What the lesson of that name has made of nothing in particular."""
    return lessons.find(name).make(lessons.Subject())


@cache
def page(name):
    """The path of the lesson's page, from `lessons.write`."""
    need_the_emulator()
    (path,) = lessons.write(name, mkdtemp(prefix="tinycnn-pages-"))
    return path


def text_of(path):
    return Path(path).read_text(encoding="utf-8")


def data_of(path):
    """What the page's player reads."""
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text_of(path), re.DOTALL)[1]
    )


class Words(HTMLParser):
    """The visible words of a page, in order, as (the tags around it, text)."""

    def __init__(self, text):
        super().__init__()
        self.around, self.found = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br", "input", "link"):
            self.around.append(tag)

    def handle_endtag(self, tag):
        while self.around and self.around.pop() != tag:
            pass

    def handle_data(self, data):
        if data.strip() and not {"script", "style", "title"} & set(self.around):
            self.found.append((tuple(self.around), " ".join(data.split())))


def words(path):
    return " ".join(text for _, text in Words(text_of(path)).found)
