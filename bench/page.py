"""The dashboard in a real browser: its size, its first list, a chain of 20,000 entries, a long tail.

    python bench/page.py [--rounds 3] [--cases size,list,chain,tail] [--entries 1000000] [--minutes 1]

Both services run as installed on a file of their own; the browser is Chromium, without a window and without a GPU.
`size` is what all files weigh. `list` is from the request of the page, nothing cached, in a tab that is open already,
to the first chain painted, on a file of so many entries. `chain` is from the request to 20,000 entries painted, then
frames a second while the wheel scrolls and zooms without a pause. `tail` is what the tab grows by at 1,000 entries
a second: the heap of its scripts, collected, and the memory of its process. One line of JSON for each measurement.
"""

import argparse
import http.client
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from progress import Progress
from service import BENCH, Service, ingest, query, scratch
from workload import SOURCES, bodies

from query_svc.assets import ASSETS

LONG = 20_000  # entries of the chain
WHEEL_S = 3.0
PER_SECOND, BATCH = 1_000, 50
WARM_S = 15.0  # until the list of the tail is full
OPENED_MS = 1_000  # until a tab that opens leaves the cores to what is measured
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
SEEN = """
    window.seen = {};
    const frame = (act) => requestAnimationFrame(() => setTimeout(act)); // behind the paint
    const look = (name, found) => {
        if (found && !window.seen[name]) frame(() => { window.seen[name] ??= performance.now(); });
    };
    new MutationObserver(() => {
        look('list', document.querySelector('.chains .rows .row'));
        look('chain', document.querySelector('.numbers')?.textContent.includes('20,000 entries'));
    }).observe(document, { subtree: true, childList: true, characterData: true });
"""
FRAMES = """
    window.told = { number: 0, longest: 0, first: 0, last: 0 };
    const note = (at) => {
        told.first ||= at;
        told.longest = Math.max(told.longest, at - (told.last || at));
        told.number += 1;
        told.last = at;
        if (!told.done) requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
"""


def long_chain(correlation_id: str) -> Iterator[bytes]:
    """Bodies with a chain of 20,000 entries: calls within calls over six sources, four of them beside each other."""
    made: list[dict[str, object]] = []
    for number in range(LONG // 8):
        start = number * 11.0
        for level, (begin, end) in enumerate(((0, 10), (1, 9), (2, 5), (3, 8))):
            step = {
                "source_id": SOURCES[(number + level) % 6], "correlation_id": correlation_id,
                "operation": "REST", "endpoint": f"/resource-{(number * level) % 40}", "data": {"user": number},
                "hostname": f"host-{level}",
            }  # fmt: skip
            for direction, at in (("->", begin), ("<-", end)):
                timestamp = 1_700_000_000_000 + start + at + level / 10
                made.append({**step, "direction": direction, "timestamp": timestamp, "suffix": f"{number:x}.{level}"})
    for start in range(0, len(made), 5_000):
        yield json.dumps({"traces": made[start : start + 5_000]}).encode()


def send(port: int, many: Iterator[bytes], until: Callable[[], bool], per_second: float = 0) -> int:
    """Send bodies over one connection, evenly spread where a rate is given; how many."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    started, sent = time.monotonic(), 0
    for body in many:
        if until():
            break
        if per_second:
            time.sleep(max(0.0, started + sent / per_second - time.monotonic()))
        connection.request("POST", "/ingest", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(answer.decode(errors="replace"))
        sent += 1
    return sent


def opened(browser: Browser, url: str) -> Page:
    """A page of a fresh profile, which notes what was on the screen when."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(SEEN)
    page.wait_for_timeout(OPENED_MS)
    page.goto(url, wait_until="commit")
    return page


def seen(page: Page, name: str) -> float:
    """Milliseconds from the request to the frame after something was on the screen."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        at = page.evaluate(f"window.seen.{name}")
        if at:
            return round(float(at), 1)
        page.wait_for_timeout(200)  # seldom: asking takes time from the page
    raise RuntimeError(f"{name} did not show")


def size() -> dict[str, Any]:
    """What all files of the page weigh."""
    return {
        "case": "size", "files": len(ASSETS), "bytes": sum(len(asset.body) for asset in ASSETS.values()),
        "gzip_bytes": sum(len(asset.packed) for asset in ASSETS.values()),
    }  # fmt: skip


def first_list(browser: Browser, url: str, entries: int) -> dict[str, Any]:
    """From the request to the first chain of the list."""
    page = opened(browser, f"{url}/")
    shown = seen(page, "list")
    asked = page.evaluate("performance.getEntries().find(each => each.name.includes('/correlations?')).startTime")
    page.context.close()
    return {
        "case": "list",
        "entries": entries,
        "shown_ms": shown,
        "shown_after_its_request_ms": round(shown - asked, 1),
    }


def wheel(page: Page, *, zoom: bool) -> tuple[float, float]:
    """Turn the wheel without a pause: frames a second, and the longest frame in milliseconds."""
    box = page.locator(".timeline .stage:not(.map)").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    if zoom:
        page.keyboard.down("Control")
    else:
        page.keyboard.type("+++++")  # a part of the chain, so that there is something to scroll through
    page.evaluate(FRAMES)
    end, turn = time.monotonic() + WHEEL_S, 0
    while time.monotonic() < end:
        if zoom:
            page.mouse.wheel(0, 40 if turn // 30 % 2 else -40)
        else:
            page.mouse.wheel(-60 if turn // 60 % 2 else 60, 0)
        turn += 1
    frames = page.evaluate("(told.done = true, told)")
    if zoom:
        page.keyboard.up("Control")
    seconds = (frames["last"] - frames["first"]) / 1000
    return round((frames["number"] - 1) / seconds, 1), round(frames["longest"], 1)


def long_view(browser: Browser, url: str) -> dict[str, Any]:
    """From the request of a chain of 20,000 entries to its bars; how it moves."""
    page = opened(browser, f"{url}/#/traces/long")
    shown = seen(page, "chain")
    page.wait_for_timeout(500)
    scroll, worst_scroll = wheel(page, zoom=False)
    zoom, worst_zoom = wheel(page, zoom=True)
    page.context.close()
    return {
        "case": "chain", "entries": LONG, "shown_ms": shown,
        "scroll_fps": scroll, "longest_scroll_frame_ms": worst_scroll,
        "zoom_fps": zoom, "longest_zoom_frame_ms": worst_zoom,
    }  # fmt: skip


class Tab:
    """The memory of a page: its scripts' heap, collected, and its process."""

    def __init__(self, browser: Browser, page: Page) -> None:
        self._page = page.context.new_cdp_session(page)
        self._browser = browser.new_browser_cdp_session()
        processes = self._browser.send("SystemInfo.getProcessInfo")["processInfo"]
        renderers = [each for each in processes if each["type"] == "renderer"]
        self._pid = max(renderers, key=lambda each: each["cpuTime"])["id"]

    def bytes(self) -> tuple[int, int]:
        """(heap, resident)"""
        self._page.send("HeapProfiler.collectGarbage")
        heap = self._page.send("Runtime.getHeapUsage")["usedSize"]
        status = Path(f"/proc/{self._pid}/smaps_rollup").read_text()
        private = sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("Private_"))
        return int(heap), private * 1024


def tail(browser: Browser, url: str, ingesting: Service, minutes: float) -> dict[str, Any]:
    """What the tab grows by while entries come, from the moment its list is full, and what it held before any came."""
    page = opened(browser, f"{url}/#/tail")
    page.wait_for_selector("body[data-live=open] .tail-view")
    page.wait_for_timeout(1_000)
    tab, done = Tab(browser, page), threading.Event()
    empty_heap, empty_private = tab.bytes()
    sent: list[int] = []
    sender = threading.Thread(
        target=lambda: sent.append(send(ingesting.port, bodies(BATCH), done.is_set, PER_SECOND / BATCH))
    )
    sender.start()
    try:
        page.wait_for_timeout(WARM_S * 1_000)
        heap, private = tab.bytes()
        page.evaluate(FRAMES)
        page.wait_for_timeout(minutes * 60_000)
        longest = page.evaluate("(told.done = true, told.longest)")
        said = page.locator(".pace").inner_text()
        later_heap, later_private = tab.bytes()
    finally:
        done.set()
        sender.join()
    page.context.close()
    grown = {name: round(bytes_ / 1e6, 2) for name, bytes_ in {
        "heap_growth_mb": later_heap - heap, "heap_growth_since_empty_mb": later_heap - empty_heap,
        "process_growth_mb": later_private - private, "process_growth_since_empty_mb": later_private - empty_private,
    }.items()}  # fmt: skip
    return {
        "case": "tail", "per_second": PER_SECOND, "minutes": minutes, "entries": sent[0] * BATCH, "said": said, **grown,
        "longest_frame_ms": round(longest, 1),
    }  # fmt: skip


def measure(
    arguments: argparse.Namespace, browser: Browser, folder: Path, progress: Progress
) -> Iterator[dict[str, Any]]:
    """The cases, in rounds."""
    cases = arguments.cases.split(",")
    if "size" in cases:
        yield size()
    if "list" in cases:
        progress.step(f"fill a file with {arguments.entries:,} entries")
        fill = [
            sys.executable,
            str(BENCH / "fill.py"),
            str(folder / "tracehub.db"),
            "--entries",
            str(arguments.entries),
        ]
        subprocess.run(fill, check=True, stdout=subprocess.DEVNULL)
    with ingest(folder) as ingesting, query(folder) as asked:
        url = f"http://127.0.0.1:{asked.port}"
        if "chain" in cases:
            send(ingesting.port, long_chain("long"), lambda: False)
        opened(browser, f"{url}/").context.close()  # the browser's own beginning is nobody's to shorten here
        for number in range(arguments.rounds):
            progress.begin(number + 1)
            if "list" in cases:
                progress.step("first list")
                yield first_list(browser, url, arguments.entries)
            if "chain" in cases:
                progress.step("a chain of 20,000 entries")
                yield long_view(browser, url)
        if "tail" in cases:
            progress.step(f"tail for {arguments.minutes:g} minutes")
            yield tail(browser, url, ingesting, arguments.minutes)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", default="size,list,chain,tail")
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the file behind the list (1,000,000)")
    parser.add_argument("--minutes", type=float, default=1.0, help="of tail; the goal is set for 10 (1)")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("page: no Chromium (apt-get install chromium)")
    with scratch() as folder, Progress("page", arguments.rounds) as progress, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for line in measure(arguments, browser, folder, progress):
            print(json.dumps(line), flush=True)
        browser.close()


if __name__ == "__main__":
    main()
