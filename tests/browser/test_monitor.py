"""The monitor's page: live, safe, and usable with a keyboard, on a phone, and by ear."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from asgi_redis import (
    InMemoryChannelLayer,
    IPCChannelLayer,
    RedisChannelLayer,
    RedisLocalChannelLayer,
    RedisPubSubChannelLayer,
)
from asgi_redis.exceptions import InvalidName
from tests.support.monitor.scene import HOSTILE, MARKUP, Scene, interface_report, worker_report
from tests.support.monitor.serving import serving
from tests.support.monitor.sites import PASSWORD, SERVERS, run_site
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, ROOT, WorkerProcess

# A browser starts for it, on a machine that may be busy.
pytestmark = pytest.mark.timeout(180)

ARTIFACTS = Path(os.environ.get("CI_ARTIFACTS") or ROOT / ".ci" / "artifacts")
WIDTHS = pytest.mark.parametrize("width", [1280, 360], ids=["desktop", "phone"])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture
def layer(layer_for: Callable[..., RedisChannelLayer], redis_server: Any) -> RedisChannelLayer:
    return layer_for(redis_server)


@pytest.fixture
def server(layer: RedisChannelLayer) -> Iterator[Any]:
    with serving(layer, allow_actions=True, content=True) as running:
        yield running


@pytest.fixture
def open_page(driver: Any, server: Any) -> Iterator[Callable[..., Any]]:
    """``open_page(**options)`` opens the page; in the end it has said nothing on the console."""
    from tests.browser.monitor_page import MonitorPage  # here, because it needs selenium

    driver.get_log("browser")
    pages: list[MonitorPage] = []

    def open_one(**options: Any) -> MonitorPage:
        pages.append(MonitorPage(driver, server.url, **options))
        pages[-1].is_live()
        return pages[-1]

    yield open_one
    for page in pages:
        assert page.errors == []
        assert page.hosts == [server.url.rstrip("/")]
        page.close()


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    return open_page()


def test_it_shows_at_once_what_changes(page: Any, layer: RedisChannelLayer) -> None:
    assert page.names() == []
    for _ in range(3):
        layer.send("mail", {})
    page.wait(lambda: page.row("mail")["Waiting"] == "3 of 100")
    page.wait(lambda: "no reader" in page.row("mail")[""] or "unread" in page.row("mail")[""])
    layer.receive(["mail"])
    page.wait(lambda: page.row("mail")["Waiting"] == "2 of 100")
    assert page.run("return performance.getEntriesByType('navigation').length") == 1


def test_channels_are_sorted_and_filtered(page: Any, layer: RedisChannelLayer) -> None:
    for number, channel in enumerate(["mail.a", "mail.b", "work.c"], 1):
        for _ in range(number):
            layer.send(channel, {})
    page.wait(lambda: page.names() == ["work.c", "mail.b", "mail.a"])
    page.sort_by("Waiting")
    assert page.names() == ["mail.a", "mail.b", "work.c"]
    assert page.find('#channels th[aria-sort="ascending"]').text.startswith("Waiting")
    page.sort_by("Channel")
    page.sort_by("Channel")
    assert page.names() == ["work.c", "mail.b", "mail.a"]
    page.find("#filter").send_keys("MAIL")
    assert page.names() == ["mail.b", "mail.a"]
    assert page.text("#channels-note").startswith("2 of 3 channels")


def test_a_channel_is_purged_after_a_confirmation_that_names_it(page: Any, layer: RedisChannelLayer) -> None:
    from selenium.webdriver.common.keys import Keys

    for channel in ("mail", "work"):
        layer.send(channel, {})
    page.wait(lambda: page.names() == ["mail", "work"])
    button = page.button("Purge mail")
    button.send_keys(Keys.ENTER)
    assert page.text("#confirm-name") == "mail"
    page.run("return document.activeElement").send_keys(Keys.ENTER)  # Cancel, which is first
    assert not page.find("#confirm").is_displayed()
    assert layer.channel_statistics("mail")["messages_pending"] == 1
    assert page.run("return document.activeElement.getAttribute('aria-label')") == "Purge mail"
    page.press("Purge mail")
    page.find("#confirm-yes").click()
    page.wait(lambda: page.text("#notice") == "1 message deleted from mail")
    assert layer.channel_statistics("mail")["messages_pending"] == 0
    assert layer.channel_statistics("work")["messages_pending"] == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RedisTimeoutError("no answer"), "Perhaps not done: no answer"),  # a server that hangs may do it later
        (InvalidName("no name"), "Not done: no name"),
    ],
)
def test_an_action_that_fails_says_whether_it_was_done(
    page: Any, layer: RedisChannelLayer, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(channel: str) -> int:
        raise error

    layer.send("mail", {})
    page.wait(lambda: page.names() == ["mail"])
    monkeypatch.setattr(layer.inspector, "purge", fail)
    page.press("Purge mail")
    page.find("#confirm-yes").click()
    page.wait(lambda: page.text("#notice") == told)
    assert "/purge?" in page.errors[0], "the browser has noted it"


def test_a_peek_shows_content_when_it_is_asked_for(page: Any, layer: RedisChannelLayer) -> None:
    layer.send("mail", {"text": HOSTILE})
    page.wait(lambda: page.names() == ["mail"])
    page.press("Peek mail")
    page.wait(lambda: page.text("#peek-note").startswith("1 message, "))
    assert HOSTILE not in page.text("#peek")
    page.find("#peek-content").click()
    page.wait(lambda: "onerror" in page.text("#peek pre"))
    assert_not_hacked(page)
    assert layer.receive(["mail"])[0] == "mail"


def test_a_worker_is_quieted(page: Any, layer: RedisChannelLayer, redis_server: Any, tmp_path: Path) -> None:
    routing = ["--routing", "tests.support.workers.consumers.routing"]
    command = [*MODULE, "--layer-url", redis_server.url, "--prefix", layer.prefix, *routing]
    with WorkerProcess(command, tmp_path) as worker:
        worker.listens()
        (name,) = page.wait(lambda: page.names("workers"))
        assert name.endswith(f":{worker.pid}")
        assert page.row(name, "workers")["Busy"].startswith("0 of ")
        page.run("document.querySelector('#workers td.acts button').click()")
        assert page.text("#confirm-name") == name
        page.find("#confirm-yes").click()
        page.wait(lambda: page.text("#notice") == f"Worker {name} has been asked to end")
        assert worker.wait() == 0, worker.log


def assert_not_hacked(page: Any) -> None:
    assert page.run("return typeof hacked") == "undefined"
    assert page.run("return document.querySelectorAll('img, main script').length") == 0


def test_hostile_names_are_text(page: Any, layer: RedisChannelLayer) -> None:
    assert layer.registry is not None
    running = [{"channel": HOSTILE, "consumer": HOSTILE, "seconds": 1}]
    hostile = worker_report(1, host=HOSTILE, channels=[HOSTILE], running=running, version=HOSTILE, pool=MARKUP)
    layer.registry.report("w1", hostile)
    layer.registry.report("i1", interface_report(1, host=HOSTILE, version=HOSTILE))
    page.wait(lambda: HOSTILE in page.text("#workers") and HOSTILE in page.text("#interfaces"))
    assert HOSTILE in page.row(page.names("workers")[0], "workers")["Running"]
    assert "onerror" in page.row(page.names("workers")[0], "workers")[""]
    page.press("Quiet w1")
    assert HOSTILE in page.text("#confirm")
    assert_not_hacked(page)


def test_reports_of_another_shape_do_not_stop_the_page(page: Any, layer: RedisChannelLayer) -> None:
    assert layer.registry is not None
    layer.registry.report("w1", {"role": "worker"})
    strange = {"running": ["x", None, 7], "channels": ["mail", 7], "slots": "y", "done": [], "pid": {"toString": 1}}
    layer.registry.report("w2", {"role": "worker", **strange})
    layer.registry.report("w3", worker_report(3))
    page.wait(lambda: "web-3:4103" in page.names("workers"))
    assert page.text("#state") == "live"


def test_focus_stays_where_it_is_when_rows_change(page: Any, layer: RedisChannelLayer) -> None:
    layer.send("mail", {})
    page.wait(lambda: page.names() == ["mail"])
    page.run("document.querySelector('button[aria-label=\"Purge mail\"]').focus()")
    for _ in range(3):
        layer.send("work", {})
    page.wait(lambda: page.row("work")["Waiting"] == "3 of 100")
    assert page.run("return document.activeElement.getAttribute('aria-label')") == "Purge mail"
    assert page.names() == ["mail", "work"]  # a row does not move away from under a finger
    page.run("document.activeElement.blur()")
    page.wait(lambda: page.names() == ["work", "mail"])


def test_it_says_when_the_figures_are_old(page: Any, server: Any) -> None:
    real = server.watched.snapshot

    def fail() -> Any:
        raise OSError("the layer is away")

    server.watched.snapshot = fail
    page.wait(lambda: page.find("#state").get_attribute("data-state") == "stale")
    page.wait(lambda: "the layer is away" in page.text("#alerts"))
    assert page.run("return document.body.classList.contains('stale')")
    server.watched.snapshot = real
    page.is_live()
    page.wait(lambda: not page.find("#alerts").is_displayed())
    page.errors  # noqa: B018  the browser has noted the answers 502


def test_it_says_which_server_is_away(open_page: Callable[..., Any], server: Any, fresh_redis_server: Any) -> None:
    with RedisChannelLayer(hosts=[fresh_redis_server.url], connection_kwargs={"socket_timeout": 1}) as layer:
        layer.send("mail", {})
        server.watched.layer = layer
        page = open_page()
        page.wait(lambda: page.names() == ["mail"])
        fresh_redis_server.stop()
        page.wait(lambda: page.text("#state") == "partly old")
        page.wait(lambda: "cannot be reached: " in page.text("#alerts"))
        page.wait(lambda: "unreachable" in page.text("#servers tbody th"))
        assert page.names() == ["mail"]
        fresh_redis_server.start()
        page.is_live()


def test_it_asks_for_nothing_while_it_is_paused_or_hidden(page: Any) -> None:
    asked = "return performance.getEntriesByType('resource').filter(e => e.name.includes('/facts')).length"
    page.find("#pause").click()
    assert page.text("#state") == "paused"
    before = page.run(asked)
    hide = "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});"
    page.run(f"{hide} document.dispatchEvent(new Event('visibilitychange'))", True)
    page.find("#pause").click()  # goes on, but nobody can see it
    assert page.run(asked) == before
    page.run(f"{hide} document.dispatchEvent(new Event('visibilitychange'))", False)
    page.wait(lambda: page.run(asked) > before)


def test_every_kind_of_layer_has_a_page(driver: Any, redis_server: Any, prefix: str, tmp_path: Path) -> None:
    hosts = {"hosts": [redis_server.url], "prefix": prefix}
    for layer in [
        InMemoryChannelLayer(),
        IPCChannelLayer(prefix=prefix, path=str(tmp_path)),
        RedisLocalChannelLayer(**hosts, local_layer=InMemoryChannelLayer()),
        RedisPubSubChannelLayer(**hosts),
    ]:
        with layer, serving(layer) as server:
            shows(driver, server.url, layer)


def shows(driver: Any, url: str, layer: Any) -> None:
    from tests.browser.monitor_page import MonitorPage

    page = MonitorPage(driver, url)
    page.is_live()
    assert page.text("#layer") == str(layer)
    if not isinstance(layer, RedisPubSubChannelLayer):  # Redis keeps no messages of pub/sub
        layer.send("mail", {})
        page.wait(lambda: page.row("mail")["Waiting"].startswith("1 of "))
    assert page.errors == []
    page.close()


def test_staff_log_in_and_purge_in_a_project(
    driver: Any, redis_server: Any, layer: RedisChannelLayer, tmp_path: Path
) -> None:
    from selenium.webdriver.common.keys import Keys

    from tests.browser.monitor_page import MonitorPage

    layer.send("mail", {})
    driver.get_log("browser")
    with run_site(SERVERS["threads"], redis_server.url, layer.prefix, tmp_path) as url:
        page = MonitorPage(driver, f"{url}/channels/")
        page.find("#id_username").send_keys("ada")
        page.find("#id_password").send_keys(PASSWORD, Keys.ENTER)
        page.wait(lambda: page.names() == ["mail"])
        page.press("Purge mail")
        page.find("#confirm-yes").click()
        page.wait(lambda: page.text("#notice") == "1 message deleted from mail")
        page.run("arguments[0].value = 'other'; arguments[0].dispatchEvent(new Event('change'))", page.find("#alias"))
        page.wait(lambda: page.names() == [])
        assert page.run("return location.search") == "?layer=other"
        assert page.hosts == [url]
        page.close()
    assert layer.receive(["mail"]) == (None, None)


@pytest.fixture
def scene(layer: RedisChannelLayer) -> Iterator[Scene]:
    with Scene(layer) as playing:
        yield playing


def busy(page: Any) -> None:
    page.wait(lambda: page.row("thumbnails")["Waiting"] == "100 of 100")
    page.wait(lambda: len(page.names("workers")) == 2 and page.names("groups") and page.names("servers"))
    page.wait(lambda: page.find("#charts svg").get_attribute("aria-label"))


def test_a_picture_has_the_figures_of_each_moment(open_page: Callable[..., Any], scene: Scene, driver: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page = open_page()
    page.wait(lambda: page.run("return document.querySelector('#charts .line').getAttribute('d').includes('L')"))
    assert page.text("#charts .span").startswith("last ")
    ActionChains(driver).move_to_element_with_offset(page.find("#charts svg"), -100, 0).perform()
    page.wait(lambda: page.text("#charts .span").endswith(" ago"))
    assert page.run("return document.querySelectorAll('#charts .pointed').length") == 1
    ActionChains(driver).move_to_element(page.find("h1")).perform()
    page.wait(lambda: page.text("#charts .span").startswith("last "))


@WIDTHS
@SCHEMES
def test_it_breaks_no_rule_of_accessibility(
    open_page: Callable[..., Any], scene: Scene, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_core_python", reason="no axe-core: pip install -r tests/browser/requirements.txt")
    page = open_page(width=width, scheme=scheme)
    busy(page)
    page.run((resources.files(axe) / "axe.min.js").read_text())
    assert violations(page) == []
    dark = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(18, 22, 28)") == (scheme == "dark")
    page.press("Peek thumbnails")
    page.wait(lambda: page.text("#peek-note"))
    page.find("#peek-content").click()
    page.wait(lambda: page.text("#peek pre"))
    assert violations(page) == []
    page.find("#peek [autofocus]").click()
    page.press("Purge thumbnails")
    assert violations(page) == []


def violations(page: Any) -> list[tuple[str, list[str]]]:
    found = page.driver.execute_async_script("axe.run(document).then(arguments[0])")
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]


@WIDTHS
def test_by_ear_it_is_made_of_tables_with_names(open_page: Callable[..., Any], scene: Scene, width: int) -> None:
    page = open_page(width=width)
    busy(page)
    spoken = page.spoken
    for role, name in [
        ("banner", ""),
        ("main", ""),
        ("contentinfo", ""),
        ("heading", "Channels"),
        ("heading", "Workers"),
        ("table", "Channels"),
        ("table", "Workers and the consumers that they run"),
        ("table", "Redis servers"),
        ("columnheader", "Waiting"),
        ("button", "Purge thumbnails"),
        ("searchbox", "Filter"),
        ("listitem", ""),
    ]:
        assert (role, name) in spoken
    assert [name for role, name in spoken if role == "rowheader" and name.startswith("mail.digest no reader")]
    pictures = [name for role, name in spoken if role in ("image", "img")]
    assert len(pictures) == 3
    assert pictures[1].startswith("Messages that wait, last ")
    assert ": waiting now " in pictures[1]


def test_on_a_phone_nothing_is_out_of_sight(open_page: Callable[..., Any], scene: Scene) -> None:
    page = open_page(width=360)
    busy(page)
    assert page.run("return document.documentElement.scrollWidth") <= 360
    assert page.run("return innerWidth") == 360
    right = "Math.max(...[...document.querySelectorAll('tbody *')].map(e => e.getBoundingClientRect().right))"
    assert page.run(f"return {right}") <= 360
    page.press("Purge thumbnails")
    assert page.find("#confirm-yes").rect["x"] + page.find("#confirm-yes").rect["width"] <= 360


def test_its_picture_is_taken(open_page: Callable[..., Any], scene: Scene, driver: Any) -> None:
    """For docs/pictures/monitor.png."""
    page = open_page(width=1180)
    busy(page)
    points = "return document.querySelector('#charts .line').getAttribute('d').split('L').length"
    eventually(lambda: page.run(points) >= 14, timeout=60)
    driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    page.resize(1180, 1215)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    (ARTIFACTS / "monitor.png").write_bytes(driver.get_screenshot_as_png())
