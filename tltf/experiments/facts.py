"""Gathers the facts of a run for its report: its command, machine, licences, digests and sizes."""

import dataclasses
import pathlib

from tltf.config import call_strings, data_sets
from tltf.config.catalogs import BACKBONES, SOURCES, Row
from tltf.config.options import Options
from tltf.evaluation.report.run_facts import RunFacts, Speed
from tltf.experiments.launch import Launch, now
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout, machine, origin
from tltf.training.distribution import strategies


def gather(launch: Launch, chosen: Options) -> RunFacts:
    """The facts that every run has: how it was started, the machine, the commit and the licences.

    Args:
        launch: how the run was started.
        chosen: its options.
    """
    return RunFacts(
        typed=launch.typed,
        started=launch.started,
        finished=now(),
        machine=machine.this_machine(),
        gpus=strategies.gpu_names(),
        peak_memory_bytes=machine.peak_memory_bytes(),
        peak_gpu_bytes=strategies.peak_gpu_bytes(),
        commit=machine.commit(),
        licences=_licences(chosen),
    )


def gather_of_run(
    launch: Launch, chosen: Options, run: pathlib.Path, speed: Speed | None
) -> RunFacts:
    """The facts of a run with one model: those of every run, the data's digest, sizes and speed.

    Args:
        launch: how the run was started.
        chosen: its options.
        run: the run folder, with the model, and the export if there is one.
        speed: of the evaluation; None where it was not measured.
    """
    return dataclasses.replace(
        gather(launch, chosen),
        data_digest=origin.read_data(run),
        model_bytes=_folder_bytes(run / layout.MODEL),
        export_bytes=_folder_bytes(run / layout.EXPORT / str(origin.export_version(run))),
        speed=speed,
    )


def _licences(chosen: Options) -> dict[str, str]:
    """The licences that the catalogs state of the backbone's weights and of the data."""
    data = chosen.data.data
    texts = data_sets.texts_of(data).values() if data_sets.are_several(data) else [data]
    rows: dict[str, list[Row | None]] = {
        "data": [SOURCES.get(call_strings.name_of(text)) for text in texts]
    }
    if chosen.model.backbone_weights == "default":
        rows["backbone"] = [BACKBONES.get(call_strings.name_of(chosen.model.backbone))]
    named = {
        part: dict.fromkeys(row.licence for row in own if row and row.licence)
        for part, own in rows.items()
    }
    return {part: ", ".join(licences) for part, licences in named.items() if licences}


def _folder_bytes(folder: pathlib.Path) -> int | None:
    """The size of all files in a folder; None if there is none."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(sizes) or None


def speed_of(trained: TransferModel, num_examples: int, seconds: float) -> Speed:
    """The Speed of an evaluation of the whole network.

    Args:
        trained: the model.
        num_examples: rows that were judged, at least 1.
        seconds: that the network took.
    """
    names = strategies.gpu_names()
    return Speed(
        1000 * seconds / num_examples,
        num_examples,
        trained.eval_batch_size,
        names[0] if names else machine.this_machine().cpu,
        "float32",  # of what is judged, whatever it was trained in
    )
