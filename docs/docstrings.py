"""How the site reads docstrings, which are plain text in the form that Google's guide gives them, as Markdown.

A star is a product and not an emphasis, a line of `Args:` or `Raises:` may have several names, and an example needs no
heading. Griffe calls this: see mkdocs.yml.
"""

import re

import griffe

CODE = re.compile(r"(`[^`]*`)")
NEXT_NAME = re.compile(r"(?<=\.) (?=\w+: )")


class PlainText(griffe.Extension):
    """Rewrites every docstring of a package when it has been loaded."""

    def on_package(self, *, pkg, **_):
        for thing in everything_in(pkg):
            if thing.docstring:
                thing.docstring.value = as_markdown(thing.docstring.value)


def everything_in(thing):
    yield thing
    for member in thing.members.values():
        if not member.is_alias:
            yield from everything_in(member)


def as_markdown(text):
    lines, section, example = [], "", False
    for line in text.splitlines():
        if line.startswith(">>> ") and not example:
            example = True
            lines += ["Examples:"]
        elif example and not line.strip():
            example = False
        if line and line[0] != " ":
            section = line
        if example:
            lines.append(f"    {line}")
        elif line.startswith("    ") and section in ("Args:", "Raises:"):
            lines += [f"    {part.strip()}" if i else part for i, part in enumerate(NEXT_NAME.split(line))]
        else:
            lines.append(without_emphasis(line))
    return "\n".join(lines)


def without_emphasis(line):
    """The line with its stars escaped, outside of code and but for one that begins an item of a list."""
    parts = CODE.split(line)
    return "".join(part if i % 2 else re.sub(r"(?!^\* )\*", r"\*", part) for i, part in enumerate(parts))
