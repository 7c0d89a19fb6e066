"""One JSON schema for each stream; shared definitions are in ``fields.json``."""

from __future__ import annotations

import sys
from typing import Any

from singer_sdk.schema.source import SchemaDirectory
from singer_sdk.singerlib.schema import resolve_schema_references
from typing_extensions import override

_SHARED = "fields"


class _Schemas(SchemaDirectory):
    """The schemas in this folder, without references."""

    @override
    def fetch_schema(self, key: str) -> dict[str, Any]:
        shared = {f"{_SHARED}.json": super().fetch_schema(_SHARED)}
        return resolve_schema_references(super().fetch_schema(key), shared)


SCHEMAS = _Schemas(sys.modules[__name__])
