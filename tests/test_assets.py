"""The dashboard's files: complete, cached for ever, and new at once after an upgrade."""

import gzip
import re
from pathlib import Path

from conftest import Client

from query_svc.assets import ASSETS, VERSION

MOST_BYTES = 250_000  # of all files together, as they are


def test_the_dashboard_is_small() -> None:
    """All files together stay under 250 KB, uncompressed."""
    assert sum(len(asset.body) for asset in ASSETS.values()) < MOST_BYTES


def test_all_files_are_served_and_nothing_else() -> None:
    """What lies in the folder is an asset, but for the Python package around it."""
    folder = Path(__file__).parent.parent / "query_svc" / "dashboard"
    assert set(ASSETS) == {file.name for file in folder.iterdir() if file.suffix in (".css", ".html", ".js", ".svg")}


def test_nothing_comes_from_elsewhere() -> None:
    """No file names another server; the one address is the name of a markup language."""
    for name, asset in ASSETS.items():
        addresses = set(re.findall(rb"(?:https?:)?//[\w.-]+\.\w+[\w./-]*", asset.body))
        assert addresses <= {b"http://www.w3.org/2000/svg"}, name


def test_modules_import_what_there_is() -> None:
    """Each imported module exists, and each imported name is exported there."""
    seen = 0
    for name, asset in ASSETS.items():
        for names, module in re.findall(rb"^import \{([^}]*)\} from '\./([\w.]+)';$", asset.body, re.MULTILINE):
            exported = set(
                re.findall(
                    rb"^export (?:async )?(?:function|const|let|class) (\w+)", ASSETS[module.decode()].body, re.M
                )
            )
            assert {each.split()[0] for each in names.split(b",")} <= exported, (name, module)
            seen += 1
    assert seen > 50


async def test_the_list_comes_first(query: Client) -> None:
    """The page names the modules of its list, all of them and no others, and those of the other views for later."""
    async with query.get("/") as response:
        page = await response.text()
    first = set(re.findall(r'modulepreload" href="[^"]+/([\w.]+)"', page))
    rest = set(re.findall(r'name="rest" content="([^"]+)"', page)[0].split())
    needed = {"main.js"}
    for _ in ASSETS:
        needed |= {
            module.decode()
            for name in needed
            for module in re.findall(rb"^import .* from '\./([\w.]+)';$", ASSETS[name].body, re.MULTILINE)
        }
    assert first == needed
    assert first | rest == {name for name in ASSETS if name.endswith(".js")} - {"offline.js"}
    assert {"chains.js", "chain.js"} - first == {"chain.js"}


async def test_links_of_the_page_lead_somewhere(query: Client) -> None:
    """The page is asked for each time; what it names is there, and may be kept for ever."""
    async with query.get("/") as response:
        page = await response.text()
        assert response.content_type == "text/html"
        assert response.headers["Cache-Control"] == "no-cache"
    links = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert any(link.endswith("main.js") for link in links)
    for link in links:
        async with query.get(f"/{link}") as response:
            assert response.status == 200, link
            if "assets" in link:
                assert "immutable" in response.headers["Cache-Control"]


async def test_what_is_known_is_not_sent_again(query: Client) -> None:
    """An ETag answers 304, HEAD has no body, gzip is for those who take it: of other bytes, so the tag is weak."""
    async with query.get("/") as response:
        tag = response.headers["ETag"]
    assert tag.startswith('W/"')
    for known in (tag, f'"another", {tag}', tag.removeprefix("W/"), "*"):
        async with query.get("/", headers={"If-None-Match": known}) as response:
            assert (response.status, await response.read()) == (304, b"")
            assert "Content-Security-Policy" not in response.headers  # it would replace that which came with the page
    async with query.get("/", headers={"If-None-Match": '"another"'}) as response:
        assert response.status == 200
    async with query.head("/") as response:
        assert (response.status, response.headers["ETag"], await response.read()) == (200, tag, b"")
    path = f"/assets/{VERSION}/main.js"
    for accepted in ("gzip", "br, GZip", "gzip;q=0.001, *;q=0", "deflate, gzip ; q=1"):
        async with query.get(path, headers={"Accept-Encoding": accepted}, auto_decompress=False) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(await response.read()) == ASSETS["main.js"].body
    for accepted in ("identity", "gzip;q=0", "br, gzip ; q=0.000, identity"):
        async with query.get(path, headers={"Accept-Encoding": accepted}) as response:
            assert "Content-Encoding" not in response.headers
            assert await response.read() == ASSETS["main.js"].body


async def test_another_version_is_not_there(query: Client) -> None:
    """A file of another version, or one that nobody has, is a 404 and never the wrong content."""
    for path in (
        "/assets/0123456789abcdef/main.js",
        f"/assets/{VERSION}/other.js",
        f"/assets/{VERSION}/..%2Fhandlers.py",
    ):
        async with query.get(path) as response:
            assert response.status == 404, path
