"""The list from a dict, as the FastAPI tutorial would have it."""

import json
import os

from fastapi import FastAPI

with open(os.environ["LIST"], encoding="utf-8") as file:
    CATALOGUE = json.load(file)

app = FastAPI()


@app.get("/api/models")
def models():
    return CATALOGUE
