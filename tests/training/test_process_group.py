"""Several processes train like one with all their lanes, and recover from the death of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charlm import checkpoint
from charlm.config import DataConfig
from charlm.errors import TrainingError
from charlm.training import run_state
from charlm.training.process_group import ProcessGroup, local_part
from charlm.training.run import Request, Run
from charlm.training.run_dir import RunDir
from charlm.training.run_state import Snapshot
from charlm.training.torchrun_env import TorchrunEnv
from tests.conftest import HARBOUR, PATIENCE

DATA = DataConfig((str(HARBOUR),))
TINY: dict[str, Any] = {"hidden": 16, "layers": 2, "chunk": 16, "precision": "fp32", "threads": 1, "seed": 3}


def torchrun(folder: Path, name: str, lanes: int, steps: int, dropout: float) -> subprocess.Popen[str]:
    """Start a run of two processes under torchrun."""
    rest = {**TINY, "lanes": lanes, "steps": steps, "dropout": dropout, "evaluations": 8, "output": name}
    options = [word for key, value in rest.items() for word in (f"--{key}", str(value))]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [sys.executable, *launcher, "--max-restarts", "3", "-m", "charlm", "train", str(HARBOUR), *options],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a successful end; return what it wrote on stderr."""
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return err


def whole_run(folder: Path, name: str, lanes: int, steps: int, dropout: float) -> None:
    """Train in this process."""
    overrides = {**TINY, "lanes": lanes, "steps": steps, "dropout": dropout, "evaluations": 8}
    for _ in Run(Request(DATA, str(folder / "checkpoints" / name), overrides)).events():
        pass


def losses(folder: Path, name: str) -> np.ndarray[Any, Any]:
    """Return training loss, validation loss, step and characters of each evaluation, (evaluations, 4)."""
    run = RunDir.named(str(folder / "checkpoints" / name))
    run.truncate(10**9)
    return np.array([[float(row[key]) for key in ("train", "validation", "step", "characters")] for row in run.rows])


@pytest.mark.slow
def test_two_processes_learn_as_one_with_all_lanes(tmp_path: Path) -> None:
    err = finish(torchrun(tmp_path, "two", lanes=4, steps=100, dropout=0))
    whole_run(tmp_path, "one", lanes=8, steps=100, dropout=0)
    np.testing.assert_allclose(losses(tmp_path, "two"), losses(tmp_path, "one"), atol=1e-4)
    assert err.count("step 100 ") == 1, "one of them shows what happens"
    one, two = (checkpoint.load(tmp_path / "checkpoints" / f"{name}.safetensors") for name in ("one", "two"))
    for name, tensor in one.tensors.items():
        np.testing.assert_allclose(two.tensors[name], tensor, atol=1e-2, err_msg=name)


def worker(launcher: int, rank: int) -> int:
    """Return the process id of a rank under torchrun."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = status.read_text(encoding="utf-8").split("PPid:")[1].split()[0]
            environment = status.with_name("environ").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if int(parent) == launcher and f"RANK={rank}".encode() in environment:
            return int(status.parent.name)
    raise AssertionError("torchrun has started no such process")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
def test_killed_process_resumes_to_the_same_model(tmp_path: Path) -> None:
    process = torchrun(tmp_path, "killed", lanes=4, steps=240, dropout=0.2)
    saved = tmp_path / "checkpoints" / "killed.run" / "resume.safetensors"
    while not saved.exists() or run_state.load(saved).numbers["progress"]["step"] < 30:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    os.kill(worker(process.pid, 1), signal.SIGKILL)
    assert "killed: resumes at step" in finish(process)
    assert "resumes" not in finish(torchrun(tmp_path, "whole", lanes=4, steps=240, dropout=0.2))
    killed, undisturbed = (
        checkpoint.load(tmp_path / "checkpoints" / f"{name}.safetensors") for name in ("killed", "whole")
    )
    assert killed.record.steps == 240
    assert killed.fingerprint == undisturbed.fingerprint
    np.testing.assert_array_equal(losses(tmp_path, "killed"), losses(tmp_path, "whole"))


def begin(folder: Path, launch: TorchrunEnv, steps: int = 40, stop_at: int = 10**9) -> Run:
    """Train until a step."""
    overrides = {**TINY, "lanes": 4, "steps": steps, "evaluations": 4}
    run = Run(Request(DATA, str(folder / "m"), overrides), env=launch)
    for event in run.events():
        if getattr(event, "step", 0) >= stop_at:
            run.request_stop()
    return run


def test_restart_by_torchrun_resumes(tmp_path: Path) -> None:
    begin(tmp_path, TorchrunEnv(identity="us"), stop_at=20)
    step = run_state.load(tmp_path / "m.run" / "resume.safetensors").numbers["progress"]["step"]
    assert 20 <= step < 40
    seen = []
    run = Run(Request(DATA, str(tmp_path / "m")), env=TorchrunEnv(identity="us"))
    for event in run.events():
        seen.append(type(event).__name__)
        assert getattr(event, "resumed_at", step) == step
    assert seen[-1] == "Ended"
    before = (tmp_path / "m.safetensors").read_bytes()
    # A process that exited after its last step is not trained again.
    begin(tmp_path, TorchrunEnv(identity="us"))
    assert (tmp_path / "m.safetensors").read_bytes() == before


def test_restart_without_a_save_starts_over(tmp_path: Path) -> None:
    folder = RunDir.named(str(tmp_path / "m"))
    folder.create(force=False)
    folder.write_owner("us")
    begin(tmp_path, TorchrunEnv(identity="us"), steps=4)
    assert checkpoint.load(tmp_path / "m.safetensors").record.steps == 4


@pytest.mark.parametrize("launch", [TorchrunEnv(), TorchrunEnv(identity="others")])
def test_restart_resumes_only_its_own_run(tmp_path: Path, launch: TorchrunEnv) -> None:
    begin(tmp_path, TorchrunEnv(identity="us"), steps=4)
    with pytest.raises(Exception, match="already exists"):
        begin(tmp_path, launch, steps=4)


@pytest.mark.parametrize(("before", "now"), [(2, 1), (1, 2), (3, 2)])
def test_another_number_of_processes_is_refused(tmp_path: Path, before: int, now: int) -> None:
    begin(tmp_path, TorchrunEnv(), stop_at=20)
    config = tmp_path / "m.run" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "ranks": before}))
    with pytest.raises(TrainingError, match="resumes only with as many") as refused:
        Run(resumed=str(tmp_path / "m"), env=TorchrunEnv(size=now))
    assert str(before) in str(refused.value.hint) or before == 1


def test_group_of_one_returns_its_arguments() -> None:
    alone = ProcessGroup(TorchrunEnv(rank=0, size=1, identity="x"))
    model = torch.nn.Linear(2, 2)
    snapshot = Snapshot({"state.0.0": torch.ones(2)}, {"a": 1})
    assert alone.wrap(model) is model
    assert alone.sum(1.5, 2) == (1.5, 2)
    assert alone.broadcast(["x"]) == ["x"]
    assert alone.gather(snapshot).tensors.keys() == snapshot.tensors.keys()
    with pytest.raises(RuntimeError, match="gloo"), alone.translate_peer_errors():
        raise RuntimeError("gloo")


def test_local_part_selects_a_rank_s_tensors() -> None:
    tensors = {"model.b": 0, "state.0.0": 1, "rng.cpu": 2, "rank.1.state.0.0": 11, "rank.1.rng.cpu": 12}
    tensors |= {"rank.10.state.0.0": 101, "rank.10.rng.cpu": 102}
    for rank, (state, rng) in {0: (1, 2), 1: (11, 12), 10: (101, 102)}.items():
        assert local_part(Snapshot(tensors, {}), rank).tensors == {"model.b": 0, "state.0.0": state, "rng.cpu": rng}


def test_torchrun_env_reads_the_environment() -> None:
    assert TorchrunEnv.of({"RANK": "3", "WORLD_SIZE": "8"}) == TorchrunEnv(), "others set these too"
    environment = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "none"}
    launch = TorchrunEnv.of(environment)
    assert (launch.rank, launch.size, launch.local_rank) == (3, 8, 1)
    assert str(os.getppid()) in launch.identity
    assert TorchrunEnv.of({**environment, "TORCHELASTIC_RESTART_COUNT": "1"}) == launch
