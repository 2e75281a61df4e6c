"""A studio in a process of its own, as `modelfence studio` starts it, and files for it."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.workbench.studio.conftest import PACK, POLICY

DEADLINE_S = 20.0
CASES = """\
policy: policy.yaml
given: {client.country: NO, kyc.tier: basic, account.id: acme}
cases:
  - name: a customer is let in
    expect: {effect: allow, rules: [customers]}
  - name: not from everywhere
    matrix: {client.country: [KP, IR]}
    expect: {effect: deny, rules: [blocked-region]}
"""
COUNTRIES = ("8.8.4.4", "24.48.0.1", "88.198.1.1")  # US, CA and DE, as the bundled database has them


class Running:
    """A studio as `modelfence studio` starts it."""

    def __init__(self, folder: Path, *more: str) -> None:
        """Start it. `folder` holds what `write_files` writes; `more` are further words of the command."""
        self.folder = folder
        words = ["studio", "policy.yaml", "--accounts", "accounts.yaml", "--recording", "day.jsonl", *more]
        start = "import sys; from modelfence.cli import main; sys.exit(main())"
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-c", start, *words], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        lines = iter(self._process.stdout.readline, "")
        self.address = next(line.strip() for line in lines if line.startswith("  http"))

    def end(self, *, within_s: float = DEADLINE_S) -> int:
        """End it as Ctrl-C does, and return its exit status."""
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(within_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """Leave nothing of it, whatever has become of a test."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def write_files(folder: Path, *, lines: int = 90) -> Path:
    """Write a policy with an include, its cases, an account and a recording of so many lines."""
    (folder / "packs").mkdir(parents=True)
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "packs" / "regions.yaml").write_text(PACK)
    (folder / "policy.cases.yaml").write_text(CASES)
    digest = hashlib.sha256(b"sk-acme").hexdigest()
    account = {"id": "acme", "keys": [f"sha256:{digest}"], "status": "active", "tier": "basic", "country": "US"}
    (folder / "accounts.yaml").write_text(json.dumps({"accounts": [account]}))
    with (folder / "day.jsonl").open("w") as recording:
        for n in range(lines):
            line = {
                "ts": 1_772_409_600 + 60 * n,
                "client_ip": COUNTRIES[n % 3],
                "method": "POST",
                "path": "/v1/chat/completions",
                "headers": {"authorization": "Bearer sk-acme"},
                "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
            }
            recording.write(json.dumps(line) + "\n")
    return folder
