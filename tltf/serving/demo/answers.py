"""What a page shows of an answer, for each kind of labels."""

import dataclasses

from tltf.models.prediction import Prediction

Row = tuple[str, float]
UNSURE = "The model was trained to give no answer where it is not sure."


@dataclasses.dataclass(frozen=True)
class ShownAnswer:
    """An answer as the page shows it.

    Args:
        text: the answer in Markdown, or why there is none.
        probabilities: class or label -> probability; {} for numbers, and without an answer.
        quantiles: rows of a number's name and level with the quantile; () for classes.
    """

    text: str
    probabilities: dict[str, float] = dataclasses.field(default_factory=dict)
    quantiles: tuple[Row, ...] = ()


def shown_answer(prediction: Prediction) -> ShownAnswer:
    """What is shown of a prediction."""
    if prediction.error:
        return ShownAnswer(f"**No answer**: {_plain(prediction.error)}")
    if prediction.probabilities:
        return ShownAnswer(_label_text(prediction), dict(prediction.probabilities))
    if prediction.values:
        texts = [f"{_plain(name)} **{value:.6g}**" for name, value in prediction.values.items()]
        return ShownAnswer(", ".join(texts), quantiles=_rows(prediction))
    return ShownAnswer(f"**{prediction.answer}**", quantiles=_rows(prediction))


def _label_text(prediction: Prediction) -> str:
    """The label with its probability, or all labels of a row that may have several or none."""
    if not prediction.is_sure:
        stated = prediction.probabilities
        first = max(stated, key=stated.__getitem__)
        nearest = f"The most probable is {_plain(first)}, with {stated[first]:.1%}."
        return f"**Not sure**\n\n{nearest} {UNSURE}"
    share = prediction.probabilities.get(prediction.label)
    if prediction.labels or share is None:
        return ", ".join(f"**{_plain(name)}**" for name in prediction.labels) or "no label"
    return f"**{_plain(prediction.label)}** {share:.1%}"


def _rows(prediction: Prediction) -> tuple[Row, ...]:
    """A row per quantile; the name of the number stands before its level where there are several."""
    rows = list[Row]()
    for name, value in prediction.quantiles.items():
        if isinstance(value, dict):
            rows += [(f"{name}, {level}", quantile) for level, quantile in value.items()]
        else:
            rows.append((name, value))
    return tuple(rows)


def _plain(text: str) -> str:
    """A text in which Markdown finds no marks and no HTML."""
    for mark in "\\`*_{}[]()#+-.!|<>~":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
