import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ds2 import params
from ds2.errors import UserError
from ds2.params import messages
from tests.params import later as later_version


@pytest.fixture
def load(tmp_path):
    """load(text or bytes) reads them as a params.yaml."""

    def load(content):
        path = tmp_path / "params.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return params.load(path)

    return load


def sentence_of(load, content) -> str:
    with pytest.raises(UserError) as caught:
        load(content)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# What params.yaml holds, and how the sentence begins; … stands for anything.
MISTAKES = {
    "text for an integer": ("train: {num_epoch: abc}", "train.num_epoch: 'abc' is not an integer"),
    "quoted integer": ("train: {batch_size: '8'}", "train.batch_size: '8' is not an integer"),
    "fraction for an integer": ("train: {num_epoch: 1.5}", "train.num_epoch: 1.5 is not an integer"),
    "true for an integer": ("train: {num_epoch: true}", "train.num_epoch: True is not an integer"),
    "text for a number": ("train: {learning_rate: fast}", "train.learning_rate: 'fast' is not a number"),
    "true for a number": ("train: {learning_rate: true}", "train.learning_rate: True is not a number"),
    "nothing for a number": ("train: {learning_rate: }", "train.learning_rate: None is not a number"),
    "list for a number": ("train: {learning_rate: [1]}", "train.learning_rate: …is not a number"),
    "1 for true": ("train: {augment: 1}", "train.augment: 1 is not true or false"),
    "yes for true": ("train: {augment: yes}", "train.augment: 'yes' is not true or false"),
    "number for a text": ("augment: {noise: {noise_dir: 5}}", "augment.noise.noise_dir: 5 is not a text"),
    "text for a list": ("corpora: demo", "corpora: 'demo' is not a list"),
    "number in a list": ("corpora: [demo, 5]", "corpora.1: 5 is not a text"),
    "number for a section": ("train: 5", "train: 5 is not a section"),
    "nothing for a section": ("train:\nmodel: {dropout: 0.1}", "train: None is not a section"),
    "number for a name": ("train: {5: 1}", "train.5: there is no such parameter"),
    "list for a section": ("train: [num_epoch]", "train: …is not a section"),
    "unknown metrics type": ("evaluate: {metrics_type: ser}", "evaluate.metrics_type: 'ser' is not…cer or wer"),
    "hot word, no boost": ("evaluate: {hot_words: {北京: 0}}", "evaluate.hot_words: 0 is out of range…greater than 0"),
    "hot words as a list": ("evaluate: {hot_words: [北京]}", "evaluate.hot_words: ('北京',) is not possible…5.0"),
    "unknown decoder": ("evaluate: {decoder: beam}", "evaluate.decoder: 'beam' is not…ctc_greedy"),
    "unknown part": ("train: {evaluate_on: train}", "train.evaluate_on: 'train' is not…null"),
    "unknown device": ("runtime: {use_gpu: gpu}", "runtime.use_gpu: 'gpu' is not…auto, true or false"),
    "text for workers": ("runtime: {num_workers: many}", "runtime.num_workers: 'many' is not…auto"),
    "upper case corpus": ("corpora: [Demo]", "corpora.0: 'Demo' is not a name of lower-case letters"),
    "empty text": ("augment: {noise: {noise_dir: ''}}", "augment.noise.noise_dir: must not be empty"),
    "not a number": ("train: {learning_rate: .nan}", "train.learning_rate: nan is not a finite number"),
    "infinite": ("train: {grad_clip: .inf}", "train.grad_clip: inf is not a finite number"),
    "infinite as text": ("manifest: {max_duration: inf}", "manifest.max_duration: …is not a finite number"),
    "below": ("train: {num_epoch: 0}", "train.num_epoch: 0 is out of range…at least 1"),
    "not above": ("train: {learning_rate: 0}", "train.learning_rate: 0…greater than 0"),
    "above": ("model: {num_conv_layers: 4}", "model.num_conv_layers: 4 is out of range…at most 3"),
    "not below": ("model: {dropout: 1.0}", "model.dropout: 1.0 is out of range…less than 1"),
    "probability above 1": ("augment: {speed: {prob: 1.5}}", "augment.speed.prob: 1.5 is out of range…at most 1"),
    "optional above": ("features: {target_db: 5}", "features.target_db: 5…at most 0"),
    "durations crossed": ("manifest: {min_duration: 5, max_duration: 2}", "manifest: …min_duration (5) must not be"),
    "durations equal": ("manifest: {min_duration: 2, max_duration: 2}", "manifest: …must be smaller than"),
    "a batch of nothing": ("train: {batch_size: 0}", "train.batch_size: 0 is out of range…at least 1"),
    "fractions of more than all": ("manifest: {dev_fraction: 0.5, test_fraction: 0.5}", "manifest: …smaller than 1"),
    "rates crossed": ("train: {learning_rate: 1e-6}", "train: …min_learning_rate (1e-05) must not be greater"),
    "full-width digits": (
        "train: {learning_rate: ０.５}",
        "train.learning_rate: '０.５' is not a number: write its digits",
    ),
    "a full-width exponent": ("train: {learning_rate: １e-3}", "train.learning_rate: '１e-3' is not a number"),
    "Arabic digits": (
        "augment: {speed: {prob: '٠.٥'}}",
        "augment.speed.prob: '٠.٥' is not a number: write its digits as 0",
    ),
    "full-width integer": (
        "train: {num_epoch: ８}",
        "train.num_epoch: '８' …write its digits as 0 to 9",
    ),
    "underscores": ("manifest: {max_duration: '1_0'}", "manifest.max_duration: '1_0' is not a number"),
    "spaces": ("manifest: {max_duration: ' 10 '}", "manifest.max_duration: ' 10 ' is not a number"),
    "epochs for ever": ("train: {num_epoch: 100000000000000}", "train.num_epoch: 100000000000000 is out of range"),
    "more than 64 bits": ("train: {num_epoch: 100000000000000000000000000}", "train.num_epoch: …at most 1000000"),
    "an integer of 20,000 bits": (
        f"train: {{num_epoch: 0x{'f' * 5000}}}",
        "train.num_epoch: an integer of 20000 bits is",
    ),
    "an integer for a number": (f"train: {{grad_clip: 0x{'f' * 5000}}}", "train.grad_clip: an integer of 20000 bits"),
    "a shift of ages": ("augment: {shift: {max_shift_ms: 1e308}}", "augment.shift.max_shift_ms: 1e+308…at most 60000"),
    "a gain like a bomb": (
        "augment: {volume: {max_gain_dBFS: 6000}}",
        "augment.volume.max_gain_dBFS: 6000…at most",
    ),
    "noise alone": ("augment: {noise: {min_snr_dB: -1e300}}", "augment.noise.min_snr_dB: -1e+300…at least -100"),
    "NUL in a path": ('augment: {noise: {noise_dir: "a\\0b"}}', "augment.noise.noise_dir: …NUL"),
    "NUL in a checkpoint": ('train: {pretrained_model: "a\\0b"}', "train.pretrained_model: …NUL"),
    "NUL in a list": ('lm: {extra_text: ["a\\0b"]}', "lm.extra_text.0: …NUL"),
    "NUL in a hot word": ('evaluate: {hot_words: {"a\\0b": 1}}', "evaluate.hot_words: …NUL"),
    "half a character": (
        'runtime: {download_dir: "\\ud800"}',
        "runtime.download_dir: …is not a text of whole",
    ),
    "a name of 300 bytes": (f"lm: {{path: dataset/{'录' * 100}}}", "lm.path: …is too long for the path"),
    "a path of 5,000 bytes": (f"train: {{resume_model: {'models/' * 800}}}", "train.resume_model: …is too long"),
    "a text of megabytes": (
        f"train: {{start_over: {'a' * 10**6}}}",
        "train.start_over: …is longer than 10000",
    ),
    "an alias within itself": ("train: &a {num_epoch: *a}", "…num_epoch…itself by an alias"),
    "a list within itself": ("corpora: &a [demo, *a]", "…corpora.1…itself by an alias"),
    "two checkpoints": (
        "train: {pretrained_model: a, resume_model: b}",
        "train: …pretrained_model and resume_model both name a checkpoint",
    ),
    "Python's None": ("train: {pretrained_model: None}", "train.pretrained_model: 'None'…write null"),
    "Python's None for auto": ("train: {resume_model: None}", "train.resume_model: 'None'…write null"),
    "too many bins": ("features: {sample_rate: 8000, num_mel_bins: 128}", "features: …has points for 95"),
    "noise crossed": ("augment: {noise: {min_snr_dB: 60}}", "augment.noise: …min_snr_dB (60)"),
    "shift crossed": ("augment: {shift: {min_shift_ms: 6}}", "augment.shift: …max_shift_ms (5)"),
    "gain crossed": ("augment: {volume: {max_gain_dBFS: -20}}", "augment.volume: …min_gain_dBFS (-15)"),
}


@pytest.mark.parametrize(("content", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_that_starts_with_the_full_name(load, content, expected):
    assert re.match(".*".join(map(re.escape, expected.split("…"))), sentence_of(load, content))


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ("[]", ": must not be empty"),
        ("[8000, high]", ".1: 'high' is not an integer"),
        ("[8000, 1]", ".1: 1 is out of range: it must be at least 1000"),
    ],
)
def test_a_mistake_in_a_list_is_told_with_its_place(load, rates, expected):
    found = sentence_of(load, f"augment: {{resample: {{new_sample_rate: {rates}}}}}")
    assert found == f"augment.resample.new_sample_rate{expected}"


def test_a_parameter_that_is_gone_is_refused_with_what_does_its_work(load):
    found = sentence_of(load, "evaluate: {average_checkpoints: 1}")
    assert found.startswith("evaluate.average_checkpoints: this parameter is gone, remove its line: models/best_model ")


def test_the_sentence_for_a_text_where_an_integer_belongs_is_exact(load):
    assert sentence_of(load, "train:\n  num_epoch: abc\n") == "train.num_epoch: 'abc' is not an integer"


@pytest.mark.parametrize(
    ("content", "name", "meant"),
    [
        ("train: {num_epochs: 5}", "train.num_epochs", "train.num_epoch"),
        ("train: {learningrate: 1}", "train.learningrate", "train.learning_rate"),
        ("model: {rnn_layers_size: 512}", "model.rnn_layers_size", "model.rnn_layer_size"),
        ("augment: {spec_aug: {probability: 1}}", "augment.spec_aug.probability", "augment.spec_aug.prob"),
        ("trian: {num_epoch: 5}", "trian", "train"),
        ("featurse: {num_mel_bins: 80}", "featurse", "features"),
    ],
)
def test_an_unknown_parameter_is_refused_and_the_one_meant_is_named(load, content, name, meant):
    assert sentence_of(load, content) == f"{name}: there is no such parameter; did you mean {meant}?"


def test_an_unknown_parameter_unlike_any_other_is_refused_without_a_guess(load):
    assert sentence_of(load, "xyzzy: 1") == "xyzzy: there is no such parameter"


@pytest.mark.parametrize("scalar", ["5e-05", "5.0e-05", "'5e-05'", '"0.00005"', "0.00005"])
def test_a_small_learning_rate_is_a_number_in_every_spelling(load, scalar):
    value = load(f"train: {{learning_rate: {scalar}}}").train.learning_rate
    assert type(value) is float
    assert value == 5e-05


def test_an_integer_is_a_number_too(load):
    value = load("augment: {noise: {min_snr_dB: 10}}").augment.noise.min_snr_dB
    assert type(value) is float
    assert value == 10.0


def test_a_duplicate_key_is_refused_with_its_line_and_name(load):
    sentence = sentence_of(load, "train:\n  num_epoch: 5\n  num_epoch: 6\n")
    assert "params.yaml: line 3: not valid YAML" in sentence
    assert "num_epoch" in sentence


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("train:\n  num_epoch: [1\n", None),
        ("train:\n\tnum_epoch: 1\n", 2),
        ("train: {num_epoch: 5}}\n", 1),
        ("train:\n  num_epoch: 5\n batch_size: 8\n", 3),
        ("train: *nothing\n", 1),
        ("train: !!python/object:os.system {}\n", 1),
        ("train: {num_epoch: 5}\n---\ntrain: {num_epoch: 6}\n", None),
        ("train: {num_epoch: 5}\0\n", None),
    ],
)
def test_invalid_yaml_is_refused_with_the_line_where_there_is_one(load, content, line):
    sentence = sentence_of(load, content)
    assert "params.yaml" in sentence
    assert "not valid YAML" in sentence
    if line is not None:
        assert f"line {line}:" in sentence


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("train:\n  num_epoch：5\n  seed: 1\n", 2, "the colon is a full-width one"),
        ("train：\n  num_epoch: 5\n", 1, "the colon is a full-width one"),
        ("train:\n  num_epoch:5\n  seed: 1\n", 2, "a space is missing after the colon"),
        ("train:\n\tnum_epoch: 5\n", 2, "a tab indents it: use spaces"),
    ],
)
def test_a_slip_of_the_keyboard_is_told_of_the_line_where_it_is(load, content, line, what):
    assert f"params.yaml: line {line}: not valid YAML: {what}" in sentence_of(load, content)


@pytest.mark.parametrize("content", ["", "\n", "# only a comment\n", "- train\n", "just text\n", "5\n"])
def test_a_file_without_sections_is_refused(load, content):
    assert "holds no sections" in sentence_of(load, content)


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml does not exist: run in the repository's root"):
        params.load(tmp_path / "none.yaml")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        params.load(tmp_path)


def test_a_file_that_is_not_utf_8_is_refused_with_the_byte(load):
    sentence = sentence_of(load, "train: {num_epoch: 5} # 轮数\n".encode("gbk"))
    assert "is not UTF-8 (byte 24)" in sentence


@pytest.mark.parametrize("opening", ["[", "{a: ", "[{a: "])
def test_brackets_in_brackets_are_one_sentence_with_their_line(load, opening):
    said = sentence_of(load, f"corpora: []\nlm: {{extra_text: {opening * 500}}}\n")
    assert "line 2: brackets are nested too deep in 'lm: {extra_text: " in said


def test_aliases_that_multiply_are_one_sentence(load):
    laughs = ["corpora: &a0 [ha, ha]", *(f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    assert "nests too many lists or sections" in sentence_of(load, "\n".join(laughs))


@given(st.text(st.sampled_from("0123456789٠０_ .e-+naif"), max_size=8))
@example("1_000")
@example("１e-3")
def test_a_text_is_a_number_only_where_yaml_would_read_one(text):
    found = outcome(params.from_dict, {"train": {"learning_rate": text}})
    assert isinstance(found, str) or (text.isascii() and "_" not in text and text.strip() == text)


def test_a_byte_order_mark_does_no_harm(load):
    assert load("\ufefftrain: {num_epoch: 5}\n").train.num_epoch == 5


def outcome(read, *arguments) -> params.Params | str:
    """The parameters, or the sentence that refuses them."""
    try:
        return read(*arguments)
    except UserError as error:
        return str(error)


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.integers(),
    st.sampled_from([10**26, -(10**26), 10**400, 1e308, -1e308]),
    st.floats(),
    st.text(max_size=8),
    st.text(st.characters(), max_size=8),  # half characters too
    st.sampled_from(["~x/y", "a\0b", "a" * 300, "a/" * 3000, "０.５", "1_000", "nan", "-inf", "1e999"]),
    st.binary(max_size=4),
    st.dates(),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(params.names()), _VALUES)
@example("train.num_epoch", {("a", "b"): None})
@example("train", {"a\nb": 1})
@example("evaluate.hot_words", {"x" * 9000: 0})
@example("x" * 10**6, 1)
def test_any_value_gives_parameters_or_one_sentence(name, value):
    values = value
    for part in reversed(name.split(".")):
        values = {part: values}
    found = outcome(params.from_dict, values)
    if isinstance(found, str):
        assert found.startswith(name.split(".")[0])
        assert len(found.splitlines()) == 1
    else:
        assert isinstance(found, params.Params)


@pytest.mark.parametrize("name", params.names())
def test_an_integer_that_python_cannot_even_show_is_one_sentence(name):
    test_any_value_gives_parameters_or_one_sentence.hypothesis.inner_test(name, -(10**5000))
    test_any_value_gives_parameters_or_one_sentence.hypothesis.inner_test(name, [10**5000])
    test_any_value_gives_parameters_or_one_sentence.hypothesis.inner_test(name, {"x": 10**5000})


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("train:num_epoch{}[]&*!|>'\"%@`-?, \t\n#0123.e\u2028你"), max_size=40))
@example("train: {num_epoch: {{epochs}}}")
@example("? [a, b]\n: 1\n")
@example("? {a: b}\n: 1\n")
@example("._")
def test_any_text_gives_parameters_or_one_sentence(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "params.yaml"
    path.write_text(text, encoding="utf-8")
    found = outcome(params.load, path)
    if isinstance(found, str):
        assert len(found.splitlines()) == 1
    else:
        assert isinstance(found, params.Params)


def test_what_is_not_said_has_its_default(load):
    found = load("train: {num_epoch: 5}\n")
    train = params.TrainSettings(num_epoch=5, average_share=None)
    assert found == params.Params(features=params.FeaturesSettings(remove_mean=False), train=train)


def test_nothing_read_can_be_changed(load):
    found = load("corpora: [demo]\n")
    with pytest.raises(ValidationError):
        found.train.num_epoch = 5
    with pytest.raises(ValidationError):
        found.train = params.TrainSettings()
    assert found.corpora == ("demo",)
    assert isinstance(hash(found), int)


def test_names_are_the_full_names_in_the_order_of_the_file():
    names = params.names()
    assert names[0] == "corpora"
    assert len(names) == len(set(names))
    assert {"train.num_epoch", "augment.noise.noise_dir", "features.target_db", "runtime.num_workers"} <= set(names)
    assert names.index("manifest.min_duration") < names.index("train.num_epoch") < names.index("runtime.use_gpu")


def test_the_explanation_has_every_parameter_with_default_type_and_bounds():
    told = dict(zip(*[iter(messages.describe(params.Params).splitlines())] * 2, strict=True))
    assert [line.partition(" = ")[0] for line in told] == params.names()
    for line, kind in {
        "train.num_epoch = 100": "integer, at least 1, at most 1000000",
        "manifest.dev_fraction = 0.01": "number, at least 0, less than 1",
        "text.lower_case = true": "true or false",
        "features.target_db = -20.0": "null or number, at least -60, at most 0",
        'runtime.num_workers = "auto"': "auto or integer, at least 0, at most 1024",
        'runtime.use_gpu = "auto"': "auto or true or false",
        'train.amp = "off"': "off or bf16 or fp16",
        "augment.resample.new_sample_rate = [8000, 16000, 24000]": "list of integer, at least 1000, at most 192000",
        "evaluate.hot_words = null": "null or {text: number, greater than 0, at most 1000}",
        'augment.noise.noise_dir = "dataset/noise"': "text",
    }.items():
        assert told[line].endswith(f" ({kind})")


def test_the_defaults_are_those_that_users_know():
    found = params.Params()
    assert found.train.batch_size == 8
    assert found.train.learning_rate == 5e-4
    assert (found.manifest.min_duration, found.manifest.max_duration) == (0.5, 20.0)
    assert found.evaluate.metrics_type == "cer"
    assert found.train.num_epoch == 100
    assert (found.model.num_rnn_layers, found.model.rnn_layer_size) == (3, 1024)
    assert found.train.pretrained_model is None
    assert found.train.resume_model == "auto"
    assert found.runtime.use_gpu == "auto"
    assert found.train.augment is True
    assert (found.train.warmup_steps, found.train.save_interval, found.train.keep_checkpoints) == (25000, 2000, 3)
    assert math.isclose(found.train.min_learning_rate, 1e-5)


def test_what_params_yaml_lacks_is_told_once_with_the_values_used(load, log):
    complete = "".join(f"{name}: {{}}\n" for name in params.Params.model_fields if name not in ("corpora", "text"))
    load(f"corpora: [demo]\ntext: {{lower_case: false}}\n{complete}")
    (line,) = log
    assert "params.yaml lacks parameters" in line
    assert 'text.simplified: true, text.numbers: "keep", features.sample_rate: 16000' in line
    assert "lower_case" not in line
    assert "corpora" not in line


@pytest.fixture
def later(monkeypatch):
    later_version.begin(monkeypatch)


@pytest.mark.parametrize("older", [{}, {"train": {}}, {"train": {"num_epoch": 5}}])
def test_a_parameter_that_older_parameters_lack_is_what_was_before_it_existed(older, later):
    found = params.from_dict(older)
    assert (found.train.label_smoothing, found.train.freeze, found.train.patience) == (0.0, (), 7)
    assert found.augment.noise.color == "white"
    assert "label_smoothing" not in older.get("train", {})


def test_a_parameter_that_is_there_is_what_it_says(later):
    found = params.from_dict({"train": {"label_smoothing": 0.2, "freeze": ["rnn"]}}).train
    assert (found.label_smoothing, found.freeze) == (0.2, ("rnn",))


@pytest.mark.parametrize("section", [None, 5, "a", ["noise"]])
def test_a_section_that_is_none_is_refused_by_its_name_also_where_it_lacks_parameters(section, later):
    with pytest.raises(UserError, match=r"^augment: .* is not a section"):
        params.from_dict({"augment": section})


def test_the_value_used_for_one_that_params_yaml_lacks_is_told(load, log, later):
    load("train: {num_epoch: 5}\n")
    assert "train.label_smoothing: 0.0, train.freeze: [], train.patience: 7" in log[0]


def test_what_a_lacking_parameter_stands_for_is_valid_and_as_json_has_it():
    used = params.values(params.from_dict({}))
    assert {name: used[name] for name in params.implied()} == params.implied()
