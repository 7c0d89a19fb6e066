"""Columns of the documented types: checks JSON fast, converts other values."""

from __future__ import annotations

from typing import Any

import msgspec

from tap_fullstory_imports.messages import encode

_TEXT, _OBJECT = "string", "object"


class _Object(msgspec.Struct, gc=False):
    """Any JSON object."""


_TYPES: dict[str, Any] = {_TEXT: str | None, _OBJECT: _Object | None}


def columns(schema: dict[str, Any]) -> dict[str, str]:
    """The type of each column that the tap takes from the API as it is.

    The tap makes keys, counts and times itself.
    """
    found = {}
    for name, column in schema["properties"].items():
        kind, *others = column["type"]
        if others == ["null"] and kind in _TYPES and "format" not in column:
            found[name] = kind
    return found


def row_type(schema: dict[str, Any]) -> type[msgspec.Struct]:
    """The type of JSON objects whose columns are null or have the types of a schema."""
    fields = [(name, _TYPES[kind], None) for name, kind in columns(schema).items()]
    return msgspec.defstruct("Row", fields, gc=False)


def is_split(row: dict[str, Any]) -> bool:
    """Whether the values of a row are JSON, which has passed the check of its types.

    A number with a huge exponent is JSON in a decoded row, too.
    """
    return any(
        isinstance(value, msgspec.Raw) and memoryview(value)[0] not in b"-0123456789"
        for value in row.values()
    )


def conform(record: dict[str, Any], types: dict[str, str]) -> None:
    """Give the columns of a decoded record their types.

    In a column of texts another value becomes its JSON. In a column of objects it
    becomes the field ``value`` of an object.
    """
    for name, kind in types.items():
        value = record.get(name)
        if value is None or isinstance(value, str if kind == _TEXT else dict):
            continue
        is_text = kind == _TEXT
        record[name] = encode(value).decode()[:-1] if is_text else {"value": value}
