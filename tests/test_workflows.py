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
HOOKS = safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = [hook for repository in HOOKS["repos"] for hook in repository["hooks"]]
USES = re.compile(r"uses: ([^@$\s]+)@([0-9a-f]{40}) # v[\d.]+$", re.MULTILINE)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_workflow_has_timeouts_and_no_more_rights_than_it_needs(path):
    text = path.read_text(encoding="utf-8")
    content = safe_load(text)
    assert content["permissions"] == {}
    assert len(USES.findall(text)) == len(re.findall(r"uses: [\w-]+/", text))
    assert path.parent.name == "github-actions" or "secrets." not in text
    for name, job in content["jobs"].items():
        assert ("timeout-minutes" in job) is ("uses" not in job)
        is_publishing = (path.stem, name) == ("release", "publish")
        assert ("id-token" in job.get("permissions", {})) is is_publishing
        for script in (step.get("run", "") for step in job.get("steps", [])):
            assert not (is_publishing and script)
            for target in re.findall(r"^make (\S+)", script, re.MULTILINE):
                assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE)
    if path.stem == "test":
        gate = content["jobs"].pop("gate")
        assert {*gate["needs"]} == content["jobs"].keys()
        assert gate["if"] == "always()"


def test_each_action_has_one_commit_everywhere():
    found = {use for path in FILES for use in USES.findall(path.read_text("utf-8"))}
    assert len({action for action, _ in found}) == len(found)


@pytest.mark.slow
@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
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
    command = [*hook["entry"].split(), *names]
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
