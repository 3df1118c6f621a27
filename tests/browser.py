"""A real browser for the tests of the dashboard: one for the session, a fresh profile for each test.

Without a Chromium they are skipped, which the summary says; where CI is set they fail instead.
"""

import json
import os
import shutil
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import pytest
import pytest_asyncio

from shared.storage.writer import Writer
from shared.wire import decode_batch

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DAY_MS = 86_400_000
LIVE = "() => document.body.dataset.live === 'open'"  # the page follows its stream
FAILED = "Failed to load resource"  # what the browser says of an answer that is an error
NO_CHROMIUM = "no Chromium: the tests of the dashboard did not run (apt-get install chromium)"


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(NO_CHROMIUM)
        pytest.skip(NO_CHROMIUM)
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Any]:
    """The browser."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Any) -> AsyncIterator[Any]:
    """A page of a fresh profile; whatever it complains of in its console fails the test, unless in `page.forgiven`."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)  # only what never comes is waited for so long
    page = await context.new_page()
    complaints: list[str] = []
    page.forgiven = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    await page.unroute_all(behavior="ignoreErrors")  # one that is cut off would have the next test fail
    await context.close()
    found = [text for text in complaints if not any(part in text for part in page.forgiven)]
    assert not found, found


@pytest.fixture(scope="session")
def hub(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Both services, for all tests that need no file of their own; each uses ids of its own."""
    from conftest import both_services

    with both_services(tmp_path_factory.mktemp("hub") / "tracehub.db") as services:
        yield services


def send(services: Any, entries: list[dict[str, Any]]) -> None:
    """Store entries, however many."""
    for start in range(0, len(entries), 5_000):
        body = json.dumps({"traces": entries[start : start + 5_000]}).encode()
        request = urllib.request.Request(f"{services.ingest_url}/ingest", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            assert response.status == 200


def store_partly_expired(services: Any, gone: list[dict[str, Any]], left: list[dict[str, Any]]) -> None:
    """Before the services start: entries of which retention has taken the first ones."""
    with closing(Writer(services.db, DAY_MS, synced=False)) as writer:
        writer.write([decode_batch(json.dumps({"traces": gone + left}).encode())], int(time.time() * 1000))
        writer.expire(len(gone) + 1, len(gone))


async def visit(page: Any, address: str) -> None:
    """Open an address on an empty page: what stood there before is not taken for what is waited for."""
    await page.goto("about:blank")
    await page.goto(address)


async def painted(page: Any) -> None:
    """Wait until what changed is on the screen."""
    await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


async def noted(page: Any, selector: str) -> None:
    """From now on keep in `said` what a part of the page says, however soon it says something else."""
    await page.locator(selector).evaluate(
        """node => {
            said = [];
            new MutationObserver(() => said.push(node.textContent)).observe(node, { childList: true, subtree: true });
        }"""
    )


async def barriers(page: Any) -> list[str]:
    """What axe-core finds on the page that keeps people out: WCAG and the practices that it counts as best."""
    from axe_playwright_python.async_playwright import Axe

    found = (await Axe().run(page)).response["violations"]
    return [f"{each['id']}: {node['html'][:200]} {node['failureSummary']}" for each in found for node in each["nodes"]]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly what was skipped."""
    if any(NO_CHROMIUM in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_sep("!", NO_CHROMIUM, red=True)
