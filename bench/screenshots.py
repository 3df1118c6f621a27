"""Pictures of each view for the documentation, from a run of the demo: docs/screenshots/. `make screenshots`

    python bench/screenshots.py [--seconds 75] [--folder docs/screenshots]

The demo runs on a file and ports of its own, with its seed, until a chain has been open too long; so the same orders
meet the same fates, while times and ids are those of the run. Needs Chromium, and about two minutes.
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, sync_playwright
from service import BENCH, free_port, scratch

SECONDS = 75.0  # a chain is open too long after 60
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
SETTLE_MS = 2_500


class Shot(NamedTuple):
    """A picture: its name, where it is taken, by which colours, how large, after which keys and clicks."""

    name: str
    at: str
    scheme: Any = "light"
    width: int = 1280
    height: int = 720
    click: str = ""


def chains_of(url: str) -> list[dict[str, Any]]:
    """All chains, newest first."""
    with urllib.request.urlopen(f"{url}correlations?limit=1000") as answer:
        return list(json.load(answer)["correlations"])


def pair(chains: list[dict[str, Any]]) -> tuple[str, str]:
    """Two orders of as many entries that went well, of which one took much longer."""
    well = [chain for chain in chains if chain["complete"] and not chain["errors"] and len(chain["sources"]) == 3]
    size = max(well, key=lambda chain: sum(other["trace_count"] == chain["trace_count"] for other in well))[
        "trace_count"
    ]
    same = sorted(
        (chain for chain in well if chain["trace_count"] == size), key=lambda chain: float(chain["duration_ms"])
    )
    return same[0]["correlation_id"], same[-1]["correlation_id"]


def shots(url: str, died: str) -> Iterator[Shot]:
    """What is worth seeing."""
    quick, slow = pair(chains_of(url))
    yield Shot("chains", "#/")
    yield Shot("chains-dark", "#/", "dark")
    yield Shot("hung", f"#/traces/{died}", "dark", click=".facts button")
    yield Shot("timeline", f"#/traces/{slow}")
    yield Shot("sequence", f"#/traces/{slow}?view=sequence", "dark")
    yield Shot("tail", "#/tail", height=560)
    yield Shot("sources", "#/sources", "dark")
    yield Shot("compare", f"#/compare/{quick}/{slow}")
    yield Shot("narrow", "#/", width=400, height=720)


class Camera:
    """Pages that are open all the while, so that they show what they have seen come."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._url = url
        self._pages = {}
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme=scheme)
            self._pages[scheme] = context.new_page()
            self._pages[scheme].goto(url)

    def take(self, shot: Shot, folder: Path) -> None:
        """One picture."""
        page = self._pages[shot.scheme]
        page.bring_to_front()
        page.set_viewport_size({"width": shot.width, "height": shot.height})
        page.goto(f"{self._url}{shot.at}")
        page.wait_for_timeout(SETTLE_MS)
        if shot.click:
            page.locator(shot.click).first.click()
        page.mouse.move(shot.width / 2, 20)
        page.wait_for_timeout(400)
        page.screenshot(path=folder / f"{shot.name}.png", animations="disabled")


def first_lines(demo: subprocess.Popen[str]) -> tuple[str, str]:
    """The page, and the first chain in which a process died."""
    assert demo.stdout is not None
    [url] = (line.split()[1] for line in itertools.islice(demo.stdout, 2) if line.startswith("See "))
    return url, next(line.rpartition("/")[2].strip() for line in demo.stdout if "died" in line)


def main() -> None:
    """Run the demo, look at it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long to wait behind the first death (75)")
    parser.add_argument("--folder", type=Path, default=BENCH.parent / "docs" / "screenshots")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("screenshots: no Chromium (apt-get install chromium)")
    arguments.folder.mkdir(exist_ok=True)
    with scratch() as place, sync_playwright() as playwright:
        ports = {"TRACEHUB_PORT": str(free_port()), "TRACEHUB_QUERY_PORT": str(free_port())}
        environ = {**os.environ, **ports, "TRACEHUB_DB": str(place / "tracehub.db")}
        command = [sys.executable, str(BENCH / "demo.py")]
        demo = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url, died = first_lines(demo)
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            camera = Camera(browser, url)
            time.sleep(arguments.seconds)
            for shot in shots(url, died):
                camera.take(shot, arguments.folder)
            browser.close()
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.communicate(timeout=30)


if __name__ == "__main__":
    main()
