"""docs/troubleshooting.md explains every error and every warning of the tap."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tap_fullstory_imports

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
HOLE = "…"
# Words of a run without trouble, and of programs that misuse the package.
NO_MESSAGES = {"info", "debug", "RuntimeError"}
# What a setting or a verdict means; the way on of another message; a log line's frame.
NO_SENTENCES = re.compile(
    r"The job is still processing\.|To read all jobs again|.* jobs failed|, entry "
    r"|Failed to parse head| ?Did you mean"
    r"|true or false|.* rows a second|There is no `?batch_config"
    r"|a total of|str \| None|for … s it has answered"
)


def words(text: str) -> str:
    """A text without marks of code, every place for a value as one hole."""
    text = re.sub(r"\{\w*\}|%[sdr]", HOLE, text).replace("`", "")
    return " ".join(text.split())


def fixed(text: str) -> str:
    """The longest part of a message's first sentence that is always the same."""
    sentence = re.split(r"(?<=\.) |(?<=to read): ", words(text).strip(f"{HOLE}. "))[0]
    return max(sentence.split(HOLE), key=len).strip(" .:;,()")


class Messages(ast.NodeVisitor):
    """Collects a module's texts that a user may read in an error or a warning."""

    def __init__(self) -> None:
        """Start without any."""
        self.found: list[str] = []

    def visit_Expr(self, node: ast.Expr) -> None:
        """Leave out docstrings."""
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Leave out what is only logged."""
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        if name not in NO_MESSAGES:
            self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """Leave out the descriptions of settings."""
        if node.arg not in {"description", "title"}:
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """A text with values in it."""
        parts = [
            part.value if isinstance(part, ast.Constant) else HOLE
            for part in node.values
        ]
        self._take("".join(str(part) for part in parts))

    def visit_Constant(self, node: ast.Constant) -> None:
        """A text without values."""
        if isinstance(node.value, str):
            self._take(node.value)

    def _take(self, text: str) -> None:
        if len(fixed(text).split()) > 2 and not NO_SENTENCES.match(words(text)):
            self.found.append(text)


def messages() -> Iterator[str]:
    """Every message of the package."""
    package = Path(tap_fullstory_imports.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path.stem not in {"verdict", "timestamps"}:
            collected = Messages()
            collected.visit(ast.parse(path.read_text(encoding="utf-8")))
            yield from collected.found


MESSAGES = sorted({*messages()})
EXPLAINED = [
    message
    for line in PAGE.split("## What the tap does")[0].splitlines()
    if line.startswith(("| `", "| … "))
    for message in re.findall(r"`([^`]+)`", line.split(" | ")[0])
]


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_explained(message: str) -> None:
    assert fixed(message) in words(PAGE), "explain it in docs/troubleshooting.md"


@pytest.mark.parametrize("message", EXPLAINED)
def test_explained_message_exists(message: str) -> None:
    source = " ".join(map(words, SOURCES))
    for part in words(message).split(HOLE):
        text = part.strip(" .:;,()")
        assert len(text.split()) < 3 or text in source


SOURCES = [
    node.value
    for path in Path(tap_fullstory_imports.__file__).parent.rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
]
