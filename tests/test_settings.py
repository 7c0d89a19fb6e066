"""The settings: their forms, bounds and defaults, from a file and the environment.

A setting that can't be used is told in one sentence that names it, with status 1,
without a traceback and without any setting's value that may be a secret.
"""

from __future__ import annotations

import json
import os
import resource
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.harness import Run, run
from tests.invariants import PREFIX
from tests.stand_in import Answer, Job, StandIn, make_events
from tests.streams import SETTINGS, job_of

if TYPE_CHECKING:
    from tests.harness import Folder

KEY = "na1.c2VjcmV0.not-to-be-shown"
FILES = ("jobs_file", "user_jobs_file")
DEFAULTS: dict[str, Any] = {
    "api_key": None,
    "job_ids": None,
    "jobs_file": None,
    "user_job_ids": None,
    "user_jobs_file": None,
    "api_url": "https://api.fullstory.com",
    "include_schema": False,
    "job_wait_timeout": 300,
    "unfinished_jobs": "defer",
    "missing_jobs": "fail",
    "count_mismatch": "fail",
    "unstorable_characters": "keep",
    "request_timeout": 60,
    "max_attempts": 8,
    "max_retry_wait": 300,
    "max_page_bytes": 268_435_456,
    "user_agent": f"tap-fullstory-imports/{version('tap-fullstory-imports')}",
}
UNUSABLE: list[tuple[str, Any]] = [
    ("api_key", 12),
    ("api_key", True),
    ("api_key", [KEY]),
    ("api_key", {"value": KEY}),
    ("api_key", "   "),
    ("api_key", "Basic "),
    ("api_key", "basic"),
    ("api_key", f"{KEY[:9]}\n{KEY[9:]}"),
    ("api_key", f"{KEY[:9]}\r\n{KEY[9:]}"),
    ("api_key", f"{KEY}\x00"),
    ("api_key", f"{KEY[:9]} {KEY[9:]}"),
    ("api_key", f"{KEY}ü"),
    ("jobs_file", 1),
    ("jobs_file", ["jobs.txt"]),
    ("api_url", 1),
    ("api_url", {"url": "https://api.fullstory.com"}),
    ("include_schema", "maybe"),
    ("include_schema", 2),
    ("include_schema", []),
    ("job_wait_timeout", -1),
    ("job_wait_timeout", -0.5),
    ("job_wait_timeout", "long"),
    ("job_wait_timeout", True),
    ("job_wait_timeout", [1]),
    ("unfinished_jobs", "skip"),
    ("unfinished_jobs", "DEFER"),
    ("unfinished_jobs", True),
    ("missing_jobs", "warn"),
    ("missing_jobs", 0),
    ("count_mismatch", "skip"),
    ("count_mismatch", []),
    ("unstorable_characters", "drop"),
    ("request_timeout", 0),
    ("request_timeout", -1),
    ("request_timeout", 3601),
    ("request_timeout", "soon"),
    ("max_attempts", 0),
    ("max_attempts", 21),
    ("max_attempts", 1.5),
    ("max_attempts", "many"),
    ("max_attempts", True),
    ("max_retry_wait", -1),
    ("max_retry_wait", {}),
    ("concurrency", "\ud800"),
    ("max_page_bytes", 0),
    ("max_page_bytes", 0.5),
    ("max_page_bytes", "256 MiB"),
    ("user_agent", 1),
    ("user_agent", "two\nlines"),
    ("user_agent", "two\r\nX-Header: lines"),
    ("user_agent", "größe"),
    ("user_agent", " "),
    ("stream_maps", KEY),
    ("stream_map_config", KEY),
    ("flattening_enabled", KEY),
    ("batch_config", {"encoding": {"format": KEY}}),
]
UNUSABLE_URLS = [
    "http://api.fullstory.com",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "http://localhost@evil.example",
    "http://127.0.0.1:80@evil.example",
    "http://127.0.0.1@evil.example:8080",
    "http://evil.example#127.0.0.1",
    "http://evil.example?127.0.0.1",
    "http://evil.example\\@127.0.0.1",
    "http://127.0.0.1\\@evil.example",
    "http://127.0.0.1\\.evil.example",
    "http://127.0.0.1%2eevil.example",
    "http://evil.example%00127.0.0.1",
    "http://[::2]",
    "http://[::1].evil.example",
    "http://[::1]evil.example",
    "http://0.0.0.0",
    "http://10.0.0.1",
    "http://\uff11\uff12\uff17.0.0.1",
    "HTTP://api.fullstory.com",
    "ftp://127.0.0.1",
    "file:///etc/hosts",
    "api.fullstory.com",
    "//api.fullstory.com",
    "https://",
    "https:///v2",
    "https:api.fullstory.com",
    "https://api.fullstory.com:port",
    "https://api.fullstory.com:70000",
    "https://api.fullstory.com/?region=eu",
    "https://api.fullstory.com/#eu",
    "https://user@api.fullstory.com",
    f"https://user:{KEY}@api.fullstory.com",
    f"https://:{KEY}@api.fullstory.com",
    "https://api.fullstory.com\nHost: evil.example",
    "https://api.füllstory.com",
    "https://exa mple.com",
    "https://[::1",
    "https://.",
    "https://*.example.com",
    "https://a..b",
    "https://a-label-of-more-than-63-characters-which-no-name-in-the-system-may-have.example",
    " ",
]


def refusal(run: Run) -> str:
    """The sentence with which a run was refused."""
    assert run.status == 1
    assert run.stdout == b""
    assert KEY not in run.stderr
    assert KEY[9:] not in run.stderr
    assert run.errors
    return run.errors[0]


def from_environment(**settings: str) -> Run:
    """Run with settings in the environment."""
    return run(
        ["--config=ENV"],
        environment={PREFIX + name.upper(): text for name, text in settings.items()},
    )


def asked_job_ids(api: StandIn) -> list[str]:
    """The jobs that were asked for, in order."""
    return [request.job_id for request in api.asked(endpoint="imports")]


def add_jobs(api: StandIn, *job_ids: str) -> None:
    """Put small jobs of both kinds into the stand-in."""
    for kind in SETTINGS:
        api.add(*(job_of(kind, job_id, 1) for job_id in job_ids))


@pytest.fixture(params=zip(SETTINGS, FILES, strict=True), ids=[*FILES])
def lists(request: pytest.FixtureRequest, tap: Folder) -> tuple[str, str]:
    """The settings that list jobs of a kind: by their IDs, and by a file."""
    kind, file = request.param
    tap.streams = (f"imported_{kind}",)
    return SETTINGS[kind], file


# What the settings are


def about() -> dict[str, Any]:
    """The JSON schema of the settings, as ``--about`` prints it."""
    schema: dict[str, Any] = json.loads(run(["--about", "--format=json"]).stdout)[
        "settings"
    ]
    return schema


def test_each_setting_has_a_title_a_description_and_its_default() -> None:
    """And there are no others than these and the SDK's."""
    properties = about()["properties"]
    assert DEFAULTS.keys() <= properties.keys()
    for name, default in DEFAULTS.items():
        assert properties[name]["title"]
        assert properties[name]["description"].endswith(".")
        assert properties[name].get("default") == default, name
    assert about()["additionalProperties"] is False
    assert about()["required"] == ["api_key"]


def test_only_the_key_is_marked_as_a_secret() -> None:
    """So that Meltano and `--about` treat it as one."""
    properties = about()["properties"]
    assert [name for name in DEFAULTS if properties[name].get("secret")] == ["api_key"]
    assert properties["api_key"]["writeOnly"] is True


# Faults


def test_one_sentence_is_the_only_error(tap: Folder) -> None:
    """Nothing comes after the sentence that a user can act on."""
    [sentence] = tap.run(job_ids=[]).errors
    assert sentence == (
        "There is no job to read: list the IDs of your import jobs of events in"
        " `job_ids` and those of users in `user_job_ids`, or in files that `jobs_file`"
        " and `user_jobs_file` name."
    )


@pytest.mark.parametrize(("name", "value"), UNUSABLE)
def test_a_setting_that_cannot_be_used_is_refused_by_its_name(
    tap: Folder, api: StandIn, name: str, value: Any
) -> None:
    """In a sentence, before any request."""
    add_jobs(api, "a")
    sentence = refusal(tap.run(**{"job_ids": ["a"], name: value}))
    assert f"`{name}" in sentence
    assert not api.requests


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("api_key", "Basic"),
        ("api_key", f"{KEY[:9]}\n{KEY[9:]}"),
        ("include_schema", "maybe"),
        ("job_wait_timeout", "-1"),
        ("job_wait_timeout", "nan"),
        ("job_wait_timeout", "5 s"),
        ("unfinished_jobs", "wait"),
        ("missing_jobs", "warn"),
        ("count_mismatch", "skip"),
        ("unstorable_characters", "drop"),
        ("request_timeout", "0"),
        ("request_timeout", "nan"),
        ("request_timeout", "inf"),
        ("max_attempts", "0"),
        ("max_attempts", "21"),
        ("max_attempts", "2.5"),
        ("max_retry_wait", "-0.1"),
        ("max_retry_wait", "nan"),
        ("max_page_bytes", "-1"),
        ("user_agent", "two\nlines"),
        ("job_ids", "a,,b"),
        ("job_ids", "[broken"),
        ("jobs_file", "no/such/file"),
        ("api_url", "http://api.fullstory.com"),
    ],
)
def test_the_environment_is_checked_alike(api: StandIn, name: str, text: str) -> None:
    """With the same sentences."""
    add_jobs(api, "a")
    settings = {"api_key": api.api_key, "api_url": api.url, "job_ids": "a"}
    assert f"`{name}`" in refusal(from_environment(**{**settings, name: text}))
    assert not api.requests


@pytest.mark.parametrize("name", ["jobids", "api_keys", "token", "start_date", "x" * 9])
def test_an_unknown_setting_is_refused_by_its_name(tap: Folder, name: str) -> None:
    """Its value, which may be a mistyped key, is not shown."""
    settings: dict[str, Any] = {"job_ids": ["a"], name: KEY}
    assert f"There is no setting `{name}`." in refusal(tap.run(**settings))


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_unknown_setting_without_a_value_is_refused(
    tap: Folder, nothing: str | None
) -> None:
    """Its name is the mistake."""
    path = tap.write("config.json", {"api_key": KEY, "job_ids": "a", "jobz": nothing})
    assert "`jobz`" in refusal(run(["--config", str(path)]))


def test_a_mistyped_setting_comes_with_a_hint(tap: Folder) -> None:
    """The nearest name is proposed."""
    assert "`api_key`?" in refusal(tap.run(job_ids=["a"], api_kei=KEY))


def test_all_faults_are_told_at_once(tap: Folder) -> None:
    """So that a user mends them in one go."""
    run = tap.run(
        job_ids=["a", ""], max_attempts=0, missing_jobs="x", jobz=1, stream_maps="x"
    )
    assert run.errors == [
        "`job_ids`, entry 2 is empty.",
        "There is no setting `jobz`.",
        "`max_attempts` must be a whole number, at least 1, at most 20.",
        "`missing_jobs` must be `fail` or `skip`.",
        "`stream_maps` must be an object.",
    ]


def test_the_key_is_required(tap: Folder, api: StandIn) -> None:
    """In a file and in the environment."""
    assert "`api_key`" in refusal(tap.run(api_key=None, job_ids=["a"]))
    assert "`api_key`" in refusal(from_environment(job_ids="a", api_url=api.url))
    assert "`api_key`" in refusal(run([]))
    assert "`api_key`" in refusal(tap.run(api_key="", job_ids=["a"]))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"job_ids": []},
        {"job_ids": ""},
        {"job_ids": "[]"},
        {"jobs_file": ""},
        {"job_ids": [], "user_job_ids": [], "jobs_file": "", "user_jobs_file": ""},
    ],
)
def test_without_a_job_there_is_nothing_to_run(
    tap: Folder, settings: dict[str, Any]
) -> None:
    """The sentence names both settings that could hold one."""
    sentence = refusal(tap.run(**settings))
    assert "`job_ids`" in sentence
    assert "`jobs_file`" in sentence
    assert "`user_job_ids`" in sentence
    assert "`user_jobs_file`" in sentence


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"api_key": "' + KEY,
        "[]",
        "[1]",
        "null",
        "5",
        '"text"',
        b"\xff\xfe",
        pytest.param("[" * 100_000, id="nested deeply"),
    ],
)
def test_a_file_of_settings_that_cannot_be_read_is_refused(
    tap: Folder, content: str | bytes
) -> None:
    """The sentence names the option."""
    path = tap.write("broken.json", content)
    assert "`--config`" in refusal(run(["--config", str(path)]))


@pytest.mark.parametrize("path", ["/no/such/file", "/"])
def test_a_missing_file_of_settings_is_refused(path: str) -> None:
    """The sentence names the option and the path."""
    sentence = refusal(run(["--config", path]))
    assert "`--config`" in sentence
    assert path in sentence


# Values


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("include_schema", [True, False, "true", "FALSE", "1", "0", "yes", " Off "]),
        ("job_wait_timeout", [0, 0.5, 300, "300", "0", "1.5", 86_400]),
        ("unfinished_jobs", ["defer", "fail"]),
        ("missing_jobs", ["fail", "skip"]),
        ("count_mismatch", ["fail", "warn"]),
        ("unstorable_characters", ["keep", "replace"]),
        ("request_timeout", [0.5, 60, "60", 3600]),
        ("max_attempts", [1, 8, 20, "20"]),
        ("max_retry_wait", [0, 0.5, 300, "300"]),
        ("max_page_bytes", [100_000, "100000", 10**12]),
        ("user_agent", ["mine/2", "Mine (a b; c)"]),
    ],
)
def test_each_value_within_the_bounds_is_accepted(
    tap: Folder, api: StandIn, name: str, values: list[Any]
) -> None:
    """From a file; its text forms from the environment too."""
    add_jobs(api, "a")
    settings = {"api_key": api.api_key, "api_url": api.url, "job_ids": "a"}
    for value in values:
        assert tap.run(**{"job_ids": ["a"], name: value}).status == 0, value
        assert from_environment(**{**settings, name: str(value)}).status == 0, value


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize(
    "name", sorted(DEFAULTS.keys() - {"api_key", "api_url", "job_ids"})
)
def test_a_setting_that_nobody_has_set_takes_its_default(
    tap: Folder, api: StandIn, name: str, nothing: str | None
) -> None:
    """Meltano passes null or an empty text for those."""
    add_jobs(api, "a")
    config = {"api_key": api.api_key, "api_url": api.url, "job_ids": ["a"]}
    config_with_nothing = {**config, name: nothing}
    path = tap.write("config.json", config_with_nothing)
    done = run(["--config", str(path)])
    assert done.status == 0
    assert done.completed() == {"a": 1}


def test_settings_of_a_file_and_of_the_environment_go_together(
    tap: Folder, api: StandIn
) -> None:
    """A key in the environment, the rest in a file, which may be more than one."""
    add_jobs(api, "a", "b")
    url = tap.write("url.json", {"api_url": api.url})
    jobs = tap.write("jobs.json", {"job_ids": ["a", "b"]})
    done = run(
        ["--config", str(url), "--config=ENV", "--config", str(jobs)],
        environment={PREFIX + "API_KEY": api.api_key},
    )
    assert done.status == 0
    assert done.completed() == {"a": 1, "b": 1}


def test_the_environment_is_read_only_if_asked_for(tap: Folder, api: StandIn) -> None:
    """A file alone is the whole truth."""
    add_jobs(api, "a")
    done = run(tap.arguments(job_ids=["a"]), environment={PREFIX + "JOB_IDS": "other"})
    assert done.completed() == {"a": 1}
    assert asked_job_ids(api) == ["a"]


@pytest.mark.parametrize("name", ["JOB_IDZ", "API_KEYS", "CONCURENCY", "_LOGLEVEL"])
def test_other_variables_of_the_environment_are_ignored(
    api: StandIn, name: str
) -> None:
    """Meltano has variables of its own that begin in the same way."""
    add_jobs(api, "a")
    settings = {"api_key": api.api_key, "api_url": api.url, "job_ids": "a"}
    done = from_environment(**settings, **{name: "x"})
    assert done.status == 0
    assert not done.warnings


def test_the_sdks_own_settings_come_from_the_environment_too(api: StandIn) -> None:
    """As JSON text."""
    add_jobs(api, "a")
    done = from_environment(
        api_key=api.api_key,
        api_url=api.url,
        job_ids="a",
        stream_maps='{"imported_events": {"name": "name.upper()"}}',
    )
    assert done.status == 0
    [record] = done.records()
    assert record["name"] == make_events(1)[0]["name"].upper()


# Job IDs


@pytest.mark.parametrize(
    ("value", "job_ids"),
    [
        (["a", "b"], ["a", "b"]),
        (["b", "a", "b"], ["b", "a"]),
        ([" a ", "\tb\n", "a"], ["a", "b"]),
        ([7, "8", 12345678901234567890], ["7", "8", "12345678901234567890"]),
        ('["b", "a", 7]', ["b", "a", "7"]),
        (' \n["a"] ', ["a"]),
        ("a", ["a"]),
        ("b,a", ["b", "a"]),
        (" b , a ,b", ["b", "a"]),
        ("7, 007", ["7", "007"]),
        ("a b,c", ["a b", "c"]),
        (7, ["7"]),
        ("abd123=", ["abd123="]),
    ],
)
def test_job_ids_come_as_a_list_as_json_or_with_commas(
    tap: Folder, api: StandIn, lists: tuple[str, str], value: Any, job_ids: list[str]
) -> None:
    """Stripped, without duplicates, in their order; each is asked for once."""
    add_jobs(api, *job_ids)
    done = tap.run(**{lists[0]: value})
    assert done.status == 0
    assert asked_job_ids(api) == job_ids
    assert done.completed(*tap.streams) == dict.fromkeys(job_ids, 1)
    api.clear()
    text = value if isinstance(value, str) else json.dumps(value)
    settings = {"api_key": api.api_key, "api_url": api.url, lists[0]: text}
    done = from_environment(**settings, concurrency="1")
    assert done.status == 0
    assert asked_job_ids(api) == job_ids


@pytest.mark.parametrize(
    "value",
    [
        [""],
        ["a", " "],
        "a,",
        ",",
        "a,,b",
        ["."],
        [".."],
        "a,..",
        ["a\x00b"],
        ["a\nb"],
        ["a\tb"],
        ["a\x7f"],
        ["a\x85b"],
        ["\x1b[2J"],
        ["a\ud800"],
        [None],
        [True],
        [1.5],
        [["a"]],
        [{"id": "a"}],
        {"id": "a"},
        True,
        1.5,
        '["a"',
        "[a, b]",
        '[["a"]]',
        pytest.param("[" * 100_000, id="nested deeply"),
    ],
)
def test_job_ids_that_cannot_be_used_are_refused(
    tap: Folder, api: StandIn, lists: tuple[str, str], value: Any
) -> None:
    """The sentence names the setting."""
    add_jobs(api, "a", "b")
    assert f"`{lists[0]}`" in refusal(tap.run(**{lists[0]: value}))
    assert not api.requests


def test_the_sentence_says_which_entry_is_wrong(
    tap: Folder, lists: tuple[str, str]
) -> None:
    """Among thousands it would be hard to find."""
    wrong: dict[str, Any] = {lists[0]: ["a", "b", "", "c"]}
    assert "entry 3" in refusal(tap.run(**wrong))
    path = tap.write("jobs.txt", "a\n# comment\n..\n")
    wrong = {lists[1]: str(path)}
    assert "line 3" in refusal(tap.run(**wrong))


# The jobs file


@pytest.mark.parametrize(
    ("content", "job_ids"),
    [
        ("a\nb", ["a", "b"]),
        ("a\nb\n", ["a", "b"]),
        ("\n\n a \n\t\nb\t\na\n", ["a", "b"]),
        ("# jobs of May\na\n  # b\n#c\nd", ["a", "d"]),
        ("a\r\nb\r\n\r\n# c\r\n", ["a", "b"]),
        ("\ufeffa\nb", ["a", "b"]),
        ("\ufeff# first\na", ["a"]),
        ('["a", "b", 7]', ["a", "b", "7"]),
        ('\ufeff\n[\r\n"a",\r\n"b"]\r\n', ["a", "b"]),
        ("a,b", ["a,b"]),
        ("ü 1\n", ["ü 1"]),
        ("007", ["007"]),
        ("a#b", ["a#b"]),
        ("a\u2028b", ["a\u2028b"]),
    ],
)
def test_a_jobs_file_has_lines_or_a_json_array(
    tap: Folder, api: StandIn, lists: tuple[str, str], content: str, job_ids: list[str]
) -> None:
    """With comments, blank lines, any line ends and a byte order mark."""
    add_jobs(api, *job_ids)
    settings: dict[str, Any] = {lists[1]: str(tap.write("jobs.txt", content.encode()))}
    done = tap.run(**settings)
    assert done.status == 0
    assert asked_job_ids(api) == job_ids


def test_a_jobs_file_is_joined_with_the_list(
    tap: Folder, api: StandIn, lists: tuple[str, str]
) -> None:
    """The list comes first, and duplicates are dropped over both."""
    add_jobs(api, "a", "b", "c")
    path = tap.write("jobs.txt", "c\na\n")
    settings: dict[str, Any] = {lists[0]: ["b", "a"], lists[1]: str(path)}
    done = tap.run(**settings)
    assert done.status == 0
    assert asked_job_ids(api) == ["b", "a", "c"]


def test_a_jobs_file_may_be_in_the_home_folder(
    tap: Folder, api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell does not expand a path that stands in a file."""
    add_jobs(api, "a")
    tap.write("jobs.txt", "a")
    monkeypatch.setenv("HOME", str(tap.path))
    monkeypatch.setenv("USERPROFILE", str(tap.path))
    assert tap.run(jobs_file="~/jobs.txt").status == 0


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfea\x00\n\x00",
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"a\x00b\n",
        b"caf\xe9\n",
        b".\n",
        b"a\n..\n",
        b'["a"',
        b"[a]",
        b'["a", null]',
        b'[""]',
        pytest.param(b"[" * 100_000, id="nested deeply"),
        b"",
        b"\n# nothing but a comment\n",
        b"[]",
    ],
)
def test_a_jobs_file_that_cannot_be_used_is_refused(
    tap: Folder, api: StandIn, lists: tuple[str, str], content: bytes
) -> None:
    """The sentence names the setting."""
    settings: dict[str, Any] = {lists[1]: str(tap.write("jobs.txt", content))}
    assert f"`{lists[1]}`" in refusal(tap.run(**settings))
    assert not api.requests


@pytest.mark.parametrize("path", ["no/such/file", "/", "a\x00b", "~nobody-here/x"])
def test_a_jobs_file_that_cannot_be_read_is_refused(
    tap: Folder, lists: tuple[str, str], path: str
) -> None:
    """The sentence names the setting, on one line."""
    settings: dict[str, Any] = {lists[1]: path}
    assert f"`{lists[1]}`" in refusal(tap.run(**settings))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX only")
@pytest.mark.parametrize("kind", ["device", "endless device", "pipe", "folder"])
def test_a_jobs_file_that_is_no_regular_file_is_refused(
    tap: Folder, api: StandIn, kind: str
) -> None:
    """Before it is opened: a pipe would wait for a writer, a device might not end."""
    pipe = tap.path / "pipe"
    os.mkfifo(pipe)
    path = {
        "device": "/dev/null",
        "endless device": "/dev/zero",
        "pipe": str(pipe),
        "folder": str(tap.path),
    }[kind]
    process = tap.start(jobs_file=path)
    if hasattr(resource, "prlimit"):  # what reads without end must not harm others
        limit = 2 * 1024**3
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
    try:
        sentence = refusal(process.collect(seconds=10))
    finally:
        process.kill()
        process.communicate()
    for text in ("`jobs_file`", path, "regular file"):
        assert text in sentence
    assert not api.requests


def test_a_jobs_file_of_more_than_64_mib_is_refused(tap: Folder, api: StandIn) -> None:
    """It is a wrong path: 100,000 IDs are a few megabytes."""
    path = tap.write("jobs.txt", "a\n#")
    with path.open("ab") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    sentence = refusal(tap.run(jobs_file=str(path)))
    for text in ("`jobs_file`", str(path), "64 MiB"):
        assert text in sentence
    assert not api.requests


def test_a_jobs_file_that_cannot_be_read_fails_a_run_that_has_a_list(
    tap: Folder, api: StandIn
) -> None:
    """Half of the jobs would be missing without a word."""
    add_jobs(api, "a")
    assert "`jobs_file`" in refusal(tap.run(job_ids=["a"], jobs_file="no/such/file"))
    assert not api.requests


# Where the requests go


@pytest.mark.parametrize("url", UNUSABLE_URLS)
def test_an_api_url_that_is_no_safe_address_is_refused(
    tap: Folder, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent, and a password in it is not shown."""
    sent = requests_kept(monkeypatch)
    assert "`api_url`" in refusal(tap.run(job_ids=["a"], api_url=url))
    assert not sent


def requests_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> list[tuple[requests.PreparedRequest, dict[str, Any]]]:
    """Let no request out: keep what would have been sent, and how."""
    sent: list[tuple[requests.PreparedRequest, dict[str, Any]]] = []

    def send(
        _: object, request: requests.PreparedRequest, **how: Any
    ) -> requests.Response:
        sent.append((request, how))
        raise requests.ConnectionError

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    return sent


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://api.fullstory.com", "https://api.fullstory.com"),
        ("https://api.eu1.fullstory.com/", "https://api.eu1.fullstory.com"),
        (" https://api.fullstory.com ", "https://api.fullstory.com"),
        ("HTTPS://api.fullstory.com", "https://api.fullstory.com"),
        ("https://proxy.example:8443//", "https://proxy.example:8443"),
        ("http://127.0.0.1:81", "http://127.0.0.1:81"),
        ("http://127.1.2.3", "http://127.1.2.3"),
        ("http://localhost:81/", "http://localhost:81"),
        ("http://LOCALHOST", "http://localhost"),
        ("http://[::1]:81", "http://[::1]:81"),
        ("http://[::1]", "http://[::1]"),
    ],
)
def test_https_goes_anywhere_and_http_to_this_machine(
    tap: Folder, monkeypatch: pytest.MonkeyPatch, url: str, base: str
) -> None:
    """With or without a port and a slash at the end."""
    sent = requests_kept(monkeypatch)
    tap.run(job_ids=["a"], api_url=url, max_attempts=1)
    [(request, _)] = sent
    assert request.url == f"{base}/v2/events/batch/a/imports"


def test_the_default_is_fullstorys_own_address(
    tap: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS, with its certificate verified."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    sent = requests_kept(monkeypatch)
    path = tap.write("config.json", {"api_key": KEY, "job_ids": "a", "max_attempts": 1})
    run(["--config", str(path)])
    assert sent
    for request, _ in sent:
        assert str(request.url).startswith("https://api.fullstory.com/v2/events/batch/")
    for _, how in sent:
        assert how["verify"] is True


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/events/batch", "/gate/way/"])
def test_an_api_url_with_a_path_is_refused(
    tap: Folder, api: StandIn, path: str
) -> None:
    """The sentence says that the tap adds the path itself."""
    add_jobs(api, "a")
    sentence = refusal(tap.run(job_ids=["a"], api_url=f"{api.url}{path}"))
    for text in ("`api_url`", "without a path", "/v2/"):
        assert text in sentence
    assert not api.requests


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_sees_what_goes_to_this_machine(
    tap: Folder, api: StandIn, name: str
) -> None:
    """The key would travel to it in clear."""
    add_jobs(api, "a")
    with StandIn() as proxy:
        environment = {name: proxy.url, "NO_PROXY": "", "no_proxy": ""}
        done = run(tap.arguments(job_ids=["a"]), environment=environment)
        assert done.status == 0
        assert not proxy.requests
    assert asked_job_ids(api) == ["a"]


def test_a_proxy_and_certificates_of_the_environment_serve_https(
    tap: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As companies need it."""
    sent = requests_kept(monkeypatch)
    bundle = tap.write("bundle.pem", "")
    run(
        tap.arguments(
            job_ids=["a"], api_url="https://api.fullstory.com", max_attempts=1
        ),
        environment={
            "HTTPS_PROXY": "http://proxy.example:3128",
            "REQUESTS_CA_BUNDLE": str(bundle),
            "NO_PROXY": "",
            "no_proxy": "",
        },
    )
    [(_, how)] = sent
    assert how["proxies"]["https"] == "http://proxy.example:3128"
    assert how["verify"] == str(bundle)


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_address_that_nobody_has_set_is_fullstorys(
    tap: Folder, monkeypatch: pytest.MonkeyPatch, nothing: str | None
) -> None:
    """As with the other settings."""
    sent = requests_kept(monkeypatch)
    config = {"api_key": KEY, "job_ids": "a", "max_attempts": 1, "api_url": nothing}
    run(["--config", str(tap.write("config.json", config))])
    assert sent
    for request, _ in sent:
        assert str(request.url).startswith("https://api.fullstory.com/")


@pytest.mark.parametrize("url", ["https://api.fullstory.com", None])
def test_a_netrc_file_does_not_replace_the_key(
    tap: Folder,
    api: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    url: str | None,
) -> None:
    """Requests would put its password in the place of the key."""
    sent = requests_kept(monkeypatch)
    netrc = tap.write("netrc", "default login me password other\n")
    run(
        tap.arguments(job_ids=["a"], api_url=url or api.url, max_attempts=1),
        environment={"NETRC": str(netrc)},
    )
    [(request, _)] = sent
    assert request.headers["Authorization"] == f"Basic {api.api_key}"


# What is sent


@pytest.mark.parametrize(
    "form", ["{}", "Basic {}", "basic {}", "BASIC   {}", " Basic {} ", "{}\n", "\t{}"]
)
def test_the_key_is_sent_as_it_is_with_or_without_basic(
    tap: Folder, api: StandIn, form: str
) -> None:
    """People paste it in either form."""
    add_jobs(api, "a")
    assert tap.run(job_ids=["a"], api_key=form.format(api.api_key)).status == 0
    [request] = api.requests
    assert request.headers["Authorization"] == f"Basic {api.api_key}"


@pytest.mark.parametrize(
    ("settings", "user_agent"),
    [({}, DEFAULTS["user_agent"]), ({"user_agent": "mine/2 (x)"}, "mine/2 (x)")],
)
def test_the_user_agent_is_sent(
    tap: Folder, api: StandIn, settings: dict[str, Any], user_agent: str
) -> None:
    """To the pages and to the status."""
    api.add(Job("a", rows=make_events(3), page_size=2, total=5))
    assert tap.run(job_ids=["a"], **settings).status == 0
    assert [request.endpoint for request in api.requests][-1] == "status"
    assert {request.headers["User-Agent"] for request in api.requests} == {user_agent}


def test_include_schema_is_sent_when_a_page_is_tried_again(
    tap: Folder, api: StandIn
) -> None:
    """Or rows of one job would differ."""
    script: dict[str, list[Answer | None]] = {"imports:1": [Answer(status=500)]}
    api.add(Job("a", rows=make_events(3), page_size=2, script=script))
    assert tap.run(job_ids=["a"], include_schema=True).status == 0
    assert [request.query["include_schema"] for request in api.requests] == ["true"] * 3
