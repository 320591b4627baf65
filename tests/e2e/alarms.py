"""Which of the example's alerts a metrics file raises, as Prometheus would find with its rules."""

import math
import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

ALERTS = Path(__file__).parents[2] / "examples" / "monitoring" / "alerts.yml"


def metrics(prom):
    """The values of a metrics file by their names, and by a label that only some have."""
    found = {}
    for family in text_string_to_metric_families(prom.read_text("utf-8")):
        for sample in family.samples:
            labels = sample.labels.items() - {
                (name, sample.labels[name]) for name in ("connection", "directory")
            }
            own = "".join(f'{{{name}="{value}"}}' for name, value in labels)
            found[sample.name + own] = sample.value
    return found


def alarms(found, now):
    """The names of the alerts that these values raise; how long they have to last is left out."""
    (group,) = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return tuple(rule["alert"] for rule in group["rules"] if _holds(rule["expr"], found, now))


def _holds(expression, found, now):
    def value(match):
        # A metric that is not there raises nothing.
        return repr(found.get(match[0], float("nan")))

    told = re.sub(r'batch_uploader_\w+(?:\{\w+="\w+"\})?', value, expression)
    told = told.replace("time()", repr(now)).replace("nan", "float('nan')")
    return bool(eval(told, {"float": float, "absent": math.isnan}))  # noqa: S307 - an expression of ours, of numbers
