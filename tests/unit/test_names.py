"""One name is one thing: whoever searches for a class finds it."""

import ast
from collections import Counter
from pathlib import Path

import batch_uploader

PACKAGE = Path(batch_uploader.__file__).parent


def test_no_two_classes_have_one_name():
    classes = Counter(
        node.name
        for file in PACKAGE.rglob("*.py")
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert len(classes) > 100
    assert [name for name, count in classes.items() if count > 1] == []
