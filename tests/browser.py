"""A headless Chromium for the tests of pages: how they look at a width, in a theme and on paper."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")


class Browser:
    """One window.

    Args:
        driver: selenium's.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, *, width: int, theme: str = "light", media: str = "screen") -> None:
        """Open a page and look at it until told otherwise.

        Args:
            path: the HTML file.
            width: of the window in CSS pixels.
            theme: `light` or `dark`.
            media: `screen` or `print`.
        """
        self.resize(width, theme=theme, media=media)
        self.driver.get(path.absolute().as_uri())
        self.run("for (const picture of document.images) picture.loading = 'eager';")
        self.driver.execute_async_script(
            "Promise.all([...document.images].map((picture) => picture.decode().catch(() => 0))).then(arguments[0]);"
        )

    def visit(self, address: str, *, width: int, theme: str = "light") -> None:
        """Open a page that a server has, as `open` does a file; what it loads after that is not waited for."""
        self.resize(width, theme=theme)
        self.driver.get(address)

    def resize(self, width: int, *, theme: str = "light", media: str = "screen") -> None:
        """Look at pages, that which is open too, as `open` says."""
        self._tell("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self._tell(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": theme}]
        )

    def wait_for(self, selector: str, *, seconds: float = 60) -> Any:
        """Return the element that a CSS selector finds, as soon as there is one."""
        from selenium.webdriver.support.ui import WebDriverWait

        message = f"nothing on the page is {selector}"
        return WebDriverWait(self.driver, seconds, 0.05).until(
            lambda driver: (driver.find_elements("css selector", selector) or [None])[0], message
        )

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def errors(self) -> list[str]:
        """Return what the console has complained of since it was asked last."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, path: Path) -> None:
        """Save the whole page as a PNG, for a person."""
        height = self.run("return document.documentElement.scrollHeight")
        width = self.run("return document.documentElement.clientWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        taken = self._tell("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(taken["data"]))

    def pdf(self, path: Path) -> None:
        """Print the page to a PDF, for a person."""
        path.write_bytes(base64.b64decode(self._tell("Page.printToPDF", printBackground=False)["data"]))

    def _tell(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium, and end it; skips the test where there is none.

    Args:
        profile: an empty folder for what the browser keeps.
    """
    if CHROMIUM is None or CHROMEDRIVER is None:
        pytest.skip("chromium or chromedriver is not installed: nothing to look at pages with")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install tfdfd[dev])")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (
        "--headless=new",
        "--no-sandbox",  # which needs rights that containers do not give
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(flag)
    service = webdriver.ChromeService(CHROMEDRIVER, env={**os.environ, "SE_AVOID_STATS": "true"})
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()


def look_at(path: Path, profile: Path) -> tuple[int, int]:
    """Open a page on a phone and a desk, in both themes: every picture and chart must be drawn, and nothing cut off.

    Args:
        path: the HTML file.
        profile: an empty folder for the browser.

    Returns:
        How many pictures and charts it shows.
    """
    with browser(profile) as page:
        for width in (390, 1280):
            for theme in ("light", "dark"):
                page.open(path, width=width, theme=theme)
                assert page.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
                widths = page.run("return [...document.images].map((picture) => picture.naturalWidth)")
                is_drawn = page.run(
                    "return [...document.querySelectorAll('svg[role=img]')].map((svg) => {"
                    "const box = svg.getBoundingClientRect(), outer = svg.parentElement.getBoundingClientRect();"
                    "return box.height > 50 && box.left >= outer.left - 1 && box.right <= outer.right + 1; })"
                )
                assert all(widths)
                assert all(is_drawn)
        assert page.errors() == []
    return len(widths), len(is_drawn)
