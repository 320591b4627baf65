"""Parses sidecars: bytes to metadata, or to all defects at once.

A sidecar is a JSON object in UTF-8, with or without a byte-order mark. A flat one holds the fields
by name. One with a key ``fields`` whose value is an object is in the full form::

    {"fields": {...}, "users": [{"id": "7", "role": "operator", "fields": {...}}]}

Every value is sent as a string:

* a string as it is;
* true and false as ``true`` and ``false``;
* a number in plain notation, exactly: no exponent, no zeros at the end of a fraction, no minus at
  zero. ``7`` is ``7``, ``1.50`` is ``1.5``, ``2.0`` is ``2``, ``1e3`` is ``1000``.

A user's ``role`` (operator, client or bot, in any case) and ``fields`` may be left out. No defect
quotes a value: they are personal data.
"""

from batch_uploader.prepare.sidecar.reading import DEFECT_LIMIT, parse, without_sidecar
from batch_uploader.prepare.sidecar.schema import FieldType, Kind, Schema
from batch_uploader.prepare.sidecar.tree import DEPTH_LIMIT, SIZE_LIMIT, VALUE_LIMIT

__all__ = [
    "DEFECT_LIMIT",
    "DEPTH_LIMIT",
    "SIZE_LIMIT",
    "VALUE_LIMIT",
    "FieldType",
    "Kind",
    "Schema",
    "parse",
    "without_sidecar",
]
