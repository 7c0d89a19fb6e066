"""What is installed beside the tap: declared, explained, its oldest versions tested."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts import audit

ROOT = Path(__file__).parent.parent
ALL = [Requirement(text) for text in requires("tap-fullstory-imports") or ()]
DECLARED = [one for one in ALL if "extra ==" not in str(one.marker)]


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_each_dependency_is_explained_and_tested_at_its_lower_bound(
    requirement: Requirement,
) -> None:
    """In the table of CONTRIBUTING.md, and by `make test-oldest`."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{requirement.name}[`\[]", contributing, re.MULTILINE)
    [lowest] = [one for one in requirement.specifier if one.operator == ">="]
    oldest = (ROOT / "requirements" / "oldest.txt").read_text(encoding="utf-8")
    [pin] = re.findall(rf"^{requirement.name}==(\S+)", oldest, re.MULTILINE)
    assert requirement.specifier.contains(pin)
    assert (pin + ".0.0").startswith(lowest.version + ".")


def test_an_audit_without_answers_does_not_pass() -> None:
    """A package that nobody could judge is not one without faults."""
    fault = {"id": "CVE-1", "fix_versions": ["2"], "aliases": []}
    good = {"name": "a", "version": "1", "vulns": []}
    bad = {"name": "b", "version": "1", "vulns": [fault]}
    unknown = {"name": "c", "skip_reason": "not found"}
    assert audit.judge([good]) == (0, ["No known faults in 1 packages."])
    status, lines = audit.judge([good, bad])
    assert (status, lines) == (1, ["b 1: CVE-1, mended in 2"])
    status, lines = audit.judge([good, unknown])
    assert status == 2
    assert lines[-1].startswith("NOT CHECKED: 1 of 2 packages")
    assert audit.judge([bad, unknown])[0] == 1
    assert audit.judge([])[0] == 2
