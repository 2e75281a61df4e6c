"""Reading the settings of upstreams: which APIs are behind the fence, where, and with whose key.

Rule: people put the key itself where its variable's name belongs, so nothing of a credential is ever repeated.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from modelfence.core.keys import Choice, Either, Flag, Key, ListOf, Record, Text, Whole, names, required
from modelfence.core.problem import Severity
from modelfence.core.upstream import Upstream
from modelfence.document import Node

DIALECT = Choice(("openai", "azure", "mistral", "anthropic", "cohere", "gemini", "bedrock", "ollama"))
_HOSTS = {
    "azure": re.compile(r".+\.openai\.azure\.com|.+\.cognitiveservices\.azure\.com"),
    "mistral": re.compile(r"api\.mistral\.ai"),
    "anthropic": re.compile(r"api\.anthropic\.com"),
    "cohere": re.compile(r"api\.cohere\.(?:com|ai)"),
    "gemini": re.compile(r"generativelanguage\.googleapis\.com"),
    "bedrock": re.compile(r"bedrock-runtime(?:-fips)?\..+\.amazonaws\.com(?:\.cn)?"),
}
_VARIABLE = Text(r"[A-Z_][A-Z0-9_]*", examples=("OPENAI_API_KEY",))
_PREFIX = Text(r"(/[A-Za-z0-9._~\-]+)*", may_be_empty=True, examples=("/openai",))
_URL = Text(r"[A-Za-z]+://[^?#]+", examples=("https://api.openai.com",))
_MOST_TOKENS = Whole(1, 1_000_000_000)
_MAX_KEY_BYTES = 16 << 10

CREDENTIAL = Record(
    (
        Key("env", "the variable that holds the key, never the key itself", value=_VARIABLE),
        Key("file", "the file that holds the key", value=Text()),
    ),
    exactly_one=("env", "file"),
)
UPSTREAM_KEYS: tuple[Key, ...] = (
    Key("name", "what the upstream is called: `request.provider` in conditions", required=True, value=Text()),
    Key("dialect", "the API it speaks; openai also for vLLM, SGLang and others", required=True, value=DIALECT),
    Key("url", "where it is", required=True, value=_URL),
    Key("prefix", "path under which callers reach it, removed on the way up", value=_PREFIX, may_be_null=True),
    Key(
        "credential",
        "the fence's own key; left out, the caller's passes through",
        value=CREDENTIAL,
        may_be_null=True,
    ),
    Key("max_output_tokens", "the API's own limit of a choice, for calls that set none", value=_MOST_TOKENS),
    Key("stream_usage", "usage is asked for on every stream; false for an API that refuses to say it", value=Flag()),
    Key("ca", "file of the authority its certificate must come from; null: any", value=Text(), may_be_null=True),
)
UPSTREAMS = Either((ListOf(Record(UPSTREAM_KEYS, title="an upstream")), _URL))
"""A single URL is one upstream."""


def path_in(node: Node, folder: Path) -> Path | None:
    """Return a path that is written relative to a folder."""
    value = node.filled_text()
    return None if value is None else folder / Path(value).expanduser()


def has_a_port(url: str) -> bool:
    """Say whether a URL's port, if it names one, is one: a larger number would be taken for another one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def dialect_of_host(host: str) -> str | None:
    """Return which API answers at a host, None where it is not known for any."""
    return next((name for name, pattern in _HOSTS.items() if pattern.fullmatch(host.lower())), None)


type Written = tuple[Upstream, str | Path | None, Node]
"""An upstream, the variable or the file that holds its API key, and where it stands."""


def upstreams_in(node: Node, folder: Path) -> tuple[Written, ...]:
    """Return the upstreams of a list. Paths in it are relative to the folder."""
    # A single URL, as the flag gives it, is one upstream that speaks what its host is known for, or else OpenAI's.
    if not node.is_list:
        url = _url(node)
        if url is None:
            return ()
        dialect = dialect_of_host(url[1]) or "openai"
        return ((Upstream(dialect, dialect, *url), None, node),)
    written = [one for item in node.items() if (one := _upstream(item, folder)) is not None]
    for at, (upstream, _variable, item) in enumerate(written):
        for other, _other_variable, _other_item in written[:at]:
            if other.name == upstream.name:
                item.problem("duplicate-upstream", f"two upstreams are called `{upstream.name}`")
            if (other.host, other.port) == (upstream.host, upstream.port) and other.ca != upstream.ca:
                words = f"`{other.name}` has the same host and port, and another `ca`; connections are shared by both"
                item.problem("unclear-ca", words)
    return tuple(written)


def _upstream(node: Node, folder: Path) -> Written | None:
    entries = node.entries(names(UPSTREAM_KEYS), required=required(UPSTREAM_KEYS), what="setting")
    name = entries["name"].filled_text() if "name" in entries else None
    dialect = _dialect(entries["dialect"]) if "dialect" in entries else None
    url = _url(entries["url"]) if "url" in entries else None
    prefix = _prefix(entries["prefix"]) if "prefix" in entries else ""
    credential = credential_in(entries["credential"], folder) if "credential" in entries else None
    limit = _limit(entries["max_output_tokens"]) if "max_output_tokens" in entries else None
    ca = path_in(entries["ca"], folder) if "ca" in entries and not entries["ca"].is_null else None
    if name is None or dialect is None or url is None or prefix is None:
        return None
    if ca is not None and url[0] != "https":
        entries["ca"].problem("needless-ca", f"`{name}` is not reached over https, so nothing of it would be verified")
    asks = entries["stream_usage"].boolean() is not False if "stream_usage" in entries else True
    upstream = Upstream(name, dialect, *url, prefix=prefix, max_output_tokens=limit, stream_usage=asks)
    upstream = replace(upstream, ca=None if ca is None else str(ca))
    return upstream, credential, node


def credential_in(node: Node, folder: Path, *, example: str = "OPENAI_API_KEY") -> str | Path | None:
    """Return the variable or the file that holds a key."""
    if node.is_null:
        return None
    entries = (node.free_entries() or {}) if node.is_mapping else {}
    value = str(next(iter(entries.values())).yaml.value) if len(entries) == 1 else ""
    if "env" in entries and _VARIABLE.admits(value):
        return value
    if "file" in entries and value and not entries["file"].is_list and not entries["file"].is_mapping:
        return folder / value
    words = (
        f"this is written as {{env: {example}}}: the variable that holds the key, in capitals, never the key itself; "
        "or as {file: PATH}"
    )
    node.problem("bad-credential", words, quote=False)
    return None


def secret_of(credential: str | Path, environment: Mapping[str, str]) -> str:
    """Return the API key in a variable or a file, without the end of its line. Raises ValueError with what is wrong."""
    if isinstance(credential, str):
        where, secret = f"{credential}, which", environment.get(credential, "")
        if not secret:
            raise ValueError(f"{where} is not set")
    else:
        where = "a file that"  # its name may be the key
        try:
            with credential.open("rb") as file:
                secret = file.read(_MAX_KEY_BYTES + 1).decode("utf-8", "replace")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is none"
            raise ValueError(f"{where} can't be read: {reason.lower()}") from None
        if len(secret) > _MAX_KEY_BYTES:
            raise ValueError(f"{where} is larger than {_MAX_KEY_BYTES >> 10} kB")
    secret = secret.removesuffix("\n")
    if not re.fullmatch(r"[\x21-\x7e]+", secret):
        raise ValueError(f"{where} {'holds spaces or control characters' if secret else 'is empty'}")
    return secret


def _limit(node: Node) -> int | None:
    return node.integer(minimum=_MOST_TOKENS.minimum, maximum=_MOST_TOKENS.maximum)


def _dialect(node: Node) -> str | None:
    return node.choice(DIALECT.options)


def _url(node: Node) -> tuple[str, str, int, str] | None:
    """Return scheme, host, port and base path."""
    value = node.filled_text()
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    if not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        node.problem("bad-url", "a URL like https://api.openai.com is expected here", quote=False)
        return None
    path = parts.path.rstrip("/")
    if path.endswith("/v1"):
        words = "callers' paths begin with /v1, so the API would be asked for /v1/v1/…"
        hint = "leave /v1 out" if path == "/v1" else None
        node.problem("doubled-path", words, hint=hint, severity=Severity.WARNING)
    return parts.scheme, parts.hostname, port, path


def _prefix(node: Node) -> str | None:
    value = node.text()
    if value is None or _PREFIX.admits(value):
        return value
    node.problem("bad-prefix", f"a prefix like /openai is expected here, not `{value}`")
    return None
