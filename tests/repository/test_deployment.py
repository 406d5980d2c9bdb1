"""The examples of deployment: they say what holds together, and those that can be run here run."""

from __future__ import annotations

import configparser
import importlib.metadata
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.deployment import (
    CLASSIC,
    FILES,
    Project,
    check_unit,
    flags_of,
    longest_stop,
    options_of,
    service_of,
)
from tests.support.guides import Guide
from tests.support.interface.serving import free_port
from tests.support.waiting import eventually
from tests.unit.workers.operations.test_systemd import Supervisor as Systemd
from workers.operations.liveness import SILENCE_SECONDS

pytestmark = [
    pytest.mark.native("processes and signals of the system"),
    pytest.mark.timeout(300),  # several processes, with Django
]


class TestSystemd:
    text = (FILES / "talk-worker.service").read_text()

    def test_its_times_go_together(self) -> None:
        unit = service_of(self.text)
        options = options_of(shlex.split(unit["ExecStart"]))
        assert longest_stop(options) < int(unit["TimeoutStopSec"])
        assert int(unit["WatchdogSec"]) > SILENCE_SECONDS

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
    def test_systemd_finds_no_fault_with_it(self, project: Project, tmp_path: Path) -> None:
        check_unit(self.text, project.folder, tmp_path / "talk-worker.service")

    def test_the_command_tells_systemd_what_it_does(self, project: Project, tmp_path: Path) -> None:
        unit = service_of(self.text.replace("/srv/talk", str(project.folder)))
        systemd = Systemd(str(tmp_path / "notify"))
        usec = str(int(unit["WatchdogSec"]) * 1_000_000)
        command = shlex.split(unit["ExecStart"])
        with project.start(*command, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC=usec) as worker:
            eventually(lambda: "READY=1" in systemd.lines and "WATCHDOG=1" in systemd.lines, timeout=60)
            project.take_a_message()
            worker.stop()
            assert "STOPPING=1" in systemd.lines
            assert "1 messages done" in worker.log
        systemd.socket.close()


class Dockerfile:
    """The instructions of a Dockerfile."""

    def __init__(self, text: str) -> None:
        lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
        pairs = [line.split(None, 1) for line in lines.replace("\\\n", " ").splitlines() if line.strip()]
        self.instructions = {name: argument.strip() for name, argument in pairs}
        self.names = [name for name, _ in pairs]

    def command(self, instruction: str) -> list[str]:
        """Returns the command of an instruction, which has to be a list."""
        _, bracket, command = self.instructions[instruction].partition("[")
        words = json.loads(bracket + command)
        assert all(type(word) is str for word in words)
        return list(words)


class Containers:
    """The Dockerfile and the Kubernetes objects."""

    def __init__(self) -> None:
        yaml = pytest.importorskip("yaml")
        self.dockerfile_text = (FILES / "Dockerfile").read_text()
        self.dockerfile = Dockerfile(self.dockerfile_text)
        self.deployment = yaml.safe_load((FILES / "kubernetes.yaml").read_text())
        self.scaling = yaml.safe_load((FILES / "keda.yaml").read_text())
        self.pod = self.deployment["spec"]["template"]["spec"]
        (self.container,) = self.pod["containers"]

    @property
    def metric(self) -> str:
        """The name of the metric by which the number of workers is chosen."""
        query = self.scaling["spec"]["triggers"][0]["metadata"]["query"]
        return str(re.findall(r"\((runworker_\w+)", query)[0])

    def command(self, kind: str) -> list[str]:
        """Returns the command of the worker."""
        if kind == "docker":
            return self.dockerfile.command("CMD")
        return [*self.container["command"], *self.container["args"]]

    def probes(self, kind: str) -> list[list[str]]:
        """Returns the commands of the probes."""
        if kind == "docker":
            return [self.dockerfile.command("HEALTHCHECK")]
        names = ("startupProbe", "livenessProbe", "readinessProbe")
        return [self.container[name]["exec"]["command"] for name in names]


@pytest.fixture(scope="module")
def containers() -> Containers:
    return Containers()


class TestContainers:
    def test_the_image_has_what_it_needs_and_does_not_run_as_root(self, containers: Containers) -> None:
        image = containers.dockerfile
        assert set(image.names) <= {
            *("FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "STOPSIGNAL", "HEALTHCHECK", "CMD"),
        }
        assert image.names.index("USER") > image.names.index("RUN")
        assert int(image.instructions["USER"]) == containers.pod["securityContext"]["runAsUser"] > 0
        assert image.instructions["STOPSIGNAL"] == "SIGTERM"
        extras = re.findall(r'"asgi_redis\[([\w,]+)\]>=2"', image.instructions["RUN"])[0].split(",")
        assert set(extras) <= set(importlib.metadata.metadata("asgi_redis").get_all("Provides-Extra") or ())
        for source in re.findall(r"^COPY (\S+) ", containers.dockerfile_text, re.MULTILINE):
            assert (CLASSIC / source).exists()

    @pytest.mark.parametrize("kind", ["docker", "kubernetes"])
    def test_the_flags_are_those_of_the_commands(self, containers: Containers, kind: str) -> None:
        options = options_of(containers.command(kind))
        for probe in containers.probes(kind):
            assert flags_of(probe).heartbeat == options.heartbeat_file

    def test_a_stop_has_the_time_that_it_may_take(self, containers: Containers) -> None:
        grace = containers.pod["terminationGracePeriodSeconds"]
        assert longest_stop(options_of(containers.command("kubernetes"))) < grace
        timeout = re.findall(r"docker run .*--stop-timeout (\d+)", containers.dockerfile_text)
        assert longest_stop(options_of(containers.command("docker"))) < int(timeout[0])

    def test_kubernetes_knows_each_field(self, containers: Containers) -> None:
        kubernetes = pytest.importorskip("kubernetes_validate")
        kubernetes.validate(containers.deployment, kubernetes.latest_version(), strict=True)

    def test_the_files_of_the_worker_can_be_written_and_its_metrics_found(self, containers: Containers) -> None:
        options = options_of(containers.command("kubernetes"))
        assert containers.container["securityContext"]["readOnlyRootFilesystem"]
        volumes = {volume["name"] for volume in containers.pod["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in containers.container["volumeMounts"]}
        assert set(mounts.values()) == volumes
        assert str(Path(str(options.heartbeat_file)).parent) in mounts
        template = containers.deployment["spec"]["template"]["metadata"]
        assert options.metrics_port == ("0.0.0.0", int(template["annotations"]["prometheus.io/port"]))
        assert containers.container["ports"][0]["containerPort"] == options.metrics_port[1]
        assert containers.deployment["spec"]["selector"]["matchLabels"] == template["labels"]

    def test_what_is_scaled_is_the_deployment(self, containers: Containers) -> None:
        target = containers.scaling["spec"]["scaleTargetRef"]["name"]
        assert target == containers.deployment["metadata"]["name"]

    @pytest.mark.parametrize("kind", ["docker", "kubernetes"])
    def test_the_probes_turn_green_with_the_worker(
        self, containers: Containers, project: Project, tmp_path: Path, kind: str
    ) -> None:
        options = options_of(containers.command(kind))
        places = {str(options.heartbeat_file): str(tmp_path / "heartbeat"), "0.0.0.0:9100": "127.0.0.1:0"}

        def here(command: list[str]) -> list[str]:
            text = "\n".join(command)
            for place, ours in places.items():
                text = text.replace(place, ours)
            return text.split("\n")

        def results() -> list[int]:
            return [
                subprocess.run(here(probe), env=project.environment, capture_output=True, check=False).returncode
                for probe in containers.probes(kind)
            ]

        assert set(results()) == {1}
        with project.start(*here(containers.command(kind))) as worker:
            eventually(lambda: worker.log.count("Listening on") == options.processes, timeout=60)
            eventually(lambda: set(results()) == {0}, timeout=60, interval=0.2)
            if options.metrics_port:
                url = re.findall(r"Metrics are at (\S+)", worker.log)[0]
                with urllib.request.urlopen(url) as answer:
                    assert f"\n{containers.metric}{{" in answer.read().decode()
            project.take_a_message()
            worker.stop()
            assert "1 messages done" in worker.log
        assert results()[-1] == int(kind == "kubernetes")  # readiness, which goes with the beginning of a stop


class TestSupervisord:
    path = FILES / "supervisord.conf"

    def test_its_times_go_together(self) -> None:
        parser = configparser.RawConfigParser()
        parser.read(self.path)
        program = parser["program:worker"]
        assert longest_stop(options_of(shlex.split(program["command"]))) < int(program["stopwaitsecs"])
        assert program["stopsignal"] == "TERM"

    def test_it_starts_the_worker_and_stops_it_in_order(self, project: Project) -> None:
        pytest.importorskip("supervisor")
        shutil.copy(self.path, project.folder)
        log = project.folder / "worker.log"
        command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", self.path.name]
        with project.start(*command) as supervisord:
            eventually(lambda: log.read_text().count("Listening on") == 2, timeout=60)
            status = [sys.executable, "-m", "supervisor.supervisorctl", "-c", self.path.name, "status"]
            ended = subprocess.run(status, cwd=project.folder, capture_output=True, text=True, check=False)
            assert re.match(r"worker +(STARTING|RUNNING) ", ended.stdout), ended
            project.take_a_message()
            supervisord.stop()
        assert "1 messages done" in log.read_text()
        assert "Stopped; all worker processes have ended" in log.read_text()


# Its five seconds until SIGKILL are compared with those of the worker below; a busy machine may need more.
HONCHO = "import honcho.manager; honcho.manager.KILL_WAIT = 60; from honcho.command import main; main()"


class TestProcfile:
    def test_its_processes_start_and_stop_in_order(self, project: Project) -> None:
        pytest.importorskip("honcho")
        port, keeper = free_port()
        guide = Guide("deploy_procfile.rst", "Steps")
        program, *arguments = shlex.split(guide.commands()[-1].replace("8000", str(port)))
        assert program == "honcho"
        assert "the chat is at http://127.0.0.1:8000/" in guide.prose
        with keeper, project.start(sys.executable, "-c", HONCHO, *arguments, "--no-colour") as honcho:
            eventually(lambda: honcho.log.count("Listening on") == 2, timeout=60)
            eventually(lambda: f"running on http://127.0.0.1:{port}" in honcho.log, timeout=60)
            project.take_a_message()
            honcho.signal(signal.SIGTERM)
            assert honcho.wait(100) == 128 + signal.SIGTERM
            assert "SIGKILL" not in honcho.log
            assert re.search(r"bot\.1 +\| .* 1 messages done", honcho.log), honcho.log
            for name in ("worker", "bot"):
                assert f"{name}.1 stopped (rc=0)" in honcho.log

    def test_a_stop_is_shorter_than_honcho_waits(self) -> None:
        manager = pytest.importorskip("honcho.manager")
        for line in (CLASSIC / "Procfile").read_text().splitlines():
            if "runworker" in line:
                assert (
                    int(re.findall(r"--shutdown-timeout \$\{SHUTDOWN_TIMEOUT:-(\d+)\}$", line)[0]) < manager.KILL_WAIT
                )
