from ds2 import params
from ds2.data import unreadable


def test_as_many_may_be_unreadable_as_the_manifest_stage_may_reject():
    # 0.29 * 100 is 28.999999999999996, but 29 / 100 is no more than 0.29.
    for percent in range(101):
        manifest = params.ManifestSettings(max_rejected_fraction=percent / 100)
        for recordings in (1, 7, 14, 100, 360_000):
            most = unreadable.bearable(recordings, manifest)
            assert most / recordings <= manifest.max_rejected_fraction < (most + 1) / recordings or most == recordings
