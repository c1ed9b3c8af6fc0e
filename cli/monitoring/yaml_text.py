"""Text in YAML that no reader takes for anything else: a string of JSON is one of YAML 1.2 as well."""

import json


def quote(text: str) -> str:
    """Return a text as a double-quoted scalar."""
    return json.dumps(text, ensure_ascii=False)
