"""The LLM APIs behind the fence, and which of them a path is for."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Upstream:
    """One API. `prefix` and `base_path` are empty or begin with a slash and end without one."""

    name: str
    dialect: str
    scheme: str
    host: str
    port: int
    base_path: str = ""
    """Path of the API's own address, put before every path sent to it."""
    prefix: str = ""
    """Path under which callers reach it; removed on the way up."""
    secret: str | None = field(default=None, repr=False)
    """The fence's own API key, which replaces the caller's; the caller's passes through when None."""
    max_output_tokens: int | None = None
    stream_usage: bool = True
    """Usage is asked for on every stream; False for an API that knows no such option."""
    ca: str | None = None
    """File of the one authority whose certificates the API may have; None is those of mitmproxy's list."""

    @property
    def authority(self) -> str:
        """Return host and port for the Host header, without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the API's address."""
        return f"{self.scheme}://{self.authority}{self.base_path}"


def choose(upstreams: Sequence[Upstream], path: str) -> tuple[Upstream, str] | None:
    """Return the upstream a path is for, and the path without its prefix; None when it is for none.

    A prefix matches whole segments, and the longest one that matches wins.
    """
    chosen: Upstream | None = None
    for one in upstreams:
        matches = path == one.prefix or path.startswith(one.prefix + "/")
        if matches and (chosen is None or len(one.prefix) > len(chosen.prefix)):
            chosen = one
    return None if chosen is None else (chosen, path[len(chosen.prefix) :] or "/")
