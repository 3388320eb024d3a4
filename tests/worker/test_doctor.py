"""What `doctor` finds: nothing in a sound worker, and each ill by its name with its fix."""

import shutil
from dataclasses import replace

from chain import deployment as deployments
from chain.store import manifest_key
from protocol.manifest import build_manifest, model_id
from tests.worker.harness import MODEL_DIR, PASSWORD, eventually
from worker import doctor, keystore, report


def keep_manifest(place) -> bytes:
    manifest = build_manifest(MODEL_DIR)
    place.store.put(manifest_key(model_id(manifest)), manifest.encoded())
    return model_id(manifest)


def test_doctor_finds_nothing_wrong_with_a_sound_worker(place):
    keep_manifest(place)
    checks = doctor.check(place.config(), PASSWORD)
    # The shared node's clock is where earlier tests put it.
    assert {check.name for check in checks if not check.ok} <= {"clock"}
    assert len({check.name for check in checks}) == len(checks) >= 12


def test_doctor_names_each_ill_with_its_fix_and_still_runs_the_other_checks(place, tmp_path):
    sound = place.config()
    keep_manifest(place)
    keystore.create(tmp_path / "poor.json", PASSWORD, b"\x05" * 32, light=True)
    ill = sound.model_copy(
        update={
            "chain": sound.chain.model_copy(update={"rpc_url": "http://127.0.0.1:1"}),
            "models": (sound.models[0].model_copy(update={"path": tmp_path}),),
            "engine": sound.engine.model_copy(update={"meta_model": tmp_path / "none.json"}),
        }
    )
    found = {check.name: check for check in doctor.check(ill, "guess")}
    wrong = {name for name, check in found.items() if not check.ok}
    assert wrong >= {"RPC", "chain and code", "keystore", "models", "meta-model"}
    assert {"deployment file", "store", "disk", "process"} <= found.keys() - wrong
    assert all(found[name].fix and found[name].detail for name in wrong)
    poor = sound.model_copy(
        update={"keys": sound.keys.model_copy(update={"keystore": tmp_path / "poor.json"})}
    )
    wrong = {check.name for check in doctor.check(poor, PASSWORD) if not check.ok}
    assert wrong - {"clock"} == {"balance for gas", "balance for bonds"}


def test_doctor_says_once_that_the_chain_is_away_and_leaves_out_what_rests_on_it(place, tmp_path):
    sound = place.config()
    for changed, root in (
        ({"deployment": tmp_path / "none.json"}, "deployment file"),
        ({"rpc_url": "http://127.0.0.1:1"}, "RPC"),
    ):
        ill = sound.model_copy(update={"chain": sound.chain.model_copy(update=changed)})
        checks = doctor.check(ill, PASSWORD)
        said = [check for check in checks if not check.ok and check.fix and not check.waits_for]
        assert [check.name for check in said if "CHAIN-0" in check.detail] == [root]
        left_out = {check.name for check in checks if check.waits_for == root}
        assert left_out >= {"chain and code", "clock", "balance for gas", "balance for bonds"}


def test_doctor_finds_a_model_file_that_is_not_the_one_that_was_added(place, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MODEL_DIR, folder)
    added = {folder: keep_manifest(place)}
    config = place.config()
    config = config.model_copy(update={"models": (config.models[0].model_copy(update={"path": folder}),)})

    def found():
        return next(check for check in doctor.check(config, PASSWORD, added) if check.name == "model files")

    assert found().ok
    weights = next(folder.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert not found().ok
    assert str(folder) in found().detail
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert "config.json" in found().detail


def test_doctor_knows_a_database_of_another_chain(place, start):
    config = place.config()
    found = {check.name: check for check in doctor.check(config, PASSWORD)}
    assert found["database"].ok
    worker = start(config)
    eventually(lambda: report.status(config).at > 0, "the worker runs")
    worker.stop(now=True)
    eventually(lambda: not report.status(config).running, "the worker ended")
    deployment = deployments.load(config.chain.deployment)
    deployments.save(replace(deployment, genesis_hash=b"\x01" * 32), config.chain.deployment)
    found = {check.name: check for check in doctor.check(config, PASSWORD)}
    assert not found["database"].ok
    assert f"WORKER-007 state_dir {config.state_dir}" in found["database"].detail
    assert "set state_dir to a new folder" in found["database"].fix


def test_doctor_notices_a_clock_that_is_behind_the_chain(place):
    place.rpc.call("evm_increaseTime", 3_600)
    place.rpc.call("evm_mine")
    (clock,) = (check for check in doctor.check(place.config(), PASSWORD) if check.name == "clock")
    assert not clock.ok
    assert clock.fix == "set this machine's clock"


def test_an_engine_that_asks_for_more_cores_than_there_are_is_an_ill(place):
    checks = {check.name: check for check in doctor.check(place.config(threads=10_000), PASSWORD)}
    assert not checks["device"].ok
    assert "10000" in checks["device"].detail
    assert checks["vLLM import"].ok
