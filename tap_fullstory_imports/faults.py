"""How the tap says that its settings can't be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "an object",
    "string": "text",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "greater than",
    "maximum": "at most",
}


def fault(sentence: str) -> ConfigValidationError:
    """An error that tells the user which setting to change, and how."""
    return ConfigValidationError("Unusable settings", errors=[sentence])


def expected(name: str, schema: Mapping[str, Any]) -> str:
    """A sentence that says what a setting must be. It never quotes the value.

    Args:
        name: The setting.
        schema: Its JSON schema.
    """
    if choices := schema.get("enum"):
        return f"`{name}` must be {' or '.join(f'`{choice}`' for choice in choices)}."
    types = schema.get("type", ())
    types = [types] if isinstance(types, str) else types
    kinds = [_KINDS[one] for one in types if one in _KINDS]
    if "pattern" in schema or not kinds:
        meaning = schema.get("description", "")
        return f"`{name}` is not of the right form. {meaning}".rstrip()
    bounds = [
        f"{word} {schema[key]:g}" for key, word in _BOUNDS.items() if key in schema
    ]
    return f"`{name}` must be {', '.join([' or '.join(kinds), *bounds])}."
