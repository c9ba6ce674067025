"""Lists of other toolkits through the command and the real stage manifest."""

import json

import numpy as np
import pytest
import soundfile

from ds2 import layout, params
from tests.conftest import tone
from tests.process import run_stage

pytest.importorskip("ds2.audio.piece")  # which reads .jsonl annotations

SETTINGS = params.from_dict({"corpora": [], "runtime": {"num_workers": 1}}).model_dump_json()


def test_the_stage_reads_what_was_converted_and_cuts_the_pieces(workspace, put, command):
    both = np.stack([tone(9.0), tone(9.0, frequency=900)], axis=1)
    for path, samples in {"s5/a.wav": both, "nemo/b.flac": tone(2.5), "cv/xx/clips/c.mp3": tone(3.0)}.items():
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(workspace / path, samples, 16000)
    put("s5/data/train/wav.scp", "A a.wav\nB a.wav\n")
    put("s5/data/train/text", "u1 今天\nu2 天气\nu3 很好\n")
    put("s5/data/train/segments", "u1 A 0.25 2.5\nu2 B 0.25 2.5\nu3 B 4 -1\n")
    put("s5/data/train/reco2file_and_channel", "A a A\nB a B\n")
    put("nemo/dev.json", '{"audio_filepath": "b.flac", "duration": 2.5, "text": "打开"}\n')
    put("cv/xx/test.tsv", 'client_id\tpath\tsentence\ns\tc.mp3\t"再见\n')
    put("calls.csv", "录音,文本,开始,结束,声道\ns5/a.wav,客厅,5.5,0:08,左\n".encode("gbk"))
    sources = {"kaldi": "s5/data/train", "nemo": "nemo/dev.json", "commonvoice": "cv/xx/test.tsv", "csv": "calls.csv"}
    for form, source in sources.items():
        assert command("convert", form, source)[0] == 0
    done = run_stage("manifest", workspace, SETTINGS)
    assert done.returncode == 0, done.stderr
    assert (workspace / layout.REJECTED).read_text() == ""
    found = [
        json.loads(line)
        for split in layout.SPLITS
        for line in layout.manifest_path(split).read_text(encoding="utf-8").splitlines()
    ]
    assert {u["text"]: (u.get("offset"), round(u["duration"], 1), u.get("channel")) for u in found} == {
        "今天": (0.25, 2.2, 0),
        "天气": (0.25, 2.2, 1),
        "很好": (4.0, 5.0, 1),
        "打开": (0.0, 2.5, None),
        "再见": (None, 3.0, None),
        "客厅": (5.5, 2.5, 0),
    }
    assert [u["text"] for u in found if u["audio_filepath"] == "cv/xx/clips/c.mp3"] == ["再见"]
