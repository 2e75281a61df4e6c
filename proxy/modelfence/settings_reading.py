"""Reading the settings: file, then environment, then flags, into one value that is checked once.

Each key has one reader in `settings_keys`, and each source hands it a node, so every source is checked alike. An
environment variable is named after its key: `geo.country` is MODELFENCE_GEO_COUNTRY. Paths in a file are relative to
the file.

Rule: a secret is never shown, nor a line in which one may stand for its variable's name.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelfence import settings_candidate, settings_jwt
from modelfence.core.problem import Problem, Severity, errors, in_order
from modelfence.document import Document, Node, did_you_mean, read
from modelfence.settings import (
    Auditing,
    Detecting,
    Egress,
    Geo,
    GeoUpdate,
    Jwt,
    Limits,
    Recording,
    Settings,
    Tls,
)
from modelfence.settings_keys import SETTINGS
from modelfence.settings_upstreams import secret_of

ENVIRONMENT_PREFIX = "MODELFENCE_"
CONFIG_VARIABLE = "MODELFENCE_CONFIG"
_MAY_HOLD_A_SECRET = re.compile(
    r"(?i://.*@|passw|secret|token:|\bsk-)|(?:credential|licen[cs]e_?key): *(?!\{ *env: *[A-Z_][A-Z0-9_]* *\}|$)\S"
)


def load(
    file: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, str],
    *,
    with_upstreams: bool = True,
    with_secrets: bool = True,
) -> tuple[Settings | None, tuple[Problem, ...]]:
    """Return the settings, or None with the problems that stop them; warnings come with settings.

    Without upstreams, or without secrets, none of the upstreams' API keys need be there. `flags` maps keys such as
    `listen` to their texts. A file that can't be read is a problem.
    """
    reading = _Reading()
    if file is not None:
        reading.read_file(file)
    for name, text in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name != CONFIG_VARIABLE:
            reading.read_variable(name, text)
    for key, text in flags.items():
        reading.read_text(key, text, source=f"--{key}")
    if not with_upstreams:
        reading.values.pop("upstreams", None)
    if with_secrets:  # replay has one process, a store of its own, one policy and no tokens to verify
        reading.check_workers()
        reading.check_tokens()
    else:
        for key in [key for key in reading.values if key.startswith("jwt.") or key in settings_candidate.KEYS]:
            del reading.values[key]
    reading.check_prefixes()
    reading.problems.extend(settings_candidate.without_candidate(reading.values, reading.nodes))
    reading.find_secrets(environment if with_secrets else None)
    found = in_order(reading.problems)
    return (None if errors(found) else reading.settings(file)), found


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the sources have said so far: values by dotted key, the later source over the earlier."""

    values: dict[str, object] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    """Where each value stands."""
    problems: list[Problem] = field(default_factory=list)

    def read_file(self, file: Path) -> None:
        try:
            document = read(file)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.problems.append(Problem(str(file), 1, 1, "unreadable-file", f"can't read the settings: {reason}"))
            return
        root = document.compose()
        if root is not None:
            # By the name it was asked for: where links lead changes while the fence runs, as Kubernetes swaps them.
            self._read_mapping(root, "", file.absolute().parent)
        self.problems.extend(_without_secrets(document.problems))

    def read_variable(self, name: str, text: str) -> None:
        variables = {ENVIRONMENT_PREFIX + key.upper().replace(".", "_"): key for key in SETTINGS}
        if name in variables:
            self.read_text(variables[name], text, source=name)
            return
        hint = did_you_mean(name, variables)
        message = f"unknown variable `{name}`"
        warning = Problem("environment", 1, 1, "unknown-variable", message, hint=hint, severity=Severity.WARNING)
        self.problems.append(warning)

    def read_text(self, key: str, text: str, *, source: str) -> None:
        """Read one key from a text: lists are written in YAML, everything else is the value itself."""
        document = Document(source, text)
        node = document.compose() if key in SETTINGS and SETTINGS[key].in_yaml else document.scalar()
        if node is not None:
            self._keep(key, node, Path.cwd())
        self.problems.extend(_without_secrets(document.problems))

    def check_prefixes(self) -> None:
        """Say which upstreams callers could not tell apart: with egress they name the host, too."""
        written = self.values.get("upstreams", ())
        assert isinstance(written, tuple)  # noqa: S101 - made by _upstreams
        seen: set[tuple[object, ...]] = set()
        for upstream, _variable, node in written:
            host = (upstream.host, upstream.port) if self.values.get("egress.enabled") else ()
            if (upstream.prefix, host) in seen:
                words = f"two upstreams have the prefix `{upstream.prefix}`"
                self.problems.append(Problem(node.document.path, node.line, node.column, "duplicate-upstream", words))
            seen.add((upstream.prefix, host))

    def check_workers(self) -> None:
        """Say that workers with a store of their own each would multiply every rate by their number."""
        if self.values.get("workers", 1) != 1 and self.values.get("store", "memory") == "memory":
            node, words = self.nodes["workers"], "several workers need a shared store: give `store: redis://…`"
            self.problems.append(Problem(node.document.path, node.line, node.column, "no-shared-store", words))

    def check_tokens(self) -> None:
        """Say what tokens can't be verified without; what is wrong with the rest comes first."""
        if not errors(self.problems):
            self.problems.extend(settings_jwt.missing(self.nodes))

    def find_secrets(self, environment: Mapping[str, str] | None) -> None:
        """Replace the upstreams as written by upstreams with the API keys that their credentials name.

        Without an environment nobody is going to call them, so they have none.
        """
        written = self.values.get("upstreams", ())
        assert isinstance(written, tuple)  # noqa: S101 - made by _upstreams
        upstreams = []
        for upstream, credential, node in written:
            secret = None
            try:
                if credential is not None and environment is not None:
                    secret = secret_of(credential, environment)
            except ValueError as error:
                words = f"`{upstream.name}` takes its key from {error}"
                self.problems.append(Problem(node.document.path, node.line, node.column, "no-credential", words))
            upstreams.append(replace(upstream, secret=secret))
        if upstreams:
            self.values["upstreams"] = tuple(upstreams)

    def settings(self, file: Path | None) -> Settings:
        flat: dict[str, object] = {}
        groups: dict[str, dict[str, object]] = {name: {} for name in _GROUPS}
        for key, value in self.values.items():
            group, _, name = key.rpartition(".")
            groups.get(group, flat)[name] = value
        grouped = {name: _GROUPS[name](**values) for name, values in groups.items()}
        return Settings(file=file, **grouped, **flat)  # type: ignore[arg-type]

    def _read_mapping(self, node: Node, prefix: str, folder: Path) -> None:
        known = dict.fromkeys(key.removeprefix(prefix).partition(".")[0] for key in SETTINGS if key.startswith(prefix))
        for name, value in node.entries(known, what="setting").items():
            key = prefix + name
            if key not in SETTINGS:
                self._read_mapping(value, f"{key}.", folder)
            elif not value.is_null:
                self._keep(key, value, folder)

    def _keep(self, key: str, node: Node, folder: Path) -> None:
        value = SETTINGS[key].read(node, folder)
        if value is not None:
            self.values[key] = value
            self.nodes[key] = node


_GROUPS: Mapping[str, Callable[..., object]] = {
    "geo": Geo,
    "geo_update": GeoUpdate,
    "limits": Limits,
    "record": Recording,
    "audit": Auditing,
    "extraction": Detecting,
    "jwt": Jwt,
    "tls": Tls,
    "egress": Egress,
}


def keys() -> Sequence[str]:
    """Return every key, dotted."""
    return tuple(SETTINGS)


def _without_secrets(problems: Iterable[Problem]) -> list[Problem]:
    return [replace(one, excerpt="") if _MAY_HOLD_A_SECRET.search(one.excerpt) else one for one in problems]
