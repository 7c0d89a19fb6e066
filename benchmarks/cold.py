"""From an empty machine to rows in PostgreSQL: the example for CI, beside dlt."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from yaml import safe_dump

from benchmarks import database
from benchmarks.database import Way
from scripts.plugin import RAW
from tests.examples import QUIET, definitions, published
from tests.test_own_project import LOAD, STEPS

_EMPTY = """
export HOME="$FOLDER" PIP_CACHE_DIR="$FOLDER/pip" UV_CACHE_DIR="$FOLDER/uv"
export PATH="$FOLDER/machine/bin:$PATH" VIRTUAL_ENV="$FOLDER/machine"
cd "$PROJECT"
"""
_STEPS = STEPS["Install"]["run"] + STEPS["Load"]["run"]
_DLT = """pip install 'dlt[postgres]'
cd "$FOLDER"
python "$PEERS/dlt_rest_api.py" config.json dlt --database "$DATABASE"
"""
_WAYS = {
    "This tap": f"{_EMPTY}rm -rf .venv .meltano\n{_STEPS}",
    "This tap, from the cache": f"{_EMPTY}{_STEPS}",
    "dlt, by uv": f"{_EMPTY}pip install uv\nuv {_DLT}",
    "dlt, by pip": f"{_EMPTY}{_DLT}",
}


def report(rounds: int) -> str:
    """Load in all ways in turn; return the table."""
    with TemporaryDirectory() as name, published(Path(name)) as (url, settings):
        project = Path(name, "project")
        project.mkdir()
        plugins = {"environments": [{"name": "prod"}], "plugins": definitions(url)}
        (project / "meltano.yml").write_text(safe_dump(plugins), encoding="utf-8")
        known = {key: text for key, text in LOAD["env"].items() if "$" not in text}
        known |= {**QUIET, **settings, "PROJECT": str(project)}
        known["GITHUB_STEP_SUMMARY"] = "/dev/null"
        known["PINS"] = STEPS["Install"]["env"]["PINS"].replace(RAW, url)
        ways = [Way(each, "", "", known, script=_WAYS[each]) for each in _WAYS]
        return database.report(10_000, rounds, ways)
