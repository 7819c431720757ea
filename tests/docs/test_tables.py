"""The tables of the accelerator's page are those of the code."""

from sim.tables import PAGE, page


def test_the_page_is_as_the_code_says():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "python -m sim.tables writes them anew"
    assert "| `walk` | 1184 |  | see below |" in text
    assert "| `0x000` | `identity` | read |" in text
