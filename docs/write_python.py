"""Writes into docs/python.md what comes from elsewhere: code of the examples, and the reference.

.venv/bin/python docs/write_python.py [--check]

A comment names an example and a definition in it; the block of code below it is replaced by that.
All after the last comment is made from the docstrings of whatever the library exports.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from msgspec import Struct

import batch_uploader
from batch_uploader import Endpoint
from batch_uploader.core import events

ROOT = Path(__file__).parents[1]
TARGET = Path(__file__).with_name("python.md")
CODE = re.compile(
    r"<!-- (examples/\w+\.py): (\w+) -->\n```python\n.*?^```\n", re.DOTALL | re.MULTILINE
)
REFERENCE = "<!-- Written by docs/write_python.py from the docstrings. -->\n\n"
TITLES = {
    "app": "Calls",
    "run": "Options",
    "pace": "Options",
    "prepare": "Rules for recordings",
    "core.model": "Results",
    "core.states": "Results",
    "core.errors": "Errors",
    "sinks": "Service and credentials",
    "sources": "Sources",
    "ledgers": "Ledgers",
    "ui": "Listeners",
}
"""Of what is in these packages; what comes from another one stands under its name."""
PARTS = "Parts of results"
INDENT = " " * 4
WIDTH = 100


def page(text: str) -> str:
    """The page with all that is made from elsewhere."""
    head, comment, _ = text.partition(REFERENCE)
    head = CODE.sub(
        lambda match: f"{_comment(match)}```python\n{_definition(*match.groups())}```\n", head
    )
    return head + comment + "\n".join(reference())


def _comment(match: re.Match[str]) -> str:
    return match[0].partition("```")[0]


def _definition(example: str, name: str) -> str:
    """A function or class of an example, as it stands there."""
    source = (ROOT / example).read_text(encoding="utf-8")
    (node,) = [each for each in ast.parse(source).body if getattr(each, "name", None) == name]
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    return "".join(source.splitlines(keepends=True)[first - 1 : node.end_lineno])


def reference() -> Iterator[str]:
    """The section's lines."""
    groups: dict[str, list[Any]] = {title: [] for title in TITLES.values()}
    for name in batch_uploader.__all__:
        thing = getattr(batch_uploader, name)
        groups.setdefault(_title(thing.__module__), []).append(thing)
    groups[PARTS] = _parts({*groups[TITLES["app"]], *groups[TITLES["core.model"]]})
    for title, things in groups.items():
        yield f"### {title}\n"
        if title == PARTS:
            yield "What results hold; a program reads them, and has no need to import them.\n"
        for thing in sorted(things, key=_rank):
            yield from _entry(thing)
    yield "### Events\n"
    yield f"{_text(events)}\n"
    yield "From `batch_uploader.core.events`:\n"
    for thing in vars(events).values():
        if isinstance(thing, type) and thing.__module__ == events.__name__:
            yield from _entry(thing)


def _parts(results: set[Any]) -> list[Any]:
    """The values of ours in the fields of these, and in theirs, as far as nobody exports them."""
    parts: set[Any] = set()
    pending = [each for each in results if isinstance(each, type) and issubclass(each, Struct)]
    while pending:
        for hint in get_type_hints(pending.pop()).values():
            new = {each for each in _classes(hint) if not hasattr(batch_uploader, each.__name__)}
            pending += [each for each in new - parts if issubclass(each, Struct)]
            parts |= new
    return list(parts)


def _classes(hint: Any) -> Iterator[type]:
    """The Structs and Enums of ours that a type is made of."""
    if isinstance(hint, type) and issubclass(hint, Struct | Enum):
        yield hint
    for each in get_args(hint):
        yield from _classes(each)


def _title(module: str) -> str:
    place = module.removeprefix("batch_uploader.")
    known = [title for package, title in TITLES.items() if f"{place}.".startswith(f"{package}.")]
    return known[0] if known else place


def _rank(thing: Any) -> tuple[bool, int, str]:
    """Functions first, then the classes: a base before what it is the base of."""
    depth = len(thing.__mro__) if isinstance(thing, type) else 0
    return (
        isinstance(thing, type),
        depth if issubclass(_class(thing), Exception) else 0,
        thing.__name__,
    )


def _class(thing: Any) -> type:
    return thing if isinstance(thing, type) else type(thing)


def _entry(thing: Any) -> Iterator[str]:
    yield f"#### `{thing.__name__}`\n"
    kind = _class(thing)
    if issubclass(kind, Exception):
        yield f"A kind of `{kind.__mro__[1].__name__}`. {_text(thing)}\n"
    elif issubclass(kind, Enum):
        yield f"{_text(thing)}\n"
        yield from _members(thing)
        yield from _methods(thing)
    else:
        yield f"```python\n{_call(thing)}\n```\n"
        yield f"{_text(thing)}\n"
        yield from _methods(thing)


def _text(thing: Any) -> str:
    return _marked(inspect.getdoc(thing) or "")


def _marked(text: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", text)


def _call(thing: Any, name: str = "", *, bound: bool = False) -> str:
    """How it is called, on as many lines as it takes."""
    signature = inspect.signature(thing)
    parameters = list(signature.parameters.values())[bound:]
    words: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words.append(_parameter(parameter))
    prefix = "async def " if inspect.iscoroutinefunction(thing) else ""
    back = "" if isinstance(thing, type) else f" -> {_annotation(signature.return_annotation)}"
    start, end = f"{prefix}{name or thing.__name__}(", f"){back}"
    line = start + ", ".join(words) + end
    if len(line) <= WIDTH:
        return line
    return "\n".join([start, *(f"{INDENT}{word}," for word in words), end])


def _parameter(parameter: inspect.Parameter) -> str:
    text = f"{parameter.name}: {_annotation(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    return f"{text} = {_default(parameter.default)}"


def _annotation(annotation: Any) -> str:
    named = (
        annotation.__name__ if isinstance(annotation, type) and not _generic(annotation) else None
    )
    for alias in ("Listener", "Event"):
        named = (named or str(annotation)).replace(str(getattr(events, alias)), alias)
    # Whoever reads it imports names, not modules.
    return re.sub(r"(?:\w+\.)+(\w+)", r"\1", named or str(annotation).replace("NoneType", "None"))


def _generic(annotation: Any) -> bool:
    return bool(getattr(annotation, "__args__", ()))


def _default(value: Any) -> str:
    match value:
        case Enum():
            text = f"{type(value).__name__}.{value.name}"
        case int() if not isinstance(value, bool):
            text = f"{value:_}"
        case Endpoint():
            text = f'Endpoint("{value.host}", {value.port})'
        case _ if hasattr(value, "factory"):
            text = f"{value.factory.__name__}()"
        case _ if callable(value):
            ours = value.__module__.startswith("batch_uploader.")
            text = value.__name__ if ours else f"{value.__module__}.{value.__name__}"
        case _:
            text = repr(value)
    return text


def _members(thing: type[Enum]) -> Iterator[str]:
    """Each with the text that stands below it in the source."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    assert isinstance(node, ast.ClassDef)  # noqa: S101 - for the type checker
    told: dict[str, str] = {}
    name = ""
    for each in node.body:
        match each:
            case ast.Assign(targets=[ast.Name(id=name)]):
                told[name] = ""
            case ast.Expr(value=ast.Constant(value=str() as text)) if name:
                told[name] = f": {_marked(text)}"
            case _:
                name = ""
    for name, text in told.items():
        row = getattr(thing[name], "state", None)
        yield f"- `{thing.__name__}.{name}`{f': {row.means}' if row else text}"
    yield ""


def _methods(thing: Any) -> Iterator[str]:
    """What a program calls: ways to make one; of what runs and of results all that is public."""
    if not isinstance(thing, type):
        return
    all_of_it = _title(thing.__module__) in {TITLES["app"], TITLES["core.model"]}
    all_of_it |= issubclass(thing, Enum)
    lines = []
    for name, member in vars(thing).items():
        if name.startswith("_"):
            continue
        if isinstance(member, classmethod):
            lines.append(_method(f"{thing.__name__}.{name}", member.__func__))
        elif isinstance(member, property) and all_of_it:
            lines.append(f"- `{name}`: {' '.join(_text(member).split())}")
        elif inspect.isfunction(member) and all_of_it:
            lines.append(_method(name, member))
    yield from lines
    if lines:
        yield ""


def _method(name: str, function: Any) -> str:
    call = " ".join(_call(function, name, bound=True).split())
    call = call.replace("( ", "(").replace(", )", ")").removeprefix("async def ")
    prefix = "await " if inspect.iscoroutinefunction(function) else ""
    return f"- `{prefix}{call}`: {' '.join(_text(function).split())}"


def main() -> None:
    """Write it, or with --check only tell whether it is as it should be."""
    text = TARGET.read_text(encoding="utf-8")
    if page(text) == text:
        return
    if "--check" in sys.argv[1:]:
        raise SystemExit("docs/python.md is stale: run docs/write_python.py")
    TARGET.write_text(page(text), encoding="utf-8")


if __name__ == "__main__":
    main()
