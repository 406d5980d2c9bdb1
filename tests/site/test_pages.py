"""The pages that Sphinx makes: their links lead somewhere, the search finds them, a phone shows them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.documents.pages import Block
from tests.support.documents.transcripts import INTERRUPT, entries_of

pytestmark = pytest.mark.timeout(300)  # the first test waits for the build of the site
SECTIONS = ("tutorials", "howto", "reference", "explanation")


class Page(HTMLParser):
    """The links of a page, and the names that links may lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.names.add(value)


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[Path, Page]:
    files = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return {path: Page(path.read_text()) for path in files}


def test_every_link_within_the_site_leads_to_a_file_and_a_place_in_it(site, pages):
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            named = pages.get(target)
            if not target.is_file() or (parts.fragment and named and unquote(parts.fragment) not in named.names):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


def test_every_page_is_in_one_of_the_four_sections_and_has_some_text(site, pages):
    of_sections = [path.relative_to(site) for path in pages if path.relative_to(site).parts[0] in SECTIONS]
    assert len(of_sections) > 40
    words = {
        page: len(re.sub(r"<[^>]+>", " ", (site / page).read_text().split("<article", 1)[1]).split())
        for page in of_sections
        if page.name != "index.html"
    }
    assert [str(page) for page, count in words.items() if count < 150] == []


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("WRONGTYPE", "Troubleshoot"),
        ("NOAUTH", "Troubleshoot"),
        ("ChannelFull", "Troubleshoot"),
        ("doubled", "Troubleshoot"),
        ("lost message", "Troubleshoot"),
        ("slow", "Troubleshoot"),
        ("rotate keys", "Encrypt messages and rotate the keys"),
        ("max_message_bytes", "Options"),
        ("systemd", "systemd"),
        ("ConsumeLater", "Write consumers"),
        ("--shutdown-timeout", "runworker"),
    ],
)
def test_the_search_finds_a_page_by_words_that_a_reader_would_type(site, driver, words, page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(f"{(site / 'search.html').as_uri()}?q={words.replace(' ', '+')}")
    done = WebDriverWait(driver, 30)
    done.until(lambda it: re.search(r"finished|found|did not match", it.find_element(By.ID, "search-results").text))
    titles = [link.text for link in driver.find_elements(By.CSS_SELECTOR, "#search-results li > a")]
    assert any(page.lower() in title.lower() for title in titles), titles


def test_the_button_copies_the_commands_of_a_block_and_not_their_output(pages, driver):
    wrong = []
    for path in pages:
        driver.get(path.as_uri())
        for shown, copied in driver.execute_script(COPIES):
            if copied != commands(shown):
                wrong.append(f"{path.name}: {copied!r}")
    assert wrong == []


COPIES = """
let copied;
document.execCommand = () => copied = Array.from(document.querySelectorAll("textarea")).pop().value;
return Array.from(document.querySelectorAll(".highlight-console .copybtn"), button => {
    copied = null;
    button.click();
    return [document.querySelector(button.dataset.clipboardTarget).innerText, copied];
});
"""


def commands(shown: str) -> str:
    """Return the commands of a block without their prompts, or all of it where there is none."""
    entries = entries_of(Block("console", "", shown, "", 1))
    found = [entry.typed for entry in entries if entry.typed not in ("", INTERRUPT)]
    return "\n".join(found) or shown.rstrip("\n")


def test_no_page_is_wider_than_a_phone(site, pages, driver):
    wide = []
    for path in pages:
        driver.get(path.as_uri())
        width, window = driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        if width > window:
            wide.append(f"{path.relative_to(site)}: {width} > {window}")
    assert wide == []
