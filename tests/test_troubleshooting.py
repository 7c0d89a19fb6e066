"""docs/troubleshooting.md explains every message of the tap, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tap_fullstory_imports

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
HOLE = "…"
# Words of a run without trouble, and of programs that misuse the package.
NO_MESSAGES = {"info", "debug", "RuntimeError", "TypeError"}
# What a setting means; the way on of another message; a log line's frame.
NO_SENTENCES = re.compile(
    r"The job is still processing\.|To read all jobs again|.* jobs failed|, entry "
    r"|Failed to parse head| ?Did you mean|true or false|a whole number"
    r"|.* rows a second|There is no `?batch_config|…: Jobs to read"
    r"|This stream has no settings|JSON is malformed|a total of|str . None"
    r"|… were read, but"
)


def words(text):
    """A text without marks of code, every place for a value as one hole."""
    text = re.sub(r"\{\w*\}|%[sdr]", HOLE, text).replace("`", "")
    return " ".join(text.split())


def fixed(text):
    """The longest part of a message's first sentence that is always the same."""
    sentence = re.split(r"(?<=\.) |(?<=to read): ", words(text).strip(f"{HOLE}. "))[0]
    return max(sentence.split(HOLE), key=len).strip(" .:;,()")


def texts(node):
    """The texts below a node of a module that a user may read in a message."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        if name in NO_MESSAGES:
            return
    if isinstance(node, ast.keyword) and node.arg in {"description", "title"}:
        return
    if isinstance(node, ast.JoinedStr):
        parts = [getattr(part, "value", HOLE) for part in node.values]
        yield "".join(one if isinstance(one, str) else HOLE for one in parts)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


MODULES = [
    ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(Path(tap_fullstory_imports.__file__).parent.rglob("*.py"))
    if path.stem != "declaration"
]
MESSAGES = sorted(
    {
        text
        for module in MODULES
        for text in texts(module)
        if len(fixed(text).split()) > 2 and not NO_SENTENCES.match(words(text))
    }
)
EXPLAINED = [
    message
    for line in PAGE.split("## What the tap does")[0].splitlines()
    if line.startswith("| ")
    for message in re.findall(r"`([^`]+)`", line.split(" | ")[0])
]
SOURCE = " ".join(words(text) for module in MODULES for text in texts(module))


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_explained(message):
    assert fixed(message) in words(PAGE), "explain it in docs/troubleshooting.md"


@pytest.mark.parametrize("message", EXPLAINED)
def test_explained_message_exists(message):
    for part in words(message).split(HOLE):
        text = part.strip(" .:;,()")
        is_of_meltano = "the message size limit" in message
        assert len(text.split()) < 3 or text in SOURCE or is_of_meltano
