"""Single files that a stranger could have made: code, paths, links, bombs and damage.

Each function writes one file or folder. Code would make the folder `canary` beside the folder of
the case, where `secret.h5` and `secret.txt` lie, whose words must not be seen again.
"""

import io
import json
import os
import pickle
import stat
import struct
import zipfile

import h5py
import keras
import numpy as np
import safetensors.numpy
from safetensors.numpy import save_file

SECRET = "open sesame 7301"
ABSOLUTE = "/tmp/tltf_canary"
BACKBONE = "small_cnn(filters=[4])"
"""What the weights are for: conv_1/kernel (3, 3, 1, 4) and conv_1/bias (4,)."""
FITTING = {"conv_1/kernel": np.ones((3, 3, 1, 4), "f4"), "conv_1/bias": np.ones(4, "f4")}


def surroundings(folder):
    """Puts the secrets beside a case's folder."""
    (folder.parent / "secret.txt").write_text(SECRET)
    with h5py.File(folder.parent / "secret.h5", "w") as file:
        file["data"] = np.frombuffer(SECRET.encode(), "u1")
    os.makedirs(folder, exist_ok=True)


def canary(folder):
    return folder.parent / "canary"


class Code:
    """Makes the canary when it is unpickled."""

    def __init__(self, folder):
        self.path = str(canary(folder))

    def __reduce__(self):
        return os.mkdir, (self.path,)


def planted(*_, path):
    """What a run.flags may name as its data, split or head."""
    os.mkdir(path)


PLANTED = f"{__name__}:planted(path={{canary}})"


# Keras's own files


def functional(layers, path):
    """Saves a model whose config.json has `layers` in place of its Dense layer."""
    inputs = keras.Input((4,), name="in")
    keras.Model(inputs, keras.layers.Dense(2, name="middle")(inputs)).save(path)
    members = zip_members(path)
    config = json.loads(members["config.json"])
    dense = config["config"]["layers"][1]
    config["config"]["layers"][1] = {**dense, **layers, "name": "middle"}
    write_zip(path, members | {"config.json": json.dumps(config)})


def zip_members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)


def lambda_layer(path):
    place = str(canary(path.parent))
    inputs = keras.Input((4,))
    code = keras.layers.Lambda(lambda x: [__import__("os").makedirs(place, exist_ok=True), x][1])
    keras.Model(inputs, code(inputs)).save(path)
    os.rmdir(place)


def layer(class_name, config, module="keras.layers", registered=None):
    """A writer of a model with a layer of this configuration."""

    def write(path):
        filled = json.loads(
            json.dumps(config)
            .replace("CANARY", str(canary(path.parent)))
            .replace("SECRET", str(path.parent.parent / "secret.txt"))
        )
        functional(
            {
                "class_name": class_name,
                "config": filled,
                "module": module,
                "registered_name": registered,
            },
            path,
        )

    return write


def function(module, name, registered=None):
    """A writer of a model whose activation is a function from anywhere."""
    value = {
        "class_name": "function",
        "config": name,
        "module": module,
        "registered_name": registered or name,
    }
    return layer("Dense", {"units": 2, "name": "middle", "activation": value})


def members(change, compression=zipfile.ZIP_STORED):
    """A writer of a saved model with other members: name -> bytes of the old and new ones."""

    def write(path):
        inputs = keras.Input((4,))
        keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(path)
        write_zip(path, change(zip_members(path)), compression)

    return write


def linked(path):
    members(dict)(path)
    info = zipfile.ZipInfo("assets/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(info, str(path.parent.parent / "secret.txt"))


def twice(path):
    members(dict)(path)
    with zipfile.ZipFile(path, "a") as file, np.testing.suppress_warnings() as quiet:
        quiet.filter(UserWarning)
        file.writestr("config.json", '{"class_name": "Lambda"}')


# pickles and arrays


def pickled(path):
    path.write_bytes(pickle.dumps({"conv_1/kernel": Code(path.parent)}))


def torch_zip(path):
    """As torch.save writes since 1.6: a zip with a pickle inside."""
    write_zip(path, {"a/data.pkl": pickle.dumps(Code(path.parent), 2), "a/version": "3\n"})


def torch_legacy(path):
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, Code(path.parent), []]
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))


def objects(path):
    array = np.array([Code(path.parent)], dtype=object)
    with open(path, "wb") as file:
        np.save(file, array) if path.suffix == ".npy" else np.savez(file, kernel=array)


def npz_bomb(path):
    np.savez_compressed(path, kernel=np.zeros(1 << 23))


# safetensors


def tensor(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def header(content, data=b"", size=None):
    """A writer of a safetensors file with this header, which says it is `size` bytes long."""

    def write(path):
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        promised = len(text) if size is None else size
        path.write_bytes(struct.pack("<Q", promised) + text + data)

    return write


def tensors(**changes):
    """A writer of the fitting weights with other arrays; None leaves one out."""

    def write(path):
        named = FITTING | {key.replace("__", "/"): value for key, value in changes.items()}
        save_file({key: value for key, value in named.items() if value is not None}, path)

    return write


def damaged(change):
    """A writer of the fitting weights with changed bytes."""

    def write(path):
        path.write_bytes(change(bytearray(safetensors.numpy.save(FITTING))))

    return write


def flipped(content, place):
    content[place] ^= 1
    return content


TWICE = (
    b'{"conv_1/bias":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
    b'"conv_1/bias":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
)


# HDF5


def by_layer(path):
    """The fitting weights in the older format, by layer; gives the open file."""
    file = h5py.File(path, "w")
    file.attrs["layer_names"] = [b"conv_1"]
    group = file.create_group("conv_1")
    group.attrs["weight_names"] = [b"kernel", b"bias"]
    group["kernel"], group["bias"] = FITTING["conv_1/kernel"], FITTING["conv_1/bias"]
    return file


def hdf5(change):
    """A writer of the fitting weights after `change(file, path)`."""

    def write(path):
        with by_layer(path) as file:
            change(file, path)

    return write


def replaced(file, make):
    """Puts what `make(group)` makes of the name `bias` in the place of the bias."""
    del file["conv_1/bias"]
    make(file["conv_1"])


def external_link(file, path):
    other = str(path.parent.parent / "secret.h5")
    replaced(file, lambda group: group.__setitem__("bias", h5py.ExternalLink(other, "data")))


def soft_link(file, path):
    replaced(file, lambda group: group.__setitem__("bias", h5py.SoftLink("/conv_1/kernel")))


def external_storage(file, path):
    parts = [(str(path.parent.parent / "secret.txt"), 0, 16)]
    replaced(file, lambda group: group.create_dataset("bias", (4,), "f4", external=parts))


def virtual(file, path):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(path.parent.parent / "secret.h5"), "data", (16,))[:4]
    replaced(file, lambda group: group.create_virtual_dataset("bias", layout))


def huge(file, path):
    shape = (1 << 20, 1 << 16)
    replaced(file, lambda group: group.create_dataset("bias", shape, "f4", chunks=(1, 1 << 16)))


def large_part(file, path):
    """Four numbers inside of one compressed part of 1 GB: reading them unpacks all of it."""
    replaced(
        file,
        lambda group: group.create_dataset("bias", (4,), "f4", chunks=(1 << 28,), maxshape=(None,)),
    )


def of_texts(file, path):
    kind = h5py.string_dtype()
    replaced(file, lambda group: group.create_dataset("bias", data=["a"] * 4, dtype=kind))


def of_pairs(file, path):
    pairs = np.zeros(4, [("a", "f4"), ("b", "f4")])
    replaced(file, lambda group: group.create_dataset("bias", data=pairs))


def whole_numbers(file, path):
    replaced(file, lambda group: group.create_dataset("bias", data=np.ones(4, "i8")))


def a_group(file, path):
    replaced(file, lambda group: group.create_group("bias"))


def circle(file, path):
    file["conv_1/more"] = file["/"]


def tree(file, path):
    """60 groups, each twice in the next: 2^60 ways to the last."""
    group = file.create_group("more")
    for _ in range(60):
        inner = group.create_group("a")
        group["b"] = inner
        group = inner


def lost_layer(file, path):
    file.attrs["layer_names"] = [b"../../conv_1", b"conv_9"]


def lost_weights(file, path):
    file["conv_1"].attrs["weight_names"] = [b"none", b"bias"]


def numbers_as_names(file, path):
    file.attrs["layer_names"] = np.arange(3)


def corrupt_part(path):
    """Compressed data of which a byte is another one."""
    with by_layer(path) as file:
        del file["conv_1/kernel"]
        values = np.random.default_rng(0).random((3, 3, 1, 4), "f4")
        made = file["conv_1"].create_dataset(
            "kernel", data=values, chunks=(3, 3, 1, 4), compression="gzip", fletcher32=True
        )
        place = made.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 9] ^= 1
    path.write_bytes(content)


def whole_model(path):
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(path)


def keras_weights(change):
    """A writer of `.weights.h5` as Keras writes it for this very network, then changed."""

    def write(path):
        pixels = keras.Input((28, 28, 1))
        keras.Model(pixels, keras.layers.Conv2D(4, 3, name="conv_1")(pixels)).save_weights(path)
        with h5py.File(path, "r+") as file:
            change(file, path)

    return write


def text_for_bias(file, path):
    del file["layers/conv2d/vars/1"]
    file["layers/conv2d/vars"].create_dataset("1", data=["a"] * 4, dtype=h5py.string_dtype())


# arrays of checkpoints and of data


def npz(arrays, compression=zipfile.ZIP_STORED):
    """Bytes of an .npz file of name -> bytes of its member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as opened:
        for name, content in arrays.items():
            opened.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(array=None, shape=None):
    """Bytes of an .npy file; with `shape`, of one whose header promises that much."""
    file = io.BytesIO()
    if shape is None:
        np.save(file, array)
        return file.getvalue()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    return file.getvalue() + bytes(64)
