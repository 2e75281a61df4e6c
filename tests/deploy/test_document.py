"""docs/deploying.md, held to what it speaks of."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from modelfence.settings_reading import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deploying.md").read_text()
KUBECTL = shutil.which("kubectl")


def shown(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_every_file_it_names_exists():
    named = set(re.findall(r"\b(?:deploy|tests)/[\w./-]+\w", PAGE))
    assert named
    for name in named:
        assert (ROOT / name).exists(), name
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_every_secret_that_pods_need_is_made_in_it():
    needed = set()
    for folder in ("base", "sidecar"):
        text = (ROOT / "deploy" / "kubernetes" / folder / "deployment.yaml").read_text()
        needed |= set(re.findall(r"secret(?:KeyRef)?: \{name: ([\w-]+)", text))
    assert needed == set(re.findall(r"create secret generic ([\w-]+)", PAGE))


def test_every_label_that_policies_ask_for_is_told():
    for policy in (ROOT / "deploy" / "kubernetes").glob("*/networkpolicy.yaml"):
        for label in re.findall(r"modelfence/\w+", policy.read_text()):
            assert f"{label}=true" in PAGE


def test_the_credential_is_where_systemd_puts_it(tmp_path):
    [upstreams] = [text for text in shown("yaml") if text.startswith("upstreams:")]
    [(_, path)] = re.findall(r"(file): (\S+)\}", upstreams)
    unit = (ROOT / "deploy" / "systemd" / "modelfence.service").read_text()
    [credential] = re.findall(r"^LoadCredential=(\w+):", unit, re.MULTILINE)
    assert path == f"/run/credentials/modelfence.service/{credential}"
    (tmp_path / "modelfence.yaml").write_text(upstreams)
    settings, problems = load(tmp_path / "modelfence.yaml", {}, {}, with_secrets=False)
    assert settings is not None
    assert problems == ()


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed: the overlay of the document is not built")
def test_the_overlay_replaces_settings_policy_and_image(tmp_path):
    [overlay] = [text for text in shown("yaml") if "kind: Kustomization" in text]
    shutil.copytree(ROOT / "deploy" / "kubernetes" / "base", tmp_path / "deploy" / "kubernetes" / "base")
    (tmp_path / "kustomization.yaml").write_text(overlay)
    (tmp_path / "modelfence.yaml").write_text("policy: policy.yaml\n")
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    ended = subprocess.run([KUBECTL, "kustomize", str(tmp_path)], capture_output=True, text=True, check=False)  # noqa: S603 - named above
    assert ended.returncode == 0, ended.stderr
    built = list(yaml.safe_load_all(ended.stdout))
    maps = {one["metadata"]["name"]: one["data"] for one in built if one["kind"] == "ConfigMap"}
    assert {"modelfence.yaml": "policy: policy.yaml\n"} in maps.values()
    assert "modelfence-policy" in maps
    [deployment] = [one for one in built if one["kind"] == "Deployment"]
    spec = deployment["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "registry.example/modelfence:0.1.0"
    mounted = {one["configMap"]["name"] for one in spec["volumes"][0]["projected"]["sources"] if "configMap" in one}
    assert mounted == set(maps)
