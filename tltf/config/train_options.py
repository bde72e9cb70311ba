"""The flags of how the network is trained, each with its default, bounds and help; see `option_groups`."""

import dataclasses

from tltf.config.flag_fields import flag


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """The way in which the network is trained."""

    method: str = flag(
        "auto",
        "The transfer method, such as linear_probe, 'partial(last_groups=2)', full or scratch; "
        "auto chooses one by the amount of data. See --list=methods.",
    )
    train_epochs: int | None = flag(
        None,
        "Passes over the training split; auto depends on the method and the amount of data.",
        kind=int,
        least=1,
    )
    batch_size: int | None = flag(
        None,
        "Examples per step, over all devices together; auto depends on the method.",
        kind=int,
        least=1,
    )
    eval_batch_size: int | None = flag(
        None, "Examples per step of evaluation and prediction; auto is 128.", kind=int, least=1
    )
    optimizer: str = flag(
        "auto",
        "The optimizer; auto is adam for images and adamw for text.",
        choices=("auto", "adam", "adamw", "sgd"),
    )
    learning_rate: float | None = flag(
        None,
        "The peak learning rate; auto depends on the method and on whether the backbone takes "
        "images or text.",
        kind=float,
        above=0.0,
    )
    momentum: float = flag(0.9, "The momentum of the sgd optimizer.", least=0.0, below=1.0)
    adam_beta_1: float = flag(
        0.9, "The decay of the first moment in adam and adamw.", least=0.0, below=1.0
    )
    adam_beta_2: float = flag(
        0.999, "The decay of the second moment in adam and adamw.", least=0.0, below=1.0
    )
    adam_epsilon: float = flag(
        1e-7, "The number that adam and adamw add to the denominator.", above=0.0
    )
    weight_decay: float | None = flag(
        None,
        "Decoupled weight decay, which spares biases and normalisations; auto is 0.01 for adamw (1"
        " for a linear probe of text), else 0.",
        kind=float,
        least=0.0,
    )
    clipnorm: float = flag(
        0.0,
        "The largest norm of each variable's gradient, over all devices together; 0 sets no limit.",
        least=0.0,
    )
    global_clipnorm: float = flag(
        0.0,
        "The largest norm of all gradients together, over all devices; 0 sets no limit.",
        least=0.0,
    )
    schedule: str = flag(
        "auto",
        "How the learning rate changes over the steps; auto is cosine for images and with --snapshots, and else "
        "linear for text.",
        choices=("auto", "constant", "linear", "cosine", "one_cycle", "plateau"),
    )
    snapshots: int = flag(
        0,
        "How often the learning rate falls to 0 in the last phase, each time from its peak, as half a cosine; the "
        "weights at the end of each fall are kept in RUN/snapshots, of which tltf.ensemble --snapshots makes an "
        "ensemble. 0 keeps none, and the rate follows --schedule.",
        least=0,
    )
    warmup_fraction: float | None = flag(
        None,
        "The share of the steps, with --snapshots of the first fall, in which the learning rate rises; auto is .3 for one_cycle, .1 for"
        " a pretrained text backbone and after a head that is solved for, else 0.",
        kind=float,
        least=0.0,
        below=1.0,
    )
    loss: str = flag(
        "cross_entropy",
        "The training loss; focal is cross-entropy times (1 - p)^focal_gamma.",
        choices=("cross_entropy", "focal"),
    )
    focal_gamma: float = flag(
        2.0,
        "The exponent of the focal loss; the larger it is, the less those examples count that the "
        "model already gets right.",
        least=0.0,
    )
    label_smoothing: float = flag(
        0.0, "The share of each target that is spread over all classes.", least=0.0, below=1.0
    )
    class_weights: str = flag(
        "none",
        "The weights of the classes in the loss: balanced is n / (classes * n of the class), "
        "effective is by effective numbers. The epoch and the penalty are still chosen by the "
        "head's unweighted metric on validation.",
        choices=("none", "balanced", "effective"),
    )
    backbone_dropout: float | None = flag(
        None,
        "The rate of the backbone's own dropout; auto keeps the rate that it was pretrained with.",
        kind=float,
        least=0.0,
        below=1.0,
    )
    stochastic_depth: float | None = flag(
        None,
        "The chance that training skips the last residual block; earlier blocks are skipped less "
        "often, in proportion to their depth. auto keeps the rate that the backbone was pretrained with.",
        kind=float,
        least=0.0,
        below=1.0,
    )
    sampling: str = flag(
        "none",
        "How training rows are drawn: balanced draws every class equally often, with replacement. "
        "The epoch and the penalty are still chosen by the head's unweighted metric on validation.",
        choices=("none", "balanced"),
    )
    norm: str = flag(
        "auto",
        "What the method does with the batch norms that it trains: train; frozen, which keeps "
        "statistics and weights; or recalibrate, which trains and then computes the statistics "
        "again over the training split.",
        choices=("auto", "train", "frozen", "recalibrate"),
    )
    ema_decay: float = flag(
        0.0,
        "Keeps the moving average of the weights, with this decay per step; 0 keeps none. The "
        "average starts at the first step's weights, which keep a share of decay^steps; batch-norm"
        " statistics are not averaged.",
        least=0.0,
        below=1.0,
    )
    early_stopping_epochs: int = flag(
        0,
        "Stops after this many epochs without a better validation result; 0 never stops early.",
        least=0,
    )
    stop_when_learned: bool = flag(
        False,
        "Ends the training when its rows are learned: the mean training loss of two epochs in a row is below 1% "
        "of that of a model that knows nothing, and validation, where it chooses the epoch, does not get better. "
        "It saves time with few labels and can cost accuracy, since the learning rate has not come down yet.",
    )
    watch_test: bool = flag(
        False,
        "Also measures the test split after every epoch, for the curves; it is not used for any "
        "choice.",
    )
    metric: str = flag(
        "auto",
        "What the best epoch, early stopping and the choices of a method are judged by on validation: "
        "auto is the head's own metric (accuracy for classes); macro_f1 counts every class the same, "
        "however rare it is; loss is the validation loss. target_entropy, target_information and "
        "target_risk look at rows without labels, of --target_data or --unlabelled_data: how sure answers "
        "to them are; how sure and how evenly spread over the classes; and the validation loss, weighed "
        "by how much each row is like them. The penalty of a head that is solved for "
        "is always chosen by accuracy.",
        choices=("auto", "loss", "macro_f1", "target_entropy", "target_information", "target_risk"),
    )
    keep: str = flag(
        "auto",
        "The weights that the run ends with; auto is the best by validation, or the last where "
        "there is no validation split, or where solver=light is for few rows.",
        choices=("auto", "best", "last"),
    )
    calibrate: str = flag(
        "auto",
        "How probabilities are made believable after the training: temperature divides the model's "
        "logits by a number, or by one per label, that is fitted on the validation split; answers "
        "stay the same. auto does so where there are 100 validation rows or more and "
        "cross-validation over them finds a lower loss; none leaves probabilities as they are.",
        choices=("auto", "temperature", "none"),
    )
    abstain: str = flag(
        "none",
        "When the model says that it is not sure of a class, with a threshold that is chosen on the "
        "validation split, such as 'coverage(.9)', 'accuracy(.95)' or 'conformal(.1)'; none answers "
        "every row. See --list=abstentions.",
    )
