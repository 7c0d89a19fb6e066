"""From the rows of a stream to its records: types, selection, maps.

A row's values stay JSON. Only a time, an object with a deselected field, and a row for
a stream map or for flattening are decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from traceback import walk_tb
from typing import Any

import msgspec
from singer_sdk import Stream
from singer_sdk.contrib.msgspec import enc_hook
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform, StreamMap
from singer_sdk.singerlib.json import serialize_json

from tap_fullstory_imports.fullstory.answers import StopError
from tap_fullstory_imports.fullstory.pages import Row, decode

Path = tuple[str, ...]

_ENCODER = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OF_NULLS = (
    "AttributeError",
    "AttributeDoesNotExist",
    "TypeError",
)  # the second of simpleeval
_STARTS = {"string": ord('"'), "object": ord("{")}


class _Record(msgspec.Struct, tag_field="type", tag="RECORD"):
    """A RECORD message, in the form that the encoder writes fastest."""

    stream: str
    record: Row
    time_extracted: msgspec.Raw


def record_lines(stream: str, records: Iterable[Row]) -> bytes:
    """RECORD messages of a stream."""
    time = msgspec.Raw(_ENCODER.encode(datetime.now(UTC)))
    return json_lines([_Record(stream, one, time) for one in records])


def json_lines(values: list[Any]) -> bytes:
    """Lines of JSON. What the fast encoder refuses, such as a huge integer, too."""
    try:
        return _ENCODER.encode_lines(values)
    except (OverflowError, TypeError, ValueError):
        plain = (msgspec.to_builtins(one, builtin_types=(Decimal,)) for one in values)
        return b"".join(serialize_json(one).encode() + b"\n" for one in plain)


class Records:
    """Makes the records of one stream."""

    def __init__(self, stream: Stream) -> None:
        self._name = stream.name
        self._starts = _starts(stream.schema)
        self._selection = _selection(stream.schema, stream.mask)
        self._maps: list[StreamMap] = [
            one
            for one in stream.stream_maps
            if not isinstance(one, RemoveRecordTransform)
        ]
        self._is_mapped = len(self._maps) != len(stream.stream_maps) or any(
            type(one) is not SameRecordTransform or one.flattening_enabled
            for one in self._maps
        )

    def of(self, rows: list[Row]) -> tuple[list[tuple[str, list[Row]]], int]:
        """Make records of rows, which may be changed for it.

        Returns:
            The records by the name that their stream has after the maps, and how many
            of the rows have become records: a filter leaves out the others.
        """
        for row in rows:
            self._conform(row)
            if self._selection:
                _select(row, self._selection)
        if not self._is_mapped:
            return [(self._name, rows)], len(rows)
        return self._mapped(
            [{name: decode(value) for name, value in row.items()} for row in rows]
        )

    def _conform(self, row: Row) -> None:
        """Give the columns of a row their types, which the first byte of JSON shows.

        In a column of texts another value becomes its JSON. In a column of objects it
        becomes the field ``value`` of an object.
        """
        for name, start in self._starts:
            value = row.get(name)
            if value is None or (text := bytes(value))[0] == start or text == b"null":
                continue
            if start == _STARTS["string"]:
                row[name] = text.decode()
            else:
                row[name] = msgspec.Raw(b'{"value":%b}' % text)

    def _mapped(self, records: list[Row]) -> tuple[list[tuple[str, list[Row]]], int]:
        made, kept = [], set[int]()
        for stream_map in self._maps:
            mapped = [self._transformed(stream_map, record) for record in records]
            out = {place: one for place, one in enumerate(mapped) if one is not None}
            made.append((stream_map.stream_alias, [*out.values()]))
            kept |= out.keys()
        return made, len(kept)

    def _transformed(self, stream_map: StreamMap, record: Row) -> Row | None:
        try:
            return stream_map.transform(record)
        except Exception as error:  # noqa: BLE001 - whatever a user's expression raises
            # The text of the error may hold values of the row.
            kind = type(error.__cause__ or error).__name__
            hint = " A value in it may be null, such as one of `stream_map_config`"
            hint += " whose environment variable is empty."
            msg = (
                f"`stream_maps`: the expression for `{_field_of(error)}` of"
                f" `{self._name}` fails on a row ({kind})."
                f"{hint * (kind in _OF_NULLS)} Correct it, and run again."
            )
            raise StopError(msg) from None


def _field_of(error: Exception) -> str:
    """The field whose expression failed, which only a variable of the SDK names."""
    name: str | None = None
    for frame, _ in walk_tb(error.__traceback__):
        name = frame.f_locals.get("property_name", name)
    return name or "__filter__"


def _starts(schema: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The columns that the API fills, with the first byte of JSON of their type.

    The tap makes keys, counts and times itself.
    """
    return [
        (name, _STARTS[column["type"][0]])
        for name, column in schema["properties"].items()
        if column["type"][1:] == ["null"]
        and column["type"][0] in _STARTS
        and "format" not in column
    ]


# Selection


@dataclass(frozen=True)
class _Selection:
    """What stays of an object.

    Attributes:
        fields: Of fields by name: whether the field stays, or what stays of it.
        others: Whether fields stay that have no name here.
    """

    fields: dict[str, _Selection | bool]
    others: bool


def _selection(
    schema: Mapping[str, Any], mask: Mapping[Path, bool], path: Path = ()
) -> _Selection | None:
    """What stays of the objects at a path; None if everything does.

    A field that the API adds later stays only where all fields beside it do: whoever
    deselects a part of an object, or lists what may leave, wants nothing else.
    """
    declared = schema.get("properties", {})
    depth = len(path)
    named = {at[depth + 1] for at in mask if at[:depth] == path and at[depth:]}
    selected = {name: mask[(*path, "properties", name)] for name in {*declared, *named}}
    if path and declared and not any(selected.values()):
        return None  # the object itself is selected, as a whole
    fields: dict[str, _Selection | bool] = {}
    for name, is_selected in selected.items():
        place = (*path, "properties", name)
        inner = is_selected and _selection(declared.get(name, {}), mask, place)
        fields[name] = is_selected if inner is None or inner is False else inner
    if all(one is True for one in fields.values()):
        return None
    return _Selection(fields, all(fields[name] is True for name in declared))


def _select(row: Row, selection: _Selection) -> None:
    """Take out of an object what is not selected."""
    for name in list(row):
        kept = selection.fields.get(name, selection.others)
        if kept is False:
            del row[name]
        elif kept is not True:
            row[name] = _inside(row[name], kept)


def _inside(value: Any, selection: _Selection) -> Any:
    if type(value) is not msgspec.Raw or memoryview(value)[0] != _STARTS["object"]:
        return value
    members: Row = dict(_MEMBERS.decode(value))
    _select(members, selection)
    return msgspec.Raw(_ENCODER.encode(members))
