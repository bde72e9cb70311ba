"""What a served model tells of itself, from which a client makes the rows that a run would write.

An export answers it in its signature `about`, so that a client needs only an address and a name.
"""

import dataclasses
import json
from typing import Any

from tltf.config import call_strings, several_heads, task_heads
from tltf.config.catalogs import HEADS
from tltf.errors import ModelError
from tltf.models import input_format
from tltf.serving import client

SIGNATURE = OUTPUT = client.ABOUT
INPUT = client.ABOUT_KEY
"""The signature takes any tf.string[B] and gives the same JSON object B times, tf.string[B]."""
FORMAT = 1
"""Version of the format."""
READING_ARGUMENTS = ("text", "image", "delimiter", "encoding", "quote")
"""Arguments of a source that say how its tables are read, and nothing of where they lie."""


@dataclasses.dataclass(frozen=True)
class AboutModel:
    """What a client must know of a model.

    Args:
        modality: `image` or `text`.
        fields: the names of the fields of an example, in their order.
        inputs: the inputs of `serving_default` that take them.
        reading: a call string that says how a run's tables are read; see `reading_of`.
        head: the call string of the head, with what training chose: thresholds and calibration.
        class_names: one name per output, in their order.
    """

    modality: str
    fields: tuple[str, ...]
    inputs: tuple[str, ...]
    reading: str
    head: str
    class_names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The data that `from_json` reads."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, text: str, place: str) -> "AboutModel":
        """The facts in a text of JSON, which comes from a stranger.

        Args:
            text: JSON of `to_json`.
            place: where it comes from, for errors.

        Raises:
            ModelError: it is of another format, or its head is not part of tltf.
            FlagError: the model has several heads.
        """
        try:
            facts = json.loads(text)
            version = facts.pop("format")
            texts = {name: facts.pop(name) for name in ("modality", "reading", "head")}
            lists = {name: tuple(facts.pop(name)) for name in ("fields", "inputs", "class_names")}
            if not all(isinstance(value, str) for value in texts.values()):
                raise TypeError
            if not all(isinstance(item, str) for items in lists.values() for item in items):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = "what the model tells of itself cannot be read"
            raise ModelError(what, place=place, fix="export it again with this tltf") from error
        if version != FORMAT or texts["modality"] not in ("image", "text"):
            what = f"the model tells of itself in format {version!r}, and this tltf reads {FORMAT}"
            raise ModelError(what, place=place, fix="export it again with this tltf")
        if task_heads.are_several(texts["head"]):
            raise several_heads.refuse("--server", "server", "--run=RUN, or its REST interface")
        name = call_strings.name_of(texts["head"])
        if name not in HEADS:
            what = f"the head {name!r} of the model is not part of tltf, and its code is not run"
            raise ModelError(what, place=place, fix="--run=RUN, with the run's own code")
        return cls(
            modality=texts["modality"],
            fields=lists["fields"],
            inputs=lists["inputs"],
            reading=texts["reading"],
            head=texts["head"],
            class_names=lists["class_names"],
        )


def task_start(task: str) -> str:
    """What the names of the outputs of a task begin with, where a model has several heads."""
    return f"{task}_"


def reading_of(data: str, modality: str) -> str:
    """A call string with those arguments of a run's --data that say how its tables are read.

    Paths and names of columns with labels are left out, since an export is given to others.

    Args:
        data: a call string of SOURCES; empty for none.
        modality: `image` or `text`.
    """
    arguments = input_format.read_arguments_of(data, modality)
    kept = {name: arguments[name] for name in READING_ARGUMENTS if arguments.get(name)}
    return call_strings.render(call_strings.IN_MEMORY, kept)
