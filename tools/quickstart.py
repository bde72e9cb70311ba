"""The shortest way through tltf on packaged data: train, report, export, then predict one picture.

    python tools/quickstart.py [FOLDER]

The same by hand: python -m tltf.train --flagfile=configs/quickstart.flags --output=FOLDER,
then python -m tltf.predict --run=FOLDER --input=FOLDER/digit.png.
"""

import pathlib
import sys

from tltf import predict, train
from tltf.console import command
from tltf.runs import folder

ROOT = pathlib.Path(__file__).resolve().parents[1]
FLAGFILE = ROOT / "configs" / "quickstart.flags"

NEXT = """
Try next:
  see what was learned     open {run}/report.html
  your own pictures        python -m tltf.train --data='image_folder(path=DIR)' \\
                             --backbone=efficientnet_lite0 --output=runs/mine
                           (DIR holds one folder of pictures per class)
  your own texts           python -m tltf.train --data='csv(path=all.csv, text=text, label=label)' \\
                             --backbone=minilm_l6 --output=runs/texts
  sentences, packaged      python -m tltf.train --flagfile={root}/configs/vader_minilm_l6_full.flags \\
                             --output=runs/vader
  what there is to choose  python -m tltf.train --list=backbones
  serve the export         docker run -p 8501:8501 -v {run}/export:/models/digits \\
                             -e MODEL_NAME=digits tensorflow/serving
These need the environment: . {root}/.venv/bin/activate"""


def main(argv):
    """Trains and predicts, and returns the exit code; a finished run is not trained again."""
    run = pathlib.Path(argv[0] if argv else ROOT / "runs" / "quickstart").resolve()
    if folder.read_status(run) == "finished":
        print(f"tltf: {run} is finished already; only the prediction is made")
    else:
        arguments = [f"--flagfile={FLAGFILE}", f"--output={run}"]
        print(f"$ python -m tltf.train {' '.join(arguments)}", flush=True)
        code = train.main(arguments)
        if code:
            return code
    command.load_tensorflow()
    picture, label = write_digit(run)
    print(f"\nThe picture {picture} shows a {label}.")
    arguments = [f"--run={run}", f"--input={picture}", "--format=jsonl"]
    print(f"$ python -m tltf.predict {' '.join(arguments)}", flush=True)
    code = predict.main(arguments)
    if not code:
        print(NEXT.format(run=run, root=ROOT))
    return code


def write_digit(run):
    """Writes the run's first test example as a PNG; returns `(path, class name)`."""
    import tensorflow as tf

    from tltf.data import loader, splits

    options = folder.read_options(run)
    source = loader.load(options.data.data, seed=options.runtime.seed)
    test = splits.split(source, options.data.split, options.runtime.seed)["test"]
    path = run / "digit.png"
    path.write_bytes(tf.io.encode_png(test.column.values[0]).numpy())
    return path, test.class_names[test.labels[0]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
