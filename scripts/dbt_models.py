"""Writes the dbt package's sources and staging models from the tap's schemas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from yaml import safe_dump

from tap_fullstory_imports.schemas import SCHEMAS
from tap_fullstory_imports.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path("dbt", "models", "staging")
PACKAGE = "dbt_fullstory_imports"
SOURCE = "fullstory_imports"
HEADER = "{}Written by `make dbt-models` from the tap's schemas. Do not edit.{}\n"
TYPES = {"integer": "int", "number": "real", "boolean": "bool", "string": "str"}
# The objects that are also kept as they are: requests that failed.
WHOLE = {"import_errors": ("event", "shared"), "user_import_errors": ("user",)}
FRESHNESS = {"warn_after": {"count": 7, "period": "day"}}


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


def files() -> dict[Path, str]:
    """The files, as they are to be."""
    texts = {"_sources.yml": dumped(sources()), "_staging.yml": dumped(staging())}
    for stream in STREAMS:
        texts[f"{model_name(stream.name)}.sql"] = model(stream.name)
    return {FOLDER / name: text for name, text in texts.items()}


def dumped(content: dict[str, Any]) -> str:
    """YAML with a line that says where it comes from."""
    text = safe_dump(content, sort_keys=False, allow_unicode=True, width=88)
    return HEADER.format("# ", "") + text


def sources() -> dict[str, Any]:
    """The tap's streams as the sources of the package."""
    tables = [source_table(one.name, one.primary_keys) for one in STREAMS]
    source = {
        "name": SOURCE,
        "description": "What tap-fullstory-imports has loaded.",
        "database": f"{{{{ var('{SOURCE}_database', target.database) }}}}",
        "schema": f"{{{{ var('{SOURCE}_schema', 'fullstory') }}}}",
        "loader": "tap-fullstory-imports",
        "tables": tables,
    }
    return {"version": 2, "sources": [source]}


def source_table(name: str, key: tuple[str, ...]) -> dict[str, Any]:
    """A stream as a table, with tests of its key."""
    schema = SCHEMAS.get_schema(name)
    config: dict[str, Any] = {"enabled": is_loaded(name)}
    if "created_at" in schema["properties"]:
        config |= {"loaded_at_field": "created_at", "freshness": FRESHNESS}
    columns = [
        described(field, definition, is_key=field in key, stream=name)
        for field, definition in schema["properties"].items()
    ]
    return {
        "name": name,
        "description": schema["description"],
        "config": config,
        "data_tests": [unique(name, key)],
        "columns": columns,
    }


def described(
    name: str, definition: dict[str, Any], *, is_key: bool, stream: str
) -> dict[str, Any]:
    """A column with its description, and with a test if it belongs to the key."""
    column = {"name": name, "description": definition["description"]}
    not_null = {"not_null": {"config": {"enabled": is_loaded(stream)}}}
    return {**column, "data_tests": [not_null]} if is_key else column


def unique(stream: str, key: tuple[str, ...]) -> dict[str, Any]:
    """The test that no two rows have the same key."""
    config = {"enabled": is_loaded(stream)}
    return {"unique_together": {"arguments": {"columns": [*key]}, "config": config}}


def is_loaded(name: str) -> str:
    """Whether the tap loads a stream, as an expression of dbt's."""
    return f"{{{{ '{name}' in var('{SOURCE}_streams') }}}}"


def staging() -> dict[str, Any]:
    """The staging models, every column described."""
    models = []
    for stream in STREAMS:
        schema = SCHEMAS.get_schema(stream.name)
        columns = [
            {"name": "_".join(path), "description": definition["description"]}
            for path, definition in fields(stream.name, schema)
        ]
        description = schema["description"].removesuffix(".")
        models.append(
            {
                "name": model_name(stream.name),
                "description": f"{description}, with a typed column for each field.",
                "columns": columns,
            }
        )
    return {"version": 2, "models": models}


def model_name(stream: str) -> str:
    """The name of a stream's staging model."""
    return f"stg_{SOURCE}__{stream}"


def model(stream: str) -> str:
    """The SQL of a stream's staging model."""
    schema = SCHEMAS.get_schema(stream)
    columns = ",\n".join(
        f"    {{{{ {PACKAGE}.raw_field(columns, {[*path]}, '{word(definition)}') }}}}"
        for path, definition in fields(stream, schema)
    )
    source = f"source('{SOURCE}', '{stream}')"
    return (
        f"{HEADER.format('{#- ', ' -#}')}"
        f"{{{{ config(enabled={PACKAGE}.is_loaded('{stream}')) }}}}\n"
        f"{{%- set columns = {PACKAGE}.raw_columns({source}) %}}\n\n"
        f"select\n{columns}\nfrom {{{{ {source} }}}}\n"
    )


def fields(
    stream: str, schema: dict[str, Any], *path: str
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """The fields of a schema down to those that are no objects of known fields."""
    whole = {(name,) for name in WHOLE.get(stream, ())}
    for name, definition in schema["properties"].items():
        here = (*path, name)
        if not definition.get("properties") or here in whole:
            yield here, definition
        if definition.get("properties"):
            yield from fields(stream, definition, *here)


def word(definition: dict[str, Any]) -> str:
    """The package's word for a field's type."""
    if definition.get("format") == "date-time":
        return "date"
    (kind,) = (one for one in as_list(definition["type"]) if one != "null")
    return TYPES.get(kind, "json")


def as_list(kinds: str | list[str]) -> list[str]:
    """One type or several as several."""
    return [kinds] if isinstance(kinds, str) else kinds


if __name__ == "__main__":
    main()
