"""How soon an entry is on the screen, in the dashboard's view of a chain that runs.

    python bench/page_live.py [--rounds 3]

Both services run as installed on a file of their own; Chromium shows the chain while 59 entries of it are stored, ten a
second. Measured is from an entry's request, and from its receipt, which its commit precedes, to the end of the frame
that counts it. One line of JSON for each round.
"""

import argparse
import json
import shutil
import sys
import time
from typing import Any

from page import FLAGS, send
from playwright.sync_api import Browser, sync_playwright
from progress import Progress
from service import ingest, query, scratch
from workload import SOURCES

ENTRIES, EVERY_S = 60, 0.1
COUNTED = """
    window.painted = {};
    const numbers = () => document.querySelector('.numbers')?.textContent.match(/([\\d,]+) entr/)?.[1];
    new MutationObserver(() => {
        const number = numbers();
        if (number && !painted[number]) {
            painted[number] = -1;
            requestAnimationFrame(() => setTimeout(() => { painted[number] = Date.now(); }));
        }
    }).observe(document, { subtree: true, childList: true, characterData: true });
"""


def body(number: int, at: int) -> bytes:
    """The next entry of a chain: calls, one behind the other."""
    step = {
        "source_id": SOURCES[at // 2 % 6], "correlation_id": f"live-{number}", "operation": "REST",
        "endpoint": "/step", "timestamp": time.time() * 1000, "suffix": f"{at}", "direction": "<-" if at % 2 else "->",
    }  # fmt: skip
    return json.dumps({"traces": [step]}).encode()


def live(browser: Browser, url: str, port: int, number: int) -> dict[str, Any]:
    """From an entry's commit to its paint, while its chain runs."""
    send(port, iter([body(number, 0)]), lambda: False)
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(COUNTED)
    page.goto(f"{url}/#/traces/live-{number}")
    page.wait_for_selector("body[data-live=open] .facts:not([hidden])")
    asked, stored = {}, {}
    for at in range(1, ENTRIES):
        time.sleep(EVERY_S)
        made = body(number, at)
        asked[at] = time.time() * 1000
        send(port, iter([made]), lambda: False)
        stored[at] = time.time() * 1000
    page.wait_for_function(f"() => window.painted[{ENTRIES}] > 0")
    painted = {int(number): at for number, at in page.evaluate("window.painted").items() if at > 0}
    page.context.close()
    seen_at = {at: min(when for shown, when in painted.items() if shown > at) for at in stored}
    return {"case": "live", "entries": len(stored)} | {
        f"{name}_to_paint_{label}_ms": round(sorted(seen_at[at] - since[at] for at in stored)[int(len(stored) * share)])
        for name, since in (("receipt", stored), ("request", asked))
        for label, share in (("p50", 0.5), ("p99", 0.99))
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("page_live: no Chromium (apt-get install chromium)")
    with scratch() as folder, Progress("page_live", arguments.rounds) as progress, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        with ingest(folder) as ingesting, query(folder) as asked:
            for number in range(arguments.rounds):
                progress.begin(number + 1)
                print(json.dumps(live(browser, f"http://127.0.0.1:{asked.port}", ingesting.port, number)), flush=True)
        browser.close()


if __name__ == "__main__":
    main()
