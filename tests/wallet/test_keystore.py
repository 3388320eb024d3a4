"""Keys at rest: encrypted, private, never overwritten, and one clear line for each way to fail."""

import json
import stat

import pytest
from eth_account import Account

from chain.keyfile import DamagedKeyFile, WrongPassword
from wallet.keystore import (
    BadPrivateKey,
    BadWalletName,
    EmptyPassword,
    Keystore,
    NoSuchWallet,
    WalletExists,
)

KEY = "0x" + "11" * 32


@pytest.fixture
def keystore(tmp_path):
    return Keystore(tmp_path / "wallets", scrypt_work=1 << 10)


def test_a_new_wallet_unlocks_with_its_password_only(keystore):
    made = keystore.new("alice", "secret")
    assert keystore.unlock("alice", "secret").address == made.address
    with pytest.raises(WrongPassword, match="alice"):
        keystore.unlock("alice", "Secret")


def test_an_imported_key_keeps_its_address(keystore):
    assert keystore.import_key("bob", KEY, "pw").address == Account.from_key(KEY).address
    assert keystore.unlock("bob", "pw").key.hex() == KEY[2:]


def test_the_file_is_private_and_does_not_hold_the_key(keystore):
    path = keystore.import_key("bob", KEY, "pw").path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "11" * 32 not in path.read_text()


def test_a_wallet_is_never_overwritten(keystore):
    first = keystore.new("alice", "pw")
    with pytest.raises(WalletExists):
        keystore.import_key("alice", KEY, "pw")
    assert keystore.get("alice") == first


def test_listing_goes_by_name_and_needs_no_password(keystore):
    assert keystore.list() == ()
    for name in ("carol", "alice"):
        keystore.new(name, "pw")
    assert [wallet.name for wallet in keystore.list()] == ["alice", "carol"]


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a" * 65, "tab\t"])
def test_a_name_that_is_no_file_name_is_refused_and_leaves_nothing(keystore, name):
    with pytest.raises(BadWalletName):
        keystore.new(name, "pw")
    assert not keystore.folder.exists()


def test_an_unknown_wallet_names_the_known_ones(keystore):
    keystore.new("alice", "pw")
    with pytest.raises(NoSuchWallet, match="known are alice"):
        keystore.unlock("bob", "pw")
    with pytest.raises(NoSuchWallet):
        keystore.get("../wallets/alice")


@pytest.mark.parametrize("key", ["", "0x12", "zz" * 32, "00" * 32, "ff" * 32])
def test_a_bad_private_key_is_refused_and_never_shown(keystore, key):
    with pytest.raises(BadPrivateKey) as caught:
        keystore.import_key("bob", key, "pw")
    assert not key or key not in str(caught.value)
    assert keystore.list() == ()


def test_an_empty_password_is_refused(keystore):
    with pytest.raises(EmptyPassword):
        keystore.new("alice", "")
    assert keystore.list() == ()


@pytest.mark.parametrize("content", ["", "[]", "{}", "not json", '{"address": "0x12"}', "[" * 5000])
def test_a_damaged_file_says_so(keystore, content):
    keystore.new("alice", "pw").path.write_text(content)
    with pytest.raises(DamagedKeyFile):
        keystore.unlock("alice", "pw")


def test_a_file_whose_key_is_not_that_of_its_address_is_refused(keystore):
    path = keystore.new("alice", "pw").path
    content = json.loads(path.read_text())
    content["address"] = "11" * 20
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedKeyFile, match="not that of its address"):
        keystore.unlock("alice", "pw")
