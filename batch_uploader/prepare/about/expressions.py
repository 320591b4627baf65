"""Expressions of the settings: Jinja's, in its sandbox, with what can grow or run on taken out.

An expression has no loops, no assignment and no attributes but the fields of values. What it calls
is among ``functions``, a few harmless filters of Jinja and methods of texts. The texts and numbers
that it makes are limited.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Never

from jinja2 import (
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    nodes,
)
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about import functions
from batch_uploader.prepare.about.functions import TEXT_LIMIT
from batch_uploader.prepare.about.values import Unfit

_LENGTH_LIMIT: Final = 4000
_NUMBER_LIMIT: Final = 10**30
_LIST_LIMIT: Final = 1000
_PARTS_LIMIT: Final = 200
_FILTERS: Final = (
    *("abs", "capitalize", "count", "d", "default", "first", "last", "length", "list", "lower"),
    *("map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "sort"),
    *("string", "title", "trim", "unique", "upper"),
)
_PLAIN_METHODS: Final = (
    *("endswith", "isdigit", "lower", "lstrip", "partition", "removeprefix", "removesuffix"),
    *("rpartition", "rstrip", "startswith", "strip", "title", "upper"),
)
_METHODS: Final[Mapping[str, Callable[..., object]]] = {
    **{name: getattr(str, name) for name in _PLAIN_METHODS},
    "replace": functions.replace,
    "split": functions.split,
}
_LOOKUP: Final = "lookup"
_SOURCE: Final = "__source_"
_FUNCTION: Final = "__function_"
"""Begin these names in a template, so that a field may have the name of a source or function."""

Path = tuple[str, ...]
"""A name in an expression with the fields within it: ``sidecar.agent.name``."""

_UNFITTING: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TemplateError,
    TypeError,
    ValueError,
)


class AbsentValue(Exception):  # noqa: N818 - the state of a value, not a mistake
    """Something that an expression needs is not there."""


class Missing(StrictUndefined):
    """What is not there; nor is what would be in it."""

    def __getattr__(self, name: str) -> "Missing":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, _key: object) -> "Missing":  # type: ignore[override]
        return self

    def fail(self) -> Never:
        """Raise what any use of it raises."""
        self._fail_with_undefined_error()


class Expression:
    """A compiled expression.

    ``uses`` are the names that it has, each with the fields within it, as far as they are written
    out; ``needs`` are those among them without a default.
    """

    def __init__(
        self, text: str, template: Any, uses: tuple[Path, ...], needs: tuple[Path, ...]
    ) -> None:
        self.text = text
        self.uses = uses
        self.needs = needs
        self._template = template
        self._known = dict(template.globals)

    def __call__(self, values: Mapping[str, object], sources: Mapping[str, object]) -> object:
        """The value, with these fields and sources. Raises Unfit, or AbsentValue."""
        names = {**self._known, **values}
        names.update((_SOURCE + name, fields) for name, fields in sources.items())
        # Shared: Jinja would copy its globals each time, which takes longer than all the rest.
        context = self._template.new_context(names, shared=True)
        try:
            for _ in self._template.root_render_func(context):
                pass
        except UndefinedError:
            raise AbsentValue from None
        except _UNFITTING:
            raise Unfit(
                "its values do not fit the expression",
                "correct it; `batch-uploader check --explain PATH` shows the values",
            ) from None
        result = context.vars["result"]
        if isinstance(result, Undefined):
            raise AbsentValue
        return result


class Language:
    """Compiles expressions over sources of these names, with these functions."""

    def __init__(self, sources: frozenset[str], known: Mapping[str, Callable[..., object]]) -> None:
        self._sources = sources
        self._known = known
        self._environment = _Sandbox(known)

    def compile(
        self, text: str, setting: str, parts: Mapping[str, str] | None = None
    ) -> Expression:
        """An expression, in which names may stand for other ones. Raises ConfigError."""
        if len(text) > _LENGTH_LIMIT:
            raise _wrong(setting, f"it is longer than {_LENGTH_LIMIT:,} characters", "shorten it")
        try:
            tree = _Inlining(self._parsed, parts or {}).visit(self._parsed(text))
            marking = _Marking(self._sources, self._known)
            marking.mark(tree)
            tree.set_environment(self._environment)
            body: list[nodes.Node] = [nodes.Assign(nodes.Name("result", "store"), tree, lineno=1)]
            template = self._environment.from_string(nodes.Template(body, lineno=1))
        except TemplateSyntaxError as error:
            raise _wrong(
                setting, f"{text!r}: {(error.message or '').rstrip('.')}", self._hint(error)
            ) from None
        except (
            RecursionError,
            MemoryError,
            OverflowError,
            ValueError,
            SyntaxError,
        ) as error:
            raise _wrong(setting, f"{text!r}: {error}", "write it in another way") from None
        return Expression(text, template, tuple(marking.uses), tuple(marking.needs))

    def _parsed(self, text: str) -> nodes.Expr:
        parser = Parser(self._environment, text, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            follows = parser.stream.current
            raise TemplateSyntaxError(
                f"{follows.value!r} follows where it should end", follows.lineno
            )
        return tree

    def _hint(self, error: TemplateSyntaxError) -> str:
        lookup = self._known.get(_LOOKUP)
        if "lookup table" in (error.message or "") and isinstance(lookup, functions.LookingUp):
            (meant,) = re.findall(r"table '(.*)'", error.message or "")[:1] or [""]
            return lookup.cure(meant)
        if "follows" in (error.message or ""):
            return "join values with ~, and calls of functions with |"
        if re.search("filter|function", error.message or ""):
            known = sorted(self._environment.filters)
            (meant,) = re.findall(r"named '(\w+)'", error.message or "")[:1] or [""]
            close = difflib.get_close_matches(meant, known, 1)
            guess = f"did you mean {close[0]}? " if close else ""
            return f"{guess}the functions are {', '.join(known)}"
        return "see docs/metadata.md"


def _wrong(setting: str, problem: str, hint: str) -> ConfigError:
    return ConfigError(f"{setting}: {problem}", hint=hint, setting=setting)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, smaller."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, known: Mapping[str, Callable[..., object]]) -> None:
        # Not optimized: a second table is not read to compile an expression.
        super().__init__(undefined=Missing, autoescape=False, cache_size=0, optimized=False)
        ours = {name: _needing(each) for name, each in known.items()}
        self.filters = {**{name: _limited(self.filters[name]) for name in _FILTERS}, **ours}
        self.globals.clear()
        self.globals.update({_FUNCTION + name: each for name, each in ours.items()})
        self._callable = frozenset(map(id, ours.values()))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field; or a method of a text."""
        if isinstance(obj, str) and attribute in _METHODS:
            return _Method(_METHODS[attribute], obj)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A field of an object or a place in a list or text."""
        if isinstance(obj, Missing):
            return obj
        if isinstance(obj, Mapping | list | tuple | str):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return Missing(name=str(argument)[:100])

    def is_safe_callable(self, obj: Any) -> bool:
        """Whether it is a function of ours."""
        return isinstance(obj, _Method) or id(obj) in self._callable

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic with numbers, and ``+`` of short texts."""
        if operator == "**":
            raise Unfit("** is not available", "multiply")
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            if len(left) + len(right) > TEXT_LIMIT:
                raise Unfit(f"it has more than {TEXT_LIMIT:,} characters", "shorten it")
            return left + right
        for each in (left, right):
            if isinstance(each, Missing):
                each.fail()
            if isinstance(each, bool) or not isinstance(each, int | float | Decimal):
                raise Unfit(
                    f"{operator} calculates with numbers only",
                    "write ~ to join texts, and | number to make one a number",
                )
            if not -_NUMBER_LIMIT < each < _NUMBER_LIMIT:
                raise Unfit("its number is too large", "correct it")
        if isinstance(left, Decimal) != isinstance(right, Decimal):
            left, right = Decimal(str(left)), Decimal(str(right))
        return super().call_binop(context, operator, left, right)


class _Method:
    """A method of a text, as a function of ours."""

    def __init__(self, function: Callable[..., object], text: str) -> None:
        self._function = function
        self._text = text

    def __call__(self, *given: Any) -> object:
        return self._function(self._text, *given)


def _limited(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that returns no long texts and no endless lists."""

    def limited(*given: Any, **named: Any) -> Any:
        result = function(*given, **named)
        if isinstance(result, str) and len(result) > TEXT_LIMIT:
            raise Unfit(f"it has more than {TEXT_LIMIT:,} characters", "shorten it")
        return _short(result) if isinstance(result, Iterator) else result

    # What Jinja passes first is told by these.
    limited.__dict__.update(getattr(function, "__dict__", {}))
    return limited


def _short(values: Iterator[Any]) -> Iterator[Any]:
    for number, each in enumerate(values):
        if number == _LIST_LIMIT:
            raise Unfit(f"it has a list of more than {_LIST_LIMIT:,} values", "select fewer")
        yield each


def _needing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that fails if what it is given is missing."""

    def needing(*given: Any, **named: Any) -> Any:
        for each in (*given, *named.values()):
            if isinstance(each, Missing):
                each.fail()
        return function(*given, **named)

    return needing


class _Inlining(NodeTransformer):
    """Puts expressions in the place of their names."""

    def __init__(self, parse: Callable[[str], nodes.Expr], parts: Mapping[str, str]) -> None:
        self._parse = parse
        self._parts = parts
        self._within: list[str] = []
        self._count = 0

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802 - as Jinja calls it
        """What stands behind the name, if it is one of ours."""
        if node.name not in self._parts:
            return node
        self._count += 1
        if node.name in self._within:
            raise TemplateSyntaxError(f"{node.name} is made of itself", node.lineno)
        if self._count > _PARTS_LIMIT:
            raise TemplateSyntaxError("it is made of too many parts", node.lineno)
        self._within.append(node.name)
        found: nodes.Node = self.visit(self._parse(self._parts[node.name]))
        self._within.pop()
        return found


class _Marking:
    """Marks the names of sources and functions in a tree, and notes the others in ``uses``."""

    def __init__(self, sources: frozenset[str], known: Mapping[str, object]) -> None:
        self.uses: dict[Path, None] = {}
        self.needs: dict[Path, None] = {}
        self._with_default = 0
        self._sources = sources
        self._known = known

    def mark(self, node: nodes.Node, fields: Path = (), *, within: bool = False) -> None:
        """Mark a tree; ``fields`` are taken from what it is, ``within`` if any are."""
        match node:
            case nodes.Name():
                self._note((node.name, *fields))
                if within and node.name in self._sources:
                    node.name = _SOURCE + node.name
            case nodes.Call(node=nodes.Name() as function) if function.name in self._known:
                self._require_table(function.name, node.args[1:2])
                function.name = _FUNCTION + function.name
                self._mark_all([*node.args, *node.kwargs])
            case nodes.Call(node=nodes.Getattr() as method) if method.attr in _METHODS:
                self._mark_all([method.node, *node.args, *node.kwargs])
            case nodes.Call():
                called = getattr(node.node, "name", getattr(node.node, "attr", "this"))
                raise TemplateSyntaxError(f"there is no function {called}", node.lineno)
            case nodes.Getattr():
                self.mark(node.node, (node.attr, *fields), within=True)
            case nodes.Getitem(arg=nodes.Const(value=str() | int() as key)):
                self.mark(node.node, (str(key), *fields), within=True)
            case nodes.Getitem():
                self.mark(node.node, within=True)
                self.mark(node.arg)
            case _:
                if isinstance(node, nodes.Filter):
                    self._require_table(node.name, node.args[:1])
                has_default = isinstance(node, nodes.Filter) and node.name in {"default", "d"}
                self._with_default += has_default
                self._mark_all(node.iter_child_nodes())
                self._with_default -= has_default

    def _note(self, path: Path) -> None:
        self.uses[path] = None
        if not self._with_default:
            self.needs[path] = None

    def _require_table(self, function: str, names: Iterable[nodes.Node]) -> None:
        """A second table that is named must be declared, as far as its name is written out."""
        lookup = self._known.get(function)
        for name in names:
            if not isinstance(name, nodes.Const) or not isinstance(lookup, functions.LookingUp):
                continue
            if not lookup.has(name.value):
                raise TemplateSyntaxError(f"there is no lookup table {name.value!r}", name.lineno)

    def _mark_all(self, parts: Iterable[nodes.Node]) -> None:
        for each in parts:
            self.mark(each)
