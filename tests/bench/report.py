"""What a work found, as text for people and as a section of docs/performance.md."""

import re
from dataclasses import dataclass, field
from operator import ge, le

from bench.measuring import Run

_MET, _MISSED, _UNKNOWN = "met", "**missed**", "not measured"


@dataclass(frozen=True)
class Target:
    """What is demanded: ``value`` at least (or at most) ``limit``. None could not be measured."""

    what: str
    value: float | None
    limit: float
    unit: str = "x"
    at_most: bool = False
    remark: str = ""

    @property
    def verdict(self):
        if self.value is None:
            return _UNKNOWN
        return _MET if (le if self.at_most else ge)(self.value, self.limit) else _MISSED

    def row(self):
        sign = "<=" if self.at_most else ">="
        value = "" if self.value is None else f"{figure(self.value)} {self.unit}"
        demanded = f"{sign} {self.limit:g} {self.unit}"
        return [self.what, demanded, value, self.verdict, self.remark]


@dataclass
class Section:
    """What one work found."""

    title: str
    about: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def text(self):
        """As Markdown, which is fit for a terminal, too."""
        parts = [f"## {self.title}", self.about]
        if self.rows:
            parts.append(table(self.header, self.rows))
        parts.append(table(TARGETS, [target.row() for target in self.targets]))
        return "\n\n".join(parts) + "\n"


TARGETS = ["target", "demanded", "measured", "", "remark"]


def table(header, rows):
    """Markdown, in columns of even width."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def figure(value):
    """A number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(one, other, of="wall"):
    """How many times as fast ``one`` is as ``other``; None if either was not possible here."""
    if isinstance(one, Run) and isinstance(other, Run):
        return getattr(other, of) / getattr(one, of)
    return None


def faster(what, one, other, limit):
    """The target of being so many times as fast, by the clock; the remark has it by CPU time."""
    by_cpu = ratio(one, other, "cpu")
    remark = other if isinstance(other, str) else f"by CPU time {figure(by_cpu)} x"
    return Target(what, ratio(one, other), limit, remark=remark)


def put(page, sections):
    """The page with these sections anew, the others as they were, the summary on top."""
    head, *old = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    kept = {part.splitlines()[0]: part for part in old}
    for section in sections:
        kept[f"## {section.title}"] = section.text()
    kept.pop("## Targets", None)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for part in kept.values()
        for line in part.splitlines()
        if re.search(rf"\| ({re.escape(_MET)}|{re.escape(_MISSED)}|{_UNKNOWN}) +\|", line)
    ]
    summary = f"## Targets\n\n{table(TARGETS, rows)}\n" if rows else ""
    return "\n".join(part.rstrip() + "\n" for part in (head, summary, *kept.values()) if part)
