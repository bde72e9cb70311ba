"""What a run of texts that are cut says, on the terminal and in its report."""

import json

import tltf


def test_a_run_says_what_it_found_and_what_to_do(tmp_path, capsys):
    words = " ".join(f"word{n}" for n in range(20))
    rows = [f"{('good', 'bad')[n % 2]} day {n} {words},{('yes', 'no')[n % 2]}" for n in range(48)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    tltf.run(
        tltf.make_options(
            data=f"csv(path={tmp_path}/rows.csv, text=text, label=label)",
            backbone="small_lstm",
            method="full",
            train_epochs=2,
            text_length=8,
            near_duplicates=False,
            export=False,
            output=str(tmp_path / "run"),
        )
    )
    printed = capsys.readouterr()
    assert printed.out.startswith("verdict    ")
    assert "\ntrained    Kept: epoch " in printed.out
    assert "\n  2/2  " in printed.err and "* is the best on validation so far" in printed.err
    saved = json.loads((tmp_path / "run/report.json").read_text("utf-8"))
    (warning,) = [text for text in saved["data"]["warnings"] if "tokens are cut off" in text]
    for name in ("report.html", "report.md"):
        text = (tmp_path / "run" / name).read_text("utf-8")
        assert "tokens are cut off" in text, warning
        assert "--text_length=16 --output=NEW" in text
