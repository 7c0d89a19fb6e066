"""From an empty machine to rows in PostgreSQL: the example for CI, beside dlt."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from yaml import safe_dump

from benchmarks import database
from benchmarks.database import Way
from scripts.plugin import RAW
from tests.examples import QUIET, definitions, published
from tests.project import blocks
from tests.test_own_project import LOAD, STEPS

_EMPTY = """
export HOME="$FOLDER" PIP_CACHE_DIR="$FOLDER/pip" UV_CACHE_DIR="$FOLDER/uv"
export PATH="$FOLDER/machine/bin:$FOLDER/.local/bin:$PATH"
export UV_PYTHON="$FOLDER/machine/bin/python"
cd "$PROJECT"
"""
_STEPS = STEPS["Install"]["run"] + STEPS["Load"]["run"]
_DLT = """pip install 'dlt[postgres]'
cd "$FOLDER"
python "$PEERS/dlt_rest_api.py" config.json dlt --database "$DATABASE"
"""
_TOOLS, _SCRIPT = blocks("Without Meltano", "sh")
_SCRIPT = _SCRIPT.replace(
    "your-target", "target-postgres --config $PROJECT/target.json"
)
_SCRIPT = _SCRIPT.replace("--state", "--catalog catalog.json --state", 1)
_WAYS = {
    "This tap": f"{_EMPTY}rm -rf .venv .meltano\n{_STEPS}",
    "This tap, from the cache": f"{_EMPTY}{_STEPS}",
    "This tap, without Meltano": f"{_EMPTY}pip install uv\n{_TOOLS}"
    f'cd "$FOLDER"\n{_SCRIPT}',
    "dlt, by uv": f"{_EMPTY}pip install uv\nuv {_DLT}",
    "dlt, by pip": f"{_EMPTY}{_DLT}",
}


def report(rounds: int) -> list[str]:
    """Load in all ways in turn; return the lines."""
    with TemporaryDirectory() as name, published(Path(name)) as (url, settings):
        project = Path(name, "project")
        project.mkdir()
        plugins = definitions(url)
        meltano = {"environments": [{"name": "prod"}], "plugins": plugins}
        (project / "meltano.yml").write_text(safe_dump(meltano), encoding="utf-8")
        (target,) = plugins["loaders"]
        values = {
            one["name"]: one["value"] for one in target["settings"] if "value" in one
        }
        values["sqlalchemy_url"] = LOAD["env"]["TARGET_POSTGRES_SQLALCHEMY_URL"]
        (project / "target.json").write_text(json.dumps(values), encoding="utf-8")
        known = {key: text for key, text in LOAD["env"].items() if "$" not in text}
        known |= {**QUIET, **settings, **target["env"], "PROJECT": str(project)}
        known["GITHUB_STEP_SUMMARY"] = "/dev/null"
        known["PINS"] = STEPS["Install"]["env"]["PINS"].replace(RAW, url)
        scripts = {label: script.replace(RAW, url) for label, script in _WAYS.items()}
        ways = [Way(each, "", "", known, script=scripts[each]) for each in scripts]
        return database.report(10_000, rounds, ways, "on an empty machine")
