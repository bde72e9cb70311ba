"""SetFit's own package on the rows of a file: a side of few_shot_methods.py, which uses nothing of tltf.

    python few_shot_peer.py ROWS.json WEIGHTS SEED

It needs `pip install setfit` (1.2.0 beside sentence-transformers 6.2.0 was measured). The settings are the package's defaults, with which its paper's results are
made: batches of 16 pairs, 1 epoch over oversampled pairs of at most 20 a row, learning rate 2e-5, logistic regression.
Prints JSON: accuracy, and the seconds of training and prediction.
"""

import json
import sys
import tempfile
import time

import datasets
import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression


def main():
    """Trains, judges and prints."""
    path, weights, seed = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        given = json.load(file)
    torch.manual_seed(int(seed))
    began = time.perf_counter()
    word = modules.Transformer(weights, max_seq_length=48)
    body = SentenceTransformer(modules=[word, modules.Pooling(word.get_embedding_dimension())])
    model = SetFitModel(body, LogisticRegression())
    rows = datasets.Dataset.from_dict(
        {"text": given["texts"]["train"], "label": given["labels"]["train"]}
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_iterations=20,
            seed=int(seed),
            report_to="none",
            save_strategy="no",
        )
        Trainer(model, arguments, train_dataset=rows).train()
    answers = np.asarray(model.predict(given["texts"]["test"], show_progress_bar=False))
    accuracy = float((answers == np.asarray(given["labels"]["test"])).mean())
    print(json.dumps({"accuracy": accuracy, "s": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
