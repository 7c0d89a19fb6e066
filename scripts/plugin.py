"""Writes what users copy or read of the tap's settings; `make plugin` runs it.

The source is what the tap itself says, by ``--about --format=json``. From it come the
file `plugin.yaml`, which ``meltano add --from-ref`` takes, the tap's settings in
`meltano.yml`, the table in the README, and `.env.example`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import fill, indent
from typing import Any

from yaml import safe_dump

from tap_fullstory_imports.settings.declaration import OWN

ROOT = Path(__file__).parent.parent
ABOUT = (sys.executable, "-m", "tap_fullstory_imports", "--about", "--format=json")
KINDS = {"boolean": "boolean", "integer": "integer", "object": "object"}
"""All others are strings: Meltano can't pass decimals on, and an array must be JSON."""
HEAD = """\
# Made by `make plugin`. This adds the tap to a Meltano project, with the path of this
# file or the address of its raw text:
#   meltano add --from-ref plugin.yaml tap-fullstory-imports
"""
ENVIRONMENT = """\
Settings of tap-fullstory-imports. Copy this file to `.env`, which Meltano reads, and
remove the `#` before each setting that you need. The values are the defaults. An empty
value counts as not set. Never commit `.env`, because it holds the API key.
"""


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
    meltano, readme = ROOT / "meltano.yml", ROOT / "README.md"
    definition = to_yaml(to_definition(about))
    lines = "".join(to_row(*one) for one in settings(about) if one[0] in OWN)
    table = f"| setting | default | meaning |\n| --- | --- | --- |\n{lines}"
    return {
        ROOT / "plugin.yaml": f"{HEAD}{definition}",
        ROOT / ".env.example": to_environment(about),
        meltano: replaced(
            meltano, "    # make plugin\n", to_project(about), "    # end"
        ),
        readme: replaced(readme, "<!-- make plugin -->\n", table, "<!-- end -->"),
    }


def settings(about: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The name and the JSON schema of each setting, ready to be shown.

    The version is left out of the defaults, or each release would change the files.
    """
    shown = json.dumps(about["settings"]["properties"])
    shown = shown.replace(
        f"{about['name']}/{about['version']}", f"{about['name']}/<version>"
    )
    return [*json.loads(shown).items()]


def to_definition(about: dict[str, Any]) -> dict[str, Any]:
    """The definition of the plugin, as the hub of Meltano has it for others."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    urls = dict(
        re.findall(r'^(Repository|Documentation) = "(.+)"$', project, re.MULTILINE)
    )
    name, repository = about["name"], urls["Repository"]
    return {
        "name": name,
        "namespace": name.replace("-", "_"),
        "variant": repository.split("/")[-2],
        "label": "Fullstory batch imports",
        "description": about["description"],
        "docs": urls["Documentation"],
        "repo": repository,
        "pip_url": f"git+{repository}.git",
        "executable": name,
        "domain_url": "https://developer.fullstory.com",
        "keywords": ["api", "fullstory", "meltano_sdk"],
        "maintenance_status": "beta",
        "quality": "unknown",
        "log_parser": "singer-sdk",
        "supported_python_versions": about["supported_python_versions"],
        "capabilities": sorted(about["capabilities"]),
        "settings_group_validation": groups(about),
        "settings": [to_setting(*one) for one in settings(about)],
    }


def groups(about: dict[str, Any]) -> list[list[str]]:
    """The groups of settings of which one is enough: the key and a list of jobs."""
    schema = about["settings"]
    lists = [
        name for name in schema["properties"] if name.endswith(("job_ids", "jobs_file"))
    ]
    return [[*schema["required"], name] for name in lists]


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


def to_project(about: dict[str, Any]) -> str:
    """What the project's `meltano.yml` has of the definition."""
    whole = to_definition(about)
    part = {
        name: whole[name]
        for name in ("capabilities", "settings_group_validation", "settings")
    }
    return indent(to_yaml(part), "    ")


def to_yaml(content: dict[str, Any]) -> str:
    """YAML with its keys in their order."""
    text = safe_dump(content, sort_keys=False, allow_unicode=True, width=80)
    return str(text)


def to_row(name: str, schema: dict[str, Any]) -> str:
    """A setting's row in the README."""
    default = schema.get("default")
    text = default if isinstance(default, str) else json.dumps(default)
    shown = "" if default is None else f"`{text}` "
    if "null" not in schema["type"]:
        shown = "required "
    return f"| `{name}` | {shown}| {schema['description']} |\n"


def to_environment(about: dict[str, Any]) -> str:
    """All settings as variables of the environment, each with its description."""
    prefix = about["name"].upper().replace("-", "_")
    blocks = [fill(ENVIRONMENT, 86)]
    for name, schema in settings(about):
        default = schema.get("default", "")
        text = default if isinstance(default, str) else json.dumps(default)
        text = "" if "<version>" in text else text  # the tap would send it as it is
        variable = f"{prefix}_{name.upper()}='{text}'"
        blocks.append(
            f"{fill(schema['description'], 86, break_on_hyphens=False)}\n{variable}"
        )
    return indent("\n\n".join(blocks), "# ") + "\n"


def replaced(path: Path, start: str, text: str, end: str) -> str:
    """The text of a file with another text between two marks."""
    before, found, rest = path.read_text(encoding="utf-8").partition(start)
    after = rest.partition(end)[2]
    if not found or not after:
        sys.exit(f"{path.name} has no mark {start.strip()}.")
    return f"{before}{start}{text}{end}{after}"


if __name__ == "__main__":
    main()
