"""The page of the metrics, the alerts and the dashboard are valid, and name the metrics that a worker serves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgi_redis.embedded import RedisServer
from tests.support.servers import pause, resume
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, WorkerProcess

pytest.importorskip("prometheus_client")

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.timeout(240)  # three processes for each worker

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "metrics.rst").read_text()
ALERTS = ROOT / "docs" / "prometheus" / "alerts.yml"
CONFIGURATION = ROOT / "docs" / "prometheus" / "prometheus.yml"
DASHBOARD = json.loads((ROOT / "docs" / "grafana" / "asgi_redis.json").read_text())
TESTS_OF_ALERTS = Path(__file__).parent / "prometheus" / "alerts_test.yml"

OF_HISTOGRAMS = ("_bucket", "_count", "_sum")
OF_PROMETHEUS = {"job", "instance"}
# What a scraper of Grafana puts into its queries.
VARIABLES = {"$job": "runworker", "$channel": ".*", "$__rate_interval": "1m"}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")


def described() -> dict[str, tuple[str, set[str]]]:
    """Return the type and the labels of each metric on the page."""
    entries = re.findall(r"^``(runworker_\w+)``\n   (\w+)(?: by ([\w`, ]+))?\. \S", PAGE, re.MULTILINE)
    return {name: (kind.lower(), set(re.findall(r"\w+", labels))) for name, kind, labels in entries}


def labels_of(family: Metric) -> set[str]:
    return {label for sample in family.samples for label in sample.labels if label != "le"}


def families(text: str) -> dict[str, Metric]:
    found = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert name not in found
        found[name] = family
    return found


def scrape(worker: WorkerProcess) -> str:
    url: Any = eventually(lambda: re.search(r"Metrics are at (\S+)", worker.log), 60)
    with urllib.request.urlopen(url[1], timeout=60) as response:
        text: str = response.read().decode()
    return text


def within_a_second(worker: WorkerProcess) -> str:
    """Return what it tells, or nothing where that took longer; on a busy machine the next time may be quicker."""
    began = time.monotonic()
    text = scrape(worker)
    return text if time.monotonic() - began < 1 and "runworker_layer_up 0" in text else ""


@pytest.fixture
def worker(fresh_redis_server: RedisServer, prefix: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker of two processes."""
    (tmp_path / "shop.py").write_text("from workers import route\n\nrouting = [route('work', print)]\n")
    server = ["--layer-url", fresh_redis_server.url, "--prefix", prefix]
    command = [*MODULE, *server, "--routing", "shop.routing", "--processes", "2", "--metrics-port", "0"]
    with WorkerProcess(command, tmp_path, cwd=tmp_path) as running:
        eventually(lambda: running.log.count("Listening on") == 2, timeout=100)
        eventually(lambda: scrape(running).count("runworker_slots{") == 2, timeout=60, interval=0.1)
        yield running
        running.stop()


def test_the_page_describes_the_metrics_that_a_worker_serves(worker: WorkerProcess) -> None:
    text: Any = eventually(lambda: (told := scrape(worker)) and "runworker_delayed" in told and told)
    if shutil.which("promtool"):
        promtool("check", "metrics", told=text)
    found, page = families(text), described()
    assert set(found) == set(page)
    for name, (kind, labels) in page.items():
        assert found[name].type == kind, name
        assert labels_of(found[name]) - {"process"} == labels - {"process"}, name
        of_process = PAGE.index(f"``{name}``") < PAGE.index("Of the channel layer")
        assert ("process" in labels_of(found[name])) is of_process, name


def test_a_supervisor_answers_within_a_second_while_redis_hangs(
    worker: WorkerProcess, fresh_redis_server: RedisServer
) -> None:
    eventually(lambda: "runworker_layer_up 1" in scrape(worker))
    pause(fresh_redis_server)
    try:
        text: Any = eventually(lambda: within_a_second(worker), timeout=60)
        assert labels_of(families(text)["runworker_messages_total"]) == {"channel", "process"}
        assert [sample.value for sample in families(text)["runworker_server_up"].samples] == [0]
        assert [sample.value for sample in families(text)["runworker_process_up"].samples] == [1, 1]
    finally:
        resume(fresh_redis_server)


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("text", [ALERTS.read_text(), TESTS_OF_ALERTS.read_text(), "\n".join(expressions())])
def test_alerts_and_dashboard_name_metrics_and_labels_of_the_page(text: str) -> None:
    page = described()
    histograms = {f"{name}{end}" for name, (kind, _) in page.items() if kind == "histogram" for end in OF_HISTOGRAMS}
    names = set(re.findall(r"runworker_\w+", text))
    assert names
    assert names <= set(page) | histograms
    labels = set().union(*(labels for _, labels in page.values())) | OF_PROMETHEUS | {"le", "process"}
    for by in re.findall(r"\b(?:by|without) \(([^)]+)\)", text):
        assert set(by.split(", ")) <= labels


def test_every_metric_of_the_page_is_on_the_dashboard_or_in_an_alert() -> None:
    shown = "\n".join([*expressions(), ALERTS.read_text()])
    # Those of the process are also counted by channel.
    assert [name for name in described() if name not in shown] == ["runworker_undecodable_total"]


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_does_not() -> None:
    names = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    cases = re.findall(r"alertname: (\w+)\n.*\n +exp_alerts:(.*)", TESTS_OF_ALERTS.read_text())
    assert sorted(cases) == sorted([(name, what) for name in names for what in ("", " []")])


def promtool(*arguments: object, told: str = "") -> None:
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_configuration_and_the_alerts_are_valid() -> None:
    promtool("check", "config", CONFIGURATION)
    promtool("check", "rules", ALERTS)


@needs_promtool
def test_the_alerts_fire_where_they_have_to() -> None:
    promtool("test", "rules", TESTS_OF_ALERTS)


@needs_promtool
def test_the_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    rules = ["groups:", "  - name: dashboard", "    rules:"]
    for number, expression in enumerate(expressions()):
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        assert "$" not in expression
        rules += [f"      - record: query{number}", f"        expr: {json.dumps(expression)}"]
    (tmp_path / "rules.yml").write_text("\n".join(rules))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_the_dashboard_has_the_fields_that_grafana_needs() -> None:
    assert DASHBOARD.keys() >= {"title", "uid", "schemaVersion", "version", "panels", "templating", "time", "refresh"}
    assert "id" not in DASHBOARD, "an import gives it one"
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    for name in ("job", "channel"):
        assert variables[name]["type"] == "query"
        assert variables[name]["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["type"] in {"stat", "timeseries", "state-timeline"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(set(references)) == len(references)


def test_no_two_panels_of_the_dashboard_are_in_one_place() -> None:
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells
