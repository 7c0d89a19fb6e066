# noqa: INP001 - a program, no package
"""Proposes a model for each event name, and one for the users.

Run it in a dbt project by an interpreter that has dbt:

    python dbt_packages/dbt_fullstory_imports/propose.py

It writes models and their descriptions into `models/fullstory`, or into the folder that
is given. A model that exists gets lines for its new properties; no line is changed.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections import Counter, defaultdict
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from dbt.cli.main import dbtRunner

PACKAGE = "dbt_fullstory_imports"
FOUND = "{{ ref('" + PACKAGE + "', 'fullstory_imports__properties') }}"
MOST_COLUMNS = 1000  # a table of PostgreSQL has at most 1,600
LONGEST_COLUMN = 63
LONGEST_MODEL = 51  # dbt adds up to 12 bytes
# The columns that models have beside properties, now or in later versions.
OWN = {"job_id", "event_index", "id", "uid", "name", "timestamp", "display_name"}
OWN |= {"email", "properties", "schema", "built_at", "imported_at", "imports"}
OWN_PREFIXES = ("user_", "session_", "context_", "_sdc_")
LISTS = {"strs", "ints", "reals", "bools", "dates"}
WIDER = {
    ("date", "str"): "str",
    ("int", "real"): "real",
    ("dates", "strs"): "strs",
    ("ints", "reals"): "reals",
}
MODEL = """\
{{%- set name = {name} -%}}
{{{{ config(meta={{'fullstory_kind': '{kind}', 'fullstory_name': name}}) }}}}

with {kind} as (

    select *
    from {{{{ ref('{package}', 'fullstory_imports__{kind}') }}}}
    {where}

)

select
    {kind}.*
from {kind}
"""
WHERE = f"where name = {{{{ {PACKAGE}.literal(name) }}}}"


@dataclass
class Model:
    """A model of the project, or one to be.

    Attributes:
        name: Its name and that of its file.
        path: Its file.
        columns: The columns of its properties, by the properties' names.
    """

    name: str
    path: Path
    columns: dict[str, str] = field(default_factory=dict)


def main(folder: str = "models/fullstory") -> None:
    """Write what is new."""
    project = Path(os.environ.get("DBT_PROJECT_DIR", "."))
    manifest = dbt("parse", "--quiet")
    dbt("run", "--quiet", "--select", "+fullstory_imports__properties", on=manifest)
    query = f"select kind, name, property, type from {FOUND} order by 1, 2, 3, 4"  # noqa: S608
    shown = dbt("show", "--quiet", "--limit", "-1", "--inline", query, on=manifest)
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(dict)
    for kind, name, key, type_ in shown.results[0].agate_table.rows:
        if name or kind == "users":
            properties = found[kind, name or ""]
            if type_ != "none":
                properties.setdefault(key or "", set()).add(type_)
    if not found:
        sys.exit("No events and no users are loaded yet.")
    models = existing(manifest, project)
    taken = {node.name for node in manifest.nodes.values()}
    new = named(
        {
            key: f"fullstory_event_{slug(key[1], 'unnamed')}"
            if key[0] == "events"
            else "fullstory_user"
            for key in found.keys() - models.keys()
        },
        taken | {model.name for model in models.values()},
        LONGEST_MODEL,
    )
    for key, name in new.items():
        models[key] = Model(name, project / folder / f"{name}.sql")
    for key, properties in found.items():
        write(models[key], key, properties)


def existing(manifest: Any, project: Path) -> dict[tuple[str, str], Model]:
    """The project's models of events and users, also those that are disabled."""
    disabled = [node for nodes in manifest.disabled.values() for node in nodes]
    models = {}
    for node in [*manifest.nodes.values(), *disabled]:
        meta = node.config.get("meta") or {}
        if meta.get("fullstory_kind"):
            key = (meta["fullstory_kind"], meta.get("fullstory_name") or "")
            models[key] = Model(
                node.name,
                project / node.original_file_path,
                {
                    name.removeprefix("fullstory_property "): column["column"]
                    for name, column in meta.items()
                    if name.startswith("fullstory_property ")
                },
            )
    return models


def dbt(*arguments: str, on: Any = None) -> Any:
    """Run dbt, on a project that has been parsed; end the program if dbt fails."""
    with redirect_stdout(io.StringIO()) as printed:
        done = dbtRunner(manifest=on).invoke([*arguments])
    if not done.success:
        sys.stdout.write(printed.getvalue())
        sys.exit(f"dbt {arguments[0]} has failed: {done.exception or 'see above'}")
    return done.result


def write(model: Model, key: tuple[str, str], properties: dict[str, set[str]]) -> None:
    """Write a model, or add lines to it, and to the YAML file beside it."""
    kind, name = key
    new = [one for one in properties if one not in model.columns]
    kept = max(MOST_COLUMNS - len(model.columns), 0)
    if len(new) > kept:
        left = f"{len(new) - kept} properties are in the column `properties` only"
        sys.stdout.write(f"{model.path}: {left}\n")
        new = new[:kept]
    slugs = {one: column_slug(one) for one in new}
    columns = named(slugs, {*model.columns.values()}, LONGEST_COLUMN)
    described = model.path.with_suffix(".yml")
    if not model.path.exists():
        model.path.parent.mkdir(parents=True, exist_ok=True)
        where = WHERE if kind == "events" else ""
        text = MODEL.format(name=quoted(name), kind=kind, package=PACKAGE, where=where)
        model.path.write_text(text.replace("    \n", ""), encoding="utf-8")
        sentence = f"The events `{name}`." if kind == "events" else "The users."
        yaml_text = f"models:\n  - name: {model.name}\n    description: >-\n"
        yaml_text += f"      {escaped(sentence)}\n"
        described.write_text(yaml_text, encoding="utf-8")
        sys.stdout.write(f"{model.path}: new\n")
    if not columns:
        return
    text = model.path.read_text(encoding="utf-8")
    before, end, after = text.rpartition(f"from {kind}\n")
    lines, entries = [], []
    for one, column in columns.items():
        type_ = common_type(properties[one])
        call = f"{PACKAGE}.property({quoted(one)}, '{type_}', {quoted(column)})"
        lines.append(f"    , {{{{ {call} }}}}\n")
        entries.append(entry(one, column, properties[one]))
    if not end:
        sys.stdout.write(f"{model.path}: add these lines yourself:\n{''.join(lines)}")
        return
    model.path.write_text(before + "".join(lines) + end + after, encoding="utf-8")
    if described.exists():
        text = described.read_text(encoding="utf-8")
        head = "" if "\n    columns:\n" in text else "    columns:\n"
        described.write_text(text + head + "".join(entries), encoding="utf-8")
    sys.stdout.write(f"{model.path}: {len(columns)} new columns\n")


def entry(name: str, column: str, types: set[str]) -> str:
    """The description of a column, as lines of YAML."""
    text = f"The property `{name}`."
    if is_changing(types):
        words = ", ".join(sorted(types - {"null", "nulls"}))
        text += f" It is text, because its type changes: {words}."
    entries = [{"name": column, "description": escaped(text)}]
    lines = yaml.safe_dump(
        entries, sort_keys=False, allow_unicode=True, width=1_000_000
    )
    return "".join(f"      {line}\n" for line in lines.splitlines())


def escaped(text: str) -> str:
    """A text of which Jinja makes the same text."""
    return " ".join(text.replace("{", '{{ "{" }}').split())


def quoted(text: str) -> str:
    """A text as a literal of Jinja's, on one line."""
    text = text.replace("\\", "\\\\").replace("'", "\\'")
    signs = (one if one.isprintable() else rf"\U{ord(one):08x}" for one in text)
    return f"'{''.join(signs)}'"


def slug(text: str, otherwise: str) -> str:
    """A text as a name: letters and digits of any script, in lower case, and `_`."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text)
    name = re.sub(r"[\W_]+", "_", words).strip("_").lower() or otherwise
    return f"_{name}" if name[0].isdigit() else name


def column_slug(name: str) -> str:
    """The name of a property's column, unless it is taken."""
    column = slug(name, "property")
    is_own = column in OWN or column.startswith(OWN_PREFIXES)
    return f"properties_{column}" if is_own else column


def named(slugs: dict[Any, str], taken: set[str], longest: int) -> dict[Any, str]:
    """Names, each for one original: with its hash if it is taken, shared or cut."""
    folded = {one.upper() for one in taken}
    shared = Counter(name.upper() for name in slugs.values())
    names = {}
    for original, name in slugs.items():
        is_free = name.upper() not in folded and shared[name.upper()] == 1
        if not is_free or len(name.encode()) > longest:
            text = original if isinstance(original, str) else original[1]
            mark = "_" + sha256(text.encode()).hexdigest()[:8]
            cut = name.encode()[: longest - len(mark)].decode(errors="ignore")
            name = cut.rstrip("_") + mark  # noqa: PLW2901
        names[original] = name
    return names


def common_type(types: set[str]) -> str:
    """The one type for values of these types; `str` if only text holds them all."""
    types = telling(types)
    if types == {"nulls"}:
        return "strs"
    if len(types) == 1:
        return next(iter(types))
    return WIDER.get(tuple(sorted(types)), "str")  # type: ignore[call-overload]


def is_changing(types: set[str]) -> bool:
    """Whether the values have only text in common."""
    several = telling(types)
    return len(several) > 1 and tuple(sorted(several)) not in WIDER


def telling(types: set[str]) -> set[str]:
    """The types without those that fit others: null, and lists of nothing but null."""
    others = types - {"null", "nulls"}
    are_lists = others and others <= LISTS | {"json"}
    return others if are_lists else types - {"null"}


if __name__ == "__main__":
    main(*sys.argv[1:])
