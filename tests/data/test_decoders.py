"""A loop over decoded items that is left before its end waits for no thread."""

from __future__ import annotations

from collections.abc import Generator
from threading import Event, Thread

from rft.data.decoders import DECODERS, open_decoders


def test_a_loop_that_is_left_waits_for_no_thread_and_drops_what_was_not_begun() -> None:
    may_end, begun = Event(), []

    def decode(item: int) -> int:
        begun.append(item)
        assert may_end.wait(60)
        return item

    def decode_items() -> Generator[int]:
        with open_decoders() as pool:
            first = pool.submit(int)
            waiting = [pool.submit(decode, item) for item in range(3 * DECODERS)]
            yield first.result()
            yield from (future.result() for future in waiting)

    items = decode_items()
    assert next(items) == 0
    leaving = Thread(target=items.close)
    leaving.start()
    leaving.join(30)
    left = not leaving.is_alive()
    may_end.set()
    leaving.join()
    assert left
    assert len(begun) <= DECODERS


def test_a_loop_to_its_end_has_all_items() -> None:
    with open_decoders() as pool:
        assert list(pool.map(str, range(100))) == [str(item) for item in range(100)]
