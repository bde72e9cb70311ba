"""TRACKERS: where the numbers of a run are sent besides its run folder."""

from tltf.config.catalogs.row import TrackerRow

TRACKERS = {
    "tensorboard": TrackerRow(
        "tltf.experiments.tracking.tensorboard:TensorBoardTracker",
        {},
        "curves, report, mistakes and an embedding projector in RUN/tensorboard",
        licence="Apache-2.0",
        extra="tracking",
        package="tensorboard",
    ),
    "wandb": TrackerRow(
        "tltf.experiments.tracking.wandb:WandbTracker",
        {"project": "tltf", "entity": "", "mode": "auto", "model": False},
        "a run of Weights & Biases, or its files in RUN/wandb to be sent later",
        licence="MIT",
        extra="wandb",
        check="tltf.experiments.tracking.wandb:check",
        package="wandb",
    ),
    "mlflow": TrackerRow(
        "tltf.experiments.tracking.mlflow:MlflowTracker",
        {"uri": "", "experiment": "tltf", "model": True},
        "a run of MLflow, with the model as a pyfunc that takes raw inputs",
        licence="Apache-2.0",
        extra="mlflow",
        check="tltf.experiments.tracking.mlflow:check",
        package="mlflow",
    ),
}
