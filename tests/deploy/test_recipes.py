"""The recipes of scripts/deploy, as far as they can be checked without the platforms that they are for."""

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from flagsnap.cli.app import COMMANDS, app
from flagsnap.config import Settings
from flagsnap.stores.s3.options import S3Options
from tests.deploy.recipes import (
    DEPLOY,
    FILES,
    KUBERNETES,
    ROOT,
    Release,
    commands,
    containers,
    content,
    environment,
    hook,
    objects,
    pod,
    snippets,
    text_of,
)

# What each recipe does, in order.
TOLD = {
    "Dockerfile": [],
    "compose.yml": ["capture", "rehearse", "rollback", "verify", "verify", "prune"],
    "helm-values.yaml": ["capture", "rehearse", "rollback", "verify", "verify", "prune"],
    "kubernetes.yaml": ["capture", "rehearse", "rollback", "verify", "verify", "prune"],
    "github-actions.yml": ["capture", "rehearse", "rollback"],
    "flagsnap-verify.service": ["verify", "verify", "prune"],
    "flagsnap-verify.timer": [],
    "crontab": ["verify", "verify", "verify", "prune"],
}
RUN = [(name, words) for name in FILES for words in commands(name)]
INSTRUCTIONS = {"ARG", "FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "HEALTHCHECK", "ENTRYPOINT"}


def test_every_recipe_is_known_here() -> None:
    assert set(FILES) == set(TOLD)


@pytest.mark.parametrize("name", FILES)
def test_what_a_recipe_does(name: str) -> None:
    assert [words[0] for words in commands(name)] == TOLD[name]


@pytest.mark.parametrize(("name", "words"), RUN, ids=[f"{name}: {' '.join(words)}" for name, words in RUN])
def test_every_command_is_one(name: str, words: list[str]) -> None:
    """The command line itself reads it, and stops before it does anything."""
    command, *arguments = words
    assert command in COMMANDS
    assert all(isinstance(word, str) for word in words)  # YAML makes a number of 5, which Kubernetes refuses
    typer.main.get_command(app).commands[command].make_context(command, arguments)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FILES)
def test_every_setting_is_one(name: str) -> None:
    known = {f"FLAGSNAP_{each.name.upper()}" for each in fields(Settings)}
    known |= {f"FLAGSNAP_S3_{option.upper()}" for option in S3Options.model_fields}
    assert set(re.findall(r"FLAGSNAP_\w+", text_of(name))) <= known


@pytest.mark.parametrize("name", ["compose.yml", "github-actions.yml", "crontab"])
def test_shell_snippets(name: str) -> None:
    for snippet in snippets(name):
        done = subprocess.run(["sh", "-n", "-c", snippet], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), snippet


@pytest.mark.parametrize("name", KUBERNETES)
def test_kubernetes_objects(name: str) -> None:
    found = objects(name)
    assert [each["kind"] for each in found if each["kind"] != "ConfigMap"] == ["Job", "Job", "CronJob"]
    for each in found:
        assert each["apiVersion"] == ("v1" if each["kind"] == "ConfigMap" else "batch/v1")
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", each["metadata"]["name"])
    for each in found:
        if each["kind"] == "ConfigMap":
            assert all(isinstance(value, str) for value in each["data"].values())
            continue
        assert pod(each)["restartPolicy"] in {"Never", "OnFailure"}
        assert pod(each)["securityContext"]["runAsNonRoot"] is True
        volumes = {volume["name"] for volume in pod(each)["volumes"]}
        for container in containers(each):
            assert {"name", "image", "args"} <= set(container)
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert "latest" not in container["image"]
            assert set(environment(container)["DATABASE_URL"]) == {"secretKeyRef"}
    (cron,) = (each for each in found if each["kind"] == "CronJob")
    assert re.fullmatch(r"\d+ \d+ \* \* \*", cron["spec"]["schedule"])


@pytest.mark.parametrize("name", KUBERNETES)
def test_the_project_is_there_where_it_is_needed(name: str) -> None:
    for each in objects(name):
        for container in containers(each) if each["kind"] != "ConfigMap" else ():
            if container["args"][0] == "rehearse":
                assert container["image"] == "registry.example.com/flagsnap-flagsmith:2.265.0"
                assert "DJANGO_SECRET_KEY" in environment(container)


def test_each_hook_names_its_own_revision() -> None:
    """Helm runs the hooks of the revision that it goes back to: --to-running is that revision's capture."""
    before, back = hook("pre-upgrade", Release(7)), hook("pre-rollback", Release(6))
    capture, rehearse = containers(before)
    (rollback,) = containers(back)
    assert capture["args"][:3] == ["capture", "--deploy-id", "flagsmith-7"]
    assert rehearse["args"] == ["rehearse", "flagsmith-7"]
    assert rollback["args"][:3] == ["rollback", "--to-running", "flagsmith-6"]
    assert "flagsmith" not in rollback["image"]
    assert "FLAGSNAP_MANAGE" not in environment(rollback)


def test_the_hook_comes_after_those_of_the_chart() -> None:
    """One of them makes the secret that Django needs, at the weight that Helm takes without one: 0."""
    assert int(hook("pre-upgrade", Release(7))["metadata"]["annotations"]["helm.sh/hook-weight"]) > 0


def test_the_direct_address_takes_the_place_of_the_chart_s() -> None:
    _, rehearse = containers(hook("pre-upgrade", Release(7)))
    assert environment(rehearse)["DATABASE_URL"]["secretKeyRef"]["name"] == "flagsnap"
    assert environment(rehearse)["DJANGO_SECRET_KEY"]["secretKeyRef"]["name"] == "flagsmith-key"


def test_without_a_tag_the_chart_s_version_is_taken() -> None:
    capture, rehearse = containers(hook("pre-upgrade", Release(7, tag="")))
    assert capture["args"][-1] == "version=2.227.0"
    assert rehearse["image"].endswith(":2.227.0")


def test_compose() -> None:
    services = content("compose.yml")["services"]
    assert services["flagsnap"]["profiles"] == ["flagsnap"]
    for service in services.values():
        assert service["build"]["target"] in stages()
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert service["volumes"] == [f"snapshots:{service['environment']['FLAGSNAP_STORE']}"]
        assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert set(content("compose.yml")["volumes"]) == {"snapshots"}


def test_github_actions() -> None:
    found = content("github-actions.yml")
    assert set(found[True]) == {"workflow_dispatch"}  # YAML 1.1 reads `on` as true
    (job,) = found["jobs"].values()
    steps = {step.get("id", step.get("name")): step for step in job["steps"]}
    assert list(steps) == [None, "Capture", "Rehearse", "deploy", "Go back"]
    assert steps["Go back"]["if"] == "failure() && steps.deploy.outcome == 'failure'"
    assert not [step for step in job["steps"] if "${{" in step.get("run", "")]  # an input is no shell code
    assert job["env"]["FLAGSNAP_MANAGE"].endswith(":${{ inputs.version }}")


def test_crontab() -> None:
    for line in text_of("crontab").splitlines():
        if line and not line.startswith("#") and not re.match(r"[A-Z]+=", line):
            assert re.match(r"(\d+ ){2}(\*|\d+) (\*|\d+) (\*|\d+)  \S", line), line
            assert not re.search(r"(?<!\\)%", line), "cron takes it for the end of the command"


def test_systemd_units(tmp_path: Path) -> None:
    """By systemd itself where it is; that it is not on every machine is why there is the second test."""
    if not (verifier := shutil.which("systemd-analyze")):
        return
    for name in ("flagsnap-verify.service", "flagsnap-verify.timer"):
        (tmp_path / name).write_text(text_of(name).replace("/usr/local/bin/flagsnap", "/bin/true"))
    units = [str(tmp_path / name) for name in ("flagsnap-verify.service", "flagsnap-verify.timer")]
    done = subprocess.run([verifier, "verify", *units], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "flagsnap" in line] == []


@pytest.mark.parametrize("name", ["flagsnap-verify.service", "flagsnap-verify.timer"])
def test_systemd_units_line_by_line(name: str) -> None:
    sections = {"Unit", "Service", "Timer", "Install"}
    for line in text_of(name).splitlines():
        if line and not line.startswith("#"):
            assert line.strip("[]") in sections or re.match(r"[A-Z]\w+=\S", line), line
        if line.startswith("ExecStart="):
            assert line.startswith("ExecStart=/usr/local/bin/flagsnap ")
            assert not re.search(r"(?<!%)%(?!%)", line), "systemd takes it for a specifier"


def test_dockerfile() -> None:
    found = [line.split(None, 1) for line in logical_lines()]
    assert {instruction for instruction, _ in found} == INSTRUCTIONS
    assert stages() == ["flagsnap", "flagsnap-flagsmith"]
    users = [rest for instruction, rest in found if instruction == "USER"]
    assert users == ["65534:65534", "0", "65534:65534"]
    assert [rest for instruction, rest in found if instruction == "ENTRYPOINT"] == ['["flagsnap"]'] * 2
    for instruction, rest in found:
        if instruction == "COPY" and not rest.startswith("--from="):
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
    majors = {int(major) for major in re.findall(r"postgresql-client-(\d+)", text_of("Dockerfile"))}
    assert majors == {15, 16, 17, 18}


def test_the_package_has_all_that_the_dockerfile_copies() -> None:
    """What pyproject.toml reads to build it."""
    copied = set(re.findall(r"^COPY (pyproject.*) \./$", text_of("Dockerfile"), re.MULTILINE)[0].split())
    assert {"pyproject.toml", "README.md", "LICENSE"} <= copied


def logical_lines() -> list[str]:
    """The Dockerfile's instructions, each on one line."""
    lines = [line for line in text_of("Dockerfile").splitlines() if line and not line.startswith("#")]
    return re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()


def stages() -> list[str]:
    """The names of the images that the Dockerfile builds."""
    return re.findall(r"^FROM \S+ AS (\S+)$", text_of("Dockerfile"), re.MULTILINE)


def test_nothing_else_lies_there() -> None:
    assert all((DEPLOY / name).is_file() for name in FILES)
