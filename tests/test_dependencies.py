"""What the tap requires: each package with a lower bound and a reason."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
ALL = [Requirement(text) for text in requires("tap-fullstory-imports") or ()]
DECLARED = [one for one in ALL if "extra ==" not in str(one.marker)]


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_each_dependency_has_a_lower_bound_and_a_reason(requirement):
    """The reason is in CONTRIBUTING.md; `make test-oldest` tests the bound."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{requirement.name}[`\[]", contributing, re.MULTILINE)
    assert [one for one in requirement.specifier if one.operator == ">="]
