"""Several runs of dbt in one process, because dbt takes seconds to start.

Run by the interpreter of an environment with dbt. Each argument is the command line of
a run. `propose` writes the models that the package proposes into the project.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path

from dbt.cli.main import dbtRunner

PROPOSE = ["--quiet", "run-operation", "propose_fullstory_events"]
MODEL = re.compile(r"^\{# models/(\S+) #\}$(.*?)^$", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Run all of them, and then fail if one has failed."""
    successes = [run(shlex.split(line)) for line in sys.argv[1:]]
    sys.exit(not all(successes))


def run(arguments: list[str]) -> bool:
    """Run dbt; return whether it has succeeded."""
    if arguments != ["propose"]:
        return bool(dbtRunner().invoke(arguments).success)
    with redirect_stdout(io.StringIO()) as proposed:
        success = dbtRunner().invoke(PROPOSE).success
    for name, text in MODEL.findall(proposed.getvalue()):
        path = Path(os.environ["DBT_PROJECT_DIR"], "models", name)
        path.write_text(text, encoding="utf-8")
    return bool(success)


if __name__ == "__main__":
    main()
