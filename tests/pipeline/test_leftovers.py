"""A dvc exp run that is killed leaves git without a branch: the next stage says how it gets back, and no other does."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from ds2 import log
from ds2.pipeline import leftovers, orphan
from tests.pipeline.running import PATIENCE, kill, processes, until

# The line that is said, but for the commands at its end.
SAID = "has left git on no branch (detached HEAD), where commits get lost: when this run has ended, run "


@pytest.fixture
def git(tmp_path, monkeypatch):
    """git(words) runs it in a repository of one commit, in which the test works."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.invalid")

    def run(*words):
        return subprocess.run(("git", *words), check=True, capture_output=True, text=True).stdout.strip()

    run("init", "-q", "-b", "main")
    Path("params.yaml").write_text("a: 1\n")
    run("add", "params.yaml")
    run("commit", "-qm", "first")
    return run


def detach(git) -> None:
    """As DVC does it."""
    git("checkout", "-q", git("rev-parse", "HEAD"))


def restore(git, branch="main") -> None:
    """As DVC does it."""
    git("symbolic-ref", "-m", f"dvc: Restore HEAD to '{branch}'", "HEAD", f"refs/heads/{branch}")


def kill_experiment(git) -> None:
    """What dvc exp run does to HEAD until its first stage runs."""
    detach(git)
    restore(git)
    detach(git)


@pytest.fixture
def warned(capsys):
    """warned() are the commands that are said now."""
    log.to_terminal()

    def said():
        leftovers.warn_of_detached_head()
        printed = capsys.readouterr().err
        assert (SAID in printed) == bool(printed)
        return printed.partition(SAID)[2].strip().split(", then ") if printed else []

    return said


def test_the_branch_is_named_once_for_all_stages_of_a_dvc(git, warned, monkeypatch):
    kill_experiment(git)
    assert warned() == ["git checkout main"]
    assert warned() == []
    monkeypatch.setattr(orphan, "dvc", psutil.Process)  # another than this process's parent
    assert warned() == ["git checkout main"]


def test_changes_that_were_put_aside_are_brought_back(git, warned):
    Path("params.yaml").write_text("a: 2\n")
    git("stash")
    detach(git)
    commands = warned()
    for command in commands:
        git(*command.split()[1:])
    assert git("branch", "--show-current") == "main"
    assert Path("params.yaml").read_text() == "a: 2\n"


def test_changes_that_were_put_aside_and_are_in_the_files_too_are_not_lost(git, warned):
    Path("params.yaml").write_text("a: 2\n")
    git("stash")
    detach(git)
    Path("params.yaml").write_text("a: 2\nb: 1  # of -S\n")
    assert warned() == ["git checkout main", "git stash pop"]
    git("checkout", "-q", "main")
    with pytest.raises(subprocess.CalledProcessError):
        git("stash", "pop")
    git("stash", "drop")
    assert Path("params.yaml").read_text() == "a: 2\nb: 1  # of -S\n"


@pytest.mark.parametrize("moved", [False, True])
def test_commits_on_no_branch_get_to_the_branch(git, warned, moved):
    kill_experiment(git)
    Path("params.yaml").write_text("a: 2\n")
    git("commit", "-qam", "results")
    commit = git("rev-parse", "HEAD")
    if moved:
        git("update-ref", "refs/heads/main", git("commit-tree", "-p", "main", "-m", "of another", "main^{tree}"))
    else:
        Path("params.yaml").write_text("a: 3\n")
    commands = warned()
    for command in commands:
        git(*command.split()[1:])
    assert git("branch", "--show-current") == "main"
    assert commit in git("rev-list", "main")
    assert ("of another" in git("log", "--format=%s", "main")) == moved
    assert Path("params.yaml").read_text() == ("a: 2\n" if moved else "a: 3\n")


def test_a_repository_below_gits_and_a_worktree_are_known(git, warned, monkeypatch, tmp_path):
    git("worktree", "add", "-q", "-b", "other", "tree/of/another")
    monkeypatch.chdir("tree/of/another")
    detach(git)
    restore(git, "other")
    detach(git)
    below = tmp_path / "tree/of/another/below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert warned() == ["git checkout other"]


@pytest.mark.parametrize(
    "chosen",
    [
        ("checkout", "-q", "--detach"),
        ("checkout", "-q", "HEAD~0"),
        ("checkout", "-q", "main"),
        ("checkout", "-q", "COMMIT"),
        ("checkout", "-q", "SECOND"),
    ],
)
@pytest.mark.parametrize("before", ["nothing", "an experiment"])
def test_a_head_that_the_user_detached_is_nothing_to_warn_of(git, warned, chosen, before, monkeypatch):
    first = git("rev-parse", "HEAD")
    git("commit", "-q", "--allow-empty", "-m", "second")
    git("checkout", "-q", "-b", "branch", first)
    if before == "an experiment":  # an hour ago
        monkeypatch.setenv("GIT_COMMITTER_DATE", "1700000000 +0000")
        kill_experiment(git)
        restore(git)
        git("checkout", "-q", "branch")
        detach(git)
        restore(git, "branch")
        monkeypatch.setenv("GIT_COMMITTER_DATE", "1700003600 +0000")
    words = {"COMMIT": first, "SECOND": git("rev-parse", "main")}
    git(*(words.get(word, word) for word in chosen))
    assert warned() == []


def test_without_git_nothing_is_said(tmp_path, warned, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert warned() == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def started(prepared, a_copy):
    """An experiment with changes that nobody has committed, held in its second stage; it, and that stage's number."""
    repository = a_copy(prepared)
    # A shell between dvc and each stage, as some systems' /bin/sh stays: most give way to their only command.
    shell = repository.folder.with_name("shell")
    shell.write_text('#!/bin/sh\n/bin/sh "$@"\nexit $?\n')
    shell.chmod(0o755)
    repository.environment["SHELL"] = str(shell)
    repository.change_params(mean_istd={"num_utterances": 30})
    (repository.folder / "untracked.txt").write_text("one's own")
    running = repository.start("dvc", "exp", "run", "-S", "vocabulary.count_threshold=2", "mean_istd", "vocabulary")
    until(lambda: processes(repository.folder, "-m", "stages.vocabulary"), running.printed)
    [stage] = processes(repository.folder, "-m", "stages.vocabulary")
    os.kill(stage, signal.SIGSTOP)
    return repository, running, stage


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_experiment_is_told_of_and_what_is_said_mends_it(started, how):
    repository, running, stage = started
    branch = repository.run("git", "branch", "--format=%(refname:short)").split()[-1]
    os.kill(running.process.pid, how)
    kill(stage)
    assert SAID not in running.end()
    # The same command again, which ends well, and on no branch.
    assert f"{SAID}git checkout {branch}\n" in repository.run("dvc", "exp", "run", "vocabulary")
    printed = repository.run("dvc", "repro", "-f", "-s", "mean_istd", "vocabulary")
    assert printed.count("Running stage") == 2
    assert printed.count(f"{SAID}git checkout {branch}\n") == 1
    repository.run("git", "checkout", branch)
    repository.commit("results")
    assert repository.run("git", "log", "-1", "--format=%s", branch) == "results\n"
    params = repository.run("git", "show", f"{branch}:params.yaml")
    assert "num_utterances: 30" in params
    assert "count_threshold: 2" in params
    assert repository.run("git", "show", f"{branch}:untracked.txt") == "one's own"
    assert SAID not in repository.run("dvc", "repro", "-f", "-s", "vocabulary")


@pytest.mark.slow
def test_experiments_that_run_and_a_commit_that_is_checked_out_are_nothing_to_warn_of(started):
    repository, running, stage = started
    assert SAID not in repository.run("python", "-m", "stages.vocabulary")  # at the same time
    os.kill(stage, signal.SIGCONT)
    assert running.process.wait(PATIENCE) == 0
    assert SAID not in running.printed()
    temporary = ("dvc", "exp", "run", "--temp", "-S", "vocabulary.count_threshold=3", "vocabulary")
    assert SAID not in repository.run(*temporary)
    repository.run("git", "checkout", "-q", "--detach")
    assert SAID not in repository.run("dvc", "repro", "-f", "-s", "vocabulary")
