"""A plain loop over all pages. It has no retries and no state.

Arguments: the settings file, and the JSON library, ``msgspec`` or ``json``.
"""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path

import msgspec
import requests


def main() -> None:
    """Read all jobs, one after the other."""
    is_fast = sys.argv[2] == "msgspec"
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    session = requests.Session()
    session.headers["Authorization"] = f"Basic {settings['api_key']}"
    decode = msgspec.json.Decoder().decode if is_fast else json.loads
    encoder = msgspec.json.Encoder()
    about = {"type": "RECORD", "stream": "imported_events"}
    for job_id in settings["job_ids"]:
        url = f"{settings['api_url']}/v2/events/batch/{job_id}/imports"
        numbers = count()
        token: str | None = ""
        while token is not None:
            params = {"page_token": token} if token else None
            response = session.get(url, params=params, timeout=60)
            response.raise_for_status()
            page = decode(response.content)
            messages = []
            for event in page["results"]:
                event |= {"job_id": job_id, "event_index": next(numbers)}
                messages.append({**about, "record": event})
            if is_fast:
                sys.stdout.buffer.write(encoder.encode_lines(messages))
            else:
                sys.stdout.writelines(json.dumps(each) + "\n" for each in messages)
            token = page.get("next_page_token")


main()
