import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ds2 import __main__ as command_line
from ds2 import layout
from ds2.checkpoint import disk
from ds2.decoding.greedy import Greedy
from ds2.recognition import paddle_model
from ds2.transcribing import inputs
from ds2.transcribing.transcriber import Transcriber
from tests.checkpoint import hostile
from tests.commands.test_evaluate import set_evaluate
from tests.decoding import arpa

pytestmark = pytest.mark.wheel

REPOSITORY = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "ds2", "transcribe"]


@pytest.fixture(scope="module")
def expected(root, model_folder):
    """The texts of the tiny data's recordings, by their names."""
    texts = Transcriber(paddle_model.load(model_folder, False), Greedy(), 4, 20.0).transcribe(
        inputs.expand([str(root / "audio")])
    )
    return {Path(transcript.name).name: transcript.text for transcript in texts}


@pytest.fixture
def alone(workspace, root, model_folder):
    """A working directory with the checkpoint, without its optimiser, and recordings; nothing else of a training."""
    shutil.rmtree(workspace / "dataset")
    shutil.copytree(model_folder, workspace / "moved", ignore=shutil.ignore_patterns(disk.OPTIMIZER))
    shutil.copytree(root / "audio", workspace / "audio")
    return workspace


def environment(**more):
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"} | more


def run(folder, *arguments, **options):
    done = subprocess.run(
        [*COMMAND, "--model", "moved", *arguments],
        cwd=folder,
        env=environment(DVC_ROOT="/elsewhere"),
        capture_output=True,
        check=False,
        timeout=300,
        **options,
    )
    assert b"Traceback" not in done.stderr
    return done


def sentences(done):
    return [line for line in done.stderr.decode().splitlines() if line.startswith("error: ")]


def test_what_is_not_said_is_as_the_page_says():
    found = command_line.parser("transcribe")[0].parse_args(["a.wav"])
    assert (found.inputs, found.max_duration, found.batch_size, found.json) == (["a.wav"], 20.0, 8, False)
    assert found.model == Path("models/best_model")


def test_a_moved_checkpoint_is_all_it_takes(alone, expected):
    before = sorted(alone.rglob("*"))
    done = run(alone, "audio", "-", input=b"audio/3.wav\n./audio/1.wav\tyes\n")
    assert (done.returncode, sentences(done)) == (0, [])
    names = [f"audio/{name}" for name in sorted(expected)] + ["audio/3.wav", "./audio/1.wav"]
    assert done.stdout.decode() == "".join(f"{name}\t{expected[Path(name).name]}\n" for name in names)
    assert sorted(alone.rglob("*")) == before


def test_json_has_a_line_for_every_recording_also_for_those_that_cannot_be_read(alone, expected, with_pauses):
    samples, _ = with_pauses(1.0)
    soundfile.write(alone / "long.ogg", samples, 16000)
    (alone / "bad.mp3").write_bytes(b"")
    (alone / "list.txt").write_text("audio/0.wav\nnone.wav\n")
    done = run(alone, "--json", "--max-duration", "3", "bad.mp3", "long.ogg", "list.txt", "audio/1.wav")
    assert done.returncode == 1
    assert sentences(done) == [
        "error: bad.mp3: the file is empty (0 bytes)",
        "error: none.wav: there is no such file",
    ]
    bad, long, first, none, second = map(json.loads, done.stdout.decode().splitlines())
    assert bad == {"path": "bad.mp3", "error": "the file is empty (0 bytes)"}
    assert none == {"path": "none.wav", "error": "there is no such file"}
    for line, name in ((first, "0.wav"), (second, "1.wav")):
        assert list(line) == ["path", "text", "duration", "sample_rate", "confidence"]
        assert (line["path"], line["text"]) == (f"audio/{name}", expected[name])
    assert list(long) == ["path", "text", "duration", "sample_rate", "confidence", "segments"]
    assert long["duration"] == pytest.approx(len(samples) / 16000, abs=0.01)
    assert len(long["segments"]) >= 5
    assert all(set(segment) == {"start", "end", "text"} for segment in long["segments"])
    assert "".join(s["text"] for s in long["segments"]).replace(" ", "") == long["text"].replace(" ", "")


def test_who_reads_the_output_may_stop(alone, expected):
    (alone / "list.txt").write_text("".join(f"audio/{name}\n" for name in expected) * 50)
    done = subprocess.run(
        f"{sys.executable} -m ds2 transcribe --batch-size 1 --model moved list.txt | head -n 2",
        shell=True,
        cwd=alone,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert len(done.stdout.splitlines()) == 2
    for word in (b"Traceback", b"Broken", b"error: "):
        assert word not in done.stderr


@pytest.mark.parametrize("name", [disk.MODEL, disk.VOCABULARY, disk.MEAN_ISTD, disk.STATE])
@pytest.mark.parametrize("harm", ["removed", "changed"])
def test_a_damaged_checkpoint_is_refused_by_a_sentence(name, harm, alone, refused):
    path = alone / "moved" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink() if harm == "removed" else path.write_bytes(content)
    line = refused("transcribe", "--model", "moved", "audio")
    assert "moved is damaged" in line
    assert name in line


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["a.wav"], "models/best_model is damaged"),
        (["--model", "none", "a.wav"], "none does not exist"),
        (["--model", "models", "a.wav"], "name one of them, such as models/best_model"),
        (["--model", f"moved/{disk.MODEL}", "a.wav"], "is a file: name the checkpoint's folder, moved"),
        (["--max-duration", "1", "a.wav"], "--max-duration: '1': it must be a number from 2 to 86400"),
        (["--max-duration", "nan", "a.wav"], "--max-duration: 'nan': it must be a number from 2 to 86400"),
        (["--max-duration", "1e300", "a.wav"], "--max-duration: '1e300': it must be a number from 2 to 86400"),
        (["--max-duration", "２０", "a.wav"], "--max-duration: '２０': it must be a number from 2 to 86400"),
        (["--batch-size", "0", "a.wav"], "--batch-size: '0': it must be an integer from 1 to 100000"),
        (["--batch-size", "1" + "0" * 30, "a.wav"], "it must be an integer from 1 to 100000"),
        (["--batch-size", "９", "a.wav"], "--batch-size: '９': it must be an integer from 1 to 100000"),
        (["--model", "a" * 300, "a.wav"], "is too long for the path of a file or folder"),
    ],
)
def test_what_cannot_be_is_refused_by_a_sentence(arguments, part, alone, refused):
    (alone / "models/best_model").mkdir(parents=True, exist_ok=True)
    assert part in refused("transcribe", *arguments)


STARVED = """
import resource, sys
from ds2.__main__ import main
from ds2.commands import transcribe

real = transcribe.Transcriber.transcribe

def transcribe_with_little(self, given):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
    return real(self, given)

transcribe.Transcriber.transcribe = transcribe_with_little
sys.argv[1:] = ["transcribe", "--model", "moved", "--max-duration", "3000", "long.wav"]
main()
"""


def test_a_lack_of_memory_says_which_options_to_lower(alone):
    soundfile.write(alone / "long.wav", np.random.default_rng(0).normal(0, 0.1, 8000 * 1500), 8000)
    command = [sys.executable, "-c", STARVED]
    done = subprocess.run(command, cwd=alone, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: there is not enough memory for 8 pieces of up to 3000 s at once: lower --batch-size or --max-duration"
    )
    assert "Traceback" not in done.stderr


def test_a_pickle_in_the_place_of_weights_is_refused_and_runs_nothing(alone, refused):
    hostile.put_a_pickle_for_weights(alone / "moved", alone / "mark")
    line = refused("transcribe", "--model", "moved", "audio")
    assert "moved/model.safetensors is not a safetensors file" in line
    assert not (alone / "mark").exists()


def test_what_comes_through_a_pipe_is_read_whole(alone):
    """Also by a name such as <(...) has; MP3 and OGG are read from several places."""
    samples, rate = soundfile.read(alone / "audio/1.wav")
    for kind in ("mp3", "ogg", "flac"):
        soundfile.write(alone / f"a.{kind}", samples, rate)
    files = run(alone, "--json", "a.mp3", "a.ogg", "a.flac")
    texts = [json.loads(line)["text"] for line in files.stdout.splitlines()]
    command = f"cat a.mp3 | {' '.join(COMMAND)} --model moved --json /dev/stdin <(cat a.ogg) <(cat a.flac) /dev/null"
    done = subprocess.run(["bash", "-c", command], cwd=alone, env=environment(), capture_output=True, check=False)
    *piped, device = map(json.loads, done.stdout.splitlines())
    assert piped[0]["path"] == "/dev/stdin"
    assert [line["text"] for line in piped] == texts
    assert device["error"] == "it is no regular file but a device"
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_pieces_channels_and_rates_on_the_command_line(alone, expected):
    samples, rate = soundfile.read(alone / "audio/1.wav")
    soundfile.write(alone / "call.wav", np.stack([0 * samples, samples], axis=1), rate)
    soundfile.write(alone / "low.raw", samples[::2], rate // 2, format="WAV")
    duration = len(samples) / rate
    (alone / "list.jsonl").write_text(
        f'{{"audio_filepath": "audio/1.wav", "offset": 0.0, "duration": {duration}}}\n'
        '{"audio_filepath": "audio/2.wav", "channel": 4}\n{"audio_filepath": 3}\n'
    )
    done = run(alone, "--json", "--channel", "1", "call.wav", "list.jsonl")
    call, piece, channel, mistake = map(json.loads, done.stdout.splitlines())
    assert (call["text"], call["channel"], call["sample_rate"]) == (expected["1.wav"], 1, rate)
    assert piece["error"] == "there is no channel 1: it has 1, counted from 0"
    assert (channel["path"], channel["channel"]) == ("audio/2.wav", 4)
    assert mistake["path"] == "list.jsonl line 3"
    assert done.returncode == 1

    done = run(alone, "list.jsonl", "low.raw", "call.wav")
    first, *_ = done.stdout.decode().splitlines()
    assert first == f"audio/1.wav (from 0 s)\t{expected['1.wav']}"
    told = [line for line in done.stderr.decode().splitlines() if "WARNING" in line]
    assert len(told) == 2
    assert f"1 recording below the model's sample rate of {rate} Hz (first: low.raw, {rate // 2} Hz)" in told[0]
    assert "1 recording with more than one channel, which are mixed (first: call.wav, 2 channels)" in told[1]
    assert sentences(done)[0] == ("error: audio/2.wav (channel 4): there is no channel 4: it has 1, counted from 0")


def test_a_channel_below_0_is_refused(alone, refused):
    assert "--channel: '-1': it must be an integer from 0 to 1023" in refused(
        "transcribe", "--model", "moved", "--channel", "-1", "a.wav"
    )


def predicted(workspace):
    """The texts of the stage evaluate, by path."""
    lines = (workspace / layout.PREDICTIONS).read_text(encoding="utf-8").splitlines()
    return {row["audio_filepath"]: row["hypothesis"] for row in map(json.loads, lines)}


def printed(out):
    return dict(line.split("\t") for line in out.splitlines())


@pytest.fixture
def searched(copied):
    """A repository whose stage evaluate has run, with a beam search, a language model and a hot word."""
    arpa.write(copied / layout.LANGUAGE_MODEL, [["a"], ["a", "a"], ["你", "<space>", "a"]], 2)
    set_evaluate(copied, decoder="ctc_beam_search", alpha=2.5, beta=-1.0, beam_size=20, hot_words={"Ａ": 1.0})
    stage = [sys.executable, "-m", "stages.evaluate"]
    done = subprocess.run(stage, cwd=copied, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return copied


def test_the_text_is_that_of_the_stage_evaluate_whatever_decodes(searched, command, expected):
    texts = predicted(searched)
    code, out, err = command("transcribe", "--params", "params.yaml", *texts)
    assert (code, printed(out)) == (0, texts)
    assert "brings no decoder" not in err
    (searched / "words.txt").write_text("Ａ\t1\n", encoding="utf-8")
    numbers = ("--alpha", "2.5", "--beta", "-1", "--beam-size", "20", "--hot-words", "words.txt")
    _, out, _ = command("transcribe", "--lm", "dataset/lm.arpa", *numbers, *texts)
    assert printed(out) == texts
    _, out, err = command("transcribe", *texts)
    greedily = printed(out)
    assert {Path(path).name: text for path, text in greedily.items()} == expected
    assert sum(greedily[path] != text for path, text in texts.items()) > 2
    told = "models/best_model brings no decoder and decodes greedily; params.yaml names ctc_beam_search: add --params"
    assert err.count(told) == 1


def test_a_bundle_says_what_the_stage_evaluate_has_said_without_being_told_how(searched, command):
    pytest.importorskip("onnx")
    texts = predicted(searched)
    assert command("export")[0] == 0
    shutil.rmtree(searched / "models")
    (searched / layout.LANGUAGE_MODEL).unlink()
    (searched / layout.PARAMS).unlink()
    code, out, err = command("transcribe", "--model", "exported", *texts)
    assert (code, printed(out)) == (0, texts)
    assert "greedily" not in err
    _, out, _ = command("transcribe", "--model", "exported", "--decoder", "ctc_greedy", *texts)
    assert printed(out) != texts


def test_a_folder_gets_a_file_a_recording_and_the_second_time_nothing_is_done(alone, expected):
    (alone / "audio/bad.wav").write_bytes(b"")
    for again in (False, True):
        done = run(alone, "--output", "out", "--format", "srt", "audio")
        assert (done.returncode, done.stdout) == (1, b"")
        assert sentences(done) == ["error: audio/bad.wav: the file is empty (0 bytes)"]
        told = done.stderr.decode()
        count = 1 if again else 1 + len(expected)
        assert f"out: {count} recording{'s' * (not again)}, 1 of them failed, " in told
        assert (f"{len(expected)} recordings complete already: skipped" in told) == again
        for name, text in expected.items():
            assert (alone / "out/audio" / f"{name}.srt").read_text(encoding="utf-8").split("\n")[2] == text
    done = run(alone, "--output", "out", "--format", "srt", "--beam-size", "5", "audio/1.wav")
    assert "skipped" not in done.stderr.decode()
    assert "out: 1 recording, " in done.stderr.decode()


def test_one_recording_is_printed_in_any_format_and_several_need_a_folder(alone, expected, refused):
    for form, beginning in (("srt", "1\n00:00:"), ("vtt", "WEBVTT\n\n00:00:"), ("tsv", "start\tend\ttext\n")):
        done = run(alone, "--format", form, "audio/1.wav")
        assert done.stdout.decode().startswith(beginning)
        assert expected["1.wav"] in done.stdout.decode()
    done = run(alone, "--format", "json", "audio/1.wav")
    assert json.loads(done.stdout)["text"] == expected["1.wav"]
    assert run(alone, "--format", "txt", "audio/1.wav").stdout.decode() == f"{expected['1.wav']}\n"
    (alone / "a.txt").write_text("")
    for several in (["audio"], ["-"], ["a.txt"], ["audio/1.wav", "audio/2.wav"]):
        line = refused("transcribe", "--model", "moved", "--format", "srt", *several)
        assert "--format srt prints one recording: name --output DIR for several" in line
    for other in (["--format", "json"], ["--output", "out"]):
        assert "--json prints lines" in refused("transcribe", "--model", "moved", "--json", *other, "audio")


def written(folder):
    """The transcripts in a folder: what tells one from another that was written later."""
    return {str(path): path.stat().st_ino for path in folder.rglob("*.json") if ".ds2" not in path.parts}


@pytest.mark.slow
def test_thousands_of_recordings_killed_and_continued_are_each_done_once_in_flat_memory(alone, expected):
    for i in range(3000):
        link = alone / f"many/{i // 100}/{i}.wav"
        link.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(alone / "audio" / f"{i % len(expected)}.wav", link)
    command = [*COMMAND, "--model", "moved", "--output", "out", "--format", "json", "many"]
    before, memory = {}, []
    for wanted in (200, 900, 2400, None):
        process = subprocess.Popen(command, cwd=alone, env=environment(), stderr=subprocess.PIPE)
        while process.poll() is None:
            if wanted is not None and len(written(alone / "out")) >= wanted:
                memory.append(resident(process.pid))
                process.kill()
                process.wait()
            time.sleep(0.05)
        process.stderr.close()
        now = written(alone / "out")
        assert before.items() <= now.items()
        assert len(now) < 3000 or wanted is None
        before = now
    assert process.returncode == 0
    assert len(before) == 3000
    for path in list(before)[::97]:
        text = json.loads(Path(path).read_text(encoding="utf-8"))["text"]
        assert text == expected[f"{int(Path(path).name.split('.')[0]) % len(expected)}.wav"]
    assert max(memory) < 1.1 * min(memory)


def resident(pid):
    """The memory of a process in pages."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def test_on_a_terminal_a_bar_shows_files_audio_and_speed(alone, expected):
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, 120, 0, 0))
    command = [*COMMAND, "--model", "moved", "--batch-size", "1", "--output", "out", "audio"]
    subprocess.run(command, cwd=alone, env=environment(), stderr=follower, check=True, timeout=300)
    os.set_blocking(leader, False)
    shown = os.read(leader, 1 << 20).decode()
    os.close(leader), os.close(follower)
    assert re.search(rf"\d+/{len(expected)} .*files.*0:00:\d\d of audio, real-time factor \d\.\d{{3}}", shown)
