"""The tasks of a run of several heads in its report: a block of numbers for each."""

import dataclasses
from typing import Any

from tltf.evaluation.split_metrics import SplitMetrics


@dataclasses.dataclass(frozen=True)
class TaskBlock:
    """One of the tasks of a run of several heads.

    Args:
        task: its name.
        head: the call string of its head.
        place: the folder of its own report, relative to that of the run.
        validation: metrics on the validation rows with a label of the task; None without such rows.
        test: metrics on the test rows with a label of it; None without such rows.
    """

    task: str
    head: str
    place: str
    validation: SplitMetrics | None = None
    test: SplitMetrics | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, without what is None."""
        values = {"task": self.task, "head": self.head, "place": self.place}
        for name, found in (("validation", self.validation), ("test", self.test)):
            if found:
                values[name] = found.to_json()  # type: ignore[assignment]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TaskBlock":
        """The block of plain JSON."""
        found = {
            name: SplitMetrics.from_json(values[name])
            for name in ("validation", "test")
            if values.get(name)
        }
        return cls(values["task"], values["head"], values["place"], **found)
