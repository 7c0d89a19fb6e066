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
from hashlib import sha256
from pathlib import Path
from textwrap import indent
from typing import Any

from dbt.cli.main import dbtRunner
from yaml import safe_dump

PACKAGE = "dbt_fullstory_imports"
FOUND = "{{ ref('" + PACKAGE + "', 'fullstory_imports__properties') }}"
MOST_COLUMNS = 1000  # a table of PostgreSQL has at most 1,600
LONGEST_COLUMN = 63
LONGEST_MODEL = 51  # dbt adds up to 12 bytes
# The columns that models have beside properties, now or in later versions.
OWN = {"job_id", "event_index", "id", "uid", "name", "timestamp", "display_name"}
OWN |= {"email", "properties", "schema", "built_at", "imported_at", "imports"}
OWN_PREFIXES = ("user_", "session_", "context_", "_sdc_")
LISTS = {"strs", "ints", "reals", "bools", "dates", "json"}
# The type of values of several types, if it is not `str`.
COMMON = {
    ("int", "real"): "real",
    ("dates", "strs"): "strs",
    ("ints", "reals"): "reals",
}
PROPERTY = "fullstory_property "
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
WHERE = f"    where name = {{{{ {PACKAGE}.literal(name) }}}}\n"


class Model:
    """The model of the events of one name, or of the users."""

    def __init__(self, name: str, path: Path, meta: dict[str, Any]) -> None:
        """Know the columns of its properties, which the macro `property` notes."""
        self.name, self.path, self.described = name, path, path.with_suffix(".yml")
        self.columns = {
            key.removeprefix(PROPERTY): column["column"]
            for key, column in meta.items()
            if key.startswith(PROPERTY)
        }

    def create(self, kind: str, name: str) -> None:
        """Write it without properties."""
        where = WHERE if kind == "events" else ""
        text = MODEL.format(name=quoted(name), kind=kind, package=PACKAGE, where=where)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text, encoding="utf-8")
        sentence = f"The events `{name}`." if kind == "events" else "The users."
        model = yaml([{"name": self.name, "description": escaped(sentence)}])
        self.described.write_text(f"models:\n{indent(model, '  ')}", encoding="utf-8")
        say(f"{self.path}: new")

    def extend(self, kind: str, properties: dict[str, set[str]]) -> None:
        """Add lines for its new properties."""
        new = [name for name in properties if name not in self.columns]
        most = max(MOST_COLUMNS - len(self.columns), 0)
        if left := len(new[most:]):
            say(f"{self.path}: {left} properties are in the column `properties` only")
        slugs = {name: column_slug(name) for name in new[:most]}
        columns = named(slugs, {*self.columns.values()}, LONGEST_COLUMN)
        if not columns:
            return
        lines, entries = "", []
        for name, column in columns.items():
            type_ = common_type(properties[name])
            call = f"{PACKAGE}.property({quoted(name)}, '{type_}', {quoted(column)})"
            lines += f"    , {{{{ {call} }}}}\n"
            types = ", ".join(sorted(properties[name] - {"null", "nulls"})) or "null"
            sentence = escaped(f"The property `{name}` ({types}).")
            entries.append({"name": column, "description": sentence})
        text = self.path.read_text(encoding="utf-8")
        before, end, after = text.rpartition(f"from {kind}\n")
        if not end:
            say(f"{self.path}: add these lines yourself:\n{lines}")
            return
        self.path.write_text(before + lines + end + after, encoding="utf-8")
        if self.described.exists():
            text = self.described.read_text(encoding="utf-8")
            head = "" if "\n    columns:\n" in text else "    columns:\n"
            text += head + indent(yaml(entries), "      ")
            self.described.write_text(text, encoding="utf-8")
        say(f"{self.path}: {len(columns)} new columns")


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
    slugs = {
        (kind, name): f"fullstory_event_{slug(name, 'unnamed')}"
        if kind == "events"
        else "fullstory_user"
        for kind, name in found.keys() - models.keys()
    }
    taken = {node.name for node in manifest.nodes.values()}
    taken |= {model.name for model in models.values()}
    for key, name in named(slugs, taken, LONGEST_MODEL).items():
        models[key] = Model(name, project / folder / f"{name}.sql", {})
        models[key].create(*key)
    for key, properties in found.items():
        models[key].extend(key[0], properties)


def existing(manifest: Any, project: Path) -> dict[tuple[str, str], Model]:
    """The project's models of events and users, also those that are disabled."""
    disabled = [node for nodes in manifest.disabled.values() for node in nodes]
    models = {}
    for node in [*manifest.nodes.values(), *disabled]:
        meta = node.config.get("meta") or {}
        if kind := meta.get("fullstory_kind"):
            path = project / node.original_file_path
            model = Model(node.name, path, meta)
            models[kind, meta.get("fullstory_name") or ""] = model
    return models


def dbt(*arguments: str, on: Any = None) -> Any:
    """Run dbt, on a project that has been parsed; end the program if dbt fails."""
    with redirect_stdout(io.StringIO()) as printed:
        done = dbtRunner(manifest=on).invoke([*arguments])
    if not done.success:
        say(printed.getvalue())
        sys.exit(f"dbt {arguments[0]} has failed: {done.exception or 'see above'}")
    return done.result


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def yaml(content: Any) -> str:
    """YAML with every text on one line."""
    return safe_dump(content, sort_keys=False, allow_unicode=True, width=1_000_000)


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
    others = types - {"null", "nulls"}
    telling = tuple(sorted(others if others <= LISTS else types - {"null"}))
    if not telling:
        return "strs" if "nulls" in types else "str"
    return telling[0] if len(telling) == 1 else COMMON.get(telling, "str")


if __name__ == "__main__":
    main(*sys.argv[1:])
