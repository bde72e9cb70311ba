"""The tables of the bench of engines, and the place where it puts an engine into tltf."""

import importlib
import re

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.caching.feature_cache_test import all_rows, cut, expected, images_source, reading
from tests.tools.bench_transfer_test import TOOLS
from tltf.caching import feature_cache, frozen_outputs
from tltf.config import flagfiles, options
from tltf.config.option_groups import CacheOptions


@pytest.fixture(name="bench")
def _bench(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("bench_engines")


@pytest.fixture(name="sides")
def _sides(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("engine_sides")


def test_passes_are_compared_in_pairs_with_both_formats_of_tensorflow(bench):
    differences = {"max_abs": 0.5, "relative": 0.25, "min_cosine": 0.75}
    seconds = {
        bench.RIVALS[0]: [[8, 16], [30, 12], [4, 8]],
        bench.RIVALS[1]: [[4, 8], [5, 4], [2, 2]],
        "other": [[2, 4], [3, 2], [4, 4]],
    }
    rows = {
        name: {"rows": 12, "seconds": pairs, "start_cpu_s": 1.5, **differences}
        for name, pairs in seconds.items()
    }
    line = bench.pass_lines("network", rows)[2]
    assert dict(zip(bench.PASS_HEADER, line, strict=True)) == {
        "network": "network",
        "engine": "other",
        "rows per s (per CPU s)": "4 (3)",
        "wall, times TensorFlow float32": "4.00 (1.00 to 10.00)",
        "CPU, times TensorFlow float32": "4.00 (2.00 to 6.00)",
        "CPU, times TensorFlow bfloat16": "2.00 (0.50 to 2.00)",
        "start, CPU s": "1.5",
        "largest difference": "0.5",
        "relative": "0.25",
        "least cosine": "0.75000",
    }


def test_runs_are_compared_in_pairs_with_both_formats_of_tensorflow(bench):
    def runs(*pairs):
        return [
            {"seconds": wall, "cpu_s": cpu, "accuracy": 0.5, "peak_mb": 1000.0}
            for wall, cpu in pairs
        ]

    rows = {
        bench.RIVALS[0]: runs((8, 16), (30, 12)),
        bench.RIVALS[1]: runs((4, 8), (6, 4)),
        "other": runs((2, 4), (3, 2)),
    }
    line = bench.run_lines("network", 100, rows)[2]
    assert line[:4] == ["network", "100", "other", "7.00 (4.00 to 10.00)"]
    assert line[4:7] == ["5.00 (4.00 to 6.00)", "2.00 (2.00 to 2.00)", "2.00 (2.00 to 2.00)"]
    assert line[7:] == ["2.5", "3", "0.5000", "1000"]
    assert len(line) == len(bench.RUN_HEADER)


def test_flags_are_those_of_tltf_and_give_so_many_rows(bench):
    for network in bench.NETWORKS.values():
        chosen, _ = flagfiles.parse(options.Options, network.flags_for("/a folder", 990))
        assert chosen.train.method == "linear_probe(solver=lbfgs)"
        counts = map(int, re.findall(r"num_\w+=(\d+)", chosen.data.data))
        assert (chosen.data.limit or sum(counts)) == 990


def test_a_processor_is_told_with_the_flags_that_matter(bench, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor : 0\nmodel name\t: A Chip\nflags\t\t: fpu amx_bf16 avx2 avx512vl\n")
    assert bench.processor_text(path).startswith("A Chip, ")
    assert bench.processor_text(path).endswith(" cores, avx2 amx_bf16")
    assert bench.processor_text(tmp_path / "missing").startswith("unknown processor, ")


class Doubling:
    """An engine whose outputs are twice those of the prefix, with the batches backwards."""

    made = 0

    def __init__(self, prefix, fields, specs, number_format):
        self.prefix, self.names = prefix, [field.name for field in fields]
        Doubling.made += 1

    def outputs(self, batches):
        for inputs, numbers in reversed(list(batches)):
            given = self.prefix(inputs, training=False)
            yield {name: 2 * given[name].numpy() for name in self.names}, numbers


@pytest.fixture(name="core")
def _core():
    return tiny.core(tiny.image_backbone(dropout=0.3))


def test_rows_are_those_of_the_engine_and_kept_apart(sides, core, monkeypatch, tmp_path):
    source, parts = images_source(), cut(core)
    plain = feature_cache.Cache(CacheOptions(), tmp_path).table(parts.prefix, reading(core, source))
    for kind, name in ((frozen_outputs.Outputs, "_inputs"), (frozen_outputs.Outputs, "namespace")):
        monkeypatch.setattr(kind, name, getattr(kind, name))  # is put back after the test
    monkeypatch.setattr(frozen_outputs, "_traced", frozen_outputs._traced)
    monkeypatch.setattr(frozen_outputs, "BATCH_SIZE", 16)
    monkeypatch.setattr(sides, "OpenVino", Doubling)
    sides.compute_by_openvino("bf16")
    cache = feature_cache.Cache(CacheOptions(), tmp_path)
    found = all_rows(cache.table(parts.prefix, reading(core, source)))
    other = images_source(seed=1)
    also = all_rows(cache.table(parts.prefix, reading(core, other)))
    for name, array in expected(core, parts, source).items():
        np.testing.assert_allclose(all_rows(plain)[name], array, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[name], 2 * array, rtol=1e-5, atol=1e-5)
    for name, array in expected(core, parts, other).items():
        np.testing.assert_allclose(also[name], 2 * array, rtol=1e-5, atol=1e-5)
    assert Doubling.made == 1


def test_openvino_gives_the_outputs_of_the_prefix(sides, core):
    pytest.importorskip("openvino")
    prefix = cut(core).prefix
    fields = frozen_outputs.fields_of(prefix, "float32")
    pixels = images_source().column.values.astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices(({"image": pixels}, np.arange(50))).batch(16)
    engine = sides.OpenVino(prefix, fields, dataset.element_spec[0], "f32")
    parts = [(arrays[fields[0].name], rows.numpy()) for arrays, rows in engine.outputs(dataset)]
    order = np.argsort(np.concatenate([rows for _, rows in parts]))
    found = np.concatenate([array for array, _ in parts])[order]
    wanted = prefix({"image": pixels}, training=False)[fields[0].name].numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_differences_are_those_of_the_rows(sides):
    exact = np.array([[3.0, 4.0], [0.0, 2.0]])
    found = sides.differences(np.array([[3.0, 4.0], [2.0, 0.0]]), exact)
    assert found["max_abs"] == 2
    assert found["relative"] == pytest.approx(np.sqrt(8 / 29))
    assert found["min_cosine"] == 0
