"""`python -m tracehub_server.healthy port query_port`: exit code 0 when the services on these ports are healthy.

For containers, which have no curl: it asks from within, on the ports that the settings name.
"""

import argparse
import os
import urllib.request
from http.client import HTTPException

from shared.env import PROGRAM, failing_in_one_line, give_up, read_settings


def main() -> None:
    """Ask each port, say what is wrong with the first that is not healthy."""
    parser = argparse.ArgumentParser(prog="python -m tracehub_server.healthy", description=__doc__)
    parser.add_argument("ports", nargs="+", choices=("port", "query_port"), help="the setting of a port")
    ports = parser.parse_args().ports
    with failing_in_one_line(PROGRAM):
        settings = read_settings(os.environ, {})
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host else host
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever HTTP_PROXY says
    for port_field in ports:
        url = f"http://{host}:{getattr(settings, port_field)}/health"
        try:
            directly.open(url, timeout=4).close()
        except (OSError, HTTPException) as error:
            give_up(PROGRAM, f"{url}: {error}", 1)


main()
