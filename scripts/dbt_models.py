"""Writes the dbt package's sources and staging models from the tap's schemas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from yaml import SafeDumper, dump

from tap_fullstory_imports.schemas import SCHEMAS
from tap_fullstory_imports.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path("dbt", "models", "staging")
SOURCE = "fullstory_imports"
HEADER = "{}Written by `make dbt-models` from the tap's schemas. Do not edit.{}\n"
TYPES = {"integer": "int", "number": "real", "boolean": "bool", "string": "str"}
# The objects that are also kept as they are: requests that failed.
WHOLE = {"import_errors": ("event", "shared"), "user_import_errors": ("user",)}
LOADING = {
    "_sdc_extracted_at": "When the tap read the row, if the target adds its metadata.",
    "_sdc_batched_at": "When the target loaded the row, if it adds its metadata.",
}
BUILT_AT = "When dbt built the row, in UTC."


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


def files() -> dict[Path, str]:
    """The files, as they are to be."""
    texts = {"_sources.yml": dumped(sources()), "_staging.yml": dumped(staging())}
    for stream in STREAMS:
        texts[f"{model_name(stream.name)}.sql"] = model(
            stream.name, stream.primary_keys
        )
    return {FOLDER / name: text for name, text in texts.items()}


class Dumper(SafeDumper):
    """Writes a column that is there twice as an alias with the column's name."""

    def generate_anchor(self, node: Any) -> str:  # noqa: D102 - as in PyYAML
        return str(node.value[0][1].value)


def dumped(content: dict[str, Any]) -> str:
    """YAML with a line that says where it comes from."""
    text = dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return HEADER.format("# ", "") + text


def sources() -> dict[str, Any]:
    """The tap's streams as the sources of the package."""
    source = {
        "name": SOURCE,
        "description": "What tap-fullstory-imports has loaded.",
        "database": variable("database", "target.database"),
        "schema": variable("schema", '"fullstory"'),
        "loader": "tap-fullstory-imports",
        "tables": [source_table(stream.name) for stream in STREAMS],
    }
    return {"sources": [source]}


def variable(name: str, default: str) -> str:
    """A variable of the package, as an expression of dbt's."""
    return f'{{{{ var("{SOURCE}_{name}", {default}) }}}}'


def source_table(name: str) -> dict[str, Any]:
    """A stream as a table. Its columns are described in its staging model."""
    schema = SCHEMAS.get_schema(name)
    is_loaded = f'{{{{ "{name}" in var("{SOURCE}_streams") }}}}'
    config: dict[str, Any] = {"enabled": is_loaded}
    if "created_at" in schema["properties"]:
        loaded_at = variable("loaded_at_field", '"created_at"')
        freshness = {"warn_after": {"count": 7, "period": "day"}}
        config |= {"loaded_at_field": loaded_at, "freshness": freshness}
    return {
        "name": name,
        "identifier": variable(f"{name}_identifier", f'"{name}"'),
        "description": schema["description"],
        "config": config,
    }


def staging() -> dict[str, Any]:
    """The staging models and the table of events, every column described."""
    loading = [column(*item) for item in LOADING.items()]
    models = []
    for stream in STREAMS:
        schema = SCHEMAS.get_schema(stream.name)
        columns = [
            column("_".join(path), definition["description"], stream.primary_keys)
            for path, definition in fields(stream.name, schema)
        ]
        columns += loading
        description = schema["description"].removesuffix(".")
        described = {
            "name": model_name(stream.name),
            "description": f"{description}, with a typed column for each field.",
            "columns": columns,
        }
        models.append(described)
        if stream.name == "imported_events":
            built = [*columns, column("built_at", BUILT_AT)]
            models.append({**described, "name": f"{SOURCE}__events", "columns": built})
    return {"models": models}


def column(name: str, description: str, key: tuple[str, ...] = ()) -> dict[str, Any]:
    """A column, with the tests of the key that ends with it."""
    tests = ["unique_in_job"] if len(key) > 1 else ["not_null", "unique"]
    own = {"data_tests": tests} if key and name == key[-1] else {}
    return {"name": name, "description": description} | own


def model_name(stream: str) -> str:
    """The name of a stream's staging model."""
    return f"stg_{SOURCE}__{stream}"


def model(stream: str, key: tuple[str, ...]) -> str:
    """The SQL of a stream's staging model."""
    columns = ",\n".join(
        f"    {{{{ field(columns, {[*path]}, '{word(definition)}'"
        f"{', is_key=true' if path[0] in key else ''}) }}}}"
        for path, definition in [
            *fields(stream, SCHEMAS.get_schema(stream)),
            *(((name,), {"type": "string", "format": "date-time"}) for name in LOADING),
        ]
    )
    return (
        f"{HEADER.format('{#- ', ' -#}')}"
        f"{{%- set columns = loaded_columns('{stream}') %}}\n\n"
        f"select\n{columns}\nfrom {{{{ loaded_rows('{stream}') }}}}\n"
    )


def fields(
    stream: str, schema: dict[str, Any], *path: str
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """The fields of a schema down to those that are no objects of known fields.

    The context of a request that failed stays in the request.
    """
    whole = {(name,) for name in WHOLE.get(stream, ())}
    for name, definition in schema["properties"].items():
        here = (*path, name)
        if not definition.get("properties") or here in whole:
            yield here, definition
        if definition.get("properties") and here[1:] != ("context",):
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
