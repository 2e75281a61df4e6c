"""The architecture, enforced: dependencies point one way."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "proxy" / "modelfence"

# What each part may import of ours, besides itself.
MAY_IMPORT = {
    "core": set(),
    "yaml_nodes": set(),
    "source_files": set(),
    "document": {"core", "source_files", "yaml_nodes"},
    "policy": {"core", "document", "source_files"},
    "dialects": {"core"},
    "enforcement": {"core"},
    "extraction": {"core"},
    "recording": {"core"},
    "audit": {"core", "enforcement"},
    "replay": {"core", "enforcement", "recording"},
    "adapters": {
        "audit", "core", "document", "enforcement", "extraction", "recording", "redis_url", "source_files", "yaml_nodes",
    },
    "wire": {"core", "enforcement", "source_files"},
    "redis_url": set(),
    "settings": {"core"},
    "settings_upstreams": {"core", "document"},
    "settings_values": {"core", "document", "redis_url", "settings", "settings_upstreams"},
    "settings_geo": {"core", "document", "settings_upstreams"},
    "settings_candidate": {"core", "document"},
    "settings_jwt": {"core", "document", "settings_upstreams"},
    "settings_keys": {
        "core", "document", "settings_candidate", "settings_geo", "settings_jwt", "settings_upstreams", "settings_values",
    },
    "settings_reading": {
        "core", "document", "settings", "settings_candidate", "settings_jwt", "settings_keys", "settings_upstreams",
    },
    "parts": {"adapters", "core", "policy", "settings", "source_files"},
    "assembly": {
        "core", "policy", "dialects", "enforcement", "extraction", "adapters", "parts", "recording", "replay", "settings",
        "source_files", "wire",
    },
    "watchers": {"adapters", "audit", "settings"},
    "wiring": {
        "adapters", "assembly", "core", "dialects", "doors", "enforcement", "extraction", "listening", "parts", "settings",
        "source_files", "token_verifying", "watchers", "wire",
    },
    "listening": {"core", "settings"},
    "doors": {"settings", "source_files", "wire"},
    "token_verifying": {"adapters", "core", "settings"},
    "logs": set(),
    "workers": {"adapters", "core", "listening", "logs", "settings", "source_files", "wiring"},
    "workbench": {
        "adapters", "assembly", "audit", "core", "document", "enforcement", "parts", "policy", "recording", "replay",
        "settings", "settings_keys", "settings_reading", "settings_upstreams", "source_files",
    },
    "demo": {"core", "enforcement", "listening", "settings", "wiring"},
    "cli": {
        "core", "document", "policy", "settings", "settings_reading", "settings_upstreams", "wiring", "workers", "demo",
        "adapters", "assembly", "audit", "listening", "logs", "parts", "replay", "source_files", "workbench",
    },
}  # fmt: skip


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written out in full"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_part_may(path):
    part = part_of(path)
    ours = {name.split(".")[1] for name in imported_names(path) if name.startswith("modelfence.")}
    assert ours - {part} <= MAY_IMPORT[part]


@pytest.mark.parametrize("path", [p for p in modules() if part_of(p) == "core"], ids=lambda path: path.name)
def test_core_knows_only_pure_parts_of_the_standard_library(path):
    pure = {
        "collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "ipaddress", "json", "math", "re",
        "typing", "unicodedata", "zlib", "modelfence",
    }  # fmt: skip
    assert {name.split(".")[0] for name in imported_names(path)} <= pure


def test_only_the_wire_touches_mitmproxy():
    touching = {
        part_of(path) for path in modules() if any(n.split(".")[0] == "mitmproxy" for n in imported_names(path))
    }
    assert touching <= {"wire"}
