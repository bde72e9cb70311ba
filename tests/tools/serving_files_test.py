"""The files in tools/serving are read by their formats' own readers, and agree with each other."""

import pathlib
import re
import subprocess

import pytest

yaml = pytest.importorskip("yaml")
text_format = pytest.importorskip("google.protobuf.text_format")
pytest.importorskip("tensorflow_serving")

from google.protobuf import (  # noqa: E402
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    wrappers_pb2,
)

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tools" / "serving"
WHOLE_NUMBERS = {
    "max_batch_size": 1,
    "batch_timeout_micros": 2,
    "max_enqueued_batches": 3,
    "num_batch_threads": 4,
}
"""The fields of BatchingParameters that hold a google.protobuf.Int64Value, with their numbers."""


def text(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def documents(name):
    return list(yaml.safe_load_all(text(name)))


def batching_parameters():
    """The message of session_bundle_config.proto, which the package of the API does not have."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto", package="tltf", syntax="proto3"
    )
    file.dependency.append("google/protobuf/wrappers.proto")
    message = file.message_type.add(name="BatchingParameters")
    for name, number in WHOLE_NUMBERS.items():
        kind = {"type": field.TYPE_MESSAGE, "type_name": ".google.protobuf.Int64Value"}
        message.field.add(name=name, number=number, label=field.LABEL_OPTIONAL, **kind)
    message.field.add(
        name="allowed_batch_sizes", number=6, type=field.TYPE_INT64, label=field.LABEL_REPEATED
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tltf.BatchingParameters"))


def test_the_models():
    from tensorflow_serving.config import model_server_config_pb2

    parsed = text_format.Parse(text("models.config"), model_server_config_pb2.ModelServerConfig())
    (model,) = parsed.model_config_list.config
    assert model.base_path == f"/models/{model.name}" and model.model_platform == "tensorflow"
    assert model.model_version_policy.latest.num_versions == 2


def test_the_batches_have_the_sizes_that_exports_warm_up():
    from tltf.config.catalogs import FORMATS

    parsed = text_format.Parse(text("batching.config"), batching_parameters()())
    sizes = list(parsed.allowed_batch_sizes)
    assert sizes == sorted(sizes) and sizes[-1] == parsed.max_batch_size.value
    assert tuple(sizes) == FORMATS["saved_model"].args["warmup_batches"]
    assert all(getattr(parsed, name).value > 0 for name in WHOLE_NUMBERS)


def test_the_monitoring():
    from ovmsclient.tfs_compat.protos.tensorflow_serving.config import monitoring_config_pb2

    parsed = text_format.Parse(text("monitoring.config"), monitoring_config_pb2.MonitoringConfig())
    assert parsed.prometheus_config.enable
    jobs = {j["job_name"]: j for j in documents("prometheus.yaml")[0]["scrape_configs"]}
    assert jobs["tensorflow_serving"]["metrics_path"] == parsed.prometheus_config.path


def test_compose_mounts_what_its_flags_name():
    (compose,) = documents("compose.yaml")
    model = compose["services"]["model"]
    flags = dict(flag.removeprefix("--").split("=") for flag in model["command"])
    mounted = {part.rsplit(":", 2)[1]: part.rsplit(":", 2)[0] for part in model["volumes"]}
    for name, value in flags.items():
        if value.startswith("/config/"):
            assert name.endswith("_file") and mounted[value] == f"./{pathlib.Path(value).name}"
    for service in compose["services"].values():
        for part in service["volumes"]:
            if part.startswith("./"):
                assert (FOLDER / part.split(":")[0]).is_file()
    assert model["healthcheck"]["test"][-3:] == ["127.0.0.1", "8501", "mine"]
    assert "/models/mine" in mounted and "/models/mine" in text("models.config")


def test_kubernetes_names_and_ports_agree():
    deployment, service, scaler = documents("kubernetes.yaml")
    name, pod = deployment["metadata"]["name"], deployment["spec"]["template"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {p["targetPort"] for p in service["spec"]["ports"]} == set(ports)
    assert f"--rest_api_port={ports['rest']}" in container["args"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["spec"]["volumes"]
    }
    target = scaler["spec"]["scaleTargetRef"]
    assert scaler["apiVersion"] == "autoscaling/v2"
    assert (target["kind"], target["name"]) == ("Deployment", name)
    assert 1 < scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]
    assert container["resources"]["requests"]["cpu"], "the scaler's share is of what is asked for"


def test_alerts_name_figures_that_there_are():
    from tltf.serving.server.metrics import Metrics

    metrics = Metrics("mine", 1)
    metrics.request("predict", 200, 0.1)
    ours = metrics.text().decode()
    (rules,) = documents("alerts.yaml")
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len({alert["alert"] for alert in alerts}) == len(alerts) == 7
    jobs = {j["job_name"] for j in documents("prometheus.yaml")[0]["scrape_configs"]}
    for alert in alerts:
        assert alert["expr"].count("(") == alert["expr"].count(")") and alert["for"]
        assert set(re.findall(r'job="(\w+)"', alert["expr"])) <= jobs
        for name in re.findall(r"\btltf_\w+(?=[{\[])", alert["expr"]):
            assert f"\n{name}{{" in ours or f"\n{name} " in ours, name


def test_the_probe_tells_a_model_that_is_ready(loaded_server):
    host, port = loaded_server.split(":")
    probe = ["bash", str(FOLDER / "probe.sh"), host]
    assert subprocess.run([*probe, port, "reviews"], check=False).returncode == 0
    assert subprocess.run([*probe, port, "other"], check=False).returncode == 1
    assert subprocess.run([*probe, "9", "reviews"], check=False).returncode == 1


@pytest.fixture
def loaded_server():
    """A server whose model is never computed."""
    pytest.importorskip("uvicorn")
    import types

    from tltf.config import options
    from tltf.config.command_options import ServeOptions
    from tltf.serving.server import exported_model, running

    version = exported_model.LoadedVersion(1, FOLDER, types.SimpleNamespace(signatures={}))
    model = exported_model.ServedModel("reviews", {1: version})
    with running.EmbeddedServer(model, options.make(ServeOptions, port=0)) as server:
        yield server.address
