"""Validates Kubernetes' own objects, a JSON list of [version, object] on standard input; prints what is wrong as JSON.

Runs in the environment of requirements-chart.lock. Strict: an unknown field is an error, and so is an unknown kind.
"""

from __future__ import annotations

import functools
import json
import sys

import kubernetes_validate
from kubernetes_validate import utils

# The definitions of a version are megabytes, which it would read again for each object.
utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)


def problem(version: str, item: dict[str, object]) -> str | None:
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        path = ".".join(str(part) for part in error.path)
        return f"{path}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        return str(error.message)
    return None


def main() -> None:
    problems = []
    for version, item in json.load(sys.stdin):
        if found := problem(version, item):
            problems.append(f"Kubernetes {version}, {item['kind']} {item['metadata']['name']}: {found}")
    json.dump(problems, sys.stdout)


if __name__ == "__main__":
    main()
