"""Lines while a command works: their width, and blocks without them."""

import pytest

from tltf.console import lines
from tltf.console.progress import Progress


def test_a_long_text_goes_on_below_itself_within_80_columns():
    found = lines.wrap("method", "word " * 40)
    assert len(found) > 2 and max(map(len, found)) <= 80
    assert found[0].startswith("method     word") and found[1].startswith(" " * 11 + "word")
    assert lines.wrap("method", "") == []


def test_a_quiet_block_has_neither_lines_nor_progress(capsys):
    with lines.quiet(), lines.quiet(False):
        lines.say("start", "now")
        with Progress("features", 2) as progress:
            progress.add(2)
    assert capsys.readouterr().err == ""
    with lines.indented():
        lines.say("start", "now")
    lines.say("start", "now")
    assert capsys.readouterr().err == "  start      now\nstart      now\n"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (770, "770"),
        (1155, "1,155"),
        (147_456, "147K"),
        (22_566_146, "22.6M"),
        (1_240_000_000, "1.2B"),
    ],
)
def test_numbers_of_weights(amount, text):
    assert lines.amount_text(amount) == text
