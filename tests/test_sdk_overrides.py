"""What the tap overrides and calls in the SDK's internals is still there, as it was.

Each of these changes between the SDK's minor releases without notice. A method that is
renamed would leave the tap's own without a caller, and nothing else would fail: STATE
would run ahead of records, a signal would end with the status 0.
"""

from __future__ import annotations

import inspect
import json
import re
from functools import cached_property
from inspect import getattr_static
from typing import TYPE_CHECKING, Any

import pytest
import singer_sdk
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.pagination import BaseAPIPaginator
from singer_sdk.plugin_base import PluginBase, SingerCommand, _ConfigInput
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.streams.rest import _HTTPStream

from tap_fullstory_imports import client, messages, pagination, streams, tap
from tests.harness import selecting
from tests.stand_in import Job, make_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import Folder
    from tests.stand_in import StandIn

METHODS: dict[tuple[type, str], str] = {
    # Overridden
    (singer_sdk.Stream, "get_records"): "self, context",
    (singer_sdk.Stream, "apply_catalog"): "self, catalog",
    (singer_sdk.Stream, "_write_starting_replication_value"): "self, context",
    (singer_sdk.Stream, "_increment_stream_state"): "self, latest_record, *, context",
    (singer_sdk.Stream, "_write_record_message"): "self, record",
    (singer_sdk.Stream, "_write_state_message"): "self",
    (singer_sdk.Stream, "_write_batch_message"): "self, encoding, manifest",
    (singer_sdk.Stream, "_sync_batches"): "self, batch_config, context",
    (_HTTPStream, "get_http_request"): "self, *, page",
    (_HTTPStream, "validate_response"): "self, response",
    (_HTTPStream, "_request"): "self, prepared_request, context",
    (BaseAPIPaginator, "get_next"): "self, response",
    (BaseAPIPaginator, "continue_if_empty"): "self, response",
    (GenericSingerWriter, "serialize_message"): "self, message",
    (GenericSingerWriter, "write_message"): "self, message",
    (SingerCommand, "make_context"): "self, info_name, args, parent, **extra",
    (singer_sdk.Tap, "discover_streams"): "self",
    (singer_sdk.Tap, "load_state"): "self, state",
    (singer_sdk.Tap, "_handle_termination"): "self, signum, frame",
    (singer_sdk.Tap, "invoke"): ("cls, *, about, about_format, config, state, catalog"),
    (singer_sdk.Tap, "cb_test"): "cls, ctx, param, value",
    (singer_sdk.Tap, "get_singer_command"): "cls",
    (PluginBase, "cb_config"): "cls, ctx, param, value",
    (PluginBase, "_validate_config"): "self, *, raise_errors",
    # Called
    (singer_sdk.Stream, "get_batch_config"): "self, config",
    (_HTTPStream, "_prepare_request"): "self, *, context, page",
    (_HTTPStream, "build_prepared_request"): "self, *args, **kwargs",
    (BaseAPIPaginator, "advance"): "self, response",
    (APIKeyAuthenticator, "__init__"): "self, *args, key, value, location, **kwargs",
    (singer_sdk.Tap, "sync_all"): "self",
    (singer_sdk.Tap, "write_schemas"): "self",
    (singer_sdk.Tap, "run_connection_test"): "self",
    (PluginBase, "append_builtin_config"): "cls, config_jsonschema",
    (PluginBase, "print_about"): "cls, output_format",
    (PluginBase, "print_version"): "cls, print_fn",
}
PROPERTIES: dict[tuple[type, str], type] = {
    # Overridden
    (singer_sdk.Stream, "replication_method"): property,
    (singer_sdk.Stream, "emit_activate_version_messages"): property,
    (_HTTPStream, "url_base"): property,
    (_HTTPStream, "authenticator"): property,
    (_HTTPStream, "user_agent"): cached_property,
    (_HTTPStream, "requests_session"): property,
    (PluginBase, "_env_var_config"): classproperty,
    # Read
    (singer_sdk.Stream, "tap_state"): property,
    (singer_sdk.Stream, "selected"): property,
    (BaseAPIPaginator, "finished"): property,
    (BaseAPIPaginator, "count"): property,
    (BaseAPIPaginator, "current_value"): property,
}


def parameters_of(method: Any) -> str:
    """The names of the parameters; those behind `*` are named only."""
    names, named = [], False
    for parameter in inspect.signature(method).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not named:
            names.append("*")
        named |= parameter.kind in {parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL}
        # Without its annotation and its default.
        bare = parameter.replace(annotation=parameter.empty, default=parameter.empty)
        names.append(str(bare))
    return ", ".join(names)


def function_of(attribute: Any) -> Any:
    """The function behind a method or a property of any kind."""
    if isinstance(attribute, property):
        return attribute.fget
    if isinstance(attribute, cached_property):
        return attribute.func
    return getattr(attribute, "__func__", attribute)


def overrides() -> Iterator[tuple[type, str]]:
    """Each attribute of this package that says that it overrides another."""
    for module in (client, messages, pagination, streams, tap):
        for owner in vars(module).values():
            if inspect.isclass(owner) and owner.__module__ == module.__name__:
                for name, attribute in vars(owner).items():
                    says_so = (attribute, function_of(attribute))
                    if any(getattr(one, "__override__", False) for one in says_so):
                        yield owner, name


def place_of(owner: type, name: str) -> tuple[type, str] | None:
    """Where in the lists an override is found."""
    for base, listed in [*METHODS, *PROPERTIES]:
        if issubclass(owner, base) and listed == name:
            return base, name
    return None


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [(*place, parameters) for place, parameters in METHODS.items()],
    ids=[f"{owner.__name__}.{name}" for owner, name in METHODS],
)
def test_a_method_of_the_sdk_is_as_the_tap_knows_it(
    owner: type, name: str, parameters: str
) -> None:
    assert parameters_of(function_of(getattr_static(owner, name))) == parameters


@pytest.mark.parametrize(
    ("owner", "name", "kind"),
    [(*place, kind) for place, kind in PROPERTIES.items()],
    ids=[f"{owner.__name__}.{name}" for owner, name in PROPERTIES],
)
def test_a_property_of_the_sdk_is_as_the_tap_knows_it(
    owner: type, name: str, kind: type
) -> None:
    assert isinstance(getattr_static(owner, name), kind)


def test_every_override_has_its_place_in_these_lists() -> None:
    ours = list(overrides())
    assert len(ours) > 20

    for owner, name in ours:
        bases = [base for base in owner.__mro__[1:] if name in vars(base)]
        assert bases
        if not bases[0].__module__.startswith("tap_fullstory_imports"):
            assert place_of(owner, name), f"{owner.__name__}.{name}"


def test_an_override_takes_what_the_sdk_gives_it() -> None:
    for owner, name in overrides():
        place = place_of(owner, name)
        if place in METHODS:
            mine = parameters_of(function_of(vars(owner)[name]))
            passes_on = "self, *args, **kwargs"
            assert mine in {METHODS[place], passes_on}, f"{owner.__name__}.{name}"


def test_the_sdk_still_calls_what_the_tap_overrides() -> None:
    called = {
        singer_sdk.Stream: (
            "_increment_stream_state",
            "_sync_batches",
            "_write_batch_message",
            "_write_record_message",
            "_write_starting_replication_value",
            "_write_state_message",
            "emit_activate_version_messages",
            "get_records",
            "replication_method",
        ),
        _HTTPStream: ("get_http_request", "requests_session"),
        BaseAPIPaginator: ("get_next",),
        singer_sdk.Tap: ("discover_streams", "load_state"),
        PluginBase: ("_env_var_config", "_handle_termination", "_validate_config"),
    }
    for owner, names in called.items():
        source = inspect.getsource(inspect.getmodule(owner) or owner)
        for name in names:
            assert re.search(rf"(?:self|cls|stream|paginator)\.{name}\b", source), name


def test_the_settings_of_the_command_line_have_their_fields() -> None:
    given = _ConfigInput()

    assert not given.config
    assert given.parse_env is False


@pytest.mark.parametrize("method", ["INCREMENTAL", "FULL_TABLE", "LOG_BASED"])
@pytest.mark.parametrize("state", [None, {"bookmarks": {}}])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"flattening_enabled": True, "flattening_max_depth": 2},
        {"stream_maps": {"imported_events": {"__alias__": "events"}}},
    ],
    ids=["plain", "flattened", "mapped"],
)
def test_activate_version_is_never_written(
    api: StandIn,
    tap: Folder,
    method: str,
    state: object,
    settings: dict[str, Any],
) -> None:
    api.add(Job("a", rows=make_events(3)))
    catalog = selecting("imported_events")
    for stream in catalog["streams"]:
        assert stream["replication_method"] == "INCREMENTAL"
        stream["replication_method"] = method
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["forced-replication-method"] = method

    run = tap.run(job_ids=["a"], state=state, catalog=catalog, **settings)

    assert run.status == 0
    assert len(run.of_type("RECORD")) == 3
    assert b"ACTIVATE_VERSION" not in run.stdout
    assert run.completed() == {"a": 3}


def test_activate_version_is_no_capability(tap: Folder) -> None:
    about = json.loads(tap.run("--about", "--format=json").stdout)

    assert "activate-version" not in about["capabilities"]
