"""The grammar of strategies: combinations of what can be turned on a device, each by its name.

An axis is one thing that can be turned, an option one way to turn it. A strategy is the device's default with
at most one option of each axis; its name joins theirs in the order of the axes, its arguments are the
default's with theirs over them. So the same combination has the same name and digest wherever it is made.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

from metainf.canonical import record_digest
from metainf.strategy import JsonValue, Strategy


@dataclass(frozen=True, slots=True)
class Option:
    """One way to turn an axis: what it changes of the default's arguments, and what that does."""

    name: str
    description: str
    changes: Mapping[str, JsonValue] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Axis:
    """Options of which a strategy has at most one."""

    name: str
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """A class of devices: vLLM's default there, its axes, and the combinations measured to be exact.

    `measured_exact` are option names, joined as in a strategy's name; the paper's names count as well.
    """

    name: str
    vllm_versions: str
    default: Mapping[str, JsonValue] = field(hash=False)
    environment: Mapping[str, str] = field(hash=False)
    axes: tuple[Axis, ...]
    measured_exact: frozenset[str]

    def strategy(self, name: str, description: str, changes: Mapping[str, JsonValue]) -> Strategy:
        """The default with some arguments changed, every flag written out."""
        return Strategy(
            name=name,
            engine_args={**self.default, **changes},
            environment=self.environment,
            devices=(self.name,),
            vllm_versions=self.vllm_versions,
            exact=name in self.measured_exact,
            description=description,
        )


def build(device: Device, *names: str) -> Strategy:
    """The strategy that combines these options. `KeyError` for a name the device has not, `ValueError` for
    two of one axis.
    """
    axis_of = {option.name: axis for axis in device.axes for option in axis.options}
    if len({axis_of[name].name for name in names}) < len(names):
        raise ValueError(f"{', '.join(names)}: a strategy has at most one option of each axis")
    return _combined(
        device,
        [option for axis in device.axes for option in axis.options if option.name in names],
    )


def expand(device: Device, most: int = 2) -> Iterator[Strategy]:
    """Every combination of one to `most` options that differs from all before it, in a fixed order. Many cannot be run:
    see `compatibility`.
    """
    seen = {record_digest(device.default)}
    for count in range(1, most + 1):
        for axes in combinations(device.axes, count):
            for options in product(*(axis.options for axis in axes)):
                strategy = _combined(device, options)
                arguments = record_digest(strategy.engine_args)
                if arguments not in seen:
                    seen.add(arguments)
                    yield strategy


def _combined(device: Device, options: Sequence[Option]) -> Strategy:
    changes: dict[str, JsonValue] = {}
    for option in options:
        changes |= option.changes
    description = ", ".join(option.description for option in options)
    return device.strategy("-".join(option.name for option in options), description, changes)
