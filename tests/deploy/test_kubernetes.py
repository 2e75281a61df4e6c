"""The Kubernetes objects: held to Kubernetes' schemas, to each other, and to the code that runs in them."""

import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path

import pytest
import yaml

from modelfence.settings import Settings
from modelfence.settings_reading import ENVIRONMENT_PREFIX, keys, load

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUSTOMIZATIONS = sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml"))
BUILD = next(([found, *more] for name, more in (("kustomize", ["build"]), ("kubectl", ["kustomize"])) if (found := shutil.which(name))), None)  # fmt: skip
VERSIONS = ("1.30", "1.33", "1.37")
"""The oldest that has all that is used (`preStop.sleep`), one in between, and the newest whose schemas are here."""
OTHERS_KINDS = {"PodMonitor"}
"""Not Kubernetes' own: their schemas are in no package."""
ADMIN_PATHS = {"/livez", "/readyz", "/metrics"}


def kustomization(folder):
    return yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())


def objects(folder):
    names = [name for name in kustomization(folder)["resources"] if name.endswith(".yaml")]
    return [yaml.safe_load((FOLDER / folder / name).read_text()) for name in names]


def all_objects():
    return list(chain.from_iterable(objects(folder) for folder in KUSTOMIZATIONS))


def named(kind, folder="base"):
    [found] = [one for one in objects(folder) if one["kind"] == kind]
    return found


def pod(folder):
    return named("Deployment", folder)["spec"]["template"]


def fence(folder):
    spec = pod(folder)["spec"]
    [found] = [one for one in [*spec["containers"], *spec.get("initContainers", ())] if one["name"] == "modelfence"]
    return found


def containers():
    for folder in ("base", "sidecar"):
        spec = pod(folder)["spec"]
        for one in [*spec["containers"], *spec.get("initContainers", ())]:
            yield pytest.param(spec, one, id=f"{folder}-{one['name']}")


def variables(container):
    return {one["name"]: one.get("value") for one in container["env"]}


def check(thing, version):
    validating = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: make test")
    validating.validate(thing, version, strict=True)


# Schemas


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("thing", all_objects(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_each_object_fits_its_schema(thing, version):
    if thing["kind"] not in OTHERS_KINDS:
        check(thing, version)


def test_an_object_that_does_not_fit_is_noticed():
    validating = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: make test")
    wrong = named("Service")
    wrong["spec"]["prots"] = []
    with pytest.raises(validating.ValidationError):
        check(wrong, VERSIONS[-1])


@pytest.mark.skipif(
    BUILD is None, reason="neither kustomize nor kubectl is installed: what they build is not looked at"
)
@pytest.mark.parametrize("folder", KUSTOMIZATIONS)
def test_kustomize_builds_what_fits_the_schemas(folder):
    ended = subprocess.run([*BUILD, str(FOLDER / folder)], capture_output=True, text=True, check=False)  # noqa: S603 - named above
    assert ended.returncode == 0, ended.stderr
    built = list(yaml.safe_load_all(ended.stdout))
    assert {one["kind"] for one in objects(folder)} <= {one["kind"] for one in built}
    for thing in built:
        if thing["kind"] not in OTHERS_KINDS:
            check(thing, VERSIONS[-1])


@pytest.mark.parametrize("folder", KUSTOMIZATIONS)
def test_a_kustomization_names_files_that_exist_and_all_of_them(folder):
    said = kustomization(folder)
    files = [*said["resources"], *chain.from_iterable(one["files"] for one in said.get("configMapGenerator", ()))]
    assert all((FOLDER / folder / name).exists() for name in files)
    there = {path.name for path in (FOLDER / folder).iterdir()} - {"kustomization.yaml"}
    assert {name for name in files if "/" not in name} == there


# What runs in the pods


@pytest.mark.parametrize("folder", ["base", "sidecar"])
def test_the_settings_are_read_with_the_variables_of_the_pod(folder):
    environment = {name: value or "redis://redis" for name, value in variables(fence(folder)).items()}
    settings, problems = load(FOLDER / folder / "modelfence.yaml", environment, {})
    assert settings is not None, [problem.render() for problem in problems]
    assert not problems
    assert settings.store == "redis://redis"


@pytest.mark.parametrize("folder", ["base", "sidecar"])
def test_the_variables_are_settings_or_the_keys_of_upstreams(folder):
    written = yaml.safe_load((FOLDER / folder / "modelfence.yaml").read_text())
    credentials = {one["credential"]["env"] for one in written["upstreams"]}
    known = {ENVIRONMENT_PREFIX + key.upper().replace(".", "_") for key in keys()}
    assert set(variables(fence(folder))) <= known | credentials
    assert credentials <= set(variables(fence(folder)))


@pytest.mark.parametrize("folder", ["base", "sidecar"])
def test_probes_ask_for_what_the_admin_port_has(folder):
    container = fence(folder)
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    dockerfile = (FOLDER.parent / "Dockerfile").read_text()
    assert f"MODELFENCE_ADMIN=0.0.0.0:{ports['admin']}" in dockerfile
    probes = [container[name]["httpGet"] for name in container if name.endswith("Probe")]
    assert probes
    for probe in probes:
        assert probe["path"] in ADMIN_PATHS
        assert probe["port"] == "admin"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_the_gateway_listens_where_the_service_and_the_policy_lead():
    ports = {one["name"]: one["containerPort"] for one in fence("base")["ports"]}
    [port] = named("Service")["spec"]["ports"]
    assert ports[port["targetPort"]] == port["port"] == 8080
    ingress = named("NetworkPolicy")["spec"]["ingress"]
    assert [one["port"] for rule in ingress for one in rule["ports"]] == ["http", "admin"]
    [*_, to_fence] = named("NetworkPolicy", "callers")["spec"]["egress"]
    assert to_fence["ports"] == [{"protocol": "TCP", "port": port["port"]}]
    assert variables(fence("base")).get("MODELFENCE_LISTEN") is None


def test_the_application_beside_a_sidecar_calls_it_over_loopback():
    [application] = pod("sidecar")["spec"]["containers"]
    assert variables(application)["OPENAI_BASE_URL"] == f"http://{variables(fence('sidecar'))['MODELFENCE_LISTEN']}/v1"
    assert fence("sidecar")["restartPolicy"] == "Always", "this is what makes it a sidecar"


@pytest.mark.parametrize(("spec", "container"), list(containers()))
def test_nothing_runs_with_more_than_it_needs(spec, container):
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security.get("runAsUser", spec["securityContext"].get("runAsUser", 0)) > 0
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("folder", ["base", "sidecar"])
def test_variables_of_services_are_not_taken_for_settings(folder):
    assert pod(folder)["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("folder", ["base", "sidecar"])
def test_what_is_mounted_is_a_volume_and_whole(folder):
    volumes = {one["name"] for one in pod(folder)["spec"]["volumes"]}
    mounts = fence(folder)["volumeMounts"]
    assert {one["name"] for one in mounts} == volumes
    # With `subPath` a change never arrives.
    assert not any("subPath" in one for one in mounts)
    assert {one["mountPath"] for one in mounts} == {"/etc/modelfence", "/tmp"}  # noqa: S108 - the pod's
    dockerfile = (FOLDER.parent / "Dockerfile").read_text()
    assert "WORKDIR /etc/modelfence" in dockerfile


# What belongs together


@pytest.mark.parametrize("folder", ["base", "sidecar"])
def test_the_settings_that_are_mounted_are_made(folder):
    made = [one["name"] for one in kustomization(folder)["configMapGenerator"]]
    sources = chain.from_iterable(one.get("projected", {}).get("sources", ()) for one in pod(folder)["spec"]["volumes"])
    mounted = [one["configMap"] for one in sources if "configMap" in one]
    assert [one["name"] for one in mounted if not one.get("optional")] == made
    # Its changes have to arrive in running pods, so its name may not change with them.
    assert [one["name"] for one in mounted if one.get("optional")] == ["modelfence-policy"]


def test_what_selects_the_pods_of_the_gateway_does():
    labels = pod("base")["metadata"]["labels"].items()
    selectors = [
        named("Deployment")["spec"]["selector"]["matchLabels"],
        named("Service")["spec"]["selector"],
        named("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        named("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        named("PodMonitor", "monitoring")["spec"]["selector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in pod("base")["spec"]["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector.items() <= labels
    target = named("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", named("Deployment")["metadata"]["name"])
    assert pod("base")["spec"]["serviceAccountName"] == named("ServiceAccount")["metadata"]["name"]


def test_the_policies_of_other_namespaces_lead_to_the_pods_of_the_gateway():
    [*_, to_fence] = named("NetworkPolicy", "callers")["spec"]["egress"]
    [from_fence] = named("NetworkPolicy", "self-hosted-api")["spec"]["ingress"]
    for peers in (to_fence["to"], from_fence["from"]):
        [peer] = peers
        assert peer["podSelector"]["matchLabels"].items() <= pod("base")["metadata"]["labels"].items()
        assert peer["namespaceSelector"]["matchLabels"] == {
            "kubernetes.io/metadata.name": named("Namespace")["metadata"]["name"]
        }


def test_callers_may_leave_for_no_address_of_the_internet():
    for rule in named("NetworkPolicy", "callers")["spec"]["egress"]:
        assert rule["to"]
        assert not any("ipBlock" in peer for peer in rule["to"])


def test_what_the_pods_run_is_the_image_that_is_built():
    dockerfile = (FOLDER.parent / "Dockerfile").read_text()
    [built] = re.findall(r"docker build .* -t (\S+) \.", dockerfile)
    assert {fence("base")["image"], fence("sidecar")["image"]} == {built}


def test_the_pod_is_given_the_time_that_the_fence_takes_to_end():
    before = fence("base")["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = Settings().limits.drain_s
    assert before > 0
    assert pod("base")["spec"]["terminationGracePeriodSeconds"] >= before + drain_s + 5
    assert pod("sidecar")["spec"]["terminationGracePeriodSeconds"] >= 2 * drain_s, (
        "the application's time, then the fence's"
    )


def test_budget_and_autoscaler_leave_a_pod_to_drain():
    assert (
        named("HorizontalPodAutoscaler")["spec"]["minReplicas"] > named("PodDisruptionBudget")["spec"]["maxUnavailable"]
    )
