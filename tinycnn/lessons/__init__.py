"""Pages that show what a kernel does, made from runs of it.

    from tinycnn import lessons
    lessons.write("warp", "pages")               # pages/warp.html, from the ladder's first two steps
    lessons.write_all("pages", teacher=True)     # all of them, an index, and one for the teacher

A page is one file that needs nothing else, opened from a folder or put on a server. What it shows was computed when it
was made: requests recorded by the emulator, gradients, a training. Nothing in it is drawn from memory.

    lesson.py       what a lesson is
    subjects.py     what a page is made from: the layers of a network, and launches of the ladder on them
    runs.py         a recorded launch as the page holds it
    grids.py        where the numbers of its arrays stand, and which of them are drawn
    pages.py        from a lesson and a subject to files
    figures.py      pictures: the charts of the pages, and those for paper
    requests.py     lessons 1 to 4, which play recorded requests;  races.py  5, and a kernel file of one's own
    gradients.py products.py roofs.py learning.py tiles.py steps.py    lessons 6 to 11
    page/           the words of each lesson, the style, and player.js, which plays a page
"""

from tinycnn.lessons.catalogue import LESSONS, find
from tinycnn.lessons.pages import write, write_all, write_file
from tinycnn.lessons.subjects import Subject

__all__ = ["LESSONS", "Subject", "find", "write", "write_all", "write_file"]
