import dataclasses
import pathlib

import pytest

from tltf.config import flagfiles
from tltf.config.command_options import ExportOptions, PredictOptions
from tltf.config.options import Options, make
from tltf.errors import FlagError


def parse(*argv):
    return flagfiles.parse(Options, argv)


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_way_to_write_a_flag():
    options, console = parse(
        "--batch_size=8",
        "-seed",
        "3",
        "--train_epochs",
        "2",
        "--overwrite",
        "--noexport",
        "--learning_rate=auto",
        "--data=csv(path=a b.csv)",
        "--debug",
    )
    assert (options.train.batch_size, options.runtime.seed, options.train.train_epochs) == (8, 3, 2)
    assert options.output.overwrite and not options.output.export
    assert options.train.learning_rate is None and options.data.data == "csv(path=a b.csv)"
    assert console == {"debug": True}


def test_later_flags_win_over_a_flagfile(tmp_path):
    path = write(tmp_path, "a.flags", "--seed=1\n--batch_size=4\n")
    options, _ = parse(f"--flagfile={path}", "--seed=2")
    assert options.runtime.seed == 2 and options.train.batch_size == 4
    options, _ = parse("--seed=2", "--flagfile", str(path))
    assert options.runtime.seed == 1


def test_comments_blank_lines_quotes_and_marks_of_encoding(tmp_path):
    text = "\ufeff# first\n\n  # indented\n  --data=csv(path='a#b.csv')  \n--nooverwrite\n"
    options, _ = parse(f"--flagfile={write(tmp_path, 'a.flags', text)}")
    assert options.data.data == "csv(path='a#b.csv')" and not options.output.overwrite


def test_a_nested_path_is_relative_to_the_including_file(tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    write(tmp_path / "base", "b.flags", "--seed=5\n")
    path = write(tmp_path, "a.flags", "--flagfile=base/b.flags\n--batch_size=4\n")
    monkeypatch.chdir(tmp_path.parent)
    assert parse(f"--flagfile={path}")[0].runtime.seed == 5


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("--seed=1\n--bacth_size=4\n", r"a\.flags:2: there is no flag --bacth_size.*batch_size"),
        ("--batch_size=four\n", r"a\.flags:1 --batch_size: takes a whole number \(received four\)"),
        ("--batch_size=0\n", r"a\.flags:1 --batch_size: takes a number >= 1"),
        ("--batch_size\n", r"a\.flags:1 --batch_size: needs a value"),
        ("batch_size=4\n", "is not a flag"),
        ("--flagfile=a.flags\n", "pulls itself in"),
        ("--flagfile=no.flags\n", "No such file"),
    ],
)
def test_errors_name_file_and_line(tmp_path, text, match):
    with pytest.raises(FlagError, match=match):
        parse(f"--flagfile={write(tmp_path, 'a.flags', text)}")


def test_a_missing_flagfile_suggests_its_neighbour(tmp_path):
    write(tmp_path, "vader_full.flags", "")
    with pytest.raises(FlagError, match=r"fix: --flagfile=.*vader_full\.flags"):
        parse(f"--flagfile={tmp_path / 'vader_ful.flags'}")


def test_a_flagfile_of_tltf_is_found_in_any_folder_and_pulls_in_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options, _ = parse("--flagfile=configs/vader_minilm_l6_full.flags", "--seed=4")
    assert options.model.backbone == "minilm_l6" and options.runtime.seed == 4
    assert options.data.data.startswith("vader("), "configs/base/vader.flags"
    path = write(tmp_path, "mine.flags", "--flagfile=configs/base/vader.flags\n--seed=6\n")
    monkeypatch.chdir(tmp_path.parent)
    options, _ = parse(f"--flagfile={path}")
    assert options.data.data.startswith("vader(") and options.runtime.seed == 6


def test_a_file_of_the_users_comes_before_one_of_tltf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    write(tmp_path / "configs", "quickstart.flags", "--seed=9\n")
    options, _ = parse("--flagfile=configs/quickstart.flags")
    assert options.runtime.seed == 9 and not options.data.data
    (tmp_path / "configs" / "vgg16_frozen_dense256.flags").symlink_to("nowhere")
    with pytest.raises(FlagError, match="No such file"):
        parse("--flagfile=configs/vgg16_frozen_dense256.flags")


def test_flagfiles_of_a_wheel_lie_in_the_package(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    path = write(tmp_path / "configs", "only.flags", "--seed=7\n")
    monkeypatch.setattr(flagfiles, "PACKAGE", tmp_path)
    monkeypatch.chdir(pathlib.Path(__file__).parent)
    assert parse("--flagfile=configs/only.flags")[0].runtime.seed == 7
    with pytest.raises(FlagError, match="No such file"):
        parse(f"--flagfile=configs/../configs/{path.name}")
    with pytest.raises(FlagError, match=r"\(choices: configs/only\.flags\)"):
        parse("--flagfile=elsewhere/zebra.flags")


def test_a_missing_flagfile_lists_those_that_are_there(tmp_path, monkeypatch):
    write(tmp_path, "mine.flags", "")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FlagError) as caught:
        parse("--flagfile=zebra.flags")
    own = pathlib.Path(flagfiles.__file__).resolve().parents[2] / "configs"
    for name in ["mine.flags", *(f"configs/{file.name}" for file in own.glob("*.flags"))]:
        assert f" {name}" in f"{caught.value}" or f"({name}" in f"{caught.value}", name
    with pytest.raises(FlagError, match=r"fix: --flagfile=configs/quickstart\.flags$"):
        parse("--flagfile=configs/quickstrat.flags")


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("--tensorboard=false", "none"),
        ("--tensorboard=true", "tensorboard"),
        ("--tensorboard", "tensorboard"),
    ],
)
def test_flags_of_an_earlier_version_are_read_in_files_and_refused_when_typed(
    line, meant, tmp_path
):
    """Else run.flags of runs that were made before could not be read."""
    (tmp_path / "run.flags").write_text(f"--seed=4\n{line}\n")
    read, _ = flagfiles.parse(Options, [f"--flagfile={tmp_path / 'run.flags'}"])
    assert (read.output.track, read.runtime.seed) == (meant, 4)
    with pytest.raises(FlagError, match="there is no flag --tensorboard"):
        flagfiles.parse(Options, [line])


def test_a_binary_flagfile(tmp_path):
    path = tmp_path / "a.flags"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(FlagError, match="is not UTF-8 text"):
        parse(f"--flagfile={path}")


@pytest.mark.parametrize(
    "argv",
    [
        ["--learning_rate=nan"],
        ["--learning_rate=0"],
        ["--label_smoothing=1.0"],
        ["--train_epochs=0"],
        ["--batch_size=-1"],
        ["--optimizer=adma"],
        ["--overwrite=maybe"],
        ["--seed"],
        ["data"],
        ["--"],
    ],
)
def test_refused_on_the_command_line(argv):
    with pytest.raises(FlagError):
        parse(*argv)


def test_what_is_written_is_read_back(tmp_path):
    options = make(
        data="csv(path='/x, y.csv')",
        backbone="minilm_l6",
        learning_rate=2.5e-5,
        batch_size=None,
        export=False,
        augment="flip|mixup(alpha=.2)",
        output="a folder",
    )
    flagfiles.write(tmp_path / "run.flags", options, "two\nlines")
    assert parse(f"--flagfile={tmp_path / 'run.flags'}")[0] == options
    assert (tmp_path / "run.flags").read_text().startswith("# two\n# lines\n")


def test_momentary_flags_are_not_written():
    options = make(overwrite=True, dry_run=True, resume="never", quiet=True)
    assert not {"overwrite", "dry_run", "resume", "quiet"} & set(flagfiles.flatten(options))
    assert len(flagfiles.flatten(options)) == len(list(every_field(options))) - 4


def every_field(options):
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        yield from every_field(value) if dataclasses.is_dataclass(value) else [field.name]


@pytest.mark.parametrize(
    ("kind", "argv", "fix"),
    [
        (PredictOptions, ["RUN", "a b.csv"], "'--input=a b.csv'"),
        (PredictOptions, ["--run=RUN", "FILE"], "--input=FILE"),
        (Options, ["data.csv", "--learning_rate", "3", "minilm_l6"], "--backbone=minilm_l6"),
        (ExportOptions, ["RUN"], "--run=RUN"),
        (ExportOptions, ["RUN", "a", "b", "c"], None),
    ],
)
def test_arguments_without_a_name_get_the_flags_that_they_are_meant_for(kind, argv, fix):
    with pytest.raises(FlagError, match="is not a flag") as caught:
        flagfiles.parse(kind, argv)
    assert caught.value.fix.endswith(fix) if fix else not caught.value.fix
