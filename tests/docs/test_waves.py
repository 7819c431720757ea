"""The timing diagrams of docs/blocks show what the blocks do."""

import runpy
from pathlib import Path

import pytest

from sim.waves import draw, record

DOCS = Path(__file__).parents[2] / "docs"
SCENES = runpy.run_path(str(DOCS / "examples" / "scenes.py"))["SCENES"]


@pytest.mark.parametrize("name", SCENES)
def test_images_are_of_the_present_blocks(name):
    """After a change: ``python docs/examples/scenes.py``, and look at the pictures."""
    assert (DOCS / "images" / f"wave-{name}.svg").read_text() == draw(SCENES[name])


def test_a_word_that_is_not_taken_stays_in_the_picture():
    shown = record(SCENES["sore"])
    waiting = [cycle for cycle, ready in enumerate(shown["o.ready"]) if not ready]
    assert waiting == [6, 7]
    assert shown["o.payload"][6] == shown["o.payload"][7] == shown["o.payload"][8]
    assert shown["o.payload"][0] is None
