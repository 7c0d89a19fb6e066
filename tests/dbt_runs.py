"""Several runs of dbt in one process, because dbt takes seconds to start.

Run by the interpreter of an environment with dbt. Each argument is the command line of
a run; `propose` is the package's own program.
"""

from __future__ import annotations

import os
import runpy
import shlex
import sys
from pathlib import Path

from dbt.cli.main import dbtRunner

PROGRAM = "dbt_packages/dbt_fullstory_imports/propose.py"


def main() -> None:
    """Run all of them, and then fail if one has failed."""
    successes = [run(shlex.split(line)) for line in sys.argv[1:]]
    sys.exit(not all(successes))


def run(arguments: list[str]) -> bool:
    """Run dbt; return whether it has succeeded."""
    if arguments != ["propose"]:
        return bool(dbtRunner().invoke(arguments).success)
    path = Path(os.environ["DBT_PROJECT_DIR"], PROGRAM)
    try:
        runpy.run_path(str(path))["main"]()
    except SystemExit as error:
        sys.stdout.write(f"{error}\n")
        return False
    return True


if __name__ == "__main__":
    main()
