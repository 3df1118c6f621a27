"""Everything about running: installed with the server as the package `tracehub_server`."""
