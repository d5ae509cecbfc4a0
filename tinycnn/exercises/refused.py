"""Why the text of a submission is not even built. What it includes the compiler would quote, and then the judge."""

from __future__ import annotations

import re

from tinycnn.exercises.exercise import Exercise

MOST_BYTES = 2**20  # of a submission

# What the compiler takes as one piece, so that the /* of a text is none, nor the " of a comment, nor the ' of 1'000.
PIECE = re.compile(
    r"""
      (?P<comment> /\*.*?(?:\*/|\Z) | //[^\n]* )
    | (?P<text> \b(?:u8|[uUL])?R"(?P<end>[^()\\\s]{0,16})\(.*?(?:\)(?P=end)"|\Z)
              | "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'? )
    | \.?\d(?:'?\w|\.)* | \w+
    """,
    re.VERBOSE | re.DOTALL,
)


def refused(exercise: Exercise, text: str) -> str:
    """Why a text is not even built, or ''."""
    if len(text.encode()) > MOST_BYTES:
        return f"the file has more than {MOST_BYTES // 2**20} MiB"
    if exercise.kind != "cuda":
        return ""
    if "\0" in text or "\r" in text.replace("\r\n", "\n"):
        return "the file has a null character or a lone carriage return, which compilers read in different ways"
    lines = re.sub(r"\\[^\S\n]*\n", "", text.replace("\r\n", "\n").removeprefix("\ufeff"))  # as the compiler joins them
    code = PIECE.sub(lambda piece: " " if piece["comment"] else piece[0], lines)
    bare = PIECE.sub(lambda piece: " " if piece["comment"] else "0" if piece["text"] else piece[0], lines)
    if re.search(r"^\s*(?:#|%:|\?\?=)\s*(?:include|include_next|import|embed)\b", bare, re.MULTILINE):
        return "the file includes another; an exercise needs nothing but itself"
    if re.search(r"##|%:%:", bare):
        return "the file pastes names together with ##; an exercise needs no such macro"
    if re.search(r"\b(?:asm|__asm|__asm__)\b", code):
        return "the file has inline assembly, which nothing here can run"
    if re.search(r"sanitize|cudasim|__tsan", code, re.IGNORECASE):
        return "the file names what belongs to the emulator, and not to CUDA"
    return ""
