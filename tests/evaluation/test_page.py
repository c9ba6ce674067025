import os
import random
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ds2 import layout
from ds2.evaluation import page
from ds2.evaluation.evaluator import Evaluation, Prediction
from ds2.reporting.history import History

pytestmark = pytest.mark.wheel

NAMES = {"decoder": "ctc_greedy", "checkpoint": "best_model (epoch 7)"}
PREDICTIONS = [
    Prediction("dataset/audio/a.wav", "今天 天气好", "今天天气好", "zhang", 1.5, 0.9, 21.0, None, None, (0.9,) * 5),
    Prediction("dataset/audio/b.wav", "一二三四五", "一二三四", "zhang", 2.5, 0.5, 4.0, None, None, (0.8,) * 4),
    Prediction("dataset/audio/客厅 灯#1?.wav", "你好吗我好", "你", "li", 0.5, 0.25, 33.0, None, None, (0.7,)),
    Prediction("/elsewhere/c.wav", "是", "四是", None, 25.0, 0.125, None, None, None, (0.3, 0.6)),
]
EVALUATION = Evaluation(PREDICTIONS, 29.5, 3.0, greedy=["今天天气好", "一二三四", "你", "四"])
VOID = {"meta", "br"}
TAGS = set(
    re.findall(
        r"\w+",
        "html head meta title style body h1 h2 h3 nav a dl div dt dd data p br span bdi header strong article "
        "table thead tbody tfoot tr th td i audio figure figcaption svg rect path text polyline",
    )
)


class Page(HTMLParser):
    """What a browser would make of it: elements with their attributes and texts; refuses what is not balanced."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append(element := {"tag": tag, **dict(attributes), "text": ""})
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, **dict(attributes), "text": ""})

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        self.text += data
        for element in self.open:
            element["text"] += data

    def all(self, tag, **attributes):
        return [one for one in self.elements if one["tag"] == tag and attributes.items() <= one.items()]


@pytest.fixture
def root(workspace):
    history = History()
    for step in range(1, 2000):
        history.add_step(step, step, 50, 100.0 / step, 1e-3, 1.0)
    history.add_epoch(1, {"cer": 0.5, "wer": 0.75})
    history.add_epoch(2, {"cer": 0.25, "wer": 0.5})
    history.write(workspace / layout.CURVES)
    return workspace


def written(evaluation=EVALUATION, metric="cer", names=NAMES, path=layout.REPORT):
    page.write(path, evaluation, metric, evaluation.numbers(metric), names)
    return path.read_text(encoding="utf-8")


def rows(html, name):
    body = re.search(rf'<table data-[a-z]+="{name}">.*?<tbody>(.*?)</tbody>', html, re.DOTALL)[1]
    return [re.sub(r"<br>|</t[dh]>", "|", row) for row in body.split("</tr>")[:-1]]


def words(row):
    return re.sub(r"<[^>]+>", "", row)


def test_the_numbers_are_those_of_the_metrics(root):
    metrics = EVALUATION.numbers("cer")
    shown = {one["title"]: float(one["value"]) for one in Page(written()).all("data")}
    assert shown == {name: metrics[name] for name in metrics if not name.startswith("real_time_factor")}
    assert f"{metrics['cer']:.2%}".replace("%", " %") in written()


def test_without_a_beam_search_no_decoders_are_compared(root):
    shown = {one["title"] for one in Page(written(Evaluation(PREDICTIONS, 29.5, 3.0))).all("data")}
    assert not {"cer_greedy", "cer_beam"} & shown


@pytest.mark.parametrize(
    ("speakers", "seconds", "english", "chinese"),
    [
        (
            ["a", "b"],
            1800.0,
            "error rate: 2 speakers and 60.0 minutes; it",
            "2 位说话人，60.0 分钟；至少应有 3 位",
        ),
        (
            ["a", "b", "c"],
            90.0,
            "error rate: 3 speakers and 4.5 minutes; it",
            "3 位说话人，4.5 分钟；至少应有 3 位",
        ),
        ([None], 90.0, "error rate: 1.5 minutes; it", "不可靠：1.5 分钟；至少应有 3 位"),
        (["a", "b", "c"], 200.0, None, None),
        ([None], 600.0, None, None),
    ],
)
def test_a_test_set_that_is_too_small_is_called_so_in_both_languages(root, speakers, seconds, english, chinese):
    predictions = [Prediction("a.wav", "一", "二", speaker, seconds) for speaker in speakers]
    text = Page(written(Evaluation(predictions, seconds * len(speakers), 1.0))).text
    assert ("The test data is too small" in text) == ("测试集太小" in text) == (english is not None)
    if english:
        assert english in text
        assert chinese in text


def test_the_same_evaluation_gives_the_same_bytes(root):
    first = written()
    slower = Evaluation(PREDICTIONS, 29.5, 4.0, 1.0, 2.0, EVALUATION.greedy)
    assert written(slower) == first
    assert str(root) not in first


def test_groups_have_their_counts(root):
    html = written()
    assert [words(row).split("|")[0].strip() for row in rows(html, "duration")] == [
        "&lt; 1 s",
        "1 – 2 s",
        "2 – 3 s",
        "≥ 20 s",
    ]
    speakers = [[cell.strip() for cell in words(row).split("|")] for row in rows(html, "speaker")]
    assert [(cells[0], cells[1], cells[4], cells[5]) for cells in speakers] == [
        ("not named 未注明", "1", "1", "100.00 %"),
        ("li", "1", "4", "80.00 %"),
        ("zhang", "2", "1", "10.00 %"),
    ]
    assert sum(int(words(row).split("|")[1]) for row in rows(html, "snr")) == len(PREDICTIONS)


def test_confusions_and_the_worst_utterances_are_shown_aligned(root):
    html = written()
    assert words(rows(html, "D")[0]).split("|")[0].strip() == "好 → ∗"
    assert words(rows(html, "D")[0]).split("|")[1:3] == ["2", "3"]
    assert len(rows(html, "D")) == 4
    assert words(rows(html, "I")[0]).split("|")[0].strip() == "∗ → 四"
    articles = Page(html).all("article")
    assert ["4 / 5" in articles[0]["text"], "1 / 1" in articles[1]["text"], "1 / 5" in articles[2]["text"]] == [
        True
    ] * 3
    assert len(articles) == 3
    assert "confidence 置信度 0.25" in articles[0]["text"]
    assert '<i>你<br>你</i><i class="D">好<br>∗</i>' in html


def test_words_are_aligned_where_words_are_counted(root):
    html = written(Evaluation([Prediction("a.wav", "turn the light on", "turn a light on")], 1.0, 1.0), "wer")
    assert '<i class="S">the<br>a</i>' in html
    assert "WER word error rate" in Page(html).all("dt")[0]["text"]
    assert "Most confused words 最易混淆的词" in Page(html).text


def test_audio_of_the_repository_can_be_played_and_other_audio_is_named(root):
    found = Page(written())
    sources = [one["src"] for one in found.all("audio")]
    assert sources[0] == "../dataset/audio/%E5%AE%A2%E5%8E%85%20%E7%81%AF%231%3F.wav"
    assert len(sources) == 2
    assert {one["preload"] for one in found.all("audio")} == {"none"}
    assert "/elsewhere/c.wav" in found.text


@pytest.mark.parametrize("path", ["audio/a.wav", "./audio/../audio/a.wav", "{root}/audio/a.wav"])
def test_a_path_is_inside_however_it_is_written(path, root):
    prediction = Prediction(path.format(root=root), "一", "二")
    html = written(Evaluation([prediction], 1.0, 1.0))
    assert [one["src"] for one in Page(html).all("audio")] == ["../audio/a.wav"]
    assert str(root) not in html


@pytest.mark.parametrize("path", ["../a.wav", "/a.wav", "audio/../../a.wav"])
def test_a_path_that_leaves_the_repository_has_no_player(path, root):
    assert Page(written(Evaluation([Prediction(path, "一", "二")], 1.0, 1.0))).all("audio") == []


def test_in_a_temporary_copy_the_audio_is_that_of_the_repository(root, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path_factory.mktemp("parent")))
    prediction = Prediction(os.environ["DVC_ROOT"] + "/audio/a.wav", "一", "二")
    assert 'src="../audio/a.wav"' in written(Evaluation([prediction], 1.0, 1.0))


@pytest.mark.parametrize(("folder", "up"), [("scored/by me/", "../.."), ("", ".")])
def test_a_page_elsewhere_in_the_repository_finds_the_audio_and_says_where_it_is_itself(folder, up, root):
    found = Page(written(path=root / folder / "report.html"))
    assert found.all("audio")[1]["src"] == f"{up}/dataset/audio/b.wav"
    assert f"then /{folder}report.html" in found.text


def test_a_page_outside_the_repository_has_no_players_and_no_curves_of_its_training(root, tmp_path_factory):
    found = Page(written(path=tmp_path_factory.mktemp("elsewhere") / "report.html"))
    assert found.all("audio") + found.all("polyline") == []
    assert "http.server" not in found.text
    assert "dataset/audio/b.wav" in found.text


WILD = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "'",
        "</style>",
        "שלום עולם",
        "مرحبا",
        "{{ 7*7 }}",
        "‮",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.builds(Prediction, WILD, WILD, WILD, WILD, st.floats(0, 30)), min_size=1, max_size=4), WILD)
def test_text_from_the_data_stays_text(root, predictions, checkpoint):
    plain = Prediction("a.wav", "一", "二", "li", 1.0)
    html = written(Evaluation([*predictions, plain], 5.0, 1.0), names=NAMES | {"checkpoint": checkpoint})
    found = Page(html)
    assert {one["tag"] for one in found.elements} <= TAGS
    assert not [name for one in found.elements for name in one if name.startswith("on")]
    assert all(one["src"].startswith("../") for one in found.all("audio"))
    for prediction in predictions:
        if prediction.errors("cer").total and (path := _inside(prediction.audio_filepath)):
            assert path in {unquote(one["src"].removeprefix("../")) for one in found.all("audio")}


def _inside(path):
    inside = os.path.relpath(path or ".")
    return None if inside.startswith("..") else inside


def test_very_long_texts_are_shortened(root):
    long = Prediction("d/" * 2000 + "a.wav", "好" * 100_000, "", "n" * 100_000)
    html = written(Evaluation([long, Prediction("b.wav", "x" * 100_000, "y")], 5.0, 1.0), "wer")
    assert len(html) < 60_000
    html = written(Evaluation([long], 5.0, 1.0))
    assert len(html) < 60_000
    assert "99,880 more" in html


def test_the_page_needs_nothing_from_elsewhere(root):
    found = Page(written())
    assert not re.search(r"https?:|//|@import|url\(", written().replace(found.text, ""))
    assert not found.all("script") + found.all("link") + found.all("img") + found.all("iframe")
    assert {one["href"][0] for one in found.all("a")} == {"#"}
    for link in found.all("a"):
        assert [one for one in found.elements if one.get("id") == link["href"][1:]] != []
    (policy,) = found.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy["content"]


def test_every_heading_and_note_is_in_both_languages(root):
    found = Page(written())
    captions = found.all("h1") + found.all("h2") + found.all("h3") + found.all("figcaption") + found.all("p")
    captions += found.all("th", scope="col") + found.all("dt") + found.all("a")
    assert len(captions) > 30
    assert [one["text"] for one in captions if not re.search("[a-z]", one["text"])] == []
    assert [one["text"] for one in captions if not re.search("[一-鿿]", one["text"])] == []


def test_curves_are_there_where_the_training_left_some(root):
    assert len(Page(written()).all("polyline")) == 2
    assert "lowest 25.00% at 2" in Page(written()).text
    (layout.CURVES / "steps.tsv").unlink()
    (layout.CURVES / "epochs.tsv").unlink()
    assert Page(written()).all("polyline") == []


def test_the_curves_stand_before_the_tables_and_the_utterances(root):
    order = [one["id"] for one in Page(written()).all("h2")]
    assert order == [one["href"][1:] for one in Page(written()).all("a")]
    assert order[0] == "learning"
    assert order[-1] == "worst"


def test_a_note_counts_only_what_is_left_out(root):
    few = Page(written()).text
    assert "Utterances with errors: 3, those with the most first" in few
    assert "The worst first, of 2 speakers" in few
    many = [Prediction(f"{i}.wav", "一", "二", "li", 1.0) for i in range(101)]
    found = Page(written(Evaluation(many, 101.0, 1.0))).text
    assert "101 utterances have errors; here are the 100 with the most, all are in errors.txt" in found
    assert "speakers." not in found


def test_the_word_error_rate_is_shown_where_it_differs_from_the_share_of_utterances_with_errors(root):
    totals = [one["text"] for one in Page(written()).all("dt")]
    assert [text for text in totals if text.startswith("WER")] != []
    plain = Evaluation([Prediction("a.wav", "今天天气好", "今天天气", "li"), Prediction("b.wav", "好", "好")], 5.0, 1.0)
    totals = [one["text"] for one in Page(written(plain)).all("dt")]
    assert [text for text in totals if text.startswith("WER")] == []
    assert [text for text in totals if text.startswith("SER")] != []


@pytest.mark.slow
def test_the_page_stays_small_for_a_hundred_thousand_utterances(root):
    draw = random.Random(0)
    characters = [chr(0x4E00 + i) for i in range(4000)]
    predictions = []
    for i in range(100_000):
        text = "".join(draw.choices(characters, k=12 if i % 1000 else 200))
        heard = text if i % 3 else text.replace(text[draw.randrange(len(text))], draw.choice(characters))
        heard = heard if i % 1000 else "".join(draw.choices(characters, k=200))
        name = f"dataset/audio/录音/{i}.wav"
        predictions.append(Prediction(name, text, heard, f"speaker {i % 2000}", draw.uniform(0.5, 20), 0.5, i % 60))
    evaluation = Evaluation(predictions, 1e6, 1.0)
    html = written(evaluation)
    assert len(html.encode()) < 500_000
    found = Page(html)
    assert len(found.all("article")) == 100
    assert len(rows(html, "speaker")) == 30
    assert f">{100_000 - 30 * 50:,}</td>" in html[html.index("<tfoot>") : html.index("</tfoot>")]
    assert sum(int(words(row).split("|")[1].replace(",", "")) for row in rows(html, "duration")) == 100_000


def test_of_a_piece_of_a_recording_the_place_is_shown_and_only_it_is_played(root):
    pieces = [Prediction("dataset/audio/a.wav", "好", "你", duration=2.0, offset=offset) for offset in (0.0, 12.5)]
    found = Page(written(Evaluation(pieces, 4.0, 1.0)))
    sources = [one["src"] for one in found.all("audio")]
    assert sources == [f"../dataset/audio/a.wav#t={times}" for times in ("0.000,2.000", "12.500,14.500")]
    for place in ("dataset/audio/a.wav (from 0 s)", "dataset/audio/a.wav (from 12.5 s)"):
        assert found.text.count(place) == 1
