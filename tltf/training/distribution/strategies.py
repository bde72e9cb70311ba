"""Sets devices, precision and seeds, which must come before anything is built."""

import functools
import platform

import keras
import tensorflow as tf

from tltf.config.option_groups import RuntimeOptions
from tltf.errors import FlagError
from tltf.runs import versions as packages


def start(options: RuntimeOptions) -> tf.distribute.Strategy:
    """Sets seeds, precision and devices, and returns the distribution strategy.

    --precision=auto is float32 here, until `precision_choice` knows the network.

    The strategy of a kind is made once per process: a second MirroredStrategy beside a first
    one aborts in the collectives.

    Args:
        options: RuntimeOptions.

    Returns:
        tf.distribute.Strategy; for one device the default strategy, which costs no time.

    Raises:
        FlagError: the devices are not there.
    """
    if options.logical_devices > 1:
        split_cpu(options.logical_devices)
    is_cpu = options.strategy != "tpu" and not tf.config.list_physical_devices("GPU")
    is_fixed = options.deterministic == "on" or (options.deterministic == "auto" and is_cpu)
    if is_fixed:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy("float32" if options.precision == "auto" else options.precision)
    kind = options.strategy
    if kind == "auto":
        kind = "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "one_device"
    strategy = _STRATEGIES[kind]()
    if is_fixed:  # KerasCV's layers need it, and TensorFlow does not make it then
        tf.random.set_global_generator(tf.random.Generator.from_seed(options.seed))
    return strategy


def split_cpu(num_devices: int) -> None:
    """Splits the CPU into logical devices, which must be done before TensorFlow's first operation.

    Raises:
        FlagError: TensorFlow already uses the CPU as another number of devices.
    """
    cpus = tf.config.list_physical_devices("CPU")
    wanted = [tf.config.LogicalDeviceConfiguration()] * num_devices
    try:
        tf.config.set_logical_device_configuration(cpus[0], wanted)
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != num_devices:
            what = "the devices are already in use and can no longer be split"
            raise FlagError(what, flag="logical_devices", fix="set it in a new process") from error


@functools.cache
def _mirrored() -> tf.distribute.Strategy:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@functools.cache
def _multi_worker() -> tf.distribute.Strategy:
    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _tpu() -> tf.distribute.Strategy:
    """The strategy of the TPU that the environment names, else of the one in this machine."""
    resolvers = tf.distribute.cluster_resolver.TPUClusterResolver
    try:
        try:
            resolver = resolvers.connect()
        except ValueError:  # nothing names a TPU, as on Colab, where it is in the machine
            resolver = resolvers.connect("local")
    except (ValueError, tf.errors.NotFoundError) as error:
        raise FlagError("no TPU is reachable", flag="strategy", fix="--strategy=auto") from error
    return tf.distribute.TPUStrategy(resolver)


_STRATEGIES = {
    "one_device": tf.distribute.get_strategy,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
    "tpu": _tpu,
}


def gpu_names() -> list[str]:
    """The names of the graphics processors that TensorFlow sees."""
    gpus = tf.config.list_physical_devices("GPU")
    details = map(tf.config.experimental.get_device_details, gpus)
    return [str(found.get("device_name", "unknown GPU")) for found in details]


def peak_gpu_bytes() -> int | None:
    """The most memory in use on the first graphics processor so far; None without one."""
    if not tf.config.list_logical_devices("GPU"):
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def versions() -> dict[str, str]:
    """Name -> version of Python and of the packages that a run depends on."""
    names = ("tltf", "tensorflow", "keras", "keras-hub", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **packages.installed_versions(names)}
