"""Gives well-formed requests values that a schema cannot know: what is in the catalogue, and what belongs together.

Malformed requests go out as they were made.
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
    # A cursor belongs to the query that it came from; the tests of pages follow them.
    query.pop("cursor", None)
    # Cached tokens are some of the prompt's.
    if query.get("cached_tokens"):
        query["input_tokens"] = max(query.get("input_tokens") or 0, query["cached_tokens"])
    # Ids made at random are never in the catalogue: every second one is replaced by one that is.
    if case.path_parameters.get("id") and choice.random() < 0.5:
        kind = "provider" if "/providers/" in case.operation.path else "model"
        case.path_parameters["id"] = choice.choice(KNOWN[kind])
