"""A side of bench_transfer.py: full fine-tuning by the Hugging Face Trainer with dynamic padding.

It runs under an interpreter with `pip install torch transformers accelerate` and uses nothing of
tltf. The environment variable MINILM names the folder of the weights. Time is counted from the
first read to the last step.
"""

import os
import tempfile
import time

import bench_work
import numpy as np
import torch
import transformers


class Rows(torch.utils.data.Dataset):
    """Tokenized texts without padding, with their labels."""

    def __init__(self, tokenizer, texts, labels, length):
        self.tokens = tokenizer(texts, truncation=True, max_length=length)
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        return {name: values[row] for name, values in self.tokens.items()} | {
            "labels": self.labels[row]
        }


def main():
    """Trains, evaluates and prints the result."""
    work, folder = bench_work.read_work(), os.environ["MINILM"]
    transformers.set_seed(work.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    with tempfile.TemporaryDirectory() as output:
        start = time.monotonic()
        train = Rows(tokenizer, *bench_work.texts(work, "train"), work.text_length)
        trainer = transformers.Trainer(
            model,
            arguments(work, output),
            train_dataset=train,
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        seconds = time.monotonic() - start
        test = Rows(tokenizer, *bench_work.texts(work, "test"), work.text_length)
        outputs = trainer.predict(test)
    accuracy = float(np.mean(outputs.predictions.argmax(axis=1) == outputs.label_ids))
    bench_work.print_row(seconds=seconds, accuracy=accuracy)


def arguments(work, output):
    """The settings of the Trainer: Adam at a constant rate; nothing is saved or logged.

    In bfloat16 the batches are also grouped by length, which is the quickest that it has to offer.
    """
    is_half = work.precision == "mixed_bfloat16"
    return transformers.TrainingArguments(
        output,
        num_train_epochs=work.epochs,
        learning_rate=work.learning_rate,
        per_device_train_batch_size=work.batch_size,
        per_device_eval_batch_size=128,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        seed=work.seed,
        use_cpu=True,
        bf16=is_half,
        train_sampling_strategy="group_by_length" if is_half else "random",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


if __name__ == "__main__":
    main()
