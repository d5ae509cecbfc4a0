"""Finds what only CUDA has in a source file: kernels, and launches `kernel<<<grid, block>>>(...)`.

The rest of CUDA C++ is words, which a header can supply (cudasim.h); the launch is syntax, which none can. So it is
rewritten:

    scale<float><<<grid, block>>>(x, n);
    ::cudasim::Launcher("scale<float>", grid, block)(scale<float>, x, n);

And a kernel tells where it begins, with its __launch_bounds__ (limits.cpp), and where it returns before its end
(hooks.cpp):

    __global__ void __launch_bounds__(B, 2) k(float* x) {
        if (threadIdx.x > 9) return;
    __global__ void __launch_bounds__(B, 2) k(float* x) { CUDASIM_BEGINS(B, 2)
        if (threadIdx.x > 9) for (::cudasim::returns();;) return;

A parser of CUDA's grammar (tree-sitter's) finds it, in macros too. Lines stay where they are, so that what a compiler
or a report says of one is true of the file as it was written.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import tree_sitter
import tree_sitter_cuda

LAUNCH = b"<<<"
IN_A_KERNEL = "launch_in_a_kernel"  # stands for a launch there, and nothing defines it: the compiler tells where it is
RETURNS = b"for (::cudasim::returns();;) "  # one statement with the return behind it, wherever that may stand
# By its text, as macros without a semicolon confuse the parser. What is in a comment or a string is none.
_RETURN = re.compile(rb'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\breturn\s*;\s*}\Z|(\breturn\b)', re.DOTALL)
# Some editors write << <grid, block>> >, which NVIDIA's compiler takes too.
_SPACED = re.compile(rb"<<([ \t]+)<(.*?)>>([ \t]+)>(?=\s*\()", re.DOTALL)
_IN_A_MACRO = b"void f(){", b";}"  # what a macro's body is parsed in


class Definitions(NamedTuple):
    """What a source file defines, by name."""

    kernels: frozenset[str]
    deduced: frozenset[str]  # kernels whose type does not tell their arguments: templates, overloads, default arguments
    functions: frozenset[str]  # all others


@functools.cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_cuda.language()))


def parse(source: bytes) -> tree_sitter.Node:
    """The tree of a source file. What it cannot make sense of it skips: the compiler has the last word."""
    return _parser().parse(source).root_node


def walk(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """A node and all below it, in the order of the source."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def text_of(node: tree_sitter.Node | None) -> str:
    """Its source, in one line."""
    return " ".join((node.text or b"").decode(errors="replace").replace("\\\n", " ").split()) if node else ""


@functools.lru_cache(maxsize=256)
def definitions(source: bytes) -> Definitions:
    """The functions that a source file defines or declares."""
    kernels: list[str] = []
    called: set[str] = set()  # by what the compiler chooses for their arguments
    others: set[str] = set()
    for node in walk(parse(source)):
        if node.type != "function_declarator":
            continue
        name = base_name(node.child_by_field_name("declarator"))
        owner = node.parent
        while owner and owner.type not in ("function_definition", "declaration", "template_declaration"):
            owner = owner.parent
        if not owner:
            continue
        if any(child.type == "__global__" for child in owner.children):
            if owner.type == "function_definition":
                kernels.append(name)
            if owner.parent and owner.parent.type == "template_declaration":
                called.add(name)
            parameters = node.child_by_field_name("parameters")
            if parameters and any(child.type == "optional_parameter_declaration" for child in parameters.children):
                called.add(name)
        elif owner.type == "function_definition":
            others.add(name)
    overloaded = {name for name in kernels if kernels.count(name) > 1 or name in others}
    return Definitions(frozenset(kernels), frozenset(called | overloaded), frozenset(others))


_ON_THE_GPU = re.compile(rb"\b__(?:device|constant|managed)__\b")
_COMMENT = re.compile(rb"//[^\n]*|/\*.*?\*/", re.DOTALL)
_MACRO = re.compile(rb"^[ \t]*#[ \t]*define(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)


@functools.lru_cache(maxsize=256)
def device_variables(source: bytes) -> dict[str, bool] | None:
    """{a name that may be a variable of the GPU's: whether the host may reach it, too}. More names than there are
    variables; None where a macro may declare some."""
    code = _COMMENT.sub(b"", source)
    if any(_ON_THE_GPU.search(macro) and b"__host__" not in macro for macro in _MACRO.findall(code)):
        return None
    found: dict[str, bool] = {}
    for word in _ON_THE_GPU.finditer(_MACRO.sub(b"", code)):
        rest = word.string[word.end() :].partition(b";")[0]
        head = re.split(rb"[({=]", rest, maxsplit=1)[0]
        is_function = rest[len(head) :].startswith(b"(")
        for name in re.findall(rb"[A-Za-z_]\w*", head if is_function else rest):
            found[name.decode()] = found.get(name.decode(), False) or b"__managed__" in word[0] + rest
    return found


@functools.lru_cache(maxsize=256)
def constants(source: bytes) -> frozenset[str]:
    """The variables of __constant__ memory that a source file declares; those that a macro declares are not known."""
    if b"__constant__" not in source:
        return frozenset()
    found = set()
    for node in walk(parse(source)):
        if node.type == "declaration" and any(child.text == b"__constant__" for child in node.children):
            for name in node.children_by_field_name("declarator"):
                while inner := name.child_by_field_name("declarator") or name.child_by_field_name("name"):
                    name = inner
                found.add(text_of(name))
    return frozenset(found)


def base_name(node: tree_sitter.Node | None) -> str:
    """`scale` of scale<float>, of maths::scale and of (scale)."""
    while node is not None:
        if node.type in ("template_function", "qualified_identifier", "dependent_name"):
            inner = node.child_by_field_name("name")
        elif node.type == "parenthesized_expression" and node.named_child_count == 1:
            inner = node.named_children[0]
        elif node.type in ("pointer_expression", "cast_expression"):
            inner = node.child_by_field_name("argument") or node.child_by_field_name("value")
        else:
            return text_of(node)
        if inner is None:
            return text_of(node)
        node = inner
    return ""


# ---------------------------------------------------------------- rewriting


class Edit(NamedTuple):
    """Bytes of the source, and what stands there instead."""

    begin: int
    end: int
    text: bytes


def rewrite(source: bytes, kernels: Iterable[str] = (), deduced: Iterable[str] = ()) -> bytes:
    """The source with its launches as calls. Every line keeps its number.

    kernels, deduced: those of all files of the program, whose names this one may use.
    """
    names = frozenset(kernels), frozenset(deduced)
    source = _SPACED.sub(rb"<<<\1\2>>>\3", source)
    return _applied(source, list(_edits(parse(source), source, *names)))


def _applied(source: bytes, edits: list[Edit]) -> bytes:
    parts, at = [], 0
    for edit in sorted(edits):
        parts += [source[at : edit.begin], edit.text]
        at = edit.end
    return b"".join([*parts, source[at:]])


def _edits(
    root: tree_sitter.Node, source: bytes, kernels: frozenset[str], deduced: frozenset[str],
    parameters: frozenset[str] = frozenset(),
) -> Iterator[Edit]:  # fmt: skip
    """parameters: of the macro that this stands in; what they stand for is not known."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.type in ("preproc_function_def", "preproc_def"):
            yield from _in_a_macro(node, kernels, deduced)
            continue
        if node.type == "call_expression" and (launch := _launch_of(node)):
            function, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
            assert function and arguments
            if _is_in_device_code(node):
                lines = b"\n" * source.count(b"\n", function.start_byte, arguments.start_byte)
                begin = f"::cudasim::{IN_A_KERNEL}".encode() + lines
                yield Edit(function.start_byte, arguments.start_byte, begin)
                continue
            by_call = base_name(function) in deduced | parameters
            yield Edit(function.start_byte, arguments.start_byte + 1, _call(function, launch, arguments, by_call))
            for brace in [child for child in arguments.children if by_call and child.type == "initializer_list"]:
                yield Edit(brace.start_byte, brace.start_byte, b"CUDASIM_BRACED(")
                yield Edit(brace.end_byte, brace.end_byte, b")")
            waiting += reversed(arguments.children)
            continue
        if node.type == "function_definition" and any(child.type == "__global__" for child in node.children):
            yield from _in_a_kernel(node)
        if edit := _address(node, kernels):
            yield edit
            continue
        waiting += reversed(node.children)


def _launch_of(call: tree_sitter.Node) -> tree_sitter.Node | None:
    return next((child for child in call.children if child.type == "kernel_call_syntax"), None)


def _is_in_device_code(node: tree_sitter.Node) -> bool:
    """Whether it stands in a function that only the GPU runs."""
    owner: tree_sitter.Node | None = node
    while owner and owner.type != "function_definition":
        owner = owner.parent
    words = {child.type for child in owner.children} if owner else set()
    return bool(words & {"__global__", "__device__"}) and "__host__" not in words


def _call(function: tree_sitter.Node, launch: tree_sitter.Node, arguments: tree_sitter.Node, by_call: bool) -> bytes:
    """What stands for a launch up to its first argument. by_call: the kernel's type follows from its arguments."""
    callee, configuration = function.text or b"", (launch.text or b"")[3:-3]
    name = text_of(function).replace("\\", "\\\\").replace('"', '\\"').encode()
    begin = b'::cudasim::Launcher("' + name + b'", ' + configuration + b")"
    comma = b", " if arguments.named_child_count else b""
    if by_call:
        # By reference, as the kernel makes its own copies. Its newlines once only: the lines are to stay.
        again = b" ".join(callee.replace(b"\\\n", b"").split())
        lambda_ = b"[=](auto&... a) CUDASIM_UNHOOKED_CALL -> decltype(" + again + b"(a...)) { " + callee + b"(a...); }"
        return begin + b".deduced(" + lambda_ + comma
    return begin + b"(" + callee + comma


def _in_a_kernel(kernel: tree_sitter.Node) -> Iterator[Edit]:
    """What it calls first, and what at its returns."""
    body = kernel.child_by_field_name("body")
    if not body:
        return
    bounds = next((child for child in kernel.children if child.type == "launch_bounds"), None)
    most = ", ".join(text_of(child) for child in bounds.named_children if child.type != "comment") if bounds else ""
    yield Edit(body.start_byte + 1, body.start_byte + 1, f" CUDASIM_BEGINS({most})".encode())
    yield from _returns(body, _RETURN)


def _returns(body: tree_sitter.Node, pattern: re.Pattern[bytes]) -> Iterator[Edit]:
    """Where a function returns before its end, and no lambda or member function in it."""
    others = [node for node in walk(body) if node.type in ("lambda_expression", "function_definition")]
    for found in pattern.finditer(body.text or b""):
        at = body.start_byte + found.start()
        if found[1] and not any(node.start_byte <= at < node.end_byte for node in others):
            yield Edit(at, at, RETURNS)


def _address(node: tree_sitter.Node, kernels: frozenset[str]) -> Edit | None:
    """(void*)kernel, as cudaLaunchCooperativeKernel and its like take it: there its type would be lost."""
    if node.type == "cast_expression":
        target, value = node.child_by_field_name("type"), node.child_by_field_name("value")
        if target and value and base_name(value) in kernels and text_of(target).replace(" ", "").endswith("void*"):
            return Edit(node.start_byte, node.end_byte, b"::cudasim::address_of(" + (value.text or b"") + b")")
    return None


def _in_a_macro(node: tree_sitter.Node, kernels: frozenset[str], deduced: frozenset[str]) -> Iterator[Edit]:
    body, named = node.child_by_field_name("value"), node.child_by_field_name("parameters")
    if body is None or not body.text:
        return
    yield from _returns(body, re.compile(rb"(\breturn)\s*;"))  # one with a value is no kernel's
    if LAUNCH not in body.text:
        return
    before, after = _IN_A_MACRO
    text = before + body.text + after
    parameters = frozenset(text_of(child) for child in named.named_children) if named else frozenset[str]()
    for edit in _edits(parse(text), text, kernels, deduced, parameters):
        shift = body.start_byte - len(before)
        yield Edit(edit.begin + shift, edit.end + shift, edit.text)
