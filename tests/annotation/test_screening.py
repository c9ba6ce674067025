import json
import re

import pytest

from ds2 import params
from ds2.annotation import files, screening
from ds2.errors import UserError

HALVES = {"manifest": {"dev_fraction": 0.3, "test_fraction": 0.3}}


@pytest.fixture
def write(workspace, write_audio):
    """write(file, lines) writes an annotation; the audio of lines (path, text[, speaker]) is made where missing."""

    def write(name, lines):
        for path, *_ in lines:
            if not (workspace / path).exists():
                write_audio(path, 1.0)
        content = "".join("\t".join(line) + "\n" for line in lines)
        (workspace / "dataset" / "annotation" / name).write_text(content, encoding="utf-8")

    return write


@pytest.fixture
def screen(workspace):
    """screen(values) screens all annotations with these parameters."""

    def screen(values=HALVES, workers=1, placed=None):
        sources = files.sources(workspace / "dataset" / "annotation", [], ["demo"])
        return screening.screen(sources, params.from_dict(values), workers, placed)

    return screen


def clips(start, stop, speaker=None):
    return [(f"clips/{i}.wav", "你好", *([speaker(i)] if speaker else [])) for i in range(start, stop)]


def parts(screened) -> dict[str, str]:
    return {u.audio_filepath: split for split, utterances in screened.accepted.items() for u in utterances}


def test_an_accepted_line_has_path_duration_normalised_text_and_speaker(write, screen):
    write("my.txt", [("clips/a.wav", "你 好，ＷＯＲＬＤ！", "s1")])
    (found,) = [u for utterances in screen().accepted.values() for u in utterances]
    assert found.as_json() == {"audio_filepath": "clips/a.wav", "duration": 1.0, "text": "你好world", "speaker": "s1"}


@pytest.mark.parametrize(
    ("samples", "reason"), [(7999, "too_short"), (8000, None), (12000, None), (16000, None), (16001, "too_long")]
)
def test_audio_as_long_as_a_bound_is_neither_too_short_nor_too_long(samples, reason, write, write_audio, screen):
    write_audio("clips/a.wav", samples / 16000)
    write("my.txt", [("clips/a.wav", "你好")])
    found = screen({"manifest": {"min_duration": 0.5, "max_duration": 1.0}})
    assert [rejection.reason for rejection in found.rejected] == ([reason] if reason else [])


def test_labels_have_the_room_that_the_features_of_the_sample_rate_give(write, write_audio, screen):
    write_audio("clips/a.wav", 10.0)
    write("my.txt", [("clips/a.wav", "".join(chr(0x4E00 + i) for i in range(334)))])
    for rate, frames in ((16000, 998), (11025, 1000)):  # 11025 Hz: 110 samples from frame to frame, a little less
        found = screen({"features": {"sample_rate": rate}, "text": {"simplified": False}})
        assert len(found.rejected) == (-(-frames // 3) < 334)


@pytest.mark.parametrize(
    ("transcript", "rejected"), [("你好" * 16 + "你", False), ("你" * 17, False), ("你" * 18, True)]
)
def test_a_character_said_twice_needs_the_room_of_three(write, screen, transcript, rejected):
    write("my.txt", [("clips/a.wav", transcript)])  # 1 s: 33 steps
    assert [rejection.reason for rejection in screen().rejected] == ["too_many_labels"] * rejected


def test_rates_and_transcripts_are_those_of_accepted_lines(write, write_audio, screen):
    write_audio("clips/low.wav", 1.0, 8000)
    write("my.txt", [*clips(0, 3), ("clips/low.wav", "下午3点"), ("clips/low.wav", "……4")])
    write("my.test.txt", [("clips/low.wav", "下午")])
    found = screen().numbers()
    assert found["rejected_duplicate_audio"] == 2
    assert {key for key in found if key.endswith("_8000_hz")} == {"test_hours_at_8000_hz"}
    assert found["lines_with_digits"] == 0


def test_lines_with_digits_are_rejected_where_the_parameter_says_so_and_said_where_it_says_that(write, screen):
    write("my.txt", [("clips/a.wav", "下午３点"), ("clips/b.wav", "你好"), ("clips/c.wav", "二〇二六")])
    texts = {}
    for numbers in ("keep", "spoken", "reject"):
        found = screen({"text": {"numbers": numbers}})
        assert found.numbers()["lines_with_digits"] == (numbers != "reject")
        texts[numbers] = [u.text for utterances in found.accepted.values() for u in utterances]
    assert sorted(texts["keep"]) == sorted(["下午3点", "你好", "二〇二六"])
    assert sorted(texts["spoken"]) == sorted(["下午三点", "你好", "二〇二六"])
    assert sorted(texts["reject"]) == sorted(["你好", "二〇二六"])
    (rejection,) = found.rejected
    assert (rejection.reason, rejection.number) == ("digits", 1)
    assert "'下午３点': write numbers as they are said, or change text.numbers" in rejection.detail


def test_exchanged_columns_end_the_stage(write, screen):
    write("my.txt", [(f"clips/{i}.wav", f"S00{i % 9}", f"今天我们去看第{'一' * i}场") for i in range(40)])
    assert "my.txt line 1: transcript and speaker are exchanged" in refusal(screen({}), {})


def test_durations_are_exact_to_six_digits(write, write_audio, screen):
    write_audio("clips/a.wav", 19757 / 16000)
    write("my.txt", [("clips/a.wav", "你好")])
    (found,) = [utterance for utterances in screen().accepted.values() for utterance in utterances]
    assert found.duration == pytest.approx(19757 / 16000, abs=6e-7)


def test_held_out_data_is_about_as_much_as_asked_for(write, screen):
    write("my.txt", clips(0, 400))
    found = screen({"manifest": {"dev_fraction": 0.1, "test_fraction": 0.2}})
    sizes = {split: len(utterances) for split, utterances in found.accepted.items()}
    assert sum(sizes.values()) == 400
    assert 20 <= sizes["dev"] <= 60
    assert 50 <= sizes["test"] <= 110


@pytest.mark.parametrize("speaker", [None, lambda i: f"s{i % 20}"], ids=["files", "speakers"])
def test_adding_data_moves_nothing_from_one_side_to_the_other(write, screen, speaker):
    write("my.txt", clips(0, 60, speaker))
    before = parts(screen())
    assert set(before.values()) == {"train", "dev", "test"}
    write("another.txt", clips(60, 90, speaker))
    write("my.txt", [*clips(90, 120, speaker), *reversed(clips(0, 60, speaker))])
    after = parts(screen())
    assert len(after) == 120
    assert {path: after[path] for path in before} == before


def test_a_speaker_stays_on_one_side(write, screen):
    write("a.txt", clips(0, 60, lambda i: f"s{i % 12}"))
    write("b.txt", clips(60, 90, lambda i: f"s{i % 12}"))
    sides = [{u.speaker for u in utterances} for utterances in screen().accepted.values()]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides)) == 12


def test_changing_one_fraction_leaves_the_other_part_as_it_is(write, screen):
    write("my.txt", clips(0, 60))
    few, many = (
        parts(screen({"manifest": {"dev_fraction": fraction, "test_fraction": 0.3}})) for fraction in (0.1, 0.4)
    )
    assert {path for path in few if few[path] == "test"} == {path for path in many if many[path] == "test"}
    assert {path for path in few if few[path] == "dev"} < {path for path in many if many[path] == "dev"}


def test_a_test_file_switches_the_test_fraction_off_and_a_dev_file_adds_to_dev(write, screen):
    write("my.txt", clips(0, 60))
    write("my.test.txt", clips(60, 70))
    write("my.dev.txt", clips(70, 80))
    found = parts(screen())
    assert {path for path in found if found[path] == "test"} == {f"clips/{i}.wav" for i in range(60, 70)}
    dev = {path for path in found if found[path] == "dev"}
    assert dev > {f"clips/{i}.wav" for i in range(70, 80)}


def test_fractions_of_nothing_hold_nothing_out(write, screen):
    write("my.txt", clips(0, 60))
    assert set(parts(screen({"manifest": {"dev_fraction": 0, "test_fraction": 0}})).values()) == {"train"}


def test_files_of_a_corpus_not_in_use_are_not_read(write, screen):
    write("demo.train.txt", clips(0, 5))
    write("my.txt", clips(5, 8))
    assert screen().lines == 3


def test_audio_that_stands_twice_counts_once_and_the_test_set_keeps_it(write, screen, workspace):
    write("my.txt", [("clips/1.wav", "甲"), ("clips/2.wav", "乙"), ("clips/../clips/1.wav", "丙")])
    write("my.test.txt", [("clips/2.wav", "丁")])
    write("z.txt", [(str(workspace / "clips" / "1.wav"), "戊")])
    found = screen({"manifest": {"dev_fraction": 0, "test_fraction": 0}})
    assert parts(found) == {"clips/1.wav": "train", "clips/2.wav": "test"}
    assert [u.text for u in found.accepted["train"]] == ["甲"]
    rejected = [(r.source.path.name, r.number, r.reason) for r in found.rejected]
    assert sorted(rejected) == [
        ("my.txt", 2, "duplicate_audio"),
        ("my.txt", 3, "duplicate_audio"),
        ("z.txt", 1, "duplicate_audio"),
    ]
    assert "my.test.txt line 1" in found.rejected[0].detail


def test_rejected_lines_stand_in_the_order_of_the_files(write, screen, workspace):
    write("my.txt", [("clips/1.wav", "……"), *clips(2, 5), ("clips/6.wav", "！")])
    with open(workspace / "dataset/annotation/my.txt", "a") as file:
        file.write("no tab\n")
    write("my.test.txt", [("clips/7.wav", "乙"), ("clips/8.wav", "。")])
    found = [(rejection.source.path.name, rejection.number) for rejection in screen().rejected]
    assert found == [("my.test.txt", 2), ("my.txt", 1), ("my.txt", 5), ("my.txt", 6)]


def test_worker_processes_make_no_difference(write, screen):
    lines = clips(0, 150, lambda i: f"s{i % 40}")
    write("my.txt", [*lines[:70], ("clips/none.wav", "……"), *lines[70:]])
    alone, several = screen(), screen(workers=2)
    assert several == alone
    assert several.lines == 151


def test_the_metrics_add_up_and_are_flat_numbers(write, screen, workspace):
    write("my.txt", [*clips(0, 60, lambda i: f"s{i % 12}"), ("clips/none.wav", "……")])
    (workspace / "clips" / "0.wav").unlink()
    found = screen()
    metrics = found.numbers()
    assert all(type(value) in (int, float) for value in metrics.values())
    assert metrics["lines"] == 61 == metrics["lines_accepted"] + metrics["rejected"]
    assert metrics["lines_accepted"] == sum(metrics[f"{split}_utterances"] for split in ("train", "dev", "test")) == 59
    assert metrics["rejected_missing_audio"] == metrics["rejected_empty_text"] == 1
    assert sum(metrics[f"{split}_speakers"] for split in ("train", "dev", "test")) == 12
    hours = sum(metrics[f"{split}_hours"] for split in ("train", "dev", "test"))
    assert hours == pytest.approx(59 / 3600, abs=2e-4)
    json.dumps(metrics)


def check(screened, values=HALVES):
    screening.check(screened, params.from_dict(values))


def test_a_share_of_rejected_lines_up_to_the_limit_passes_and_more_fails_with_the_first_of_them(write, screen):
    write("my.txt", [*clips(0, 38), ("clips/x.wav", "……"), ("clips/y.wav", "！")])
    found = screen()
    check(found, {"manifest": {"max_rejected_fraction": 0.05}})
    with pytest.raises(UserError) as caught:
        check(found, {"manifest": {"max_rejected_fraction": 0.04}})
    sentence = str(caught.value)
    assert "2 of 40 lines are rejected (2 empty_text)" in sentence
    assert "manifest.max_rejected_fraction (0.04)" in sentence
    assert "my.txt line 39" in sentence
    assert "dataset/rejected.jsonl" in sentence


@pytest.mark.parametrize(
    ("files", "fractions", "part", "remedy"),
    [
        (["my.test.txt", "my.dev.txt"], (0.1, 0.1), "train", "add annotations"),
        (["my.txt", "my.test.txt"], (0, 0.1), "dev", "manifest.dev_fraction from 0 to"),
        (["my.txt", "my.dev.txt"], (0.1, 0), "test", "manifest.test_fraction from 0 to"),
    ],
)
def test_an_empty_part_fails_with_what_to_do(write, screen, files, fractions, part, remedy):
    values = {"manifest": {"dev_fraction": fractions[0], "test_fraction": fractions[1]}}
    for number, name in enumerate(files):
        write(name, clips(20 * number, 20 * number + 20))
    with pytest.raises(UserError) as caught:
        check(screen(values), values)
    assert str(caught.value).startswith(f"the {part} part is empty (40 lines, 0 rejected)")
    assert remedy in str(caught.value)


@pytest.mark.parametrize("part", ["dev", "test"])
@pytest.mark.parametrize("speakers", [2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_the_fraction_that_is_advised_is_the_smallest_that_holds_somebody_out(write, screen, part, speakers, seed):
    write("my.txt", clips(0, 42, lambda i: f"{seed} {i % speakers}"))
    write(f"my.{'test' if part == 'dev' else 'dev'}.txt", clips(50, 60))
    values = {"manifest": {"dev_fraction": 0, "test_fraction": 0}}
    with pytest.raises(UserError, match=f"the {part} part is empty") as caught:
        check(screen(values), values)
    advised, held_out = re.search(r"to ([\d.]+), which holds out (\d+) of 42", str(caught.value)).groups()
    values["manifest"][f"{part}_fraction"] = float(advised)
    found = screen(values)
    check(found, values)
    assert len(found.accepted[part]) == int(held_out) == 42 // speakers
    values["manifest"][f"{part}_fraction"] = float(advised) - 0.001
    assert not screen(values).accepted[part]


NOTHING = {"manifest": {"dev_fraction": 0, "test_fraction": 0}}


def refusal(screened, values=NOTHING):
    with pytest.raises(UserError) as caught:
        check(screened, values)
    return str(caught.value)


@pytest.mark.parametrize("fractions", [(0, 0), (0.1, 0.1), (0.4, 0.4)])
@pytest.mark.parametrize(("speakers", "said"), [(1, "1 speaker"), (2, "2 speakers")])
def test_too_few_speakers_are_refused_with_both_remedies(write, screen, speakers, said, fractions):
    write("my.txt", clips(0, 6, lambda i: f"s{i % speakers}"))
    values = {"manifest": dict(zip(("dev_fraction", "test_fraction"), fractions, strict=True))}
    sentence = refusal(screen(values), values)
    assert f"part is empty (6 lines, 0 rejected): the 6 utterances to divide are of {said}, too few to" in sentence
    assert "as dev and test data: add my.dev.txt and my.test.txt, or drop the speaker column" in sentence
    assert sentence.endswith("(the score is then of voices that the model was trained on)")


def test_with_a_test_file_two_speakers_are_enough_and_one_is_not(write, screen):
    write("my.test.txt", clips(50, 60))
    write("my.txt", clips(0, 6, lambda i: "only"))
    assert "are of 1 speaker, too few to hold out whole speakers as dev data: add my.dev.txt, or drop" in refusal(
        screen()
    )
    write("my.txt", clips(0, 6, lambda i: f"s{i % 2}"))
    assert "holds out 3 of 6 utterances, or add a file my.dev.txt, or drop" in refusal(screen(NOTHING))


def test_an_empty_part_of_several_speakers_is_what_split_fills(write, screen):
    write("my.txt", clips(0, 12, lambda i: f"s{i % 4}"))
    small = {"manifest": {"dev_fraction": 0.001, "test_fraction": 0.001}}
    assert "python -m ds2 split gives it whole speakers; or raise manifest.dev_fraction" in refusal(
        screen(small), small
    )
    assert "ds2 split" not in refusal(screen(NOTHING))  # which would give a fraction of 0 nobody either
    large = {"manifest": {"dev_fraction": 0.5, "test_fraction": 0.499999}}
    sentence = refusal(screen(large), large)
    assert "the train part is empty" in sentence
    assert "python -m ds2 split divides the speakers as evenly as it can; or lower manifest.dev_fraction" in sentence


def test_an_empty_part_of_files_or_of_splits_tsv_has_remedies_of_its_own(write, screen, workspace):
    write("my.txt", [("clips/1.wav", "你好")])
    assert refusal(screen()).endswith(
        ": add a file my.dev.txt, since no value of manifest.dev_fraction holds out some but not all"
    )
    write("my.test.txt", [("clips/2.wav", "……")])
    write("my.dev.txt", clips(3, 4))
    values = {"manifest": {"dev_fraction": 0, "max_rejected_fraction": 1}}
    assert "the test part is empty (3 lines, 1 rejected): no line of its files is accepted" in refusal(
        screen(values), values
    )
    (workspace / "dataset/annotation/my.test.txt").unlink()
    (workspace / "dataset/annotation/my.dev.txt").unlink()
    write("my.txt", clips(0, 12, lambda i: f"s{i % 4}"))
    placed = {"s0": "train", "s1": "train", "s2": "train", "s3": "test"}
    assert "give it a speaker in dataset/annotation/splits.tsv, or add a file my.dev.txt" in refusal(
        screen(placed=placed)
    )


def test_speakers_who_are_placed_are_there_and_others_where_the_hash_puts_them(write, screen):
    write("my.txt", clips(0, 60, lambda i: f"s{i % 12}"))
    before = screen().accepted
    name = before["train"][0].speaker
    after = screen(placed={name: "test", "nobody": "dev"}).accepted
    assert {u.speaker for u in after["test"]} == {u.speaker for u in before["test"]} | {name}
    assert after["dev"] == before["dev"]


def test_a_built_in_corpus_with_parts_of_its_own_is_left_alone_by_splits_tsv(write, workspace):
    write("demo.train.txt", clips(0, 60, lambda i: f"s{i % 12}"))
    write("demo.test.txt", clips(60, 70, lambda i: "t"))
    write("aishell.train.txt", clips(70, 130, lambda i: f"a{i % 12}"))
    write("aishell.test.txt", [])
    sources = files.sources(workspace / "dataset/annotation", ["demo", "aishell"], ["demo", "aishell"])
    placed = {"s0": "dev", "a1": "dev"}
    found = screening.screen(sources, params.from_dict({"manifest": {"dev_fraction": 0.5}}), 1, placed)
    assert {u.speaker for u in found.accepted["train"]} >= {f"s{i}" for i in range(12)}
    assert {u.speaker for u in found.accepted["dev"]} > {"a1"}
    assert {u.speaker[0] for utterances in found.divided.values() for u in utterances} == {"a"}


def test_the_shares_of_what_was_asked_for_are_metrics(write, screen):
    write("my.txt", clips(0, 60, lambda i: f"s{i % 12}"))
    found = screen().numbers()
    assert "train_share" not in found
    assert found["dev_share"] == pytest.approx(found["dev_utterances"] / 60, abs=1e-4)
    assert found["test_share"] == pytest.approx(found["test_utterances"] / 60, abs=1e-4)
    write("my.test.txt", clips(60, 70))
    found = screen().numbers()
    assert "test_share" not in found
    assert found["dev_share"] == pytest.approx(found["dev_utterances"] / 60, abs=1e-4)


def test_empty_files_fail_with_a_sentence(write, screen):
    write("my.txt", [])
    with pytest.raises(UserError, match="the files of dataset/annotation are empty"):
        check(screen())


@pytest.mark.parametrize(
    ("transcript", "speaker", "doubted"),
    [
        ("S0002", "你好世界", True),
        ("s2", "hello world", True),
        ("你好世界", "S0002", False),
        ("hello world", "S0002", False),
        ("你好世界", "张三", False),
        ("yes", "S0002", False),
    ],
)
def test_exchanged_columns_are_doubted(write, screen, transcript, speaker, doubted):
    write("my.txt", [(f"clips/{i}.wav", transcript, speaker) for i in range(30)])
    found = screening.doubt(screen())
    assert (found is not None) == doubted
    if found:
        assert f"30 of 30 transcripts look like speakers ({transcript.lower()})" in found
        assert f"like transcripts ({speaker})" in found


def test_a_few_lines_of_another_kind_do_not_hide_exchanged_columns_and_no_speakers_are_no_doubt(write, screen):
    write("my.txt", [(f"clips/{i}.wav", "S2" if i else "你好", f"你好{i}") for i in range(30)])
    assert "29 of 30" in screening.doubt(screen())
    write("my.txt", [(f"clips/{i}.wav", "yes") for i in range(30)])
    assert screening.doubt(screen()) is None
