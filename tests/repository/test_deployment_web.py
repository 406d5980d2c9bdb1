"""The examples of deployment for the web process, for Compose, and for platforms that run a Procfile."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from asgi_redis.integrations.django import make_channel_layer
from tests.support.deployment import FILES, ROOT, Project, check_unit, longest_stop, options_of, service_of
from tests.support.documents.pages import Page
from tests.support.interface.serving import free_port
from tests.support.interface.websockets import WebSocket
from tests.support.servers import TLSServer
from tests.support.waiting import eventually
from tests.support.workers.processes import WorkerProcess

pytestmark = [
    pytest.mark.native("processes and signals of the system"),
    pytest.mark.timeout(300),  # several processes, with Django
]


def graceful_stop(command: list[str]) -> int:
    """Returns how long a command lets its connections finish."""
    assert command[:2] == ["uvicorn", "talk.asgi:application"]
    (seconds,) = re.findall(r"--timeout-graceful-shutdown[ =](\d+)", " ".join(command))
    return int(seconds)


class TestSystemd:
    text = (FILES / "talk-web.service").read_text()

    def command(self) -> list[str]:
        program, *arguments = shlex.split(service_of(self.text)["ExecStart"])
        return [Path(program).name, *arguments]

    def test_its_times_go_together(self) -> None:
        assert graceful_stop(self.command()) < int(service_of(self.text)["TimeoutStopSec"])

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
    def test_systemd_finds_no_fault_with_it(self, project: Project, tmp_path: Path) -> None:
        check_unit(self.text, project.folder, tmp_path / "talk-web.service")

    def test_it_opens_websockets_and_closes_them_when_it_stops(self, project: Project) -> None:
        port, keeper = free_port()
        command = [word.replace("8000", str(port)) for word in self.command()]
        migrate = project.start("python", "manage.py", "migrate")
        with keeper, project.start(*command) as web, project.start("python", "manage.py", "runworker") as worker:
            eventually(lambda: "Uvicorn running" in web.log and "Listening on" in worker.log, timeout=90)
            assert migrate.wait(90) == 0
            with WebSocket(port, "/ws/lobby/", headers=[("Origin", "http://localhost")]) as socket:
                socket.opened()
                web.signal(signal.SIGTERM)
                assert socket.close_code() == 1012
            assert web.wait() in (0, -signal.SIGTERM)
            worker.stop()


class TestCompose:
    def test_its_commands_and_times_go_together(self) -> None:
        yaml = pytest.importorskip("yaml")
        services = yaml.safe_load((FILES / "compose.yaml").read_text())["services"]
        assert graceful_stop(services["web"]["command"]) < int(services["web"]["stop_grace_period"].rstrip("s"))
        assert "command" not in services["worker"], "it is that of the image"
        image = (FILES / "Dockerfile").read_text().replace("\\\n", " ")
        command = json.loads(re.findall(r"^CMD (\[.+\])$", image, re.MULTILINE)[0])
        assert longest_stop(options_of(command)) < int(services["worker"]["stop_grace_period"].rstrip("s"))
        database = re.findall(r"DATABASE=(\S+)/", image)[0]
        for name in ("migrate", "worker"):
            assert services[name]["volumes"] == [f"talk:{database}"]
        for name in ("migrate", "web", "worker"):
            build = services[name]["build"]
            assert (FILES / build["context"] / "manage.py").exists()
            assert (FILES / build["context"] / build["dockerfile"]).exists()


class TestKubernetes:
    def objects(self) -> list[Any]:
        yaml = pytest.importorskip("yaml")
        return list(yaml.safe_load_all((FILES / "kubernetes-web.yaml").read_text()))

    def test_kubernetes_knows_each_field(self) -> None:
        kubernetes = pytest.importorskip("kubernetes_validate")
        for one in self.objects():
            kubernetes.validate(one, kubernetes.latest_version(), strict=True)

    def test_its_names_and_times_go_together(self) -> None:
        deployment, service = self.objects()
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        command = [*container["command"], *container["args"]]
        assert waits + graceful_stop(command) < pod["terminationGracePeriodSeconds"]
        (port,) = container["ports"]
        assert f"--port={port['containerPort']}" in command
        assert service["spec"]["ports"][0]["targetPort"] == container["readinessProbe"]["tcpSocket"]["port"] == "http"
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]


def procfile() -> dict[str, str]:
    lines = (FILES / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)


class TestPlatforms:
    HEROKU_SECONDS = 30  # from SIGTERM to SIGKILL; Dokku's are the same

    def command(self, text: str) -> list[str]:
        return shlex.split(text.replace("exec ", ""))

    def test_stops_take_less_time_than_they_may(self) -> None:
        processes = procfile()
        assert longest_stop(options_of(self.command(processes["worker"]))) < self.HEROKU_SECONDS
        assert graceful_stop(self.command(processes["web"])) < self.HEROKU_SECONDS
        deploy = json.loads((FILES / "railway.json").read_text())["deploy"]
        assert longest_stop(options_of(self.command(deploy["startCommand"]))) < deploy["drainingSeconds"]
        assert deploy["preDeployCommand"] == [processes["release"]]
        fly = (FILES / "fly.toml").read_text()
        (seconds,) = re.findall(r"^kill_timeout = (\d+)$", fly, re.MULTILINE)
        (worker,) = re.findall(r'^worker = "(.+)"$', fly, re.MULTILINE)
        assert longest_stop(options_of(self.command(worker))) < int(seconds)

    def test_the_worker_of_the_procfile_starts_and_stops_in_order(self, project: Project) -> None:
        with project.start("sh", "-c", procfile()["worker"]) as worker:
            eventually(lambda: worker.log.count("Listening on") == 2, timeout=120)
            project.take_a_message()
            worker.stop()
            assert "1 messages done" in worker.log

    def test_the_release_makes_the_tables(self, project: Project) -> None:
        release: WorkerProcess = project.start(*shlex.split(procfile()["release"]))
        assert release.wait(120) == 0, release.log
        assert (project.folder / "db.sqlite3").exists()

    def test_the_settings_connect_to_a_self_signed_redis(
        self, tls_server: TLSServer, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REDIS_URL", tls_server.url)
        settings: dict[str, Any] = {}
        for block in Page(ROOT / "docs" / "howto" / "deploy_platforms.rst").blocks("python"):
            exec(block.text, settings)
        layers = settings["CHANNEL_LAYERS"]
        layers["default"]["CONFIG"]["prefix"] = prefix
        layer = make_channel_layer("default", layers)
        layer.send("channel", {})
        assert layer.receive(["channel"]) == ("channel", {})
        layer.close()
