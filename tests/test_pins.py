"""The pins install as they are, whatever is released after them."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
import zipfile
from importlib.metadata import distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from yaml import safe_load

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PINS = ROOT / "requirements"
HASHED = ("ci.txt", "dev.txt")
NEWER = "9999"
# The first pip that takes the pin of `x` for `x[extra]`.
FIRST_GOOD = Version("23.3")
OLDEST_SUPPORTED = Version("22.3")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
INSTALL = re.compile(r"\binstall\b.*requirements/(ci|dev)\.txt")
(WORDS,) = re.findall(r"^PINNED := (.*)$", MAKEFILE, re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    """The packages of a file of pins, and their versions on this Python."""
    text = (PINS / name).read_text(encoding="utf-8")
    lines = re.findall(r"^([\w.-]+==.*?)(?: \\)?$", text, re.MULTILINE)
    found = [Requirement(line) for line in lines]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in found
        if one.marker is None or one.marker.evaluate()
    }


PINNED = {package: pin for name in HASHED for package, pin in pins(name).items()}


def required_with_extras() -> dict[str, list[Requirement]]:
    """What pinned packages require of others with an extra, by the package."""
    found: dict[str, list[Requirement]] = {}
    for package in distributions():
        name = canonicalize_name(package.metadata["Name"])
        for text in package.requires or () if name in PINNED else ():
            one = Requirement(text)
            pin = PINNED.get(canonicalize_name(one.name))
            if one.extras and pin and one.specifier.contains(pin, prereleases=True):
                one.marker = None
                found.setdefault(name, []).append(one)
    return found


def make_wheel(
    folder: Path, name: str, version: str, requirements: list[Requirement]
) -> str:
    """Build an empty wheel; return its hash."""
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {one}" for one in requirements]
    files = {
        "METADATA": "\n".join(metadata),
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{stem}.dist-info/{file}", text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pythons() -> Iterator[tuple[Version, str]]:
    """This Python and those beside it that are supported, each with its pip."""
    base = Path(sys.base_prefix)
    for prefix in {base, *base.parent.iterdir()}:
        for wheel in prefix.glob("lib/python3.*/ensurepip/_bundled/pip-*.whl"):
            version = Version(wheel.name.split("-")[1])
            python = prefix / "bin" / wheel.parts[-4]
            if version >= OLDEST_SUPPORTED and python.exists():
                yield version, str(python)


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, list[str]]:
    """The oldest pip that ensurepip gives, in an environment of its own."""
    folder = tmp_path_factory.mktemp("pip") / "venv"
    if found := [*pythons()]:
        version, python = min(found)
        subprocess.check_call([python, "-m", "venv", folder])  # noqa: S603
        return version, [str(folder / "bin" / "python"), "-m", "pip"]
    # Some distributions keep ensurepip back: there, the pip of this environment.
    empty = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.check_call(empty)  # noqa: S603
    command = [sys.executable, "-m", "pip", "--python", str(folder)]
    return Version(distribution("pip").version), command


@pytest.mark.e2e
class TestFuture:
    """Every package that another one requires with an extra has a newer release."""

    @pytest.fixture(scope="class")
    @staticmethod
    def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Wheels of the pinned versions and of the newer ones; a file with the pins."""
        folder = tmp_path_factory.mktemp("index")
        requirers = required_with_extras()
        required = {one.name for each in requirers.values() for one in each}
        required = {canonicalize_name(name) for name in required}
        assert "coverage" in required  # the one that broke the set-up
        lines = []
        for name in sorted(required | requirers.keys()):
            pin = PINNED[name]
            digest = make_wheel(folder, name, pin, requirers.get(name, []))
            lines.append(f"{name}=={pin} --hash=sha256:{digest}\n")
            if name in required:
                make_wheel(folder, name, NEWER, [])
        (folder / "pins.txt").write_text("".join(lines), encoding="utf-8")
        return folder

    @staticmethod
    def install(
        index: Path, pip: list[str], words: str
    ) -> subprocess.CompletedProcess[str]:
        """Install the pins from the index by an older or a newer pip."""
        options = [
            "--no-index",
            f"--find-links={index}",
            "--no-cache-dir",
            "--isolated",
        ]
        return subprocess.run(  # noqa: S603
            [*pip, "install", *options, *words.split(), index / "pins.txt"],
            capture_output=True,
            text=True,
            check=False,
        )

    def test_old_pip_without_no_deps_fails(
        self, index: Path, pip: tuple[Version, list[str]]
    ) -> None:
        """An old pip finds the newer release, which has no pin."""
        version, command = pip
        if version >= FIRST_GOOD:
            pytest.skip(f"pip {version} is newer than the fault")
        done = self.install(index, command, WORDS.replace("--no-deps ", ""))
        assert done.returncode != 0
        assert "must have their versions pinned" in done.stderr

    def test_newer_releases_leave_the_pinned_versions(
        self, index: Path, pip: tuple[Version, list[str]]
    ) -> None:
        """By the words of the Makefile."""
        _, command = pip
        done = self.install(index, command, WORDS)
        assert done.returncode == 0, done.stderr
        listed = subprocess.check_output([*command, "freeze", "--all"], text=True)  # noqa: S603
        pinned = re.findall(
            r"^(\S+==\S+)", (index / "pins.txt").read_text(), re.MULTILINE
        )
        assert {*pinned} <= {
            f"{canonicalize_name(name)}=={version}"
            for name, _, version in (line.partition("==") for line in listed.split())
        }
        assert NEWER not in listed


def test_every_install_from_hashed_pins_uses_the_same_words() -> None:
    """In the documentation, the examples, the benchmarks and the Makefile."""
    patterns = ("*.md", "docs/*.md", "examples/*/*", "benchmarks/*")
    files = [file for pattern in patterns for file in ROOT.glob(pattern)]
    installs = []
    for file in (ROOT / "Makefile", *filter(Path.is_file, files)):
        text = file.read_text(encoding="utf-8").replace("$(PINNED)", WORDS)
        text = re.sub(r"^PINNED := .*$", "", text, flags=re.MULTILINE)
        assert "--require-hashes" not in text.replace(WORDS, ""), file
        lines = [line for line in text.splitlines() if INSTALL.search(line)]
        installs += [file.name for line in lines if f"{WORDS} requirements/" in line]
        assert all(WORDS in line for line in lines), file
    documents = {"CONTRIBUTING.md", "running.md"}
    assert {*installs} == documents | {"Makefile", "fullstory-imports.yml"}


@pytest.mark.parametrize("name", HASHED)
def test_the_files_for_development_and_ci_have_hashes(name: str) -> None:
    """Every package of them."""
    text = (PINS / name).read_text(encoding="utf-8")
    first_lines = re.findall(r"^\S+==.*$", text, re.MULTILINE)
    assert first_lines
    assert all(line.endswith("\\") for line in first_lines)


def test_no_package_is_pinned_twice_for_this_python() -> None:
    """The file for development adds to the file for CI, or repeats its version."""
    ci, dev = (pins(name) for name in HASHED)
    assert {"meltano", "psycopg"} <= ci.keys()
    for name in ci.keys() & dev.keys():
        assert ci[name] == dev[name]


def plugins() -> list[tuple[str, str]]:
    """The plugins of the Meltano project, and what pip gets to install them."""
    project = safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    kinds = project["plugins"].values()
    return [(one["name"], one["pip_url"]) for kind in kinds for one in kind]


@pytest.mark.parametrize(("name", "pip_url"), plugins())
def test_each_plugin_is_installed_with_constraints(name: str, pip_url: str) -> None:
    """Versions without hashes, as hashes would stop the editable tap."""
    arguments = shlex.split(pip_url)
    path = arguments[arguments.index("-c") + 1]
    file = Path(path.replace("$MELTANO_PROJECT_ROOT", str(ROOT)))
    text = file.read_text(encoding="utf-8")
    assert "--hash" not in text
    assert pins(file.name), name
    for package in arguments[: arguments.index("-c")]:
        if "==" in package:
            assert re.search(rf"^{re.escape(package)}\b", text, re.MULTILINE)


def test_the_tap_s_environment_has_the_versions_of_development() -> None:
    """The versions that the tests run with."""
    assert pins("tap.txt").items() <= PINNED.items()
