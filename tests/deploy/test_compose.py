"""The compose file: held to the specification, to the image, and to the code that runs in its services."""

import copy
import ipaddress
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from modelfence.demo.__main__ import parser
from modelfence.demo.callers import CALLERS, accounts_yaml
from modelfence.settings_reading import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PROMETHEUS = yaml.safe_load((FOLDER / "compose" / "prometheus.yaml").read_text())
PROMTOOL = shutil.which("promtool")


def parse(compose):
    specification = pytest.importorskip("compose_spec", reason="compose-spec is not installed: make test installs it")
    return specification.PyCompose.from_json(json.dumps(compose))


def mounts():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source, target = volume.split(":")[:2]
            yield name, source, target


def networks(service):
    return set(SERVICES[service]["networks"])


def test_it_is_what_the_specification_says():
    assert set(parse(COMPOSE).service_names()) == set(SERVICES)


@pytest.mark.parametrize(("key", "wrong"), [("read_onli", True), ("depends_on", {"redis": {"condition": "healthy"}})])
def test_what_the_specification_does_not_know_is_noticed(key, wrong):
    compose = copy.deepcopy(COMPOSE)
    compose["services"]["fence"][key] = wrong
    with pytest.raises(ValueError, match=r"read_onli|healthy"):
        parse(compose)


@pytest.mark.parametrize(("service", "source", "target"), list(mounts()))
def test_what_is_mounted_exists(service, source, target):
    assert target.startswith("/")
    if source.startswith("."):
        assert (FOLDER / source).exists(), f"{service} mounts {source}"
    else:
        assert source in COMPOSE["volumes"]


def test_what_services_name_is_there():
    for service in SERVICES.values():
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        assert set(service.get("depends_on", ())) <= set(SERVICES)


def test_the_settings_of_the_fence_are_read():
    environment = SERVICES["fence"]["environment"]
    settings, problems = load(FOLDER / "compose" / "modelfence.yaml", environment, {})
    assert problems == ()
    [upstream] = settings.upstreams
    assert upstream.secret == environment["STAND_IN_API_KEY"]
    assert upstream.host in SERVICES
    assert settings.store.removeprefix("redis://").partition(":")[0] in SERVICES
    assert isinstance(settings.accounts, Path)
    assert settings.accounts.exists()
    [callers] = COMPOSE["networks"]["callers"]["ipam"]["config"]
    assert settings.trusted_proxies == (ipaddress.ip_network(callers["subnet"]),)
    assert [target for service, _, target in mounts() if service == "fence"] == ["/etc/modelfence"]
    assert "WORKDIR /etc/modelfence" in (FOLDER / "Dockerfile").read_text()


def test_the_accounts_are_the_sample_callers():
    line_for_editors, _, committed = (FOLDER / "compose" / "accounts.yaml").read_text().partition("\n")
    assert line_for_editors.startswith("# yaml-language-server: ")
    assert committed == accounts_yaml(CALLERS), (
        "put what python -m modelfence.demo accounts prints below the first line"
    )


@pytest.mark.parametrize("service", ["api", "callers"])
def test_the_parts_of_the_demo_are_understood(service):
    assert SERVICES[service]["entrypoint"] == ["python", "-m", "modelfence.demo"]
    options = parser().parse_args(SERVICES[service]["command"])
    assert options.part == service


def test_the_fence_is_called_and_calls_where_ports_are_open():
    settings, _ = load(FOLDER / "compose" / "modelfence.yaml", SERVICES["fence"]["environment"], {})
    api = parser().parse_args(SERVICES["api"]["command"])
    assert settings.upstreams[0].port == api.listen.port
    fence = parser().parse_args(SERVICES["callers"]["command"]).fence
    assert fence == "http://fence:8080"
    assert "MODELFENCE_LISTEN=0.0.0.0:8080" in (FOLDER / "Dockerfile").read_text()


def test_only_the_fence_reaches_the_api_and_only_operators_reach_the_admin_port():
    assert [name for name in SERVICES if networks(name) & networks("api")] == ["fence", "api", "redis"]
    assert not networks("callers") & networks("api")
    admin = SERVICES["fence"]["environment"]["MODELFENCE_ADMIN"]
    host, _, _port = admin.partition(":")
    assert SERVICES["fence"]["networks"]["operators"]["ipv4_address"] == host
    [operators] = COMPOSE["networks"]["operators"]["ipam"]["config"]
    assert ipaddress.ip_address(host) in ipaddress.ip_network(operators["subnet"])
    assert not networks("callers") & networks("prometheus")
    [scraped] = PROMETHEUS["scrape_configs"][0]["static_configs"]
    assert scraped["targets"] == [admin]
    assert f"http://{admin}/readyz" in SERVICES["fence"]["healthcheck"]["test"][-1]


def test_the_fence_is_given_the_time_that_it_takes_to_end():
    settings, _ = load(FOLDER / "compose" / "modelfence.yaml", SERVICES["fence"]["environment"], {})
    assert int(SERVICES["fence"]["stop_grace_period"].removesuffix("s")) >= settings.limits.drain_s + 5


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_runs_with_more_than_it_needs_or_is_published_beyond_this_machine(service):
    said = SERVICES[service]
    assert said["read_only"] is True
    assert said["cap_drop"] == ["ALL"]
    assert said["security_opt"] == ["no-new-privileges:true"]
    assert re.search(r":v?\d+\.\d+", said["image"]), "the image is not pinned"
    assert all(port.startswith("127.0.0.1:") for port in said.get("ports", ()))


def test_it_builds_the_image_that_it_runs():
    build = SERVICES["fence"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).exists()
    assert f"-t {SERVICES['fence']['image']} " in (FOLDER / "Dockerfile").read_text()


def test_prometheus_finds_its_rules():
    assert PROMETHEUS["rule_files"] == [target for _, source, target in mounts() if "/alerts/" in source]
    assert "modelfence" in {one["job_name"] for one in PROMETHEUS["scrape_configs"]}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: Prometheus' settings are not checked")
def test_promtool_understands_the_settings_of_prometheus():
    command = [PROMTOOL, "check", "config", "--syntax-only", str(FOLDER / "compose" / "prometheus.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a linter
    assert ended.returncode == 0, ended.stderr
