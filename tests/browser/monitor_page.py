"""The monitor's page in a window of a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selenium.webdriver.common.by import By

from tests.support.waiting import eventually

PATIENCE = 30  # seconds


class MonitorPage:
    """The page at ``url``, in a window of its own."""

    def __init__(self, driver: Any, url: str, width: int = 1280, scheme: str = "light") -> None:
        self.driver = driver
        driver.switch_to.new_window("window")
        self.url = url
        self.resize(width, 900)
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        driver.get(url)

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def close(self) -> None:
        self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[0])

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """The text of an element, also of one that is out of sight."""
        found: str = self.run("return document.querySelector(arguments[0]).textContent", selector)
        return found

    def wait(self, predicate: Callable[[], Any]) -> Any:
        return eventually(predicate, timeout=PATIENCE, interval=0.05)

    def is_live(self) -> None:
        self.wait(lambda: self.text("#state") == "live")

    def names(self, table: str = "channels") -> list[str]:
        """The first cells of a table, from top to bottom, without their marks."""
        script = "return [...document.querySelectorAll(`#${arguments[0]} tbody th .name`)].map(e => e.textContent)"
        found: list[str] = self.run(script, table)
        return found

    def row(self, name: str, table: str = "channels") -> dict[str, str]:
        """The cells of a row by the labels of their columns; raises where there is none."""
        script = """
            const row = [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]
                .find(row => row.querySelector("th .name").textContent === arguments[1]);
            return Object.fromEntries([["", row.children[0].textContent],
                ...[...row.querySelectorAll("td[data-label]")].map(cell => [cell.dataset.label, cell.textContent])]);
        """
        found: dict[str, str] = self.run(script, table, name)
        return found

    def button(self, label: str) -> Any:
        """A button by the name that is read aloud."""
        return self.find(f'button[aria-label="{label}"]')

    def press(self, label: str) -> None:
        """Presses a button of a row, which may be out of sight."""
        self.run("arguments[0].click()", self.button(label))

    def sort_by(self, label: str, table: str = "channels") -> None:
        buttons = "[...document.querySelectorAll(`#${arguments[0]} thead button`)]"
        self.run(f"{buttons}.find(button => button.textContent === arguments[1]).click()", table, label)

    @property
    def errors(self) -> list[str]:
        """What the console has had to say since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    @property
    def hosts(self) -> list[str]:
        """Where its parts came from."""
        script = "return [...new Set(performance.getEntriesByType('resource').map(e => new URL(e.name).origin))]"
        found: list[str] = self.run(script)
        return found

    @property
    def spoken(self) -> list[tuple[str, str]]:
        """The roles and names of the accessibility tree, in order."""
        nodes = self.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]
        ]
