"""The project's own workflows and hooks: checked, and their steps run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

import pytest
from yaml import safe_load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
BIN = ROOT / ".venv" / "bin"
WORKFLOWS = {
    path.stem: safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
JOBS = [
    pytest.param(job, id=f"{workflow}-{name}")
    for workflow, content in WORKFLOWS.items()
    for name, job in content["jobs"].items()
]
HOOKS = safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = [hook for repository in HOOKS["repos"] for hook in repository["hooks"]]
USES = re.compile(r"uses: (\S+?)@(\S+)(?: # (v[\d.]+))?$", re.MULTILINE)
RELEASE = version("tap-fullstory-imports")


def step(workflow: str, job: str, name: str) -> str:
    """The script of one step."""
    steps = WORKFLOWS[workflow]["jobs"][job]["steps"]
    (found,) = [one["run"] for one in steps if one["name"] == name]
    assert isinstance(found, str)
    return found


def bash(
    script: str, folder: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a script with the options that `shell: bash` stands for."""
    return subprocess.run(  # noqa: S603 - the workflow's own
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a package, and an environment that is already set up."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile"):
        shutil.copy(ROOT / name, folder)
    for name in ("tap_fullstory_imports", "requirements"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / ".venv").mkdir()
    for path in (ROOT / ".venv").iterdir():
        if path.name not in {"pinned", "ready"}:
            (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv" / "pinned").touch()
    return folder


def test_matrix_has_the_pythons_of_the_classifiers(tmp_path: Path) -> None:
    output = tmp_path / "output"
    script = step("test", "pythons", "Read the classifiers")
    assert bash(script, GITHUB_OUTPUT=str(output)).returncode == 0
    name, _, listed = output.read_text(encoding="utf-8").strip().partition("=")
    assert name == "versions"
    classifiers = metadata("tap-fullstory-imports").get_all("Classifier") or []
    named = [re.search(r"Python :: (3\.\d+)$", one) for one in classifiers]
    assert safe_load(listed) == [one[1] for one in named if one]


@pytest.mark.parametrize(
    ("result", "status"),
    [("success", 0), ("failure", 1), ("cancelled", 1), ("skipped", 1)],
)
def test_gate_passes_only_after_success(result: str, status: int) -> None:
    job = WORKFLOWS["test"]["jobs"]["gate"]
    assert job["if"] == "always()"
    assert {*job["needs"]} == WORKFLOWS["test"]["jobs"].keys() - {"gate"}
    assert bash(job["steps"][0]["run"], RESULT=result).returncode == status


@pytest.mark.parametrize(
    ("workflow", "job", "name", "expected"),
    [
        ("test", "test", "Test", "bin/pytest"),
        ("zizmor", "zizmor", "Install zizmor", ""),
    ],
)
def test_make_knows_the_targets_of_the_steps(
    workflow: str, job: str, name: str, expected: str
) -> None:
    done = bash(step(workflow, job, name), MAKEFLAGS="--dry-run")
    assert done.returncode == 0, done.stdout
    assert expected in done.stdout


def test_audit_step_passes_without_network() -> None:
    done = bash(step("zizmor", "zizmor", "Audit"), ZIZMOR_OFFLINE="true")
    assert done.returncode == 0, done.stdout


def test_release_builds_the_version_of_the_tag(checkout: Path) -> None:
    done = bash(step("release", "build", "Build the packages"), checkout)
    assert done.returncode == 0, done.stdout
    assert {path.name for path in (checkout / "dist").iterdir()} == {
        f"tap_fullstory_imports-{RELEASE}.tar.gz",
        f"tap_fullstory_imports-{RELEASE}-py3-none-any.whl",
    }
    compare = step(
        "release", "build", "Compare the tag with the version and the changelog"
    )
    for tag, status in ((f"v{RELEASE}", 0), ("v99.0.0", 1)):
        assert bash(compare, checkout, GITHUB_REF_NAME=tag).returncode == status


def test_only_the_job_that_publishes_gets_a_token_and_it_runs_no_scripts() -> None:
    for workflow, content in WORKFLOWS.items():
        assert content["permissions"] == {}, workflow
        for name, job in content["jobs"].items():
            is_publishing = (workflow, name) == ("release", "publish")
            assert ("id-token" in job.get("permissions", {})) is is_publishing
            if is_publishing:
                assert not [one for one in job["steps"] if "run" in one]


def test_no_workflow_reads_a_secret() -> None:
    """Trusted publishing needs none, so a pull request can take none."""
    for path in (ROOT / ".github").rglob("*.yml"):
        assert "secrets" not in path.read_text(encoding="utf-8"), path
    assert WORKFLOWS["release"][True] == {"push": {"tags": ["v*"]}}


@pytest.mark.parametrize("job", JOBS)
def test_no_expression_is_part_of_a_script(job: dict[str, Any]) -> None:
    scripts = [one.get("run", "") for one in job.get("steps", [])]
    assert not [script for script in scripts if "${{" in script]


def test_each_action_has_one_commit_everywhere() -> None:
    """In the example too."""
    folders = (ROOT / ".github" / "workflows", ROOT / "examples" / "github-actions")
    texts = [path.read_text() for folder in folders for path in folder.glob("*.yml")]
    found = {use for text in texts for use in USES.findall(text)}
    assert found
    assert len({action for action, *_ in found}) == len(found)
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for _, commit, _ in found)
    assert all(tag for *_, tag in found)


def files_of(hook: dict[str, Any]) -> list[str]:
    """The files for which a hook would run."""
    folders = (ROOT / ".github", ROOT / "examples")
    paths = [*ROOT.glob("*.yml"), *(one for each in folders for one in each.rglob("*"))]
    names = [path.relative_to(ROOT).as_posix() for path in paths if path.is_file()]
    return [name for name in names if re.search(hook["files"], name)]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_hook_passes(hook: dict[str, Any]) -> None:
    """`make lint` and `make types` run those without files of their own."""
    if "files" in hook:
        names = files_of(hook)
        assert names
        done = bash(" ".join([hook["entry"], *names]))
        assert done.returncode == 0, done.stdout
    else:
        command = hook["entry"].replace(".venv/bin", "$(BIN)").partition(" --")[0]
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert f"\t{command}" in makefile


def test_every_job_has_a_timeout() -> None:
    """A job that calls a workflow has those of its jobs."""
    for name, workflow in WORKFLOWS.items():
        for job in workflow["jobs"].values():
            assert ("timeout-minutes" in job) is ("uses" not in job), name


def test_issue_chooser_is_valid() -> None:
    checked = ".github/ISSUE_TEMPLATE/config.yml"
    check = f"{BIN}/check-jsonschema --builtin-schema=vendor.github-issue-config"
    done = bash(f"{check} {checked}")
    assert done.returncode == 0, done.stdout
