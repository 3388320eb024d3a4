"""The ERC-20 of a market that is not one of ether."""

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from chain.call import Call, simulate
from chain.rpc import NodeError, Rpc
from protocol.currency import Currency
from protocol.digest import keccak
from protocol.errors import BadInput, QuernError

_WORD_BYTES = 32


class NotAToken(BadInput):
    """Nothing at that address answers as an ERC-20 does."""

    def __init__(self, address: str, question: str) -> None:
        super().__init__("CHAIN-017", "token", address, f"it does not answer {question}(); name an ERC-20")


class Token:
    """Amounts are in the token's smallest parts. Reads raise NotAToken, NodeError, RpcUnavailable."""

    def __init__(self, rpc: Rpc, address: str) -> None:
        self._rpc = rpc
        self.address = address

    def currency(self) -> Currency:
        """How amounts of it are shown and counted. Raises BadCurrency besides."""
        return Currency(self._symbol(), self._uint("decimals"))

    def balance_of(self, holder: str) -> int:
        return self._uint("balanceOf", ("address", holder))

    def allowance(self, owner: str, spender: str) -> int:
        return self._uint("allowance", ("address", owner), ("address", spender))

    def nonce(self, owner: str) -> int:
        """Of `owner`'s next permit (EIP-2612)."""
        return self._uint("nonces", ("address", owner))

    def domain_separator(self) -> bytes:
        """What `owner` signs a permit under. Raises NotAToken for a token without permits."""
        return self._word("DOMAIN_SEPARATOR")

    def approve(self, spender: str, amount: int) -> Call:
        data = _call_data("approve", ("address", spender), ("uint256", amount))
        return Call("approve", self.address, data)

    def _symbol(self) -> str:
        data = self._read("symbol")
        if len(data) == _WORD_BYTES:  # a few old tokens return bytes32
            return data.rstrip(b"\0").decode("utf-8", "replace")
        try:
            symbol = decode(["bytes"], data)[0]
        except (DecodingError, OverflowError, ValueError) as error:
            raise NotAToken(self.address, "symbol") from error
        return bytes(symbol).decode("utf-8", "replace")

    def _uint(self, name: str, *arguments: tuple[str, object]) -> int:
        return int.from_bytes(self._word(name, *arguments), "big")

    def _word(self, name: str, *arguments: tuple[str, object]) -> bytes:
        data = self._read(name, *arguments)
        if len(data) != _WORD_BYTES:
            raise NotAToken(self.address, name)
        return data

    def _read(self, name: str, *arguments: tuple[str, object]) -> bytes:
        try:
            return simulate(self._rpc, Call(name, self.address, _call_data(name, *arguments)))
        except ConnectionError:
            raise
        except (NodeError, QuernError) as error:
            raise NotAToken(self.address, name) from error


def _call_data(name: str, *arguments: tuple[str, object]) -> bytes:
    kinds = [kind for kind, _ in arguments]
    selector = keccak(f"{name}({','.join(kinds)})".encode())[:4]
    return selector + encode(kinds, [value for _, value in arguments])
