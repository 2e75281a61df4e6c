"""The page as it is committed: it belongs to its sources, and names nothing outside this machine."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from modelfence.core.countries import COUNTRIES

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "tools" / "studio"
STATIC = ROOT / "proxy" / "modelfence" / "workbench" / "studio" / "static"


def stamp() -> str:
    """As tools/studio/build.mjs takes it."""
    digest = hashlib.sha256()
    paths = (path.relative_to(SOURCES) for path in SOURCES.rglob("*") if path.is_file())
    for name in sorted(str(path) for path in paths if path.parts[0] != "node_modules"):
        digest.update(name.encode() + b"\0" + (SOURCES / name).read_bytes() + b"\0")
    return digest.hexdigest()


@pytest.mark.parametrize("name", ["studio.js", "studio.css"])
def test_the_bundle_belongs_to_its_sources(name):
    assert (STATIC / name).read_text().startswith(f"/* sources: {stamp()} */"), "run `make studio` and commit"


@pytest.mark.parametrize("name", ["index.html", "icon.svg"])
def test_what_is_copied_is_as_its_source(name):
    assert (STATIC / name).read_bytes() == (SOURCES / "src" / name).read_bytes()


def test_the_page_has_no_script_or_style_of_its_own():
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|https?:", page)


def test_every_country_but_antarctica_and_parts_of_others_is_on_the_map():
    missing = COUNTRIES - set(json.loads((STATIC / "world.json").read_text())["countries"])
    assert missing == {"AQ", "BQ", "BV", "CC", "CX", "GF", "GI", "GP", "MQ", "RE", "SJ", "TK", "TV", "UM", "YT"}


def test_every_package_of_the_bundle_has_its_licence_beside_it():
    licences = (STATIC / "licences.txt").read_text()
    locked = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    for name, package in locked.items():
        if name and not package.get("dev"):
            assert f"{name.removeprefix('node_modules/')} {package['version']} (MIT)" in licences


def test_the_lock_names_no_registry():
    assert "resolved" not in (SOURCES / "package-lock.json").read_text()
