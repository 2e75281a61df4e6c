"""A real Prometheus for tests: Debian's package `prometheus`. It scrapes once a second, and is ended by its own process."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.grafana.boards import GRAFANA
from tests.redis_servers import free_port

STARTS_WITHIN_S = 30
SCRAPES_WITHIN_S = 30


def needs(command: str) -> str:
    """Return where a command is. Skips the test, with a reason that says what to do, where there is none."""
    path = shutil.which(command)
    if path is None:
        pytest.skip(f"NOT TESTED: `{command}` is not installed; on Debian: apt-get install prometheus")
    return path


class PrometheusServer:
    """Scrapes one fence, by the settings in grafana/prometheus.yaml but for how often and where."""

    def __init__(self, folder: Path, target: str) -> None:
        settings = yaml.safe_load((GRAFANA / "prometheus.yaml").read_text())
        settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        settings["rule_files"] = [str(GRAFANA / file) for file in settings["rule_files"]]
        settings["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        command = [
            needs("prometheus"),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        self._log = (folder / "prometheus.log").open("w")
        self._process = subprocess.Popen(command, stderr=self._log)  # noqa: S603  # a command of this file
        self._until(lambda: self.get("/api/v1/status/buildinfo"), "prometheus to answer", STARTS_WITHIN_S)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def get(self, path: str, **parameters: object) -> Any:
        """Return what the API answers. Raises AssertionError with its complaint."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:  # it is starting
                raise
            raise AssertionError(json.load(error)["error"]) from None

    def at(self, expr: str, at_s: float) -> list[dict[str, Any]]:
        """Return the series of an expression at one time."""
        series: list[dict[str, Any]] = self.get("/api/v1/query", query=expr, time=at_s)["result"]
        return series

    def over(self, expr: str, *, until_s: float, for_s: float, step_s: float) -> list[dict[str, Any]]:
        """Return the series of an expression over some time."""
        times: Mapping[str, float] = {"start": until_s - for_s, "end": until_s, "step": step_s}
        series: list[dict[str, Any]] = self.get("/api/v1/query_range", query=expr, **times)["result"]
        return series

    def wait_for(self, expr: str) -> None:
        """Return when an expression holds."""
        self._until(lambda: self.at(expr, time.time()), expr, SCRAPES_WITHIN_S)

    def wait_for_scrape(self) -> None:
        """Return when what is counted now has been scraped."""
        self.wait_for(f"timestamp(modelfence_policy_loaded_timestamp_seconds) > {time.time()}")

    def _until(self, holds: Callable[[], object], what: str, within_s: float) -> None:
        give_up_at_s = time.monotonic() + within_s
        while True:
            try:
                if holds():
                    return
            except OSError:
                assert self._process.poll() is None, f"prometheus ended: {Path(self._log.name).read_text()}"
            assert time.monotonic() < give_up_at_s, f"waited in vain for {what}"
            time.sleep(0.05)  # between two looks
