import subprocess

from tests.documents import ROOT


def make(*arguments: str) -> subprocess.CompletedProcess:
    """Says what make would do."""
    return subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_wheel_that_does_not_exist_is_refused_by_a_sentence():
    done = make("PADDLE=GPU", "repro")
    assert done.returncode != 0
    assert "PADDLE is 'GPU': it can be cpu or gpu" in done.stderr


def test_the_wheel_that_is_chosen_has_its_own_environment_and_packages():
    for wheel in ("cpu", "gpu"):
        done = make(f"PADDLE={wheel}", "--always-make", "install")
        assert f"-r requirements/{wheel}.txt" in done.stdout
        assert f".venv/{wheel}/bin/python" in done.stdout
