"""Texts of users are text in Markdown too, and only what would be a mark is escaped."""

import pytest

from tltf.evaluation.report import markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("mails: lp_ft, --train_epochs=4 {x}", "mails: lp_ft, --train_epochs=4 {x}"),
        ("_all_ __init__.py", "\\_all\\_ \\_\\_init\\_\\_.py"),
        ("*a* `b` [c](d) | \\", "\\*a\\* \\`b\\` \\[c](d) \\| \\\\"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("~/runs ~~no~~", "~/runs \\~\\~no\\~\\~"),
        ("# head\nnext", "\\# head next"),
        ("C# 3. - x", "C# 3. - x"),
        ("- item", "\\- item"),
        ("-5 of 7", "-5 of 7"),
        ("12. may", "12\\. may"),
    ],
)
def test_what_would_be_a_mark_is_escaped_and_nothing_else(text, escaped):
    assert markdown.escape(text) == escaped


def test_columns_of_words_are_flush_left_and_numbers_can_be_read():
    rows = [["full", 1, 4.0938, 9.922e-05, None], ["full", 12345, 2.0, 1e-9, 3]]
    assert markdown.rules_of_values(rows) == "| --- | ---: | ---: | ---: | ---: |"
    assert markdown.row(rows[0]) == "| full | 1 | 4.0938 | 0.00009922 | \N{EN DASH} |"
    assert markdown.row(rows[1]) == "| full | 12,345 | 2 | 1 \N{MULTIPLICATION SIGN} 10⁻⁹ | 3 |"
