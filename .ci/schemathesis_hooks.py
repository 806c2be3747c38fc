"""Gives well-formed requests values that no schema contains: ids of the catalogue, and values that belong together.

Malformed requests are sent unchanged.
"""

import json
import os
import random
import urllib.request

import schemathesis


def ids(path):
    with urllib.request.urlopen(os.environ["CHATCHONK_URL"] + path) as answer:
        return [row["id"] for row in json.load(answer)["data"]]


KNOWN = {
    "provider": ids("/api/providers"),
    "task": ids("/api/tasks"),
    "model": ids("/api/models?fields=id"),
}


@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.meta.generation.mode.is_positive:
        return
    query = case.query or {}
    # The same request gets the same values in every run.
    choice = random.Random(json.dumps([case.path_parameters, query], sort_keys=True, default=str))
    for name in ("provider", "task"):
        if query.get(name):
            query[name] = [choice.choice(KNOWN[name]) for _ in query[name]]
    # A cursor belongs to the query that returned it; the tests of pages cover cursors.
    query.pop("cursor", None)
    # Cached tokens are part of the input.
    if query.get("cached_tokens"):
        query["input_tokens"] = max(query.get("input_tokens") or 0, query["cached_tokens"])
    # Random ids are never in the catalogue, so every second one is replaced by an existing one.
    if case.path_parameters.get("id") and choice.random() < 0.5:
        kind = "provider" if "/providers/" in case.operation.path else "model"
        case.path_parameters["id"] = choice.choice(KNOWN[kind])
