"""`python -m tracehub.cli`: the same as `tracehub`."""

from tracehub.cli import tracehub

tracehub()
