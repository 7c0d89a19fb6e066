"""Workflows, the example's too, and hooks: what linters and a reading of them find."""

from __future__ import annotations

import re
import subprocess

import pytest
from yaml import safe_load

from tests.project import ROOT

FILES = [
    *sorted((ROOT / ".github" / "workflows").glob("*.yml")),
    *sorted((ROOT / "examples" / "github-actions").glob("*.yml")),
]
WORKFLOWS = {path.stem: safe_load(path.read_text(encoding="utf-8")) for path in FILES}
JOBS = [
    pytest.param(workflow, name, job, id=f"{workflow}-{name}")
    for workflow, content in WORKFLOWS.items()
    for name, job in content["jobs"].items()
]
HOOKS = safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = [hook for repository in HOOKS["repos"] for hook in repository["hooks"]]
CHOOSER = {
    "id": "check-issue-chooser",
    "entry": ".venv/bin/check-jsonschema --builtin-schema=vendor.github-issue-config",
    "files": r"^\.github/ISSUE_TEMPLATE/config\.yml$",
}
USES = re.compile(r"uses: ([^@$\s]+)@(\S+)(?: # (v[\d.]+))?$", re.MULTILINE)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize(("workflow", "name", "job"), JOBS)
def test_job_has_a_timeout_and_no_more_rights_than_it_needs(workflow, name, job):
    assert ("timeout-minutes" in job) is ("uses" not in job)
    scripts = [one["run"] for one in job.get("steps", []) if "run" in one]
    assert not [script for script in scripts if "${{" in script]  # it would be run
    is_publishing = (workflow, name) == ("release", "publish")
    assert ("id-token" in job.get("permissions", {})) is is_publishing
    assert not (is_publishing and scripts)
    for target in re.findall(r"^make (\S+)", "\n".join(scripts), re.MULTILINE):
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE)


def test_no_workflow_of_the_project_reads_a_secret():
    for path in (ROOT / ".github").rglob("*.yml"):
        assert "secrets" not in path.read_text(encoding="utf-8"), path
    assert WORKFLOWS["release"][True] == {"push": {"tags": ["v*"]}}
    assert all(content["permissions"] == {} for content in WORKFLOWS.values())


def test_gate_needs_all_other_jobs():
    jobs = WORKFLOWS["test"]["jobs"]
    assert {*jobs["gate"]["needs"]} == jobs.keys() - {"gate"}
    assert jobs["gate"]["if"] == "always()"


def test_each_action_has_one_commit_everywhere():
    texts = [path.read_text(encoding="utf-8") for path in FILES]
    found = {use for text in texts for use in USES.findall(text)}
    assert found
    assert len({action for action, *_ in found}) == len(found)
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for _, commit, _ in found)
    assert all(tag for *_, tag in found)


@pytest.mark.slow
@pytest.mark.parametrize("hook", [*HOOKS, CHOOSER], ids=lambda hook: hook["id"])
def test_hook_passes(hook):
    """`make lint` and `make types` run those without files of their own."""
    if "files" not in hook:
        command = hook["entry"].replace(".venv/bin", "$(BIN)").partition(" --")[0]
        assert f"\t{command}" in MAKEFILE
        return
    folders = (ROOT / ".github", ROOT / "examples")
    paths = [*ROOT.glob("*.yml"), *(one for each in folders for one in each.rglob("*"))]
    names = [path.relative_to(ROOT).as_posix() for path in paths if path.is_file()]
    names = [name for name in names if re.search(hook["files"], name)]
    assert names
    done = subprocess.run(  # noqa: S603
        [*hook["entry"].split(), *names],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
