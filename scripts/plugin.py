"""Writes what users copy or read of the tap's settings; `make plugin` runs it.

The source is what the tap itself says, by ``--about --format=json``. From it come the
tap's plugin definition and the table in the README. The addresses in all plugin
definitions, examples and documents get the tap's version.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tap_fullstory_imports.settings.declaration import OWN

ROOT = Path(__file__).parent.parent
ABOUT = (sys.executable, "-m", "tap_fullstory_imports", "--about", "--format=json")
VARIANT = "fullstory-imports"
REPOSITORY = f"https://github.com/{VARIANT}/tap-fullstory-imports"
RAW = REPOSITORY.replace("//github.com", "//raw.githubusercontent.com")
PLUGINS = ROOT / "plugins"
DEFINITION = PLUGINS / "extractors" / f"tap-fullstory-imports--{VARIANT}.lock"
README = ROOT / "README.md"
KINDS = {"boolean": "boolean", "integer": "integer", "object": "object"}
"""All others are strings: Meltano can't pass decimals on, and an array must be JSON."""


def main() -> None:
    """Write all files again."""
    for path, text in made(about()).items():
        path.write_text(text, encoding="utf-8")


def about() -> dict[str, Any]:
    """What the tap says of itself."""
    done = subprocess.run(ABOUT, capture_output=True, text=True, check=True)  # noqa: S603
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def made(about: dict[str, Any]) -> dict[Path, str]:
    """The files and their texts."""
    places = [PLUGINS, ROOT / "docs", ROOT / "examples"]
    paths = [README, *(one for place in places for one in place.rglob("*.*"))]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    files = {
        path: re.sub(rf"{re.escape(RAW)}/v[\d.]+", f"{RAW}/v{about['version']}", text)
        for path, text in texts.items()
        if RAW in text
    }
    settings = about["settings"]["properties"]
    table = "| setting | default | meaning |\n| --- | --- | --- |\n"
    table += "".join(to_row(name, settings[name]) for name in settings if name in OWN)
    table = table.replace(f"/{about['version']}`", "/<version>`")  # the user agent
    start, end = "<!-- make plugin -->\n", "<!-- end -->"
    before, rest = files[README].split(start)
    files[README] = f"{before}{start}{table}{end}{rest.partition(end)[2]}"
    files[DEFINITION] = to_json(to_definition(about))
    return files


def to_definition(about: dict[str, Any]) -> dict[str, Any]:
    """The definition of the plugin, as Meltano locks it and as its hub has it."""
    name, version = about["name"], about["version"]
    schema = about["settings"]
    lists = [one for one in schema["properties"] if one.endswith(("_ids", "jobs_file"))]
    return {
        "plugin_type": "extractors",
        "name": name,
        "namespace": name.replace("-", "_"),
        "variant": VARIANT,
        "label": "Fullstory batch imports",
        "description": about["description"],
        "docs": f"{REPOSITORY}#readme",
        "repo": REPOSITORY,
        "pip_url": f"{name}=={version} -c {RAW}/v{version}/requirements/tap.txt",
        "executable": name,
        "domain_url": "https://developer.fullstory.com",
        "keywords": ["api", "fullstory", "meltano_sdk"],
        "maintenance_status": "beta",
        "quality": "unknown",
        "log_parser": "singer-sdk",
        "supported_python_versions": about["supported_python_versions"],
        "capabilities": sorted(about["capabilities"]),
        "settings_group_validation": [[*schema["required"], one] for one in lists],
        "settings": [to_setting(*one) for one in schema["properties"].items()],
    }


def to_setting(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A setting as Meltano describes one; its default is the tap's business."""
    kind = next(one for one in schema["type"] if one != "null")
    setting: dict[str, Any] = {"name": name, "kind": KINDS.get(kind, "string")}
    choices = schema.get("enum")
    if choices:
        setting["kind"] = "options"
    setting |= {"label": schema["title"], "description": schema["description"]}
    if choices:
        options = [{"label": one.capitalize(), "value": one} for one in choices]
        setting["options"] = options
    if schema.get("secret"):
        setting["sensitive"] = True
    return setting


def to_json(definition: dict[str, Any]) -> str:
    """A definition with a line for each key and for each setting."""
    *others, (_, all_settings) = definition.items()
    head = "".join(f"  {json.dumps(key)}: {json.dumps(one)},\n" for key, one in others)
    lines = ",\n".join(f"    {json.dumps(setting)}" for setting in all_settings)
    return f'{{\n{head}  "settings": [\n{lines}\n  ]\n}}\n'


def to_row(name: str, schema: dict[str, Any]) -> str:
    """A setting's row in the README."""
    default = schema.get("default")
    text = default if isinstance(default, str) else json.dumps(default)
    shown = "" if default is None else f"`{text}` "
    if "null" not in schema["type"]:
        shown = "required "
    return f"| `{name}` | {shown}| {schema['description']} |\n"


if __name__ == "__main__":
    main()
