"""The recipes of scripts/deploy, read as their readers read them: the flagsnap commands, objects and snippets in them.

Helm's templates are rendered by the few rules that they use; whatever else stands in braces is an error.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "scripts" / "deploy"
FILES = sorted(path.name for path in DEPLOY.iterdir())
KUBERNETES = ("helm-values.yaml", "kubernetes.yaml")
# What the chart gives to Flagsmith's containers, with the address of its PgBouncer.
API_ENVIRONMENT = [
    {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "flagsmith", "key": "DATABASE_URL"}}},
    {"name": "DJANGO_SECRET_KEY", "valueFrom": {"secretKeyRef": {"name": "flagsmith-key", "key": "django-secret-key"}}},
]
# The loop over those that takes one out, as Go's templates write it: `{{-` takes the space before it away.
_ENVIRONMENT = re.compile(
    r"""\s*\{\{- range include \(print \$\.Template\.BasePath "/_api_environment\.yaml"\) \. \| fromYamlArray \}\}
\s*\{\{- if ne \.name "(?P<without>\w+)" \}\}(?P<before>
\s*- )\{\{ toJson \. \}\}
\s*\{\{- end \}\}
\s*\{\{- end \}\}"""
)
_FIELD = re.compile(r"\{\{ ([.\w]+)(?: \| default ([.\w]+))? \}\}")
# At the start of a line, or behind what may stand before a program: an assignment, an operator, a runner.
_COMMAND = re.compile(r"(?:^|(?<=[\s=]))(?:/\S+/)?flagsnap ([a-z]+(?: .*)?)$")


@dataclass(frozen=True)
class Release:
    """A revision of a Helm release."""

    revision: int
    tag: str = "2.265.0"
    name: str = "flagsmith"


def text_of(name: str) -> str:
    """A recipe."""
    return (DEPLOY / name).read_text()


def content(name: str) -> dict[Any, Any]:
    """A recipe that is one YAML document."""
    found: dict[Any, Any] = yaml.safe_load(text_of(name))
    return found


def objects(name: str, release: Release | None = None) -> list[dict[str, Any]]:
    """The Kubernetes objects of a recipe."""
    if name == "kubernetes.yaml":
        return list(yaml.safe_load_all(text_of(name)))
    values = content(name)
    return [yaml.safe_load(_rendered(each, values, release or Release(7))) for each in values["extraObjects"]]


def hook(name: str, release: Release) -> dict[str, Any]:
    """The object of the Helm recipe that is run at that hook."""
    (found,) = (
        each
        for each in objects("helm-values.yaml", release)
        if each["metadata"].get("annotations", {}).get("helm.sh/hook") == name
    )
    return found


def pod(found: Mapping[str, Any]) -> dict[str, Any]:
    """The pod of a Job or a CronJob."""
    spec = found["spec"]["jobTemplate"]["spec"] if found["kind"] == "CronJob" else found["spec"]
    inner: dict[str, Any] = spec["template"]["spec"]
    return inner


def containers(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The containers of a Job or a CronJob, in the order in which they run."""
    return [*pod(found).get("initContainers", []), *pod(found)["containers"]]


def commands(name: str) -> list[list[str]]:
    """The words behind `flagsnap` of every command of a recipe, in order."""
    if name in KUBERNETES:
        return [each["args"] for found in objects(name) if found["kind"] != "ConfigMap" for each in containers(found)]
    return [words for line in _lines(name) for words in _commands_of(line)]


def snippets(name: str) -> list[str]:
    """What a shell is given to run by a recipe."""
    if name == "crontab":
        return [
            line.split(None, 5)[5].replace(r"\%", "%") for line in text_of(name).splitlines() if re.match(r"\d", line)
        ]
    if name == "compose.yml":
        return [each.replace("$$", "$") for each in content(name)["services"]["flagsnap-nightly"]["command"]]
    return [step["run"] for job in content(name)["jobs"].values() for step in job["steps"] if "run" in step]


def _lines(name: str) -> Iterator[str]:
    """The lines that may hold a command: of comments, those that are set in."""
    for line in text_of(name).splitlines():
        if not line.lstrip().startswith("#"):
            yield line
        elif line.startswith("#   "):
            yield line.removeprefix("#")


def _commands_of(line: str) -> Iterator[list[str]]:
    for part in re.split(r"&&|;|\|\|", line):
        if found := _COMMAND.search(part.partition(" #")[0].strip()):
            words = shlex.split(found[1].replace("%%", "%"))
            yield [word.replace(r"\%", "%") for word in words]


def _rendered(template: str, values: Mapping[str, Any], release: Release) -> str:
    known = {
        "Release": {"Name": release.name, "Revision": release.revision, "Namespace": "flags"},
        "Chart": {"AppVersion": "2.227.0"},
        "Values": {"api": {"image": {"tag": release.tag}}, **values},
    }
    included = _ENVIRONMENT.sub(_chart_environment, template)
    rendered = _FIELD.sub(lambda match: str(_looked_up(known, match[1]) or _looked_up(known, match[2])), included)
    assert "{{" not in rendered, rendered
    return rendered


def _chart_environment(match: re.Match[str]) -> str:
    kept = (each for each in API_ENVIRONMENT if each["name"] != match["without"])
    return "".join(f"{match['before']}{json.dumps(each)}" for each in kept)


def _looked_up(known: Mapping[str, Any], path: str) -> object:
    found: Any = known
    for name in path.removeprefix(".").split("."):
        found = found[name]
    return found


def environment(container: Mapping[str, Any]) -> dict[str, Any]:
    """A container's environment; a name that stands there twice, which a server-side apply refuses, fails the test."""
    entries: Sequence[Mapping[str, Any]] = container.get("env", [])
    found = {each["name"]: each.get("value", each.get("valueFrom")) for each in entries}
    assert len(found) == len(entries)
    return found
