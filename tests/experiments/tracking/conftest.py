"""One small run on pictures and one on texts, whose trackers are told of them again in each test."""

import pytest

from tests.experiments.tracking import recording


@pytest.fixture(autouse=True)
def nothing_heard():
    recording.HEARD.clear()


def _told(flags):
    """What a tracker is told of a run: `(TrackedRun, epochs, FinishedRun)`."""
    from tltf import train

    recording.HEARD.clear()
    assert train.main(flags) == 0
    (run,), (finished,) = recording.heard("start"), recording.heard("finish")
    return run, recording.heard("epoch"), finished


@pytest.fixture(scope="session")
def told_of_images(tmp_path_factory):
    return _told([*FLAGS, f"--output={tmp_path_factory.mktemp('images') / 'run'}"])


@pytest.fixture(scope="session")
def told_of_texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    rows = [f"{'fine' if n % 3 else 'awful'} day {n},{'yes' if n % 3 else 'no'}" for n in range(60)]
    (folder / "all.csv").write_text("\n".join(["review,liked", *rows]), encoding="utf-8")
    data = f"--data=csv(path={folder}/all.csv, text=review, label=liked)"
    return _told([data, "--backbone=small_lstm", *COMMON, f"--output={folder / 'run'}"])


COMMON = [
    "--train_epochs=2",
    "--explain=none",
    "--noexport",
    "--quiet",
    "--track=tests.experiments.tracking.recording:RecordingTracker",
]
FLAGS = [
    "--data=digits(num_train=60, num_validation=20, num_test=30)",
    "--backbone=small_cnn(filters=[4])",
    "--image_size_px=8",
    *COMMON,
]
