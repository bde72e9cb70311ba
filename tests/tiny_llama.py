"""A GGUF file of a tiny Llama, and Llama in numpy, both written from the descriptions of the formats and of the network.

GGUF: ggml's docs/gguf.md. Blocks of 4 and 8 bits: ggml-common.h and ggml-quants.c. Llama: Touvron et al. 2023,
arXiv:2302.13971, section 2.2; rotary positions: Su et al. 2021, arXiv:2104.09864, equation 34, which pairs
neighbours, as llama.cpp's files have them; grouped queries: Ainslie et al. 2023, arXiv:2305.13245.
"""

import struct

import numpy as np

from tltf.backbones.byte_tokenizer import byte_letters

MERGES = "h e|Ġ t|Ġt he|i l|i s|Ġ is|f il|fil m|Ġ film|g o|o d|go od|Ġ good|a d|b ad|Ġ bad|' t|n o|no t|Ġ not"
CONFIG = {
    "vocabulary_size": 1 + 256 + len(MERGES.split("|")),
    "num_layers": 2,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    "hidden_dim": 32,
    "intermediate_dim": 64,
    "rope_max_wavelength": 100,
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
}


def merges():
    return MERGES.split("|")


def tokens():
    return ["<|endoftext|>", *byte_letters(), *(merge.replace(" ", "") for merge in merges())]


def _blocks(rng, shape, kind):
    """`(bytes, float64 of the shape)` of random blocks, decoded number by number."""
    raw, numbers = b"", []
    count = int(np.prod(shape))
    if kind == 0:
        values = (1 + 0.1 * rng.normal(size=count)).astype("<f4")
        return values.tobytes(), values.astype("float64").reshape(shape)
    for _ in range(count // 32):
        scale = np.float16(rng.uniform(0.005, 0.02))
        if kind == 8:
            levels = rng.integers(-127, 128, 32)
            raw += struct.pack("<e32b", scale, *levels.tolist())
            numbers += [float(scale) * int(level) for level in levels]
        else:
            least = np.float16(-8 * scale)
            levels = rng.integers(0, 16, 32).tolist()
            packed = [levels[n] | levels[n + 16] << 4 for n in range(16)]
            raw += struct.pack("<ee16B", scale, least, *packed)
            numbers += [float(scale) * level + float(least) for level in levels]
    return raw, np.array(numbers).reshape(shape)


def _shapes():
    width, inner = CONFIG["hidden_dim"], CONFIG["intermediate_dim"]
    groups = width // CONFIG["num_query_heads"] * CONFIG["num_key_value_heads"]
    found = {"token_embd.weight": ((CONFIG["vocabulary_size"], width), 8)}
    block = {
        "attn_norm": ((width,), 0),
        "attn_q": ((width, width), 3),
        "attn_k": ((groups, width), 3),
        "attn_v": ((groups, width), 3),
        "attn_output": ((width, width), 3),
        "ffn_norm": ((width,), 0),
        "ffn_gate": ((inner, width), 3),
        "ffn_up": ((inner, width), 3),
        "ffn_down": ((width, inner), 3),
    }
    for number in range(CONFIG["num_layers"]):
        found |= {f"blk.{number}.{name}.weight": given for name, given in block.items()}
    return found | {"output_norm.weight": ((width,), 0)}


def _text(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _texts(texts):
    return struct.pack("<IIQ", 9, 8, len(texts)) + b"".join(map(_text, texts))


def write(path, seed=0):
    """Writes the file; gives name -> float64 array of its tensors."""
    rng, arrays, infos, content = np.random.default_rng(seed), {}, b"", b""
    for name, (shape, kind) in _shapes().items():
        raw, arrays[name] = _blocks(rng, shape, kind)
        content += b"\0" * (-len(content) % 32)
        infos += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        infos += struct.pack("<IQ", kind, len(content))
        content += raw
    keys = _text("general.architecture") + struct.pack("<I", 8) + _text("llama")
    keys += _text("llama.rope.freq_base") + struct.pack("<If", 6, 100.0)
    keys += _text("tokenizer.ggml.tokens") + _texts(tokens())
    keys += _text("tokenizer.ggml.merges") + _texts(merges())
    head = b"GGUF" + struct.pack("<IQQ", 3, len(arrays), 4) + keys + infos
    path.write_bytes(head + b"\0" * (-len(head) % 32) + content)
    return arrays


def _norm(x, scale, config):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + config["layer_norm_epsilon"]) * scale


def _rotated(x, config):
    """float64[L, heads, d], in which the pair (2i, 2i + 1) at place m is turned by m b^(-2i / d)."""
    length, _, width = x.shape
    angles = np.outer(
        np.arange(length), config["rope_max_wavelength"] ** (-np.arange(0, width, 2) / width)
    )[:, None]
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = np.empty_like(x)
    turned[..., 0::2] = even * np.cos(angles) - odd * np.sin(angles)
    turned[..., 1::2] = even * np.sin(angles) + odd * np.cos(angles)
    return turned


def states(ids, arrays, config=None):
    """float64[L, d]: what Llama gives for one text without padding, by the names of llama.cpp."""
    config = config or CONFIG
    heads, groups = config["num_query_heads"], config["num_key_value_heads"]
    x = arrays["token_embd.weight"][ids].astype("float64")
    for number in range(config["num_layers"]):
        w = lambda name, at=f"blk.{number}.": arrays[f"{at}{name}.weight"]  # noqa: E731
        y = _norm(x, w("attn_norm"), config)
        q = _rotated((y @ w("attn_q").T).reshape(len(ids), heads, -1), config)
        k = _rotated((y @ w("attn_k").T).reshape(len(ids), groups, -1), config)
        v = (y @ w("attn_v").T).reshape(len(ids), groups, -1)
        mixed = np.zeros_like(q)
        for place in range(len(ids)):
            for head in range(heads):
                group = head // (heads // groups)
                scores = k[: place + 1, group] @ q[place, head] / np.sqrt(q.shape[-1])
                share = np.exp(scores - scores.max())
                mixed[place, head] = share / share.sum() @ v[: place + 1, group]
        x = x + mixed.reshape(len(ids), -1) @ w("attn_output").T
        y = _norm(x, w("ffn_norm"), config)
        gate = y @ w("ffn_gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w("ffn_up").T)) @ w("ffn_down").T
    return _norm(x, arrays["output_norm.weight"], config)
