"""PyAirbyte from the API into a database: the low-code source, with its cache there.

Arguments: the settings file; the folder that it may use; the database.
"""

import json
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import airbyte
from airbyte.caches import PostgresCache
from yaml import safe_load


def main() -> None:
    """Load the events of all jobs."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    manifest = safe_load(Path(__file__).with_name("airbyte.yaml").read_bytes())
    # PyAirbyte reads the manifest before it has the settings.
    manifest["concurrency_level"]["default_concurrency"] = settings["concurrency"]
    source = airbyte.get_source(
        "source-fullstory", config=settings, source_manifest=manifest
    )
    source.select_streams(["imported_events"])
    url = urlsplit(sys.argv[3])
    cache = PostgresCache(
        host=url.hostname,
        port=url.port,
        username=url.username,
        password=unquote(url.password or ""),
        database=url.path.strip("/"),
        schema_name="fullstory",
        cache_dir=sys.argv[2],
    )
    source.read(cache=cache, force_full_refresh=True)


if __name__ == "__main__":
    main()
