"""What can be wrong with the settings that the SDK adds to the tap's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from tap_fullstory_imports.faults import expected, fault

if TYPE_CHECKING:
    from singer_sdk import Stream

_BATCH_SETTINGS = {"encoding", "storage", "batch_size"}
_STORAGE_SETTINGS = {"root", "prefix", "params"}


def faults(
    config: Mapping[str, Any],
    properties: Mapping[str, Any],
    streams: Collection[str],
) -> dict[str, str]:
    """A sentence for each setting that can't be used, without its value.

    Args:
        config: All settings.
        properties: The JSON schemas of the SDK's settings.
        streams: The names of the streams.
    """
    found: dict[str, str] = {}
    validator = DEFAULT_JSONSCHEMA_VALIDATOR({"properties": properties})
    for error in validator.iter_errors(config):
        path = ".".join(str(step) for step in error.path)
        schema = error.schema if isinstance(error.schema, Mapping) else {}
        found.setdefault(str(error.path[0]), expected(path, schema))
    if "batch_config" not in found and (sentence := _fault_of_batches(config)):
        found["batch_config"] = sentence
    if "stream_maps" not in found and (sentence := _fault_of_maps(config, streams)):
        found["stream_maps"] = sentence
    return found


def check_maps(stream: Stream) -> None:
    """See that maps and flattening leave the records of a stream and their keys.

    Raises:
        ConfigValidationError: If they don't.
    """
    maps = [
        one for one in stream.stream_maps if not isinstance(one, RemoveRecordTransform)
    ]
    if not maps:
        raise fault(
            f"`stream_maps` leaves nothing of `{stream.name}`. To leave the stream out,"
            " deselect it."
        )
    for one in maps:
        fields = one.transformed_schema.get("properties", {})
        if set(one.transformed_key_properties or ()) - fields.keys():
            raise fault(
                f"`flattening_max_key_length` would rename the key of `{stream.name}`."
                " Raise it."
            )


def _fault_of_batches(config: Mapping[str, Any]) -> str:
    """What makes `batch_config` unusable."""
    batches = config.get("batch_config")
    if not batches:
        return ""
    encoding, storage = batches.get("encoding"), batches.get("storage")
    size = batches.get("batch_size", 1)
    sentence = ""
    if not isinstance(encoding, Mapping) or encoding.get("format") != "jsonl":
        sentence = "`batch_config` must have an `encoding` with the `format` `jsonl`."
    elif encoding.get("compression", "gzip") != "gzip":
        sentence = "`batch_config.encoding.compression` must be `gzip`."
    elif not isinstance(storage, Mapping) or not storage.get("root"):
        sentence = "`batch_config` must have a `storage` with a `root`."
    elif unknown := sorted(batches.keys() - _BATCH_SETTINGS) or sorted(
        storage.keys() - _STORAGE_SETTINGS
    ):
        sentence = f"There is no setting `{unknown[0]}` in `batch_config`."
    elif size is not None and (type(size) is not int or size < 1):
        sentence = "`batch_config.batch_size` must be a whole number, at least 1."
    elif config.get("stream_maps") or config.get("flattening_enabled"):
        sentence = (
            "`batch_config` can't be combined with `stream_maps` or"
            " `flattening_enabled`. Leave one of them out."
        )
    return sentence


def _fault_of_maps(config: Mapping[str, Any], streams: Collection[str]) -> str:
    """A sentence for the first entry of `stream_maps` that names no stream."""
    for name, entry in (config.get("stream_maps") or {}).items():
        source = entry.get("__source__", name) if isinstance(entry, dict) else name
        if not name.startswith("__") and not any(
            fnmatch(stream, source) for stream in streams
        ):
            return (
                f"`stream_maps` names `{source}`, but there is no such stream. The"
                f" streams are {', '.join(f'`{stream}`' for stream in streams)}."
            )
    return ""
