"""Which entries report an error."""

import tracemalloc

import pytest

from shared.failure import reports_error


@pytest.mark.parametrize(
    "data",
    [
        '{"error":"timeout"}',
        '{"a":1, "error" : {"code":7}}',
        '{"error":true}',
        '{"exception":"KeyError"}',
        '{"exception":["a"]}',
        '{"status":500}',
        '{"status":5e2}',
        '{"status_code":503.5}',
        '{"status":"error"}',
        '{"status":"FAILED"}',
        '{"status_code":"Failed","status":"ok"}',
        '{"status":null,"error":1}',
    ],
)
def test_an_error_is_seen(data: str) -> None:
    """A truthy `error` or `exception`, or a status that says so, at the top level."""
    assert reports_error(data)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{}",
        '{"a":"error"}',
        '{"a":{"error":"timeout"}}',
        '{"error":null,"exception":null}',
        '{"error":"","exception":[]}',
        '{"error":0}',
        '{"error":{}}',
        '{"error":false}',
        '{"status":200}',
        '{"status":499.9}',
        '{"status":"500"}',
        '{"status":"ok"}',
        '{"status":true}',
        '{"status":[500]}',
        '{"status_code":null}',
        '{"errors":1,"Error":1,"statuses":500}',
        '{"status":1e400}',
    ],
)
def test_nothing_else_is(data: str) -> None:
    """Not a word elsewhere, not a falsy value, not a status that is fine."""
    assert not reports_error(data)


@pytest.mark.parametrize("field", ["error", "exception", "status", "status_code"])
def test_a_long_value_is_not_built(field: str) -> None:
    """Whatever a sender puts there, the answer costs no more memory than the text."""
    data = f'{{"{field}":[{",".join(["[]"] * 100_000)}]}}'
    tracemalloc.start()
    assert reports_error(data) == field.startswith("e")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(data)
