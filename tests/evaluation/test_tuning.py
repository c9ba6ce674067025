import numpy as np
import pytest

from ds2.data.vocabulary import Vocabulary
from ds2.decoding import candidates, hot_words, ngram
from ds2.decoding.beam import BeamSearch
from ds2.decoding.greedy import Greedy
from ds2.evaluation import tuning
from ds2.evaluation.error_rate import Errors
from ds2.evaluation.tuning import Point, Utterances
from ds2.recognition.acoustic import log_softmax
from tests.decoding import arpa

pytestmark = pytest.mark.wheel

VOCABULARY = Vocabulary(["<blank>", "<unk>", "北", "京", "上", "海"])


def tuned(folder, sentences):
    """Of a network that hears 京 and 海 as much the same, and a language."""
    path = arpa.write(folder / "lm.arpa", sentences, 2)
    random = np.random.default_rng(0)
    kept, references = [], []
    for text in ["北京", "上海"] * 10:
        logits = random.normal(0, 0.7, (4, len(VOCABULARY)))
        first = VOCABULARY.encode(text)[0]
        logits[0, first] += 6
        logits[1, 0] += 6
        logits[2, [3, 5]] += 6
        logits[3, 0] += 6
        kept.append(candidates.prune(log_softmax(logits), 1.0, 6))
        references.append(text)
    search = BeamSearch(10, 0.0, 0.0, ngram.read(path, VOCABULARY), hot_words.build({}, VOCABULARY))
    return tuning.tune(Utterances(kept, references), search, VOCABULARY, "cer")


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """With a language that knows Beijing and Shanghai."""
    return tuned(tmp_path_factory.mktemp("lm"), [["北", "京"], ["上", "海"]])


def test_a_language_that_misleads_gets_no_weight_and_none_below_zero_is_tried(tmp_path):
    found = tuned(tmp_path, [["北", "海"], ["上", "京"]])
    assert tuning.best(found).alpha < 0.5
    assert min(point.alpha for point in found) == 0


def test_around_the_best_weights_the_steps_are_halved_twice(points):
    assert {point.alpha % 0.5 for point in points} >= {0.0, 0.25, 0.125}
    assert {point.beta % 1.0 for point in points} >= {0.0, 0.5, 0.25}
    whole = [point for point in points if not point.alpha % 0.5 and not point.beta % 1.0]
    assert len(whole) == 9 * 11


def test_the_language_model_gets_the_weight_that_mends_the_errors(points):
    by_weights = {(point.alpha, point.beta): point.errors for point in points}
    best = tuning.best(points)
    assert best.errors.total < by_weights[0.0, 0.0].total
    assert best.alpha > 0
    assert {errors.reference_length for errors in by_weights.values()} == {40}
    assert len(by_weights) == len(points)


def test_greedy_decoding_of_the_same_candidates_is_what_the_best_weights_are_compared_with():
    random = np.random.default_rng(1)
    logs = [log_softmax(random.normal(0, 3, (9, len(VOCABULARY)))) for _ in range(20)]
    texts = [VOCABULARY.decode(Greedy().decode(Greedy().prune(one)).ids) for one in logs]
    kept = [candidates.prune(one, 0.9, 3) for one in logs]
    assert tuning.greedy(Utterances(kept, texts), VOCABULARY, "cer") == Errors(correct=sum(map(len, texts)))
    assert tuning.greedy(Utterances(kept[:1], ["北" + texts[0]]), VOCABULARY, "cer").total == 1


def test_of_equal_points_the_middle_one_is_the_best():
    points = [Point(alpha, beta, Errors(substitutions=1)) for alpha in (0.0, 0.5, 1.0) for beta in (1.0, 2.0, 3.0)]
    assert tuning.best([*points, Point(9.0, 9.0, Errors(substitutions=2))]) == points[4]


def test_the_table_has_a_line_for_every_point_and_the_picture_is_one(points, tmp_path):
    tuning.write_table(tmp_path / "tune.tsv", points, "cer")
    lines = [line.split("\t") for line in (tmp_path / "tune.tsv").read_text().splitlines()]
    assert lines[0] == ["alpha", "beta", "cer", "substitutions", "deletions", "insertions"]
    assert [(float(a), float(b), float(rate)) for a, b, rate, *_ in lines[1:]] == [
        (point.alpha, point.beta, pytest.approx(point.errors.rate, abs=1e-6)) for point in points
    ]
    tuning.write_picture(tmp_path / "tune.png", points, "cer")
    assert (tmp_path / "tune.png").read_bytes().startswith(b"\x89PNG")
