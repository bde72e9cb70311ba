"""The table of backbones says what somebody behind a firewall needs to know."""

from tltf.config.defaults import BACKBONES
from tltf.console import catalog_text


def rows_of(text):
    lines = [line for line in text.splitlines() if line[:4] in ("    ", "  * ") and line[4:]]
    return {line[4:].split()[0]: line for line in lines}


def test_backbones_are_listed_by_what_they_take(own_cache):
    text = catalog_text.list_text("backbones")
    images, texts = text.split("for texts")
    assert "resnet50 " in images and "minilm_l6" in texts and "resnet50 " not in texts
    rows = rows_of(images)
    assert "23.6M" in rows["resnet50"] and "94 MB" in rows["resnet50"]
    assert "fetched" in rows_of(texts)["minilm_l6"] and "84 MB" in rows_of(texts)["minilm_l6"]
    assert "random" in rows["small_cnn"]
    marked = [line.split()[1] for line in text.splitlines() if line.startswith("  * ")]
    assert set(BACKBONES.values()) <= set(marked)
    for also in ("hub:PRESET", "Hugging Face", "finished tltf run"):
        assert also in text


def test_weights_that_were_fetched_are_here(own_cache):
    (own_cache.parent / "assets" / "minilm_l6").mkdir(parents=True)
    assert "  here  " in rows_of(catalog_text.list_text("backbones"))["minilm_l6"]
