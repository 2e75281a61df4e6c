"""What callers choose makes no series, however much of it there is; and the metrics are as Prometheus wants them."""

import asyncio
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

CALLERS = 8
PATHS = ("/v1/chat/completions?q=zq{n}", "/v1/responses/zq{n}", "/v1/zq{n}", "/zq{n}")


async def _ask(host: str, port: int, numbers: range) -> None:
    """Make one call for each number, on one connection, with a model, key, path and address that no other call has."""
    reader, writer = await asyncio.open_connection(host, port)
    for n in numbers:
        body = b'{"model": "zq%d", "messages": [{"role": "user", "content": "Hi"}]}' % n
        path = PATHS[n % len(PATHS)].format(n=n)
        head = (
            f"POST {path} HTTP/1.1\r\nhost: zq{n}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"authorization: Bearer sk-zq{n}\r\nx-forwarded-for: 8.8.{n // 256}.{n % 256}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answered = await reader.readuntil(b"\r\n\r\n")
        [length] = [int(line.split(b":")[1]) for line in answered.lower().split(b"\r\n") if b"content-length:" in line]
        await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()


async def _ask_all(fence, numbers: range) -> None:
    shares = [numbers[at::CALLERS] for at in range(CALLERS)]
    async with asyncio.timeout(120):
        await asyncio.gather(*(_ask(fence.customers.hostname, fence.customers.port, share) for share in shares))


def _series(fence) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    families = text_string_to_metric_families(fence.ask("/metrics")[1])
    return {(sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples}


async def test_ten_thousand_models_keys_paths_and_addresses_make_no_series(start_fence, settings):
    fence = start_fence(settings)
    await _ask_all(fence, range(200))
    before = _series(fence)
    await _ask_all(fence, range(200, 10_200))
    assert fence.counted("requests_total") == 10_200
    assert _series(fence) == before
    metrics = fence.ask("/metrics")[1]
    assert "zq" not in metrics
    assert "_created{" not in metrics, "a second series beside each counter"
    assert "8.8." not in metrics


def test_prometheus_has_nothing_to_say_of_the_metrics(start_fence, settings):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not there (Debian has it in the package prometheus): THE METRICS WERE NOT CHECKED")
    fence = start_fence({**settings, "workers": 1})
    assert fence.call() == 200
    checked = subprocess.run(  # noqa: S603 - the tool that was found
        [promtool, "check", "metrics"], input=fence.ask("/metrics")[1], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
