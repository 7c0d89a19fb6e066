"""The programs that are measured: how each one is installed, started and timed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import TypeVar

from rich.console import Console

from benchmarks.measure import Took

ROOT = Path(__file__).parent.parent
LOG = Console(stderr=True, markup=False)


@dataclass(frozen=True)
class Program:
    """A program that reads the jobs of a settings file.

    Attributes:
        label: Its name in the tables.
        words: The arguments of its interpreter. ``{folder}`` is the folder of the run,
            ``{peers}`` that of the peers, ``{bin}`` that of the interpreter.
        environment: Where `make bench` installs a peer; empty: where this program runs.
        settings: Its environment variables.
        root: Where it is started, for this tap the checkout that is measured.
    """

    label: str
    words: str
    environment: str = ""
    settings: dict[str, str] = field(default_factory=dict, hash=False)
    root: Path = ROOT

    def command(self, folder: Path, **more: str) -> list[str]:
        """Return the command line for a run in a folder."""
        python = Path(sys.executable)
        if self.environment:
            python = ROOT / ".venv" / "bench" / self.environment / "bin" / "python"
        names = {"folder": folder, "peers": ROOT / "benchmarks/peers", **more}
        words = [each.format(bin=python.parent, **names) for each in self.words.split()]
        return [str(python), *words]


P = TypeVar("P", bound=Program)
_CONFIG = "--config {folder}/config.json"
DLT = "{peers}/dlt_rest_api.py {folder}/config.json {folder}/dlt"
_AIRBYTE = (
    f"{{bin}}/source-declarative-manifest read {_CONFIG}"
    " --catalog {peers}/airbyte_catalog.json --manifest-path {peers}/airbyte.yaml"
)
TAP = Program(
    "This tap", f"-m tap_fullstory_imports {_CONFIG} --catalog {{folder}}/catalog.json"
)
PARALLEL = {"EXTRACT__WORKERS": "4"}
ALL_PEERS = {
    "loop": Program("Plain loop", "{peers}/loop.py {folder}/config.json", "loops"),
    "template": Program(
        "SDK template's tap", f"{{peers}}/template_tap.py {_CONFIG}", "template"
    ),
    "dlt": Program("dlt", DLT, "dlt"),
    "dlt-parallel": Program("dlt, parallel", f"{DLT} --parallel", "dlt", PARALLEL),
    "airbyte": Program("Airbyte", _AIRBYTE, "airbyte"),
}


def checkout(path: Path) -> Program:
    """Return the tap of another checkout; its commit is its label."""
    command = ["git", "-C", str(path), "describe", "--always", "--dirty"]
    commit = subprocess.check_output(command, text=True)  # noqa: S603 - git
    return replace(TAP, label=commit.strip(), root=path.resolve())


def in_turn(
    programs: Sequence[P], rounds: int, run: Callable[[P], Took]
) -> dict[str, list[Took]]:
    """Run the programs in turn, round by round."""
    took = defaultdict[str, list[Took]](list)
    for number in range(rounds):
        for program in programs:
            took[program.label].append(one := run(program))
            LOG.log(f"{number + 1}/{rounds} {program.label}: {one.seconds:.2f} s")
    return took


HEAD = "work|program|seconds|from, to|times|CPU seconds|MB|requests"


def lines(work: str, took: Mapping[str, list[Took]]) -> list[str]:
    """The lines of the table for a work: medians; the first program is the measure."""
    found, own = [], 0.0
    for label, runs in took.items():
        seconds, cpu, peak, requests = map(median, zip(*runs, strict=True))
        own = own or seconds
        cells = f"{seconds:.2f}|{min(runs).seconds:.2f}, {max(runs).seconds:.2f}"
        cells += f"|{seconds / own:.2f}|{cpu:.2f}|{peak:.0f}"
        found.append(f"{work}|{label}|{cells}|{requests:,.0f}")
    return found


def write_inputs(
    folder: Path, settings: object, root: Path = ROOT, *, is_whole: bool = False
) -> None:
    """Write the settings file, and the catalog of a checkout.

    Unless `is_whole`, imported events are the only stream.
    """
    catalog = json.loads(_catalog(root))
    for stream in catalog["streams"]:
        if not is_whole and stream["tap_stream_id"] != "imported_events":
            (top,) = (each for each in stream["metadata"] if not each["breadcrumb"])
            top["metadata"]["selected"] = False
    (folder / "catalog.json").write_text(json.dumps(catalog), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")


@cache
def _catalog(root: Path) -> bytes:
    command = [sys.executable, "-m", "tap_fullstory_imports", "--discover"]
    return subprocess.check_output(command, cwd=root, stderr=subprocess.DEVNULL)  # noqa: S603 - the tap
