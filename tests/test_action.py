"""The steps of action.yml run as GitHub's runner would run them, on the demo's recording: no node, no network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from scanner.cli.commands import DEMO

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"]}
BIN = Path(sys.executable).parent
HOSTILE = "ETH=-1%\"; echo '::error::owned'; $(touch owned) `touch owned`"


class Runner:
    """A runner for composite actions: environment, files and shell as GitHub documents them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {name: folder / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")}
        for file in self.files.values():
            file.touch()

    def run(self, name: str, variables: Mapping[str, str] = {}, **inputs: str) -> subprocess.CompletedProcess[str]:
        step = STEPS[name]
        assert step["shell"] == "bash"
        assert set(inputs) <= set(ACTION["inputs"]), "an input that the action does not have"
        values = {key: str(told.get("default", "")) for key, told in ACTION["inputs"].items()} | inputs
        script = self.folder / "script.sh"
        script.write_text(step["run"], encoding="utf-8")
        environment = {
            "PATH": f"{self.folder / 'bin'}:{BIN}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "GITHUB_ACTIONS": "true",
            "RUNNER_TEMP": str(self.folder),
            "LIQBANDS_DATA_DIR": str(self.folder / "data"),
            **{key: str(file) for key, file in self.files.items()},
            **variables,
            **{key: self._expand(text, values) for key, text in step["env"].items()},
        }
        return subprocess.run(
            ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def _expand(self, text: str, values: dict[str, str]) -> str:
        found = re.fullmatch(r"\$\{\{ (inputs|github)\.([\w-]+) \}\}", text)
        assert found, text
        return values[found[2]] if found[1] == "inputs" else str(ROOT)

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.files["GITHUB_OUTPUT"].read_text().splitlines())

    @property
    def summary(self) -> str:
        return self.files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


REPLAY = f"--replay\n{DEMO}"


def test_no_input_is_part_of_a_script() -> None:
    assert all("${{" not in step["run"] for step in STEPS.values())
    used = {text for step in STEPS.values() for text in re.findall(r"inputs\.([\w-]+)", str(step["env"]))}
    assert used == set(ACTION["inputs"])
    assert all("description" in told for told in ACTION["inputs"].values())


def test_a_broken_limit_fails_the_step_and_tells_everybody(runner: Runner) -> None:
    done = runner.run(
        "Check",
        arguments=REPLAY,
        **{"set-lt": "WETH=-2%\nUSDC=-2%", "max-new-liquidatable": "0", "max-seizable": "ETH:-5%=1M\n"},
    )
    assert done.returncode == 1, done.stderr
    assert runner.outputs["exit-code"] == "1"
    document = json.loads((runner.folder / runner.outputs["document"]).read_text())
    broken = [limit for limit in document["limits"] if limit["outcome"] == "broken"]
    assert [limit["limit"] for limit in broken] == ["max_new_liquidatable", "max_seizable"]
    commands = [line for line in done.stderr.splitlines() if line.startswith("::")]
    assert len(commands) == 2
    assert commands[0].startswith("::error title=liqbands max_new_liquidatable::")
    assert commands[1].startswith("::error title=liqbands max_seizable ETH%3A-5%25::")
    assert "%0Areproduce: liqbands check --replay" in commands[0]
    first = document["newly_liquidatable"]["accounts"][0]["account"]
    assert first in commands[0]
    assert first in runner.summary
    assert "| WETH | 83% | 81% |" in runner.summary
    assert "### Bands of ETH" in runner.summary
    suite = ElementTree.parse(runner.folder / runner.outputs["junit"]).getroot().find("testsuite")  # noqa: S314 - ours
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == ("2", "0")
    assert len(json.loads((runner.folder / runner.outputs["sarif"]).read_text())["runs"][0]["results"]) == 2


def test_kept_limits_pass(runner: Runner) -> None:
    done = runner.run("Check", arguments=REPLAY, **{"max-seizable": "ETH:-5%=50M", "max-bad-debt": "ETH:-1%=1M"})
    assert done.returncode == 0, done.stderr
    assert runner.outputs["exit-code"] == "0"
    assert "passed" in runner.summary
    assert "::error" not in done.stdout + done.stderr


def test_limits_of_the_configuration_file_are_found(runner: Runner) -> None:
    (runner.folder / "liqbands.toml").write_text('[check.max_seizable]\n"ETH:-5%" = "1M"\n')
    assert runner.run("Check", arguments=REPLAY).returncode == 1


def test_inputs_are_never_run(runner: Runner) -> None:
    done = runner.run("Check", arguments=REPLAY, shock=HOSTILE, **{"max-liquidatable": "5"})
    assert done.returncode == 2
    assert not (runner.folder / "owned").exists()
    (told,) = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("::")]
    assert told.startswith(
        "::error title=liqbands check::wrong usage or configuration (exit code 2): --shock ETH=-1%25"
    )
    assert runner.outputs == {"exit-code": "2"}
    assert runner.summary.startswith("## liqbands check: wrong usage or configuration (exit code 2)\n\n--shock")


def test_a_dead_node_is_not_a_broken_limit(runner: Runner) -> None:
    done = runner.run(
        "Check",
        market="0x" + "11" * 20,
        **{"rpc-url": "http://127.0.0.1:9/SECRETKEY", "from-block": "0", "max-liquidatable": "5"},
    )
    assert done.returncode == 3
    assert "SECRETKEY" not in done.stdout + done.stderr + runner.summary
    assert done.stderr.count("::error title=liqbands check::the node or the chain failed (exit code 3): ") == 1
    assert runner.summary.startswith("## liqbands check: the node or the chain failed (exit code 3)\n")
    assert runner.outputs == {"exit-code": "3"}


def test_an_unknown_option_is_told_too(runner: Runner) -> None:
    done = runner.run("Check", arguments="--no-such-option")
    assert done.returncode == 2
    assert done.stderr.count("::error title=liqbands check::wrong usage or configuration (exit code 2)") == 1
    assert runner.summary


def test_the_url_is_on_no_command_line_and_wins(runner: Runner) -> None:
    program = runner.folder / "bin" / "liqbands"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "words: $*"\necho "url: $LIQBANDS_RPC_URL, of the chain: $ETHEREUM_RPC_URL."\n'
        ": > liqbands-report/check.json\n"
    )
    program.chmod(0o755)
    inputs = {"chain": "ethereum", "rpc-url": "http://node/SECRETKEY", "report-folder": ""}
    done = runner.run("Check", {"ETHEREUM_RPC_URL": "http://other"}, **inputs)
    assert done.returncode == 0, done.stderr
    words, url = done.stdout.splitlines()
    assert "SECRETKEY" not in words
    assert url == "url: http://node/SECRETKEY, of the chain: ."
    assert runner.outputs == {"exit-code": "0", "document": "liqbands-report/check.json"}


def test_an_installed_program_is_used(runner: Runner) -> None:
    done = runner.run("Install liqbands", package="none")
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d+\.\d+", done.stdout)


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_ci_examples_are_yaml_with_options_that_there_are(name: str) -> None:
    from tests.docs_check import help_of

    text = (ROOT / "examples" / "ci" / name).read_text(encoding="utf-8")
    told = yaml.safe_load(text)
    assert told
    known = set(re.findall(r"--[a-z][a-z-]+", help_of("check")))
    assert set(re.findall(r"(?<=\s)--[a-z][a-z-]+(?=\s)", text)) - {"--quiet"} <= known
    if name == "github.yml":
        step = next(step for step in told["jobs"]["check"]["steps"] if "liqbands" in step.get("uses", ""))
        assert set(step["with"]) <= set(ACTION["inputs"])
