"""What holds in every view of the dashboard: keys, colours, small screens, a lost connection, the secret."""

import re
import signal
from typing import Any

import pytest
from browser import LIVE, barriers, noted, send
from conftest import Services, entry

pytestmark = pytest.mark.asyncio(loop_scope="session")
VIEWS = ["", "traces/shell", "traces/shell?view=sequence", "tail", "sources", "compare/shell/shell-2"]
DRAWN = "[data-id], .facts:not([hidden]), .tail [href], .steps [href], .compared [href]"  # what each view shows


async def test_help_is_a_key_away(page: Any, hub: Services) -> None:
    """`?` lists the keys of the view and of the page; Escape closes it and leaves the view alone."""
    await page.goto(hub.query_url)
    await page.wait_for_selector(".bar")
    await page.keyboard.press("?")
    assert "next, previous" in await page.locator("dialog").inner_text()
    assert not await barriers(page)
    await page.keyboard.press("Escape")
    await page.wait_for_selector("dialog", state="detached")


async def test_dark_and_light(page: Any, hub: Services) -> None:
    """The system's wish counts until somebody chooses; the choice is remembered."""
    ground = "getComputedStyle(document.body).backgroundColor"
    await page.emulate_media(color_scheme="dark")
    await page.goto(hub.query_url)
    await page.wait_for_selector(".bar")
    dark = await page.evaluate(ground)
    await page.emulate_media(color_scheme="light")
    light = await page.evaluate(ground)
    assert dark != light
    await page.keyboard.press("t")
    await page.keyboard.press("t")
    assert await page.evaluate(ground) == dark
    await page.reload()
    await page.wait_for_selector(".bar")
    assert await page.evaluate(ground) == dark


async def test_a_view_that_does_not_load_says_so(page: Any, hub: Services) -> None:
    """What was shown stays, and a button loads the page anew, in the view that was wanted."""
    page.forgiven = ["ERR_FAILED"]
    await page.route("**/tail.js", lambda route: route.abort())
    await page.goto(hub.query_url)
    await page.wait_for_selector(".chains-view")
    await page.keyboard.press("2")
    await page.wait_for_selector(".banner:has-text('did not load')")
    assert await page.locator(".chains-view").count() == 1
    await page.unroute("**/tail.js")
    await page.get_by_text("Reload").click()
    await page.wait_for_selector(".tail-view")


@pytest.mark.parametrize("view", VIEWS)
async def test_narrow_and_wide(page: Any, hub: Services, view: str) -> None:
    """From 400 to 2,560 pixels nothing has to be scrolled sideways."""
    long = {"endpoint": "/a" * 900, "source_id": "a-source-with-quite-a-long-name"}
    send(hub, [entry(correlation_id=chain, **long) for chain in ("shell", "shell-2")])
    await page.goto(f"{hub.query_url}/#/{view}")
    await page.wait_for_selector(DRAWN)
    await page.keyboard.press("j")
    for width in (400, 2560):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await page.evaluate("document.querySelector('main').scrollWidth") <= width


@pytest.mark.parametrize("view", VIEWS)
async def test_accessible(page: Any, hub: Services, view: str) -> None:
    """axe-core finds nothing to complain of, dark or light: names, roles, contrast, structure."""
    failed = {"data": {"error": {"why": [1, None]}}}
    for chain in ("shell", "shell-2"):
        send(hub, [entry(correlation_id=chain, **failed), entry(correlation_id=chain, direction="<-")])
    await page.emulate_media(reduced_motion="reduce")
    await page.goto(f"{hub.query_url}/#/{view}")
    await page.wait_for_selector(DRAWN)
    await page.keyboard.press("j")
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        found = await barriers(page)
        assert not found, found


@pytest.mark.parametrize("view", VIEWS)
async def test_zoomed_to_twice_the_size(page: Any, hub: Services, view: str) -> None:
    """On a laptop's screen at 200 % what each view is about has room, if need be further down."""
    for chain in ("shell", "shell-2"):
        send(hub, [entry(correlation_id=chain), entry(correlation_id=chain, direction="<-")])
    await page.set_viewport_size({"width": 640, "height": 360})
    await page.goto(f"{hub.query_url}/#/{view}")
    await page.wait_for_selector(DRAWN)
    rooms = await page.eval_on_selector_all(".scroll, .stage:not(.map)", "all => all.map(each => each.clientHeight)")
    assert min(each for each in rooms) > 120


async def test_with_the_colours_of_the_system(page: Any, hub: Services) -> None:
    """With forced colours a timeline and a comparison still draw their bars."""
    for chain in ("forced", "forced-2"):
        send(hub, [entry(correlation_id=chain), entry(correlation_id=chain, direction="<-")])
    page.forgiven += ["willReadFrequently"]  # of a canvas whose pixels are looked at
    await page.emulate_media(forced_colors="active", color_scheme="dark")
    await page.goto(f"{hub.query_url}/#/traces/forced")
    await page.wait_for_selector(".facts:not([hidden])")
    await page.wait_for_function(
        """() => [...document.querySelectorAll('canvas')].every(canvas => {
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size > 3;
        })"""
    )
    await page.goto(f"{hub.query_url}/#/compare/forced/forced-2")
    bar = await page.locator(".compared .bar-of").first.evaluate("bar => getComputedStyle(bar).backgroundColor")
    track = await page.locator(".compared .track").first.evaluate("bar => getComputedStyle(bar).backgroundColor")
    assert bar != track


async def test_a_lost_connection_is_said_and_mended(services: Services, page: Any) -> None:
    """A banner and the header say that the connection is lost; when it is back, how much came meanwhile."""
    services.start("ingest_svc")
    services.start("query_svc")
    send(services, [entry(correlation_id="before")])
    page.forgiven += ["net::ERR", "Failed to load resource"]
    await page.goto(services.query_url)
    await page.wait_for_function(LIVE)
    await page.wait_for_selector(".health.well:has-text('healthy')")
    services.kill("query_svc")
    await page.wait_for_selector(".health.ill:has-text('no answer')")
    await page.wait_for_selector(".banner.lost:has-text('Connection lost')")
    send(services, [entry(correlation_id="meanwhile"), entry(correlation_id="meanwhile")])
    services.start("query_svc")
    await page.wait_for_selector(".banner.back:has-text('2 entries arrived meanwhile')")
    await page.wait_for_selector("[data-id]:has-text('meanwhile')")
    await page.wait_for_selector(".health.well:has-text('healthy')")
    assert "3 entries" in str(await page.locator(".health").get_attribute("title"))
    await noted(page, ".speed")
    send(services, [entry(correlation_id="fast") for _ in range(90)])
    await page.wait_for_function("() => said.some(each => /^[1-9]/.test(each))")


async def test_a_stream_too_many(services: Services, page: Any) -> None:
    """Where the service has no room for one more stream the page does not call the connection lost."""
    services.environ = {"TRACEHUB_MAX_CLIENT_STREAMS": "1"}
    services.start("ingest_svc")
    services.start("query_svc")
    page.forgiven += ["Failed to load resource"]
    first = await page.context.new_page()
    await first.goto(services.query_url)
    await first.wait_for_function(LIVE)
    await page.goto(services.query_url)
    await page.wait_for_selector(".banner.lost:has-text('the stream was refused')")
    await first.close()
    await page.wait_for_function(LIVE)


async def test_a_service_that_hangs_is_lost(services: Services, page: Any) -> None:
    """A service that takes connections and answers none is told as lost; when it goes on, so do list and stream."""
    services.start("ingest_svc")
    services.start("query_svc")
    await page.goto(services.query_url)
    await page.wait_for_function(LIVE)
    services.processes["query_svc"].send_signal(signal.SIGSTOP)
    await page.wait_for_selector(".banner.lost:has-text('Connection lost')")
    await page.wait_for_selector(".health.ill:has-text('no answer')")
    send(services, [entry(correlation_id="meanwhile")])
    services.processes["query_svc"].send_signal(signal.SIGCONT)
    await page.wait_for_selector("[data-id=meanwhile]")
    await page.wait_for_selector(".health.well:has-text('healthy')")


async def test_a_stream_that_is_held_back(page: Any, hub: Services) -> None:
    """Where a proxy keeps the stream to itself the page says that what it shows may be old, and why."""
    await page.route("**/stream?*", lambda _: None)
    await page.goto(hub.query_url)
    await page.wait_for_selector(".banner.lost:has-text('the stream did not start')")
    await page.unroute("**/stream?*")
    await page.wait_for_function(LIVE)


async def test_a_service_that_says_why_not_is_not_lost(services: Services, page: Any) -> None:
    """What it answers is told, and not that there was no answer; when it can, all goes on."""
    page.forgiven += ["Failed to load resource"]
    services.start("query_svc")
    await page.goto(services.query_url)
    await page.wait_for_selector(".health.ill:has-text('unhealthy')")
    await page.wait_for_selector(".banner.lost:has-text('there is no database file')")
    services.start("ingest_svc")
    await page.wait_for_function(LIVE)
    await page.wait_for_selector(".health.well:has-text('healthy')")


@pytest.mark.parametrize("address", ["traces", "traces/", "constructor", "__proto__", "nothing/like/that"])
async def test_an_address_of_nothing_shows_the_chains(page: Any, hub: Services, address: str) -> None:
    """A chain without an id, and a view that there is not, lead to the list, without a fault."""
    await page.goto(f"{hub.query_url}/#/{address}")
    await page.wait_for_selector(".chains-view")
    await page.wait_for_function(LIVE)
    assert not await page.locator(".banner").is_visible()


async def test_a_link_that_somebody_put_together(page: Any, hub: Services) -> None:
    """An id with slashes that nobody quoted leads to its chain, not to one with the first part of its name."""
    send(hub, [entry(correlation_id="orders"), entry(correlation_id="orders/eu/17", endpoint="/seventeen")])
    await page.goto(f"{hub.query_url}/#/traces/orders/eu/17")
    await page.wait_for_selector(".facts:has-text('/seventeen')")


@pytest.mark.parametrize("is_secure", [True, False])
async def test_what_copies_keeps_the_focus(page: Any, hub: Services, is_secure: bool) -> None:
    """A button that copies keeps the focus, also where the address is no secure one and the page has no clipboard."""
    send(hub, [entry(correlation_id="copied")])
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.add_init_script(f"Object.defineProperty(window, 'isSecureContext', {{value: {str(is_secure).lower()}}})")
    await page.goto(f"{hub.query_url}/#/traces/copied")
    await page.wait_for_selector(".facts:not([hidden])")
    await noted(page, "button:has-text('Copy id')")
    await page.focus("button:has-text('Copy id')")
    await page.keyboard.press("Enter")
    await page.wait_for_function("() => said.includes('Copied')")
    assert await page.evaluate("document.activeElement.matches('.chain-head button')")
    assert await page.evaluate("navigator.clipboard.readText()") == "copied"


async def test_a_chain_goes_on_after_a_cut(services: Services, page: Any) -> None:
    """What a chain got while the query process was away is in its view afterwards, once; others do not count."""
    services.start("ingest_svc")
    services.start("query_svc")
    send(services, [entry(endpoint="/one")])
    page.forgiven += ["net::ERR", "Failed to load resource"]
    await page.goto(f"{services.query_url}/#/traces/chain")
    await page.wait_for_function(LIVE)
    send(services, [entry(correlation_id="other") for _ in range(10)])
    services.kill("query_svc")
    await page.wait_for_selector(".banner.lost")
    send(services, [entry(endpoint="/two"), entry(endpoint="/two", direction="<-")])
    services.start("query_svc")
    await page.wait_for_selector(".numbers:has-text('3 entries')")
    await page.wait_for_selector(".banner.back:has-text(': what arrived meanwhile is shown now')")


async def test_one_stream_for_a_tab(page: Any, hub: Services) -> None:
    """However one walks through the views, the tab holds one EventSource."""
    await page.add_init_script("""
        window.streams = new Set();
        window.most = 0;
        const Plain = EventSource;
        window.EventSource = class extends Plain {
            constructor(...given) { super(...given); most = Math.max(most, streams.add(this).size); }
            close() { super.close(); streams.delete(this); }
        };
    """)
    send(hub, [entry(correlation_id="shell")])
    await page.goto(hub.query_url)
    for view in [*VIEWS, *VIEWS]:
        await page.evaluate(
            """view => {
                document.querySelector('.view').classList.add('left');
                streams.forEach(each => { each.isLeft = true; });
                location.hash = `#/${view}`;
            }""",
            view,
        )
        await page.wait_for_selector(".view:not(.left)")
        wanted = "compare" not in view  # which shows what is stored
        await page.wait_for_function(
            "wanted => streams.size === Number(wanted) && ![...streams].some(each => each.isLeft)", arg=wanted
        )
    assert await page.evaluate("most") == 1


async def test_the_secret_is_asked_for(services: Services, page: Any) -> None:
    """Without the cookie there is a login page; a wrong secret is told; with the right one the view comes."""
    services.environ["TRACEHUB_QUERY_SECRET"] = "a reader's secret"
    services.start("ingest_svc")
    services.start("query_svc")
    send(services, [entry(correlation_id="guarded")])
    page.forgiven += ["Failed to load resource"]
    await page.goto(f"{services.query_url}/#/traces/guarded")
    await page.get_by_label("Secret").fill("a guess")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".problem:has-text('Wrong secret')")
    await page.get_by_label("Secret").fill("a reader's secret")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".facts:not([hidden])")
    assert re.search("traces/guarded", page.url)
    await page.get_by_role("button", name="Log out").click()
    await page.wait_for_selector("form.login")
