"""A visitor of the page: headless Chromium, driven by selenium, which keeps account of the hosts that the page asks."""

import json
import shutil
import time
from base64 import b64encode
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

DROP = """
const [area, name, content] = arguments;
const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], name, {type: 'audio/ogg'}));
for (const kind of ['dragenter', 'dragover', 'drop'])
    area.dispatchEvent(new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SIZE = (1200, 900)


def browser() -> str | None:
    """Where a Chromium is, if its driver is there too."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found if found and shutil.which("chromedriver") else None


class Visitor:
    """A browser window on the page. A context manager.

    Args:
        patience: seconds that anything may take.
    """

    def __init__(self, url: str, patience: float = 60) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = str(browser())
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--mute-audio"):
            options.add_argument(argument)
        options.add_argument(f"--window-size={SIZE[0]},{SIZE[1]}")
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.patience, self.hosts = patience, set[str]()
        self.driver = webdriver.Chrome(options, service)
        self.driver.get(url)
        self.wait_for("#status [role=status]")

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.driver.quit()

    def find(self, selector: str) -> list[Any]:
        """What a CSS selector finds."""
        return self.driver.find_elements("css selector", selector)

    def wait_for(self, selector: str, text: str = "", count: int = 1) -> Any:
        """Waits until a selector finds that many things, one of which holds the text."""
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            found = [one for one in self.find(selector) if text in (one.get_attribute("textContent") or "")]
            if len(found) >= count:
                return found[0]
            time.sleep(0.2)
        shown = self.driver.find_element("css selector", "body").text
        raise TimeoutError(f"{selector} {text!r}: not there after {self.patience:g} s; the page says: {shown}")

    def status(self) -> str:
        """The line that says what happened."""
        return " ".join(one.text for one in self.find("#status [role=status]"))

    def drop(self, path: Path) -> None:
        """Drops a file on the place for sounds."""
        area = self.wait_for("#sound input[type=file]")
        target = self.driver.execute_script("return arguments[0].closest('button') || arguments[0]", area)
        self.driver.execute_script(DROP, target, path.name, b64encode(path.read_bytes()).decode())

    def tab(self, name: str) -> None:
        """Goes to a tab."""
        next(one for one in self.find("button[role=tab]") if one.text.strip() == name and one.is_displayed()).click()
        time.sleep(0.5)

    def click(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """Clicks inside of something, at a share of its width and height."""
        from selenium.webdriver import ActionChains

        element = self.wait_for(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        size = element.size
        offset = round((across - 0.5) * size["width"]), round((down - 0.5) * size["height"])
        ActionChains(self.driver).move_to_element_with_offset(element, *offset).click().perform()

    def choose(self, selector: str, name: str) -> None:
        """Chooses a value of a dropdown."""
        self.wait_for(f"{selector} input").click()
        choices = "[role=option]"
        self.wait_for(choices, name)
        next(one for one in self.find(choices) if name in one.text).click()
        self.driver.find_element("css selector", "#header").click()  # closes the list

    def scroll_to(self, selector: str) -> None:
        """Brings something to the top of the window."""
        self.driver.execute_script("arguments[0].scrollIntoView()", self.wait_for(selector))

    def screenshot(self, path: Path) -> None:
        """What the window shows."""
        time.sleep(0.7)
        self.driver.save_screenshot(str(path))

    def asked(self) -> set[str]:
        """The hosts that the page has asked for anything."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(message["params"]["request"]["url"])
                if url.scheme not in {"data", "blob", "chrome"}:
                    self.hosts.add(str(url.hostname))
        return self.hosts

    def faults(self) -> list[str]:
        """What the browser's console calls severe."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
