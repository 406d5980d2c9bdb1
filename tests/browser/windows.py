"""The windows of one browser, each with the page of a chat example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 30  # seconds


class Window:
    """A window of ``driver`` on ``url``, the page of examples/chat; whoever sits at it is called ``name``."""

    selector = "#messages li"
    size = 480, 520

    def __init__(self, driver: Any, url: str, name: str) -> None:
        self._driver = driver
        driver.switch_to.new_window("window")
        self._handle = driver.current_window_handle
        driver.set_window_size(*self.size)
        driver.get(url)
        self._introduce(name)
        self.shows_state("connected")

    def _introduce(self, name: str) -> None:
        field = self._driver.find_element(By.ID, "sender")
        field.clear()
        field.send_keys(name)

    def say(self, text: str) -> None:
        self._show()
        self._driver.find_element(By.ID, "text").send_keys(text + "\n")

    def press_report(self) -> None:
        self._show()
        self._driver.find_element(By.ID, "report").click()

    def shows(self, line: str, times: int = 1) -> None:
        """Returns when that many messages begin with ``line``, and fails when there are more."""
        self._wait(lambda: self._count(line) >= times, f"{line!r} {times} times")
        assert self._count(line) == times, self.lines

    def _count(self, line: str) -> int:
        return sum(shown.startswith(line) for shown in self.lines)

    def shows_state(self, state: str) -> None:
        self._wait(lambda: self._driver.find_element(By.ID, "state").text == state, f"the state {state!r}")

    @property
    def lines(self) -> list[str]:
        """The messages as they stand there."""
        self._show()
        return [item.text for item in self._driver.find_elements(By.CSS_SELECTOR, self.selector)]

    @property
    def connections(self) -> int:
        """How many times the page has opened its websocket."""
        self._show()
        opened: int = self._driver.execute_script("return connections")
        return opened

    @property
    def picture(self) -> str:
        """A PNG in base64."""
        self._show()
        png: str = self._driver.get_screenshot_as_base64()
        return png

    def close(self) -> None:
        self._show()
        self._driver.close()

    def _show(self) -> None:
        self._driver.switch_to.window(self._handle)

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        self._show()
        WebDriverWait(self._driver, PATIENCE, 0.02).until(lambda _: condition(), f"the page does not show {what}")


class ClassicWindow(Window):
    """A window on a room of examples/classic."""

    selector = "#lines li"
    size = 560, 560

    def _introduce(self, name: str) -> None:
        self._driver.find_element(By.ID, "name").send_keys(name + "\n")

    def shows_people(self, *names: str) -> None:
        """Returns when these are in the room."""
        self._wait(lambda: self.people == list(names), f"the people {names}")

    @property
    def people(self) -> list[str]:
        """As one list: the page replaces it as a whole."""
        self._show()
        names = "return Array.from(document.querySelectorAll('#people li'), item => item.textContent)"
        found: list[str] = self._driver.execute_script(names)
        return found


def side_by_side(driver: Any, windows: list[Window]) -> bytes:
    """Returns a PNG that shows them all; they have one size."""
    pictures = [window.picture for window in windows]
    driver.switch_to.new_window("window")
    try:
        driver.get("about:blank")
        page = "".join(
            f'<img src="data:image/png;base64,{picture}" style="float: left; outline: 1px solid #bbb">'
            for picture in pictures
        )
        width, height = driver.execute_async_script(
            "document.body.style = 'margin: 0; overflow: hidden'; document.body.innerHTML = arguments[0];"
            "const images = Array.from(document.images), done = arguments[1];"
            "Promise.all(images.map(image => image.decode())).then("
            "  () => done([images.reduce((sum, image) => sum + image.width, 0), images[0].height]))",
            page,
        )
        frame_width, frame_height = driver.execute_script(
            "return [outerWidth - innerWidth, outerHeight - innerHeight]"
        )
        driver.set_window_size(width + frame_width, height + frame_height)
        png: bytes = driver.get_screenshot_as_png()
        return png
    finally:
        driver.close()
