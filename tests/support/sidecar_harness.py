"""What the tests of sidecars ask of a text: its fields, its defects, the cure of its only one."""

from batch_uploader.core.model import Metadata
from batch_uploader.prepare.sidecar import Schema, parse

ANYTHING = Schema()


def fields_of(text, schema=ANYTHING):
    metadata = parse(text if isinstance(text, bytes) else text.encode(), "call.json", schema)
    assert isinstance(metadata, Metadata), metadata
    return dict(metadata.fields)


def defects_of(text, schema=ANYTHING):
    """The defects as (kind, field); each of them names the file and a cure."""
    defects = parse(text if isinstance(text, bytes) else text.encode(), "call.json", schema)
    assert isinstance(defects, tuple), defects
    assert defects
    assert all(defect.path == "call.json" and defect.message and defect.cure for defect in defects)
    return [(defect.kind, defect.field) for defect in defects]


def cure_of(text, schema=ANYTHING):
    (defect,) = parse(text if isinstance(text, bytes) else text.encode(), "call.json", schema)
    return defect.cure
