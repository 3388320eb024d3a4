"""The devnet's own life: up, found again, down, and every way its files can lie."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from chain import deployment as deployments
from chain import devnet as devnets
from chain.deployment import BadDeployment, ChainReset, NoDeployment, WrongChain
from chain.devnet import DevnetBusy, PortTaken, UnknownPreset, deployment_file
from chain.market import Market
from chain.rpc import Rpc, RpcUnavailable
from protocol.abi import ZERO_ADDRESS


@pytest.fixture
def home(tmp_path):
    try:
        yield tmp_path
    finally:
        devnets.down(tmp_path)


def gone(pid):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_devnet_comes_up_is_found_again_and_goes_down(home):
    running = devnets.up(home)
    rpc = Rpc(running.rpc_url)
    assert os.getpgid(running.pid) == running.pid
    assert devnets.status(home).problem == ""
    assert devnets.up(home) == running
    assert Market(rpc, running.deployment).account(devnets.dev_account(0).address).free_units == 0
    assert rpc.balance_wei(devnets.dev_account(19).address) == 10_000 * 10**18

    before, started = rpc.latest(), time.time()
    time.sleep(1.2)
    after = rpc.latest()
    assert after.number - before.number >= 3, "blocks come by themselves, several a second"
    assert after.timestamp <= time.time() + 1, "and do not run the chain's clock ahead"
    assert after.timestamp >= started - 2

    assert devnets.down(home) is True
    assert gone(running.pid)
    assert devnets.down(home) is False
    assert devnets.status(home).problem == "no devnet runs here"
    with pytest.raises(NoDeployment, match="devnet up"):
        deployments.load(deployment_file(home))


def test_two_devnets_of_the_same_second_are_two_chains(home, rpc):
    """Their genesis blocks differ by more than their time."""
    other = Rpc(devnets.up(home).rpc_url)
    genesis, others = rpc.block(0), other.block(0)
    assert genesis is not None
    assert others is not None
    assert genesis.base_fee_wei != others.base_fee_wei


def test_a_killed_node_leaves_a_clear_line_and_up_starts_anew(home):
    first = devnets.up(home, block_millis=None)
    os.killpg(first.pid, signal.SIGKILL)
    os.waitpid(first.pid, 0)
    deployment = deployments.load(deployment_file(home))
    with pytest.raises(RpcUnavailable, match="start the node"):
        deployments.check(deployment, Rpc(deployment.rpc_url, timeout_secs=1))
    status = devnets.status(home)
    assert not status.running
    assert "no usable answer" in status.problem

    port = int(first.rpc_url.rpartition(":")[2])
    time.sleep(1.1)  # within one second the new chain would be the old one to the last bit
    second = devnets.up(home, port=port, block_millis=None)
    assert second.pid != first.pid
    assert second.rpc_url == first.rpc_url
    with pytest.raises(ChainReset, match="reset"):
        deployments.check(first.deployment, Rpc(second.rpc_url))
    deployments.check(second.deployment, Rpc(second.rpc_url))


def test_a_node_dies_with_the_parent_that_asked_for_it(tmp_path):
    script = (
        "import sys, pathlib, time; from chain import devnet;"
        "print(devnet.up(pathlib.Path(sys.argv[1]), block_millis=None, die_with_parent=True).pid, flush=True);"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


def test_a_stranger_with_the_old_pid_is_left_alone(home):
    running = devnets.up(home, block_millis=None)
    state = home / "devnet" / "node.json"
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    kept = state.read_text()
    state.write_text(kept.replace(str(running.pid), str(stranger.pid)))
    assert devnets.down(home) is False
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    state.write_text(kept)


def test_a_taken_port_and_an_unknown_preset_start_nothing(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortTaken):
            devnets.up(home, port=taken.getsockname()[1])
    with pytest.raises(PortTaken):
        devnets.up(home, port=70_000)
    with pytest.raises(UnknownPreset, match="bench, devnet, public"):
        devnets.up(home, preset="mainnet")
    assert devnets.status(home).pid is None


def test_two_ups_do_not_race(home):
    with devnets._exclusive(home), pytest.raises(DevnetBusy):
        devnets.up(home)


def test_a_deployment_is_read_back_and_checked(devnet, rpc, tmp_path):
    path = tmp_path / "deployment.json"
    deployments.save(devnet.deployment, path)
    assert deployments.load(path) == devnet.deployment
    deployments.check(devnet.deployment, rpc)
    with pytest.raises(WrongChain, match="chain 1;"):
        deployments.check(replace(devnet.deployment, chain_id=1), rpc)
    with pytest.raises(ChainReset, match="genesis"):
        deployments.check(replace(devnet.deployment, genesis_hash=b"\1" * 32), rpc)
    with pytest.raises(ChainReset, match="code"):
        deployments.check(replace(devnet.deployment, market=devnets.dev_account(5).address), rpc)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"quern": 1}',
        '{"quern": 2}',
        "\0",
    ],
)
def test_a_damaged_deployment_file_is_named(tmp_path, text):
    path = tmp_path / "deployment.json"
    path.write_text(text)
    with pytest.raises(BadDeployment, match="deploy again"):
        deployments.load(path)


def test_a_deployment_file_with_a_wrong_field_is_named(devnet, tmp_path):
    path = tmp_path / "deployment.json"
    deployments.save(devnet.deployment, path)
    good = path.read_text()
    for old, new in [
        ('"chain_id":31337', '"chain_id":"31337"'),
        (devnet.deployment.market, "0x12"),
        ('"window_secs":5', '"window_secs":"5"'),
        ('"window_secs":5', '"windows":5'),
    ]:
        assert old in good
        path.write_text(good.replace(old, new))
        with pytest.raises(BadDeployment):
            deployments.load(path)


def test_the_markets_parameters_are_the_presets(devnet, market):
    from chain.bindings import InferenceMarketAbi
    from chain.call import Call, simulate

    call = Call("parameters", devnet.deployment.market, InferenceMarketAbi.encode_parameters())
    window, *_, age_rate, arbiter, token = InferenceMarketAbi.decode_parameters(simulate(market.rpc, call))
    assert (window, age_rate) == (5, 10**9)
    assert (arbiter, token) == (devnet.deployment.arbiter.lower(), ZERO_ADDRESS)
    assert devnet.deployment.parameters.bond_unit_units * 10**9 == 10**15
