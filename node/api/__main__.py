"""Print the OpenAPI document of the API: `make openapi` keeps it in docs/openapi.json."""

import sys

import msgspec

from node.api.app import list_declared
from node.api.openapi import render_document

if __name__ == "__main__":
    sys.stdout.write(msgspec.json.format(render_document(list_declared()), indent=1).decode() + "\n")
