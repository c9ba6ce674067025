"""Every command in README, CONTRIBUTING and docs/ is run here or by another test, or has a reason why not."""

import importlib
import json
import re
from contextlib import contextmanager
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import soundfile

from tests import documents
from tests.conftest import tone
from tests.pipeline.running import until
from tests.process import free_port

# What is run for a command of the pages, in this order, in one repository: the command itself, or a cheaper form with
# the names that exist there.
AS_IT_IS = ""
RUN = {
    "dvc repro": AS_IT_IS,
    "dvc repro manifest": AS_IT_IS,
    "dvc repro evaluate": AS_IT_IS,
    "dvc dag": AS_IT_IS,
    "dvc metrics show": AS_IT_IS,
    "cat results/data.json": AS_IT_IS,
    "cat results/evaluation.json": AS_IT_IS,
    "cat results/lm.json": AS_IT_IS,
    "dvc plots show": AS_IT_IS,
    "head -n 3 dataset/rejected.jsonl": AS_IT_IS,
    'awk \'{ id = $1; $1 = ""; print "/data/wav/" id ".wav\\t" $0 }\' text > dataset/annotation/my.txt': (
        "printf 'a1 今天 天气\\n' > text"
        ' && awk \'{ id = $1; $1 = ""; print "/data/wav/" id ".wav\\t" $0 }\' text > my.txt'
        " && grep $'^/data/wav/a1.wav\\t 今天 天气$' my.txt"
    ),
    # With lists of their own, to other annotations than the pipeline's.
    "python -m ds2 convert kaldi /data/s5/data/train": (
        "mkdir s5 && echo u1 folder/c.wav > s5/wav.scp && echo u1 x > s5/text"
        " && python -m ds2 convert kaldi s5 kaldi.jsonl"
    ),
    "python -m ds2 convert nemo /data/nemo/train_manifest.json": (
        """echo '{"audio_filepath": "a.wav", "duration": 1, "text": "x"}' > nemo.json"""
        " && python -m ds2 convert nemo nemo.json nemo.jsonl"
    ),
    "python -m ds2 convert wenet /data/wenet/train/data.list": (
        """echo '{"key": "u", "wav": "a.wav", "txt": "x"}' > data.list"""
        " && python -m ds2 convert wenet data.list wenet.jsonl"
    ),
    "python -m ds2 convert commonvoice /data/cv-corpus/zh-CN": (
        "mkdir -p cv/clips && cp b.mp3 cv/clips && printf 'path\\tsentence\\nb.mp3\\tx\\n' > cv/train.tsv"
        " && python -m ds2 convert commonvoice cv cv.jsonl"
    ),
    "python -m ds2 convert csv calls.csv dataset/annotation/calls.jsonl": (
        "echo a.wav,x > calls.csv && python -m ds2 convert csv calls.csv calls.jsonl"
    ),
    "iconv -f gb18030 -t utf-8": "echo | iconv -f gb18030 -t utf-8",
    "du -sh .dvc/cache .ds2 models dataset log": AS_IT_IS,
    "python -m ds2": AS_IT_IS,
    "python -m ds2 params": AS_IT_IS,
    "python -m ds2 transcribe --help": AS_IT_IS,
    "python -m stages.train --help": AS_IT_IS,
    "python -c 'import paddle; print(paddle.__version__, paddle.is_compiled_with_cuda())'": AS_IT_IS,
    "python -c 'import paddle; paddle.utils.run_check()'": AS_IT_IS,
    "python -m ds2 transcribe a.wav b.mp3": AS_IT_IS,
    "python -m ds2 transcribe --model models/best_model folder/ list.txt": AS_IT_IS,
    "find /data -name '*.wav' | python -m ds2 transcribe --json -": (
        "find folder -name '*.wav' | python -m ds2 transcribe --json -"
    ),
    "python -m ds2 evaluate --manifest dataset/manifest.dev --out scored": AS_IT_IS,
    "python -m ds2 export": AS_IT_IS,
    "python -m ds2 export models/best_model half --fp16": AS_IT_IS,
    "python -m ds2 transcribe --model exported a.wav b.mp3": AS_IT_IS,
    "python -m ds2 evaluate --list calls.txt --out scored": (
        "printf 'a.wav\\t今天\\n' > calls.txt && python -m ds2 evaluate --list calls.txt --out scored_calls"
    ),
    "python -m ds2 align a.wav 今天天气怎么样": "python -m ds2 align a.wav 东南",
    "python -m ds2 align --format ctm calls.txt > calls.ctm": (
        "printf 'a.wav\\t东南\\n' > calls.txt && python -m ds2 align --format ctm calls.txt > calls.ctm"
    ),
    "python -m ds2 transcribe --params params.yaml a.wav b.mp3": AS_IT_IS,
    "python -m ds2 transcribe --lm dataset/lm.arpa --alpha 1.5 --beta 2 a.wav b.mp3": AS_IT_IS,
    "python -m ds2 transcribe --hot-words words.txt a.wav b.mp3": (
        "printf '今天\\t5\\n' > words.txt && python -m ds2 transcribe --hot-words words.txt a.wav b.mp3"
    ),
    "python -m ds2 transcribe --format srt a.wav > a.srt": AS_IT_IS,
    "python -m ds2 transcribe --output texts folder/ list.txt": AS_IT_IS,
    "python -m ds2 transcribe --output subtitles --format srt folder/": AS_IT_IS,
    "python -m benchmarks.microphone models/best_model": (
        f"PYTHONPATH={documents.ROOT} python -m benchmarks.microphone models/best_model"
    ),
    "python -m benchmarks.times models/best_model": (
        f"PYTHONPATH={documents.ROOT} python -m benchmarks.times models/best_model"
    ),
    "python -m ds2 show a.wav": AS_IT_IS,
    "python -m ds2 show a.wav --out heard --seed 7": AS_IT_IS,
    "python -m ds2 recipe aishell": "python -m ds2 recipe aishell --yes",  # the repository's is edited
    "python -m ds2 recipe full": AS_IT_IS,
    "python -m ds2 recipe demo": AS_IT_IS,
    "python -m ds2 recipe small": AS_IT_IS,
    "git checkout params.yaml": AS_IT_IS,
    'git add params.yaml dvc.lock results dataset/annotation && git commit -m "my data"': (
        'git add params.yaml dvc.lock results dataset/annotation && git commit --allow-empty -m "my data"'
    ),
    # From here on: experiments that leave the model alone ...
    "dvc exp run -S train.augment=false": AS_IT_IS,
    "dvc exp run -S augment.noise.prob=0.8 -S augment.noise.min_snr_dB=0": AS_IT_IS,
    "dvc exp run -S evaluate.decoder=ctc_beam_search": AS_IT_IS,
    "python -m ds2 tune": AS_IT_IS,
    "dvc exp run -S evaluate.decoder=ctc_beam_search -S evaluate.alpha=1.5 -S evaluate.beta=2": AS_IT_IS,
    "dvc repro lm": AS_IT_IS,
    # ... and those that train.
    "mkdir -p pretrained && cp -rL models/epoch_100 pretrained": (
        "mkdir -p pretrained && cp -rL models/epoch_2 pretrained"
    ),
    "dvc exp run -S train.resume_model=pretrained/epoch_100 -S train.num_epoch=120": (
        "dvc exp run -S train.resume_model=pretrained/epoch_2 -S train.num_epoch=3 train"
    ),
    "python -m ds2 recipe finetune --from models/best_model": (
        "python -m ds2 recipe finetune --from models/best_model --yes"
        " && dvc exp run -S train.num_epoch=1 -S runtime.num_workers=0 train"
    ),
    "git checkout . && dvc checkout": AS_IT_IS,
    "dvc exp run -S train.augment=false -S train.warmup_steps=100 -S train.num_epoch=100 -S model.dropout=0.0": (
        "dvc exp run -S train.augment=false -S train.warmup_steps=100 -S train.num_epoch=1 -S model.dropout=0.0 train"
    ),
    "dvc exp run -S model.rnn_layer_size=256": (
        "git checkout params.yaml && dvc exp run -n one -S model.rnn_layer_size=8 -S train.num_epoch=1"
    ),
    "dvc metrics diff HEAD <experiment>": "dvc metrics diff HEAD one",
    "dvc plots diff HEAD <experiment>": "dvc plots diff HEAD one",
    "dvc exp run --queue -S train.seed=1,2,3": (
        "git checkout params.yaml && dvc exp run --queue -n grid -S evaluate.batch_size=3,5"
    ),
    "dvc queue start": "dvc queue start > started.txt 2>&1 < /dev/null",
    "dvc queue status": AS_IT_IS,
    "dvc queue logs <experiment>": "dvc queue logs grid-1",
    "dvc queue stop": AS_IT_IS,
    "dvc exp run --queue -S 'train.learning_rate=3e-4,1e-3' -S 'model.dropout=0.0,0.1'": AS_IT_IS,
    "dvc exp show --only-changed": AS_IT_IS,
    "dvc exp show -A --sort-by results/evaluate.json:cer --csv > experiments.csv": AS_IT_IS,
    "dvc exp apply <experiment>": "dvc exp apply one",
    "dvc exp branch <experiment> better": "dvc exp branch one better",
    "dvc exp remove <experiment>": "dvc exp remove one",
    "dvc gc -w": "dvc gc -w --force",
}

# What other tests run, and which.
RUN_ELSEWHERE = {
    "python -m ds2 split": "test_split.test_a_split_written_edited_and_extended_reruns_just_what_it_changes",
    "dvc exp run -S train.num_epoch=110": "test_continuing.test_more_epochs_as_an_experiment",
    "dvc exp run -S train.start_over=again": "test_continuing.test_deleted_models_come_back_and_a_new_word_starts_over",
    "dvc add dataset/noise dataset/reverb": (
        "test_mistakes.test_a_clone_without_the_noises_does_not_train_without_them_and_goes_on_when_dvc_has_brought_them"
    ),
    "git add dataset/noise.dvc dataset/reverb.dvc": (
        "test_mistakes.test_a_clone_without_the_noises_does_not_train_without_them_and_goes_on_when_dvc_has_brought_them"
    ),
    "dvc add pretrained": "test_finetuning.test_experiments_in_a_copy_find_it_and_a_clone_has_it_from_dvc",
    "git add pretrained.dvc": "test_finetuning.test_experiments_in_a_copy_find_it_and_a_clone_has_it_from_dvc",
    "python -m stages.corpus musan": (
        "test_corpora.test_noises_named_as_a_corpus_are_there_before_the_training_and_added_later_they_train_anew"
    ),
    "dvc exp run --temp": "test_continuing.test_more_epochs_in_a_temporary_copy",
    "dvc push": "test_continuing.test_a_clone_goes_on_from_what_dvc_pull_brings",
    "dvc pull": "test_continuing.test_a_clone_goes_on_from_what_dvc_pull_brings",
    "dvc exp run --pull": "test_continuing.test_a_clone_without_dvc_pull_starts_from_the_beginning",
    "dvc commit": "test_interrupted.test_half_a_training_is_hard_to_commit_and_completed_by_force",
    "dvc repro -f -s train": "test_repro.test_a_finished_training_run_again_trains_nothing",
    "dvc repro mean_istd vocabulary": "conftest.prepared",
    "git checkout <branch>": "test_leftovers.test_a_killed_experiment_is_told_of_and_what_is_said_mends_it",
    "git checkout -B <branch>": "test_leftovers.test_commits_on_no_branch_get_to_the_branch",
    "git stash pop": "test_leftovers.test_changes_that_were_put_aside_are_brought_back",
    "git stash drop": "test_leftovers.test_changes_that_were_put_aside_and_are_in_the_files_too_are_not_lost",
    "make compare": "test_compare.test_make_compare_and_make_experiments",
    "make compare FROM=<experiment>": "test_compare.test_make_compare_and_make_experiments",
    "make experiments": "test_compare.test_make_compare_and_make_experiments",
    "python -m http.server": "test_docs.test_the_report_and_its_sound_come_from_pythons_server",
    "visualdl --logdir log": "test_docs.test_visualdl_shows_every_run_by_its_name",
    "dvc exp run -S 'corpora=[aishell,musan]'": (
        "test_corpora.test_noises_named_as_a_corpus_are_there_before_the_training_and_added_later_they_train_anew"
    ),
    "dvc exp run -S 'corpora=[aishell,musan,rirs_noises]'": (
        "test_corpora.test_noises_named_as_a_corpus_are_there_before_the_training_and_added_later_they_train_anew"
    ),
}

_GATE = "the gate .ci/run runs it"
_INSTALLS = "makes an environment of its own out of gigabytes of wheels"
_CLUSTER = "needs several GPUs or machines; tests/distributed/test_process_group.py trains with several processes"
NOT_RUN = {
    "git clone <this repository> ds2 && cd ds2": "this is the repository",
    "make repro": _INSTALLS,
    "make install": _INSTALLS,
    "PADDLE=cpu make repro": _INSTALLS,
    "PADDLE=gpu make repro": _INSTALLS,
    "PADDLE=gpu make install": _INSTALLS,
    "PADDLE=gpu PADDLE_INDEX=<address> make repro": _INSTALLS,
    "source .venv/cpu/bin/activate": "the environment is made by make",
    "source .venv/gpu/bin/activate": "the environment is made by make",
    "make pictures": "redraws the pictures of docs/ from the demo's training",
    "make test": _GATE,
    "make lint": _GATE,
    "make test-slow": _GATE,
    "PADDLE=gpu make test-wheel": _GATE,
    ".ci/run": "it is the gate",
    "python -m pytest tests/params/test_params_agree.py": "make test runs it",
    "ruff check && ruff format": "make lint runs the check",
    "pip install '.[onnx]'": _INSTALLS,
    "python -m benchmarks bundle": "takes minutes at full size",
    "python -m benchmarks processes": "takes minutes",
    "pip install mutmut": "a tool outside the gate",
    "mutmut run --max-children 1": "takes minutes a module, outside the gate",
    "mutmut results": "shows what the run before it has found",
    "nvidia-smi": "there is no GPU",
    "nvidia-smi --query-gpu=compute_cap,name --format=csv": "there is no GPU",
    "dvc config --local core.no_scm true": "ends the experiments; tests/test_makefile.py tries what it writes",
    "CUDA_VISIBLE_DEVICES=0,1 dvc repro": _CLUSTER,
    "PADDLE_NNODES=2 PADDLE_MASTER=10.0.0.1:6170 PADDLE_RANK=0 CUDA_VISIBLE_DEVICES=0,1 dvc repro": _CLUSTER,
    "PADDLE_NNODES=2 PADDLE_MASTER=10.0.0.1:6170 PADDLE_RANK=1 CUDA_VISIBLE_DEVICES=0,1 python -m stages.train": (
        _CLUSTER
    ),
    "export PADDLE_MASTER=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1):6170 "
    "PADDLE_NNODES=$SLURM_NNODES": _CLUSTER,
    "srun --ntasks-per-node=1 bash -c 'export PADDLE_RANK=$SLURM_NODEID\n"
    "    if [ $PADDLE_RANK = 0 ]; then dvc repro train; else python -m stages.train; fi'": _CLUSTER,
}


def test_every_command_of_the_pages_is_run_or_has_a_reason_why_not():
    typed = {command for page in documents.PAGES for command in documents.commands(page)}
    listed = [*RUN, *RUN_ELSEWHERE, *NOT_RUN]
    assert len(listed) == len(set(listed))
    assert sorted(typed - set(listed)) == []
    assert sorted(set(listed) - typed) == []


def test_the_tests_that_run_commands_elsewhere_exist():
    for place in set(RUN_ELSEWHERE.values()):
        module, name = place.split(".")
        assert hasattr(importlib.import_module(f"tests.pipeline.{module}"), name), place


@pytest.fixture(scope="module")
def reader(trained, tmp_path_factory):
    """A repository with what the pages take for granted, trained and committed."""
    folder = tmp_path_factory.mktemp("reader") / "repository"
    repository = trained.copy(folder)
    for name in ("a.wav", "b.mp3", "folder/c.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, tone(1.0), 16000)
    (folder / "list.txt").write_text("folder/c.wav\n", encoding="utf-8")
    yield repository
    repository.run("dvc", "queue", "stop", "--kill")
    repository.end_processes()


@pytest.mark.slow
@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_pages_runs(command, reader):
    reader.run("bash", "-c", RUN[command] or command)
    if command == "dvc queue start":
        until(lambda: reader.experiments() >= {"grid-1", "grid-2"}, lambda: reader.run("dvc", "queue", "status"))


@contextmanager
def served(reader, *command):
    """Runs a server; get(path) is what it answers at an address once it does."""
    port = free_port()
    server = reader.start(*(part.replace("PORT", str(port)) for part in command))

    def get(path):
        # VisualDL wants to know a reader's language, as every browser says it.
        asked = Request(f"http://127.0.0.1:{port}/{path}", headers={"Accept-Language": "zh-CN,en"})
        with urlopen(asked, timeout=60) as answer:
            return answer.read()

    def answers():
        try:
            return get("")
        except URLError:
            return b""

    try:
        until(answers)
        yield get
    finally:
        server.process.kill()
        server.process.wait()


@pytest.mark.slow
def test_the_report_and_its_sound_come_from_pythons_server(reader):
    with served(reader, "python", "-m", "http.server", "PORT", "--bind", "127.0.0.1") as get:
        page = get("results/report.html").decode()
        sounds = re.findall(r'<audio [^>]*src="([^"]+)"', page)
        assert sounds
        assert get(f"results/{sounds[0]}")[:4] == b"RIFF"


@pytest.mark.slow
def test_visualdl_shows_every_run_by_its_name(reader):
    with served(reader, "visualdl", "--logdir", "log", "--port", "PORT", "--disable-telemetry") as get:

        def data(path, **query):
            return json.loads(get(f"app/api/{path}?{urlencode(query)}"))["data"]

        runs = data("runs")
        assert sorted(runs) == sorted(f"log/{path.name}" for path in (reader.folder / "log").iterdir() if path.is_dir())
        assert runs
        losses = data("scalar/list", run=runs[0], tag="train/loss")
        assert losses
        first = losses[0][1]  # of a run that goes on from another not 1
        assert [step for _, step, _ in losses] == list(range(first, first + len(losses)))
