"""Others of the kind, installed into a folder of their own where that can be done, with as little on as they allow."""

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, create_subprocess_exec
from collections.abc import Sequence
from pathlib import Path

from bench.proxy.messages import MODEL
from bench.proxy.subjects import Site, Subject

FOLDER = Path(".bench")
INSTALLS_WITHIN_S = 900.0
_LITELLM = FOLDER / "litellm" / "bin"
_PORTKEY = FOLDER / "portkey"
_PORTKEY_START = _PORTKEY / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
_PORTKEY_PACKAGE = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "latest"},
    # What its own lock file holds. With those of today it answers everything with 500 (its issue 1389).
    "overrides": {"@hono/node-server": "1.13.5"},
}


class CannotInstallError(Exception):
    """A peer can't be had here; the text says why."""


async def peers() -> list[Subject]:
    """Return those that are installed, or can be; say which are not."""
    found = []
    for name, install in (("LiteLLM", _litellm), ("Portkey", _portkey)):
        try:
            found.append(await install())
        except CannotInstallError as error:
            print(f"{name} is left out: {error}", flush=True)
    return found


async def _litellm() -> Subject:
    if not (_LITELLM / "litellm").exists():
        print("installing LiteLLM into .bench", flush=True)
        await _run(sys.executable, "-m", "venv", "--clear", str(_LITELLM.parent))
        await _run(str(_LITELLM / "pip"), "install", "--quiet", "litellm[proxy]")
    version = await _run(
        str(_LITELLM / "python"), "-c", "from importlib.metadata import version; print(version('litellm'))"
    )
    return Subject(
        f"LiteLLM {version}",
        "one worker and one model; no master key, database, callbacks, retries or telemetry, and a log of errors only",
        _start_litellm,
        environment={
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # nothing is fetched at its start
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
    )


def _start_litellm(site: Site) -> Sequence[str]:
    forwarded = {"model": f"openai/{MODEL}", "api_base": f"{site.upstream_url}/v1", "api_key": "sk-real"}
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": forwarded}],
        "litellm_settings": {"num_retries": 0, "telemetry": False},
    }
    (site.folder / "litellm.yaml").write_text(json.dumps(config))
    where = ("--host", "127.0.0.1", "--port", str(site.port), "--num_workers", "1")
    return [str(_LITELLM / "litellm"), "--config", str(site.folder / "litellm.yaml"), *where, "--telemetry", "False"]


async def _portkey() -> Subject:
    if not _PORTKEY_START.exists():
        print("installing Portkey's gateway into .bench", flush=True)
        if shutil.which("npm") is None:
            raise CannotInstallError("there is no npm")
        _PORTKEY.mkdir(parents=True, exist_ok=True)
        (_PORTKEY / "package.json").write_text(json.dumps(_PORTKEY_PACKAGE))
        await _run("npm", "install", "--no-fund", "--no-audit", "--prefix", str(_PORTKEY))
    version = json.loads((_PORTKEY_START.parent.parent / "package.json").read_text())["version"]
    node = await _run("node", "--version")
    return Subject(
        f"Portkey {version}",
        f"its gateway under node {node}, headless: the upstream named by headers of the request, nothing else on",
        lambda site: ["node", str(_PORTKEY_START), f"--port={site.port}", "--headless"],
        headers=lambda site: ("x-portkey-provider: openai", f"x-portkey-custom-host: {site.upstream_url}/v1"),
        environment={"NODE_ENV": "production"},
    )


async def _run(*command: str) -> str:
    """Return what a command says. Raises CannotInstallError when it fails."""
    try:
        running = await create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    except OSError as error:
        raise CannotInstallError(f"`{command[0]}`: {error.strerror}") from None
    try:
        said, complaint = await asyncio.wait_for(running.communicate(), INSTALLS_WITHIN_S)
    except TimeoutError:
        running.kill()
        await running.wait()
        raise CannotInstallError(f"`{' '.join(command)}` took more than {INSTALLS_WITHIN_S:.0f} s") from None
    if running.returncode:
        last = (complaint.decode().strip().splitlines() or [""])[-1]
        raise CannotInstallError(f"`{' '.join(command)}` failed: {last}")
    return said.decode().strip()
