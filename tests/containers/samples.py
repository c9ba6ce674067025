"""Files of every container that the tests and the fuzz run try, made by libsndfile and FFmpeg."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

# By libsndfile: format and subtype.
SNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "wav 8 bits": ("WAV", "PCM_U8"),
    "wav 24 bits": ("WAV", "PCM_24"),
    "wav float": ("WAV", "FLOAT"),
    "wav extensible": ("WAVEX", "PCM_16"),
    "wav a-law": ("WAV", "ALAW"),
    "wav adpcm": ("WAV", "IMA_ADPCM"),
    "wav ms adpcm": ("WAV", "MS_ADPCM"),
    "wav gsm": ("WAV", "GSM610"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "w64 float": ("W64", "FLOAT"),
    "aiff": ("AIFF", "PCM_16"),
    "aifc float": ("AIFF", "FLOAT"),
    "aifc ima": ("AIFF", "IMA_ADPCM"),
    "au": ("AU", "PCM_16"),
    "au mu-law": ("AU", "ULAW"),
    "caf": ("CAF", "PCM_16"),
    "caf alac": ("CAF", "ALAC_16"),
    "sphere": ("NIST", "PCM_16"),
    "sphere mu-law": ("NIST", "ULAW"),
    "voc": ("VOC", "PCM_16"),
    "ircam": ("IRCAM", "PCM_16"),
    "svx": ("SVX", "PCM_16"),
    "avr": ("AVR", "PCM_16"),
    "htk": ("HTK", "PCM_16"),
    "paf": ("PAF", "PCM_16"),
    "pvf": ("PVF", "PCM_16"),
    "mat4": ("MAT4", "PCM_16"),
    "mat5": ("MAT5", "PCM_16"),
    "mpc2k": ("MPC2K", "PCM_16"),
    "sds": ("SDS", "PCM_16"),
    "wve": ("WVE", "ALAW"),
    "flac": ("FLAC", "PCM_16"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
# By FFmpeg: container, codec, options of the container.
FFMPEG = {
    "m4a": ("mp4", "aac", {}),
    "m4a fast start": ("mp4", "aac", {"movflags": "faststart"}),
    "m4a fragmented": ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "m4a alac": ("ipod", "alac", {}),
    "3gp": ("3gp", "libopencore_amrnb", {}),
    "mov": ("mov", "pcm_s16le", {}),
    "webm": ("webm", "libopus", {}),
    "webm live": ("webm", "libopus", {"live": "1"}),
    "mka": ("matroska", "flac", {}),
    "mka aac": ("matroska", "aac", {}),
    "wma": ("asf", "wmav2", {}),
    "avi": ("avi", "mp2", {}),
    "avi pcm": ("avi", "pcm_s16le", {}),
    "flv": ("flv", "aac", {}),
    "ts": ("mpegts", "aac", {}),
    "mpg": ("mpeg", "mp2", {}),
    "aac": ("adts", "aac", {}),
    "ac3": ("ac3", "ac3", {}),
    "eac3": ("eac3", "eac3", {}),
    "mp2": ("mp2", "mp2", {}),
    "mp3 without Xing": ("mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}),
    "mp3 of ffmpeg": ("mp3", "libmp3lame", {}),
    "amr": ("amr", "libopencore_amrnb", {}),
    "ogg flac": ("ogg", "flac", {}),
    "wavpack": ("wv", "wavpack", {}),
    "tta": ("tta", "tta", {}),
    "nut": ("nut", "flac", {}),
    "wav of ffmpeg": ("wav", "pcm_s16le", {}),
    "aiff of ffmpeg": ("aiff", "pcm_s16be", {}),
    "w64 of ffmpeg": ("w64", "pcm_s16le", {}),
    "rm": ("rm", "ac3", {}),
    "latm": ("latm", "aac", {}),
    "caf of ffmpeg": ("caf", "pcm_s16be", {}),
}
KINDS = (*SNDFILE, *FFMPEG)
# Codecs of telephones, whose rate is given.
_RATES = {"libopencore_amrnb": 8000, "ac3": 48000, "eac3": 48000, "mp2": 16000}

_BITS = {"libopencore_amrnb": 12200}


def write(kind: str, path: Path, samples: np.ndarray, rate: int = 16000) -> None:
    """Writes float32 [n] or [n, channels] as one of KINDS; FFmpeg's kinds are mono."""
    if kind in SNDFILE:
        name, subtype = SNDFILE[kind]
        soundfile.write(str(path), samples, rate, format=name, subtype=subtype)
        return
    name, codec, options = FFMPEG[kind]
    with av.open(str(path), "w", format=name, options=options) as container:
        stream = container.add_stream(codec, rate=_RATES.get(codec, rate), layout="mono")
        stream.bit_rate = _BITS.get(codec, 64000)
        stream.codec_context.open()
        to_codec = av.AudioResampler(
            format=stream.format.name,
            layout="mono",
            rate=stream.rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32)[None], format="flt", layout="mono")
        frame.sample_rate = rate
        count = 0
        for part in (*to_codec.resample(frame), *to_codec.resample(None), None):
            if part is not None:
                part.pts, part.time_base = count, Fraction(1, stream.rate)
                count += part.samples
            for packet in stream.encode(part):
                container.mux(packet)
